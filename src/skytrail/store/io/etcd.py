"""The store on an etcd v3 cluster.

    get / range / transact ----> Members (one at a time, the next on failure)
    one watch of all keys -----> Feed ----> watchers (own position each; older ones re-read a watch)

Our revision is etcd's minus one: an empty etcd is at 1, an empty store at 0. Leases are etcd's own,
so its clock decides and a leader's key vanishes with its lease.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

import structlog
from aetcd import rpc

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import Clock
from skytrail.store.allocate import LowestFree, first_gap
from skytrail.store.io.election import POLL_S, GrantsLeases
from skytrail.store.io.etcd_members import (
    CALL_TIMEOUT_S,
    SLOW_TIMEOUT_S,
    LeaseUnknown,
    Member,
    Members,
    RevisionGone,
    RevisionToCome,
)
from skytrail.store.io.etcd_stream import watching
from skytrail.store.io.feed import Feed
from skytrail.store.key_space import (
    ALLOCATIONS,
    allocation_key,
    prefix_end,
    split_allocation_key,
)
from skytrail.store.location import EtcdLocation
from skytrail.store.plugin import (
    AlreadyAllocated,
    Batch,
    Compacted,
    Compare,
    Delete,
    KeyValue,
    Operation,
    Page,
    PoolExhausted,
    Put,
    StoreUnavailable,
    TransactionResult,
)
from skytrail.store.transaction import check_key, check_transaction

ORIGIN: Final = 1
"""etcd's revision when nothing was ever written."""
LOG_BATCHES_PER_READ: Final = 256
STUCK_AFTER_S: Final = 1.0
"""A watch that stays this long behind a revision we know of is opened anew elsewhere."""
ALLOCATE_ATTEMPTS: Final = 50
_TAKEN_PER_READ: Final = 1024
_LEADERS: Final = b"skytrail/leader/"


class EtcdStore(GrantsLeases):
    """A ConfigStore; make it with ``await EtcdStore.open(location)`` on the loop that uses it."""

    def __init__(
        self, members: Members, present: int, clock: Clock | None, poll_s: float, origin: int
    ) -> None:
        super().__init__(clock, poll_s)
        self._members = members
        self._origin = origin
        self._known = present
        """The newest revision any answer told of."""
        self._feed = Feed(present)
        self._hints = LowestFree()
        self._allocating = asyncio.Lock()
        self._closed = False
        self._log = structlog.get_logger("skytrail.store")
        self._follower = asyncio.ensure_future(self._follow())

    @classmethod
    async def open(
        cls,
        location: EtcdLocation,
        *,
        clock: Clock | None = None,
        poll_s: float = POLL_S,
        origin: int = ORIGIN,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> EtcdStore:
        """Connect; raises StoreUnavailable when no majority answers."""
        members = Members(location, timeout_s=timeout_s)
        try:
            present = await members.present() - origin
        except BaseException:
            await members.close()
            raise
        return cls(members, present, clock, poll_s, origin)

    async def get(self, key: str, revision: int | None = None) -> KeyValue | None:
        check_key(key)
        reply = await self._range(_range_request(key, revision, self._origin), revision)
        return self._key_value(reply.kvs[0]) if reply.kvs else None

    async def range(
        self,
        prefix: str,
        *,
        start: str | None = None,
        limit: int = 500,
        revision: int | None = None,
    ) -> Page:
        if limit < 1:
            raise ValueError(f"limit {limit} is below 1")
        end = prefix_end(prefix)
        request = _range_request(max(prefix, start or ""), revision, self._origin)
        request.range_end = b"\0" if end is None else end.encode()
        request.limit = limit + 1
        reply = await self._range(request, revision, slow=True)
        at = reply.header.revision - self._origin if revision is None else revision
        items = tuple(self._key_value(each) for each in reply.kvs[:limit])
        following = reply.kvs[limit].key.decode() if len(reply.kvs) > limit else None
        return Page(items, at, following)

    async def transact(
        self,
        compares: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation] = (),
    ) -> TransactionResult:
        self._check_open()
        check_transaction(compares, then, otherwise)
        request = rpc.TxnRequest(
            compare=[self._compare(each) for each in compares],
            success=[_request_op(each) for each in then],
            failure=[_request_op(each) for each in otherwise],
        )
        self._note_freed((*then, *otherwise))
        reply = await self._transact(request)
        return TransactionResult(reply.succeeded, reply.header.revision - self._origin)

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Batch]:
        return self._feed.follow(prefix, from_revision, self._read_log)

    async def allocate(
        self, pool: str, low: int, high: int, owner: str, want: int | None = None
    ) -> int:
        allocation_key(pool, low)
        allocation_key(pool, high)
        if want is not None:
            return await self._allocate_wanted(pool, low, high, owner, want)
        async with self._allocating:
            for _ in range(ALLOCATE_ATTEMPTS):
                chosen = await self._first_free(pool, low, high)
                key = allocation_key(pool, chosen)
                self._hints.taken_below(pool, low, chosen + 1)
                put = (Put(key, owner.encode()),)
                if (await self.transact((Compare(key, 0),), put)).succeeded:
                    return chosen
        raise StoreUnavailable(f"others took every number of {pool} first; try again")

    async def free(self, pool: str, value: int, owner: str) -> None:
        key = allocation_key(pool, value)
        while True:
            held = await self.get(key)
            if held is None:
                return
            if held.value != owner.encode():
                raise AlreadyAllocated(pool, value, held.value.decode())
            if (await self.transact((Compare(key, held.mod_revision),), (Delete(key),))).succeeded:
                return

    async def revision(self) -> int:
        self._check_open()
        present = await self._members.present() - self._origin
        self._known = max(self._known, present)
        return present

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision < 1:
            return
        request = rpc.CompactionRequest(revision=revision + self._origin)
        try:
            await self._members.read(
                lambda member, wait_s: member.kv.Compact(
                    request, timeout=wait_s, metadata=member.metadata
                )
            )
        except RevisionGone:
            pass  # Somebody discarded as much already.
        except RevisionToCome:
            present = await self.revision()
            text = f"revision {revision} is to come; the current is {present}"
            raise ValueError(text) from None
        self._feed.compact(revision)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._follower.cancel()
        await asyncio.gather(self._follower, return_exceptions=True)
        self._feed.close()
        await self._members.close()

    async def write_lease(self, lease_id: str, expires: float, now: float, *, renew: bool) -> bool:
        self._check_open()
        number, ttl_s = _lease_number(lease_id), math.ceil(expires - now)
        if renew:
            return await self._members.read(lambda member, wait_s: _renew(member, number, wait_s))
        request = rpc.LeaseGrantRequest(TTL=ttl_s, ID=number)
        await self._members.write(
            lambda member, wait_s: member.lease.LeaseGrant(
                request, timeout=wait_s, metadata=member.metadata
            )
        )
        return True

    async def drop_lease(self, lease_id: str) -> None:
        self._check_open()
        request = rpc.LeaseRevokeRequest(ID=_lease_number(lease_id))
        try:
            await self._members.read(
                lambda member, wait_s: member.lease.LeaseRevoke(
                    request, timeout=wait_s, metadata=member.metadata
                )
            )
        except LeaseUnknown:
            return  # It ran out by itself.

    async def campaign(self, name: str, lease_id: str, now: float) -> bool:
        self._check_open()
        key = _LEADERS + name.encode()
        put = rpc.PutRequest(key=key, value=lease_id.encode(), lease=_lease_number(lease_id))
        request = rpc.TxnRequest(
            compare=[_absent(key)],
            success=[rpc.RequestOp(request_put=put)],
            failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=key))],
        )
        try:
            reply = await self._transact(request)
        except LeaseUnknown:
            return False
        if reply.succeeded:
            return True
        held = reply.responses[0].response_range.kvs
        return bool(held) and held[0].value == lease_id.encode()

    async def resign(self, name: str, lease_id: str) -> None:
        key = _LEADERS + name.encode()
        held = rpc.Compare(
            result=rpc.Compare.EQUAL, target=rpc.Compare.VALUE, key=key, value=lease_id.encode()
        )
        delete = rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
        await self._transact(rpc.TxnRequest(compare=[held], success=[delete]))

    async def _transact(self, request: rpc.TxnRequest) -> rpc.TxnResponse:
        reply = await self._members.write(
            lambda member, wait_s: member.kv.Txn(request, timeout=wait_s, metadata=member.metadata),
            size_bytes=request.ByteSize(),
        )
        self._known = max(self._known, reply.header.revision - self._origin)
        return reply

    async def _range(
        self, request: rpc.RangeRequest, revision: int | None, *, slow: bool = False
    ) -> rpc.RangeResponse:
        self._check_open()
        try:
            reply = await self._members.read(
                lambda member, wait_s: member.kv.Range(
                    request, timeout=wait_s, metadata=member.metadata
                ),
                timeout_s=SLOW_TIMEOUT_S if slow else None,
            )
        except RevisionGone:
            raise Compacted(f"revision {revision} is discarded") from None
        except RevisionToCome:
            present = await self.revision()
            text = f"revision {revision} is to come; the current is {present}"
            raise ValueError(text) from None
        self._known = max(self._known, reply.header.revision - self._origin)
        return reply

    async def _follow(self) -> None:
        """Keep the feed level with etcd, over failures of members."""
        delays = Backoff(first_s=0.05, maximum_s=1.0)
        while True:
            member: Member | None = None
            try:
                member = await self._members.ready()
                async with watching(member, self._feed.latest + 1, self._origin) as batches:
                    delays.reset()
                    await self._publish(batches)
                reason = "it fell behind"
            except RevisionGone as gone:
                self._skip_discarded(gone.revision - self._origin)
                continue
            except (StoreUnavailable, rpc.AioRpcError) as error:
                reason = str(error)
            if member is not None:
                self._members.leave(member, f"watch ended: {reason}")
            await asyncio.sleep(delays.next_delay_s())

    async def _publish(self, batches: AsyncIterator[list[Batch]]) -> None:
        """Publish until the stream falls behind what we know of; a failed stream raises."""
        waiting: asyncio.Future[list[Batch]] | None = None
        try:
            while True:
                known = self._known
                waiting = waiting or asyncio.ensure_future(anext(batches))
                await asyncio.wait((waiting,), timeout=STUCK_AFTER_S)
                if waiting.done():
                    self._feed.publish(await waiting)
                    waiting = None
                elif known > self._feed.latest:
                    return
        except StopAsyncIteration:
            raise StoreUnavailable("the member closed it") from None
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    def _skip_discarded(self, horizon: int) -> None:
        """Go on behind what is discarded; a watcher that needs it gets Compacted."""
        self._log.warning("store_history_missed", after=self._feed.latest, discarded_to=horizon)
        self._feed.jump(horizon)
        self._feed.compact(horizon)

    async def _read_log(self, position: int) -> Sequence[Batch]:
        latest = self._feed.latest
        found: list[Batch] = []
        member = await self._members.ready()
        try:
            async with watching(member, position, self._origin) as stream:
                # A position at the very horizon is not refused by the watch itself.
                await self._range(_range_request("/", position - 1, self._origin), position)
                async for batches in stream:
                    found += batches
                    if len(found) >= LOG_BATCHES_PER_READ or found[-1].revision >= latest:
                        break
        except RevisionGone:
            raise Compacted(f"revision {position} is discarded") from None
        except rpc.AioRpcError as error:
            self._members.leave(member, str(error.details()))
            raise StoreUnavailable(f"etcd member {member.endpoint}: {error.details()}") from error
        return found

    async def _allocate_wanted(self, pool: str, low: int, high: int, owner: str, want: int) -> int:
        if not low <= want <= high:
            raise ValueError(f"{want} is outside {low}..{high} of {pool}")
        key = allocation_key(pool, want)
        while True:
            if (await self.transact((Compare(key, 0),), (Put(key, owner.encode()),))).succeeded:
                return want
            held = await self.get(key)
            if held is None:
                continue
            if held.value != owner.encode():
                raise AlreadyAllocated(pool, want, held.value.decode())
            return want

    async def _first_free(self, pool: str, low: int, high: int) -> int:
        start = self._hints.start(pool, low)
        chosen = await self._gap_from(pool, start, high)
        if chosen is None and start > low:  # Another client may have freed one below.
            chosen = await self._gap_from(pool, low, high)
        if chosen is None:
            raise PoolExhausted(f"{pool} has no free number in {low}..{high}")
        return chosen

    async def _gap_from(self, pool: str, start: int, high: int) -> int | None:
        while start <= high:
            request = _range_request(allocation_key(pool, start), None, self._origin)
            request.range_end = allocation_key(pool, high).encode() + b"\0"
            request.keys_only, request.limit = True, _TAKEN_PER_READ
            reply = await self._range(request, None)
            taken = [split_allocation_key(each.key.decode())[1] for each in reply.kvs]
            last = taken[-1] if reply.more else high
            chosen = first_gap(start, last, taken)
            if chosen is not None or not reply.more:
                return chosen
            start = last + 1
        return None

    def _note_freed(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            if isinstance(operation, Delete) and operation.key.startswith(ALLOCATIONS):
                self._hints.freed(*split_allocation_key(operation.key))

    def _compare(self, compare: Compare) -> rpc.Compare:
        if compare.mod_revision == 0:
            return _absent(compare.key.encode())
        return rpc.Compare(
            result=rpc.Compare.EQUAL,
            target=rpc.Compare.MOD,
            key=compare.key.encode(),
            mod_revision=compare.mod_revision + self._origin,
        )

    def _key_value(self, held: rpc.KeyValue) -> KeyValue:
        return KeyValue(
            held.key.decode(),
            held.value,
            held.create_revision - self._origin,
            held.mod_revision - self._origin,
        )

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")


def _range_request(key: str, revision: int | None, origin: int) -> rpc.RangeRequest:
    if revision is None:
        return rpc.RangeRequest(key=key.encode())
    if revision < 0:
        raise ValueError(f"revision {revision} is below 0")
    return rpc.RangeRequest(key=key.encode(), revision=revision + origin)


def _absent(key: bytes) -> rpc.Compare:
    return rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.MOD, key=key, mod_revision=0)


def _request_op(operation: Operation) -> rpc.RequestOp:
    key = operation.key.encode()
    if isinstance(operation, Put):
        return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=operation.value))
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))


def _lease_number(lease_id: str) -> int:
    return int(lease_id[:15], 16) + 1


async def _renew(member: Member, number: int, wait_s: float) -> bool:
    async def requests() -> AsyncIterator[rpc.LeaseKeepAliveRequest]:
        yield rpc.LeaseKeepAliveRequest(ID=number)

    call = member.lease.LeaseKeepAlive(requests(), timeout=wait_s, metadata=member.metadata)
    async for reply in call:
        return reply.TTL > 0
    return False
