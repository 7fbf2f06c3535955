"""The same table of many processes as one, each row with who shows it; who does not is named. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from skytrail.wire.telemetry import Hello

ROWS_COUNT_DEFAULT: Final = 10_000
BYTES_MAX: Final = 64 << 20
"""Of all answers together."""
NODE: Final = "node"
PROCESS: Final = "process"
_NOT_FOUND: Final = 404


class _Table(msgspec.Struct, frozen=True):
    rows: list[dict[str, object]]
    total: int


class _Tables(msgspec.Struct, frozen=True):
    tables: list[str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which processes are asked: names of nodes and of processes, all where none is named."""

    nodes: frozenset[str] = frozenset()
    processes: frozenset[str] = frozenset()

    def takes(self, hello: Hello) -> bool:
        """``agent`` is any process whose name ends so, ``contrail-vrouter-agent`` the one."""
        return (not self.nodes or hello.source in self.nodes) and (
            not self.processes
            or any(
                hello.module == name or hello.module.endswith(f"-{name}") for name in self.processes
            )
        )


@dataclass(frozen=True, slots=True)
class Shown:
    """What one process answered: a status as of HTTP, or 0 and why there is none."""

    who: Hello
    status: int
    body: bytes


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """One table of all. ``failures`` lack in it; ``asked`` is how many processes have it."""

    table: str
    rows: Sequence[Mapping[str, object]]
    total: int
    """Rows there are; more than ``rows`` when a limit cut some."""
    asked: int
    failures: Sequence[Mapping[str, str]]


def gather(table: str, shown: Iterable[Shown], chosen: Chosen, limit: int) -> Gathered | None:
    """Join answers; None when there are some, and no process has such a table.

    A process without the table is no failure, unless it was named.
    """
    rows: list[Mapping[str, object]] = []
    failures: list[Mapping[str, str]] = []
    total = asked = lacking = size = 0
    found: set[str] = set()
    for each in shown:
        who = {NODE: each.who.source, PROCESS: each.who.module}
        found.add(each.who.source)
        if each.status == _NOT_FOUND:
            lacking += 1
            continue
        asked += 1
        size += len(each.body)
        if size > BYTES_MAX:
            failures.append({**who, "reason": f"all answers are over {BYTES_MAX >> 20} MiB"})
        elif each.status != 200:
            failures.append({**who, "reason": each.body.decode(errors="replace")[:512]})
        else:
            try:
                told = msgspec.json.decode(each.body, type=_Table)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                failures.append({**who, "reason": "its answer is no table"})
                continue
            total += told.total
            rows += [_named(who, row) for row in told.rows[: max(0, limit - len(rows))]]
    failures += [
        {NODE: name, PROCESS: "", "reason": "no process of this node is connected here"}
        for name in sorted(chosen.nodes - found)
    ]
    if lacking and not asked:
        return None
    return Gathered(table=table, rows=rows, total=total, asked=asked, failures=failures)


def tables_of(body: bytes) -> Sequence[str]:
    """Return the names a process lists; none when it lists nothing readable."""
    try:
        return msgspec.json.decode(body, type=_Tables).tables
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()


def _named(who: Mapping[str, str], row: Mapping[str, object]) -> Mapping[str, object]:
    """Return a row with who shows it first; its own columns of these names get a line behind them."""
    own = {f"{name}_" if name in who else name: value for name, value in row.items()}
    return {**who, **own}
