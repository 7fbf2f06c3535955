"""The same window into every daemon: its own tables, as JSON, straight from its own types.

    GET /introspect                     {"tables": ["fib", ...]}
    GET /introspect/<table>             {"table", "rows": [...], "total": n}
        ?limit=N                        at most N rows (10,000 unless told)
        ?<column>=<text>                only rows whose column prints as this text
    GET /healthz                        200 {"healthy": true, "unmet": []} or 503 with the unmet
                                        dependencies by name
    GET /metrics                        Prometheus text

Tables are callables, read at each request; nothing is copied or kept here. A large one
(:class:`Sliced`) is read in slices, so that the daemon's loop does its work meanwhile.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import httpx
import msgspec

from skytrail.runtime.asgi import (
    AsgiApp,
    HttpError,
    Request,
    Response,
    Router,
    encode_json,
    json_reply,
)
from skytrail.runtime.metrics import METRICS_TYPE, Sample, render
from skytrail.runtime.server import listen_unix, serve

ROWS_COUNT_DEFAULT: Final = 10_000
READ_TIMEOUT_S: Final = 10.0
_LIMIT_DIGITS_MAX: Final = 18

TableSource = Callable[[], Iterable[object]]
"""Yields rows: mappings, msgspec structs or dataclasses."""

SLICE_S: Final = 0.005
"""How long rows are read before the loop has its turn."""


@dataclass(frozen=True, slots=True)
class Sliced:
    """A source whose rows may be read with anything happening in between.

    Each row is true when it is read; rows that come or go meanwhile may be there or not.
    """

    source: Callable[[], Iterable[object]]

    def __call__(self) -> Iterable[object]:
        return self.source()


HealthSource = Callable[[], Sequence[str]]
"""Returns the names of unmet dependencies; empty means healthy."""

MetricsSource = Callable[[], Iterable[Sample]]


def always_healthy() -> Sequence[str]:
    return ()


def no_metrics() -> Iterable[Sample]:
    return ()


class Introspection:
    """The tables, health and metrics of one daemon, and the routes that show them."""

    def __init__(
        self,
        tables: Mapping[str, TableSource],
        health: HealthSource = always_healthy,
        metrics: MetricsSource = no_metrics,
    ) -> None:
        self._tables = tables
        self._health = health
        self._metrics = metrics

    def add_routes(self, router: Router) -> None:
        """Serve these pages from a router that serves other things too."""
        router.add("GET", "/introspect", self._list_tables)
        router.add("GET", "/introspect/{table}", self._show_table)
        router.add("GET", "/healthz", self._show_health)
        router.add("GET", "/metrics", self._show_metrics)

    def router(self) -> Router:
        """Return a router that serves these pages alone."""
        made = Router()
        self.add_routes(made)
        return made

    async def _list_tables(self, request: Request) -> Response:
        return json_reply({"tables": sorted(self._tables)})

    async def _show_table(self, request: Request) -> Response:
        name = request.params["table"]
        source = self._tables.get(name)
        if source is None:
            known = ", ".join(sorted(self._tables)) or "none"
            raise HttpError(404, f"No table {name}; known tables: {known}")
        wanted = dict(request.query)
        limit = _limit(wanted.pop("limit", None))
        shown: list[bytes] = []
        total = 0
        turn_ends = time.perf_counter() + SLICE_S
        for row in source():
            text = encode_json(row) if wanted or total < limit else b""
            if not wanted or _matches(text, wanted):
                total += 1
                if total <= limit:
                    shown.append(text)
            if isinstance(source, Sliced) and time.perf_counter() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.perf_counter() + SLICE_S
        head = b'{"table":%b,"rows":[' % encode_json(name)
        return Response(200, b'%b%b],"total":%d}' % (head, b",".join(shown), total))

    async def _show_health(self, request: Request) -> Response:
        unmet = tuple(self._health())
        return json_reply({"healthy": not unmet, "unmet": unmet}, 503 if unmet else 200)

    async def _show_metrics(self, request: Request) -> Response:
        body = render([*_process_samples(), *self._metrics()])
        return Response(200, body, METRICS_TYPE)


async def serve_unix(
    path: str | Path,
    introspection: Introspection,
    *,
    when_ready: Callable[[], None] | None = None,
) -> None:
    """Serve the pages on a Unix socket until cancelled; raises AddressInUse at once."""
    router = Router()
    introspection.add_routes(router)
    await serve(AsgiApp(router), [listen_unix(path)], when_ready=when_ready)


class IntrospectionFailed(Exception):
    """The daemon is not there, or has no such table; the text says which."""


def read_page(path: str | Path, page: str, *, timeout_s: float = READ_TIMEOUT_S) -> bytes:
    """Return one page's body (``/healthz``); raises IntrospectionFailed. 503 is an answer."""
    # A Unix socket has no TLS; loading certificates would take longer than the answer.
    transport = httpx.HTTPTransport(uds=str(path), verify=False)
    try:
        with httpx.Client(
            transport=transport, base_url="http://daemon", timeout=timeout_s, trust_env=False
        ) as client:
            reply = client.get(page)
    except httpx.HTTPError as error:
        message = f"no answer on {path}: {error}; is the daemon running?"
        raise IntrospectionFailed(message) from error
    if reply.status_code not in (200, 503):
        message = f"{path}{page}: {reply.text}"
        raise IntrospectionFailed(message)
    return reply.content


def read_table(
    path: str | Path,
    table: str,
    *,
    limit: int | None = None,
    where: Mapping[str, str] | None = None,
) -> list[dict[str, object]]:
    """Return a table's rows from a daemon's Unix socket; raises IntrospectionFailed."""
    count = ROWS_COUNT_DEFAULT if limit is None else limit
    query = httpx.QueryParams({**(where or {}), "limit": str(count)})
    body = read_page(path, f"/introspect/{table}?{query}")
    return msgspec.json.decode(body, type=_TableReply).rows


class _TableReply(msgspec.Struct, frozen=True, kw_only=True):
    table: str
    rows: list[dict[str, object]]
    total: int


def _limit(text: str | None) -> int:
    if text is None:
        return ROWS_COUNT_DEFAULT
    if not text.isascii() or not text.isdigit() or len(text) > _LIMIT_DIGITS_MAX:
        raise HttpError(
            400, f"limit={text[:40]} is not a number of up to {_LIMIT_DIGITS_MAX} digits"
        )
    return int(text)


def _matches(row: bytes, wanted: Mapping[str, str]) -> bool:
    columns = msgspec.json.decode(row)
    if not isinstance(columns, dict):
        return False
    shown = cast("dict[str, object]", columns)
    return all(_text(shown.get(name)) == text for name, text in wanted.items())


def _text(value: object) -> str:
    return value if isinstance(value, str) else encode_json(value).decode()


def _process_samples() -> Iterator[Sample]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Sample("process_cpu_seconds_total", usage.ru_utime + usage.ru_stime)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    yield Sample("process_resident_memory_bytes", pages * resource.getpagesize())
    yield Sample("process_open_fds", sum(1 for _ in Path("/proc/self/fd").iterdir()))
