"""Passes requests of the console on to an analytics node: the browser knows one server only.

GET, POST /api/v1/analytics/<path>   ->   /analytics/<path> of the node

Who may ask is judged here (administrators and global readers, as the node itself judges it), and
again by a node that is reached over TCP, which is told the caller's own credentials.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import httpx

from skytrail.api import authorize
from skytrail.api.io.callers import caller_of
from skytrail.api.refusal import Refused, not_found
from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import JSON, Request, Response, Router, StreamResponse

_READS: Final = frozenset(
    {"uves", "uve-types", "uve-stream", "alarms", "alarm-stream", "tables", "table", "query"}
)
"""First segments that may be read."""
_POSTS: Final = frozenset({("query",), ("alarms", "acknowledge")})
_PASSED_ON: Final = ("x-auth-token", "authorization", "content-type")
CONNECT_S: Final = 5.0
ANSWER_S: Final = 65.0
"""A query may take a minute."""


class AnalyticsPassage:
    """One analytics node: ``unix:PATH`` of this machine, or a URL."""

    def __init__(self, service: ConfigService, place: str, ca_file: Path | None = None) -> None:
        self._service = service
        local = place.startswith("unix:")
        verify: ssl.SSLContext | bool = False
        if place.startswith("https"):
            verify = ssl.create_default_context(cafile=ca_file)
        self._client = httpx.AsyncClient(
            base_url="http://analytics" if local else place,
            transport=httpx.AsyncHTTPTransport(uds=place.removeprefix("unix:")) if local else None,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            verify=verify,
            trust_env=False,
        )

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/analytics/{path...}", self._pass)
        router.add("POST", "/api/v1/analytics/{path...}", self._pass)

    async def _pass(self, request: Request) -> Response | StreamResponse:
        parts = tuple(request.params["path"].split("/"))
        reads = request.method != "POST"
        is_served = parts[0] in _READS if reads else parts in _POSTS
        if not is_served or not {".", ".."}.isdisjoint(parts):
            raise not_found(f"Analytics is not asked for {request.path[:128]} through here")
        if parts == ("alarms", "acknowledge"):
            authorize.require_admin(self._service.graph, caller_of(request), "acknowledging alarms")
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        asked = self._client.build_request(
            request.method,
            self._path(parts, request),
            headers={**headers, "accept-encoding": "identity"},
            content=request.body or None,
        )
        if parts[0].endswith("-stream"):
            asked.extensions = {"timeout": httpx.Timeout(None, connect=CONNECT_S).as_dict()}
        try:
            reply = await self._client.send(asked, stream=True)
        except httpx.HTTPError as error:
            raise Refused(503, "The analytics node does not answer") from error
        return StreamResponse(
            _body(reply), reply.status_code, reply.headers.get("content-type", JSON)
        )

    @staticmethod
    def _path(parts: tuple[str, ...], request: Request) -> str:
        path = "/analytics/" + "/".join(quote(part, safe=":*") for part in parts)
        pairs = [(name, value) for name, values in request.query_all.items() for value in values]
        return f"{path}?{urlencode(pairs)}" if pairs else path


async def _body(reply: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the node's bytes; closed with the client's request."""
    try:
        async for chunk in reply.aiter_raw():
            yield chunk
    finally:
        await reply.aclose()
