"""Queries with readable parameters: logs, flows and numbers as ``GET /api/v1/...`` asks for them. Pure.

/api/v1/logs?module=contrail-control&level=warning&last=1h
/api/v1/flows?network=default-domain:red:front&action=deny&by=remote_vn,server_port
/api/v1/metrics?table=StatTable.UveVMInterfaceAgent.if_stats&select=SUM(if_stats.in_bytes)&by=name&step=60

They become the same request as ``POST /analytics/query`` carries, with its bounds and its answers from rollups. One table of
parameters for each is what is checked and what is documented (OpenAPI).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from skytrail.analytics.query_request import (
    LIMIT_MAX,
    Match,
    Operation,
    QueryRequest,
    QueryUnusable,
)
from skytrail.analytics.query_views import STATISTICS
from skytrail.analytics.tags import COLUMNS as TAG_COLUMNS
from skytrail.analytics.uve_types import TABLES

LIMIT_DEFAULT: Final = 1_000
LAST: Final = re.compile(r"[0-9]{1,6}[smhd]")
_STEP_MAX: Final = 86_400
_LEVELS: Final = ("emergency", "alert", "critical", "error", "warning", "notice", "info", "debug")
_PROTOCOLS: Final = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
_TAG_COLUMNS: Final = {
    "label": "labels", **{name: name for name in ("application", "tier", "deployment", "site")},
}  # fmt: skip
_SESSION_TOTALS: Final = (
    "SUM(sample_count)",
    "SUM(forward_sampled_bytes)",
    "SUM(forward_sampled_pkts)",
    "SUM(reverse_sampled_bytes)",
    "SUM(reverse_sampled_pkts)",
)
_SESSION_COLUMNS: Final = (
    "T", "vrouter", "session_type", "vmi", "vn", "local_ip", "client_port", "remote_vn", "remote_ip",
    "server_port", "protocol", *TAG_COLUMNS, *(f"remote_{name}" for name in TAG_COLUMNS),
    "forward_action", "drop_reason", "security_policy_rule", "other_vrouter_ip",
    "forward_sampled_bytes", "forward_sampled_pkts", "reverse_sampled_bytes",
    "reverse_sampled_pkts", "sample_weight",
)  # fmt: skip
_LOG_COLUMNS: Final = (
    "MessageTS", "Source", "ModuleId", "NodeType", "Category", "Level", "Messagetype", "Xmlmessage",
)  # fmt: skip

Matches = Callable[[str], Match]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; ``match`` makes a condition of its value, where it is one."""

    name: str
    description: str
    match: Matches | None = None


def _equal(column: str) -> Matches:
    return lambda value: Match(column, value, Operation.EQUAL)


def _level(value: str) -> Match:
    if value not in _LEVELS:
        raise QueryUnusable(f"level={value[:32]} is none of {', '.join(_LEVELS)}")
    return Match("Level", _LEVELS.index(value), Operation.LESS_OR_EQUAL)


def _port(value: str) -> Match:
    return Match("server_port", _number("port", value, 0, 65_535), Operation.EQUAL)


def _protocol(value: str) -> Match:
    number = _PROTOCOLS.get(value.lower())
    return Match(
        "protocol",
        _number("protocol", value, 0, 255) if number is None else number,
        Operation.EQUAL,
    )


def _tag(prefix: str) -> Matches:
    def match(value: str) -> Match:
        owner, _, name = value.rpartition(":")
        kind, equals, rest = name.partition("=")
        if not (kind and equals and rest):
            raise QueryUnusable(f"{prefix}tag={value[:64]} is not TYPE=VALUE, as in tier=web")
        start = "(^|;)" if owner else "(^|[:;])"
        column = prefix + _TAG_COLUMNS.get(kind, "custom_tags")
        return Match(column, f"{start}{re.escape(value)}($|;)", Operation.REGEX)

    return match


_COMMON: Final = (
    Parameter("last", "How far back, as in 30s, 10m, 2h, 7d; 10m unless told, or unless from is."),
    Parameter("from", "Beginning, ISO 8601; UTC where no zone is given."),
    Parameter("to", "End, ISO 8601; now unless told."),
    Parameter("limit", f"So many rows at most, up to {LIMIT_MAX}; {LIMIT_DEFAULT} unless told."),
    Parameter("order", "newest or oldest first; of sums greatest or least."),
    Parameter(
        "format", "json (one object with rows) or ndjson (a row a line, as the store gives them)."
    ),
)
_LOGS: Final = (
    Parameter("source", "Machine.", _equal("Source")),
    Parameter("module", "Program, as contrail-control.", _equal("ModuleId")),
    Parameter("node_type", "Config, Control, Compute, Analytics.", _equal("NodeType")),
    Parameter("category", "Part of the program.", _equal("Category")),
    Parameter("type", "Type of message, as AlarmRaised.", _equal("Messagetype")),
    Parameter("level", f"This severe or more: {', '.join(_LEVELS)}.", _level),
    Parameter("object", "Only about this entity, TYPE:NAME, as virtual-network:a:b:c."),
)
_FLOWS: Final = (
    Parameter("network", "Full name of the workload's network.", _equal("vn")),
    Parameter("remote_network", "Full name of the far end's.", _equal("remote_vn")),
    Parameter("port_name", "Full name of the workload's port.", _equal("vmi")),
    Parameter("address", "The workload's address.", _equal("local_ip")),
    Parameter("remote_address", "The far end's.", _equal("remote_ip")),
    Parameter("port", "Server's port number.", _port),
    Parameter("protocol", "tcp, udp, icmp, ... or a number.", _protocol),
    Parameter("action", "pass or deny.", _equal("forward_action")),
    Parameter("drop_reason", "Why it was dropped.", _equal("drop_reason")),
    Parameter(
        "rule",
        "UUID of the rule that decided; what had none, where none allowed.",
        _equal("security_policy_rule"),
    ),
    Parameter("vrouter", "Host that told.", _equal("vrouter")),
    Parameter("tag", "Tag of the workload, as tier=web.", _tag("")),
    Parameter("remote_tag", "Tag of the far end.", _tag("remote_")),
    Parameter("by", "Sums by these columns, with commas, in place of single sessions."),
    Parameter("step", "Sums for each so many seconds."),
)
_METRICS: Final = (
    Parameter("table", "Table of numbers, StatTable.STRUCT.LIST; GET /analytics/tables lists them."),
    Parameter("select", "Columns or SUM(), AVG(), MIN(), MAX() of them, with commas."),
    Parameter("by", "Columns that rows are grouped by, with commas: name, Source."),
    Parameter("step", "A row for each so many seconds."),
    Parameter("name", "Entity.", _equal("name")),
    Parameter("source", "Machine that told.", _equal("Source")),
)  # fmt: skip
PATHS: Final[Mapping[str, tuple[str, Sequence[Parameter]]]] = MappingProxyType(
    {
        "logs": ("What processes and devices logged.", (*_LOGS, *_COMMON)),
        "flows": ("Sessions of workloads, or sums of them.", (*_FLOWS, *_COMMON)),
        "metrics": ("Numbers over time.", (*_METRICS, *_COMMON)),
    }
)


def request_of(path: str, query: Mapping[str, str]) -> QueryRequest:
    """Return the request of ``/api/v1/<path>``; :class:`QueryUnusable` names the parameter and the fix."""
    parameters = {each.name: each for each in PATHS[path][1]}
    unknown = sorted(query.keys() - parameters.keys())
    if unknown:
        raise QueryUnusable(f"{unknown[0][:64]} is not known; known are {', '.join(parameters)}")
    matches = [
        each.match(query[name])
        for name, each in parameters.items()
        if name in query and each.match is not None
    ]
    step = _step(query.get("step"))
    is_summed = bool(step) or "by" in query
    table, columns, order, session_type = _chosen(path, query, matches, step, is_summed=is_summed)
    limit = _number("limit", query.get("limit", str(LIMIT_DEFAULT)), 1, LIMIT_MAX)
    start, end = _span(query)
    return QueryRequest(
        table=table,
        start_time=start,
        end_time=end,
        select_fields=columns,
        where=[matches] if matches else None,
        sort=_sort(query.get("order", "newest")),
        sort_fields=[order] if order else None,
        limit=limit,
        session_type=session_type,
    )


def is_ndjson(query: Mapping[str, str], accept: str) -> bool:
    """Tell whether rows go out one a line; :class:`QueryUnusable` for an unknown format."""
    wanted = query.get("format")
    if wanted is None:
        return "application/x-ndjson" in accept
    if wanted not in {"json", "ndjson"}:
        raise QueryUnusable(f"format={wanted[:32]} is neither json nor ndjson")
    return wanted == "ndjson"


def _chosen(
    path: str, query: Mapping[str, str], matches: list[Match], step: str, *, is_summed: bool
) -> tuple[str, list[str], str, str | None]:
    """Return table, columns, what rows are ordered by, and the side of sessions that counts."""
    by = _names(query.get("by", ""))
    bins = [step] if step else []
    if path == "logs":
        return _log_table(query.get("object"), matches), list(_LOG_COLUMNS), "MessageTS", None
    if path == "flows":
        if not is_summed:
            return "SessionRecordTable", list(_SESSION_COLUMNS), "T", None
        # Both hosts tell a session between them: one side counts.
        columns = [*bins, *by, *_SESSION_TOTALS]
        return "SessionSeriesTable", columns, step or _SESSION_TOTALS[1], "client"
    table, select = query.get("table", ""), _names(query.get("select", ""))
    if not table.startswith(STATISTICS):
        raise QueryUnusable(
            f"table is needed, {STATISTICS}STRUCT.LIST; GET /analytics/tables lists them"
        )
    if not select:
        raise QueryUnusable(
            f"select is needed; GET /analytics/table/{table[:64]}/schema lists columns"
        )
    shown = [*bins, *by, *select] if is_summed else ["T", "name", "Source", *select]
    is_called = any("(" in each for each in select)
    if is_called and not is_summed:
        shown = list(select)
    return table, shown, step or ("" if is_called else shown[0]), None


def _log_table(about: str | None, matches: list[Match]) -> str:
    if about is None:
        return "MessageTable"
    kind, colon, name = about.partition(":")
    if kind not in TABLES or not colon:
        raise QueryUnusable(f"object={about[:64]} is not TYPE:NAME of a type of UVE")
    matches.append(Match("ObjectId", name, Operation.EQUAL))
    return TABLES[kind]


def _names(given: str) -> list[str]:
    return [each.strip() for each in given.split(",") if each.strip()]


def _step(given: str | None) -> str:
    return f"T={_number('step', given, 1, _STEP_MAX)}" if given is not None else ""


def _sort(order: str) -> int:
    if order not in {"newest", "oldest", "greatest", "least"}:
        raise QueryUnusable(f"order={order[:32]} is none of newest, oldest, greatest, least")
    return 1 if order in {"oldest", "least"} else 2


def _span(query: Mapping[str, str]) -> tuple[int | str, int | str]:
    last = query.get("last")
    if last is not None and ("from" in query or not LAST.fullmatch(last)):
        raise QueryUnusable("last is as in 30s, 10m, 2h, 7d, and not given with from")
    end: int | str = moment_of("to", query["to"]) if "to" in query else "now"
    if "from" in query:
        return moment_of("from", query["from"]), end
    return f"now-{last or '10m'}", end


def moment_of(name: str, text: str) -> int:
    """Return microseconds since 1970."""
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return round(at.timestamp() * 1e6)
    except (ValueError, OverflowError) as error:
        raise QueryUnusable(f"{name}={text[:40]} is no time, as in 2026-11-28T04:00:00Z") from error


def _number(name: str, text: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise QueryUnusable(f"{name}={text[:32]} is no number from {least} to {most}")
    return int(text)


def openapi() -> dict[str, object]:
    """Return the description of these paths (OpenAPI 3.1)."""
    described = {
        f"/api/v1/{path}": {
            "get": {
                "summary": summary,
                "operationId": f"read_{path}",
                "parameters": [
                    {
                        "name": each.name,
                        "in": "query",
                        "required": path == "metrics" and each.name in {"table", "select"},
                        "description": each.description,
                        "schema": {"type": "string"},
                    }
                    for each in parameters
                ],
                "responses": {
                    "200": {
                        "description": "The rows; times are microseconds since 1970, UTC.",
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Rows"}},
                            "application/x-ndjson": {"schema": {"type": "object"}},
                        },
                    },
                    **_REFUSALS,
                },
            }
        }
        for path, (summary, parameters) in PATHS.items()
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Skytrail analytics", "version": "1"},
        "paths": described,
        "components": {"schemas": {"Rows": _ROWS}},
    }


_REFUSALS: Final = {
    code: {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
    for code, text in {
        "400": "A parameter cannot be used; the text names it and the fix.",
        "401": "Nobody is logged in.",
        "403": "The table tells of all projects, and is for administrators and global readers.",
        "404": "There is no such column or table.",
        "503": "The store does not answer, or too many ask.",
    }.items()
}
_ROWS: Final = {
    "type": "object",
    "required": ["columns", "rows"],
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}},
        "rows": {"type": "array", "items": {"type": "object"}},
        "missing": {
            "type": "object",
            "description": "Nodes whose part of history is not in the rows, and why; absent where none is.",
            "additionalProperties": {"type": "string"},
        },
    },
}
