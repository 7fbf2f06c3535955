"""The agents that a path trace asks: their tables, by Unix sockets of this machine or by the analytics node.

Blocking: a trace runs in a thread. By the node a question goes to an agent of any host that tells the node of itself; who
may ask it is judged there too, by the credentials of whoever asks for the trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlencode

import httpx
import msgspec

from skytrail.api.io.analytics_nodes import Nodes, base_url
from skytrail.lab import trace as tracing
from skytrail.lab.trace import PortRow, Query
from skytrail.runtime.introspection import IntrospectionFailed, read_table

AGENT: Final = "contrail-vrouter-agent"
ANSWER_S: Final = 10.0
PORTS_COUNT_MAX: Final = 1_000_000
_WHO: Final = ("node", "process")

Interfaces = tuple[dict[str, Sequence[PortRow]], dict[str, str]]
"""Ports by host, and why other hosts do not tell theirs."""


class Agents(Protocol):
    """Agents that can be asked."""

    def interfaces(self) -> Interfaces: ...

    def read(self, host: str, table: str, where: Query) -> list[dict[str, object]]:
        """Return rows of a host's table; ``IntrospectionFailed``."""
        ...


@dataclass(frozen=True, slots=True)
class SocketAgents:
    """Agents of this machine, by the name of their virtual-router."""

    sockets: Mapping[str, Path]

    def interfaces(self) -> Interfaces:
        ports: dict[str, Sequence[PortRow]] = {}
        dead: dict[str, str] = {}
        for name, path in self.sockets.items():
            try:
                ports[name] = tracing.port_rows(read_table(path, "interfaces"))
            except IntrospectionFailed:
                dead[name] = f"the agent of {name} does not answer"
        return ports, dead

    def read(self, host: str, table: str, where: Query) -> list[dict[str, object]]:
        return read_table(self.sockets[host], table, where=where)


class _Answer(msgspec.Struct, frozen=True):
    rows: list[dict[str, object]]
    failures: list[dict[str, str]]


class AnalyticsNode:
    """Where agents of other machines can be asked: ``unix:PATH`` or a URL, the first that is reached.

    Raises ``OSError`` for its authority's file.
    """

    def __init__(self, places: Sequence[str], ca_file: Path | None) -> None:
        self._client = httpx.Client(
            base_url=base_url(places[0]), transport=Nodes(places, ca_file), timeout=ANSWER_S + 1
        )

    def agents(self, credentials: Mapping[str, str]) -> AnalyticsAgents:
        """Return the agents as whoever has the credentials may ask them."""
        # As bytes: a header need not be ASCII, and is passed on as it came.
        headers = {name.encode(): value.encode("latin-1") for name, value in credentials.items()}
        return AnalyticsAgents(self._client, headers)


@dataclass(frozen=True, slots=True)
class AnalyticsAgents:
    """Agents that are connected to an analytics node."""

    client: httpx.Client
    headers: Mapping[bytes, bytes]

    def interfaces(self) -> Interfaces:
        try:
            found = self._ask("interfaces", {"limit": str(PORTS_COUNT_MAX)})
        except IntrospectionFailed as error:
            return {}, {"analytics": str(error)}
        rows: dict[str, list[dict[str, object]]] = {}
        for row in found.rows:
            rows.setdefault(str(row["node"]), []).append(_own(row))
        ports: dict[str, Sequence[PortRow]] = {
            name: tracing.port_rows(of_host) for name, of_host in rows.items()
        }
        return ports, {
            each["node"]: f"the agent of {each['node']} does not answer: {each['reason']}"
            for each in found.failures
        }

    def read(self, host: str, table: str, where: Query) -> list[dict[str, object]]:
        found = self._ask(table, {**where, "node": host})
        if found.failures:
            raise IntrospectionFailed(found.failures[0]["reason"])
        return [_own(row) for row in found.rows]

    def _ask(self, table: str, query: Mapping[str, str]) -> _Answer:
        asked = urlencode({**query, "process": AGENT, "timeout": f"{ANSWER_S:g}"})
        try:
            reply = self.client.get(f"/api/v1/introspect/{table}?{asked}", headers=self.headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise IntrospectionFailed(f"the analytics node does not answer: {error}") from error
        if reply.status_code != 200:
            raise IntrospectionFailed(f"the analytics node: {reply.text[:200]}")
        return msgspec.json.decode(reply.content, type=_Answer)


def _own(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in _WHO}
