"""The way of overlay flows through switches, by REST.

GET /analytics/underlay-path?source=ADDRESS&destination=ADDRESS    and, where known, source_port, destination_port,
    protocol (a number), network (of the source), start_time, end_time (as of queries; the last ten minutes)
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

import msgspec

from skytrail.analytics.collector import Collector
from skytrail.analytics.io.history import HistoryRefused, HistoryUnavailable, away
from skytrail.analytics.io.other_nodes import missing_headers
from skytrail.analytics.io.queries import Asked, Queries
from skytrail.analytics.query_request import Match, QueryRequest, QueryUnusable
from skytrail.analytics.underlay_map import (
    FLOWS,
    TABLE,
    Tunnel,
    flows_request,
    tunnels_of,
    underlay_request,
)
from skytrail.analytics.underlay_path import LINKS, ROUTER_TABLE, Link, answer, links_of, seen_of
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.uve_json import flat
from skytrail.net.decimal_text import bounded
from skytrail.runtime.asgi import HttpError, Request, Response, Router, json_reply

_ADDRESSES: Final = {"source": "o_sip", "destination": "o_dip"}
_NUMBERS: Final = {
    "source_port": "o_sport",
    "destination_port": "o_dport",
    "protocol": "o_protocol",
}
_MEMBERS: Final = frozenset(
    {*_NUMBERS, "source", "destination", "network", "start_time", "end_time"}
)
_NUMBER_MAX: Final = 65_535
_TOLD: Final = ["name", "Source", "flow.pifindex", "flow.oifindex", "flow.inner_sip"]
_SUMS: Final = ["SUM(flow.packets)", "SUM(flow.bytes)"]
_TUNNEL: Final = ["flow.sip", "flow.dip", "COUNT(flow)"]
_PAST: Final = "now-10m"


class UnderlayApi:
    """Asks history in two steps: which tunnel, then who saw it."""

    def __init__(self, queries: Queries, collector: Collector) -> None:
        self._queries = queries
        self._collector = collector

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/analytics/underlay-path", self._path)

    async def _path(self, request: Request) -> Response:
        asked = _asked(request.query)
        missing: dict[str, str] = {}
        shown = await self._shown(asked, missing)
        return json_reply(shown, headers=missing_headers(missing))

    async def _shown(self, asked: QueryRequest, missing: dict[str, str]) -> dict[str, object]:
        """Return the way; adds to ``missing`` whose part of history is not in it."""
        rows = await self._rows(flows_request(asked), missing)
        tunnels = tunnels_of(rows)
        if not tunnels:
            tunnels = await self._sampled_tunnels(asked, missing)
        if not tunnels:
            return answer([], ("", ""), ("", ""), {})
        tunnel = tunnels[0]
        told = msgspec.structs.replace(
            underlay_request(asked, [tunnel]), select_fields=[*_TOLD, *_SUMS]
        )
        ends = await self._names(asked, tunnel, missing)
        seen = seen_of(await self._rows(told, missing))
        shown = answer(self._links(), ends, tunnel, seen)
        shown["more_tunnels"] = [
            {"source": source, "destination": destination} for source, destination in tunnels[1:]
        ]
        return shown

    async def _sampled_tunnels(self, asked: QueryRequest, missing: dict[str, str]) -> list[Tunnel]:
        """Return the tunnels in which switches saw the flow, though no host told of it yet."""
        matches = underlay_request(asked, [("", "")]).where or []
        inner = [match for match in matches[0] if match.name.startswith("flow.inner_")]
        request = msgspec.structs.replace(
            asked, table=FLOWS, select_fields=_TUNNEL, where=[inner], dir=None
        )
        rows = await self._rows(request, missing)
        return [(str(row["flow.sip"]), str(row["flow.dip"])) for row in rows]

    async def _names(
        self, asked: QueryRequest, tunnel: Tunnel, missing: dict[str, str]
    ) -> tuple[str, str]:
        """Return the names of a tunnel's hosts, empty where they told no session of that time."""
        request = msgspec.structs.replace(
            asked,
            table="SessionRecordTable",
            select_fields=["vrouter", "vrouter_ip", "COUNT(vrouter)"],
            where=[[Match("vrouter_ip", end)] for end in tunnel],
        )
        rows = await self._rows(request, missing)
        names = {str(row["vrouter_ip"]): str(row["vrouter"]) for row in rows}
        source, destination = (names.get(end, "") for end in tunnel)
        return source, destination

    def _links(self) -> list[Link]:
        entities = self._collector.uves.entities(ROUTER_TABLE)
        told = UveFilter()
        structs = (
            (name, flat(told.part_of({LINKS: entity[LINKS]})).get(LINKS))
            for name, entity in entities
            if LINKS in entity
        )
        return links_of((name, struct) for name, struct in structs if isinstance(struct, dict))

    async def _rows(
        self, request: QueryRequest, missing: dict[str, str]
    ) -> list[dict[str, object]]:
        try:
            checked = self._queries.checked(request)
        except QueryUnusable as error:
            raise HttpError(400, str(error)) from error
        rows, absent = await named_rows(self._queries, checked)
        missing.update(absent)
        return rows


async def named_rows(
    queries: Queries, asked: Asked
) -> tuple[list[dict[str, object]], Mapping[str, str]]:
    """Return the rows of a query, and whose are missing; ``HttpError`` when no store can tell."""
    try:
        found = await queries.rows(asked)
    except HistoryUnavailable as error:
        raise away(error) from error
    except HistoryRefused as error:
        raise HttpError(400, f"The store refuses the query: {error}") from error
    except QueryUnusable as error:
        raise HttpError(400, str(error)) from error
    return [dict(zip(asked.columns, row, strict=True)) for row in found.rows], found.missing


def _asked(query: Mapping[str, str]) -> QueryRequest:
    """Read the flow; each member that does not fit is named."""
    unknown = sorted(query.keys() - _MEMBERS)
    if unknown:
        raise HttpError(400, f"{unknown[0][:64]!r} is none of {', '.join(sorted(_MEMBERS))}")
    matches = [Match(column, _address(query, name)) for name, column in _ADDRESSES.items()]
    for name, column in _NUMBERS.items():
        if name in query:
            matches.append(Match(column, _number(query, name)))
    if query.get("network"):
        matches.append(Match("o_svn", query["network"]))
    return QueryRequest(
        table=TABLE,
        start_time=query.get("start_time", _PAST),
        end_time=query.get("end_time", "now"),
        select_fields=["u_prouter"],
        where=[matches],
    )


def _address(query: Mapping[str, str], name: str) -> str:
    try:
        return str(ip_address(query.get(name, "")))
    except ValueError as error:
        raise HttpError(400, f"{name} is an IP address of a workload") from error


def _number(query: Mapping[str, str], name: str) -> int:
    try:
        return bounded(query[name], 0, _NUMBER_MAX)
    except ValueError as error:
        raise HttpError(400, f"{name}: {error}") from error
