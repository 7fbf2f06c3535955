"""Leases and elections over three small operations each back end has."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final

from skytrail.runtime.clock import Clock, SystemClock
from skytrail.store.plugin import Lease, LeaseBackend, LeaseLost, StoreUnavailable

POLL_S: Final = 0.2
"""How often a candidate looks whether the leader's lease has run out."""


class StoreLease:
    """A lease as its holder sees it: its end is reckoned from before the request was sent,
    so the holder never believes in it longer than the store does.
    """

    def __init__(self, backend: LeaseBackend, lease_id: str, ttl_s: float, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._ttl_s = ttl_s
        self.id = lease_id
        self.expires = 0.0

    @property
    def valid(self) -> bool:
        return self._clock.now() < self.expires

    async def grant(self) -> None:
        await self._write(renew=False)

    async def keep_alive(self) -> None:
        await self._write(renew=True)

    async def release(self) -> None:
        self.expires = 0.0
        await self._backend.drop_lease(self.id)

    async def _write(self, *, renew: bool) -> None:
        now = self._clock.now()
        if not await self._backend.write_lease(self.id, now + self._ttl_s, now, renew=renew):
            self.expires = 0.0
            raise LeaseLost(f"lease {self.id} ran out or was released")
        self.expires = now + self._ttl_s


class GrantsLeases(LeaseBackend):
    """What every store does the same way over those operations."""

    def __init__(self, clock: Clock | None, poll_s: float) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._poll_s = poll_s

    async def lease(self, ttl_s: float) -> Lease:
        granted = StoreLease(self, uuid.uuid4().hex, ttl_s, self._clock)
        await granted.grant()
        return granted

    def elect(self, name: str, lease: Lease) -> AbstractAsyncContextManager[None]:
        if not isinstance(lease, StoreLease):
            raise TypeError("the lease is of another store")
        return elected(self, name, lease, clock=self._clock, poll_s=self._poll_s)


@asynccontextmanager
async def elected(
    backend: LeaseBackend, name: str, lease: StoreLease, *, clock: Clock, poll_s: float = POLL_S
) -> AsyncGenerator[None]:
    """Hold the leadership of a name during the body; see ConfigStore.elect."""
    while True:
        if not lease.valid:
            raise LeaseLost(f"lease {lease.id} ran out while waiting to lead {name}")
        if await backend.campaign(name, lease.id, clock.now()):
            break
        await asyncio.sleep(poll_s)
    try:
        async with _until_lost(lease, name, poll_s):
            yield
    finally:
        with suppress(StoreUnavailable):  # Then the lease's end frees the name.
            await backend.resign(name, lease.id)


@asynccontextmanager
async def _until_lost(lease: StoreLease, name: str, poll_s: float) -> AsyncGenerator[None]:
    """Cancel the body when the lease runs out, and raise LeaseLost in its place."""
    body = asyncio.current_task()
    lost = False

    async def guard() -> None:
        nonlocal lost
        while lease.valid:  # noqa: ASYNC110 - it runs out by time; nobody could set an event
            await asyncio.sleep(poll_s)
        lost = True
        if body is not None:
            body.cancel()

    watcher = asyncio.ensure_future(guard())
    try:
        yield
    except asyncio.CancelledError:
        if lost and body is not None and body.uncancel() == 0:
            raise LeaseLost(f"the lease ran out while leading {name}") from None
        raise
    finally:
        watcher.cancel()
