"""Reads of one server show what any server acknowledged before; or say how old they may be.

Where several servers share a store, a request first waits until this one's copy is as new as the
store was when the request came. ``?stale=ok`` does not wait. When the store does not answer, reads
go on and say ``X-Stale: <seconds>``, the age of the copy; writes are refused by the store itself.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import Handler, Reply, Request, Response

HEADER: Final = "x-stale"
_OWN_BUSINESS: Final = frozenset({"healthz", "metrics", "introspect", "openapi.json"})


class Fresh:
    """A handler around all others."""

    def __init__(self, service: ConfigService, inner: Handler) -> None:
        self._service = service
        self._inner = inner

    async def __call__(self, request: Request) -> Reply:
        shared = self._service.shared
        if shared is None or not _matters(request):
            return await self._inner(request)
        age_s = await shared.staleness()
        reply = await self._inner(request)
        if age_s is not None and isinstance(reply, Response):
            return replace(reply, headers=(*reply.headers, (HEADER, f"{age_s:.1f}")))
        return reply


def _matters(request: Request) -> bool:
    """Whether the copy's age shows; a create judges by the store anyway."""
    segments = request.segments
    if segments[:3] == ("api", "v1", "elections"):
        return False
    if request.query.get("stale") == "ok" or (segments and segments[0] in _OWN_BUSINESS):
        return False
    return not (request.method == "POST" and len(segments) == 1 and segments[0].endswith("s"))
