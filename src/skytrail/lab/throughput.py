"""TCP throughput by iperf3, beside two yardsticks built in the same run.

The yardsticks are the smallest thing Linux offers (two namespaces, one veth pair) and what Linux
offers for the same job (a bridge and a VXLAN device on each of two hosts, behind the same kind of
router as the lab's). Rounds are interleaved, because a shared machine changes speed by the minute.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from skytrail.lab.io import netns
from skytrail.lab.io.processes import end, identify

IPERF_PORT = 5201
WORKLOAD_MTU_BYTES = 1500
UNDERLAY_MTU_BYTES = 1600
_CONNECT_TIMEOUT_S = 5.0
_POLL_S = 0.02
_VXLAN_ID = 77


class ThroughputError(Exception):
    """iperf3 failed; the text is its own."""


@dataclass(frozen=True, slots=True)
class Path:
    """From which namespace to which, by which address."""

    name: str
    client: str
    server: str
    address: str


class _Rate(msgspec.Struct, frozen=True):
    bits_per_second: float


class _End(msgspec.Struct, frozen=True):
    sum_received: _Rate | None = None


class _Report(msgspec.Struct, frozen=True):
    end: _End | None = None
    error: str = ""


def compare(
    paths: Sequence[Path], *, rounds: int, seconds: float, streams: int = 1
) -> Mapping[str, float]:
    """Return each path's median in bits per second over interleaved rounds."""
    samples: dict[str, list[float]] = {path.name: [] for path in paths}
    with contextlib.ExitStack() as servers:
        for namespace in sorted({path.server for path in paths}):
            servers.enter_context(_server(namespace))
        for _ in range(rounds):
            for path in paths:
                samples[path.name].append(_measure(path, seconds, streams))
    return {name: statistics.median(values) for name, values in samples.items()}


@contextlib.contextmanager
def veth_pair(prefix: str) -> Generator[Path]:
    """Two namespaces and one veth pair, removed at the end."""
    first, second = f"{prefix}-veth1", f"{prefix}-veth2"
    with _namespaces(first, second):
        netns.connect((first, "eth0"), (second, "eth0"), mtu_bytes=WORKLOAD_MTU_BYTES)
        for number, namespace in enumerate((first, second), start=1):
            _configure(namespace, "eth0", f"10.200.0.{number}/24")
        yield Path("plain veth pair", first, second, "10.200.0.2")


@contextlib.contextmanager
def bridge_vxlan(prefix: str) -> Generator[Path]:
    """Two workloads, each on a bridge with a VXLAN device, across a routed underlay."""
    router = f"{prefix}-vxr"
    hosts = [f"{prefix}-vxh{number}" for number in (1, 2)]
    workloads = [f"{prefix}-vxw{number}" for number in (1, 2)]
    with _namespaces(router, *hosts, *workloads):
        netns.set_sysctls(router, {"net/ipv4/ip_forward": 1})
        for index, (host, workload) in enumerate(zip(hosts, workloads, strict=True)):
            own, other = index + 1, 2 - index
            netns.connect((host, "underlay0"), (router, f"h{own}"), mtu_bytes=UNDERLAY_MTU_BYTES)
            netns.connect((workload, "eth0"), (host, "tap0"), mtu_bytes=WORKLOAD_MTU_BYTES)
            _configure(router, f"h{own}", f"198.18.{own}.1/24")
            _configure(host, "underlay0", f"198.18.{own}.2/24")
            _configure(workload, "eth0", f"10.201.0.{own}/24")
            ends = f"local 198.18.{own}.2 remote 198.18.{other}.2"
            netns.configure(
                host,
                [
                    f"route add default via 198.18.{own}.1",
                    "link add br0 type bridge",
                    f"link add vx0 type vxlan id {_VXLAN_ID} dstport 4789 {ends}",
                    *(f"link set dev {port} master br0 up" for port in ("vx0", "tap0")),
                    "link set dev br0 up",
                ],
            )
        yield Path("kernel bridge+VXLAN", workloads[0], workloads[1], "10.201.0.2")


@contextlib.contextmanager
def _namespaces(*names: str) -> Generator[None]:
    try:
        for name in names:
            netns.create(name)
        yield
    finally:
        for name in names:
            netns.delete(name)


def _configure(namespace: str, ifname: str, address: str) -> None:
    netns.configure(namespace, [f"address add {address} dev {ifname}", f"link set dev {ifname} up"])


@contextlib.contextmanager
def _server(namespace: str) -> Generator[None]:
    command = netns.inside(namespace, ["iperf3", "--server", "--port", str(IPERF_PORT)])
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_listening(namespace)
            yield
        finally:
            identity = identify(process.pid)
            if identity is not None:
                end(identity, graceful_s=0)


def _wait_listening(namespace: str) -> None:
    deadline = time.monotonic() + _CONNECT_TIMEOUT_S
    listing = ["ss", "-Hltn", f"sport = :{IPERF_PORT}"]
    while not netns.run(netns.inside(namespace, listing)).strip():
        if time.monotonic() > deadline:
            raise ThroughputError(f"iperf3 does not listen in {namespace}")
        time.sleep(_POLL_S)


def _measure(path: Path, seconds: float, streams: int) -> float:
    command = [
        "iperf3", "--client", path.address, "--port", str(IPERF_PORT), "--json",
        "--time", f"{seconds:g}", "--parallel", str(streams), "--connect-timeout", "3000",
    ]  # fmt: skip
    line = netns.inside(path.client, command)
    finished = subprocess.run(line, capture_output=True, check=False, timeout=seconds + 30)
    report = msgspec.json.decode(finished.stdout or b"{}", type=_Report)
    if report.error or report.end is None or report.end.sum_received is None:
        raise ThroughputError(f"{path.name}: {report.error or finished.stderr.decode().strip()}")
    return report.end.sum_received.bits_per_second
