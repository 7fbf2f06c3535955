"""Seeded chaos under traffic: whatever breaks, nobody gets what is not his, and all of it heals.

Every pair of workloads talks all the time while daemons are killed, links go down, workloads move
out and in, and policy, tags and floating addresses change, in an order, at hosts and with pauses
that one seed decides. Packets are of IPv4 and IPv6, in pings, datagrams and TCP connections that
last as long as they can. The oracle (``skytrail.testing.reach_oracle``) says of each packet whether it had to arrive.

The seed of a failure is in the test's name and output; ``SKYTRAIL_CHAOS_SEED=N`` (or ``N,M``) replays it.
"""

from __future__ import annotations

import copy
import datetime as dt
import enum
import os
import random
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from skytrail.client import ApiClient
from skytrail.client.messages import RefOperation
from skytrail.lab import check, commands, health, show
from skytrail.lab.io import netns, workload
from skytrail.lab.io.machine import remove_pins
from skytrail.lab.plan import UNDERLAY_IFNAME
from skytrail.lab.service import BPF_DIRECTORY, Lab
from skytrail.net import IpAddress
from skytrail.testing.reach_oracle import (
    State,
    Stream,
    Timeline,
    ending_fault,
    fate,
    fault,
    settled,
)
from skytrail.testing.reach_streams import PACKET_LATE_S, Streams

INTERVAL_S = 0.25
CALM_PACKETS = 3
"""So many packets of each stream in a row must go as they should before a fault counts as healed."""
HEAL_TIMEOUT_S = 120
HOST_OF = {
    "red-web1": "compute1", "blue-web1": "compute1",
    "red-web2": "compute2", "red-app": "compute2",
    "red-store": "compute3", "blue-web2": "compute3",
}  # fmt: skip
FRONT, APP, STORE = ("red-web1", "red-web2"), "red-app", "red-store"
FLOATER = "red-web2"
"""Has floating addresses in the network of STORE, its only way to there."""
FLOATING = ("10.1.3.200", "fd10:1:3::c8")
HOSTS = sorted(set(HOST_OF.values()))
POLICY = ["default-domain", "red", "front-back"]
POOL = ["default-domain", "red", "store", "floats"]
TAGGED, TAG = ["default-domain", "blue", "web2"], ["default-domain", "blue", "tier=web"]
RULE = ["default-domain", "blue", "web-to-web"]
SWITCHES = ("joined", "open_in", "app_pings", "floats", "tagged", "rule_passes")
NETWORKS = (["default-domain", "red", "front"], ["default-domain", "red", "back"])
CONFIGURATION = Path(__file__).parents[1] / "data" / "chaos"
TOPOLOGY = """\
name: chaos
controllers: [control1, control2]
hosts: [{}]
tls: true
provision: {}/configuration.py
workloads:
"""


def seeds() -> list[int]:
    given = os.environ.get("SKYTRAIL_CHAOS_SEED")
    if given:
        return [int(each) for each in given.split(",")]
    if "SKYTRAIL_NIGHTLY" in os.environ:
        today = dt.datetime.now(tz=dt.UTC).toordinal()
        return [today * 100 + number for number in range(12)]
    return [36]


Named = tuple[str, Sequence[str]]
"""Type and fully qualified name of an object."""
Rule = dict[str, Any]
Running = tuple[Lab, dict[str, list[IpAddress]]]

pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


# What the seed decides


class Kind(enum.Enum):
    KILL = "kill"
    STUMBLE = "kill, and again while it starts,"
    HANG = "stop the process"
    CUT = "pull the cable"
    DOWN = "take the uplink down"
    """On the host itself: the kernel forgets routes and neighbours."""
    CRASH = "crash"
    """Agent, cable, workloads and what the kernel held go at once, and come back by a boot."""


@dataclass(frozen=True)
class Fault:
    kind: Kind
    victims: tuple[str, ...]
    """Daemons, those of hosts named as the host; CUT and CRASH: hosts."""
    changes: tuple[tuple[str, float], ...]
    """What of the world is changed meanwhile, a field of World, or a workload to plug or unplug,
    and how long after the fault.
    """
    down_s: float

    def needs_victim(self, change: str) -> bool:
        """The change goes through a victim, which is hit as soon as it said that it took it."""
        through = HOST_OF.get(change, "api")
        return self.kind not in {Kind.CUT, Kind.DOWN} and through in self.victims

    def before(self) -> list[str]:
        return [change for change, _ in self.changes if self.needs_victim(change)]

    def meanwhile(self) -> list[tuple[str, float]]:
        """Changes and their times, in order."""
        return [each for each in self.changes if not self.needs_victim(each[0])]

    def __str__(self) -> str:
        what = f"{self.kind.value} of {' and '.join(self.victims)} for {self.down_s:.1f} s"
        when = [f"{change} just before" for change in self.before()]
        when += [f"{change} at {after_s:.1f} s" for change, after_s in self.meanwhile()]
        return f"{what}, change {' and '.join(when)}"


def plan(seed: int) -> list[Fault]:
    """Six faults: every kind of victim, and six changes made and taken back."""
    rng = random.Random(seed)
    daemons = [
        rng.choice(HOSTS), rng.choice(HOSTS), rng.choice(("control1", "control2")), "compiler", "api",
    ]  # fmt: skip
    victims = [daemon_fault(rng, name) for name in daemons]
    links = (Kind.CUT, Kind.DOWN, Kind.CRASH)
    victims.append((rng.choice(links), (rng.choice(HOSTS),)))
    rng.shuffle(victims)
    chosen = ["joined", "floats", rng.choice(sorted(HOST_OF))]
    chosen += rng.sample(("open_in", "app_pings", "tagged", "rule_passes"), 3)
    faults = []
    for (kind, names), changes in zip(victims, pairs(rng, chosen), strict=True):
        down_s = rng.uniform(0.5, 4)
        moments = sorted(rng.uniform(0, down_s) for _ in changes)
        timed = tuple(zip(changes, moments, strict=True))
        faults.append(Fault(kind, names, timed, down_s))
    return faults


def pairs(rng: random.Random, chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Every change twice, the second time to take it back, two different ones at a time."""
    while True:
        rng.shuffle(both := [*chosen, *chosen])
        found = list(zip(both[::2], both[1::2], strict=True))
        if all(first != second for first, second in found):
            return found


def daemon_fault(rng: random.Random, name: str) -> tuple[Kind, tuple[str, ...]]:
    """Mostly a kill; at times something worse, or another daemon with it."""
    kind = rng.choice((Kind.KILL, Kind.KILL, Kind.STUMBLE, Kind.HANG))
    others = sorted({*HOSTS, "control1", "control2", "compiler", "api"} - {name})
    return kind, (name, rng.choice(others)) if rng.random() < 0.3 else (name,)


# What must be


@dataclass(frozen=True)
class World:
    joined: bool = True
    """The network policy of front and back exists."""
    open_in: bool = True
    """The group of red's workloads but app has its rules for what comes in."""
    app_pings: bool = True
    """The group of app lets ping in from front; UDP it never does."""
    floats: bool = True
    """FLOATER has its floating addresses."""
    tagged: bool = True
    """Both workloads of blue have the tag that the rule of their policy set is about."""
    rule_passes: bool = True
    """That rule lets pass."""
    plugged: frozenset[str] = frozenset(HOST_OF)
    linked: frozenset[str] = frozenset(HOSTS)

    def has(self, change: str) -> bool:
        return change in self.plugged if change in HOST_OF else getattr(self, change)

    def toggled(self, change: str) -> World:
        if change in HOST_OF:
            return replace(self, plugged=self.plugged ^ {change})
        return replace(self, **{change: not getattr(self, change)})

    def permits(self, stream: Stream) -> bool:
        source, owner, version = stream.source, stream.owner, stream.address.version
        if not owner:
            return False
        if source.startswith("blue"):
            return self.tagged and self.rule_passes
        if STORE in {source, owner} or str(stream.address) in FLOATING:
            # Between the network store and others there is no way but the floating addresses.
            is_floating = source == FLOATER or (source == STORE and str(stream.address) in FLOATING)
            return is_floating and self.floats and self.open_in
        if owner == APP:
            is_ping = stream.protocol == "icmp" and version == 4
            return self.joined and self.app_pings and is_ping
        # What leaves APP may be IPv4 alone.
        return self.open_in and (source != APP or (self.joined and version == 4))

    def carries(self, stream: Stream) -> bool:
        ends = {stream.source, stream.owner}
        hosts = {HOST_OF[end] for end in ends if end}
        return ends <= self.plugged and (len(hosts) == 1 or hosts <= self.linked)

    def state(self, streams: Sequence[Stream]) -> State:
        return State(
            permitted=frozenset(filter(self.permits, streams)),
            carried=frozenset(filter(self.carries, streams)),
        )


def all_streams(addresses: Mapping[str, Sequence[IpAddress]]) -> list[Stream]:
    """Every workload to every address of any, its own left out."""
    owners = {
        (name.split("-")[0], address): name for name, own in addresses.items() for address in own
    }
    every = sorted({address for own in addresses.values() for address in own}, key=str)
    return [
        Stream(source, address, protocol, owners.get((source.split("-")[0], address), ""))
        for source in sorted(addresses)
        for address in every
        if address not in addresses[source]
        for protocol in ("icmp", "udp", "tcp")
    ]


# Doing it


class Chaos:
    """A lab with every stream running, the world as it should be, and its history."""

    def __init__(
        self, lab: Lab, api: ApiClient, streams: Sequence[Stream], traffic: Streams
    ) -> None:
        self.lab, self.api, self.streams, self.traffic = lab, api, streams, traffic
        self.world = World()
        self.ports = lab.read_ports()
        self.policy: Any = api.read("network-policy", api.name_to_id("network-policy", POLICY))
        self.rules = {group: self._group(group)[1] for group in ("open", "web-only")}
        self.began = time.monotonic()
        self.timeline = Timeline(self.began, self.world.state(streams))

    def round(self, fault_: Fault) -> str:
        """Run one fault with its changes; return how long it took until all was as it should be."""
        worlds = {self.world}
        for change in fault_.before():
            worlds |= self._make(change, worlds)
        began = time.monotonic()
        self._break(fault_)
        for change, after_s in fault_.meanwhile():
            time.sleep(max(0.0, began + after_s - time.monotonic()))
            worlds |= self._make(change, worlds, fault_)
        time.sleep(max(0.0, began + fault_.down_s - time.monotonic()))
        mended = time.monotonic()
        self._mend(fault_)
        healthy = self._wait_healthy(mended)
        for name in self.world.plugged:
            self.lab.wait_lease(self.lab.topology.endpoint(name))
        recovered = self._wait_settled(mended)
        self.timeline.enter(time.monotonic(), [self.world.state(self.streams)])
        return (
            f"{healthy:.1f} s after the repair all daemons are healthy,"
            f" after {recovered:.1f} s all packets go as they should"
        )

    def _make(
        self, change: str, worlds: Collection[World], fault_: Fault | None = None
    ) -> set[World]:
        """Change the world; return those that come into force beside the others."""
        new = {world.toggled(change) for world in worlds}
        in_force = new | set(worlds)
        if fault_:
            in_force |= {self._broken(world, fault_) for world in in_force}
        self.timeline.enter(time.monotonic(), {world.state(self.streams) for world in in_force})
        self.world = self.world.toggled(change)
        self._change(change, self.world)
        return new

    def wait_settled(self) -> None:
        self._wait_settled(time.monotonic())

    def restore(self) -> None:
        """Take back what a failed run left, for the next seed."""
        for host in HOSTS:
            self._set_link(host, "up")
            self._set_uplink(host, "up")
        for name in show.daemon_names(self.lab):
            self.lab.processes.signal(name, signal.SIGCONT)
            if self.lab.processes.identity(name) is None:
                self.lab.restart(name)
        for change in (*SWITCHES, *HOST_OF):
            if not self.world.has(change):
                self.world = self.world.toggled(change)
                self._change(change, self.world)

    def faults_seen(self) -> list[str]:
        """Every wrong packet that had its time, in the order sent."""
        self.traffic.check()
        found = [
            (packet.sent - self.began, fault(stream, packet, self.timeline))
            for stream in self.streams
            for packet in self.traffic.packets(stream, self.began)
        ]
        found += [
            (ending.ended - self.began, ending_fault(ending, self.timeline))
            for ending in self.traffic.connected().endings
            if ending.ended >= self.began
        ]
        told = [(sent, text) for sent, text in found if text]
        return [f"at {sent:.2f} s {text}" for sent, text in sorted(told, key=lambda each: each[0])]

    @staticmethod
    def _broken(world: World, fault_: Fault) -> World:
        """The world as it is while the fault lasts: policy is the same."""
        match fault_.kind:
            case Kind.CUT | Kind.DOWN:
                return replace(world, linked=world.linked - set(fault_.victims))
            case Kind.CRASH:
                return replace(world, plugged=world.plugged - workloads_of(fault_.victims))
            case _:
                return world

    def _break(self, fault_: Fault) -> None:
        now = time.monotonic()
        broken = self._broken(self.world, fault_).state(self.streams)
        self.timeline.enter(now, self.timeline.between(now, now) | {broken})
        for victim in fault_.victims:
            match fault_.kind:
                case Kind.CUT:
                    self._set_link(victim, "down")
                case Kind.DOWN:
                    self._set_uplink(victim, "down")
                case Kind.CRASH:
                    self._crash(victim)
                case Kind.HANG:
                    self.lab.processes.signal(victim, signal.SIGSTOP)
                case Kind.KILL | Kind.STUMBLE:
                    self.lab.kill(victim)

    def _mend(self, fault_: Fault) -> None:
        for victim in fault_.victims:
            match fault_.kind:
                case Kind.CUT:
                    self._set_link(victim, "up")
                case Kind.DOWN:
                    self._set_uplink(victim, "up")
                case Kind.CRASH:
                    self._boot(victim)
                case Kind.HANG:
                    self.lab.processes.signal(victim, signal.SIGCONT)
                case Kind.KILL:
                    self.lab.restart(victim)
                case Kind.STUMBLE:
                    self.lab.processes.start(self.lab.processes.specification(victim))
                    time.sleep(fault_.down_s / 4)
                    self.lab.kill(victim)
                    self.lab.restart(victim)

    def _crash(self, host: str) -> None:
        self.lab.kill(host)
        self._set_link(host, "down")
        for name in workloads_of([host]) & self.world.plugged:
            self.traffic.leave(name)
            workload.stop_clients(name, self.lab.processes)
            workload.destroy(self.lab.attachment(name))
        remove_pins(BPF_DIRECTORY / commands.agent_name(self.lab.plan.node(host)))

    def _boot(self, host: str) -> None:
        self._set_link(host, "up")
        self.lab.restart(host)
        for name in workloads_of([host]) & self.world.plugged:
            self._plug(name)

    def _plug(self, name: str) -> None:
        endpoint = self.lab.topology.endpoint(name)
        self.lab.plug(endpoint, self.ports[endpoint.port])
        self.traffic.enter(name)

    def _set_link(self, host: str, state: str) -> None:
        # The far end: the host sees its carrier go, as when a cable is pulled.
        node = self.lab.plan.node(host)
        netns.configure(
            self.lab.plan.router_namespace, [f"link set dev {node.router_ifname} {state}"]
        )

    def _set_uplink(self, host: str, state: str) -> None:
        node = self.lab.plan.node(host)
        lines = [f"link set dev {UNDERLAY_IFNAME} {state}"]
        if state == "up":
            # As what looks after a host's network does: the kernel forgot the way out.
            lines.append(f"route replace default via {node.way_out}")
        netns.configure(node.namespace, lines)

    def _change(self, change: str, target: World) -> None:
        match change:
            case "joined":
                self._join() if target.joined else self._separate()
            case "open_in":
                self._set_rules("open", lambda rule: target.open_in or is_egress(rule))
            case "app_pings":
                self._set_rules(
                    "web-only", lambda rule: target.app_pings or rule["protocol"] != "icmp"
                )
            case "floats":
                self._float(target.floats)
            case "tagged":
                operation = "ADD" if target.tagged else "DELETE"
                self._refer(("virtual-machine-interface", TAGGED), operation, ("tag", TAG))
            case "rule_passes":
                action = {"simple_action": "pass" if target.rule_passes else "deny"}
                uuid = self.api.name_to_id("firewall-rule", RULE)
                self.api.update("firewall-rule", uuid, {"action_list": action})
            case name if name in target.plugged:
                self._plug(name)
            case name:
                self.traffic.leave(name)
                self.lab.unplug(self.lab.topology.endpoint(name))

    def _separate(self) -> None:
        for network in NETWORKS:
            self._refer(("virtual-network", network), "DELETE", ("network-policy", POLICY))
        self.api.delete("network-policy", self.api.name_to_id("network-policy", POLICY))

    def _join(self) -> None:
        entries = self.policy["network_policy_entries"]
        content = {"fq_name": POLICY, "parent_type": "project", "network_policy_entries": entries}
        self.api.create("network-policy", content)
        attr = {"sequence": {"major": 0, "minor": 0}}
        for network in NETWORKS:
            self._refer(("virtual-network", network), "ADD", ("network-policy", POLICY), attr=attr)

    def _float(self, is_given: bool) -> None:
        for name in ("floating4", "floating6"):
            self._refer(
                ("floating-ip", [*POOL, name]),
                "ADD" if is_given else "DELETE",
                ("virtual-machine-interface", ["default-domain", *FLOATER.split("-")]),
            )

    def _refer(
        self,
        changed: Named,
        operation: RefOperation,
        to: Named,
        attr: Mapping[str, object] | None = None,
    ) -> None:
        (type_name, name), (ref_type, ref_name) = changed, to
        self.api.ref_update(
            type_name, self.api.name_to_id(type_name, name), operation=operation,
            ref_type=ref_type, ref_fq_name=ref_name, attr=attr,
        )  # fmt: skip

    def _group(self, name: str) -> tuple[str, list[Rule]]:
        uuid = self.api.name_to_id("security-group", ["default-domain", "red", name])
        entries: Any = self.api.read("security-group", uuid)["security_group_entries"]
        return uuid, entries["policy_rule"]

    def _set_rules(self, group: str, keep: Callable[[Rule], bool]) -> None:
        rules = [rule for rule in copy.deepcopy(self.rules[group]) if keep(rule)]
        content = {"security_group_entries": {"policy_rule": rules}}
        self.api.update("security-group", self._group(group)[0], content)

    def _wait_healthy(self, since: float) -> float:
        for name in show.daemon_names(self.lab):
            health.wait_healthy(self.lab, name, HEAL_TIMEOUT_S)
        return time.monotonic() - since

    def _wait_settled(self, since: float) -> float:
        state = self.world.state(self.streams)
        deadline = time.monotonic() + HEAL_TIMEOUT_S
        while True:
            self.traffic.check()
            waiting, latest = list[str](), since
            for stream in self.streams:
                if stream.source not in self.world.plugged:
                    continue
                moment = settled(
                    stream, self.traffic.packets(stream, since), state, count_min=CALM_PACKETS
                )
                if moment is None:
                    waiting.append(f"{stream} {fate((state,), stream).value}")
                else:
                    latest = max(latest, moment)
            if not waiting:
                return latest - since
            assert time.monotonic() < deadline, f"never as it should be again: {waiting}"
            time.sleep(0.1)


def workloads_of(hosts: Collection[str]) -> set[str]:
    return {name for name, host in HOST_OF.items() if host in hosts}


def is_egress(rule: Rule) -> bool:
    return rule["src_addresses"][0].get("security_group") == "local"


def told(seed: int, when: str, wrong: Sequence[str]) -> str:
    return "\n".join((f"seed {seed}, {when}: {len(wrong)} packets went wrong", *wrong[:20]))


@pytest.fixture(scope="module")
def running(
    lab_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The lab, and its workloads' addresses."""
    workloads = "".join(
        f'  - {{name: {name}, host: {host}, port: "default-domain:{name.replace("-", ":")}"}}\n'
        for name, host in HOST_OF.items()
    )
    file = tmp_path_factory.mktemp("chaos") / "chaos.yaml"
    file.write_text(TOPOLOGY.format(", ".join(HOSTS), CONFIGURATION) + workloads)
    with lab_of(CONFIGURATION, "stc", topology=file) as lab:
        members = check.members(lab)
        addresses = {name: list(members[name].addresses) for name in HOST_OF}
        addresses[FLOATER] += map(ip_address, FLOATING)
        yield lab, addresses


@pytest.mark.parametrize("seed", seeds())
def test_nothing_is_delivered_wrongly_and_everything_heals(running: Running, seed: int) -> None:
    lab, addresses = running
    assert addresses["red-web1"] == addresses["blue-web1"]
    streams = all_streams(addresses)
    namespaces = {name: lab.plan.namespace_of(name) for name in HOST_OF}
    print(f"seed {seed} (replay: SKYTRAIL_CHAOS_SEED={seed})")

    with ExitStack() as stack:
        api = stack.enter_context(ApiClient(lab.api_url))
        traffic = stack.enter_context(Streams(namespaces, streams, interval_s=INTERVAL_S))
        chaos = Chaos(lab, api, streams, traffic)
        stack.callback(chaos.restore)
        chaos.wait_settled()
        chaos.began = time.monotonic()
        for number, fault_ in enumerate(plan(seed), start=1):
            print(f"{time.monotonic() - chaos.began:6.1f} s  {number}. {fault_}")
            print(f"          {chaos.round(fault_)}")
            wrong = chaos.faults_seen()
            assert not wrong, told(seed, f"after {fault_}", wrong)
        print(f"TCP: {traffic.connected()}")
        time.sleep(2 * PACKET_LATE_S)
        wrong = chaos.faults_seen()
        assert not wrong, told(seed, "at the end", wrong)
        assert chaos.world == World()
