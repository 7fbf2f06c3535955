"""Passes requests of the console on to an analytics node: the browser knows one server only.

GET, POST /api/v1/analytics/<path>         ->   /analytics/<path> of the node
GET /api/v1/analytics/introspect[/<table>]  ->   /api/v1/introspect[/<table>]: live tables of all processes
GET /api/v1/analytics/logs, flows, metrics  ->   /api/v1/logs, ...: history by readable parameters
.../alarms/dry-run, .../alarms/<type>/<name>/collected  ->   /api/v1/alarms/...: rules tried, pages kept

Who may ask is judged here as the node itself judges it (administrators and global readers; members of projects for
what is their own, with their project named to the node), and
again by a node that is reached over TCP, which is told the caller's own credentials. A stream
ends when its reader is no longer who it was, before it tells anything more.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlencode

import httpx
import structlog

from skytrail.api import authorize
from skytrail.api.io import watch
from skytrail.api.io.analytics_nodes import TURN, AsyncNodes, base_url
from skytrail.api.io.callers import caller_of
from skytrail.api.io.gate import Gate
from skytrail.api.refusal import Refused, bad_request, not_found
from skytrail.api.service import ConfigService
from skytrail.api.sight import Sight
from skytrail.api.tenant_sight import analytics_project, may_acknowledge, project_since_us
from skytrail.runtime.asgi import JSON, Request, Response, Router, StreamResponse
from skytrail.runtime.tenant import PROJECT_HEADER, SINCE_HEADER, USER_HEADER

_READS: Final = frozenset(
    {
        "uves",
        "uve-types",
        "uve-stream",
        "alarms",
        "alarm-stream",
        "tables",
        "table",
        "query",
        "underlay-path",
        "introspect",
        "logs",
        "flows",
        "metrics",
    }
)
"""First segments that may be read."""
_NATIVE: Final = frozenset({"introspect", "logs", "flows", "metrics"})
"""Of these, those that the node has under ``/api/v1``."""
_PREFIX: Final = ("api", "v1", "analytics")
_DRY_RUN: Final = ("alarms", "dry-run")
_ACKNOWLEDGE: Final = ("alarms", "acknowledge")
_POSTS: Final = frozenset({("query",), _ACKNOWLEDGE, _DRY_RUN})
_OF_TENANTS: Final = frozenset(
    {
        ("POST", ("query",)),
        ("POST", _DRY_RUN),
        ("POST", _ACKNOWLEDGE),
        *(
            ("GET", (name,))
            for name in (
                "flows",
                "metrics",
                "tables",
                "uve-types",
                "uve-stream",
                "alarms",
                "alarm-stream",
            )
        ),
    }
)
"""What the node narrows to one project."""
_PASSED_ON: Final = ("x-auth-token", "authorization", "content-type")
_PASSED_BACK: Final = ("x-skytrail-missing-nodes",)
"""Of several nodes with a store each: whose part is not in the answer."""
CONNECT_S: Final = 5.0
ANSWER_S: Final = 65.0
"""A query may take a minute."""
ELSEWHERE_S: Final = 60.0
"""A stream of another node than the first ends then: its reader opens the next."""
_CONNECTIONS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Each is of one request here, and those are bounded. Streams hold theirs for hours: were all to
share a hundred, a hundred open pages would keep everybody's questions waiting."""


class AnalyticsPassage:
    """The analytics nodes, in the order in which they are asked: ``unix:PATH`` of this machine, or URLs."""

    def __init__(
        self,
        service: ConfigService,
        places: Sequence[str],
        ca_file: Path | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._service = service
        self._gate = gate
        self._log = structlog.get_logger("skytrail.api")
        self._client = httpx.AsyncClient(
            base_url=base_url(places[0]),
            transport=AsyncNodes(places, ca_file, _CONNECTIONS),
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        )

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/analytics/{path...}", self.pass_on)
        router.add("POST", "/api/v1/analytics/{path...}", self.pass_on)

    async def pass_on(self, request: Request) -> Response | StreamResponse:
        # What is asked for may have a slash in its name.
        parts = request.segments[len(_PREFIX) :]
        reads = request.method != "POST"
        is_served = parts[0] in _READS if reads else parts in _POSTS
        if not is_served or not {".", ".."}.isdisjoint(parts):
            raise not_found(f"Analytics is not asked for {request.path[:128]} through here")
        project = self._project_of(parts, request)
        graph, caller = self._service.graph, caller_of(request)
        if parts == _ACKNOWLEDGE and not (project is not None and may_acknowledge(graph, caller)):
            authorize.require_admin(graph, caller, "acknowledging alarms")
        asked = self._asked(parts, request)
        asked.headers[USER_HEADER] = quote(caller.user)
        if project is not None:
            asked.headers[PROJECT_HEADER] = quote(project, safe=":")
            asked.headers[SINCE_HEADER] = str(project_since_us(graph, caller))
        if parts[0].endswith("-stream"):
            asked.extensions = {"timeout": httpx.Timeout(None, connect=CONNECT_S).as_dict()}
        try:
            reply = await self._client.send(asked, stream=True)
        except httpx.HTTPError as error:
            raise Refused(503, "The analytics node does not answer") from error
        return StreamResponse(
            _Answer(reply, self._body(reply, request, project)),
            reply.status_code,
            reply.headers.get("content-type", JSON),
            tuple((name, reply.headers[name]) for name in _PASSED_BACK if name in reply.headers),
        )

    def _project_of(self, parts: tuple[str, ...], request: Request) -> str | None:
        """Return the project that all is narrowed to, None: nothing is; ``Refused`` where it cannot be."""
        graph, caller = self._service.graph, caller_of(request)
        if caller.is_reader or not authorize.is_restricted(graph, caller):
            return None
        project = analytics_project(graph, caller)
        is_open = request.method == "GET" and (
            parts[0] == "uves" or (parts[0] == "table" and parts[2:] == ("schema",))
        )
        if project is None or not (is_open or (request.method, parts) in _OF_TENANTS):
            raise Refused(
                403,
                "Permission Denied: members of a project ask analytics for its sessions and flows, its networks,"
                " ports and machines with their numbers and alarms; all else needs the role of an administrator"
                " or global reader",
            )
        return project

    def _is_still(self, request: Request, project: str | None) -> bool:
        """Tell whether a caller who was narrowed to a project may still see that project's part."""
        graph = self._service.graph
        return project is None or analytics_project(graph, caller_of(request)) == project

    def _asked(self, parts: tuple[str, ...], request: Request) -> httpx.Request:
        # As bytes: a header need not be ASCII, and is passed on as it came.
        headers = {
            name.encode(): request.headers[name].encode("latin-1")
            for name in _PASSED_ON
            if name in request.headers
        }
        try:
            return self._client.build_request(
                request.method,
                self._path(parts, request),
                headers={**headers, b"accept-encoding": b"identity"},
                content=request.body or None,
            )
        except httpx.InvalidURL as error:
            raise bad_request("The path or query is too long for the analytics node") from error

    @staticmethod
    def _path(parts: tuple[str, ...], request: Request) -> str:
        is_native = parts[0] in _NATIVE or parts == _DRY_RUN
        is_native = is_native or (parts[0] == "alarms" and parts[-1] == "collected")
        base = "/api/v1/" if is_native else "/analytics/"
        path = base + "/".join(quote(part, safe=":*") for part in parts)
        pairs = [(name, value) for name, values in request.query_all.items() for value in values]
        return f"{path}?{urlencode(pairs)}" if pairs else path

    async def _body(
        self, reply: httpx.Response, request: Request, project: str | None
    ) -> AsyncGenerator[bytes]:
        """Yield the node's bytes; closed with the client's request, ended with its rights."""
        sight = Sight(self._service.graph, caller_of(request), self._service.schema)
        standing = None if self._gate is None else self._gate.standing(request)
        # Generators return to the first node as soon as it is there; who follows another returns as well.
        is_kept = not reply.extensions.get(TURN) or "-stream" not in request.path
        until = math.inf if is_kept else time.monotonic() + ELSEWHERE_S
        try:
            async for chunk in reply.aiter_raw():
                if time.monotonic() > until:
                    return
                if not await watch.may_go_on(sight, standing) or not self._is_still(
                    request, project
                ):
                    return
                yield chunk
        except httpx.HTTPError as error:
            self._log.warning("analytics_left", path=request.path, reason=str(error))
        finally:
            await reply.aclose()


class _Answer:
    """What a node says, as it comes. Its connection is given back at the end, also where nothing of it was read."""

    def __init__(self, reply: httpx.Response, body: AsyncGenerator[bytes]) -> None:
        self._reply = reply
        self._body = body

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._body)

    async def aclose(self) -> None:
        await self._body.aclose()
        # A generator that was never asked does not get to its own end.
        await self._reply.aclose()
