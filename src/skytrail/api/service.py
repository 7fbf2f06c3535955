"""The configuration service: one writer task between requests and store.

    request tasks (N)  --plan functions-->  [queue, bounded]  -->  writer (1)  -->  store
         |  reads: straight from the graph                            |
         '<----------------- reply after commit ----------------------+--> feed --> watchers (N)
    compaction (1)  --every ten minutes-->  store

The writer plans each request on an overlay on top of the ones before it, also on what is just being
made durable, commits all that came meanwhile as one store transaction, and only then lets anybody see
it. A refused request leaves no trace in its batch. Of a batch that stood on one that failed nothing
is kept: it is planned again.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, TypeVar, cast
from uuid import uuid4

import msgspec
import structlog

from skytrail.api import audit, defaults, feed, persistence
from skytrail.api.audit import Entry, Head, Origin, Page
from skytrail.api.caller import NOBODY_ASKED, THE_SERVER, Caller
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.feed import Feed
from skytrail.api.graph import Graph, Overlay, View
from skytrail.api.history import History
from skytrail.api.io.shared import Fenced, SharedStore
from skytrail.api.io.write_traces import WriteTraces
from skytrail.api.reads import Reads, RecordedGraph, fresh_uuid, require, touch
from skytrail.api.refusal import Refused
from skytrail.api.schema import Schema
from skytrail.store.copy import CLOSED
from skytrail.store.plugin import (
    Compacted,
    ConfigStore,
    KeyValue,
    Put,
    StoreClosed,
    StoreUnavailable,
)

QUEUE_COUNT_MAX = 2048
BATCH_WEIGHT_MAX = 256
"""A batch takes no further request once its operations add up to this."""
SLICE_WEIGHT = 4
"""So much is planned before the loop has its turn, and a commit may begin or be heard of."""
LOAD_PAGE = 5_000
COMPACT_EVERY_S = 600.0
FENCE_CHECK_S = 1.0
SPLIT_AFTER = 12
"""A batch that was planned in vain this often is halved each further time."""
CONFLICTS_MAX = 100
_STOPPING = Refused(503, "The server is stopping")
_TAKEN = "another server, a restore or a move has taken the store"
_TOO_BUSY = "other servers change the same objects all the time"

T = TypeVar("T")


class Written(msgspec.Struct, Generic[T], frozen=True):
    """The outcome of an accepted request."""

    value: T
    revision: int
    ignored: tuple[str, ...]
    change: str = ""
    """What the audit log calls it: revision and place; empty when nothing changed."""


@dataclass(slots=True, eq=False)
class _Request:
    plan: Callable[[Change], object]
    reply: asyncio.Future[Written[object]]
    derived_from: int | None
    weight: int
    caller: Caller
    request_id: str = ""
    asked_at: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Planned:
    """What a batch comes to: one overlay of the accepted, and everybody's answer."""

    overlay: Overlay
    accepted: list[tuple[_Request, object, tuple[str, ...], int | None]] = field(
        default_factory=list[tuple["_Request", object, tuple[str, ...], int | None]]
    )
    """Request, what it returns, ignored members, place among the audit entries."""
    refused: list[tuple[_Request, Refused]] = field(
        default_factory=list[tuple["_Request", Refused]]
    )
    entries: list[Entry] = field(default_factory=list[Entry])
    derived_from: int | None = None
    has_others: bool = False
    """Somebody but the compiler changes something."""
    weight: int = 0

    def derived(self) -> feed.Derived | None:
        if self.derived_from is None:
            return None
        return feed.Derived(self.derived_from, self.has_others)


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def timestamp() -> str:
    """Return the present time as id_perms print it."""
    seconds, rest = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}"


class ConfigService:
    """The objects, and the only way to change them."""

    def __init__(
        self, schema: Schema, store: ConfigStore, graph: Graph, feed_of_changes: Feed, fence: int
    ) -> None:
        self.schema = schema
        self.graph = graph
        self.feed = feed_of_changes
        self.refusals_count = 0
        self.writes_count = 0
        self.batches_count = 0
        self.healthy = True
        self.shared: SharedStore | None = None
        """Set when other servers write to the store as well."""
        self.on_committed: Callable[[Sequence[Entry]], None] = _nobody_listens
        self.traces: WriteTraces | None = None
        """Called with the audit entries of each commit."""
        self._store = store
        self._fence = fence
        self._history = History()
        self._audit_head = Head()
        self._audit_trim: Head | None = None
        self._queue: deque[_Request] = deque()
        self._has_room = asyncio.Event()
        """Cleared by whoever found the queue full, set when something was taken out."""
        self._has_ended = False
        self._news = asyncio.Event()
        """Set when a request was queued or a commit has ended."""
        self._log = structlog.get_logger("skytrail.api")

    @classmethod
    async def start(
        cls, schema: Schema, store: ConfigStore, *, shared: bool = False
    ) -> ConfigService:
        """Load everything, take the right to write, create the default objects.

        Servers that share the store write side by side; one that does not has it for itself.
        """
        closed = await store.get(CLOSED)
        if closed is not None:
            raise StoreClosed(f"this store is closed: {closed.value.decode()}")
        if shared:
            return await cls._start_shared(schema, store)
        before = await store.revision()
        fence = await _take_fence(store)
        graph, revision = await _load(schema, store)
        # Nothing but the fence was written since `before`: watchers may resume from there.
        resumable = fence == before + 1 and revision == fence
        head = audit.head_of(await store.get(audit.HEADS + audit.CHAIN))
        changes = Feed(revision, before + 1 if resumable else None, head.mark)
        service = cls(schema, store, graph, changes, fence)
        service._audit_head = head
        await service._ensure_defaults()
        return service

    @classmethod
    async def _start_shared(cls, schema: Schema, store: ConfigStore) -> ConfigService:
        graph, revision = await _load(schema, store, shared=True)
        held = await store.get(persistence.FENCE, revision)
        fence = 0 if held is None else held.mod_revision
        audited = await store.get(audit.HEADS + audit.CHAIN, revision)
        changes = Feed(revision, history=audit.head_of(audited).mark)
        service = cls(schema, store, graph, changes, fence)
        heads = persistence.head_reader(schema)
        service.shared = SharedStore(store, graph, changes, heads, fence)
        service.shared.note_audit_head(audited)
        following = asyncio.ensure_future(service.shared.follow())
        try:
            await service._ensure_defaults()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        return service

    @property
    def audit_head(self) -> Head:
        """Where the audit log stands; pages up to its number are committed."""
        return self._audit_head if self.shared is None else self.shared.audit_head

    @property
    def store(self) -> ConfigStore:
        """The store behind it, for what is not configuration."""
        return self._store

    @property
    def revision(self) -> int:
        """The last committed revision; reads reflect at least this."""
        return self.feed.revision

    async def write(
        self,
        plan: Callable[[Change], T],
        *,
        caller: Caller = NOBODY_ASKED,
        derived_from: int | None = None,
        weight: int = 1,
        request_id: str = "",
    ) -> Written[T]:
        """Carry out a plan of ``weight`` operations; return when it is durable; raise Refused."""
        while len(self._queue) >= QUEUE_COUNT_MAX:
            self._has_room.clear()
            await self._has_room.wait()
        if self._has_ended:
            raise Refused(_STOPPING.status, _STOPPING.text)
        reply: asyncio.Future[Written[object]] = asyncio.get_running_loop().create_future()
        self._queue.append(_Request(plan, reply, derived_from, weight, caller, request_id))
        self._news.set()
        try:
            return await reply  # type: ignore[return-value] # the future of this very plan
        finally:
            # A refusal knows this frame by its traceback, and would be in a cycle with it.
            del reply

    def write_promised(
        self, plan: Callable[[Change], T], caller: Caller, request_id: str
    ) -> asyncio.Future[Written[T]] | None:
        """Return what ``write`` would; None when one has to wait to be heard, or is too late."""
        if self._has_ended or len(self._queue) >= QUEUE_COUNT_MAX:
            return None
        reply: asyncio.Future[Written[T]] = asyncio.get_running_loop().create_future()
        accepting = cast("asyncio.Future[Written[object]]", reply)
        self._queue.append(_Request(plan, accepting, None, 1, caller, request_id))
        self._news.set()
        return reply

    def rehearse(
        self, plan: Callable[[Change], T], *, caller: Caller = NOBODY_ASKED
    ) -> tuple[T, Overlay]:
        """Carry out a plan on paper: what it comes to, and what it would change; raise Refused."""
        overlay = Overlay(self.graph)
        return plan(self._change(overlay, caller)), overlay

    async def run(self) -> None:
        """Write until cancelled; raise Fenced when another server took over."""
        try:
            await self._run()
        finally:
            self._has_ended = True
            while self._queue:
                _fail(self._queue.popleft(), _STOPPING)
            self._has_room.set()

    async def _run(self) -> None:
        if self.shared is None:
            await self._write_alone()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.shared.follow(), name="api-follow")
                group.create_task(self._write_shared(self.shared), name="api-write")
        finally:
            await self.shared.close()

    async def keep_fence(self, every_s: float = FENCE_CHECK_S) -> None:
        """Raise Fenced soon after the store was taken or closed, also when nobody writes.

        Otherwise a server would answer reads from a store that was moved away. Servers that
        share theirs follow every change of it, this one among them.
        """
        while self.shared is None:
            await asyncio.sleep(every_s)
            try:
                held = await self._store.get(persistence.FENCE)
            except StoreUnavailable as error:
                self._log.warning("store_unavailable", error=str(error))
                continue
            if held is None or held.mod_revision != self._fence:
                raise Fenced(_TAKEN)

    async def _write_shared(self, shared: SharedStore) -> None:
        while True:
            batch, weight = list[_Request](), 0
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            while weight < BATCH_WEIGHT_MAX and self._queue:
                batch.append(self._queue.popleft())
                weight += batch[-1].weight
            self._has_room.set()
            try:
                await self._carry_out_shared(shared, batch)
            finally:
                _fail_all(batch, _STOPPING)

    async def _write_alone(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                await self._plan_ahead(group)
        except BaseExceptionGroup as failed:
            # One commit is under way at a time, so there is one cause.
            raise failed.exceptions[0] from None

    async def _plan_ahead(self, group: asyncio.TaskGroup) -> None:
        """Plan what comes in on top of what is being committed; commit it when that is done."""
        under_way: asyncio.Task[bool] | None = None
        planned: _Planned | None = None
        while True:
            base = self.graph if under_way is None or planned is None else planned.overlay
            self.graph.bodies.trim()
            planned, batch = _Planned(Overlay(base)), list[_Request]()
            try:
                while under_way is not None or not batch:
                    self._news.clear()
                    if self._plan_waiting(planned, batch):
                        await asyncio.sleep(0)
                    elif under_way is not None or not batch:
                        await self._news.wait()
                    if under_way is not None and under_way.done():
                        if under_way.result():
                            planned.overlay.rest_on(self.graph)
                        else:
                            planned = self._plan(batch, self.graph)
                        under_way = None
            except BaseException:
                _fail_all(batch, _STOPPING)
                raise
            under_way = group.create_task(self._carry_out(planned, batch))

    def _plan_waiting(self, planned: _Planned, batch: list[_Request]) -> bool:
        """Add some of what waits in the queue to a batch; tell whether more may be added."""
        limit = min(planned.weight + SLICE_WEIGHT, BATCH_WEIGHT_MAX)
        while self._queue and planned.weight < limit:
            batch.append(self._queue.popleft())
            self._plan_request(planned, batch[-1])
        self._has_room.set()
        return bool(self._queue) and planned.weight < BATCH_WEIGHT_MAX

    async def keep_compact(self) -> None:
        """Have the store forget old history from time to time, until cancelled."""
        while True:
            await self.compact(asyncio.get_running_loop().time())
            await asyncio.sleep(COMPACT_EVERY_S)

    async def audit_pages(self, low: int, high: int) -> tuple[KeyValue, ...]:
        """Return the audit log's pages with these numbers, oldest first."""
        low = max(low, self.audit_head.base_number + 1)
        if high < low:
            return ()
        prefix = f"{audit.PAGES}{audit.CHAIN}/"
        start, count = audit.page_key(low), high - low + 1
        return (await self._store.range(prefix, start=start, limit=count)).items

    async def stored_at(self, type_name: str, uuid: str, revision: int) -> Document | None:
        """Return an object out of the store's own history; Refused 410 when that is discarded."""
        try:
            found = await self._store.get(persistence.object_key(type_name, uuid), revision)
        except Compacted:
            raise Refused(410, f"The store has discarded revision {revision}") from None
        return None if found is None else msgspec.json.decode(found.value, type=Document)

    async def _plan_audit_trim(self) -> None:
        """Note which pages of the audit log the next commit shall discard."""
        head = self.audit_head
        limit = head.number - audit.PAGES_COUNT_MAX
        if limit - head.base_number < audit.TRIM_STEP:
            return
        base = head.base_number + audit.TRIM_STEP
        pages = await self.audit_pages(base + 1, base + 1)
        if pages:
            following = msgspec.json.decode(pages[0].value, type=Page)
            self._audit_trim = Head(base_number=base, base_hash=following.previous)

    async def compact(self, now: float) -> None:
        """Discard the history that is old by now (monotonic seconds); writes go on meanwhile."""
        limit = self._history.discardable(now, self.revision)
        try:
            await self._plan_audit_trim()
            if limit is None:
                return
            await self._store.compact(limit)
        except StoreUnavailable as error:
            # The next round discards this history as well.
            self._log.warning("compaction_failed", error=str(error))
            return
        self._history.discarded(limit)
        self._log.info("history_compacted", up_to=limit, revision=self.revision)

    async def _ensure_defaults(self) -> None:
        while self.shared is not None:
            reads = Reads()
            planned = _Planned(Overlay(RecordedGraph(self.graph, reads, "")))
            change = self._change(planned.overlay, THE_SERVER, reads.new_uuid)
            change.by_system = True
            defaults.ensure(change)
            if planned.overlay.is_empty():
                return
            entry = audit.entry_of(self.schema, planned.overlay, Origin(THE_SERVER, change.now))
            planned.entries += [] if entry is None else [entry]
            await self._commit_shared(self.shared, planned, reads)
        overlay = Overlay(self.graph)
        change = self._change(overlay, THE_SERVER)
        change.by_system = True
        defaults.ensure(change)
        if not overlay.is_empty():
            entry = audit.entry_of(self.schema, overlay, Origin(THE_SERVER, change.now))
            await self._commit(overlay, None, [] if entry is None else [entry])

    def _change(
        self, view: Overlay, caller: Caller, new_uuid: Callable[[], str] | None = None
    ) -> Change:
        return Change(self.schema, view, timestamp(), new_uuid or fresh_uuid, caller)

    async def _carry_out(self, planned: _Planned, batch: list[_Request]) -> bool:
        """Commit and answer a batch whose base is the graph; tell whether it was committed."""
        self._answer_refused(planned)
        try:
            if not planned.overlay.is_empty():
                await self._commit(planned.overlay, planned.derived(), planned.entries)
            self._answer_accepted(planned, self.revision)
        except StoreUnavailable as error:
            self._answer_unavailable([each for each, *_ in planned.accepted], error)
            await self._check_still_ours()
            return False
        finally:
            _fail_all(batch, _STOPPING)
            self._news.set()
        return True

    def _plan(
        self, batch: list[_Request], base: View, new_uuid: Callable[[], str] | None = None
    ) -> _Planned:
        planned = _Planned(Overlay(base))
        for request in batch:
            self._plan_request(planned, request, new_uuid)
        return planned

    def _plan_request(
        self, planned: _Planned, request: _Request, new_uuid: Callable[[], str] | None = None
    ) -> None:
        planned.weight += request.weight
        if request.reply.cancelled():
            return
        layer = Overlay(planned.overlay)
        change = self._change(layer, request.caller, new_uuid)
        try:
            value = request.plan(change)
        except Refused as refusal:
            # Its traceback knows this frame, which knows the reply it goes to: a cycle otherwise.
            planned.refused.append((request, refusal.with_traceback(None)))
            return
        except Exception as error:  # The task boundary of one request inside the batch.
            self._log.exception("plan_failed", error=str(error))
            refusal = Refused(500, f"Internal error: {type(error).__name__}")
            planned.refused.append((request, refusal))
            return
        entry = audit.entry_of(self.schema, layer, _origin(request, change.now))
        planned.overlay.absorb(layer)
        planned.derived_from = request.derived_from or planned.derived_from
        planned.has_others |= request.derived_from is None and entry is not None
        place = None if entry is None else len(planned.entries)
        planned.entries += [] if entry is None else [entry]
        planned.accepted.append((request, value, tuple(change.ignored), place))

    async def _carry_out_shared(self, shared: SharedStore, batch: list[_Request]) -> None:
        """Plan and commit until nobody else was faster; fewer at a time the more often it fails."""
        self.graph.bodies.trim()
        waiting, conflicts, needed = batch, 0, None
        while waiting:
            part = waiting[: max(1, len(waiting) >> max(0, conflicts - SPLIT_AFTER))]
            planned_at, reads = self.revision, Reads()
            view = RecordedGraph(self.graph, reads, shared.server)
            planned = self._plan(part, view, reads.new_uuid)
            revision: int | None = planned_at
            try:
                if planned.refused and needed is None:
                    # What this copy has not heard of yet may be what the request relies on.
                    needed = await shared.read_index()
                if planned.refused and needed is not None and planned_at < needed:
                    await shared.reach(needed)
                    continue
                if not planned.overlay.is_empty():
                    revision = await self._commit_shared(shared, planned, reads)
            except StoreUnavailable as error:
                self._answer_unavailable(waiting, error)
                return
            if revision is None:
                shared.note_conflict(planned.overlay)
                conflicts += 1
                if conflicts == CONFLICTS_MAX:
                    self._answer_unavailable(waiting, StoreUnavailable(_TOO_BUSY))
                    return
                await asyncio.sleep(random.uniform(0, 0.001 * conflicts))
                continue
            self._answer_refused(planned)
            self._answer_accepted(planned, revision)
            waiting, conflicts = waiting[len(part) :], 0

    async def _commit_shared(
        self, shared: SharedStore, planned: _Planned, reads: Reads
    ) -> int | None:
        """Commit unless anything that was read has changed; None when it has."""
        overlay = planned.overlay
        transaction = persistence.transaction_of(self.graph, overlay, shared.fence)
        require(transaction, self.graph, overlay, reads)
        touch(transaction, self.graph, overlay, reads)
        shared.audit(transaction, planned.entries, self._audit_trim)
        derived = planned.derived()
        if derived is not None:
            transaction.put(persistence.DERIVED, persistence.derived_note(derived))
        revision = await shared.commit(transaction)
        if revision is not None:
            self._audit_trim = None
            persistence.stamp(self.graph, overlay, revision)
            self.batches_count += 1
            self.on_committed(planned.entries)
        return revision

    def _answer_refused(self, planned: _Planned) -> None:
        for request, refusal in planned.refused:
            self.refusals_count += 1
            _fail(request, refusal)

    def _answer_accepted(self, planned: _Planned, revision: int) -> None:
        self.healthy = True
        if self.traces is not None and planned.accepted and not planned.overlay.is_empty():
            asked_at = min(request.asked_at for request, *_ in planned.accepted)
            self.traces.written(self.feed.since(revision), revision, asked_at, planned.entries)
        for request, value, ignored, place in planned.accepted:
            self.writes_count += 1
            if not request.reply.done():
                name = "" if place is None else f"{revision}.{place}"
                request.reply.set_result(Written(value, revision, ignored, name))

    def _answer_unavailable(self, requests: list[_Request], error: StoreUnavailable) -> None:
        self.healthy = False
        self._log.warning("store_unavailable", error=str(error))
        for request in requests:
            _fail(request, Refused(503, "The configuration store is not available"))

    async def _commit(
        self, overlay: Overlay, derived: feed.Derived | None, entries: list[Entry]
    ) -> None:
        transaction = persistence.transaction_of(self.graph, overlay, self._fence)
        writing = audit.writing_of(self.audit_head, entries, self.revision, self._audit_trim)
        for key, value in writing.puts:
            transaction.put(key, value)
        for key in writing.deletes:
            transaction.delete(key)
        if derived is not None:
            transaction.put(persistence.DERIVED, persistence.derived_note(derived))
        try:
            result = await transaction.commit(self._store)
        except ValueError as error:
            raise StoreUnavailable(f"the store cannot keep this: {error}") from error
        if not result.succeeded:
            raise Fenced(_TAKEN)
        self._audit_head, self._audit_trim = writing.head, None
        persistence.stamp(self.graph, overlay, result.revision)
        batch = feed.batch_of(self.graph, overlay, result.revision, writing.head.mark, derived)
        self.graph.absorb(overlay)
        self.batches_count += 1
        self.feed.publish(batch)
        self.on_committed(entries)

    async def _check_still_ours(self) -> None:
        """After a failed commit: end the process if the store took it after all."""
        try:
            revision = await self._store.revision()
        except StoreUnavailable:
            # Should it have taken it, the next commit finds other revisions and ends the process.
            return
        if revision != self.revision:
            raise Fenced("the store holds writes this server does not know of")


def _nobody_listens(entries: Sequence[Entry]) -> None:
    """Do nothing."""


def _origin(request: _Request, now: str) -> Origin:
    return Origin(request.caller, now, request.request_id, request.derived_from)


def _fail_all(requests: list[_Request], refusal: Refused) -> None:
    for request in requests:
        _fail(request, refusal)


def _fail(request: _Request, refusal: Refused) -> None:
    if not request.reply.done():
        request.reply.set_exception(refusal)


async def _take_fence(store: ConfigStore) -> int:
    """Become the writer: whoever held the key before can no longer commit."""
    result = await store.transact((), (Put(persistence.FENCE, str(uuid4()).encode()),))
    return result.revision


async def _load(schema: Schema, store: ConfigStore, *, shared: bool = False) -> tuple[Graph, int]:
    """Read everything as of one revision.

    What is read stays, so the collector need not look for garbage in it, now or later.
    """
    gc.disable()
    try:
        graph, revision = await _read_everything(schema, store, shared=shared)
        gc.freeze()
        return graph, revision
    finally:
        gc.enable()


async def _read_everything(
    schema: Schema, store: ConfigStore, *, shared: bool
) -> tuple[Graph, int]:
    loader = persistence.Loader(persistence.head_reader(schema), shared=shared)
    revision: int | None = None
    for prefix in (
        persistence.OBJECTS, persistence.SIDES, persistence.NUMBERS, persistence.NOTES,
        *((persistence.GUARDS,) if shared else ()),
    ):  # fmt: skip
        start: str | None = None
        while True:
            page = await store.range(prefix, start=start, limit=LOAD_PAGE, revision=revision)
            revision = page.revision
            for item in page.items:
                loader.feed(item)
            start = page.next_start
            if start is None:
                break
    return loader.finish(), revision or 0
