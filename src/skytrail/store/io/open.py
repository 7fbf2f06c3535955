"""Opens the store a location names; the client library of a cluster is loaded only for one."""

from __future__ import annotations

from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.io.sqlite_process import ProcessWriter
from skytrail.store.io.sqlite_writer import ThreadWriter
from skytrail.store.location import EtcdLocation, Location
from skytrail.store.plugin import ConfigStore


async def open_store(location: Location, *, writes_apart: bool = False) -> ConfigStore:
    """Return the open store; raises StoreUnavailable, which says what to do.

    ``writes_apart`` gives an embedded store a process of its own to write, as servers want it.
    """
    if isinstance(location, EtcdLocation):
        from skytrail.store.io.etcd import EtcdStore

        return await EtcdStore.open(location)
    location.path.parent.mkdir(parents=True, exist_ok=True)
    start = ProcessWriter.start if writes_apart else ThreadWriter.start
    return await SqliteStore.open(location.path, start_writer=start)
