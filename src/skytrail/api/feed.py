"""What watchers get to know: committed batches, kept for a while so that they can resume.

A batch is one store transaction. Subscribers have bounded queues: whoever falls behind is cut off
and comes back with the revision it knows, rather than holding memory for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.graph import Graph, Overlay, Record

BATCHES_COUNT_MAX = 20_000
KEPT_BYTES_MAX = 128 * 1024 * 1024
QUEUE_BATCHES_MAX = 5_000
QUEUE_BYTES_MAX = 64 * 1024 * 1024


class Event(msgspec.Struct, frozen=True):
    """One object's change; ``record`` is the last version in case of a removal."""

    kind: str
    """create, update or delete."""
    record: Record
    previous_permissions: Document | None = None
    """The perms2 before an update that changed them: who loses sight is told of a removal."""

    @property
    def type_name(self) -> str:
        return self.record.type_name


class Derived(msgspec.Struct, frozen=True):
    """That the compiler wrote in a revision; ``is_mixed``: so did others."""

    from_revision: int
    is_mixed: bool = False


class Batch(msgspec.Struct, frozen=True):
    revision: int
    events: tuple[Event, ...]
    size: int
    """Bytes of the encoded objects, which is what keeping the batch costs."""
    history: str = ""
    """Stands for everything up to this revision: the end of the audit log's chain of hashes."""
    derived: Derived | None = None
    """Where the compiler wrote it, or part of it."""


def batch_of(
    base: Graph, plan: Overlay, revision: int, history: str, derived: Derived | None = None
) -> Batch:
    """Return the events of a plan that is about to be absorbed; removals come last."""
    events: list[Event] = []
    removed: list[Event] = []
    for uuid, record in plan.changed.items():
        previous = base.get(uuid)
        if record is None:
            if previous is not None:
                removed.append(Event("delete", previous))
            continue
        kind = "create" if previous is None else "update"
        if previous is not None and previous.type_name != record.type_name:
            # The uuid of a deleted object came back within one commit, as another type.
            events.append(Event("delete", previous))
            kind = "create"
        was = None
        if previous is not None and kind == "update":
            former = documents.section(previous.body, "perms2")
            was = former if former != record.body.get("perms2") else None
        events.append(Event(kind, record, was))
    size = sum(len(event.record.stored) for event in (*events, *removed))
    return Batch(revision, (*events, *removed), size, history, derived)


@dataclass(slots=True, eq=False)
class Subscription:
    """One watcher's queue."""

    wake: Callable[[], None]
    queue: deque[Batch] = field(default_factory=deque[Batch])
    queued_bytes: int = 0
    overrun: bool = False

    def put(self, batch: Batch) -> None:
        """Queue a batch, or note that the reader is too slow for it."""
        full = len(self.queue) >= QUEUE_BATCHES_MAX or self.queued_bytes > QUEUE_BYTES_MAX
        if full:
            self.overrun = True
        else:
            self.queue.append(batch)
            self.queued_bytes += batch.size
        self.wake()

    def take(self) -> list[Batch]:
        """Return everything queued."""
        batches = list(self.queue)
        self.queue.clear()
        self.queued_bytes = 0
        return batches


class Feed:
    """Recent batches and who wants to hear of new ones."""

    def __init__(self, revision: int, first: int | None = None, history: str = "") -> None:
        self.revision = revision
        self.history = history
        """What stands for everything up to ``revision``."""
        self._first = revision + 1 if first is None else first
        """The first revision that can still be replayed."""
        self._history_before = history
        """The same for the revision before the first batch here."""
        self._batches: deque[Batch] = deque()
        self._kept_bytes = 0
        self._subscriptions: set[Subscription] = set()

    @property
    def watchers_count(self) -> int:
        return len(self._subscriptions)

    def publish(self, batch: Batch) -> None:
        """Hand a committed batch to everybody."""
        self.revision, self.history = batch.revision, batch.history
        self._batches.append(batch)
        self._kept_bytes += batch.size
        while len(self._batches) > BATCHES_COUNT_MAX or self._kept_bytes > KEPT_BYTES_MAX:
            oldest = self._batches.popleft()
            self._kept_bytes -= oldest.size
            self._first, self._history_before = oldest.revision + 1, oldest.history
        for subscription in self._subscriptions:
            subscription.put(batch)

    def advance(self, revision: int) -> None:
        """Note a revision that concerns no watcher."""
        self.revision = revision

    def since(self, revision: int, history: str = "") -> list[Batch] | None:
        """Return the batches from that revision on; None when they are no longer all here.

        Neither are they when another ``history`` than ours led there: a store that was restored
        counts on from where its backup was made.
        """
        if not self._first <= revision <= self.revision + 1:
            return None
        missed: list[Batch] = []
        ours = self._history_before
        for batch in self._batches:
            if batch.revision >= revision:
                missed.append(batch)
            else:
                ours = batch.history
        return missed if history in {"", ours} else None

    def subscribe(self, wake: Callable[[], None]) -> Subscription:
        """Register a watcher; it gets every batch published from now on."""
        subscription = Subscription(wake)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)


def put_line(record: Record, revision: int) -> bytes:
    """Return the native watch line of a present object."""
    head = f'{{"kind":"put","type":"{record.type_name}","uuid":"{record.uuid}",'
    return head.encode() + b'"revision":%d,"object":' % revision + record.encode() + b"}\n"


def lines_of(
    batch: Batch, types: frozenset[str], fits: Callable[[Record], bool] | None = None
) -> bytes:
    """Return the native watch lines of a batch; no types named means all.

    An updated object that does not fit is told as removed, since it may have fitted before.
    """
    lines: list[bytes] = []
    for event in batch.events:
        if types and event.type_name not in types:
            continue
        left_out = fits is not None and not fits(event.record)
        if left_out and event.kind == "create":
            continue
        if left_out or event.kind == "delete":
            line: dict[str, object] = {
                "kind": "delete",
                "type": event.type_name,
                "uuid": event.record.uuid,
                "fq_name": event.record.fq_name,
                "revision": batch.revision,
            }
            lines.append(msgspec.json.encode(line) + b"\n")
        else:
            lines.append(put_line(event.record, batch.revision))
    lines.append(end_line("revision_end", batch.revision, batch.history, batch.derived))
    return b"".join(lines)


def end_line(kind: str, revision: int, history: str, derived: Derived | None = None) -> bytes:
    """Return a native watch line after which a reader may resume."""
    more = ""
    if derived is not None:
        more = f',"derived_from":{derived.from_revision}' + ',"mixed":true' * derived.is_mixed
    return f'{{"kind":"{kind}","revision":{revision},"history":"{history}"{more}}}\n'.encode()
