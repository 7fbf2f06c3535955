"""The course of numbers over time: rows of ``StatTable.<struct>.<list>``. Pure.

```
 message of a generator: a list or struct with annotation ``tags`` --> a row for each element, as it is
 UVE of our own process: fields it names ----> a row for each change: growth of counters, value of gauges
```
Attributes are named with the list they are of, as queries name them: ``cpu_stats.rss``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, cast

from skytrail.analytics.query_views import ATTRIBUTE, STATISTICS
from skytrail.analytics.uve import UveChange
from skytrail.analytics.uve_room import machine_of
from skytrail.wire.sandesh import Field, SandeshMessage, Struct, plain
from skytrail.wire.telemetry import Statistic

Row = dict[str, object]

ATTRIBUTES_COUNT_MAX: Final = 256
"""Of one row; what is beyond is left out."""
STATISTICS_COUNT_MAX: Final = 16
NAMES_COUNT_MAX: Final = 64
ROWS_COUNT_MAX: Final = 1024
"""Statistics of a UVE, names in one, and rows of all; what is beyond is left out."""
TEXT_CHARACTERS_MAX: Final = 1024
_TAGS: Final = "tags"
_KEY: Final = "key"


def rows_of_message(message: SandeshMessage) -> Iterator[Row]:
    """Yield the rows of a message: of its structs, or of itself where it is a log about an object."""
    header = message.header
    holders = [each.value for each in message.fields.values() if isinstance(each.value, Struct)]
    for name, fields in (
        *((holder.name, holder.fields) for holder in holders),
        (message.name, message.fields),
    ):
        for statistic, each in fields.items():
            table = f"{STATISTICS}{name}.{statistic}"
            if _TAGS not in each.annotations or not ATTRIBUTE.fullmatch(table):
                continue
            key = _key_of(fields) or header.source
            for element in each.value if isinstance(each.value, list) else [each.value]:
                for texts, numbers in _values(statistic, plain(element)):
                    yield _row(header.timestamp_us, table, key, header.source, texts, numbers)


def _key_of(fields: Mapping[str, Field]) -> str:
    keys = (each.value for each in fields.values() if _KEY in each.annotations)
    return next((key for key in keys if isinstance(key, str)), "")


def rows_of_change(
    change: UveChange,
    former: Mapping[str, Field] | None,
    statistics: Sequence[Statistic],
    now_us: int,
) -> Iterator[Row]:
    """Return the rows of a change of a UVE; ``former`` are its fields before, None when it is new.

    Where nothing was before, no growth is known and none is told: a node that starts anew must not
    count everything once more.
    """
    return islice(_rows_of_change(change, former, statistics, now_us), ROWS_COUNT_MAX)


def _rows_of_change(
    change: UveChange,
    former: Mapping[str, Field] | None,
    statistics: Sequence[Statistic],
    now_us: int,
) -> Iterator[Row]:
    source = machine_of(change.generator)
    for statistic in statistics[:STATISTICS_COUNT_MAX]:
        table = f"{STATISTICS}{change.struct}.{statistic.name}"
        if not ATTRIBUTE.fullmatch(table):
            continue
        for name in statistic.gauges[:NAMES_COUNT_MAX]:
            if name in change.fields:
                for texts, numbers in _values(name, plain(change.fields[name].value)):
                    yield _row(now_us, table, change.key, source, texts, numbers)
        if former is not None:
            for texts, numbers in _growth(statistic, former, change.fields):
                yield _row(now_us, table, change.key, source, texts, numbers)


def _growth(
    statistic: Statistic, former: Mapping[str, Field], fields: Mapping[str, Field]
) -> Iterator[tuple[dict[str, str], dict[str, float]]]:
    """Yield how much counters grew: of all plain ones together, and of each struct of a map of structs."""
    before, now = _counted(statistic, former), _counted(statistic, fields)
    for key, (texts, numbers) in now.items():
        _, earlier = before.get(key, ({}, {}))
        grown: dict[str, float] = {}
        for name, value in numbers.items():
            more = value - earlier.get(name, 0.0)
            # A counter that is less than before began again.
            grown[name] = value if more < 0 or name in statistic.gauges else more
        yield texts, grown


def _counted(
    statistic: Statistic, fields: Mapping[str, Field]
) -> dict[str, tuple[dict[str, str], dict[str, float]]]:
    """Return counters by the key of their struct; "" for those that are in none."""
    found: dict[str, tuple[dict[str, str], dict[str, float]]] = {}
    for name in statistic.counters[:NAMES_COUNT_MAX]:
        if name in fields:
            # A mapping by the statistic's own name needs no second word for it.
            path = name if name == statistic.name else f"{statistic.name}.{name}"
            for texts, numbers in _values(path, plain(fields[name].value)):
                key = texts.get(f"{path}.__key")
                if key is None:
                    found.setdefault("", ({}, {}))[1].update(numbers)
                else:
                    found[key] = texts, numbers
    return found


def _values(path: str, value: object) -> Iterator[tuple[dict[str, str], dict[str, float]]]:
    """Yield what one value says: once, or for each struct of a map of structs, whose key is ``__key``."""
    keyed = {"": value}
    if isinstance(value, dict) and value:
        members = cast("dict[str, object]", value)
        if all(isinstance(each, dict) for each in members.values()):
            keyed = members
    for key, each in keyed.items():
        texts: dict[str, str] = {f"{path}.__key": key} if key else {}
        numbers: dict[str, float] = {}
        _flatten(path, each, texts, numbers)
        if numbers:
            yield texts, numbers


def _flatten(path: str, value: object, texts: dict[str, str], numbers: dict[str, float]) -> None:
    if len(numbers) + len(texts) >= ATTRIBUTES_COUNT_MAX or not ATTRIBUTE.fullmatch(path):
        return
    if isinstance(value, dict):
        for name, each in cast("dict[str, object]", value).items():
            _flatten(f"{path}.{name}", each, texts, numbers)
    elif isinstance(value, bool):
        texts[path] = "true" if value else "false"
    elif isinstance(value, int | float):
        numbers[path] = float(value)
    elif isinstance(value, str):
        texts[path] = value[:TEXT_CHARACTERS_MAX]


def _row(
    at_us: int,
    table: str,
    name: str,
    source: str,
    texts: dict[str, str],
    numbers: dict[str, float],
) -> Row:
    return {
        "T": at_us,
        "Table": table,
        "name": name,
        "Source": source,
        "texts": texts,
        "numbers": numbers,
    }
