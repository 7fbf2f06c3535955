"""The compiler as a running unit: follow the configuration, keep what is derived from it.

```
 client.watch --> _follow --> Inbox --> _compile: Engine.apply --> plan --> client.transaction
                                ^                                              |
                                +------------- echo of the own revision <------+
```
Two tasks share one Inbox; nothing is queued beyond it. ``_compile`` sends the next transaction only
after the echo of the last one arrived, so it never decides on a state it has already changed;
whatever happens meanwhile is compiled as one batch. Killing the process at any point loses nothing:
a start reads everything, compares everything, and writes the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from skytrail.client import ApiError, ApiUnavailable, RevisionEnd, TransactionReply, WatchEvent
from skytrail.compiler import emit, transactions
from skytrail.compiler.derive_traces import DeriveTraces
from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Write
from skytrail.compiler.engine import Engine
from skytrail.compiler.inbox import Changes, Inbox, Snapshot
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.policy_sets import PortPolicySets
from skytrail.compiler.transactions import Group
from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import Clock

ROUNDS_COUNT_MAX: Final = 3
"""So often a refused plan, or object, is decided again because changes came."""
TROUBLES_COUNT_MAX: Final = 10_000
"""Told to the API at most."""
REPEATS_COUNT_MAX: Final = 5
"""The same write of the same object so often in a row means the store does not keep it as sent."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the service waits for what, in seconds."""

    coalesce_s: float = 0.005
    """Shortest time between two transactions; the first change after a pause never waits."""
    news_s: float = 0.05
    """For changes on their way, when a write was refused."""
    echo_s: float = 2.0
    """For the echo of an own write, before the comparison goes on without it."""
    refused_retry_s: float = 10.0


class Api(Protocol):
    """What the service needs of the API client."""

    @property
    def watching(self) -> bool: ...

    async def transaction(
        self, operations: Sequence[Mapping[str, object]], derived_from: int | None = None
    ) -> TransactionReply: ...

    def watch(self, types: Sequence[str]) -> AsyncIterator[WatchEvent]: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write the API refused, kept until it succeeds or is no longer wanted."""

    key: DerivedKey
    status: int
    text: str
    revision: int


class CompilerService:
    """Owns the engine and the two tasks; :meth:`run` ends only by failure or cancellation."""

    def __init__(
        self,
        api: Api,
        clock: Clock,
        *,
        pace: Pace | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api
        self._clock = clock
        self._pace = Pace() if pace is None else pace
        self._sleep = sleep
        self._inbox = Inbox()
        self._wake = asyncio.Event()
        self._leading = True
        self._dirty: set[DerivedKey] = set()
        self._last_commit_at = float("-inf")
        self._refused_rounds = 0
        self._decided_again: dict[DerivedKey, int] = {}
        self._repeats: dict[DerivedKey, tuple[Write, int]] = {}
        self._log = structlog.get_logger("skytrail.compiler")
        self.engine = Engine(ALL_PASSES)
        self.tracing: DeriveTraces | None = None
        self.refusals: dict[DerivedKey, Refusal] = {}
        self.seen_revision: int | None = None
        """The configuration revision the engine's answer belongs to; None before the first."""
        self.reported_revision = 0
        """The last revision whose consequences were all written when somebody asked."""
        self.committed_revision: int | None = None
        """The last revision this process wrote."""
        self.waiting_since: float | None = None
        """When the oldest change not yet compiled and written was seen."""
        self.transactions_count = 0
        self.writes_count = 0

    @property
    def pending(self) -> frozenset[DerivedKey]:
        return frozenset(self._dirty)

    @property
    def inbox(self) -> Inbox:
        return self._inbox

    @property
    def leading(self) -> bool:
        """Whether this process writes; one that does not still follows and computes everything."""
        return self._leading

    def lead(self, leading: bool) -> None:
        """Begin or cease to write; what is not as computed is written first."""
        self._leading = leading
        self._wake.set()

    def unmet(self) -> list[str]:
        """Return what the service waits for, for the health page."""
        found: list[str] = []
        if not self._api.watching:
            found.append("api watch")
        if self.seen_revision is None:
            found.append("configuration snapshot")
        return found

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="compiler-follow")
            group.create_task(self._compile(), name="compiler-compile")

    async def _follow(self) -> None:
        kinds = sorted(self.engine.input_kinds | emit.OUTPUT_KINDS)
        async for event in self._api.watch(kinds):
            if self.tracing is not None and isinstance(event, RevisionEnd):
                self.tracing.arrived(event, self._clock.now())
            if self._inbox.add(event):
                if self.waiting_since is None:
                    self.waiting_since = self._clock.now()
                self._wake.set()

    async def _compile(self) -> None:
        delays = Backoff(first_s=0.05, maximum_s=2.0)
        while True:
            await self._wait_for_work()
            self._absorb()
            try:
                await self._commit_dirty()
            except ApiUnavailable as error:
                delay_s = delays.next_delay_s()
                self._log.warning("commit_postponed", reason=str(error), delay_s=round(delay_s, 2))
                await self._sleep(delay_s)
                self._wake.set()
                continue
            delays.reset()
            if not self._wake.is_set():
                self.waiting_since = None

    async def _wait_for_work(self) -> None:
        """Return when there may be something to do, not sooner than the pace allows."""
        try:
            async with asyncio.timeout(self._pace.refused_retry_s if self.refusals else None):
                await self._wake.wait()
        except TimeoutError:
            self._dirty.update(self.refusals)
        pause_s = self._last_commit_at + self._pace.coalesce_s - self._clock.now()
        if pause_s > 0:
            await self._sleep(pause_s)
        self._wake.clear()

    def _absorb(self) -> None:
        """Bring the engine up to the last complete revision and note what to compare."""
        match self._inbox.take():
            case None:
                return
            case Snapshot(items, revision):
                self.engine.load(items)
                self._dirty = emit.all_keys(self.engine)
                self._log.info("snapshot_compiled", revision=revision, objects=len(items))
            case Changes(changes, revision):
                self._dirty |= emit.apply(self.engine, changes)
        self.seen_revision = revision

    async def _commit_dirty(self) -> None:
        if self.seen_revision is None:
            return
        writes = emit.plan(self.engine, self._dirty)
        settled = self._dirty - {write.key for write in writes}
        self._dirty -= settled
        for key in settled:
            self.refusals.pop(key, None)
            self._repeats.pop(key, None)
            self._decided_again.pop(key, None)
        if not self._leading:
            if self.tracing is not None:
                self.tracing.forget()
            return
        if not writes and self.tracing is not None:
            self.tracing.done(self.seen_revision, None, 0, self._clock.now())
        writes = [write for write in writes if not self._is_in_vain(write)]
        for run in transactions.transactions(transactions.groups(writes)):
            await self._commit_or_isolate(run)
            # The state may have moved on meanwhile, so the rest is planned again.
            if self._dirty:
                self._wake.set()
            return

    def _is_in_vain(self, write: Write) -> bool:
        """Put aside a write that was done before and does not stick, until the next retry."""
        known, count = self._repeats.get(write.key, (None, 0))
        if known != write or count < REPEATS_COUNT_MAX:
            return False
        self._repeats[write.key] = (write, 0)
        error = ApiError(200, "the API accepts the write but does not keep it as sent")
        self._note_refusal((write,), error)
        return True

    async def _commit_or_isolate(self, run: Sequence[Group]) -> None:
        """Write groups as one transaction; find out which ones the API refuses, skip only those.

        A refusal may be due to changes that are on their way: then nothing is noted, the objects
        stay dirty and the next round decides again. That is bounded, so a write that is refused
        for good is found under any stream of changes.
        """
        planned_at = self.seen_revision
        if await self._commit(run) is None:
            self._refused_rounds = 0
        elif self._refused_rounds < ROUNDS_COUNT_MAX and await self._news():
            self._refused_rounds += 1
            self._wake.set()
        else:
            await self._isolate(run, planned_at)

    async def _isolate(self, run: Sequence[Group], planned_at: int | None) -> None:
        """Halve until what the API refuses is alone; stop when the plan has become old."""
        middle = max(len(run) // 2, 1)
        for part in (run[:middle], run[middle:]):
            if not part or self.seen_revision != planned_at:
                continue
            error = await self._commit(part)
            if error is None:
                continue
            if len(part) > 1:
                await self._isolate(part, planned_at)
            elif not self._may_be_old(part[0]):
                self._note_refusal(part[0], error)

    async def _commit(self, run: Sequence[Group]) -> ApiError | None:
        """Write groups as one transaction and await its echo, or return the refusal."""
        writes = [write for group in run for write in group]
        self._last_commit_at = self._clock.now()
        operations = [emit.as_operation(write) for write in writes]
        try:
            reply = await self._api.transaction(operations, derived_from=self.seen_revision)
        except ApiError as error:
            return error
        self._note_success(writes, reply.revision)
        await self._wait_for_echo(reply.revision)
        return None

    def _may_be_old(self, group: Group) -> bool:
        """Whether changes wait that may explain a refusal; so often only for one object."""
        key = group[0].key
        count = self._decided_again.pop(key, 0)
        if count >= ROUNDS_COUNT_MAX or not self._wake.is_set():
            return False
        self._decided_again[key] = count + 1
        return True

    def _note_success(self, writes: Sequence[Write], revision: int) -> None:
        self.transactions_count += 1
        self.writes_count += len(writes)
        self.committed_revision = revision
        if self.tracing is not None and self.seen_revision is not None:
            self.tracing.done(self.seen_revision, revision, len(writes), self._clock.now())
        for write in writes:
            known, count = self._repeats.get(write.key, (None, 0))
            self._repeats[write.key] = (write, count + 1 if known == write else 1)
            self._dirty.discard(write.key)
            self.refusals.pop(write.key, None)
            self._decided_again.pop(write.key, None)
        self._log.info(
            "derived_committed",
            revision=revision,
            derived_from=self.seen_revision,
            writes=len(writes),
        )

    def _note_refusal(self, group: Group, error: ApiError) -> None:
        for write in group:
            known = self.refusals.get(write.key)
            refusal = Refusal(write.key, error.status, error.text, self.seen_revision or 0)
            self.refusals[write.key] = refusal
            self._dirty.discard(write.key)
            if known is None or known.text != refusal.text:
                self._log.error(
                    "derived_write_refused",
                    object=str(write.key),
                    operation=type(write).__name__.lower(),
                    status=error.status,
                    reason=error.text,
                    revision=self.seen_revision,
                )

    async def _news(self) -> bool:
        """Wait a moment for changes that are on their way; tell whether some came."""
        try:
            async with asyncio.timeout(self._pace.news_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _wait_for_echo(self, revision: int) -> None:
        """Wait until the own write came back and is part of the engine's intent."""
        deadline = self._clock.now() + self._pace.echo_s
        while self.seen_revision is None or self.seen_revision < revision:
            rest_s = deadline - self._clock.now()
            try:
                async with asyncio.timeout(max(rest_s, 0)):
                    await self._wake.wait()
            except TimeoutError:
                self._log.warning("echo_missing", revision=revision, seen=self.seen_revision)
                return
            self._wake.clear()
            self._absorb()


def report_of(service: CompilerService) -> dict[str, object] | None:
    """Return how far the compiler is and what it could not do, for the API; None before a snapshot."""
    if service.seen_revision is None:
        return None
    # What is derived from a revision counts as done when it is written, not when it is seen.
    done = service.seen_revision if not service.pending else service.reported_revision
    service.reported_revision = done
    troubles = list(_trouble_rows(service))
    return {"kind": "compiler", "revision": done, "troubles": troubles[:TROUBLES_COUNT_MAX]}


def _trouble_rows(service: CompilerService) -> Iterable[dict[str, object]]:
    for violation in [*service.inbox.unreadable(), *service.engine.violations()]:
        yield {
            "type": violation.type_name,
            "fq_name": list(violation.fq_name),
            "reason": violation.reason,
            "detail": violation.detail,
        }
    for key in sorted(service.refusals):
        yield {
            "type": key.type_name,
            "fq_name": list(key.fq_name),
            "reason": "write_refused",
            "detail": service.refusals[key].text[:512],
        }


def tables(service: CompilerService) -> dict[str, Callable[[], Iterable[object]]]:
    """Return the introspection tables."""
    return {
        "derived": lambda: _derived_rows(service),
        "violations": lambda: _violation_rows(service),
        "refused": lambda: _refusal_rows(service),
        "passes": lambda: _pass_rows(service),
        "policy_sets": lambda: _policy_set_rows(service),
        "objects": lambda: [
            {"type": name, "count": count} for name, count in service.engine.intent.counts().items()
        ],
        "revision": lambda: [
            {
                "seen": service.seen_revision,
                "committed": service.committed_revision,
                "pending": len(service.pending),
                "leading": service.leading,
                "transactions": service.transactions_count,
                "writes": service.writes_count,
            }
        ],
    }


def _derived_rows(service: CompilerService) -> Iterable[object]:
    pending = service.pending
    for key in service.engine.wanted_keys():
        refusal = service.refusals.get(key)
        state = "refused" if refusal else "pending" if key in pending else "in sync"
        yield {
            "type": key.type_name,
            "fq_name": ":".join(key.fq_name),
            "state": state,
            "inputs": [
                f"{item.type_name} {':'.join(item.fq_name)}"
                for item in service.engine.provenance(key)
            ],
        }


def _violation_rows(service: CompilerService) -> Iterable[object]:
    for violation in [*service.inbox.unreadable(), *service.engine.violations()]:
        yield {
            "type": violation.type_name,
            "fq_name": ":".join(violation.fq_name),
            "reason": violation.reason,
            "detail": violation.detail,
        }


def _refusal_rows(service: CompilerService) -> Iterable[object]:
    for key in sorted(service.refusals):
        refusal = service.refusals[key]
        yield {
            "type": key.type_name,
            "fq_name": ":".join(key.fq_name),
            "status": refusal.status,
            "text": refusal.text,
            "revision": refusal.revision,
        }


def _policy_set_rows(service: CompilerService) -> Iterable[object]:
    """Yield every tagged or guarded port with its tags and the sets it obeys, in order."""
    for found in service.engine.values("port_policy_sets", PortPolicySets):
        yield {"port": found.port, "tags": list(found.tags), "sets": list(found.sets)}


def _pass_rows(service: CompilerService) -> Iterable[object]:
    for name, counts in service.engine.statistics().items():
        yield {"pass": name, **counts}
