"""Sums from rollups are those of single rows, in the real engine."""

from __future__ import annotations

import asyncio
import json
import random
import time
from datetime import UTC, datetime

import httpx
import msgspec
import pytest

from skytrail.analytics.history_tables import COUNTERS, statements
from skytrail.analytics.io.history import History
from skytrail.analytics.query import statement_of, statements_of
from skytrail.analytics.query_request import QueryRequest
from skytrail.testing.controller import Daemons

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
ROWS_COUNT = 6_000
HOURS_COUNT = 30
SUMS = ["SUM(forward_sampled_bytes)", "SUM(reverse_logged_pkts)", "SUM(sample_count)", "COUNT(vn)"]
NO_DIMENSION = {"name": "client_port", "value": 1, "op": 6}
"""Holds for every row, and no rollup has it: single rows answer."""


class Store(Daemons):
    """The embedded engine's process on a folder."""

    def __enter__(self):
        self.socket = self.folder / "history.sock"
        self.start("history", "--data", self.folder / "data", "--socket", self.socket)
        return self

    def use(self, what):
        async def run():
            history = History(str(self.socket))
            try:
                return await what(history)
            finally:
                await history.close()

        return asyncio.run(run())

    def insert(self, rows):
        body = "\n".join(map(json.dumps, rows)).encode()
        self.use(
            lambda history: history.insert("session", body, "JSONEachRow", f"{random.random()}")
        )

    def ask(self, now_us, **members):
        request = msgspec.convert({"table": "SessionSeriesTable", **members}, QueryRequest)
        made = statement_of(request, now_us)
        return made.sql, self.use(lambda history: history.select(made.sql, made.parameters))


def told(rng, at_us):
    """Return one session of a few networks, hosts, applications and rules."""
    action = rng.choice(["pass", "pass", "pass", "deny"])
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return {
        "T": f"{at}.{at_us % 1_000_000:06}",
        "session_type": rng.choice(["client", "server"]),
        "vrouter": f"host{rng.randrange(3)}",
        "vn": f"a:b:net{rng.randrange(4)}",
        "remote_vn": f"a:b:net{rng.randrange(4)}",
        "application": f"application={rng.randrange(3)}",
        "remote_application": f"application={rng.randrange(3)}",
        "security_policy_rule": f"rule{rng.randrange(5)}",
        "server_port": rng.choice([80, 443, 53]),
        "client_port": rng.randrange(1, 65_536),
        "protocol": rng.choice([6, 17]),
        "forward_action": action,
        "reverse_action": action,
        "sample_weight": rng.choice([1.0, 2.5]),
        **{name: rng.randrange(10_000) for name in COUNTERS},
    }


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Yield a store and a moment that is now: minutes and hours of which there are sessions ended before and with it."""
    with Store(tmp_path_factory.mktemp("rollups")) as store:
        store.use(lambda history: history.prepare({"session": 100}))
        now_us = round(time.time() * 1e6)
        rng = random.Random(7)
        spans = [HOURS_COUNT * HOUR_US] * 2 + [2 * HOUR_US]
        rows = [told(rng, now_us - rng.randrange(rng.choice(spans))) for _ in range(ROWS_COUNT)]
        for first in range(0, ROWS_COUNT, 2_000):
            store.insert(rows[first : first + 2_000])
        yield store, now_us


COLUMNS = [
    ["vn", "remote_vn"],
    ["application", "remote_application"],
    ["protocol", "server_port"],
    ["vrouter", "forward_action"],
    ["security_policy_rule"],
]
MATCHES = [
    [],
    [{"name": "vn", "value": "a:b:net1"}],
    [{"name": "forward_action", "value": "pass", "op": 2}],
    [{"name": "server_port", "value": 100, "op": 6}, {"name": "tier", "value": ""}],
]


@pytest.mark.parametrize("columns", COLUMNS, ids="-".join)
@pytest.mark.parametrize("bin_s", [0, 60, 300, 3600])
def test_rollups_give_what_single_rows_give(filled, columns, bin_s):
    store, now_us = filled
    rng = random.Random(f"{columns}{bin_s}")
    # Ten hours of bins of an hour come from hours.
    unit_us = HOUR_US if bin_s == 3600 else MINUTE_US
    fields = [*([f"T={bin_s}"] if bin_s else []), *columns, *SUMS]
    for hours in (1, 2, 5, 27):
        for end_us in (now_us, now_us - rng.randrange(2 * HOUR_US)):
            # From whole bins to whole bins; to now the last is as whole as it is.
            end_us = end_us if end_us == now_us else end_us // unit_us * unit_us - 1
            start_us = (end_us + 1) // unit_us * unit_us - hours * HOUR_US
            asked = {
                "start_time": start_us, "end_time": end_us, "limit": 100_000,
                "select_fields": fields, "where": [rng.choice(MATCHES)],
            }  # fmt: skip
            single_sql, single = store.ask(now_us, **asked, filter=[NO_DIMENSION])
            rolled_sql, rolled = store.ask(now_us, **asked)

            assert "skytrail.session AS t" in single_sql
            assert "skytrail.session AS t" not in rolled_sql, rolled_sql
            assert sorted(rolled) == sorted(single), rolled_sql


def test_store_that_was_made_with_another_order_goes_on_and_answers_the_same(tmp_path):
    with Store(tmp_path) as store:
        now_us = round(time.time() * 1e6)
        rng = random.Random(9)
        rows = [told(rng, now_us - rng.randrange(5 * HOUR_US)) for _ in range(1_000)]
        transport = httpx.HTTPTransport(uds=str(store.socket))
        with httpx.Client(transport=transport, base_url="http://history") as client:
            for statement in statements({"session": 100}):
                before = statement.replace("toStartOfTenMinutes(T)", "toStartOfHour(T)")
                assert client.post("/", params={"query": before}).status_code == 200
        store.insert(rows[:500])

        store.use(lambda history: history.prepare({"session": 100}))
        store.insert(rows[500:])

        asked = {
            "start_time": (now_us // MINUTE_US - 200) * MINUTE_US, "end_time": now_us,
            "select_fields": ["vn", "remote_vn", *SUMS],
        }  # fmt: skip
        _, single = store.ask(now_us, **asked, filter=[NO_DIMENSION])
        rolled_sql, rolled = store.ask(now_us, **asked)
        found = store.use(
            lambda history: history.select(
                "SELECT countIf(sorting_key LIKE 'toStartOfHour%') FROM system.tables"
                " WHERE name IN ('session', 'session_1m')",
                {},
            )
        )
    assert found == [[2]]
    assert "session_1h" in rolled_sql
    assert sorted(rolled) == sorted(single)
    assert sum(row[-1] for row in rolled) > 500, "of before and after"


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("first", ["T", "T=60"])
def test_rows_of_one_part_after_the_other_are_those_of_the_whole_time(filled, order, first):
    store, now_us = filled
    request = msgspec.convert(
        {
            "table": "SessionSeriesTable", "start_time": now_us - 27 * HOUR_US, "end_time": now_us,
            "select_fields": [first, "vn", "SUM(sample_count)"], "sort_fields": [first, "vn"],
            "sort": order, "limit": 100_000,
        },
        QueryRequest,
    )  # fmt: skip
    parts = list(statements_of(request, now_us))
    whole = statement_of(request, now_us)

    async def found(history):
        return [await history.select(each.sql, each.parameters) for each in (*parts, whole)]

    *shares, expected = store.use(found)
    assert len(shares) == 4
    assert len(expected) > 1_000
    assert [row for rows in shares for row in rows] == expected
