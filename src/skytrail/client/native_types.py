"""What the native API answers beside objects: plans, history, change sets, status."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class _Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Members that a newer API answers beside these are skipped."""


class FieldChange(_Reply, frozen=True):
    """One member of an object that changes; UNSET where there was or will be none."""

    path: str
    """A JSON pointer."""
    before: object | UnsetType = msgspec.field(name="from", default=UNSET)
    after: object | UnsetType = msgspec.field(name="to", default=UNSET)


class ObjectChange(_Reply, frozen=True):
    """What becomes of one object."""

    op: str
    """create, update or delete."""
    type: str
    fq_name: tuple[str, ...]
    uuid: str = ""
    fields: tuple[FieldChange, ...] = ()
    content: dict[str, object] | None = msgspec.field(default=None, name="object")
    """The whole of an object that is created or, in the history, deleted."""


class Reach(_Reply, frozen=True):
    """Who may reach whom differently: the allowed traffic in words."""

    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class Host(_Reply, frozen=True):
    """A host whose datapath changes."""

    host: str
    interfaces: int


class PlanViolation(_Reply, frozen=True):
    """What the compiler could not carry out."""

    type: str
    fq_name: tuple[str, ...]
    reason: str
    detail: str = ""


class Overtaken(_Reply, frozen=True):
    """An operation of a change set whose object somebody has changed since."""

    pointer: str
    detail: str


class Plan(_Reply, frozen=True):
    """What operations would change, as of ``revision``; lists are cut at 500, counts are whole."""

    revision: int
    changes: tuple[ObjectChange, ...] = ()
    derived: tuple[ObjectChange, ...] = ()
    derived_count: int = 0
    derived_unknown: str = ""
    """Why nothing is known of what is derived."""
    reachability: tuple[Reach, ...] = ()
    reachability_count: int = 0
    hosts: tuple[Host, ...] = ()
    hosts_count: int = 0
    interfaces_count: int = 0
    violations: tuple[PlanViolation, ...] = ()
    conflicts: tuple[Overtaken, ...] = ()
    """Of a change set under review."""


class Rehearsal(_Reply, frozen=True):
    """What a write would change of what people configure."""

    revision: int
    changes: tuple[ObjectChange, ...] = ()


class Result(_Reply, frozen=True):
    """What one operation came to: created, changed, unchanged or deleted."""

    uuid: str
    result: str = ""


class Commit(_Reply, frozen=True):
    """What was written: its revision, its name in the history, and a result per operation."""

    revision: int
    change: str = ""
    results: tuple[Result, ...] = ()


class HistoryEntry(_Reply, frozen=True):
    """One change: who made it, when, and what it did to which objects."""

    change: str
    revision: int
    at: str
    by: str
    operations: tuple[ObjectChange, ...] = ()
    request_id: str = ""
    derived_from: int | None = None
    """The revision the compiler derived this from; None for what people changed."""


class HistoryPage(_Reply, frozen=True):
    entries: tuple[HistoryEntry, ...]
    next: str | None = None


class Verification(_Reply, frozen=True):
    """Whether the chain of the audit log holds, and where not."""

    valid: bool
    fault: str | None = None
    pages: int = 0


class StagedOperation(_Reply, frozen=True):
    """An operation of a change set and the revision of its object when it was added."""

    op: str
    type: str
    base: int
    uuid: str | None = None
    name: str | tuple[str, ...] | None = None
    content: dict[str, object] | None = msgspec.field(default=None, name="object")


class ChangeSet(_Reply, frozen=True):
    """Operations gathered to be committed together; a listed one has only their number."""

    id: str
    title: str
    author: str
    created: str
    operations: tuple[StagedOperation, ...] = ()
    operations_count: int | None = None


class ChangeSetList(_Reply, frozen=True):
    change_sets: tuple[ChangeSet, ...]


class HostState(_Reply, frozen=True):
    host: str
    state: str


class Condition(_Reply, frozen=True):
    """One step on the way of an object's last change: accepted to programmed."""

    type: str
    status: str
    """true, false or unknown."""
    reason: str
    detail: str = ""
    hosts: tuple[HostState, ...] = ()
    hosts_ready: int | None = None
    hosts_count: int | None = None


class Status(_Reply, frozen=True):
    """How far the last change of an object has come."""

    uuid: str
    revision: int
    conditions: tuple[Condition, ...]

    def condition(self, kind: str) -> Condition | None:
        return next((each for each in self.conditions if each.type == kind), None)

    @property
    def is_complete(self) -> bool:
        """Whether every condition is true."""
        return all(each.status == "true" for each in self.conditions)
