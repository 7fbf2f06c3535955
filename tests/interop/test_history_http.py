"""The store's HTTP as ClickHouse speaks it: answers that a server gave (Debian's 18.16) or its documentation shows.

With ``SKYTRAIL_CLICKHOUSE=http://HOST:8123`` (a server that may be written to; user and password in the URL) the same client is
tried against that server, all tables made and used.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from skytrail.analytics.history_tables import KEPT
from skytrail.analytics.io.history import History, HistoryRefused, HistoryUnavailable, Login

SERVER = os.environ.get("SKYTRAIL_CLICKHOUSE", "")
THROWN = b"Code: 395, e.displayText() = DB::Exception: Value passed to 'throwIf' function is non zero, e.what() = DB::Exception\n"


class Script(ThreadingHTTPServer):
    """Answers in turn with (status, headers, body); keeps what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers, self.asked = [], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append((query, self.headers, body))
        status, headers, answer = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = Script()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def on(url, use, login=None):
    async def run():
        history = History(url) if login is None else History(url, login)
        try:
            return await use(history)
        finally:
            await history.close()

    return asyncio.run(run())


def failed(number):
    return {"X-ClickHouse-Exception-Code": str(number)}


@pytest.mark.parametrize(
    ("number", "text"), [(252, b"Code: 252. DB::Exception: Too many parts"), (242, b"read-only")]
)
def test_rows_that_a_cluster_cannot_take_now_are_told_again(server, number, text):
    server.answers = [(500, failed(number), text)]
    with pytest.raises(HistoryUnavailable, match=text.decode()):
        on(server.url, lambda history: history.insert("gap", b"", "JSONColumns", "t"))


def test_rows_that_do_not_fit_are_refused(server):
    server.answers = [(400, failed(27), b"Code: 27. DB::Exception: Cannot parse input")]
    with pytest.raises(HistoryRefused, match="Cannot parse"):
        on(server.url, lambda history: history.insert("gap", b"", "JSONColumns", "t"))


@pytest.mark.parametrize(
    "text",
    [
        b"Code: 60. DB::Exception: Unknown table expression identifier (UNKNOWN_TABLE)",
        b"Code: 81. DB::Exception: Database skytrail does not exist. (UNKNOWN_DATABASE)",
        b"Code: 60, e.displayText() = DB::Exception: Table skytrail.gap doesn't exist.",
    ],
)
def test_tables_that_are_not_made_yet_are_waited_for(server, text):
    server.answers = [(404, {}, text)]
    with pytest.raises(HistoryUnavailable, match="no tables yet, it has just started; try again"):
        on(server.url, lambda history: history.select("SELECT 1", {}))


def test_user_and_password_go_with_every_question(server):
    server.answers = [(200, {}, b'{"meta":[],"data":[[1]]}')]
    login = Login("skytrail", "secret")

    assert on(server.url, lambda history: history.select("SELECT 1", {"a": "b\tc"}), login) == [[1]]

    query, headers, _ = server.asked[0]
    assert (headers["x-clickhouse-user"], headers["x-clickhouse-key"]) == ("skytrail", "secret")
    assert (query["param_a"], query["wait_end_of_query"]) == ("b\\tc", "1")


def test_answer_that_fails_amid_its_rows_is_not_taken_for_whole(server):
    whole = b'{"meta":[],"data":[[1]],"exception":"Code: 241. DB::Exception: Memory limit"}'
    server.answers = [(200, {}, whole)]
    with pytest.raises(HistoryRefused, match="Memory limit"):
        on(server.url, lambda history: history.select("SELECT 1", {}))


@pytest.mark.parametrize("end", [THROWN, b"\r\n__exception__\r\nPU1FNUFH98\r\n" + THROWN])
def test_lines_end_with_the_reason_when_the_store_fails(server, end):
    server.answers = [(200, {}, b'{"number":1}\n{"number":2}\n' + end)]

    async def use(history):
        return [each async for each in history.lines("SELECT 1", {})]

    with pytest.raises(HistoryUnavailable, match="throwIf"):
        on(server.url, use)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--history-user", "u"], "--history"),
        (["--history", "http://h:8123", "--history-password-file", "/nowhere"], "user"),
        (["--history", "http://h:8123", "--history-ca", "/nowhere"], "/nowhere"),
    ],
)
def test_logins_that_make_no_sense_keep_the_node_from_starting(options, word):
    command = [sys.executable, "-m", "skytrail.daemons.analytics", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert word in done.stderr


def test_statements_that_make_the_tables_are_shown():
    command = [sys.executable, "-m", "skytrail.daemons.analytics", "--show-tables"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    assert all(f"CREATE TABLE IF NOT EXISTS skytrail.{name} " in shown for name in KEPT)


async def _all(lines):
    return [each async for each in lines]


@pytest.mark.skipif(not SERVER, reason="SKYTRAIL_CLICKHOUSE names no server")
def test_a_real_server_makes_fills_and_reads_all_tables():
    row = b'{"T":[%d],"Until":[1],"Source":["s"],"ModuleId":["m"],"Kind":["k"],"Reason":["r"],"Count":[2]}'
    body = row % round(time.time() * 1e6)

    async def use(history):
        await history.prepare({})
        await history.prepare({"gap": 100})
        token = f"interop-{time.time_ns()}"
        for _ in range(2):
            await history.insert("gap", body, "JSONColumns", token)
        sql = "SELECT Count FROM skytrail.gap WHERE Source = {s:String} AND T > now() - 60"
        rows = await history.select(sql, {"s": "s"})
        lines = [each async for each in history.lines(sql, {"s": "s"})]
        with pytest.raises(HistoryRefused):
            await history.insert("gap", b'{"T":["x"]}', "JSONColumns", "bad")
        failing = history.lines("SELECT throwIf(number = 9000000) FROM numbers(1e7)", {})
        with pytest.raises(HistoryUnavailable, match="throwIf"):
            await asyncio.wait_for(_all(failing), 60)
        return rows, b"".join(lines)

    assert on(SERVER, use) == ([[2]], b'{"Count":2}\n')
