"""History behind one interface: ClickHouse's HTTP, to the embedded engine's process or a cluster.

Values are bound by the server (``param_NAME``), rows come in its formats and go as JSON. A statement that is refused is our
defect or hostile; one that finds nobody is the store's absence, and whoever has rows keeps them.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from skytrail.analytics.history_tables import DATABASE, KEPT, keep_hours_of, statements
from skytrail.analytics.io.slices import SlicesUnusable, items_of
from skytrail.analytics.store_errors import CODE_HEADER, Verdict, are_rows, has_no_tables, verdict
from skytrail.runtime.http_error import HttpError

INSERT_S: Final = 30.0
SELECT_S: Final = 60.0
PING_S: Final = 30.0
"""A statement before it may take long: the embedded engine has one at a time."""
_BOUNDS: Final = (
    "SETTINGS max_execution_time = 50, max_memory_usage = 1073741824, use_variant_as_common_type = 1,"
    " allow_suspicious_types_in_group_by = 1, allow_suspicious_types_in_order_by = 1"
)
"""Of one statement that reads: nobody waits longer for its answer, and others want to be served too. Attributes of statistics
are numbers in some rows and texts in others; as a type of both they are shown, grouped and put in order as what they are."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})
"""A bound value is read as a field of tab-separated text."""
CONNECTIONS_COUNT: Final = 16
_REASON_CHARACTERS: Final = 300
_SETTINGS: Final = {
    "output_format_json_quote_64bit_integers": "0",
    # A cluster holds an answer back until it is whole: what fails has the status of a failure.
    "wait_end_of_query": "1",
    # What fails amid an answer that is not held back is no row.
    "http_write_exception_in_output_format": "0",
}
_USER: Final = "x-clickhouse-user"
_KEY: Final = "x-clickhouse-key"
_KEEPS_SQL: Final = (
    "SELECT position(create_table_query, {wanted:String}) FROM system.tables"
    " WHERE database = {database:String} AND name = {table:String}"
)


class HistoryUnavailable(Exception):
    """Nobody answers, or not in time; nothing is known of what was asked for."""


def away(error: HistoryUnavailable) -> HttpError:
    """Return what is answered to whoever asks for what the store cannot tell now."""
    return HttpError(503, str(error), (("retry-after", "2"),))


class HistoryRefused(Exception):
    """The store does not carry a statement out; the text is its reason."""


class _Answer(msgspec.Struct, frozen=True):
    meta: list[dict[str, str]]
    data: msgspec.Raw
    exception: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are at a cluster, and who signed its certificate; nothing of it counts for a socket."""

    user: str = ""
    password: str = ""
    ca_file: Path | None = None


NO_LOGIN: Final = Login()


class History:
    """A store of history; ``location`` is the embedded process's socket path or a base URL."""

    def __init__(self, location: str, login: Login = NO_LOGIN) -> None:
        is_url = location.startswith(("http://", "https://"))
        is_named = is_url and bool(login.user)
        self._client = httpx.AsyncClient(
            base_url=location if is_url else "http://history",
            headers={_USER: login.user, _KEY: login.password} if is_named else {},
            verify=ssl.create_default_context(cafile=login.ca_file) if is_url else True,
            transport=None if is_url else httpx.AsyncHTTPTransport(uds=location, verify=False),
            timeout=SELECT_S,
            limits=httpx.Limits(max_connections=CONNECTIONS_COUNT),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def prepare(self, keep_hours: Mapping[str, int]) -> None:
        """Make what is not there; have rows kept as long as told, which may be other than before."""
        for statement in statements(keep_hours):
            await self._post(statement, {}, b"", SELECT_S)
        for name, table in KEPT.items():
            hours = keep_hours_of(name, keep_hours)
            names = {"database": DATABASE, "table": name, "wanted": f"toIntervalHour({hours})"}
            found = await self.select(_KEEPS_SQL, names)
            if found == [[0]]:
                await self._post(table.keep_statement(hours), {}, b"", SELECT_S)

    async def ping(self) -> None:
        """Return when the store carries statements out; ``HistoryUnavailable`` when it does not soon."""
        await self._post("SELECT 1 FORMAT JSONCompact", {}, b"", PING_S)

    async def insert(self, table: str, body: bytes, form: str, token: str) -> None:
        """Add rows, in one of ClickHouse's formats; all of them or none.

        The same ``token`` again adds nothing: whoever does not know whether rows arrived repeats.
        """
        settings = (
            f"SETTINGS insert_deduplication_token = '{token}',"
            " deduplicate_blocks_in_dependent_materialized_views = 1"
        )
        query = f"INSERT INTO {DATABASE}.{table} {settings} FORMAT {form}"
        await self._post(query, {}, body, INSERT_S, brings_rows=True)

    async def select(
        self, sql: str, parameters: Mapping[str, str | int | float]
    ) -> list[list[object]]:
        """Return rows as lists, in the order of the selected columns."""
        statement = f"{sql} {_BOUNDS} FORMAT JSONCompact"
        reply = await self._post(statement, parameters, b"", SELECT_S)
        try:
            answer = msgspec.json.decode(reply, type=_Answer)
            rows = await items_of(
                answer.data, list[list[Any]], b"],\n", most=len(reply), item_bytes_max=len(reply)
            )
        except (msgspec.MsgspecError, SlicesUnusable, UnicodeDecodeError) as error:
            raise HistoryUnavailable(f"the answer is unreadable: {error}") from error
        if answer.exception:
            raise HistoryRefused(answer.exception[:_REASON_CHARACTERS])
        return rows

    async def lines(
        self, sql: str, parameters: Mapping[str, str | int | float]
    ) -> AsyncIterator[bytes]:
        """Yield rows as lines of JSON, members in the order of the selected columns; whole lines only."""
        bound = _bound(f"{sql} {_BOUNDS} FORMAT JSONEachRow", parameters)
        bound["wait_end_of_query"] = "0"
        rest = b""
        try:
            async with self._client.stream("POST", "/", params=bound) as reply:
                if reply.status_code != 200:
                    await reply.aread()
                    _check(reply)
                async for chunk in reply.aiter_bytes():
                    whole, newline, rest = (rest + chunk).rpartition(b"\n")
                    if newline and not are_rows(whole + newline):
                        # Its status was sent before it failed; the reason is what no row looks like.
                        reason = whole.rpartition(b"}\n")[2].decode(errors="replace").strip()
                        raise HistoryUnavailable(f"the store failed: {reason[:_REASON_CHARACTERS]}")
                    if newline:
                        yield whole + newline
        except httpx.InvalidURL as error:
            raise HistoryRefused("its names and values are too long together") from error
        except httpx.HTTPError as error:
            raise HistoryUnavailable(f"the store of history does not answer: {error}") from error
        if rest:
            raise HistoryUnavailable("the store broke its answer off")

    async def _post(
        self,
        query: str,
        parameters: Mapping[str, str | int | float],
        body: bytes,
        time_s: float,
        *,
        brings_rows: bool = False,
    ) -> bytes:
        try:
            reply = await self._client.post(
                "/", params=_bound(query, parameters), content=body, timeout=time_s
            )
        except httpx.InvalidURL as error:
            raise HistoryRefused("its names and values are too long together") from error
        except httpx.HTTPError as error:
            raise HistoryUnavailable(f"the store of history does not answer: {error}") from error
        _check(reply, brings_rows=brings_rows)
        return reply.content


def _bound(query: str, parameters: Mapping[str, str | int | float]) -> dict[str, str]:
    """Return what is asked: a statement, and the values that the server binds to its names."""
    named = {f"param_{name}": str(value).translate(_ESCAPES) for name, value in parameters.items()}
    return {"query": query, **named, **_SETTINGS}


def _check(reply: httpx.Response, *, brings_rows: bool = False) -> None:
    """Raise what a read reply's status says."""
    code = reply.headers.get(CODE_HEADER, "")
    match verdict(reply.status_code, code, brings_rows=brings_rows):
        case Verdict.LATER:
            raise HistoryUnavailable(reply.text[:_REASON_CHARACTERS])
        case Verdict.REFUSED if has_no_tables(reply.text) and not brings_rows:
            raise HistoryUnavailable("The store has no tables yet, it has just started; try again")
        case Verdict.REFUSED:
            raise HistoryRefused(reply.text[:_REASON_CHARACTERS])
        case Verdict.DONE:
            return
