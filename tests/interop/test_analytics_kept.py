"""kill -9 of the node and of its store under load: what was told is stored once, and gaps are told."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import httpx
import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.lab.io.machine import free_port
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.log_tap import LogTap
from skytrail.runtime.telemetry import (
    Collectors,
    SessionSource,
    Telemetry,
    hello_of_this_process,
)
from skytrail.testing.controller import Daemons, wait_until
from skytrail.wire.telemetry import Log
from skytrail.wire.telemetry.sessions import pack

PATIENCE_S = 40.0
ROWS_COUNT = 200
"""A process holds 2,000 logs while nobody hears it: fewer than are told until it has connected again."""
ROUNDS_COUNT = 4
BEHIND_COUNT_MAX = 1200
"""Logs that nobody has heard yet: of more than 2,000 a process drops the oldest, which is another test's."""


class Site(Daemons):
    """A node, with a spool or without, and its store: both are killed and started again."""

    def __init__(self, folder, *options):
        super().__init__(folder)
        self.port, self.telemetry = free_port(), free_port()
        self.socket = folder / "history.sock"
        self.options = options

    def __enter__(self):
        self.start_store()
        self.start_node()
        return self

    def start_store(self):
        self.start("history", "--data", self.folder / "data", "--socket", self.socket)

    def start_node(self):
        self.start(
            "analytics", "--name", "a1", "--port", self.port, "--telemetry-port", self.telemetry,
            "--history", self.socket, "--log-level", "error", *self.options,
        )  # fmt: skip

    def query(self, table, *fields, **members):
        body = {
            "table": table, "start_time": "now-10m", "end_time": "now", "select_fields": fields,
        }  # fmt: skip
        url = f"http://127.0.0.1:{self.port}/analytics/query"
        reply = httpx.post(url, json={**body, **members}, timeout=PATIENCE_S)
        return reply.json()["value"] if reply.status_code == 200 else []

    def count(self, table):
        rows = self.query(table, "COUNT(T)" if table != "MessageTable" else "COUNT(Source)")
        return next(iter(rows[0].values())) if rows else 0

    def health(self):
        return httpx.get(f"http://127.0.0.1:{self.port}/healthz").status_code


@pytest.fixture
def spooling(tmp_path):
    with Site(tmp_path, "--spool", tmp_path / "spool") as site:
        yield site


@pytest.fixture
def plain(tmp_path):
    with Site(tmp_path) as site:
        yield site


class Host:
    """A process that tells sessions and logs, by the code that agents have."""

    def __init__(self, site):
        self.clock = SystemClock()
        self.tap = LogTap(self.clock)
        self.rows, self.lost, self.told_count = deque(), {}, 0
        self.telemetry = Telemetry(
            hello_of_this_process("h1", "Compute", "agent"),
            self._nothing,
            Collectors([("127.0.0.1", site.telemetry)]),
            self.clock,
            self.tap,
            SessionSource(self._take, lambda: self.lost, lambda: ROWS_COUNT),
        )

    @staticmethod
    async def _nothing():
        return []

    def _take(self):
        if self.rows:
            taken = list(self.rows)
            self.rows.clear()
            yield pack(taken)

    def tell(self, count):
        now_us = time.time_ns() // 1000
        for number in range(count):
            self.told_count += 1
            self.rows.append({"T": now_us + number, "vn": "a:b:c", "sample_weight": 1.0})
            self.tap.keep(Log(timestamp_us=now_us + number, level=6, event="told"))

    def wait_until_kept(self):
        """Wait on a thread of its own until all that was told is kept: the node's first bundle, too, is."""
        wait_until(lambda: not self.rows and not self.telemetry.unkept_count, "all is kept")


async def _under_load(host, deeds):
    """Tell all the while, and do one deed after the other."""
    telling = asyncio.create_task(host.telemetry.run())
    try:
        for deed in deeds:
            for _ in range(ROUNDS_COUNT):
                deadline = time.monotonic() + PATIENCE_S
                while len(host.rows) > BEHIND_COUNT_MAX:
                    assert time.monotonic() < deadline, "nobody hears what is told"
                    await asyncio.sleep(0.1)
                host.tell(ROWS_COUNT)
                await asyncio.sleep(0.35)
            await asyncio.to_thread(deed)
        host.tell(ROWS_COUNT)
        deadline = time.monotonic() + PATIENCE_S
        # The end: everything is told, and everybody knows that it is kept.
        while host.rows or host.telemetry.unkept_count or not host.telemetry.collector:
            assert time.monotonic() < deadline, "what was told is not kept"
            await asyncio.sleep(0.1)
    finally:
        telling.cancel()


def _restart_node(site):
    site.kill("analytics")
    site.start_node()


def _restart_store(site):
    site.kill("history")
    site.start_store()


def _restart_both(site):
    site.kill("history")
    site.kill("analytics")
    site.start_store()
    site.start_node()


def test_nothing_acknowledged_is_lost_or_doubled_and_the_gap_is_told(spooling):
    host = Host(spooling)

    def done(deed):
        deed(spooling)
        # A node that is killed before it kept anything leaves no gap of its own: the next one's is from before both.
        host.wait_until_kept()

    deeds = [_restart_node, _restart_store, _restart_both, _restart_node]
    asyncio.run(_under_load(host, [lambda each=each: done(each) for each in deeds]))

    def counts():
        return (
            spooling.count("SessionRecordTable"),
            spooling.count("SessionSeriesTable"),
            spooling.count("MessageTable"),
        )

    wait_until(lambda: counts() == (host.told_count,) * 3, f"all {host.told_count} are stored")

    def told_gaps():
        return spooling.query("GapTable", "T", "Until", "Source", "Kind", "Reason")

    wait_until(lambda: len(told_gaps()) >= 3, "a gap of each death is stored")
    gaps = told_gaps()
    assert len(gaps) == 3
    url = f"http://127.0.0.1:{spooling.port}"
    shown = CliRunner().invoke(
        main, ["sessions", "--analytics", url, "--by", "vn", "--last", "10m"]
    )
    assert (shown.exit_code, shown.output.count("a1: node was down")) == (0, 3), shown.output
    for gap in gaps:
        assert (gap["Source"], gap["Kind"], gap["Reason"]) == ("a1", "all", "node_was_down")
        assert 0 < gap["Until"] - gap["T"] < PATIENCE_S * 1e6


def test_without_a_spool_nothing_is_acknowledged_before_the_store_has_it(plain):
    host = Host(plain)
    deeds = [lambda: plain.kill("history"), lambda: _restart_node(plain), plain.start_store]
    asyncio.run(_under_load(host, deeds))

    wait_until(lambda: plain.count("SessionRecordTable") == host.told_count, "all are stored")
    assert plain.count("MessageTable") == host.told_count


def test_what_a_process_loses_is_a_gap(plain):
    host = Host(plain)
    host.lost = {"rows_overflow": 7}
    asyncio.run(_under_load(host, []))

    wait_until(lambda: plain.count("GapTable"), "the gap is stored")
    (gap,) = plain.query("GapTable", "Source", "ModuleId", "Kind", "Reason", "Count")
    assert gap == {
        "Source": "h1", "ModuleId": "agent", "Kind": "session", "Reason": "rows_overflow",
        "Count": 7,
    }  # fmt: skip


def test_dead_store_is_noticed_though_nobody_has_rows(plain):
    wait_until(lambda: plain.health() == 200, "the node is healthy")

    plain.kill("history")
    started = time.monotonic()
    wait_until(lambda: plain.health() == 503, "the store's absence shows")
    assert time.monotonic() - started < 5
    plain.start_store()
    wait_until(lambda: plain.health() == 200, "the store is there again")
