"""The servers of a URL: which one takes writes, what is said when none does, and what is not worth waiting for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio

from panopticond.config import Config, StoreSettings, Tld
from panopticond.main import patiently
from panopticond.shared.errors import StoreError
from panopticond.shared.values import database_fault
from panopticond.store.postgres import open_postgres
from panopticond.store.servers import NoServerError, Servers
from tests import postgres
from tests.lab.real import free_port


def refusal(url: str) -> NoServerError:
    with pytest.raises(NoServerError) as refused:
        Servers(url).connect()
    return refused.value


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://127.0.0.1:54x/db", 'at 127.0.0.1: invalid integer value "54x" for connection option "port"'),
        ("postgresql://127.0.0.1:99999/db", "invalid port number"),
        ("postgresql://localhost:54x/db", "Servname not supported"),
        ("postgresql://127.0.0.1:1/db?sslmode=perhaps", "invalid sslmode value"),
        ("postgresql:///db?host=/a,/b,/c&port=1,2", "could not match 2 port numbers to 3 hosts"),
    ],
)
async def test_what_no_waiting_heals_is_said_at_once(url: str, says: str) -> None:
    """One sentence with what libpq does not like; nothing is tried for twenty seconds."""
    assert refusal(url).hopeless
    began = time.monotonic()
    with pytest.raises(StoreError) as refused:
        await open_postgres(url)
    assert says in str(refused.value)
    assert str(refused.value).endswith("; mend [store] url")
    assert "\n" not in str(refused.value)
    assert time.monotonic() - began < 10


def test_a_server_that_refuses_connections_may_be_back() -> None:
    """Each server is named with its own reason; a socket that is not there is a server that is not up."""
    one, two = free_port(), free_port()
    found = refusal(f"postgresql://127.0.0.1:{one},127.0.0.1:{two}/db")
    assert not found.hopeless
    assert str(found).endswith(
        f"no server takes writes: 127.0.0.1:{one}: Connection refused; 127.0.0.1:{two}: Connection refused"
    )
    assert not refusal("postgresql:///db?host=/nowhere/at/all").hopeless


def test_one_hopeless_server_beside_one_that_may_be_back_is_waited_for(cluster: postgres.Cluster) -> None:
    """The one that refuses may be the primary."""
    nowhere = f"postgresql:///nowhere?user=postgres&host={cluster.root}"
    assert refusal(nowhere).hopeless
    assert not refusal(f"{nowhere},/nowhere/at/all").hopeless


def test_the_first_server_that_takes_writes_is_kept(cluster: postgres.Cluster) -> None:
    """A place that does not answer is passed over, and asked no more while the one found answers."""
    servers = Servers(f"postgresql:///postgres?user=postgres&host=/nowhere/at/all,{cluster.root}")
    links = [servers.connect() for _ in range(2)]
    assert [link.place for link in links] == [1, 1]
    assert links[0].timeline == links[1].timeline > 0
    for link in links:
        link.close()
        link.cut()  # of a closed one: nothing


def test_a_url_libpq_cannot_read_is_one_sentence() -> None:
    """Without what was given, for that may hold a secret."""
    with pytest.raises(StoreError, match=r"store\.url: .*; mend \[store\] url$") as refused:
        Servers("postgresql://h/d?passwort=hidden")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "port"),
    [("h:54x/d", "54x"), ("u@h:1,[::1]:0/d", "0"), ("h:99999", "99999"), ("/d?host=a,b&port=1,x", "x")],
)
def test_a_port_that_is_none_is_a_fault_of_the_configuration(url: str, port: str) -> None:
    """`check-config` finds it without a socket, in each server of a URL."""
    assert database_fault(f"postgresql://{url}") == f"{port!r} is no port; a port is a number from 1 to 65535"


def test_urls_of_several_servers_are_no_fault() -> None:
    """With ports, without, in brackets, on sockets."""
    for url in ("u@a,b/d", "a:5432,b:5433/d", "[::1]:5432,[2001:db8::1]/d", "/d?host=/run/a,/run/b&port=5432", "a:/d"):
        assert database_fault(f"postgresql://{url}") is None


async def test_a_daemon_that_starts_before_its_database_waits_for_it(mortal: postgres.Cluster) -> None:
    """For as long as it takes; why is told whenever patience has run out."""
    await trio.to_thread.run_sync(mortal.stop)
    told: list[str] = []
    async with trio.open_nursery() as nursery:

        def waiting(why: str) -> None:
            told.append(why)
            if len(told) == 2:
                nursery.start_soon(trio.to_thread.run_sync, mortal.start)

        with trio.fail_after(20):
            async with await open_postgres(mortal.url, patience_seconds=0.3, waiting=waiting) as store:
                assert await store.watches() == []
    assert len(told) >= 2
    assert all("No such file or directory" in why for why in told[:2])
    assert not store.engine.trouble


async def test_a_daemon_whose_database_is_not_there_ends_at_once(cluster: postgres.Cluster, tmp_path: Path) -> None:
    """The daemon's own way to its store waits for no database of another name."""
    url = cluster.url.replace("///postgres", "///nowhere")
    config = Config(tld=(Tld("zz"),), store=StoreSettings(path=str(tmp_path / "p.db"), url=url))
    began = time.monotonic()
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        async with patiently(config):
            raise AssertionError("it opened")
    assert time.monotonic() - began < 10
