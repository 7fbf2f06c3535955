"""The same window into every daemon: its own tables, as JSON, straight from its own types.

    GET /introspect                     {"tables": ["fib", ...]}
    GET /introspect/<table>             {"table", "rows": [...], "total": n}; every daemon has ``process``
        ?limit=N                        at most N rows (10,000 unless told)
        ?offset=N                       without the first N of them: a page of a long table
        ?match=<text>                   only rows in which any value holds this text, in any case
        ?<column>=<text>                only rows whose column prints as this text
    GET /healthz                        200 {"healthy": true, "unmet": []} or 503 with the unmet
                                        dependencies by name
    GET /metrics                        Prometheus text

Tables are callables, read at each request; nothing is copied or kept here. A large one
(:class:`Sliced`) is read in slices, so that the daemon's loop does its work meanwhile; what it can
look up itself, it is asked for.
"""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
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
    of: Mapping[str, Callable[[str], Iterable[object]]] = field(
        default_factory=dict[str, Callable[[str], Iterable[object]]]
    )
    """By column: the rows in which it prints as a text, found without reading the others."""

    def __call__(self) -> Iterable[object]:
        return self.source()

    def narrowed(self, columns: Mapping[str, str]) -> Iterable[object]:
        """Return the rows by one of the columns that the source can look up, else all."""
        for name, look_up in self.of.items():
            if name in columns:
                return look_up(columns[name])
        return self.source()


HealthSource = Callable[[], Sequence[str]]
"""Returns the names of unmet dependencies; empty means healthy."""

MetricsSource = Callable[[], Iterable[Sample]]


def always_healthy() -> Sequence[str]:
    return ()


def no_metrics() -> Iterable[Sample]:
    return ()


_TRUTH: Final = {"True": "true", "False": "false"}


class Page:
    """The rows of a table that a query asks for; raises ``HttpError`` 400 for what makes no sense."""

    def __init__(self, table: str, query: Mapping[str, str]) -> None:
        asked = dict(query)
        self._table = table
        self._limit = _count("limit", asked.pop("limit", None), ROWS_COUNT_DEFAULT)
        self._offset = _count("offset", asked.pop("offset", None), 0)
        self._match = _lowered(asked.pop("match", ""))
        # Python's words for truth as well: older tools print and ask so.
        self.columns: Mapping[str, str] = {
            name: _TRUTH.get(text, text) for name, text in asked.items()
        }
        self._shown: list[bytes] = []
        self._total = 0

    def add(self, row: object) -> None:
        """Take a row, if it is one of those that are asked for."""
        chooses = bool(self.columns or self._match)
        is_in_sight = self._offset <= self._total < self._offset + self._limit
        text = encode_json(row) if chooses or is_in_sight else b""
        if chooses and not self._is_chosen(text):
            return
        self._total += 1
        if is_in_sight:
            self._shown.append(text)

    def reply(self) -> Response:
        head = b'{"table":%b,"rows":[' % encode_json(self._table)
        return Response(200, b'%b%b],"total":%d}' % (head, b",".join(self._shown), self._total))

    def _is_chosen(self, text: bytes) -> bool:
        # Most rows of a long table are not meant: these are not decoded.
        if self._match and self._match not in text.decode().lower():
            return False
        if not all(_may_hold(text, wanted) for wanted in self.columns.values()):
            return False
        columns = msgspec.json.decode(text)
        if not isinstance(columns, dict):
            return False
        shown = cast("dict[str, object]", columns)
        return all(_text(shown.get(name)) == told for name, told in self.columns.items()) and (
            not self._match or _holds(shown, self._match)
        )


class Introspection:
    """The tables, health and metrics of one daemon, and the routes that show them."""

    def __init__(
        self,
        tables: Mapping[str, TableSource],
        health: HealthSource = always_healthy,
        metrics: MetricsSource = no_metrics,
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._tables: Mapping[str, TableSource] = {**tables, "process": self._process_rows}

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
        page = Page(name, dict(request.query))
        sliced = isinstance(source, Sliced)
        turn_ends = time.perf_counter() + SLICE_S
        for row in source.narrowed(page.columns) if isinstance(source, Sliced) else source():
            page.add(row)
            if sliced and time.perf_counter() >= turn_ends:
                await asyncio.sleep(0)
                turn_ends = time.perf_counter() + SLICE_S
        return page.reply()

    def _process_rows(self) -> Iterable[object]:
        unmet = list(self._health())
        yield {"healthy": not unmet, "unmet": unmet, **process_facts()}

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


def _count(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > _LIMIT_DIGITS_MAX:
        raise HttpError(
            400, f"{name}={text[:40]} is not a number of up to {_LIMIT_DIGITS_MAX} digits"
        )
    return int(text)


def _lowered(text: str) -> str:
    """Return a text as it stands within JSON, without the quotes."""
    return encode_json(text)[1:-1].decode().lower()


def _may_hold(row: bytes, text: str) -> bool:
    """Tell whether a row may have a column that prints as a text; a column that is not there prints as null."""
    return text == "null" or text.encode() in row or encode_json(text)[1:-1] in row


def _holds(value: object, lowered: str) -> bool:
    if isinstance(value, dict):
        return any(_holds(each, lowered) for each in cast("dict[str, object]", value).values())
    if isinstance(value, list):
        return any(_holds(each, lowered) for each in cast("list[object]", value))
    text = encode_json(value)
    return lowered in (text[1:-1] if isinstance(value, str) else text).decode().lower()


def _text(value: object) -> str:
    return value if isinstance(value, str) else encode_json(value).decode()


def process_facts() -> Mapping[str, object]:
    """Return what every process knows of itself: version, age, and what it uses."""
    seconds, resident_bytes, fds_count = _resources()
    return {
        "version": _version(),
        "python": platform.python_version(),
        "pid": os.getpid(),
        "uptime_s": round(_uptime_s(), 1),
        "cpu_seconds": round(seconds, 2),
        "resident_bytes": resident_bytes,
        "open_fds": fds_count,
    }


@cache
def _version() -> str:
    try:
        return version("skytrail")
    except PackageNotFoundError:
        return "not installed as a package"


def _uptime_s() -> float:
    """Return for how long this process has run, by the kernel's clock (proc(5))."""
    stat = Path("/proc/self/stat").read_text(encoding="utf-8", errors="replace")
    started_ticks = int(stat.rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")


def _resources() -> tuple[float, int, int]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    fds_count = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return usage.ru_utime + usage.ru_stime, pages * resource.getpagesize(), fds_count


def _process_samples() -> Iterator[Sample]:
    seconds, resident_bytes, fds_count = _resources()
    yield Sample("process_cpu_seconds_total", seconds)
    yield Sample("process_resident_memory_bytes", resident_bytes)
    yield Sample("process_open_fds", fds_count)
