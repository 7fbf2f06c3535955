"""The API describes itself: JSON Schemas by type, and a page to browse, without any other server.

GET /api/v1/schemas          names of the types
GET /api/v1/schemas/<type>   the JSON Schema of one, complete in itself
GET /api/v1/docs             the page; it reads /openapi.json of this server and nothing else
"""

from __future__ import annotations

import msgspec

from skytrail.api import documents, home
from skytrail.api.docs_page import PAGE
from skytrail.api.documents import Document
from skytrail.api.io import bodies
from skytrail.api.io.native import NativeApi
from skytrail.api.service import ConfigService
from skytrail.model.openapi_native import type_schema
from skytrail.runtime.asgi import Request, Response, Router

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
)


class DescriptionApi:
    """Handlers; the schemas are made once, when first asked for."""

    def __init__(self, service: ConfigService, native: NativeApi) -> None:
        self._service = service
        self._native = native
        self._schemas: Document = {}

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/schemas", self._names)
        router.add("GET", "/api/v1/schemas/{type}", self._schema)
        router.add("GET", "/api/v1/docs", self._page)

    async def _names(self, request: Request) -> Response:
        return bodies.reply({"types": sorted(self._service.schema.resources)})

    async def _schema(self, request: Request) -> Response:
        resource = self._native.resource(request)
        if not self._schemas:
            document = home.description(self._service.schema)
            self._schemas = documents.section(document, "components", "schemas")
        body = msgspec.json.encode(type_schema(self._schemas, resource))
        return Response(200, body, "application/schema+json")

    async def _page(self, request: Request) -> Response:
        headers = (("content-security-policy", _POLICY),)
        return Response(200, PAGE.encode(), "text/html; charset=utf-8", headers)
