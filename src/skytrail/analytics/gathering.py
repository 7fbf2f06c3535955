"""One answer from the answers of several stores, each with a part of the rows. Pure.

```
 QueryRequest --part_of--> what each store is asked:  keys, and of aggregates what can be merged
 rows of each --merged---> the rows that one store with all of it would give
```
Groups of two stores become one: sums and counts add up, least and greatest are compared, an average is of sum and count,
percentiles are of both samples, each value with the weight of those it stands for. Single rows are put in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, cast

import msgspec

from skytrail.analytics.query import (
    function_of,
    is_aggregate,
    is_descending,
    is_grouped,
    order_of,
    shown_name,
)
from skytrail.analytics.query_request import (
    LIMIT_DEFAULT,
    LIMIT_MAX,
    QueryRequest,
    QueryUnusable,
)
from skytrail.analytics.query_rows import PERCENTILES

Row = Sequence[object]
_NUMBER_BITS_MAX: Final = 256
"""Of whole numbers: no column's are wider."""


def part_of(request: QueryRequest) -> QueryRequest:
    """Return what each store is asked so that its rows can be merged."""
    fields = list(dict.fromkeys(request.select_fields))
    if not is_grouped(fields):
        return request
    order = order_of(request)
    if _needs_all_groups(request):
        # A group that is little in each store may be much in all: every group is needed.
        return msgspec.structs.replace(request, sort_fields=None, sort=None, limit=LIMIT_MAX)
    # The first groups of all are among the first of each store where no two of them are equal in order.
    keys = [name for name in fields if not is_aggregate(name)]
    return msgspec.structs.replace(request, sort_fields=list(dict.fromkeys([*order, *keys])))


def merged(request: QueryRequest, parts: Sequence[Sequence[Row]]) -> list[Row]:
    """Return rows of all stores as those of one, in order; ``QueryUnusable`` for too many groups."""
    fields = list(dict.fromkeys(request.select_fields))
    rows: list[Row] = [row for part in parts for row in part]
    if is_grouped(fields):
        if _needs_all_groups(request) and any(len(part) >= LIMIT_MAX for part in parts):
            raise QueryUnusable(
                f"sort_fields, select_fields: over {LIMIT_MAX} groups are on one node, and the first of all nodes are"
                " not known without all of them; choose fewer (where), or columns with fewer values"
            )
        rows = _grouped(fields, rows)
    order = order_of(request) or order_of(part_of(request))
    if order:
        at = [fields.index(name) for name in order]
        rows.sort(key=lambda row: [_rank(row[each]) for each in at], reverse=is_descending(request))
    return rows[: request.limit or LIMIT_DEFAULT]


def unfit(request: QueryRequest, part: Sequence[Row]) -> str:
    """Return why rows are none that a store gives for its part, so that they cannot be merged; "": they can be.

    O(values): another node's word is judged before anything is made of it.
    """
    fields = list(dict.fromkeys(request.select_fields))
    if any(len(row) != len(fields) for row in part):
        return f"a row has not {len(fields)} values, as the query has columns"
    for number, name in enumerate(fields):
        is_fit = _FORMS.get(function_of(name), _is_plain)
        if not all(is_fit(row[number]) for row in part):
            return f"{name[:64]}: a value is not of the form of that column"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (
        isinstance(value, int) and value.bit_length() <= _NUMBER_BITS_MAX
    )


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


def _is_plain(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, str) or _is_number_or_none(each) for each in value)
    return isinstance(value, str) or _is_number_or_none(value)


def _is_counted(value: object) -> bool:
    return _is_pair(value, _is_number_or_none)


def _is_sample(value: object) -> bool:
    return _is_pair(
        value, lambda each: isinstance(each, list) and all(map(_is_number_or_none, each))
    )


def _is_pair(value: object, is_first: Callable[[object], bool]) -> bool:
    """Tell whether it is something, and the number of rows it is of."""
    if not isinstance(value, list) or len(value) != 2:
        return False
    first, count = cast("list[object]", value)
    return is_first(first) and isinstance(count, int | float) and _is_number(count) and count >= 0


def _needs_all_groups(request: QueryRequest) -> bool:
    return any(map(is_aggregate, order_of(request)))


def columns_of(request: QueryRequest) -> list[str]:
    """Return the names of the columns of an answer, in order."""
    return [shown_name(name) for name in dict.fromkeys(request.select_fields)]


def _grouped(fields: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """Return a row for each group, made of those that the stores have of it."""
    keys = [number for number, name in enumerate(fields) if not is_aggregate(name)]
    groups: dict[object, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(_rank(row[each]) for each in keys), []).append(row)
    functions = [_MERGES.get(function_of(name), _first) for name in fields]
    return [
        [merge([row[number] for row in group]) for number, merge in enumerate(functions)]
        for group in groups.values()
    ]


def _rank(value: object) -> tuple[int, object]:
    """Return what values are compared by, as the store does: numbers, then texts, then what is none."""
    if value is None:
        return 2, 0
    if isinstance(value, list):
        return 0, tuple(_rank(each) for each in cast("list[object]", value))
    return (0, value) if isinstance(value, int | float) else (1, value)


def _first(values: Sequence[object]) -> object:
    return values[0]


def _sum(values: Sequence[object]) -> object:
    numbers = [each for each in values if isinstance(each, int | float)]
    return sum(numbers) if len(numbers) == len(values) else None


def _counted(values: Sequence[object]) -> list[tuple[float, float]]:
    """Return values with the number of rows they are of, without those that are of none."""
    pairs = cast("Sequence[tuple[float | None, float]]", values)
    return [(value, count) for value, count in pairs if count and value is not None]


def _average(values: Sequence[object]) -> object:
    counted = _counted(values)
    count = sum(each for _, each in counted)
    return sum(total for total, _ in counted) / count if count else None


def _extreme(choose: Callable[[list[float]], float]) -> Callable[[Sequence[object]], object]:
    def chosen(values: Sequence[object]) -> object:
        counted = [value for value, _ in _counted(values)]
        # Of no rows at all it is what the store says of none.
        return choose(counted) if counted else cast("Sequence[Row]", values)[0][0]

    return chosen


def _percentiles(values: Sequence[object]) -> object:
    """Return percentiles of weighted samples: of all values where the samples hold them all."""
    weighted: list[tuple[float, float]] = []
    for sample, count in cast("Sequence[tuple[list[float | None], float]]", values):
        known = [each for each in sample if each is not None]
        weighted += [(each, count / len(known)) for each in known]
    if not weighted:
        return [None] * len(PERCENTILES)
    weighted.sort()
    total = sum(weight for _, weight in weighted)
    return [_at(weighted, level * (total - 1)) for level in PERCENTILES]


def _at(weighted: Sequence[tuple[float, float]], position: float) -> float:
    """Return the value at a position in the order of values, between two of them by its distance to both."""
    whole = int(position)
    lower = _value_at(weighted, whole)
    rest = position - whole
    return lower + (_value_at(weighted, whole + 1) - lower) * rest if rest else lower


def _value_at(weighted: Sequence[tuple[float, float]], rank: int) -> float:
    passed = 0.0
    for value, weight in weighted:
        passed += weight
        # Weights are quotients: their sum misses a whole number by a hair.
        if passed > rank + 1e-6:
            return value
    return weighted[-1][0]


_FORMS: Final[Mapping[str, Callable[[object], bool]]] = MappingProxyType(
    {
        "SUM": _is_number_or_none,
        "COUNT": _is_number,
        "MIN": _is_counted,
        "MAX": _is_counted,
        "AVG": _is_counted,
        "PERCENTILES": _is_sample,
    }
)
_MERGES: Final[Mapping[str, Callable[[Sequence[object]], object]]] = MappingProxyType(
    {
        "SUM": _sum,
        "COUNT": _sum,
        "MIN": _extreme(min),
        "MAX": _extreme(max),
        "AVG": _average,
        "PERCENTILES": _percentiles,
    }
)
