"""What history keeps: the stored tables, their columns, and how long. Pure.

```
 message                          session --> session_1m --> session_1h      stat --> stat_1m --> stat_1h
```
The same statements make them in the embedded engine and in a ClickHouse cluster. Rows are dropped by partition, never
deleted one by one. A rollup is filled by the store as rows come (a materialized view), within the same insertion: a batch
that is repeated after a lost answer is in neither twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from skytrail.analytics.tags import COLUMNS as TAG_COLUMNS

DATABASE: Final = "skytrail"
TIME: Final = "DateTime64(6, 'UTC')"
NAME: Final = "LowCardinality(String)"
"""Of texts with fewer than 100,000 different values."""
_TEN_MINUTES: Final = "toStartOfTenMinutes(T)"
"""In front of an order: a store that was made before has hours there, and keeps them; answers are the same."""


@dataclass(frozen=True, slots=True)
class StoredTable:
    """``columns``: name to ClickHouse type. ``time`` is the column of time, in microseconds."""

    name: str
    columns: Mapping[str, str]
    time: str
    order: Sequence[str]
    keep_hours: int
    engine: str = "MergeTree"

    def create_statement(self, keep_hours: int) -> str:
        """Return the statement that makes the table if it is not there."""
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self.columns.items())
        return (
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.{self.name} ({columns}) ENGINE = {self.engine}"
            f" PARTITION BY toYYYYMMDD(`{self.time}`) ORDER BY ({', '.join(self.order)})"
            f" TTL {self._end(keep_hours)}"
            " SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000"
        )

    def keep_statement(self, keep_hours: int) -> str:
        """Return the statement that changes how long rows of a table that is there are kept."""
        return f"ALTER TABLE {DATABASE}.{self.name} MODIFY TTL {self._end(keep_hours)}"

    def _end(self, keep_hours: int) -> str:
        return f"toDateTime(`{self.time}`) + toIntervalHour({keep_hours})"


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of a rollup that adds up: ``function`` of ``expression``, over rows and rows of rollups."""

    function: str
    expression: str
    kind: str


@dataclass(frozen=True, slots=True)
class Rollup:
    """Rows of ``source`` added up by ``seconds`` and ``dimensions``: columns that stay as they are."""

    name: str
    source: StoredTable
    seconds: int
    dimensions: Sequence[str]
    measures: Mapping[str, Measure]
    keep_hours: int
    over: Rollup | None = None
    """The finer rollup it is made from."""
    by_ten_minutes: bool = False
    """Whether rows of ten minutes lie together: questions about a part of a day then read that part alone."""

    def table(self) -> StoredTable:
        """Return the table that holds it. All dimensions are in its order: rows that agree in it become one."""
        columns = {"T": "DateTime('UTC')"}
        columns |= {name: self.source.columns[name] for name in self.dimensions}
        columns |= {
            name: f"SimpleAggregateFunction({each.function}, {each.kind})"
            for name, each in self.measures.items()
        }
        order = (*self.dimensions[:2], "T", *self.dimensions[2:])
        order = (_TEN_MINUTES, *order) if self.by_ten_minutes else order
        return StoredTable(self.name, columns, "T", order, self.keep_hours, "AggregatingMergeTree")

    def fill_statement(self) -> str:
        """Return the statement that has the store fill it from now on."""
        source = self.source.name if self.over is None else self.over.name
        start = f"toStartOfInterval(t.`T`, toIntervalSecond({self.seconds}), 'UTC')"
        shown = [f"{start} AS `T`", *(f"t.`{name}` AS `{name}`" for name in self.dimensions)]
        shown += [
            f"{each.function}({each.expression if self.over is None else f't.`{name}`'}) AS `{name}`"
            for name, each in self.measures.items()
        ]
        grouping = ", ".join((start, *(f"t.`{name}`" for name in self.dimensions)))
        view, table = f"{DATABASE}.{self.name}_fill", f"{DATABASE}.{self.name}"
        rows = f"SELECT {', '.join(shown)} FROM {DATABASE}.{source} AS t GROUP BY {grouping}"  # noqa: S608
        return f"CREATE MATERIALIZED VIEW IF NOT EXISTS {view} TO {table} AS {rows}"


MESSAGE: Final = StoredTable(
    "message",
    {
        "MessageTS": TIME,
        "Source": NAME,
        "ModuleId": NAME,
        "NodeType": NAME,
        "InstanceId": NAME,
        "Category": NAME,
        "Level": "Int16",
        "Type": "UInt8",
        "Messagetype": NAME,
        "SequenceNum": "UInt32",
        "Context": "String",
        "Xmlmessage": "String",
        "IPAddress": "String",
        "Pid": "UInt32",
        "ObjectTables": f"Array({NAME})",
        "ObjectIds": "Array(String)",
    },
    "MessageTS",
    ("MessageTS",),
    48,
)

STAT: Final = StoredTable(
    "stat",
    {
        "T": TIME,
        "Table": NAME,
        "name": "String",
        "Source": NAME,
        "texts": f"Map({NAME}, String)",
        "numbers": f"Map({NAME}, Float64)",
    },
    "T",
    ("Table", "name", "T"),
    168,
)


GAP: Final = StoredTable(
    "gap",
    {
        "T": TIME,
        "Until": "Int64",
        "Source": NAME,
        "ModuleId": NAME,
        "Kind": NAME,
        "Reason": NAME,
        "Count": "UInt64",
    },
    "T",
    ("T",),
    2160,
)
"""What is not known: between ``T`` and ``Until`` something was lost. A ``Count`` of 0: nobody knows how much."""

SESSION: Final = StoredTable(
    "session",
    {
        "T": TIME,
        "session_type": NAME,
        "vrouter": NAME,
        "vrouter_ip": NAME,
        "vmi": NAME,
        "vn": NAME,
        "remote_vn": NAME,
        **dict.fromkeys(TAG_COLUMNS, NAME),
        **{f"remote_{name}": NAME for name in TAG_COLUMNS},
        "remote_prefix": NAME,
        "security_policy_rule": NAME,
        "local_ip": "String",
        "remote_ip": "String",
        "server_port": "UInt16",
        "client_port": "UInt16",
        "protocol": "UInt8",
        "other_vrouter_ip": NAME,
        "underlay_proto": "UInt8",
        "forward_action": NAME,
        "reverse_action": NAME,
        "drop_reason": NAME,
        "sample_weight": "Float64",
        "forward_sampled_bytes": "UInt64",
        "forward_sampled_pkts": "UInt64",
        "reverse_sampled_bytes": "UInt64",
        "reverse_sampled_pkts": "UInt64",
        "forward_logged_bytes": "UInt64",
        "forward_logged_pkts": "UInt64",
        "reverse_logged_bytes": "UInt64",
        "reverse_logged_pkts": "UInt64",
        "setup_time": "Int64",
        "teardown_time": "Int64",
    },
    "T",
    (_TEN_MINUTES, "vn", "remote_vn", "T"),
    24,
)

_SESSION_DIMENSIONS: Final = (
    "vn",
    "remote_vn",
    "session_type",
    "vrouter",
    *TAG_COLUMNS,
    *(f"remote_{name}" for name in TAG_COLUMNS),
    "security_policy_rule",
    "server_port",
    "protocol",
    "forward_action",
    "reverse_action",
    "drop_reason",
)
COUNTERS: Final = tuple(
    f"{way}_{kind}_{unit}"
    for way in ("forward", "reverse")
    for kind in ("sampled", "logged")
    for unit in ("bytes", "pkts")
)
"""Columns of sessions that add up."""


def weighted(column: str) -> str:
    """Return SQL of a sampled counter: a session kept with probability p stands for 1/p of them."""
    return f"toUInt64(round(t.`{column}` * t.`sample_weight`))"


RECORDS: Final = "records"
"""In rollups: how many rows there were."""

_SESSION_MEASURES: Final = {
    **{
        name: Measure("sum", weighted(name) if "_sampled_" in name else f"t.`{name}`", "UInt64")
        for name in COUNTERS
    },
    "sample_count": Measure("sum", "toUInt64(round(t.`sample_weight`))", "UInt64"),
    RECORDS: Measure("sum", "toUInt64(1)", "UInt64"),
}
SESSION_1M: Final = Rollup(
    "session_1m", SESSION, 60, _SESSION_DIMENSIONS, _SESSION_MEASURES, 168, by_ten_minutes=True
)
SESSION_1H: Final = Rollup(
    "session_1h", SESSION, 3600, _SESSION_DIMENSIONS, _SESSION_MEASURES, 2160, SESSION_1M
)

_NUMBERS: Final = "Map(String, Float64)"
_PLAIN_NUMBERS: Final = f"CAST(t.`numbers`, '{_NUMBERS}')"
_ONES: Final = f"mapFromArrays(mapKeys({_PLAIN_NUMBERS}), arrayMap(k -> 1., mapKeys(t.`numbers`)))"
_STAT_MEASURES: Final = {
    "sums": Measure("sumMap", _PLAIN_NUMBERS, _NUMBERS),
    "counts": Measure("sumMap", _ONES, _NUMBERS),
    "least": Measure("minMap", _PLAIN_NUMBERS, _NUMBERS),
    "most": Measure("maxMap", _PLAIN_NUMBERS, _NUMBERS),
    RECORDS: Measure("sum", "toUInt64(1)", "UInt64"),
}
_STAT_DIMENSIONS: Final = ("Table", "name", "Source")
STAT_1M: Final = Rollup("stat_1m", STAT, 60, _STAT_DIMENSIONS, _STAT_MEASURES, 720)
STAT_1H: Final = Rollup("stat_1h", STAT, 3600, _STAT_DIMENSIONS, _STAT_MEASURES, 8760, STAT_1M)

UVE: Final = StoredTable(
    "uve",
    {
        "T": TIME,
        "Source": NAME,
        "Table": NAME,
        "name": "String",
        "struct": NAME,
        "kind": NAME,
        "value": "String CODEC(ZSTD(3))",
    },
    "T",
    ("Table", "toStartOfHour(T)", "name", "struct", "T"),
    168,
)
"""What was said of entities, a row for a struct that changed: ``uve_recorder`` tells what ``kind`` is."""

ROLLUPS: Final = (SESSION_1M, SESSION_1H, STAT_1M, STAT_1H)
STORED: Final = MappingProxyType(
    {table.name: table for table in (MESSAGE, STAT, SESSION, GAP, UVE)}
)
KEPT: Final = MappingProxyType(
    {**STORED, **{each.name: each.table() for each in ROLLUPS}},
)
"""Every table whose rows have a time to live."""


def keep_hours_of(table: str, told: Mapping[str, int]) -> int:
    """Return how long rows of a table are kept; ``told`` by table, where it is not the default."""
    return told.get(table, KEPT[table].keep_hours)


def statements(keep_hours: Mapping[str, int]) -> Iterator[str]:
    """Yield what makes everything that is not there; ``keep_hours`` by table, where told."""
    yield f"CREATE DATABASE IF NOT EXISTS {DATABASE}"
    for name, table in KEPT.items():
        yield table.create_statement(keep_hours_of(name, keep_hours))
    for rollup in ROLLUPS:
        yield rollup.fill_statement()
