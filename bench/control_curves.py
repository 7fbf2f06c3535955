"""How a control node's cost grows with agents, routes and routing instances; plotted.

The core in one process without sockets, CPU seconds: what a node spends beside the kernel. Writes
the curves to docs/scale.svg as well. ``make bench NAME=control_curves``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from bench.bgp_codec import FAMILY, ROUTES_PER_SET, Table
from bench.control import drain
from bench.figures import Figures, percentile
from bench.tools.curves_svg import Panel, svg_of

from skytrail.control.bgp import Bgp
from skytrail.control.bgp_config import BgpConfig, BgpPeerConfig, Speaker
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.plane import ControlPlane
from skytrail.control.route_target import Replicator
from skytrail.runtime.garbage import ShortCollections
from skytrail.testing.bgp import messages_of
from skytrail.testing.control_plane import inet_route, instance_of, routing_instance
from skytrail.wire.bgp import AttributeCache, Negotiated, decode_update
from skytrail.wire.xmpp import EndOfRib, PublishRoute, Subscribe

AGENTS_COUNTS = (100, 300, 1_000, 3_000, 10_000)
ROUTES_COUNTS = (10_000, 30_000, 100_000, 300_000)
INSTANCES_COUNTS = (10, 100, 1_000, 5_000)
CHANGES_COUNT = 10
ASN = 64512
OWN = IPv4Address("10.0.0.1")
CLIENTS = ("c0", "c1", "c2", "c3", "c4")
SLICE_COUNT = 4
"""UPDATEs that come between two turns of output."""
IMAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.svg"


def run() -> None:
    """Print every figure, write build/bench/control_curves.json and the image."""
    figures = Figures("control_curves")
    ShortCollections()
    agents = {count: agents_cost(count) for count in AGENTS_COUNTS}
    routes = {count: routes_cost(count) for count in ROUTES_COUNTS}
    instances = {count: instances_cost(count) for count in INSTANCES_COUNTS}
    for name, unit, costs in (
        ("agents", "us", agents),
        ("routes", "us", routes),
        ("instances", "ms", instances),
    ):
        for count, parts in costs.items():
            for part, value in parts.items():
                figures.add(f"{count}_{name}_{part.replace(' ', '_')}", value, f"CPU {unit}")
    panels = [
        panel("Agents", "agents of one network", "CPU µs for each agent", agents),
        panel("VPN routes", "routes, one client to four", "CPU µs for each route", routes),
        panel("Routing instances", "instances", "CPU ms", instances),
    ]
    IMAGE.write_text(svg_of(panels), encoding="utf-8")
    figures.write()


def panel(title: str, x_name: str, y_name: str, costs: dict[int, dict[str, float]]) -> Panel:
    lines: dict[str, list[tuple[float, float]]] = {}
    for count, parts in costs.items():
        for part, value in parts.items():
            lines.setdefault(part, []).append((count, value))
    return Panel(title, x_name, y_name, lines)


def cpu_s(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def agents_cost(count: int) -> dict[str, float]:
    """Session, subscription and end of RIB of each agent; then one route told to each."""
    plane = ControlPlane()
    plane.config_replace([routing_instance("red", both=[1])])
    plane.commit(1, 0.0)
    red = instance_of("red")
    plane.session_up("publisher", "", 0.0)
    plane.receive("publisher", Subscribe(red, 1), 0.0)

    def connect() -> None:
        for number in range(count):
            name = f"a{number}"
            plane.session_up(name, "", 0.0)
            plane.receive(name, Subscribe(red, 1), 0.0)
            plane.receive(name, EndOfRib(), 0.0)
            drain(plane)

    def change(number: int) -> None:
        route = inet_route(f"192.0.2.{number}/32")
        plane.receive("publisher", PublishRoute(red, route), 0.0)
        drain(plane)

    connecting = cpu_s(connect)
    changes = [cpu_s(lambda n=number: change(n)) for number in range(CHANGES_COUNT)]
    return {
        "connect and subscribe": 1e6 * connecting / count,
        "one change": 1e6 * percentile(changes, 50) / count,
    }


def routes_cost(count: int) -> dict[str, float]:
    """From the bytes of one client's UPDATEs to those for four; then the client's session ends."""
    bodies = [body for _, body in messages_of(b"".join(Table(count // ROUTES_PER_SET).packed()))]
    negotiated = Negotiated(frozenset((FAMILY,)), ASN, ASN, IPv4Address("10.0.0.9"))
    bgp = Bgp(Replicator(), NetworkIds())
    peers = [
        BgpPeerConfig(
            name=name, asn=ASN, local_asn=ASN, address=IPv4Address("10.0.0.2"), families=(FAMILY,)
        )
        for name in CLIENTS
    ]
    bgp.configure(BgpConfig(Speaker("own", ASN, OWN, cluster_id=OWN), tuple(peers)))
    for name in CLIENTS:
        bgp.session_up(name, negotiated, 0.0)
    cache = AttributeCache()

    def tell() -> None:
        for name in bgp.take_ready():
            while bgp.collect(name, 65_536):
                pass

    def learn() -> None:
        for number, body in enumerate(bodies):
            bgp.receive(CLIENTS[0], decode_update(body, negotiated, cache))
            if number % SLICE_COUNT == 0:
                tell()
        tell()

    def lose() -> None:
        bgp.session_down(CLIENTS[0], "", 0.0, graceful=False)
        while bgp.work():
            tell()
        tell()

    return {"learn and tell": 1e6 * cpu_s(learn) / count, "lose": 1e6 * cpu_s(lose) / count}


def instances_cost(count: int) -> dict[str, float]:
    """Beside so many instances with a reader each: one more of them, and one route in one."""
    plane = ControlPlane()
    plane.config_replace([routing_instance(f"n{n}", both=[n + 1]) for n in range(count)])
    plane.commit(1, 0.0)
    plane.session_up("a", "", 0.0)
    plane.session_up("b", "", 0.0)
    for number in range(count):
        for name in ("a", "b"):
            plane.receive(name, Subscribe(instance_of(f"n{number}"), number + 1), 0.0)
    drain(plane)

    def add(number: int) -> None:
        plane.config_put(routing_instance(f"more{number}", both=[count + number + 1]))
        plane.commit(number + 2, 0.0)
        drain(plane)

    def publish(number: int) -> None:
        route = inet_route(f"10.1.1.{number}/32")
        plane.receive("a", PublishRoute(instance_of(f"n{number}"), route), 0.0)
        drain(plane)

    adding = [cpu_s(lambda n=number: add(n)) for number in range(CHANGES_COUNT)]
    publishing = [cpu_s(lambda n=number: publish(n)) for number in range(CHANGES_COUNT)]
    return {
        "one more instance": 1000 * percentile(adding, 50),
        "one route in one of them": 1000 * percentile(publishing, 50),
    }


if __name__ == "__main__":
    run()
