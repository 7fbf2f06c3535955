"""The embedded engine's process: chDB behind the part of ClickHouse's HTTP that we use.

It owns its folder; a second process on the same one fails at its start. The engine is native code: should it crash, this
process goes and is started again, and nobody else notices but by a refused connection.

```
 Unix socket --POST /?query=...&param_x=...--> one thread, in turn --> chdb session --> folder
```
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, cast

from skytrail.analytics.io.engine_start import heard, tell
from skytrail.analytics.store_errors import CODE_HEADER, NOT_ENOUGH_SPACE
from skytrail.runtime.asgi import AsgiApp, Request, Response, Router, text_reply
from skytrail.runtime.introspection import Introspection
from skytrail.runtime.metrics import Sample
from skytrail.runtime.server import listen_unix, serve

THREADS_COUNT: Final = 1
"""Two statements at once on one session were seen to wait for each other for ever; the engine itself uses all cores for
one."""
BODY_BYTES_MAX: Final = 64 << 20
ANSWER_BYTES_MAX: Final = 64 << 20
_FORMAT: Final = re.compile(r"\s+FORMAT\s+(\w+)\s*$")
_PARAMETER: Final = "param_"
_SAID: Final = "start.log"
"""Of a start that is not through."""
_CODE: Final = re.compile(r"Code: (\d{1,5})\.")
_DISK_FULL: Final = "No space left on device"
_INSERT: Final = re.compile(r"(INSERT INTO \S+) (SETTINGS .*)FORMAT (\w+)")
_SETTINGS: Final = " SETTINGS "


class Engine(Protocol):
    """What is used of a chDB session; released from the interpreter's lock while it works."""

    def query(self, sql: str, fmt: str, params: dict[str, str] | None = None) -> object: ...

    def close(self) -> None: ...


def open_engine(folder: Path) -> Engine:
    """Open the engine on a folder; takes a second, and a third of a gigabyte."""
    from chdb import session  # pyright: ignore[reportMissingTypeStubs] # loads the engine

    return cast("Engine", session.Session(str(folder)))


async def serve_engine(folder: Path, socket: Path, when_ready: Callable[[], None]) -> None:
    """Serve until cancelled; RuntimeError when the folder is another process's."""
    workers = ThreadPoolExecutor(THREADS_COUNT, "history")
    loop = asyncio.get_running_loop()
    folder.mkdir(parents=True, exist_ok=True)
    engine, said = await loop.run_in_executor(
        workers, lambda: heard(lambda: open_engine(folder), folder / _SAID)
    )
    tell(said)

    counts = Counter({"done": 0, "refused": 0})

    def samples() -> Iterable[Sample]:
        for result, count in counts.items():
            yield Sample("skytrail_history_statements_total", count, {"result": result})

    async def answer(request: Request) -> Response:
        query = request.query.get("query", "")
        named = {
            name.removeprefix(_PARAMETER): value
            for name, value in request.query.items()
            if name.startswith(_PARAMETER)
        }
        try:
            reply = await loop.run_in_executor(
                workers, carry_out, engine, query, named, request.body
            )
        except RuntimeError as error:  # The engine's only kind: it refuses a statement.
            counts["refused"] += 1
            return text_reply(str(error), 400, ((CODE_HEADER, code_of(str(error))),))
        counts["done"] += 1
        return Response(200, reply, "application/json")

    router = Router()
    router.add("POST", "/", answer)
    Introspection({}, metrics=samples).add_routes(router)
    app = AsgiApp(router, body_limit_bytes=BODY_BYTES_MAX)
    try:
        await serve(app, [listen_unix(socket)], when_ready=when_ready)
    finally:
        workers.shutdown(wait=True)
        engine.close()


def code_of(reason: str) -> str:
    """Return ClickHouse's number of a failure as its servers tell it; "" where there is none."""
    if _DISK_FULL in reason:
        # Whatever it was doing: the system says so by different numbers.
        return NOT_ENOUGH_SPACE
    found = _CODE.search(reason)
    return found[1] if found else ""


def carry_out(engine: Engine, query: str, parameters: dict[str, str], body: bytes) -> bytes:
    """Carry one statement out; RuntimeError with the engine's reason when it refuses."""
    inserted = _INSERT.fullmatch(query)
    if inserted is not None:
        _insert(engine, inserted, body)
        return b""
    found = _FORMAT.search(query)
    sql = query[: found.start()] if found else query
    quoting = "output_format_json_quote_64bit_integers = 0"
    settings = f"{',' if _SETTINGS in sql else _SETTINGS}{quoting}" if found else ""
    try:
        result = engine.query(
            sql + settings, found[1] if found else "Null", params=parameters or None
        )
    except RuntimeError:
        # What it had shown before it failed stands in front of the next answer otherwise.
        engine.query("SELECT 1", "TabSeparated")
        raise
    answer = bytes(cast("_Result", result).bytes()) if result is not None else b""
    if len(answer) > ANSWER_BYTES_MAX:
        raise RuntimeError(
            f"the answer has {len(answer)} bytes, over {ANSWER_BYTES_MAX}; ask for fewer rows or columns"
        )
    return answer


def _insert(engine: Engine, statement: re.Match[str], body: bytes) -> None:
    """Have rows read from memory: a statement with rows in it is read letter by letter."""
    descriptor = os.memfd_create("rows")
    try:
        with open(descriptor, "wb", closefd=False) as rows:
            rows.write(body)
        source = f"FROM INFILE '/proc/self/fd/{descriptor}' COMPRESSION 'none'"
        engine.query(f"{statement[1]} {source} {statement[2]}FORMAT {statement[3]}", "Null")
    finally:
        os.close(descriptor)


class _Result(Protocol):
    def bytes(self) -> bytes: ...
