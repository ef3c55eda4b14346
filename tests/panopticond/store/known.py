"""What is known of registered domains, written for a test without the round that would have found it."""

from panopticond.model import DomainRecord
from panopticond.store import lookup
from panopticond.store.methods import SqlStore


async def know(store: SqlStore, *records: DomainRecord) -> None:
    """In one transaction, as a round's own record is written."""
    await store.engine.transact(lambda sql: lookup.record_domains(sql, records))
