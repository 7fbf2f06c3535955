"""Questions to the table of UVEs over time: what was true at a moment, what happened in a span. Pure.

A node reads what it kept itself; where each node has a store of its own, it asks the others for what they
kept. What is true at a moment was kept within :data:`LOOKBACK_S` before it, and not before the
node's latest start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from skytrail.analytics.history_tables import DATABASE, GAP, UVE
from skytrail.analytics.query import Statement
from skytrail.analytics.query_rows import Binder
from skytrail.analytics.uve_filter import ALARMS, UveFilter
from skytrail.analytics.uve_recorder import CHANGE, GONE, LOOKBACK_S, START

PLACES_COUNT_MAX: Final = 50_000
"""Structs of one answer."""
KEYS_COUNT_MAX: Final = 64
NODE_WAS_DOWN: Final = "node_was_down"
"""Reason of a gap: its time is that in which nobody listened."""
State = dict[str, object]
"""Structs of an entity by name, flat."""
_LOOKBACK_US: Final = round(LOOKBACK_S * 1e6)
DOWNS_COUNT_MAX: Final = 10_000
_FROM_GAP: Final = f"FROM {DATABASE}.{GAP.name} AS t"
_FROM: Final = f"FROM {DATABASE}.{UVE.name} AS t"


def start_statement(node: str, at_us: int) -> Statement:
    """Return what asks for the node's latest start before a moment; 0: none that matters."""
    binder = Binder()
    where = _within(binder, node, at_us - _LOOKBACK_US, at_us)
    kind = binder.bind(START)
    sql = f"SELECT max(toUnixTimestamp64Micro(t.`T`)) {_FROM} WHERE {where} AND t.`kind` = {kind}"
    return Statement(sql, binder.parameters, ("T",))


def moment_statement(
    node: str, chosen: UveFilter, tables: Sequence[str], at_us: int, started_us: int
) -> Statement:
    """Return what asks for all structs as they were at a moment: table, name, struct, value."""
    binder = Binder()
    parts = [_within(binder, node, max(at_us - _LOOKBACK_US, started_us), at_us)]
    parts.append(f"t.`Table` IN ({', '.join(map(binder.bind, tables))})")
    if chosen.parts:
        structs = sorted({struct for struct, _ in chosen.parts})
        parts.append(f"t.`struct` IN ({', '.join(map(binder.bind, structs))})")
    if chosen.keys:
        parts.append(f"({' OR '.join(_key(binder, key) for key in chosen.keys)})")
    latest = "argMax(t.`value`, t.`T`), argMax(t.`kind`, t.`T`) AS latest"
    at = "max(toUnixTimestamp64Micro(t.`T`))"
    sql = (
        f"SELECT t.`Table`, t.`name`, t.`struct`, {latest}, {at} {_FROM} WHERE {' AND '.join(parts)}"
        f" GROUP BY t.`Table`, t.`name`, t.`struct` HAVING latest != {binder.bind(GONE)}"
        f" ORDER BY t.`Table`, t.`name`, t.`struct` LIMIT {PLACES_COUNT_MAX + 1}"
    )
    return Statement(sql, binder.parameters, ("Table", "name", "struct", "value", "kind", "T"))


def down_statement(node: str, at_us: int) -> Statement:
    """Return what asks whether a node was down at a moment: what it knew before is then not what was true."""
    binder = Binder()
    conditions = (
        f"t.`Source` = {binder.bind(node)}",
        f"t.`Reason` = {binder.bind(NODE_WAS_DOWN)}",
        f"t.`T` <= fromUnixTimestamp64Micro({binder.bind(at_us)})",
        f"t.`Until` >= {binder.bind(at_us)}",
    )
    where = " AND ".join(conditions)
    sql = f"SELECT count() {_FROM_GAP} WHERE {where}"
    return Statement(sql, binder.parameters, ("count",))


def downs_statement(node: str, span_us: tuple[int, int]) -> Statement:
    """Return what asks since when a node was down, each time in a span of time."""
    binder = Binder()
    first, last = map(binder.bind, span_us)
    conditions = (
        f"t.`Source` = {binder.bind(node)}",
        f"t.`Reason` = {binder.bind(NODE_WAS_DOWN)}",
        f"t.`T` BETWEEN fromUnixTimestamp64Micro({first}) AND fromUnixTimestamp64Micro({last})",
    )
    where = " AND ".join(conditions)
    sql = (
        f"SELECT toUnixTimestamp64Micro(t.`T`) AS at {_FROM_GAP} WHERE {where}"
        f" ORDER BY at LIMIT {DOWNS_COUNT_MAX}"
    )
    return Statement(sql, binder.parameters, ("T",))


def newest(parts: Iterable[Iterable[Sequence[object]]]) -> list[Sequence[object]]:
    """Return rows of :func:`moment_statement` of several nodes as those of one: of each struct what was told last."""
    found: dict[tuple[str, ...], Sequence[object]] = {}
    for row in (row for part in parts for row in part):
        place = tuple(str(each) for each in row[:3])
        known = found.get(place)
        if known is None or int(str(row[5])) > int(str(known[5])):
            found[place] = row
    return [found[place] for place in sorted(found)]


def span_statement(
    node: str, chosen: UveFilter, tables: Sequence[str], span_us: tuple[int, int], rows_max: int
) -> Statement:
    """Return what asks for all that happened in a span of time and before it, in order.

    Of structs that ``chosen`` does not name it is told that they are there, not what is in them.
    """
    binder = Binder()
    start_us, end_us = span_us
    parts = [_within(binder, node, start_us - _LOOKBACK_US, end_us)]
    all_tables = ", ".join(map(binder.bind, ("", *tables)))
    parts += [f"t.`Table` IN ({all_tables})", f"t.`struct` != {binder.bind(ALARMS)}"]
    value = "t.`value`"
    structs = sorted({struct for struct, _ in chosen.parts})
    if structs:
        is_named = f"t.`struct` IN ({', '.join(map(binder.bind, structs))})"
        parts.append(f"({is_named} OR t.`kind` != {binder.bind(CHANGE)})")
        value = f"if({is_named}, {value}, {binder.bind('{}')})"
    if chosen.keys:
        keys = " OR ".join(_key(binder, key) for key in chosen.keys)
        parts.append(f"({keys} OR t.`kind` = {binder.bind(START)})")
    sql = (
        f"SELECT toUnixTimestamp64Micro(t.`T`) AS at, t.`Table`, t.`name`, t.`struct`, t.`kind`, {value}"
        f" {_FROM} WHERE {' AND '.join(parts)} ORDER BY at LIMIT {rows_max + 1}"
    )
    return Statement(sql, binder.parameters, ("T", "Table", "name", "struct", "kind", "value"))


def entities_of(
    rows: Iterable[Sequence[object]], chosen: UveFilter
) -> dict[tuple[str, str], State]:
    """Return entities by table and name from rows of :func:`moment_statement`, in their order."""
    found: dict[tuple[str, str], State] = {}
    for table, name, struct, value, *_ in rows:
        fields = chosen_fields(str(struct), decoded(value), chosen)
        if fields:
            found.setdefault((str(table), str(name)), {})[str(struct)] = fields
    return found


def decoded(value: object) -> dict[str, object]:
    """Return a struct's fields from its stored text."""
    return msgspec.json.decode(str(value), type=dict[str, object])


def chosen_fields(
    struct: str, fields: Mapping[str, object], chosen: UveFilter
) -> dict[str, object]:
    """Return the fields of a struct that a filter lets pass, by struct, field and acknowledgement."""
    wanted = {name for each, name in chosen.parts if each == struct}
    kept = {
        name: value
        for name, value in fields.items()
        if not chosen.parts or "" in wanted or name in wanted
    }
    alarms = kept.get("alarms")
    if struct == ALARMS and chosen.acknowledged is not None and isinstance(alarms, list):
        some = [each for each in alarms if _is_seen(each) is chosen.acknowledged]
        return {**kept, "alarms": some} if some else {}
    return kept


def _is_seen(alarm: object) -> bool:
    return isinstance(alarm, dict) and alarm.get("ack") is True


def _within(binder: Binder, node: str, start_us: int, end_us: int) -> str:
    first, last = binder.bind(max(start_us, 0)), binder.bind(end_us)
    return (
        f"t.`Source` = {binder.bind(node)} AND"
        f" t.`T` BETWEEN fromUnixTimestamp64Micro({first}) AND fromUnixTimestamp64Micro({last})"
    )


def _key(binder: Binder, key: str) -> str:
    if key.endswith("*"):
        return f"startsWith(t.`name`, {binder.bind(key[:-1])})"
    return f"t.`name` = {binder.bind(key)}"
