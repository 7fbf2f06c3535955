"""Names and uuids of domains and projects that only the identity service knows yet.

A handler around all others: before a request that looks one up is answered, the directory may make
it. A directory that does not answer is 503: "not found" would be a guess.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog

from skytrail.api.identity import is_uuid
from skytrail.api.plugin import Directory, IdentityUnavailable, NotAuthentic
from skytrail.runtime.asgi import Handler, HttpError, Reply, Request

KINDS: Final = ("domain", "project")


class _Lookup(msgspec.Struct):
    type: str = ""
    fq_name: list[str] = []


class Mirrored:
    """Asks the directory for what a request names."""

    def __init__(self, directory: Directory | None, inner: Handler) -> None:
        self._directory = directory
        self._inner = inner

    async def __call__(self, request: Request) -> Reply:
        if self._directory is not None:
            try:
                await _bring(self._directory, request)
            except NotAuthentic as error:
                structlog.get_logger("skytrail.api").warning("directory_odd", reason=str(error))
            except IdentityUnavailable as error:
                structlog.get_logger("skytrail.api").warning(
                    "identity_unavailable", reason=str(error)
                )
                raise HttpError(503, "The identity service does not answer") from error
        return await self._inner(request)


async def _bring(directory: Directory, request: Request) -> None:
    segments = request.segments
    native = segments[:2] == ("api", "v1")
    path = segments[2:] if native else segments
    if request.method in ("GET", "HEAD") and path and path[0].lower() in KINDS:
        kind = path[0].lower()
        if len(path) == 2 and is_uuid(path[1]):
            await directory.bring_uuid(kind, path[1])
        elif native and len(path) == 3 and path[1] == "by-name":
            await directory.bring_name(kind, tuple(path[2].split(":")))
    elif request.method == "POST" and segments == ("fqname-to-id",):
        try:
            asked = msgspec.json.decode(request.body, type=_Lookup)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return  # The handler says what is wrong with it.
        if asked.type in KINDS:
            await directory.bring_name(asked.type, tuple(asked.fq_name))
