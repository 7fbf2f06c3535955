"""Actions on single objects that change neither references nor elements: owner, mode, tags; and drafts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from skytrail.api import security_draft, sharing, tagging
from skytrail.api.admission import Links
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.io import bodies
from skytrail.api.io.callers import write_for
from skytrail.api.service import ConfigService
from skytrail.runtime.asgi import Request, Response

Handlers = Mapping[str, Callable[[Request], Awaitable[Response]]]
_Plan = Callable[[Change, Document], Record]


class ObjectActions:
    """Handlers; each answers with an empty object or raises Refused."""

    def __init__(self, service: ConfigService) -> None:
        self._service = service

    def handlers(self) -> Handlers:
        """Return the handlers by path."""
        return {
            "chown": self.chown,
            "chmod": self.chmod,
            "set-tag": self.set_tag,
            "security-policy-draft": self.settle_draft,
        }

    async def chown(self, request: Request) -> Response:
        return await self._carry_out(request, sharing.change_owner)

    async def chmod(self, request: Request) -> Response:
        return await self._carry_out(request, sharing.change_mode)

    async def set_tag(self, request: Request) -> Response:
        return await self._carry_out(request, tagging.set_tags)

    async def settle_draft(self, request: Request) -> Response:
        given, links = bodies.read_document(request), Links(bodies.base_of(request))
        await write_for(
            request, self._service, lambda change: security_draft.settle(change, given, links)
        )
        return bodies.reply({})

    async def _carry_out(self, request: Request, plan: _Plan) -> Response:
        given = bodies.read_document(request)
        await write_for(request, self._service, lambda change: plan(change, given))
        return bodies.reply({})
