"""An agent's core on a real datapath, with many interfaces and routes: ``agent_host.py NAME PORTS ROUTES``.

A process of its own, so that its memory is its own; started inside a network namespace that has the
interfaces ``d0``... It starts on an empty kernel, then again as after a restart, hears routes change
at a rate, and prints what each took as one JSON object.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from skytrail.agent.io.ebpf import EbpfDatapath
from skytrail.agent.label import Numbers
from skytrail.agent.tables import InetRouteRow
from skytrail.net import Label, Mac
from skytrail.runtime.garbage import TIDY_EVERY_S, ShortCollections
from skytrail.testing.agent_world import SOURCE, AgentHost, ConfigBuilder, rule, subnet
from skytrail.wire.xmpp import EndOfConfig, EndOfRib, Family, ItemsEvent, NextHop, Route
from skytrail.wire.xmpp.codec import (
    StanzaDecoder,
    config_head,
    encode_config,
    encode_event,
    message_head,
)

NETWORKS = 20
REMOTES = 50
ROUTES_A_MESSAGE = 100
CHURN_S = 5.0
CHURN_A_S = 10_000


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel tells no VmRSS")


class Stories:
    """What a control node says, as bytes on the wire."""

    def __init__(self, ports: int, routes: int) -> None:
        self.config = ConfigBuilder()
        self.networks = [
            self.config.network(f"n{n}", 5 + n, [subnet(f"10.{n}.0.0/16")]) for n in range(NETWORKS)
        ]
        rules = [rule({}, {}, protocol="6"), rule({"security_group": "8000001"}, {})]
        group = self.config.security_group("web", 8000001, rules, [rule({}, {})])
        for n in range(ports):
            address = f"10.{n % NETWORKS}.{n // 250}.{n % 250 + 3}"
            port = self.config.port(f"p{n}", self.networks[n % NETWORKS], [address])
            self.config.link(port, group)
        self._instances = [f"{n.name}:{n.name.rpartition(':')[2]}" for n in self.networks]
        self.routes = routes

    def configuration(self) -> bytes:
        body = encode_config(self.config.update())
        return config_head("control", "agent") + body + b"</iq>"

    def route(self, number: int, turn: int = 0) -> Route:
        """The label changes with the turn; some move to another host."""
        inside = number // NETWORKS
        prefix = IPv4Network((0x0A800000 + (number % NETWORKS << 16) + inside, 32))
        mac = Mac(b"\2\0" + prefix.network_address.packed)
        remote = IPv4Address("192.0.2.10") + (number + turn) % REMOTES
        return Route(prefix, (NextHop(remote, Label(1000 + (number + turn) % 60_000), mac=mac),))

    def message(self, network: int, routes: Iterable[Route]) -> bytes:
        event = ItemsEvent(Family.INET, self._instances[network], tuple(routes))
        return message_head("control", "agent") + encode_event(event) + b"</message>"

    def all_routes(self) -> list[bytes]:
        found: list[bytes] = []
        for network in range(NETWORKS):
            mine = range(network, self.routes, NETWORKS)
            for first in range(0, len(mine), ROUTES_A_MESSAGE):
                part = [self.route(n) for n in mine[first : first + ROUTES_A_MESSAGE]]
                found.append(self.message(network, part))
        return found

    def changes(self, count: int, rng: random.Random) -> list[bytes]:
        """So many messages of routes that changed, each of one network."""
        found: list[bytes] = []
        for turn in range(1, count + 1):
            network = rng.randrange(NETWORKS)
            inside = rng.sample(range(self.routes // NETWORKS), ROUTES_A_MESSAGE)
            part = [self.route(n * NETWORKS + network, turn) for n in inside]
            found.append(self.message(network, part))
        return found


class Meter:
    """Seconds of processor and of the wall, by name."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.found[f"{name}_cpu_s"] = time.process_time() - cpu
        self.found[f"{name}_s"] = time.perf_counter() - wall


class Run:
    """One life of the agent's process."""

    def __init__(self, name: str, numbers: Numbers, ports: int) -> None:
        self.datapath = EbpfDatapath.open(name)
        self.core = AgentHost(datapath=self.datapath, numbers=numbers)  # type: ignore[arg-type]
        self.core.resolve(*(str(IPv4Address("192.0.2.10") + n) for n in range(REMOTES)))
        self.decoder = StanzaDecoder()
        self._collections, self._tidy_at = ShortCollections(), 0.0
        self.core.connect()
        for n in range(ports):
            self.core.plug(f"p{n}", socket.if_nametoindex(f"d{n}"))

    def hear(self, stanza: bytes) -> None:
        core = self.core
        for message in self.decoder.decode(stanza):
            core.sessions.received(SOURCE, message, core.now)
        if time.monotonic() >= self._tidy_at:
            # As the daemon does.
            self._collections.tidy()
            self._tidy_at = time.monotonic() + TIDY_EVERY_S

    def hear_all(self, meter: Meter, name: str, configuration: bytes, routes: list[bytes]) -> None:
        core = self.core
        with meter.of(f"{name}_configuration"):
            self.hear(configuration)
            core.sessions.received(SOURCE, EndOfConfig(1), core.now)
            # Instances are subscribed to before their routes come.
            core.reconcile(complete=False)
        with meter.of(f"{name}_hear_routes"):
            for stanza in routes:
                self.hear(stanza)
            core.sessions.received(SOURCE, EndOfRib(), core.now)
        with meter.of(f"{name}_reconcile"):
            core.reconcile()


def churn(run: Run, stories: Stories) -> dict[str, float]:
    """Routes change at a rate; what waits is taken together, as the service does."""
    count = int(CHURN_S * CHURN_A_S / ROUTES_A_MESSAGE)
    arriving = stories.changes(count, random.Random(5))
    step = ROUTES_A_MESSAGE / CHURN_A_S
    lags: list[float] = []
    cpu, start, heard = time.process_time(), time.perf_counter(), 0
    while heard < count:
        due = min(int((time.perf_counter() - start) / step), count)
        if due == heard:
            time.sleep(step / 4)
            continue
        for stanza in arriving[heard:due]:
            run.hear(stanza)
        run.core.reconcile()
        done = time.perf_counter() - start
        lags += [done - (n + 1) * step for n in range(heard, due)]
        heard = due
    took = time.perf_counter() - start
    lags.sort()
    return {
        "churn_cpu_share": (time.process_time() - cpu) / took,
        "churn_cpu_us": (time.process_time() - cpu) / (count * ROUTES_A_MESSAGE) * 1e6,
        "churn_rate": count * ROUTES_A_MESSAGE / took,
        "churn_lag_p50_s": lags[len(lags) // 2],
        "churn_lag_p99_s": lags[len(lags) * 99 // 100],
    }


def started(
    name: str, numbers: Numbers, ports: int, hear: Callable[[Run], None], meter: Meter, what: str
) -> Run:
    """One start; what is counted begins with loading the programs."""
    with meter.of(what):
        with meter.of(f"{what}_open"):
            run = Run(name, numbers, ports)
        hear(run)
    wanted = sum(len(rows) for rows in run.core.desired.rows.values())
    attached = len(run.datapath.attached())
    if attached < ports or run.core.reconciler.statistics.failures:
        raise RuntimeError(f"{attached} interfaces of {ports} carry the program")
    meter.found["rows"] = wanted
    return run


def main() -> None:
    name, ports, routes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stories, meter, numbers = Stories(ports, routes), Meter(), Numbers()
    configuration, messages = stories.configuration(), stories.all_routes()
    before = resident_bytes()
    first = started(
        name, numbers, ports,
        lambda run: run.hear_all(meter, "first", configuration, messages), meter, "first",
    )  # fmt: skip
    first.datapath.close()
    del first
    again = started(
        name, numbers, ports,
        lambda run: run.hear_all(meter, "restart", configuration, messages), meter, "restart",
    )  # fmt: skip
    meter.found["restart_writes"] = again.core.reconciler.statistics.puts
    meter.found["memory_bytes"] = resident_bytes() - before
    meter.found["kernel_bytes"] = sum(use.bytes for use in again.datapath.table_uses())
    if len(again.datapath.dump(InetRouteRow)) < routes:
        raise RuntimeError("the kernel has not all routes")
    meter.found |= churn(again, stories)
    again.datapath.close()
    print(json.dumps(meter.found))


if __name__ == "__main__":
    main()
