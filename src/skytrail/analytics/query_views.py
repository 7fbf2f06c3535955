"""Tables as users know them: each a set of named columns over a stored table. Pure.

Several are made of one stored table. Columns are always named with their table, ``t``: a bare name would mean what is
selected under it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

from skytrail.analytics.history_tables import (
    COUNTERS,
    GAP,
    MESSAGE,
    SESSION,
    SESSION_1H,
    SESSION_1M,
    STAT,
    STAT_1H,
    STAT_1M,
    Rollup,
    StoredTable,
    weighted,
)
from skytrail.analytics.query_request import UnknownTable
from skytrail.analytics.uve_types import TABLES

ATTRIBUTE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}")
STATISTICS: Final = "StatTable."
_MORE_OBJECTS: Final = (
    "ConfigObjectTable",
    "ConfigObjectTableByUser",
    "ObjectXmppConnection",
    "ObjectQueryTable",
    "ObjectQueryQid",
    "ObjectJobTemplateTable",
    "ObjectFabricTable",
)
"""Tables of logs about objects that are no type of UVE."""


@dataclass(frozen=True, slots=True)
class Column:
    """``expression`` is SQL; ``kind`` is text, number, time or list."""

    expression: str
    kind: str = "text"
    shown: str = ""
    """SQL of what is shown of it, where that is something else."""


@dataclass(frozen=True, slots=True)
class View:
    """A table as users know it."""

    name: str
    stored: StoredTable
    columns: Mapping[str, Column]
    restriction: str = ""
    """SQL that holds for all of its rows."""
    is_open: bool = False
    """Columns beyond the named ones are attributes of statistics."""
    join: str = ""
    """SQL after the stored table that makes several rows of one."""
    rollups: tuple[Rollup, ...] = ()
    """What answers in its place where that gives the same, the finest first."""


@cache
def views() -> Mapping[str, View]:
    """Return every table that can be asked, statistics excepted, by name."""
    message = _message_view()
    objects = (*TABLES.values(), *_MORE_OBJECTS)
    found = [message, *(_object_view(table, message) for table in objects)]
    found += [_session_view("SessionSeriesTable"), _session_view("SessionRecordTable")]
    found += [_flow_view("FlowSeriesTable"), _flow_view("FlowRecordTable")]
    gaps = {name: Column(f"t.`{name}`", _kind(kind)) for name, kind in GAP.columns.items()}
    found.append(View("GapTable", GAP, gaps))
    return MappingProxyType({view.name: view for view in found})


def _message_view() -> View:
    columns = {
        name: Column(f"t.`{name}`", _kind(kind))
        for name, kind in MESSAGE.columns.items()
        if not name.startswith("Object")
    }
    return View("MessageTable", MESSAGE, columns)


def _object_view(table: str, message: View) -> View:
    # The name of a table of ours, never of a request: it needs no binding.
    at = f"indexOf(t.`ObjectTables`, '{table}')"
    logs = Column("t.`Xmlmessage`")
    own = {"ObjectId": Column(f"t.`ObjectIds`[{at}]"), "ObjectLog": logs, "SystemLog": logs}
    return View(table, MESSAGE, {**message.columns, **own}, f"has(t.`ObjectTables`, '{table}')")


def _session_view(name: str) -> View:
    columns = {name: Column(f"t.`{name}`", _kind(kind)) for name, kind in SESSION.columns.items()}
    if name == "SessionRecordTable":
        return View(name, SESSION, columns)
    sampled = {
        column: Column(weighted(column), "number") for column in COUNTERS if "_sampled_" in column
    }
    count = Column("toUInt64(round(t.`sample_weight`))", "number")
    return View(
        name,
        SESSION,
        {**columns, **sampled, "sample_count": count},
        rollups=(SESSION_1M, SESSION_1H),
    )


def _flow_view(name: str) -> View:
    """Return sessions as the flows they consist of, which is how older tools ask for them.

    A session is two flows. What a workload sends comes into the vRouter (``direction_ing`` 1), what
    it gets goes out of it (0).
    """
    sends = "(t.`session_type` = 'client') != is_reverse"
    from_client = "is_reverse = 0"
    forward, reverse = map(_is_told, ("forward", "reverse"))

    def column(condition: str, one: str, other: str, kind: str = "text") -> Column:
        return Column(f"if({condition}, t.`{one}`, t.`{other}`)", kind)

    def counter(unit: str) -> Column:
        both = (weighted(f"{way}_sampled_{unit}") for way in ("forward", "reverse"))
        return Column(f"if({from_client}, {', '.join(both)})", "number")

    same = ("T", "vrouter", "vrouter_ip", "vmi", "protocol", "drop_reason", "other_vrouter_ip")
    same += ("underlay_proto", "setup_time", "teardown_time")
    columns = {each: Column(f"t.`{each}`", _kind(SESSION.columns[each])) for each in same}
    columns |= {
        "sourcevn": column(sends, "vn", "remote_vn"),
        "destvn": column(sends, "remote_vn", "vn"),
        "sourceip": column(sends, "local_ip", "remote_ip"),
        "destip": column(sends, "remote_ip", "local_ip"),
        "sport": column(from_client, "client_port", "server_port", "number"),
        "dport": column(from_client, "server_port", "client_port", "number"),
        "direction_ing": Column(f"toUInt8({sends})", "number"),
        "action": column(from_client, "forward_action", "reverse_action"),
        "sg_rule_uuid": Column("t.`security_policy_rule`"),
    }
    if name == "FlowSeriesTable":
        columns |= {
            "bytes": counter("bytes"),
            "packets": counter("pkts"),
            "flow_count": Column("toUInt64(round(t.`sample_weight`))", "number"),
        }
    else:
        columns |= {"agg-bytes": counter("bytes"), "agg-packets": counter("pkts")}
    # Agents that tell flows tell of one way only: of the other there is nothing to show.
    is_shown = f"if({from_client}, {forward} OR NOT {reverse}, {reverse} OR NOT {forward})"
    return View(name, SESSION, columns, is_shown, join="ARRAY JOIN [false, true] AS is_reverse")


def _is_told(way: str) -> str:
    """Return SQL that holds for sessions of which this way is told."""
    counters = f"t.`{way}_sampled_pkts` > 0 OR t.`{way}_sampled_bytes` > 0"
    return f"(t.`{way}_action` != '' OR {counters})"


def _statistics_view(name: str) -> View:
    columns = {
        each: Column(f"t.`{each}`", _kind(STAT.columns[each])) for each in ("T", "name", "Source")
    }
    return View(name, STAT, columns, is_open=True, rollups=(STAT_1M, STAT_1H))


def _kind(stored: str) -> str:
    if stored.startswith("DateTime"):
        return "time"
    return "number" if stored.startswith(("UInt", "Int", "Float")) else "text"


def view_of(name: str) -> View:
    """Return a table by name; :class:`UnknownTable` names how to find the others."""
    if name.startswith(STATISTICS) and ATTRIBUTE.fullmatch(name):
        return _statistics_view(name)
    found = views().get(name)
    if found is None:
        raise UnknownTable(f"no table is called {name[:64]}; GET /analytics/tables lists them")
    return found
