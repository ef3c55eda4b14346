"""arke.json: every broken rule by its path, what check-config finds on this host, and the words of the command line."""

from __future__ import annotations

import datetime as dt
import functools
import json
from pathlib import Path
from typing import Any

import pytest
import trio

from arke.__main__ import command_line, main
from arke.commands.everyday import checked, verify
from arke.config import Config, check
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.minisign import SecretKey
from panopticond.shared.settings import convert
from tests.arke.made import publish, tables
from tests.arke.test_watch import _serve

KEY = SecretKey.generate().public.text
SMTP = {"host": "mail.nic.zz", "from": "abuse@nic.zz"}


def told(given: dict[str, Any]) -> list[str]:
    try:
        convert({"tld": "zz", "keys": [KEY], "records": "/zz/latest/records.sql", **given}, Config, check)
    except ConfigurationError as error:
        return error.problems
    return []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"tld": "z..z"}, "tld[0]"),
        ({"tld": ["zz", "../../etc"], "records": "{tld}"}, "tld[1]"),
        ({"tld": ["zz", "ZZ"], "records": "/{tld}"}, "tld"),
        ({"tld": ["zz", "yy"]}, "records"),
        ({"tld": ["zz", "yy"], "records": "/{tld}", "zone": "/z"}, "zone"),
        ({"records": ""}, "records"),
        ({"records": "https://nic.zz:99999/"}, "records"),
        ({"state": "/a\0b"}, "state"),
        ({"manager": "the chief"}, "manager"),
        ({"poll": "0s"}, "poll"),
        ({"poll": "5ms"}, "poll"),
        ({"poll": "99999999d"}, "poll"),
        ({"smtp": {**SMTP, "from": "a@b@c"}}, "smtp.from"),
        ({"smtp": {**SMTP, "from": "@"}}, "smtp.from"),
        ({"smtp": {**SMTP, "from": "Abuse <abuse@nic.zz>"}}, "smtp.from"),
        ({"smtp": {**SMTP, "host": ""}}, "smtp.host"),
        ({"smtp": {**SMTP, "port": 70000}}, "smtp.port"),
        ({"smtp": {**SMTP, "username": "x"}}, "smtp.username"),
        ({"smtp": {**SMTP, "tls": "none", "username": "x", "password_file": "/p"}}, "smtp.tls"),
        ({"rdap": {"url": "https://rdap.nic.zz/", "rate": float("inf")}}, "rdap.rate"),
        ({"rdap": {"url": "rdap.nic.zz"}}, "rdap.url"),
        ({"transfer": {"server": "999.1.1.1:99999"}}, "transfer.server"),
        ({"lab": True, "recheck": {"allow_networks": ["10.0.0.1/8"]}}, "recheck.allow_networks[0]"),
        ({"recheck": {"servers": ["192.0.2.1"]}}, "recheck.servers[0]"),
        ({"recheck": {"hold_ip": ["hold"]}}, "recheck.hold_ip[0]"),
        ({"recheck": {"registry_zones": [""]}}, "recheck.registry_zones[0]"),
        ({"recheck": {"vantages": [{"name": "a", "country": "NZ", "proxy": "http://u:p@h:1"}]}}, "recheck.vantages[0].proxy"),
        ({"status": {"socket": "/" + "s" * 200}}, "status.socket"),
        ({"ladder": {"first": ["hoster"]}}, "ladder.first"),
        ({"ladder": {"malicious_first": ["hoster"]}}, "ladder.malicious_first"),
        ({"ladder": {"review_after": "1h"}}, "ladder.review_after"),
        ({"ladder": {"hours": {"zone": "Nowhere/At_All"}}}, "ladder.hours.zone"),
        ({"hoster": {"bootstrap": []}}, "hoster.bootstrap"),
        ({"hoster": {"bootstrap": [""]}}, "hoster.bootstrap[0]"),
        ({"hoster": {"bootstrap": ["/a", "ftp://nic.zz/ipv4.json"]}}, "hoster.bootstrap[1]"),
        ({"hoster": {"bootstrap": ["http://nic.zz/ipv4.json"]}}, "hoster.bootstrap[0]"),
        ({"hoster": {"rate": 0}}, "hoster.rate"),
    ],
)  # fmt: skip
def test_a_broken_rule_names_its_path(given: dict[str, Any], path: str) -> None:
    """Each on its own."""
    assert any(problem.startswith((f"{path}: ", f"{path}, ")) for problem in told(given)), told(given)


def test_a_good_one_has_no_faults(tmp_path: Path) -> None:
    """No wait between rungs is allowed; a password on loopback needs no TLS."""
    (tmp_path / "p").write_text("x")
    smtp = {**SMTP, "host": "127.0.0.1", "tls": "none", "username": "x", "password_file": str(tmp_path / "p")}
    assert told({"ladder": {"stagger": "0s", "between": "0s"}, "smtp": smtp}) == []
    hoster = {"bootstrap": ["http://127.0.0.1:8080/ipv4.json", "https://nic.zz/ipv6.json", "/etc/arke/ipv6.json"]}
    assert told({"ladder": {"first": ["registrant", "hoster"], "hoster_after": "0s"}, "hoster": hoster}) == []


def written(root: Path, **given: Any) -> Path:
    settings = {"tld": "zz", "keys": [KEY], "records": "/zz/latest/records.sql", "state": str(root / "state"), **given}
    path = root / "arke.json"
    path.write_text(json.dumps(settings))
    return path


def test_every_stage_is_told_at_once(tmp_path: Path) -> None:
    """Unknown and doubled keys hide no rule; nor do these a loose secret, a missing zone, a list that is none."""
    secret, binary = tmp_path / "secret", tmp_path / "binary"
    secret.write_text("x")
    secret.chmod(0o640)
    binary.write_bytes(bytes(range(256)))
    path = written(
        tmp_path,
        colour="blue",
        manager="nobody",
        zone=str(tmp_path / "none.zone"),
        screen={"protect": [str(binary)]},
        account={"username": "zz", "password_file": str(secret)},
    )
    path.write_text(path.read_text().replace('"colour"', '"tld": "zz", "colour"'))
    with pytest.raises(ConfigurationError) as caught:
        checked(path)
    problems = "\n".join(caught.value.problems)
    for start in (
        "colour: unknown key",
        "tld: given twice",
        "manager: ",
        "zone: ",
        "screen.protect[0]: ",
        f"account.password_file: {secret} is open to others (mode 0640); do: chmod 600",
    ):
        assert start in problems, problems


def test_run_and_once_refuse_what_check_config_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same words, status 2, no state."""
    path = written(tmp_path, zone=str(tmp_path / "none.zone"), manager="nobody")
    said = []
    for command in ("check-config", "run", "once"):
        assert main([command, "-c", str(path)]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1] == said[2]
    assert said[0].count("arke: ") == said[0].count("\n") == 2
    assert not (tmp_path / "state").exists()


def test_a_secret_only_the_unit_sees_keeps_nobody_from_the_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """check-config and what would use the files name each one; what only looks at the state asks for none of them."""
    secret = "/run/credentials/made-up.service/secret_rdap"
    path = written(
        tmp_path,
        state=str(tmp_path / "state"),
        rdap={"url": "https://rdap.nic.zz/", "username": "arke", "password_file": secret},
        recheck={"vantages": [{"name": "a", "country": "NZ", "credentials_file": "/none/vantage"}]},
        suppression="/none/suppression",
    )
    for command in ("check-config", "preview", "once"):
        assert main([command, "-c", str(path)]) == 2
        said = capsys.readouterr().err
        for key, file in (
            ("rdap.password_file", secret),
            ("recheck.vantages[0].credentials_file", "/none/vantage"),
            ("suppression", "/none/suppression"),
        ):
            assert f"arke: {key}: {file}: no such file\n" in said
    assert main(["forget", "bad.zz", "-c", str(path)]) == 0
    assert main(["backup", "-c", str(path), str(tmp_path / "b.tar")]) == 0
    assert main(["restore", "--replace", "-c", str(path), str(tmp_path / "b.tar")]) == 0
    assert main(["queue", "list", "-c", str(path)]) == 0


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("screen", "--names", "/none"), 2),
        (("verify", "--key", KEY, "/none/latest"), 1),
        (("verify", "--key", KEY, "{empty}"), 1),
    ],
)
def test_exit_statuses(words: tuple[str, ...], status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence; what is not there has failed, only what is there is refused."""
    assert main([word.replace("{empty}", str(tmp_path)) for word in words]) == status
    assert capsys.readouterr().err.count("\n") == 1


async def test_verify_signs_in_with_the_configured_account(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Every request for the snapshot by URL carries the account's credentials."""
    now, key = dt.datetime.now(dt.UTC).replace(microsecond=0), SecretKey.generate()
    publish(tmp_path / "r", key, tables(to=now - dt.timedelta(minutes=30)), issued=now)
    (tmp_path / "password").write_text("b")
    asked: list[str] = []
    handler = functools.partial(_serve, tmp_path / "r", asked)
    (listener,) = await nursery.start(functools.partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    account = {"username": "a", "password_file": str(tmp_path / "password")}
    settings = {"tld": "zz", "keys": [key.public.text], "records": "/zz/latest/records.sql", "account": account}
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/zz/latest"
    await verify(url, [], "zz", convert(settings, Config, check))
    assert asked
    assert all(line.endswith(" yes") for line in asked), asked
    nursery.cancel_scope.cancel()


def test_it_has_a_version(capsys: pytest.CaptureFixture[str]) -> None:
    """As every command."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("arke ")


def test_a_configuration_that_is_not_there_or_not_to_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence and 2; "no such file" only where that is so, and how to name another."""
    assert main(["queue", "list", "-c", str(tmp_path / "arke.json")]) == 2
    assert "arke.json: no such file; name yours with -c" in capsys.readouterr().err
    (tmp_path / "file").write_text("{}")
    assert main(["queue", "list", "-c", str(tmp_path / "file" / "arke.json")]) == 2
    assert "arke.json: Not a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["queue", "approve", "-c", "FILE", "7", "--json"],
        ["queue", "-c", "FILE", "--json", "approve", "7"],
        ["queue", "approve", "7", "--json", "-c", "FILE"],
    ],
)
def test_options_stand_where_they_are_typed(words: list[str]) -> None:
    """Before the word, between it and what it names, or last: all the same."""
    options = command_line().parse_args(words)
    assert (options.word, options.id, options.config, options.json) == ("approve", "7", Path("FILE"), True)


def test_a_decision_names_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    """`list` needs nothing more; the others say what is missing."""
    assert command_line().parse_args(["review", "list"]).word == "list"
    with pytest.raises(SystemExit) as ended:
        command_line().parse_args(["review", "confirm"])
    assert ended.value.code == 2
    assert "required: NAME" in capsys.readouterr().err
