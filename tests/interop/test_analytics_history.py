"""Logs from generators through the collector into the real engine, and queries over them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime

import httpx
import pytest

from skytrail.lab.io.machine import free_port
from skytrail.runtime.introspection import read_page
from skytrail.testing.controller import Daemons, wait_until
from skytrail.testing.sandesh_flows import flow
from skytrail.testing.sandesh_generator import MODULE, Generator
from skytrail.testing.sandesh_sessions import aggregate, endpoint, session
from skytrail.wire.telemetry import Hello, Statistic, TelemetryFramer, Uve, encode
from skytrail.wire.telemetry.sessions import pack

PATIENCE_S = 30.0


class Node(Daemons):
    """An analytics node and its store."""

    def __init__(self, folder):
        super().__init__(folder)
        self.data, self.socket = folder / "data", folder / "history.sock"
        self.rest, self.sandesh, self.telemetry = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.rest}/analytics"

    def __enter__(self):
        self.start_history()
        self.start_node("--keep", "session=30", "--log-level", "error")
        wait_until(self._has_tables, "the tables are there")
        return self

    def _has_tables(self):
        """Tell whether the tables are made, which may be after somebody asks: who does so is told to come again."""
        reply = self.asked("SessionSeriesTable", ["vn"])
        is_early = (reply.status_code, reply.headers.get("retry-after")) == (503, "2")
        assert reply.is_success or is_early, reply.text
        return reply.is_success

    def start_history(self):
        self.start("history", "--data", self.data, "--socket", self.socket)

    def start_node(self, *options):
        self.start(
            "analytics", "--port", self.rest, "--sandesh-port", self.sandesh,
            "--telemetry-port", self.telemetry, "--history", self.socket, *options,
        )  # fmt: skip

    def asked(self, table, fields, **members):
        body = {"table": table, "start_time": "now-10m", "end_time": "now", "select_fields": fields}
        return httpx.post(f"{self.url}/query", json={**body, **members}, timeout=PATIENCE_S)

    def query(self, fields, table="MessageTable", **members):
        reply = self.asked(table, fields, **members)
        assert reply.status_code == 200, reply.text
        return reply.json()["value"]

    def count(self, module):
        where = [[{"name": "ModuleId", "value": module, "op": 1}]]
        rows = self.query(["ModuleId", "COUNT(Source)"], where=where)
        return rows[0]["COUNT(Source)"] if rows else 0


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("history")) as running:
        wait_until(lambda: _health(running) == 200, "the node and its store are ready")
        yield running


@pytest.fixture
def generator(node):
    made = Generator(node.sandesh)
    yield made
    made.stream.close()


def test_log_of_a_generator_is_found_by_what_it_says(node, generator):
    generator.log(peer="a:b:it's `quoted` \\ and <tagged>", text="up")

    def found():
        where = [[{"name": "Messagetype", "value": "Peer", "op": 7}]]
        return node.query(["Source", "Level", "Xmlmessage"], where=where)

    wait_until(found, "the message is stored")
    (row,) = found()
    assert (row["Source"], row["Level"]) == ("h1", 4)
    assert "it&apos;s `quoted` \\ and &lt;tagged&gt;" in row["Xmlmessage"]
    objects = node.query(["ObjectId", "ObjectLog"], table="ObjectBgpPeer")
    assert objects == [
        {"ObjectId": "a:b:it's `quoted` \\ and <tagged>", "ObjectLog": row["Xmlmessage"]}
    ]


def compatible_endpoint(host_address, client_ports, **members):
    """Return sessions that a workload serves at port 443, as a compatible agent tells them."""
    sessions = {
        ("10.0.1.9", port): session(
            {"sampled_bytes": 900, "sampled_pkts": 9, "action": "pass", "setup_time": 1_000_000},
            {"sampled_bytes": 70, "logged_bytes": 70, "action": "drop", "drop_reason": "SG"},
            vm="vm1",
            other_vrouter_ip="192.0.2.2",
            underlay_proto=2,
        )
        for port in client_ports
    }
    return endpoint(
        {("10.0.0.3", 443, 6): aggregate(sessions), ("10.0.0.3", 80, 6): aggregate(sessions)},
        **{
            "vmi": "a:b:port1",
            "vn": "a:b:web",
            "remote_vn": "a:b:db",
            "tier": "tier=web",
            "remote_labels": ["label=b", "label=a"],
            "is_client_session": False,
            "vrouter_ip": host_address,
            **members,
        },
    )


def test_sessions_of_a_compatible_agent_are_found_as_our_own(node):
    generator = Generator(node.sandesh, "sessions")
    where = [[{"name": "vrouter_ip", "value": "192.0.2.77", "op": 1}]]
    generator.sessions(compatible_endpoint("192.0.2.77", [1], vn="x" * 1025))
    generator.sessions(compatible_endpoint("192.0.2.77", [2]), days_ago=40)
    generator.sessions(compatible_endpoint("192.0.2.77", [40_000, 40_001]))

    def found(fields, table="SessionRecordTable"):
        return node.query(fields, table, where=where)

    wait_until(lambda: found(["vn"]), "the sessions are stored")
    single = {
        "vrouter": "h1", "session_type": "server", "vmi": "a:b:port1", "vn": "a:b:web",
        "remote_vn": "a:b:db", "tier": "tier=web", "remote_labels": "label=a;label=b",
        "local_ip": "10.0.0.3", "remote_ip": "10.0.1.9", "protocol": 6, "forward_action": "pass",
        "reverse_action": "drop", "drop_reason": "SG", "other_vrouter_ip": "192.0.2.2",
        "underlay_proto": 2, "forward_sampled_bytes": 900, "forward_sampled_pkts": 9,
        "reverse_logged_bytes": 70, "setup_time": 1_000_000,
    }  # fmt: skip
    rows = found([*single, "server_port", "client_port"])
    assert {(row.pop("server_port"), row.pop("client_port")) for row in rows} == {
        (service, port) for service in (443, 80) for port in (40_000, 40_001)
    }
    assert rows == [single] * 4
    columns = ["server_port", "SUM(forward_sampled_bytes)", "SUM(sample_count)"]
    added = found(columns, "SessionSeriesTable")
    assert sorted(row["server_port"] for row in added) == [80, 443]
    assert {(row[columns[1]], row[columns[2]]) for row in added} == {(1800, 2)}
    page = httpx.get(f"http://127.0.0.1:{node.rest}/introspect/generators").json()
    (known,) = [row for row in page["rows"] if row["name"] == "h1:Control:sessions:0"]
    assert known["dropped"] == {"unusable": 2}, known
    generator.stream.close()


def test_flows_of_an_older_agent_are_found_as_flows_and_as_sessions(node):
    generator = Generator(node.sandesh, "flows")
    ends = ("a:b:old", -1_062_731_515, -25_536), ("a:b:db", 167_772_161, 443)

    def told(source, destination, direction, **members):
        names = ("vn", "ip")
        return flow(
            direction_ing=direction, protocol=6, sport=source[2], dport=destination[2],
            **dict(zip((f"source{name}" for name in names), source, strict=False)),
            **dict(zip((f"dest{name}" for name in names), destination, strict=False)),
            **members,
        )  # fmt: skip

    there = {"diff_bytes": 900, "diff_packets": 9, "action": "pass"}
    back = {"diff_bytes": 70, "diff_packets": 1, "action": "drop", "drop_reason": "SG"}
    generator.flows(told(*ends, 7, **there))
    generator.flows(told(*ends, 1, **there), told(*ends[::-1], 0, **back))
    generator.flows(told(*ends, 1, **there))

    def found(table, fields, column="vn", **members):
        where = [[{"name": column, "value": "a:b:old", "op": 1}]]
        return node.query(fields, table, where=where, **members)

    columns = ["SUM(forward_sampled_bytes)", "SUM(reverse_sampled_bytes)"]
    sums = ["vn", "session_type", "server_port", *columns]
    wait_until(
        lambda: (
            found("SessionSeriesTable", sums)
            == [dict(zip(sums, ("a:b:old", "client", 443, 1800, 70), strict=True))]
        ),
        "all of the session is stored, as one",
    )
    # As flows they are what the agent told, and nothing else.
    fields = ["sourceip", "destip", "sport", "dport", "action", "agg-bytes", "drop_reason"]
    assert found("FlowRecordTable", fields, "sourcevn", dir=1) == 2 * [
        dict(zip(fields, ("192.168.1.5", "10.0.0.1", 40_000, 443, "pass", 900, ""), strict=True))
    ]
    assert found("FlowRecordTable", fields, "destvn", dir=0) == [
        dict(zip(fields, ("10.0.0.1", "192.168.1.5", 443, 40_000, "drop", 70, "SG"), strict=True))
    ]
    added = found("FlowSeriesTable", ["sourcevn", "sum(bytes)", "sum(packets)"], "sourcevn", dir=1)
    assert added == [{"sourcevn": "a:b:old", "sum(bytes)": 1800, "sum(packets)": 18}]
    shown = native(node, "flows", network="a:b:old", last="10m").json()["rows"]
    assert {row["remote_ip"] for row in shown} == {"10.0.0.1"}
    assert len(shown) == 3
    page = httpx.get(f"http://127.0.0.1:{node.rest}/introspect/generators").json()
    (known,) = [row for row in page["rows"] if row["name"] == "h1:Control:flows:0"]
    assert known["dropped"] == {"unusable": 1}, known
    generator.stream.close()


def test_numbered_messages_that_do_not_arrive_are_a_gap(node):
    def heard(numbers):
        """Tell logs of these numbers over a connection of their own."""
        generator = Generator(node.sandesh, "gaps")
        for number in numbers:
            generator.sequence = number - 1
            generator.log(text=str(number))
        generator.stream.close()
        told[0] += len(numbers)
        wait_until(lambda: node.count("gaps") == told[0], "the logs are stored")

    fields = ["T", "Until", "Source", "Kind", "Reason", "Count"]
    where = [[{"name": "ModuleId", "value": "gaps", "op": 1}]]

    def gaps():
        return node.query(fields, "GapTable", where=where, sort_fields=["T"])

    told = [0]
    # 5 comes late; 6 and 7 do not come.
    heard([3, 4, 8, 5])
    wait_until(gaps, "what is missing is told")
    # What was lost without a connection, 9 to 11, comes after 8.
    heard([12, 13])
    wait_until(lambda: len(gaps()) == 2, "what was lost without a connection is told")

    found = gaps()
    assert [(row["Source"], row["Kind"], row["Reason"], row["Count"]) for row in found] == [
        ("h1", "log", "sequence_gap", 2),
        ("h1", "log", "sequence_gap", 3),
    ]
    assert all(row["T"] <= row["Until"] for row in found)
    text = httpx.get(f"http://127.0.0.1:{node.rest}/metrics").text
    assert 'skytrail_analytics_messages_missing_total{kind="log"} 5' in text


def test_texts_are_compared_whatever_is_in_them(node, generator):
    told = "tab\there, line\nend, back\\slash, C:\\new"
    generator.log("Odd", peer=told)

    def found(value, op):
        where = [[{"name": "ObjectId", "value": value, "op": op}]]
        return node.query(["COUNT(Source)"], table="ObjectBgpPeer", where=where)

    wait_until(lambda: found(told, 1) == [{"COUNT(Source)": 1}], "the text is found")
    assert found(r"tab\there.*\bslash, C:\\new", 8) == [{"COUNT(Source)": 1}]
    assert found("tab\t", 7) == [{"COUNT(Source)": 1}]


def test_queries_too_long_for_the_store_take_nobodys_place(node):
    fields = ["COUNT(Source)"]
    where = [[{"name": "Source", "value": "a" * 70_000, "op": 1}]]
    body = {"table": "MessageTable", "start_time": "now-1h", "end_time": "now"}
    long = {**body, "select_fields": fields, "where": where}

    statuses = {httpx.post(f"{node.url}/query", json=long).status_code for _ in range(40)}

    assert statuses == {400}
    assert len(node.query(fields)) == 1
    assert len(node.query(["Source"], sort_fields=["Source"] * 5_000)) > 0


def test_rows_of_very_many_days_are_nobody_elses_loss(node, generator):
    honest = Generator(node.sandesh, "honest")
    for days in range(300):
        generator.log("Wild", days_ago=days)
    for _ in range(50):
        honest.log("Tame")

    wait_until(lambda: node.count("honest") == 50, "what others say is stored")
    honest.stream.close()


def test_answer_can_be_fetched_later(node):
    body = {
        "table": "MessageTable", "start_time": "now-1h", "end_time": "now",
        "select_fields": ["T=60", "COUNT(Source)"],
    }  # fmt: skip
    accepted = httpx.post(f"{node.url}/query", json=body, headers={"expect": "202-accepted"})
    assert accepted.status_code == 202
    place = f"http://127.0.0.1:{node.rest}{accepted.json()['href']}"

    wait_until(lambda: httpx.get(place).json()["progress"] == 100, "the query is done")
    chunk = httpx.get(place).json()["chunks"][0]["href"]

    assert "value" in httpx.get(f"http://127.0.0.1:{node.rest}{chunk}").json()


def test_killed_store_loses_no_row_and_doubles_none(node):
    generator = Generator(node.sandesh, "load")
    for number in range(2_000):
        generator.log("Load", number=str(number))
        if number == 700:
            node.kill("history")
        if number == 1_400:
            node.start_history()
    generator.stream.close()

    wait_until(lambda: node.count("load") == 2_000, "everything is stored once")
    wait_until(lambda: _health(node) == 200, "the node is healthy again")


def _health(node):
    return httpx.get(f"http://127.0.0.1:{node.rest}/healthz").status_code


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"table": "Nope"}, 410),
        ({"select_fields": ["Nope"]}, 404),
        ({"start_time": "yesterday"}, 400),
        ({"where": [[{"name": "Xmlmessage", "value": "(", "op": 8}]]}, 400),
        ({"select_fields": 7}, 400),
    ],
)
def test_query_that_makes_no_sense_is_refused(node, members, status):
    body = {"table": "MessageTable", "start_time": "now-10m", "end_time": "now"}
    reply = httpx.post(f"{node.url}/query", json={**body, "select_fields": ["Source"], **members})

    assert reply.status_code == status, reply.text


def test_query_that_fails_leaves_nothing_in_the_answer_of_the_next(node, generator):
    generator.log("Kept")
    wait_until(lambda: node.count(MODULE), "there is something to show")
    body = {"table": "MessageTable", "start_time": "now-10m", "end_time": "now"}
    where = [[{"name": "Xmlmessage", "value": "(", "op": 8}]]
    for _ in range(5):
        failing = {**body, "select_fields": ["Source"], "where": where}
        assert httpx.post(f"{node.url}/query", json=failing).status_code == 400

        assert node.count(MODULE)


def test_second_process_on_the_same_folder_does_not_start(node, tmp_path):
    command = [
        *(sys.executable, "-m", "skytrail.daemons.history", "--data", str(node.data)),
        *("--socket", str(tmp_path / "other.sock")),
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 1, second.stderr
    assert "Traceback" not in second.stderr


class Process:
    """A host's agent, as it tells by our own stream."""

    def __init__(self, node, source):
        self.stream = socket.create_connection(("127.0.0.1", node.telemetry), PATIENCE_S)
        hello = Hello(
            source=source, node_type="Compute", module="agent", instance_id="0", pid=5, started_us=1
        )
        self.tell(hello)
        framer = TelemetryFramer()
        while framer.next_frame() is None:
            framer.feed(self.stream.recv(65536))

    def tell(self, *messages):
        self.stream.sendall(b"".join(map(encode, messages)))


@pytest.fixture
def process(node, request):
    made = Process(node, request.node.name)
    yield made
    made.stream.close()


def sessions(hours_ago, count, weight=2.0):
    """Return sessions of one minute, every second of which is a server's."""
    now_us = round(time.time() * 1e6) - hours_ago * 3_600_000_000
    start = now_us - now_us % 60_000_000
    return pack(
        [
            {
                "T": start + number,
                "session_type": ("client", "server")[number % 2],
                "vn": "a:b:web",
                "remote_vn": "a:b:db",
                "local_ip": f"10.0.0.{number}",
                "remote_ip": "10.0.1.1",
                "server_port": 80,
                "client_port": 40_000 + number,
                "sample_weight": weight,
                "forward_sampled_bytes": 100,
                "reverse_sampled_bytes": 7,
            }
            for number in range(count)
        ]
    )


def test_rollups_give_what_single_rows_give(node, process):
    vrouter = [[{"name": "vrouter", "value": "test_rollups_give_what_single_rows_give", "op": 1}]]
    fields = ["vn", "SUM(forward_sampled_bytes)", "SUM(sample_count)", "COUNT(vn)"]

    def totals(start, columns=fields):
        return node.query(columns, "SessionSeriesTable", start_time=start, where=vrouter)

    process.tell(sessions(0, 20), sessions(3, 10))
    wait_until(
        lambda: [row[fields[3]] for row in totals("now-6d")] == [30], "the sessions are stored"
    )

    single, minutes, hours = (totals(start) for start in ("now-50m", "now-5h", "now-6d"))
    of_web = {"vn": "a:b:web"}
    assert single == [{**of_web, fields[1]: 20 * 200, fields[2]: 40, fields[3]: 20}], (
        "the newer ones"
    )
    assert minutes == hours == [{**of_web, fields[1]: 30 * 200, fields[2]: 60, fields[3]: 30}]
    bins = totals("now-5h", ["T=3600", "SUM(forward_sampled_bytes)"])
    assert [row["SUM(forward_sampled_bytes)"] for row in bins] == [2000, 4000], "oldest first"
    averages = [
        totals(start, ["vn", "AVG(reverse_sampled_bytes)"]) for start in ("now-50m", "now-6d")
    ]
    assert averages[0] == averages[1] == [{**of_web, "AVG(reverse_sampled_bytes)": 14}]


def test_newest_and_oldest_rows_are_those_of_the_whole_time(node, process):
    name = "test_newest_and_oldest_rows_are_those_of_the_whole_time"
    host = [[{"name": "vrouter", "value": name, "op": 1}]]
    process.tell(*(sessions(hours, 4) for hours in range(4)))

    def times(limit, order, fields=("T",)):
        found = node.query(
            list(fields), "SessionSeriesTable", start_time="now-5h", where=host,
            sort_fields=[fields[0]], sort=order, limit=limit,
        )  # fmt: skip
        return [row["T=" if fields[0] != "T" else "T"] for row in found]

    wait_until(lambda: len(times(100, 1)) == 16, "the sessions are stored")
    oldest_first = times(100, 1)
    bins = times(100, 1, ("T=60", "COUNT(vn)"))
    assert oldest_first == sorted(oldest_first)
    assert len(bins) == 4
    for limit in (1, 3, 5, 16):
        assert times(limit, 1) == oldest_first[:limit]
        assert times(limit, 2) == oldest_first[::-1][:limit]
        assert times(limit, 2, ("T=60", "COUNT(vn)")) == bins[::-1][:limit]


def test_sessions_are_two_flows_each(node, process):
    host = [[{"name": "vrouter", "value": "test_sessions_are_two_flows_each", "op": 1}]]
    fields = ["sourcevn", "destvn", "dport", "sum(bytes)"]

    def flows(direction):
        found = node.query(fields, "FlowSeriesTable", dir=direction, where=host)
        return sorted((row["sourcevn"], row["destvn"], row["sum(bytes)"]) for row in found)

    process.tell(sessions(0, 2, weight=1.0))
    wait_until(lambda: flows(1), "the sessions are stored")

    # Of one the workload is the client, of the other the server.
    assert flows(1) == [("a:b:web", "a:b:db", 7), ("a:b:web", "a:b:db", 100)]
    assert flows(0) == [("a:b:db", "a:b:web", 7), ("a:b:db", "a:b:web", 100)]


def test_numbers_of_processes_and_generators_have_a_course(node, process):
    table = "StatTable.UveVMInterfaceAgent.if_stats"
    for value in (100, 150, 400):
        process.tell(
            Uve(
                table="ObjectVMITable", key="a:b:port", struct="UveVMInterfaceAgent",
                fields={"in_bytes": value},
                statistics=[Statistic(name="if_stats", counters=["in_bytes"])],
            )
        )  # fmt: skip
    fields = ["name", "SUM(if_stats.in_bytes)", "MAX(if_stats.in_bytes)", "COUNT(if_stats)"]

    def course(start):
        return node.query(fields, table, start_time=start)

    wait_until(lambda: course("now-10m"), "the numbers are stored")

    expected = {"name": "a:b:port", fields[1]: 300, fields[2]: 250, fields[3]: 2}
    assert course("now-10m") == course("now-5h") == course("now-30d") == [expected]
    asked = {"table": table, "select": ",".join(fields[1:]), "by": "name", "name": "a:b:port"}
    assert native(node, "metrics", **asked).json()["rows"] == [expected]
    names = [each["name"] for each in httpx.get(f"{node.url}/tables").json()]
    assert {table, "FlowSeriesTable", "ConfigObjectTable"} <= set(names)
    columns = httpx.get(f"{node.url}/table/{table}/schema").json()["columns"]
    assert "if_stats.in_bytes" in [each["name"] for each in columns]


def test_attributes_are_shown_and_put_in_order_as_numbers_or_texts(node, process):
    """Of one name both may be told: of a text that looks like a number nothing else is made."""
    table = "StatTable.Mixed.load"
    for number, value in enumerate((10, 9.5, "x", "7", 100, 9.5)):
        process.tell(
            Uve(
                table="ObjectVMITable", key="a:b:port", struct="Mixed",
                fields={"load": {"level": value, "number": number}},
                statistics=[Statistic(name="load", gauges=["load"])],
            )
        )  # fmt: skip

    def levels(*fields, **asked):
        return [list(row.values()) for row in node.query(["load.level", *fields], table, **asked)]

    wait_until(lambda: len(levels()) == 6, "the numbers are stored")

    numbers, texts = {"op": 2, "name": "load.level", "value": "x"}, [["7"], ["x"]]
    in_order = [[9.5], [9.5], [10], [100]]
    assert levels(sort_fields=["load.level"]) == in_order + texts
    assert levels(sort_fields=["load.level"], where=[[numbers]]) == [*in_order, ["7"]]
    assert levels("COUNT(load)", sort_fields=["load.level"]) == [
        [9.5, 2], [10, 1], [100, 1], ["7", 1], ["x", 1],
    ]  # fmt: skip
    asked = {"table": table, "select": "load.level", "name": "a:b:port"}
    told = [row["load.level"] for row in native(node, "metrics", **asked).json()["rows"]]
    assert sorted(map(str, told)) == ["10", "100", "7", "9.5", "9.5", "x"]
    assert "7" in told


def native(node, path, **query):
    reply = httpx.get(
        f"http://127.0.0.1:{node.rest}/api/v1/{path}",
        params={name.rstrip("_"): value for name, value in query.items()},
        timeout=PATIENCE_S,
    )
    assert reply.status_code == 200, reply.text
    return reply


def test_readable_queries_give_what_the_compatible_ones_give(node, process, generator):
    name = "test_readable_queries_give_what_the_compatible_ones_give"
    generator.log("Readable", peer="a:b:c")
    process.tell(sessions(0, 10))

    def logs():
        return native(node, "logs", type="Readable", module=MODULE, level="info").json()["rows"]

    def sums():
        asked = {"by": "vn,server_port", "step": "60", "vrouter": name}
        return native(node, "flows", last="1h", **asked).json()["rows"]

    wait_until(logs, "the message is found")
    wait_until(sums, "the sessions are found")
    (row,) = logs()
    assert row["Source"] == "h1"
    wanted = ["T=60", "vn", "server_port", "SUM(sample_count)", "SUM(forward_sampled_bytes)"]
    same = node.query(
        wanted, table="SessionSeriesTable", session_type="client", start_time="now-1h",
        where=[[{"name": "vrouter", "value": name, "op": 1}]],
    )  # fmt: skip
    assert [{column: each[column] for column in same[0]} for each in sums()] == same
    single = native(
        node, "flows", network="a:b:web", port="80", protocol="0", vrouter=name, limit="3"
    ).json()
    assert len(single["rows"]) == 3
    assert list(single["rows"][0]) == single["columns"]


def test_store_tells_its_own_metrics(node):
    text = read_page(node.socket, "/metrics").decode()

    (done,) = [line for line in text.splitlines() if 'total{result="done"}' in line]
    assert float(done.rpartition(" ")[2]) >= 1
    assert "process_resident_memory_bytes" in text


def test_lines_are_the_rows(node, process):
    process.tell(sessions(0, 10))
    query = {"vrouter": "test_lines_are_the_rows", "last": "1h", "order": "oldest", "limit": "5"}
    wait_until(lambda: len(native(node, "flows", **query).json()["rows"]) == 5, "rows are there")

    rows = native(node, "flows", **query).json()["rows"]
    lines = native(node, "flows", format="ndjson", **query)

    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in lines.text.splitlines()] == rows


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("flows?colour=red", 400, "colour"),
        ("flows?by=vn,`x`", 404, "x"),
        ("metrics?table=StatTable.a.b", 400, "select"),
        ("logs?format=xml", 400, "format"),
    ],
)
def test_readable_query_that_makes_no_sense_is_refused(node, path, status, word):
    reply = httpx.get(f"http://127.0.0.1:{node.rest}/api/v1/{path}")

    assert reply.status_code == status
    assert word in reply.text


LONG_AGO = "system-defined-vrouter-limit-exceeded"


def vrouter(name, sequence, **fields):
    return Uve(
        table="ObjectVRouter", key=name, struct="VrouterAgent", sequence=sequence, fields=fields
    )


def seen(node, path, **query):
    reply = httpx.get(f"http://127.0.0.1:{node.rest}/{path}", params=query, timeout=PATIENCE_S)
    assert reply.status_code == 200, reply.text
    return reply.json()


def tried(node, **members):
    url = f"http://127.0.0.1:{node.rest}/api/v1/alarms/dry-run"
    return httpx.post(url, json=members, timeout=PATIENCE_S)


def moment(at_us):
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat()


def test_entities_and_alarms_are_shown_as_they_were_and_rules_tried_over_it(node, process):
    name = "past'host"
    rule = f"default-global-system-config:{LONG_AGO}"

    def kept(value):
        found = seen(node, f"api/v1/uves/vrouter/{name}", at=moment(round(time.time() * 1e6)))
        return found.get("VrouterAgent", {}).get("res_limit") is value

    def logged(event):
        where = [
            [
                {"name": "ObjectId", "value": name, "op": 1},
                {"name": "Messagetype", "value": event, "op": 1},
            ]
        ]
        return [row["MessageTS"] for row in node.query(["MessageTS"], "ObjectVRouter", where=where)]

    process.tell(vrouter(name, 1, res_limit=True, text="it's {so} \\ \n"))
    wait_until(lambda: kept(True) and logged("AlarmRaised"), "it is kept, and an alarm stands")
    wait_until(
        lambda: (
            "UVEAlarms"
            in seen(node, f"api/v1/uves/vrouter/{name}", at=moment(round(time.time() * 1e6)))
        ),
        "the alarm is kept",
    )
    (raised,) = logged("AlarmRaised")
    then = moment(round(time.time() * 1e6))
    process.tell(vrouter(name, 2, res_limit=False))
    wait_until(lambda: kept(False), "the change is kept")

    assert seen(node, f"analytics/uves/vrouter/{name}", at=then)["VrouterAgent"] == {
        "res_limit": True, "text": "it's {so} \\ \n",
    }  # fmt: skip
    listed = seen(node, "analytics/uves/vrouter/past*", at=then, cfilt="VrouterAgent:res_limit")
    assert listed == {"value": [{"name": name, "value": {"VrouterAgent": {"res_limit": True}}}]}
    (link,) = [each for each in seen(node, "api/v1/uves/vrouters", at=then) if each["name"] == name]
    assert httpx.get(link["href"]).json()["VrouterAgent"]["res_limit"] is True
    (entity,) = seen(node, "analytics/alarms", at=then, kfilt=name)["vrouter"]
    assert [each["type"] for each in entity["value"]["UVEAlarms"]["alarms"]] == [rule]
    assert seen(node, f"analytics/uves/vrouter/{name}", at=moment(raised - 60_000_000)) == {}

    wait_until(lambda: logged("AlarmGone"), "the alarm went")
    found = tried(node, name=rule, last="10m", entity=name).json()
    spans = [(each["raised_us"], each["cleared_us"]) for each in found["alarms"]]
    (gone,) = logged("AlarmGone")
    assert spans[0][0] == raised, "to the microsecond: both look at the same moments"
    assert abs(spans[0][1] - gone) <= 1_500_000, "the watchman looks every second"
    assert len(spans) == found["alarms_count"] == found["entities_count"] == 1
    assert tried(node, name=rule, last="10m", entity="past").json()["alarms"] == []


CONDITION = {
    "operand1": "VrouterAgent.*.x",
    "operation": "==",
    "operand2": {"uve_attribute": "*.*"},
}
HOSTILE = {"uve_keys": {"uve_key": ["vrouter"]}, "alarm_severity": 1}


@pytest.mark.parametrize(
    ("members", "status", "word"),
    [
        ({"name": "nope"}, 404, "name"),
        ({"name": "x", "colour": 1}, 400, "colour"),
        ({"rule": {**HOSTILE, "alarm_rules": {"or_list": [{"and_list": [CONDITION] * 65}]}}}, 400, "alarm_rules"),
        ({"rule": {**HOSTILE, "alarm_rules": []}}, 400, "alarm_rules"),
        ({"name": f"default-global-system-config:{LONG_AGO}", "last": "9y"}, 400, "last"),
        ({"name": f"default-global-system-config:{LONG_AGO}", "entity": "x" * 1025}, 400, "entity"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_tried_are_refused(node, members, status, word):
    reply = tried(node, **members)

    assert reply.status_code == status
    assert word in reply.text


def test_widest_rule_is_tried_within_its_bounds(node, process):
    process.tell(
        vrouter("wide", 1, **{f"f{n}": {"x": n, "y": list(range(50))} for n in range(300)})
    )
    rules = {"or_list": [{"and_list": [{**CONDITION, "operation": "range"}] * 64}]}
    answer = tried(node, rule={**HOSTILE, "alarm_rules": rules}, last="1h")

    assert answer.status_code == 200, answer.text
    assert answer.json()["alarms"] == []


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("api/v1/uves/vrouter/h?at=yesterday", 400, "at"),
        ("api/v1/uves/vrouter/h?at=2999-01-01T00:00:00Z", 400, "at"),
        ("api/v1/uves/vrouter/h?at=2026-01-01T00:00:00Z&sfilt=h", 400, "sfilt"),
        ("api/v1/uves/nope/h?at=2026-01-01T00:00:00Z", 404, "nope"),
        ("analytics/alarms?at=x", 400, "at"),
        ("analytics/uves/vrouters?at=x", 400, "at"),
    ],
)
def test_moment_that_makes_no_sense_is_refused(node, path, status, word):
    reply = httpx.get(f"http://127.0.0.1:{node.rest}/{path}")

    assert reply.status_code == status
    assert word in reply.text


def test_store_that_is_there_keeps_rows_as_long_as_told_now(node):
    node.kill("analytics")
    node.start_node("--keep", "session=50", "--keep", "message=2")
    wait_until(lambda: _health(node) == 200, "the node is ready")
    sql = "SELECT name, create_table_query FROM system.tables WHERE database = 'skytrail' FORMAT JSONCompact"
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(node.socket))) as client:
        made = dict(client.post("http://history/", params={"query": sql}).json()["data"])

    assert "toIntervalHour(50)" in made["session"]
    assert "toIntervalHour(2)" in made["message"]
    assert "toIntervalHour(168)" in made["session_1m"]
