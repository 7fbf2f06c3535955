"""A route reflector: 100,000 VPNv4 routes in from one client, out to four; ours, FRR, BIRD, GoBGP.

All four reflect for the same tester (`tools/bgp_fan.c`: ready-made UPDATEs, a label of its own for
each route, 1,000 sets of attributes, 100 routes to an UPDATE), one after the other in a network
namespace of their own, round by round. It checks that every receiver has exactly the routes that
were sent. CPU seconds are the reflector's, from the first byte to the last receiver's last route:
they move less with the machine's load than wall time. Then the sender's session ends; `withdraw` is
until all four were told. `make bench NAME=route_reflector`; SKYTRAIL_BENCH_ROUNDS (3) and
SKYTRAIL_BENCH_ROUTERS (ours,frr,bird,gobgp) make it shorter; GoBGP, which is slow, runs once.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.bgp_codec import ROUTES_COUNT, Table
from bench.figures import BUILD_FOLDER, Figures

from skytrail.testing.bgp_routers import BIRD, FRR, GOBGP, OURS, Bench, bench, eventually

AS = 64512
ROUNDS = int(os.environ.get("SKYTRAIL_BENCH_ROUNDS", "3"))
SENDER = "10.9.0.20"
RECEIVERS = [f"10.9.0.{number}" for number in range(21, 25)]
CLIENTS = [SENDER, *RECEIVERS]
FOLDER = Path(__file__).parent
FAN = BUILD_FOLDER / "bgp_fan"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    wall_s: float
    cpu_s: float
    rss_mb: float
    withdraw_s: float
    withdraw_cpu_s: float
    updates: float
    block_ms: float = 0.0


@dataclass(frozen=True)
class Router:
    address: str
    start: Callable[[Bench], subprocess.Popen[bytes]]


def run() -> None:
    """Print every figure and write them to build/bench/route_reflector.json."""
    figures = Figures("route_reflector")
    chosen = os.environ.get("SKYTRAIL_BENCH_ROUTERS", ",".join(ROUTERS)).split(",")
    build_fan()
    with tempfile.TemporaryDirectory() as folder, bench(Path(folder)) as place:
        for address in CLIENTS:
            place.output("ip", "address", "add", f"{address}/24", "dev", "lo")
        stream = Path(folder) / "updates"
        stream.write_bytes(b"".join(Table().packed()))
        samples: dict[str, list[Sample]] = {name: [] for name in chosen}
        for number in range(ROUNDS):
            for name in chosen:
                if number == 0 or name != "gobgp":
                    samples[name].append(measure(place, ROUTERS[name], stream))
    report(figures, samples)
    figures.write()


def report(figures: Figures, samples: dict[str, list[Sample]]) -> None:
    for what, unit in (
        ("wall_s", "s"),
        ("cpu_s", "CPU s"),
        ("rss_mb", "MB"),
        ("withdraw_s", "s"),
        ("withdraw_cpu_s", "CPU s"),
        ("updates", "UPDATEs to each"),
        ("block_ms", "ms of CPU"),
    ):
        columns = {
            name: [float(getattr(each, what)) for each in rows] for name, rows in samples.items()
        }
        ours = statistics.median(columns.pop("ours")) if "ours" in columns else 0.0
        if "ours" in samples:
            figures.add(
                f"ours_{what}", ours, unit, samples=[getattr(s, what) for s in samples["ours"]]
            )
        for name, values in columns.items():
            if what != "block_ms":
                figures.add(f"{name}_{what}", statistics.median(values), unit, samples=values)


def build_fan() -> None:
    FAN.parent.mkdir(parents=True, exist_ok=True)
    source = FOLDER / "tools/bgp_fan.c"
    subprocess.run(["clang", "-O2", "-Wall", "-o", str(FAN), str(source)], check=True)


def measure(place: Bench, router: Router, stream: Path) -> Sample:
    """Reflect everything once by a fresh process."""
    process = router.start(place)
    fan = subprocess.Popen(
        [
            "nsenter", f"--net=/run/netns/{place.namespace}", str(FAN), router.address, "179",
            str(AS), str(stream), str(ROUTES_COUNT), "1", *CLIENTS,
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert answer(fan) == ["up"]
        before = cpu_s(process.pid)
        wall, updates, _ = map(float, ask(fan, "send 0"))
        reflected = cpu_s(process.pid)
        withdraw, *_ = map(float, ask(fan, "lose 0"))
        withdrawn = cpu_s(process.pid)
        rss = peak_rss_mb(process.pid)
    finally:
        fan.kill()
        fan.wait()
        process.terminate()
        process.wait(10)
    sample = Sample(wall, reflected - before, rss, withdraw, withdrawn - reflected, updates)
    if router.address == OURS:
        sample.block_ms = float((place.folder / "ours.log").read_text().split()[-1])
    return sample


def ask(fan: subprocess.Popen[str], command: str) -> list[str]:
    assert fan.stdin is not None
    fan.stdin.write(f"{command}\n")
    fan.stdin.flush()
    return answer(fan)


def answer(fan: subprocess.Popen[str]) -> list[str]:
    assert fan.stdout is not None
    line = fan.stdout.readline()
    if not line:
        raise RuntimeError("the tester ended before its time; its reason is above")
    return line.split()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def peak_rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


# The reflectors.


def start_ours(place: Bench) -> subprocess.Popen[bytes]:
    return start_node(place, CLIENTS)


def start_node(place: Bench, clients: list[str]) -> subprocess.Popen[bytes]:
    """Start our control node as a route reflector."""
    script = str(FOLDER / "tools/reflector.py")
    return place.start("ours", sys.executable, script, OURS, str(AS), *clients)


def start_frr(place: Bench) -> subprocess.Popen[bytes]:
    lines = [f"router bgp {AS}", f" bgp router-id {FRR}", " no bgp default ipv4-unicast"]
    for client in CLIENTS:
        lines += [f" neighbor {client} remote-as {AS}", f" neighbor {client} passive"]
    lines.append(" address-family ipv4 vpn")
    for client in CLIENTS:
        lines += [f"  neighbor {client} activate", f"  neighbor {client} route-reflector-client"]
    (place.folder / "bgpd.vty").unlink(missing_ok=True)
    return place.start_frr("\n".join([*lines, " exit-address-family", ""]))


def start_bird(place: Bench) -> subprocess.Popen[bytes]:
    lines = [f"router id {BIRD};", "vpn4 table v4;", "protocol device {}"]
    for number, client in enumerate(CLIENTS):
        lines.append(
            f"protocol bgp client{number} {{ local {BIRD} as {AS}; neighbor {client} as {AS};"
            f" multihop; strict bind yes; passive; rr client;"
            f" vpn4 mpls {{ table v4; import all; export all; }}; }}"
        )
    (place.folder / "bird.ctl").unlink(missing_ok=True)
    return place.start_bird("\n".join([*lines, ""]))


def start_gobgp(place: Bench) -> subprocess.Popen[bytes]:
    lines = ["[global.config]", f"as = {AS}", f'router-id = "{GOBGP}"']
    lines.append(f'local-address-list = ["{GOBGP}"]')
    for client in CLIENTS:
        lines += [
            "[[neighbors]]",
            "[neighbors.config]", f'neighbor-address = "{client}"', f"peer-as = {AS}",
            "[neighbors.transport.config]", f'local-address = "{GOBGP}"', "passive-mode = true",
            "[neighbors.route-reflector.config]", "route-reflector-client = true",
            f'route-reflector-cluster-id = "{GOBGP}"',
            "[[neighbors.afi-safis]]", "[neighbors.afi-safis.config]",
            'afi-safi-name = "l3vpn-ipv4-unicast"',
        ]  # fmt: skip
    config = place.folder / "gobgp.toml"
    config.write_text("\n".join([*lines, ""]))
    process = place.start(
        "gobgp", "gobgpd", "-t", "toml", "-f", str(config), "--api-hosts", f"{GOBGP}:50051"
    )
    eventually(lambda: place.gobgp("global"), "GoBGP's API")
    return process


ROUTERS = {
    "ours": Router(OURS, start_ours),
    "frr": Router(FRR, start_frr),
    "bird": Router(BIRD, start_bird),
    "gobgp": Router(GOBGP, start_gobgp),
}


if __name__ == "__main__":
    run()
