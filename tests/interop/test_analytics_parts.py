"""Nodes that each keep a part of history in a store of their own answer as one that keeps all of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import secrets
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest
from click.testing import CliRunner

from skytrail.analytics.io.history import History
from skytrail.analytics.io.other_nodes import OtherNodes
from skytrail.analytics.io.queries import RowsPart
from skytrail.cli import main
from skytrail.client.access import NO_ACCESS
from skytrail.lab.io.machine import free_port
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.log_tap import LogTap
from skytrail.runtime.telemetry import (
    Collectors,
    SessionSource,
    Telemetry,
    hello_of_this_process,
)
from skytrail.testing.controller import DEADLINE_S, Daemons, wait_until
from skytrail.wire.telemetry import Hello, Log, TelemetryFramer, decode, encode
from skytrail.wire.telemetry.sessions import pack

NOW_US = time.time_ns() // 1000
HOUR_US = 3_600_000_000
MISSING = "x-skytrail-missing-nodes"
PROJECTS = ("default-domain:red:front", "default-domain:red:back", "default-domain:blue:web")


class Node:
    """A node and its embedded store."""

    def __init__(self, daemons, name, port, *peers, place=""):
        folder = daemons.folder
        self.name, self.folder, self._daemons = name, folder, daemons
        self.url, self.socket = f"http://127.0.0.1:{port}", folder / f"{name}.sock"
        self.store, self.spool = folder / f"{name}-history.sock", folder / f"{name}-spool"
        self._options = [part for peer in peers for part in ("--peer", peer)]
        self.place = place or self.url
        """As the other knows it."""
        self._port = port
        self.start_store()
        self.start()

    def start_store(self):
        kept = ("--data", self.folder / f"{self.name}-data", "--socket", self.store)
        self._daemons.start(f"{self.name}-history", *kept, module="history")

    def start(self):
        self._daemons.start(
            self.name, "--name", self.name, "--port", self._port, "--history", self.store,
            "--socket", self.folder / f"{self.name}-rest.sock",
            "--telemetry-socket", self.socket, "--spool", self.spool,
            "--log-level", "error", *self._options, module="analytics",
        )  # fmt: skip
        wait_until(lambda: httpx.get(f"{self.url}/healthz").status_code == 200, "the store")

    def kill(self):
        self._daemons.kill(self.name)

    def kill_store(self):
        self._daemons.kill(f"{self.name}-history")

    def ask(self, body):
        return httpx.post(f"{self.url}/analytics/query", json=body, timeout=60)

    def value(self, body):
        reply = self.ask(body)
        assert reply.status_code == 200, reply.text
        assert MISSING not in reply.headers
        return reply.json()["value"]

    def keep(self, table, rows):
        async def insert():
            history = History(str(self.store))
            body = "\n".join(map(json.dumps, rows)).encode()
            await history.insert(table, body, "JSONEachRow", secrets.token_hex(8))
            await history.close()

        asyncio.run(insert())


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    with Daemons(folder) as daemons:
        ports = [free_port(), free_port()]
        # The same list for both: each finds out which of them it is itself. One is asked by its socket.
        peers = f"http://127.0.0.1:{ports[0]}", f"unix:{folder}/b-rest.sock"
        one = Node(daemons, "a", ports[0], *peers)
        other = Node(daemons, "b", ports[1], *peers, place=peers[1])
        whole = Node(daemons, "whole", free_port())
        for table, rows in rows_by_table().items():
            one.keep(table, [row for number, row in enumerate(rows) if number % 3])
            other.keep(table, [row for number, row in enumerate(rows) if not number % 3])
            whole.keep(table, rows)
        yield one, other, whole


def rows_by_table():
    chance = random.Random(7)
    spread = range(400)
    sessions = [
        {
            "T": NOW_US - chance.randrange(4 * HOUR_US),
            "vn": chance.choice(PROJECTS), "remote_vn": chance.choice(PROJECTS),
            "vmi": f"default-domain:red:p{chance.randrange(4)}", "session_type": "client",
            "vrouter": "h1", "server_port": chance.choice([80, 443, 53]), "protocol": 6,
            "local_ip": f"10.0.0.{chance.randrange(200)}", "sample_weight": 1.0,
            "forward_action": "pass", "forward_sampled_bytes": chance.randrange(1_000_000),
            "forward_logged_bytes": number,
        }
        for number in spread
    ]  # fmt: skip
    logs = [
        {
            "MessageTS": NOW_US - number * 7_000_000, "Source": f"h{number % 3}",
            "ModuleId": "m", "Level": number % 8, "Messagetype": "Said", "SequenceNum": number,
            "Xmlmessage": f"<n>{number}</n>",
        }
        for number in spread
    ]  # fmt: skip
    numbers = [
        {
            "T": NOW_US - chance.randrange(4 * HOUR_US), "Table": "StatTable.S.l",
            "name": f"e{number % 5}", "Source": "h1", "texts": {"l.kind": f"k{number % 2}"},
            "numbers": {"l.a": chance.random() * 100} | ({"l.b": number} if number % 2 else {}),
        }
        for number in spread
    ]  # fmt: skip
    return {"session": sessions, "message": logs, "stat": numbers}


def query(table, fields, last="30m", **members):
    # Ends that do not move: the nodes are asked one after the other.
    start = NOW_US - {"30m": HOUR_US // 2, "4h": 4 * HOUR_US}[last]
    return {"table": table, "start_time": start, "end_time": NOW_US, "select_fields": fields, **members}  # fmt: skip


SERIES, RECORD, STAT = "SessionSeriesTable", "SessionRecordTable", "StatTable.S.l"
BYTES = "forward_sampled_bytes"
QUERIES = [
    query("MessageTable", ["MessageTS", "Source", "SequenceNum"], "4h", sort_fields=["MessageTS"], sort=2, limit=50),
    query("MessageTable", ["SequenceNum", "Level"], "4h", sort_fields=["Level", "SequenceNum"], limit=70),
    query("MessageTable", ["COUNT(Source)"], "4h", where=[[{"name": "Level", "value": 3, "op": 5}]]),
    query(RECORD, ["T", "vn", "local_ip", BYTES], "4h", sort_fields=["T"], limit=33),
    query(SERIES, ["vn", "remote_vn", f"SUM({BYTES})", "COUNT(vn)"], "4h", sort_fields=["vn", "remote_vn"]),
    query(SERIES, ["local_ip", f"SUM({BYTES})"], "4h", sort_fields=[f"SUM({BYTES})"], sort=2, limit=5),
    query(SERIES, ["T=600", "vn", f"SUM({BYTES})", f"AVG({BYTES})"], "4h", sort_fields=["T=600", "vn"]),
    query(SERIES, ["T=60", f"MAX({BYTES})", f"MIN({BYTES})"], "4h", sort=2, sort_fields=["T=60"], limit=17),
    query(SERIES, ["vn", f"PERCENTILES({BYTES})", f"AVG({BYTES})"], sort_fields=["vn"]),
    query(SERIES, ["vn", "CLASS(vn)", "sample_count", f"SUM({BYTES})"], "4h", sort_fields=["vn", f"SUM({BYTES})"]),
    query(SERIES, ["vn", "T=3600"], "4h", sort_fields=["vn", "T=3600"]),
    query(SERIES, [f"SUM({BYTES})", f"MIN({BYTES})"], where=[[{"name": "vn", "value": "nobody's"}]]),
    query("FlowSeriesTable", ["sourcevn", "SUM(bytes)", "SUM(flow_count)"], "4h", sort_fields=["sourcevn"], dir=1),
    query(STAT, ["name", "AVG(l.b)", "MIN(l.b)", "MAX(l.a)", "SUM(l.a)", "COUNT(l)"], sort_fields=["name"]),
    query(STAT, ["name", "AVG(l.b)", "MIN(l.b)", "MAX(l.a)", "SUM(l.a)"], "4h", sort_fields=["name"]),
    query(STAT, ["name", "PERCENTILES(l.b)"], "4h", sort_fields=["name"]),
    query(STAT, ["T", "l.kind", "l.b"], sort_fields=["l.kind", "T"], limit=20),
    query(STAT, ["l.b", "T"], "4h", sort_fields=["l.b", "T"], sort=2, limit=300),
]  # fmt: skip


def same(one, other):
    """Compare values: sums of fractions differ by the order in which they are added up."""
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == pytest.approx(other)
    return one == other


@pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: " ".join(asked["select_fields"]))
def test_two_nodes_answer_as_one_that_has_all(nodes, asked):
    one, other, whole = nodes

    expected = whole.value(asked)

    assert expected
    for node in (one, other):
        assert same(node.value(asked), expected), (node.value(asked), expected)


def test_readable_queries_and_lists_are_of_all_nodes(nodes):
    one, _, whole = nodes
    paths = (
        "/api/v1/logs?last=2h&limit=30",
        "/api/v1/flows?last=5h&by=vn,server_port",
        "/api/v1/metrics?table=StatTable.S.l&select=SUM(l.a)&step=3600&last=5h",
        "/analytics/tables",
        "/analytics/table/StatTable.S.l/schema",
        "/analytics/table/SessionSeriesTable/column-values/vn",
    )

    for path in paths:
        found, expected = (httpx.get(f"{each.url}{path}", timeout=60) for each in (one, whole))
        assert (path, found.status_code) == (path, 200)
        assert same(found.json(), expected.json()), path
    lines = httpx.get(f"{one.url}/api/v1/logs?last=2h&limit=30&format=ndjson", timeout=60)
    assert [json.loads(line) for line in lines.text.splitlines()] == httpx.get(
        f"{one.url}/api/v1/logs?last=2h&limit=30", timeout=60
    ).json()["rows"]


def test_a_tenant_is_shown_his_own_of_all_nodes(nodes):
    one, _, whole = nodes
    headers = {"x-skytrail-project": "default-domain:red"}
    asked = query(SERIES, ["vmi", f"SUM({BYTES})"], "4h", sort_fields=["vmi"])

    def value(node):
        transport = httpx.HTTPTransport(uds=str(node.folder / f"{node.name}-rest.sock"))
        with httpx.Client(transport=transport, base_url="http://node", timeout=60) as client:
            reply = client.post("/analytics/query", json=asked, headers=headers)
            assert reply.status_code == 200, reply.text
            return reply.json()["value"]

    assert value(one) == value(whole) != []


NETWORK = "default-domain:past:net"
TRIED = {
    "uve_keys": {"uve_key": ["virtual-network"]},
    "alarm_severity": 1,
    "alarm_rules": {
        "or_list": [
            {
                "and_list": [
                    {
                        "operation": "==",
                        "operand1": "S.v",
                        "operand2": {"json_value": "1"},
                    }
                ]
            }
        ]
    },
}


def iso(at_us):
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def step(node, second, value, *, kind="change", name=NETWORK):
    """A row of what a node knew, so many seconds ago."""
    return {
        "T": NOW_US - second * 1_000_000, "Source": node.name, "Table": "ObjectVNTable",
        "name": name, "struct": "S", "kind": kind, "value": json.dumps({"v": value}),
    }  # fmt: skip


def test_rules_are_tried_over_what_all_nodes_knew(nodes):
    one, other, _ = nodes
    # All told the first; then it was away, and the second was told; the first was told again.
    one.keep("uve", [step(one, 900, 0), step(one, 300, 0)])
    other.keep("uve", [step(other, 700, 1), step(other, 250, 1, kind="gone")])
    other.keep("uve", [step(other, 800, 0, name=f"{NETWORK}2")])
    body = {"rule": TRIED, "from": iso(NOW_US - HOUR_US), "entity": f"{NETWORK}*"}

    def tried(node):
        reply = httpx.post(f"{node.url}/api/v1/alarms/dry-run", json=body, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json(), reply.headers.get(MISSING, "")

    found = [tried(node)[0] for node in (one, other)]
    other.kill()
    try:
        alone, missing = tried(one)
    finally:
        other.start()

    [alarm] = found[0]["alarms"]
    times = alarm["raised_us"], alarm["cleared_us"]
    assert [NOW_US - each for each in times] == pytest.approx([700e6, 285e6], abs=2e6)
    assert (alarm["name"], found[0]["entities_count"], "missing" in found[0]) == (NETWORK, 2, False)
    assert found[1] | {"to_us": 0} == found[0] | {"to_us": 0}
    assert (alone["alarms"], alone["entities_count"]) == ([], 1)
    assert (list(alone["missing"]), missing) == ([other.place], other.place)


def test_a_node_whose_store_is_away_asks_the_others_of_the_past(nodes):
    one, other, _ = nodes
    name = f"{NETWORK}-at"
    other.keep("uve", [step(other, 600, 7, name=name)])
    at = iso(NOW_US - 500_000_000)
    paths = (
        f"/analytics/uves/virtual-network/{name}?flat&at={at}",
        "/analytics/table/SessionSeriesTable/column-values/vn",
    )
    one.kill_store()
    try:
        replies = [httpx.get(f"{one.url}{path}", timeout=60) for path in paths]
    finally:
        one.start_store()
        wait_until(lambda: httpx.get(f"{one.url}/healthz").status_code == 200, "the store")

    assert [reply.status_code for reply in replies] == [200, 200], [each.text for each in replies]
    assert [reply.headers[MISSING] for reply in replies] == [one.name, one.name]
    assert replies[0].json()["S"] == {"v": 7}
    assert set(replies[1].json()) >= set(PROJECTS)


def test_a_node_that_has_the_name_of_another_is_found_out(nodes, tmp_path):
    one, other, _ = nodes
    port, log = free_port(), tmp_path / "log"
    command = [
        sys.executable, "-m", "skytrail.daemons.analytics", "--name", one.name, "--port", str(port),
        "--history", str(other.store), "--peer", one.url, "--peer", other.url,
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as node:
        try:
            wait_until(lambda: b"node_name_taken" in log.read_bytes(), "it is logged")
            health = httpx.get(f"{url}/healthz", timeout=60)
            reply = httpx.get(f"{url}/api/v1/logs?last=2h", timeout=60)
        finally:
            node.kill()

    assert (health.status_code, "node-name" in health.text) == (503, True)
    assert list(reply.json()["missing"]) == [one.url]
    assert "start each node with a --name of its own" in reply.json()["missing"][one.url]


TOLD_COUNT = 40


class Host:
    """A process that tells sessions and logs, by the code that agents have."""

    def __init__(self, *nodes, name="teller"):
        clock = SystemClock()
        self.name = name
        self.tap = LogTap(clock)
        self._sessions = []
        self.told_count = 0
        self.telemetry = Telemetry(
            hello_of_this_process(name, "Compute", "agent"), self._nothing,
            Collectors([node.socket for node in nodes], return_every_s=0.2), clock, self.tap,
            SessionSource(self._take, dict, lambda: TOLD_COUNT),
        )  # fmt: skip

    @staticmethod
    async def _nothing():
        return []

    def _take(self):
        taken, self._sessions = self._sessions, []
        if taken:
            yield pack(taken)

    def tell(self):
        at_us = time.time_ns() // 1000
        for number in range(TOLD_COUNT):
            self._sessions.append({"T": at_us + number, "vn": self.name, "sample_weight": 1.0})
            self.told_count += 1
            event = f"mark{self.told_count}"
            self.tap.keep(Log(timestamp_us=at_us + number, level=6, event=event))


async def until(condition, what):
    async with asyncio.timeout(DEADLINE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.1)
    return what


def counted(node, name="teller"):
    """Return how many sessions and logs of the process are known, and whose part is missing."""
    found, missing = [], set()
    for table, column, condition in (
        (RECORD, "COUNT(vn)", {"name": "vn", "value": name}),
        ("MessageTable", "COUNT(Source)", {"name": "Source", "value": name}),
    ):
        asked = {"table": table, "start_time": "now-10m", "end_time": "now"}
        reply = node.ask({**asked, "select_fields": [column], "where": [[condition]]})
        found += [row[column] for row in reply.json()["value"]]
        missing.add(reply.headers.get(MISSING, ""))
    return found, "".join(missing)


def test_a_node_that_is_killed_is_missing_and_comes_back_with_its_part(nodes):
    one, other, _ = nodes
    host = Host(one, other)

    async def story():
        telling = asyncio.create_task(host.telemetry.run())
        told = host.telemetry
        host.tell()
        await until(lambda: counted(one)[0] == [TOLD_COUNT] * 2, "the first is told")
        await until(lambda: not told.unkept_count, "and says that it is kept")
        one.kill()
        host.tell()
        await until(lambda: told.collector == str(other.socket), "the other is told")
        found = [await asyncio.to_thread(counted, other)]
        await until(lambda: counted(other)[0] == [TOLD_COUNT] * 2, "its part is there")
        shown = CliRunner().invoke(main, ["sessions", "--analytics", other.url, "--last", "5m"])
        one.start()
        await until(lambda: counted(other) == ([2 * TOLD_COUNT] * 2, ""), "all is there")
        host.tell()
        await until(lambda: told.collector == str(one.socket), "the first is told again")
        for node in (one, other):
            await until(lambda node=node: counted(node) == ([3 * TOLD_COUNT] * 2, ""), node.name)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        return found, shown

    found, shown = asyncio.run(story())

    assert found[0][1] == one.url
    assert f"what these analytics nodes keep is missing: {one.url}" in shown.stderr
    readable = httpx.get(f"{other.url}/api/v1/logs?source=teller", timeout=60)
    assert "missing" not in readable.json()


class Relay:
    """Stands between a process and a node; what the node says after its first word is held back while ``is_deaf``."""

    def __init__(self, node, folder):
        self._node = node
        self.socket = folder / f"{node.name}-relay.sock"
        self.is_deaf = False

    async def start(self):
        self.is_deaf = False
        self._server = await asyncio.start_unix_server(self._accept, self.socket)

    def stop(self):
        """Let nobody in: the node is not there."""
        self._server.close()
        self.socket.unlink()

    async def _accept(self, reader, writer):
        upper, lower = await asyncio.open_unix_connection(self._node.socket)
        passing = [self._pass(reader, lower, is_up=True), self._pass(upper, writer, is_up=False)]
        await asyncio.wait(map(asyncio.ensure_future, passing), return_when="FIRST_COMPLETED")
        writer.close()
        lower.close()

    async def _pass(self, reader, writer, *, is_up):
        is_first = True
        with contextlib.suppress(OSError):
            while content := await reader.read(65536):
                if is_up or is_first or not self.is_deaf:
                    writer.write(content)
                is_first = False


def kill_before_acknowledged(node, is_written):
    """End a node as soon as something is on its disk."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for path in node.spool.glob("*.bundle"):
            with contextlib.suppress(FileNotFoundError):
                if is_written(path.read_bytes()):
                    node.kill()
                    return
    pytest.fail("nothing is written")


def numbered(folder):
    """Return what a node's metrics say of copies."""
    metrics = httpx.get(f"{folder}/metrics", timeout=10).text
    return {
        name: float(value)
        for name, value in re.findall(
            r"^skytrail_analytics_rows_(\w+)_total ([\d.]+)$", metrics, re.MULTILINE
        )
    }


@pytest.mark.parametrize("is_second_killed_too", [False, True])
def test_rows_written_before_the_kill_and_told_another_node_are_counted_once(
    nodes, tmp_path, is_second_killed_too
):
    one, other, _ = nodes
    relays = [Relay(node, tmp_path) for node in (one, other)]
    host = Host(*relays, name=f"doubter{is_second_killed_too}")

    def known(node):
        return counted(node, host.name)

    async def story():
        for relay in relays:
            await relay.start()
        telling = asyncio.create_task(host.telemetry.run())
        host.tell()
        await until(lambda: known(one) == ([TOLD_COUNT] * 2, ""), "the first is told")
        await until(lambda: not host.telemetry.unkept_count, "and it is acknowledged")
        killed = [one, other] if is_second_killed_too else [one]
        for relay, node in zip(relays, killed, strict=False):
            relay.is_deaf = True
            host.tell()
            # The last log of those: what waits for its store as well as what is not acknowledged.
            marks = f"mark{host.told_count}".encode()
            await asyncio.to_thread(kill_before_acknowledged, node, lambda it, m=marks: m in it)
            relay.stop()
        if not is_second_killed_too:
            await until(lambda: known(other)[0] == [TOLD_COUNT] * 2, "the other is told")
            await until(lambda: not host.telemetry.unkept_count, "and it is acknowledged")
        await asyncio.to_thread(one.start)
        await relays[0].start()
        if is_second_killed_too:
            await until(lambda: list(one.spool.glob("*.aside")), "some waits for the other")
            await asyncio.to_thread(other.start)
            await relays[1].start()
        withdrawing = other if is_second_killed_too else one
        await until(lambda: numbered(withdrawing.url)["withdrawn"] >= TOLD_COUNT, "withdrawn")
        host.tell()
        await until(lambda: not host.telemetry.unkept_count, "all is acknowledged")
        for node in (one, other):
            expected = [host.told_count] * 2, ""
            await until(lambda node=node, all_=expected: known(node) == all_, node.name)
        await until(lambda: not list(one.spool.glob("*.aside")), "nothing waits")
        assert not list(other.spool.glob("*.aside"))
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        for relay in relays:
            relay.stop()

    asyncio.run(story())

    for node in (one, other):
        assert known(node) == ([host.told_count] * 2, "")


def test_what_one_node_keeps_is_not_told_to_the_next_again(nodes):
    one, other, _ = nodes
    hello = Hello(
        source="mover", node_type="Compute", module="agent", instance_id="0", pid=5, started_us=7
    )
    at_us = time.time_ns() // 1000
    logs = [Log(number=n, timestamp_us=at_us + n, level=6, event="told") for n in range(1, 8)]

    def tell(node, some):
        """Say hello and some logs, and go before any is acknowledged; return what the node had kept."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(node.socket))
            stream.sendall(encode(hello))
            framer = TelemetryFramer()
            while (frame := framer.next_frame()) is None:
                framer.feed(stream.recv(65536))
            stream.sendall(b"".join(map(encode, some)))
        return decode(frame).kept

    kept = [tell(one, logs[:5]), tell(other, logs), tell(one, logs)]

    assert kept == [0, 5, 7]
    asked = {
        "table": "MessageTable", "start_time": "now-10m", "end_time": "now",
        "select_fields": ["COUNT(Source)"], "where": [[{"name": "Source", "value": "mover"}]],
    }  # fmt: skip
    for node in (one, other):
        wait_until(lambda node=node: node.value(asked)[0]["COUNT(Source)"] == 7, node.name)


def test_the_modern_answer_names_who_is_missing(nodes):
    one, other, _ = nodes
    one.kill()
    asked = ["sessions", "--last", "4h", "--limit", "3", "--json"]
    try:
        shown = CliRunner().invoke(main, [*asked, "--analytics", f"{one.url},{other.url}"])
        reply = httpx.get(f"{other.url}/api/v1/logs?last=2h", timeout=60)
        lines = httpx.get(f"{other.url}/api/v1/logs?last=2h&format=ndjson", timeout=60)
    finally:
        one.start()

    assert len(json.loads(shown.stdout)) == 3
    assert f"no analytics node answers at {one.url}" in shown.stderr
    assert f"asked in its place: {other.url}" in shown.stderr
    assert list(reply.json()["missing"]) == [one.url]
    assert "cannot be reached" in reply.json()["missing"][one.url]
    assert one.url in json.loads(lines.text.splitlines()[-1])["error"]


def test_a_node_that_says_nothing_is_missing_and_not_waited_for_again(tmp_path):
    connections = []

    async def story():
        async def silent(_, writer):
            connections.append(writer)

        listener = await asyncio.start_unix_server(silent, tmp_path / "silent.sock")
        clock = SystemClock()
        others = OtherNodes([f"unix:{tmp_path}/silent.sock"], NO_ACCESS, "own", clock, answer_s=0.3)
        try:
            started = clock.now()
            found = [await others.ask("query", {}, RowsPart) for _ in range(5)]
            return found, clock.now() - started
        finally:
            await others.close()
            for each in connections:
                each.close()
            listener.close()

    found, spent_s = asyncio.run(story())

    assert {tuple(parts.missing.values()) for parts in found} == {("no answer within 0.3 s",)}
    assert len(connections) == 1
    assert spent_s < 5 * 0.3
