"""What one analytics node takes and answers: sessions to stored rows, UVEs, Sandesh, queries.

Real processes (collector, store) over loopback; sessions also all the way from a kernel's ring buffer (session_path.py). Rates are end to end: until the rows can be counted in the store, until
the UVE shows in an answer. Processor seconds are of collector and store together.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench import session_path
from bench.session_path import cpu_s_of
from figures import Figures, percentile

from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    encode_client_hello,
    encode_message,
    frame_of,
)
from skytrail.wire.sandesh.control import control_header
from skytrail.wire.telemetry import Hello, Uve, encode
from skytrail.wire.telemetry.sessions import pack

SESSIONS_COUNT = 2_000_000
BATCH_COUNT = 2_000
UVES_COUNT = 50_000
SANDESH_COUNT = 20_000
QUERY_ROUNDS = 10
PATIENCE_S = 120.0
NETWORKS = 50


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Node:
    """Collector and store, and how to ask them."""

    def __init__(self, folder: Path) -> None:
        self.rest, self.telemetry, self.sandesh = (_free_port() for _ in range(3))
        store = folder / "history.sock"
        self.processes = [
            self._run("history", "--data", str(folder / "data"), "--socket", str(store)),
            self._run(
                "analytics", "--port", str(self.rest), "--history", str(store),
                "--telemetry-port", str(self.telemetry), "--sandesh-port", str(self.sandesh),
            ),
        ]  # fmt: skip
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.rest}", timeout=PATIENCE_S)

    @staticmethod
    def _run(module: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", f"skytrail.daemons.{module}", *arguments]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = process.stdout.readline() if process.stdout else ""
        if " ready " not in line:
            raise RuntimeError(f"{module} does not start")
        return process

    def stop(self) -> None:
        self.client.close()
        for process in self.processes:
            process.kill()
            process.wait()

    def query(self, fields: list[str], **members: object) -> list[dict[str, object]]:
        body = {
            "table": "SessionSeriesTable", "start_time": "now-7d", "end_time": "now",
            "select_fields": fields, **members,
        }  # fmt: skip
        return self.client.post("/analytics/query", json=body).json()["value"]

    def stored(self) -> int:
        rows = self.query(["session_type", "COUNT(vn)"])
        return sum(int(str(row["COUNT(vn)"])) for row in rows)

    def metric(self, name: str) -> float:
        for line in self.client.get("/metrics").text.splitlines():
            if line.startswith(name):
                return float(line.rpartition(" ")[2])
        return 0.0

    def cpu_of(self) -> dict[str, float]:
        """Processor seconds of each process."""
        store, collector = (cpu_s_of(process.pid) for process in self.processes)
        return {"store": store, "collector": collector}

    def cpu_s(self) -> float:
        return sum(self.cpu_of().values())


@contextmanager
def _node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory() as folder:
        node = Node(Path(folder))
        try:
            yield node
        finally:
            node.stop()


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("the node does not get there")
        time.sleep(0.05)


def _sessions(start: int, now_us: int) -> bytes:
    rows = [
        {
            "T": now_us - number * 100,
            "session_type": "client",
            "vmi": f"default-domain:p:port{number % 500}",
            "vn": f"default-domain:p:net{number % NETWORKS}",
            "remote_vn": f"default-domain:p:net{number // 7 % NETWORKS}",
            "security_policy_rule": "0cecb0bd-6a96-4e33-ae3a-a3d6b5d25a4d",
            "local_ip": f"10.{number % 250}.0.{number % 200}",
            "remote_ip": f"10.{number // 9 % 250}.1.{number % 190}",
            "server_port": (80, 443, 53, 5432)[number % 4],
            "client_port": 32_768 + number % 28_000,
            "protocol": 6,
            "forward_action": "pass",
            "sample_weight": 1.0,
            "forward_sampled_bytes": number % 100_000,
            "forward_sampled_pkts": number % 100,
            "reverse_sampled_bytes": number % 900_000,
            "reverse_sampled_pkts": number % 300,
        }
        for number in range(start, start + BATCH_COUNT)
    ]
    return encode(pack(rows))


def hello(name: str) -> bytes:
    return encode(
        Hello(source=name, node_type="Compute", module="m", instance_id="0", pid=1, started_us=1)
    )


def _ingest_sessions(node: Node, figures: Figures) -> float:
    """Return how many a second of processor takes."""
    now_us = time.time_ns() // 1000
    frames = [_sessions(start, now_us) for start in range(0, SESSIONS_COUNT, BATCH_COUNT)]
    cpu_s, started = node.cpu_s(), time.perf_counter()
    with socket.create_connection(("127.0.0.1", node.telemetry)) as stream:
        stream.sendall(hello("h1"))
        for number, frame in enumerate(frames):
            # As a host does that hears nothing: the collector reads as fast as it can.
            stream.sendall(frame)
            while number % 10 == 0 and (
                node.metric('skytrail_analytics_rows_waiting{table="session"}') > 300_000
            ):
                time.sleep(0.05)
        wait(lambda: node.stored() >= SESSIONS_COUNT)
    took_s = time.perf_counter() - started
    figures.add("sessions_stored_per_s", SESSIONS_COUNT / took_s, "1/s")
    per_cpu_s = SESSIONS_COUNT / (node.cpu_s() - cpu_s)
    figures.add("sessions_per_cpu_s", per_cpu_s, "1/s")
    return per_cpu_s


def _queries(node: Node, figures: Figures) -> None:
    one = [[{"name": "vn", "value": "default-domain:p:net7", "op": 1}]]
    cases = {
        "series_of_one_network": lambda: node.query(
            ["T=60", "SUM(forward_sampled_bytes)"], where=one
        ),
        "networks_by_networks": lambda: node.query(
            ["vn", "remote_vn", "SUM(forward_sampled_bytes)", "SUM(sample_count)"]
        ),
        "ports_of_a_network": lambda: node.query(
            ["server_port", "protocol", "SUM(reverse_sampled_bytes)"], where=one
        ),
    }
    for name, ask in cases.items():
        took: list[float] = []
        for _ in range(QUERY_ROUNDS):
            started = time.perf_counter()
            ask()
            took.append((time.perf_counter() - started) * 1000)
        figures.add(f"query_{name}_p95", percentile(took, 95), "ms")


def _uves(node: Node, figures: Figures) -> None:
    frames = b"".join(
        encode(
            Uve(
                table="ObjectVMITable", key=f"a:b:port{number % 10_000}", struct="S",
                sequence=number + 1, fields={"in_bytes": number, "vrouter": "h1", "active": True},
            )
        )
        for number in range(UVES_COUNT)
    )  # fmt: skip
    before = node.metric("skytrail_analytics_uve_changes_total")
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", node.telemetry)) as stream:
        stream.sendall(hello("h2") + frames)
        wait(lambda: node.metric("skytrail_analytics_uve_changes_total") >= before + UVES_COUNT)
    figures.add("uve_updates_per_s", UVES_COUNT / (time.perf_counter() - started), "1/s")


def _sandesh(node: Node, figures: Figures) -> None:
    parts = [
        frame_of(
            encode_client_hello(
                ClientHello("h3", "m", "Control", "0", pid=1),
                control_header("h3", "m", "Control", "0"),
            )
        )
    ]
    for number in range(SANDESH_COUNT):
        data = Struct(
            "S",
            {
                "name": Field("string", f"a:b:{number % 1000}", "", {"key": "ObjectVNTable"}),
                "in_bytes": Field("u64", number, "", {"aggtype": "sum"}),
                "names": Field("list", ["a", "b", "c"], "string"),
            },
        )
        header = SandeshHeader("h3", "m", "Control", "0", type=SandeshType.UVE, sequence=number + 1)
        message = SandeshMessage(header, "STrace", {"data": Field("struct", data)})
        parts.append(frame_of(encode_message(message)))
    before = node.metric("skytrail_analytics_uve_changes_total")
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", node.sandesh)) as stream:
        stream.sendall(b"".join(parts))
        wait(lambda: node.metric("skytrail_analytics_uve_changes_total") >= before + SANDESH_COUNT)
    figures.add("sandesh_messages_per_s", SANDESH_COUNT / (time.perf_counter() - started), "1/s")


def run() -> None:
    figures = Figures("analytics")
    with _node() as node:
        packed_per_cpu_s = _ingest_sessions(node, figures)
        session_path.measure(node, figures, wait, packed_per_cpu_s)
        _queries(node, figures)
        _uves(node, figures)
        _sandesh(node, figures)
    figures.write()
