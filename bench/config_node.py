"""The configuration node as its users load it: SQLite, and three etcd members on this machine.

Ports: 16 HTTP clients create an interface (reference to its network) and its instance IP (references
to both, address allocated); each pair counts once, both are durable when answered, and afterwards
every one of them has to be there with an address of its own. Reads and lists are wall-clock rates of
one server. Fan-out is from a write to the last of 1,000 watchers. Restart and memory are of a server
on SQLite with 100,000 interfaces and as many addresses (PORTS=n for others). The clients
(`tools/requests.c`) run on the same processors as the servers: rates are lower bounds.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent))

import http_load
from api import get, network_body, post
from figures import Figures

from skytrail.api import persistence
from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.key_space import name_key, object_key
from skytrail.store.plugin import Operation, Put
from skytrail.testing.etcd import PROGRAM, EtcdCluster

ROUND_S = 5.0
LISTED = 1000
WATCHERS = 1000
PORTS = int(os.environ.get("PORTS", "100000"))
PROJECT = ["default-domain", "default-project"]
PLAIN = "exclude_back_refs=True&exclude_children=True"


class Server:
    """One API process."""

    def __init__(self, *arguments: str) -> None:
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "skytrail.daemons.api", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        match = re.search(r"port=(\d+)", self.process.stdout.readline())
        if match is None:
            raise RuntimeError("the server did not start")
        self.start_s = time.perf_counter() - started
        self.port = int(match[1])

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def ask(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        start = head.index(b"content-length:") + 15
        body = await self._reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"unexpected reply: {head[:40]!r} {body[:200]!r}")
        return body


async def _fan_out(port: int) -> float:
    """Return the seconds from sending a write until the last watcher has it."""
    marker = uuid4().hex
    request = get("/api/v1/watch?types=tag-type")
    ready, seen = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def watcher() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await reader.readuntil(b"snapshot_end")
        ready.release()
        await reader.readuntil(marker.encode())
        seen.release()
        writer.close()

    watching = [asyncio.ensure_future(watcher()) for _ in range(WATCHERS)]
    for _ in range(WATCHERS):
        await ready.acquire()
    connection = await Connection(port).open()
    begun = time.perf_counter()
    await connection.ask(post("/tag-types", {"tag-type": {"fq_name": [marker]}}))
    for _ in range(WATCHERS):
        await seen.acquire()
    elapsed = time.perf_counter() - begun
    await asyncio.gather(*watching)
    return elapsed


def make_networks(port: int) -> tuple[str, str]:
    """Make the networks that are listed; return one of them and the project's uuid."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        body = {"fq_name": ["default-domain", "listed"], "parent_type": "domain"}
        project = client.post("/projects", json={"project": body}).json()["project"]["uuid"]
        for number in range(LISTED):
            name = ["default-domain", "listed", f"n{number}"]
            network = {**network_body(""), "fq_name": name}
            client.post("/virtual-networks", json={"virtual-network": network}).raise_for_status()
        busy = client.post("/virtual-networks", json={"virtual-network": network_body("busy")})
        return busy.json()["virtual-network"]["uuid"], project


def check_addresses(port: int, count: int) -> None:
    """Raise unless that many instance IPs are there, no two with the same address."""
    url = f"http://127.0.0.1:{port}/instance-ips?fields=instance_ip_address"
    listed = httpx.get(url, timeout=60).raise_for_status().json()["instance-ips"]
    addresses = {each["instance_ip_address"] for each in listed}
    if (len(listed), len(addresses)) != (count, count):
        raise RuntimeError(f"{len(addresses)} addresses in {len(listed)} objects of {count} made")


def measure(figures: Figures, store: str, servers: list[Server]) -> None:
    network, project = make_networks(servers[0].port)
    ports = [server.port for server in servers]
    wanted = 1500 if store == "sqlite" else None
    before = servers[0].cpu_s()
    made = http_load.creates(ports, network, ROUND_S)
    used = servers[0].cpu_s() - before
    check_addresses(servers[0].port, made.rounds)
    figures.add(f"{store}_port_creates", made.rate, "1/s", wanted=wanted)
    figures.add(f"{store}_port_create_p50", made.p50_s * 1000, "ms")
    figures.add(f"{store}_port_create_p99", made.p99_s * 1000, "ms")
    figures.add(f"{store}_port_create_cpu", used / made.rounds * 1e6, "us")
    before = servers[0].cpu_s()
    read = http_load.gets(ports[:1], f"/virtual-network/{network}?{PLAIN}", ROUND_S)
    used = servers[0].cpu_s() - before
    figures.add(f"{store}_reads", read.rate, "1/s", wanted=10_000)
    figures.add(f"{store}_read_cpu", used / read.rounds * 1e6, "us")
    listing = f"/virtual-networks?parent_id={project}&detail=True"
    listed = http_load.gets(ports[:1], listing, ROUND_S)
    figures.add(f"{store}_lists_of_{LISTED}", listed.rate, "1/s")
    figures.add(f"{store}_fan_out_{WATCHERS}", uvloop.run(_fan_out(ports[0])) * 1000, "ms")


def copies(templates: dict[str, dict[str, object]], network: str) -> Iterator[Operation]:
    """Yield the keys of many ports, made after two templates."""
    port_text, address_text = (
        msgspec.json.encode(templates[name]).decode()
        for name in ("virtual-machine-interface", "instance-ip")
    )
    old_port = str(templates["virtual-machine-interface"]["uuid"])
    old_address = str(templates["instance-ip"]["uuid"])
    subnet = str(templates["instance-ip"]["subnet_uuid"])
    for number in range(PORTS):
        port, address = str(uuid4()), str(uuid4())
        text = port_text.replace(old_port, port).replace("template-port", f"port-{number}")
        yield Put(object_key("virtual-machine-interface", port), text.encode())
        name = name_key("virtual-machine-interface", [*PROJECT, f"port-{number}"])
        yield Put(name, port.encode())
        text = address_text.replace(old_address, address).replace(old_port, port)
        text = text.replace("template-port", f"port-{number}")
        text = text.replace("template-address", f"address-{number}")
        yield Put(object_key("instance-ip", address), text.encode())
        yield Put(name_key("instance-ip", [f"address-{number}"]), address.encode())
        value = (10 << 24) + 1000 + number
        yield Put(persistence.number_key(f"ip/{network}/{subnet}", value), address.encode())


async def fill(folder: Path, network: str, templates: dict[str, dict[str, object]]) -> None:
    store = await SqliteStore.open(folder / "config.db")
    chunk: list[Operation] = []
    for operation in copies(templates, network):
        chunk.append(operation)
        if len(chunk) >= 5000:
            await store.transact((), chunk)
            chunk = []
    await store.transact((), chunk)
    await store.close()


def prepare_many(folder: Path) -> None:
    """Leave a store with PORTS ports in the folder."""
    server = Server("--data", str(folder))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
            made = client.post("/virtual-networks", json={"virtual-network": network_body("many")})
            network = made.json()["virtual-network"]["uuid"]
            refs = [{"uuid": network}]
            port = {
                "fq_name": [*PROJECT, "template-port"], "parent_type": "project",
                "virtual_network_refs": refs,
            }  # fmt: skip
            address = {
                "fq_name": ["template-address"], "virtual_network_refs": refs,
                "virtual_machine_interface_refs": [{"to": port["fq_name"]}],
            }  # fmt: skip
            client.post("/virtual-machine-interfaces", json={"virtual-machine-interface": port})
            client.post("/instance-ips", json={"instance-ip": address}).raise_for_status()
            templates = {
                name: client.get(f"/{name}s?detail=True&exclude_hrefs=1").json()[f"{name}s"][0][
                    name
                ]
                for name in ("virtual-machine-interface", "instance-ip")
            }
    finally:
        server.stop()
    for each in templates.values():
        each.pop("name", None)
    asyncio.run(fill(folder, network, templates))


def measure_restart(figures: Figures) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepare_many(Path(folder))
        server = Server("--data", folder)
        try:
            figures.add(f"restart_{PORTS}_ports", server.start_s, "s", wanted=10)
            figures.add(f"memory_{PORTS}_ports", server.memory_mb(), "MB", wanted=1200)
        finally:
            server.stop()


def run() -> None:
    http_load.build_tool()
    figures = Figures("config_node")
    with tempfile.TemporaryDirectory() as folder:
        server = Server("--data", folder)
        try:
            measure(figures, "sqlite", [server])
        finally:
            server.stop()
    if PROGRAM is not None:
        with tempfile.TemporaryDirectory() as folder, EtcdCluster(Path(folder), size=3) as cluster:
            servers: list[Server] = []
            try:
                servers.append(Server("--store", str(cluster.location)))
                measure(figures, "etcd", servers)
            finally:
                for each in servers:
                    each.stop()
    measure_restart(figures)
    figures.write()


if __name__ == "__main__":
    run()
