"""What history keeps: the stored tables, their columns, and how long. Pure.

The same statements make them in the embedded engine and in a ClickHouse cluster. Rows are dropped by partition, never
deleted one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

DATABASE: Final = "skytrail"
TIME: Final = "DateTime64(6, 'UTC')"
NAME: Final = "LowCardinality(String)"
"""Of texts with fewer than 100,000 different values."""


@dataclass(frozen=True, slots=True)
class StoredTable:
    """``columns``: name to ClickHouse type. ``time`` is the column of time, in microseconds."""

    name: str
    columns: Mapping[str, str]
    time: str
    order: Sequence[str]
    keep_hours: int

    def create_statement(self, keep_hours: int | None = None) -> str:
        """Return the statement that makes the table if it is not there."""
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self.columns.items())
        hours = self.keep_hours if keep_hours is None else keep_hours
        return (
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.{self.name} ({columns}) ENGINE = MergeTree"
            f" PARTITION BY toYYYYMMDD(`{self.time}`) ORDER BY ({', '.join(self.order)})"
            f" TTL toDateTime(`{self.time}`) + INTERVAL {hours} HOUR"
            " SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 1000"
        )


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

_TAGS: Final = ("deployment", "tier", "application", "site", "labels", "custom_tags")

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
        **dict.fromkeys(_TAGS, NAME),
        **{f"remote_{name}": NAME for name in _TAGS},
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
    ("toStartOfHour(T)", "vn", "remote_vn", "T"),
    24,
)

STORED: Final = MappingProxyType({table.name: table for table in (MESSAGE, STAT, SESSION)})


def statements(keep_hours: Mapping[str, int]) -> list[str]:
    """Return what makes everything that is not there; ``keep_hours`` by table, where told."""
    return [
        f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
        *(table.create_statement(keep_hours.get(table.name)) for table in STORED.values()),
    ]
