"""What one more port costs the control node when two hosts already have many.

Each host has its ports in one network, each port with its machine, address and DNS record; the
other host is there because records and the network are visible on both. The change goes through
the core as it comes from the watch: put, commit, collect for everyone. CPU time of this process.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.figures import Figures, percentile

from skytrail.control.plane import ControlPlane
from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import SYSTEM, build, routing_instance, virtual_router
from skytrail.wire.xmpp import ConfigKey, ConfigSubscribe

HOSTS = ("a", "b")
PORTS_COUNTS = (1, 100, 1_000)
CHANGES_COUNT = 20
PROJECT = ["default-domain", "p"]
NETWORK = [*PROJECT, "red"]
IPAM = [*PROJECT, "ipam"]
GROUP = [*PROJECT, "sg"]
DNS = ["default-domain", "dns"]
BATCH_BYTES = 65_536


def bench_config(figures: Figures) -> None:
    """Measure with few and many ports; the figures should not differ."""
    for count in PORTS_COUNTS:
        samples = cpu_ms_per_port(count)
        figures.add(
            f"config_one_more_port_beside_{count}_on_2_hosts",
            percentile(samples, 50),
            "CPU ms",
            wanted=1.0,
            samples=samples,
        )


def cpu_ms_per_port(count: int) -> list[float]:
    """Return the cost of each of ``CHANGES_COUNT`` new ports, until everything is collected."""
    plane = ControlPlane()
    plane.config_replace(
        [*surroundings(), *(item for host in HOSTS for n in range(count) for item in port(host, n))]
    )
    plane.commit(1, 0.0)
    for host in HOSTS:
        plane.session_up(host, "", 0.0)
        router = ConfigKey("virtual-router", f"{SYSTEM}:{host}")
        plane.receive(host, ConfigSubscribe(router), 0.0)
        for number in range(count):
            subscribe(plane, host, number)
    drain(plane)
    samples: list[float] = []
    for number in range(count, count + CHANGES_COUNT):
        items = port("a", number)
        started = time.process_time()
        # The API's objects, and later the compiler's, come in revisions of their own.
        for revision in (items[:1], items[1:2], items[2:3], items[3:]):
            for item in revision:
                plane.config_put(item)
            plane.commit(number, 0.0)
            drain(plane)
        subscribe(plane, "a", number)
        drain(plane)
        samples.append(1000 * (time.process_time() - started))
    return samples


def surroundings() -> list[ConfigObject]:
    """Return everything but ports."""
    return [
        build("global-system-config", [SYSTEM]),
        build("project", PROJECT, parent="domain"),
        build("virtual-DNS", DNS, parent="domain"),
        build("network-ipam", IPAM, parent="project", refs=[("virtual-DNS", DNS, None)]),
        build("virtual-network", NETWORK, parent="project", refs=[("network-ipam", IPAM, {})]),
        build("security-group", GROUP, parent="project"),
        build("access-control-list", [*GROUP, "ingress"], parent="security-group"),
        routing_instance("red", both=[1]),
        *(virtual_router(host) for host in HOSTS),
    ]


def port(host: str, number: int) -> list[ConfigObject]:
    """Return a machine, its port, the port's address and its DNS record."""
    name = f"{host}-{number}"
    interface = [*PROJECT, name]
    refs: list[tuple[str, Sequence[str], object]] = [
        ("virtual-machine", [name], None),
        ("virtual-network", NETWORK, None),
        ("security-group", GROUP, None),
    ]
    address = [
        ("virtual-machine-interface", interface, None),
        ("virtual-network", NETWORK, None),
    ]
    return [
        build("virtual-machine", [name]),
        build("virtual-machine-interface", interface, parent="project", refs=refs),
        build("instance-ip", [name], refs=address),
        build("virtual-DNS-record", [*DNS, name], parent="virtual-DNS"),
    ]


def subscribe(plane: ControlPlane, host: str, number: int) -> None:
    plane.receive(host, ConfigSubscribe(ConfigKey("virtual-machine", f"{host}-{number}")), 0.0)


def drain(plane: ControlPlane) -> None:
    for name in plane.take_ready():
        while plane.collect(name, 0.0, BATCH_BYTES):
            pass
