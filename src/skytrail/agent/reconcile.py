"""Desired rows to installed rows: a diff, in an order that never leaves a dangling reference.

What was read from the kernel or written by us is believed until ``resync`` reads it again.
After a refused write nothing is believed and the next run reads everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from skytrail.agent.adoption import meanwhile
from skytrail.agent.ledger import Changes
from skytrail.agent.plugin import Datapath, TableFullError
from skytrail.agent.tables import (
    ROW_TYPES,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    Row,
)

TableRows = Mapping[type[Row], Mapping[object, Row]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write. ``held`` counts deletes put off until the desired state is complete; ``full``
    tells of rows that had no room, with everything else written.
    """

    puts: tuple[Row, ...] = ()
    deletes: tuple[Row, ...] = ()
    held: int = 0
    full: TableFullError | None = None

    def require_room(self) -> None:
        """Raise ``full``, if it is."""
        if self.full is not None:
            raise self.full


def plan(
    desired: TableRows,
    actual: TableRows,
    *,
    complete: bool,
    keys: Mapping[type[Row], Iterable[object]] | None = None,
) -> Plan:
    """Return the difference: puts in table order, deletes in reverse order.

    ``keys``: where alone the two may differ; None: anywhere.

    Until the desired state is ``complete`` (after a restart) nothing is deleted, and rows are put
    as :func:`meanwhile` has them: configuration and routes may still be coming.
    """
    nexthops = desired.get(NextHopRow, {})

    def is_local(nexthop_id: NextHopId) -> bool:
        row = nexthops.get(nexthop_id)
        return isinstance(row, NextHopRow) and row.kind is NextHopKind.INTERFACE

    puts: list[Row] = []
    held = 0
    deletes: list[Row] = []
    for kind in ROW_TYPES:
        wanted, present = desired.get(kind, {}), actual.get(kind, {})
        for key in wanted if keys is None else keys.get(kind, ()):
            row, old = wanted.get(key), present.get(key)
            # Rows of unchanged ports are the same objects: no need to compare their fields.
            if row is None or old is row or old == row:
                continue
            put = row if complete else meanwhile(row, old, is_local)
            held += put != row
            if put != old:
                puts.append(put)
    for kind in reversed(ROW_TYPES):
        wanted, present = desired.get(kind, {}), actual.get(kind, {})
        looked_at = present if keys is None else keys.get(kind, ())
        gone = [present[key] for key in looked_at if key in present and key not in wanted]
        if complete:
            deletes += gone
        else:
            held += len(gone)
    return Plan(tuple(puts), tuple(deletes), held)


@dataclass(slots=True)
class ReconcileStatistics:
    runs: int = 0
    puts: int = 0
    deletes: int = 0
    held: int = 0
    failures: int = 0
    drift: int = 0
    """Rows that differed from what we believed when we read them again."""
    last_error: str = ""


class Reconciler:
    """Owns what is believed to be installed. Called from one thread at a time."""

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        self._actual: dict[type[Row], dict[object, Row]] | None = None
        self._attached: set[int] = set()
        self._before: frozenset[int] = frozenset()
        """What another version carries, until it is retired."""
        self._retired = False
        self._version: int | None = None
        """Of the desired state that is installed whole; None when none is."""
        self.statistics = ReconcileStatistics()

    def adopt(self) -> dict[type[Row], dict[object, Row]]:
        """Read every table; raises ``OSError``."""
        actual: dict[type[Row], dict[object, Row]] = {
            kind: {row.key: row for row in self._datapath.dump(kind)} for kind in ROW_TYPES
        }
        self._actual = actual
        self._version = None
        if not self._retired:
            self._before = self._datapath.carried_before()
        return actual

    @property
    def takes_over(self) -> bool:
        """Another version still carries interfaces."""
        return bool(self._before)

    def run(self, desired: TableRows, *, complete: bool, changes: Changes | None = None) -> Plan:
        """Bring the datapath to the desired state; raises ``OSError`` when it refuses, but for rows
        without room, of which the plan that is returned tells.

        O(changes) when the desired state before those changes is what was installed last.
        """
        self.statistics.runs += 1
        keys = changes.rows if changes is not None and changes.follow(self._version) else None
        self._version = None
        try:
            actual = self._actual if self._actual is not None else self.adopt()
            todo = plan(desired, actual, complete=complete, keys=keys)
            if todo.puts or todo.deletes:
                todo = self._apply(todo)
            # New ports forward by what is there; another version is not retired for less than all.
            if todo.full is None or not self._before:
                self._attach(desired, complete=complete)
        except OSError as error:
            self._actual = None
            self.statistics.failures += 1
            self.statistics.last_error = str(error)
            raise
        if todo.full is not None:
            self._actual = None
            self.statistics.failures += 1
            self.statistics.last_error = str(todo.full)
            return todo
        for row in todo.deletes:
            actual[type(row)].pop(row.key, None)
        for row in todo.puts:
            actual[type(row)][row.key] = row
        self.statistics.puts += len(todo.puts)
        self.statistics.deletes += len(todo.deletes)
        self.statistics.held = todo.held
        self._version = changes.version if changes is not None and not todo.held else None
        return todo

    def _apply(self, todo: Plan) -> Plan:
        try:
            self._datapath.apply(todo.puts, todo.deletes)
        except TableFullError as error:
            return replace(todo, full=error)
        return todo

    def resync(self, desired: TableRows, *, complete: bool) -> int:
        """Read everything again and repair; return how many rows had drifted."""
        believed = self._actual
        actual = self.adopt()
        drift = 0
        if believed is not None:
            drift = sum(_differences(believed[kind], actual[kind]) for kind in ROW_TYPES)
        self.statistics.drift += drift
        self.run(desired, complete=complete).require_room()
        return drift

    def _attach(self, desired: TableRows, *, complete: bool) -> None:
        """Attach what is new, detach what is gone.

        An interface that another version carries stays with that one's whole tables until these
        are whole, too.
        """
        rows = desired.get(InterfaceRow, {}).values()
        interfaces = {
            ifindex
            for row in rows
            if isinstance(row, InterfaceRow)
            for ifindex in (row.ifindex, *row.further_links)
        }
        for ifindex in sorted(self._attached - interfaces):
            self._detach(ifindex)
        fresh = interfaces - self._attached
        waiting = self._before if not complete else frozenset[int]()
        for ifindex in sorted(fresh - waiting):
            try:
                self._datapath.attach(ifindex)
            except OSError as error:
                # The link vanished between two looks; the link monitor tells soon.
                self.statistics.failures += 1
                self.statistics.last_error = f"attach {ifindex}: {error}"
            else:
                self._attached.add(ifindex)
        if complete and not self._retired and interfaces <= self._attached:
            self._datapath.retire_before()
            self._before, self._retired = frozenset(), True

    def _detach(self, ifindex: int) -> None:
        """Take the program off an unplugged interface; a link that is gone is no error."""
        self._attached.discard(ifindex)
        try:
            self._datapath.detach(ifindex)
        except OSError as error:
            self.statistics.last_error = f"detach {ifindex}: {error}"


def _differences(one: Mapping[object, Row], other: Mapping[object, Row]) -> int:
    return sum(one.get(key) != other.get(key) for key in one.keys() | other.keys())
