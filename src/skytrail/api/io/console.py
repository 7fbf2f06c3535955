"""Serves the web console: files that its build made, from memory, to everybody.

GET /console/                 the shell, for every page of the console (its paths are the browser's)
GET /console/assets/<file>    scripts, styles, the model; named after their content

The files hold no secret: what they show comes by the same API, with the same rights, as to anyone.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from skytrail.api.refusal import not_found
from skytrail.runtime.asgi import Header, Request, Response, Router

INSTALLED: Final = Path(sys.prefix) / "share/skytrail/console"
"""Where `make install` puts it."""
CHECKOUT: Final = Path(__file__).resolve().parents[4] / "build/console/site"
FOLDER: Final = INSTALLED if INSTALLED.exists() else CHECKOUT

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""No other server is asked for anything; inline styles are how the components are laid out."""
_GUARDS: Final = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""In the order of preference; the build makes both beside each file worth it."""
_SHELL: Final = "index.html"


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    etag: str
    bodies: dict[str, bytes]
    """By content encoding; the empty one is always there."""


class ConsoleFiles:
    """The files of one build."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = _read(folder)

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/console", self._serve)
        router.add("GET", "/console/{path...}", self._serve)

    async def _serve(self, request: Request) -> Response:
        path = request.params.get("path", "")
        found = self._files.get(path)
        if found is None:
            if path.startswith("assets/") or _SHELL not in self._files:
                raise not_found(self._missing(path))
            path, found = _SHELL, self._files[_SHELL]
        headers: list[Header] = [("etag", found.etag), ("vary", "accept-encoding")]
        # A name of an asset changes with its content; the shell names the assets of its build.
        lasting = path.startswith("assets/")
        headers.append(
            ("cache-control", "public, max-age=31536000, immutable" if lasting else "no-cache")
        )
        headers += _GUARDS
        if request.headers.get("if-none-match") == found.etag:
            return Response(304, b"", found.content_type, tuple(headers))
        encoding = _encoding(request.headers.get("accept-encoding", ""), found)
        if encoding:
            headers.append(("content-encoding", encoding))
        return Response(200, found.bodies[encoding], found.content_type, tuple(headers))

    def _missing(self, path: str) -> str:
        if _SHELL in self._files:
            return f"The console has no file {path[:128]!r}: it was built anew, load the page again"
        return f"The console is not built: there is nothing in {self._folder}; run make console"


def _encoding(accepted: str, found: _File) -> str:
    """Return the best encoding that both ends have; a browser that refuses one (q=0) is rare."""
    words = {part.strip().replace(" ", "") for part in accepted.lower().split(",")}
    names = {word.split(";")[0] for word in words if not word.endswith(";q=0")}
    return next((name for name, _ in _ENCODINGS if name in names and name in found.bodies), "")


def _read(folder: Path) -> dict[str, _File]:
    """Return every file by its path below the folder; nothing when it was never built."""
    found: dict[str, _File] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        content_type = _TYPES.get(path.suffix)
        if content_type is None or not path.is_file():
            continue
        body = path.read_bytes()
        bodies = {"": body}
        for name, suffix in _ENCODINGS:
            packed = path.with_name(path.name + suffix)
            if packed.is_file():
                bodies[name] = packed.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        found[path.relative_to(folder).as_posix()] = _File(content_type, etag, bodies)
    return found
