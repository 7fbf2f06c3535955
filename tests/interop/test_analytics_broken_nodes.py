"""What another analytics node answers is judged: a broken one is missing, and takes nothing from anybody else's answer."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from skytrail.analytics.io.other_nodes import ANSWER_BYTES_MAX, OtherNodes
from skytrail.analytics.io.past import MomentPart, MomentQuestion
from skytrail.analytics.io.queries import Queries
from skytrail.analytics.io.retold import HeardPart, HeardQuestion
from skytrail.analytics.query_request import QueryRequest
from skytrail.client.access import Access
from skytrail.runtime.clock import SystemClock

OWN = "own"


class Store:
    """The own store, with one row."""

    def __init__(self, row):
        self._row = row

    async def select(self, _sql, _parameters):
        return [self._row]


async def asked_with(reply, ask):
    """Have ``ask`` ask another node that answers with these bytes, whatever it is asked."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        others = OtherNodes([place], Access(), OWN, SystemClock())
        try:
            return await ask(others), place
        finally:
            await others.close()


def http(content, *headers):
    lines = ["HTTP/1.1 200 OK", "connection: close", f"content-length: {len(content)}", *headers]
    return "\r\n".join((*lines, "", "")).encode() + content


def told(**members):
    return http(json.dumps({"node": "other", **members}).encode())


def queried(row, fields, reply):
    """Return rows and reasons of a query that both stores answer."""
    request = QueryRequest("SessionSeriesTable", "now-10m", "now", fields)

    async def ask(others):
        queries = Queries(Store(row), SystemClock(), {}, OWN, others)
        return await queries.rows(queries.checked(request))

    answer, place = asyncio.run(asked_with(reply, ask))
    assert set(answer.missing) == {place}
    return list(map(list, answer.rows)), answer.missing[place]


PLAIN, BYTES = ["T", "vn"], "forward_sampled_bytes"
BROKEN = [
    (PLAIN, [1, "a"], [[1]]),
    (PLAIN, [1, "a"], [[1, "b", "c"]]),
    (PLAIN, [1, "a"], [[1, {"b": 1}]]),
    (PLAIN, [1, "a"], [[1, [[]]]]),
    (["vn", f"SUM({BYTES})"], ["a", 1], [["a"]]),
    (["vn", f"SUM({BYTES})"], ["a", 1], [["a", "1"]]),
    (["vn", f"SUM({BYTES})"], ["a", 1], [["a", 10**400]]),
    (["vn", f"COUNT({BYTES})"], ["a", 1], [["a", None]]),
    (["vn", f"MAX({BYTES})"], ["a", [1, 1]], [["a", None]]),
    (["vn", f"AVG({BYTES})"], ["a", [1, 1]], [["a", 1]]),
    (["vn", f"AVG({BYTES})"], ["a", [1, 1]], [["a", [1, -1]]]),
    (["vn", f"PERCENTILES({BYTES})"], ["a", [[1], 1]], [["a", [["1"], 1]]]),
]


@pytest.mark.parametrize(("fields", "own", "rows"), BROKEN, ids=lambda each: str(each)[:50])
def test_rows_that_do_not_fit_a_query_are_missing_and_the_own_are_shown(fields, own, rows):
    found, reason = queried(own, fields, told(rows=rows))

    assert len(found) == 1
    assert found[0][0] == own[0]
    assert reason.startswith("its answer is unusable: ")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (http(b'{"node":"other","rows":' + b"[" * 500_000), "its answer is unreadable"),
        (http(b'{"node":"other"}'), "its answer is unreadable"),
        (http(b"\xff{"), "its answer is unreadable"),
        (
            http(gzip.compress(bytes(ANSWER_BYTES_MAX)), "content-encoding: gzip"),
            "its answer is packed",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            "it answers 302",
        ),
        (
            b"HTTP/1.1 500 Oops\r\ncontent-length: 13\r\n\r\nx\r\nset: \x1b[2J\n",
            "it answers 500: x  set:  [2J",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", "it cannot be reached"),
    ],
)
def test_what_is_no_answer_is_missing(reply, reason):
    found, why = queried([1, "a"], PLAIN, reply)

    assert found == [[1, "a"]]
    assert why.startswith(reason)


@pytest.mark.parametrize(
    "row",
    [
        ["ObjectVNTable", "n", "s", "{", "C", 5],
        ["ObjectVNTable", "n", "s", "[" * 5000, "C", 5],
        ["ObjectOfOthers", "n", "s", "{}", "C", 5],
        ["ObjectVNTable", "n", "s", "{}", "C", 1 << 64],
    ],
)
def test_a_past_that_cannot_be_read_is_missing(row):
    question = MomentQuestion(["ObjectVNTable"], (), (), 7)

    parts, place = asyncio.run(
        asked_with(told(rows=[row]), lambda others: others.ask("moment", question, MomentPart))
    )

    assert not parts.told
    assert set(parts.missing) == {place}


@pytest.mark.parametrize("kept", [-1, 1 << 63, 10**30, None, "7"])
def test_a_number_that_no_message_has_is_not_kept_elsewhere(kept):
    question = HeardQuestion("host:Compute:agent:0", 1)

    parts, place = asyncio.run(
        asked_with(told(kept=kept), lambda others: others.ask("heard", question, HeardPart))
    )

    assert not parts.told
    assert set(parts.missing) == {place}
