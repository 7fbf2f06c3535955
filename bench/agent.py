"""What one more port or route costs an agent that has many: CPU time of the pure core per change.

A host with 1, 100 and 1,000 ports, each port with a learnt inet and enet route, gets ports and
routes one by one. Counted per change: taking in the configuration or the route, the desired state,
the difference to the kernel's rows and to what control nodes were told. ``recompute_full`` is the
same from nothing, as at a start. The datapath is the fake one; no process, socket or file is used.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from bench.figures import Figures

from skytrail.agent.inputs import Inputs
from skytrail.net import Label, Mac
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, rule, subnet
from skytrail.wire.xmpp import ConfigKey, EnetKey, NextHop, Route

SIZES = (1, 100, 1000)
CHANGES_COUNT = 30
NETWORKS_COUNT = 4
CHANGE_MS_WANTED = 3.0


class Host:
    """An agent's core with ``size`` ports, and the next changes to make to it."""

    def __init__(self, size: int) -> None:
        config = ConfigBuilder()
        self.networks = [
            config.network(f"n{number}", 5 + number, [subnet(f"10.{number}.0.0/16")])
            for number in range(NETWORKS_COUNT)
        ]
        rules = [rule({}, {}, protocol="6"), rule({"security_group": "8000001"}, {})]
        self.group = config.security_group("web", 8000001, rules, [rule({}, {})])
        self.core = AgentHost()
        self.core.connect()
        for number in range(size):
            self.add_port(config, number)
        self.core.configure(config.update())
        self.core.reconcile()
        for index, network in enumerate(self.networks):
            routes = [self.route(number) for number in range(index, 2 * size, NETWORKS_COUNT)]
            self.core.learn(instance_of(network), routes)
        self.core.resolve("192.0.2.2", "192.0.2.3")
        self.core.reconcile()

    def add_port(self, config: ConfigBuilder, number: int) -> None:
        network = self.networks[number % NETWORKS_COUNT]
        place = f"10.{number % NETWORKS_COUNT}.{number >> 7 & 127}.{(number & 127) + 3}"
        config.link(config.port(f"p{number}", network, [place]), self.group)
        self.core.plug(f"p{number}", 10 + number)

    def route(self, number: int) -> Route:
        address = IPv4Address(
            f"10.{number % NETWORKS_COUNT}.{128 + (number >> 8 & 127)}.{number & 255}"
        )
        mac = Mac(b"\2\0" + address.packed)
        hop = NextHop(IPv4Address("192.0.2.2"), Label(1000 + number), mac=mac)
        prefix = IPv4Network(address)
        return Route(EnetKey(mac, prefix) if number % 8 >= NETWORKS_COUNT else prefix, (hop,))

    def port_added(self, number: int) -> None:
        config = ConfigBuilder()
        self.add_port(config, number)
        self.core.configure(config.update(), end=False)
        self.core.reconcile()

    def port_removed(self, uuid: str) -> None:
        del self.core.plugged[uuid]
        self.core.reconcile()

    def route_added(self, number: int) -> None:
        instance = instance_of(self.networks[number % NETWORKS_COUNT])
        self.core.learn(instance, [self.route(number)], end=False)
        self.core.reconcile()

    def recomputed(self) -> None:
        core = self.core
        inputs = Inputs(core.plugged, core.view, core.sessions.learnt, core.underlay())
        core.planner.compute(inputs, full=True)


def instance_of(network: ConfigKey) -> str:
    return f"{network.name}:{network.name.rpartition(':')[2]}"


def cpu_ms(change: Callable[[], None]) -> float:
    started = time.process_time()
    change()
    return (time.process_time() - started) * 1e3


def run() -> None:
    figures = Figures("agent")
    for size in SIZES:
        host = Host(size)
        gc.collect()
        numbers = range(4096, 4096 + CHANGES_COUNT)
        samples = {
            "port": [cpu_ms(partial(host.port_added, number)) for number in numbers],
            "route": [cpu_ms(partial(host.route_added, number)) for number in numbers],
            "unplug": [
                cpu_ms(partial(host.port_removed, uuid))
                for uuid in list(host.core.plugged)[-CHANGES_COUNT:]
            ],
        }
        for name, values in samples.items():
            figures.add(
                f"recompute_{name}_{size}",
                statistics.median(values),
                "ms",
                wanted=CHANGE_MS_WANTED,
                samples=values,
            )
        full = [cpu_ms(host.recomputed) for _ in range(5)]
        figures.add(f"recompute_full_{size}", statistics.median(full), "ms", samples=full)
    figures.write()
