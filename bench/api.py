"""Requests per server CPU-second of the configuration API, beside an empty ASGI application.

Both run as processes of their own and are loaded over loopback by the same client with 16
keep-alive connections; counted is the server's CPU time alone, so the client's speed does not
matter. The yardstick answers 200 with a few bytes through the same HTTP server: it shows what is
left of a request when the API does nothing. Creates are durable: each is answered after its commit.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent))

from figures import Figures, interleaved_samples, percentile

ROUNDS = 5
ROUND_S = 1.0
CONNECTIONS = 16
LISTED_COUNT = 100
PROJECT = ["default-domain", "default-project"]
EMPTY_APP = """
import sys
from skytrail.runtime import processes, server, tasks
from skytrail.runtime.asgi import AsgiApp, text_reply

async def hello(request):
    return text_reply("hello")

async def main():
    listener = server.listen_tcp("127.0.0.1", 0)
    port = listener.getsockname()[1]
    await server.serve(
        AsgiApp(hello), [listener], when_ready=lambda: processes.print_ready("hello", port=port)
    )

sys.exit(tasks.run_until_signal(main))
"""


class Server:
    """One process under load."""

    def __init__(self, arguments: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        match = re.search(r"port=(\d+)", self.process.stdout.readline())
        if match is None:
            raise RuntimeError("the server did not start")
        self.port = int(match[1])

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def post(path: str, body: object) -> bytes:
    raw = msgspec.json.encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


async def _connection(
    port: int, requests: Iterator[bytes], until: float, took: list[float]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        started = time.perf_counter()
        if started > until:
            break
        writer.write(next(requests))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        start = head.index(b"content-length:") + 15
        await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"unexpected reply: {head[:40]!r}")
        took.append(time.perf_counter() - started)
    writer.close()


async def _load(port: int, requests: Iterator[bytes], took: list[float]) -> None:
    until = time.perf_counter() + ROUND_S
    await asyncio.gather(*(_connection(port, requests, until, took) for _ in range(CONNECTIONS)))


def per_cpu_second(server: Server, requests: Iterator[bytes], took: list[float]) -> float:
    before, count = server.cpu_s(), len(took)
    uvloop.run(_load(server.port, requests, took))
    return (len(took) - count) / max(server.cpu_s() - before, 0.01)


def prepare(client: httpx.Client) -> tuple[str, str, str]:
    """Make the objects that are read; return the uuids of a quiet and a busy network and a project."""
    body = {"fq_name": ["default-domain", "listed"], "parent_type": "domain"}
    project = client.post("/projects", json={"project": body}).json()["project"]["uuid"]
    uuid = ""
    for number in range(LISTED_COUNT):
        network = {
            **network_body(f"n{number}"),
            "fq_name": ["default-domain", "listed", f"n{number}"],
        }
        reply = client.post("/virtual-networks", json={"virtual-network": network})
        uuid = reply.json()["virtual-network"]["uuid"]
    port = {
        "fq_name": [*PROJECT, "bench"], "parent_type": "project",
        "virtual_network_refs": [{"uuid": uuid}],
    }  # fmt: skip
    client.post("/virtual-machine-interfaces", json={"virtual-machine-interface": port})
    busy = client.post("/virtual-networks", json={"virtual-network": network_body("busy")})
    return uuid, busy.json()["virtual-network"]["uuid"], project


def network_body(name: str) -> dict[str, object]:
    subnet = {"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 8}}
    return {
        "fq_name": [*PROJECT, name],
        "parent_type": "project",
        "network_ipam_refs": [
            {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [subnet]}}
        ],
    }


def creates(type_name: str, body: dict[str, object], name: list[str]) -> Iterator[bytes]:
    for number in itertools.count():
        numbered = {**body, "fq_name": [*name[:-1], f"{name[-1]}{number}"]}
        yield post(f"/{type_name}s", {type_name: numbered})


def run() -> None:
    figures = Figures("api")
    with tempfile.TemporaryDirectory() as folder:
        empty = Server(["-c", EMPTY_APP])
        api = Server(["-m", "skytrail.daemons.api", "--data", folder, "--port", "0"])
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{api.port}") as client:
                made = prepare(client)
            _measure(figures, empty, api, made)
        finally:
            empty.stop()
            api.stop()
    figures.write()


def _measure(figures: Figures, empty: Server, api: Server, made: tuple[str, str, str]) -> None:
    network, busy, project = made
    plain = "exclude_back_refs=True&exclude_children=True"
    refs = [{"uuid": busy}]
    port = [*PROJECT, "bench"]
    requests: dict[str, tuple[Server, Iterator[bytes]]] = {
        "empty": (empty, itertools.repeat(get("/"))),
        "read": (api, itertools.repeat(get(f"/virtual-network/{network}?{plain}"))),
        "read_whole": (api, itertools.repeat(get(f"/virtual-network/{network}"))),
        "list_100": (api, itertools.repeat(get(f"/virtual-networks?parent_id={project}"))),
        "list_100_detail": (
            api, itertools.repeat(get(f"/virtual-networks?parent_id={project}&detail=True")),
        ),
        "create_network": (
            api, creates("virtual-network", network_body(""), [*PROJECT, "made"]),
        ),
        "create_port": (
            api,
            creates(
                "virtual-machine-interface",
                {"parent_type": "project", "virtual_network_refs": refs},
                [*PROJECT, "port"],
            ),
        ),
        "create_address": (
            api,
            creates(
                "instance-ip",
                {
                    "virtual_network_refs": refs,
                    "virtual_machine_interface_refs": [{"to": port}],
                },
                ["address"],
            ),
        ),
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in requests}
    cases = {
        name: lambda name=name, server=server, stream=stream: per_cpu_second(
            server, stream, took[name]
        )
        for name, (server, stream) in requests.items()
    }
    samples = interleaved_samples(ROUNDS, cases, warm_up=1)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name, value in medians.items():
        yardstick = None if name == "empty" else medians["empty"]
        figures.add(
            f"{name}_per_cpu_s",
            value,
            "1/s",
            yardstick=yardstick,
            yardstick_name="empty application",
            samples=samples[name],
        )
    for name in ("read", "create_port", "create_address"):
        figures.add(f"{name}_p50", percentile(took[name], 50) * 1000, "ms")
        figures.add(f"{name}_p99", percentile(took[name], 99) * 1000, "ms")


if __name__ == "__main__":
    run()
