"""Opens the store a location names; the client library of a cluster is loaded only for one."""

from __future__ import annotations

from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.location import EtcdLocation, Location
from skytrail.store.plugin import ConfigStore


async def open_store(location: Location) -> ConfigStore:
    """Return the open store; raises StoreUnavailable, which says what to do."""
    if isinstance(location, EtcdLocation):
        from skytrail.store.io.etcd import EtcdStore

        return await EtcdStore.open(location)
    location.path.parent.mkdir(parents=True, exist_ok=True)
    return await SqliteStore.open(location.path)
