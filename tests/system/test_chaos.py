"""Seeded chaos under traffic: whatever breaks, nobody gets what is not his, and all of it heals.

Every pair of workloads talks all the time while daemons are killed, links go down, workloads move
out and in, and policy changes, in an order, at hosts and with pauses that one seed decides. The
oracle (``skytrail.testing.reach_oracle``) says of each packet whether it had to arrive.

The seed of a failure is in the test's name and output; ``SKYTRAIL_CHAOS_SEED=N`` replays it.
"""

import copy
import datetime as dt
import enum
import os
import random
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check, commands, health, show
from skytrail.lab.io import netns, workload
from skytrail.lab.io.machine import remove_pins
from skytrail.lab.service import BPF_DIRECTORY
from skytrail.testing.reach_oracle import State, Stream, Timeline, fate, fault, settled
from skytrail.testing.reach_streams import PACKET_LATE_S, Streams

INTERVAL_S = 0.2
CALM_PACKETS = 3
"""So many packets of each stream in a row must go as they should before a fault counts as healed."""
HEAL_TIMEOUT_S = 120
HOST_OF = {
    "red-web1": "compute1", "blue-web1": "compute1",
    "red-web2": "compute2", "red-app": "compute2",
    "red-store": "compute3", "blue-web2": "compute3",
}  # fmt: skip
FRONT, APP = ("red-web1", "red-web2"), "red-app"
HOSTS = sorted(set(HOST_OF.values()))
POLICY = ["default-domain", "red", "front-back"]
NETWORKS = (["default-domain", "red", "front"], ["default-domain", "red", "back"])
EXAMPLE = Path(__file__).parents[2] / "examples" / "two-tenants"
TOPOLOGY = """\
name: chaos
controllers: [control1, control2]
hosts: [{}]
tls: true
provision: provision.py
workloads:
"""


def seeds():
    given = os.environ.get("SKYTRAIL_CHAOS_SEED")
    if given:
        return [int(given)]
    if "SKYTRAIL_NIGHTLY" in os.environ:
        today = dt.datetime.now(tz=dt.UTC).toordinal()
        return [today * 100 + number for number in range(12)]
    return [36]


pytestmark = [pytest.mark.root, pytest.mark.timeout(900)]


# What the seed decides


class Kind(enum.Enum):
    KILL = "kill"
    STUMBLE = "kill, and again while it starts,"
    HANG = "stop the process"
    CUT = "pull the cable"
    CRASH = "crash"
    """Agent, cable, workloads and what the kernel held go at once, and come back by a boot."""


@dataclass(frozen=True)
class Fault:
    kind: Kind
    victims: tuple[str, ...]
    """Daemons, those of hosts named as the host; CUT and CRASH: hosts."""
    change: str
    """What of the world is changed meanwhile: a field of World, or a workload to plug or unplug."""
    change_after_s: float
    down_s: float

    @property
    def needs_victim(self):
        """The change goes through a victim, which is hit as soon as it said that it took it."""
        through = HOST_OF.get(self.change, "api")
        return self.kind is not Kind.CUT and through in self.victims

    def __str__(self):
        what = f"{self.kind.value} of {' and '.join(self.victims)} for {self.down_s:.1f} s"
        when = "just before" if self.needs_victim else f"at {self.change_after_s:.1f} s"
        return f"{what}, change {self.change} {when}"


def plan(seed):
    """Six faults: every kind of victim, and three changes made and taken back."""
    rng = random.Random(seed)
    daemons = [
        rng.choice(HOSTS), rng.choice(HOSTS), rng.choice(("control1", "control2")), "compiler", "api",
    ]  # fmt: skip
    victims = [daemon_fault(rng, name) for name in daemons]
    victims.append((rng.choice((Kind.CUT, Kind.CRASH)), (rng.choice(HOSTS),)))
    changes = ["joined", rng.choice(("open_in", "app_pings")), rng.choice(sorted(HOST_OF))] * 2
    rng.shuffle(victims)
    rng.shuffle(changes)
    faults = []
    for (kind, names), change in zip(victims, changes, strict=True):
        down_s = rng.uniform(0.5, 4)
        faults.append(Fault(kind, names, change, rng.uniform(0, down_s), down_s))
    return faults


def daemon_fault(rng, name):
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
    plugged: frozenset[str] = frozenset(HOST_OF)
    linked: frozenset[str] = frozenset(HOSTS)

    def has(self, change):
        return change in self.plugged if change in HOST_OF else getattr(self, change)

    def toggled(self, change):
        if change in HOST_OF:
            return replace(self, plugged=self.plugged ^ {change})
        return replace(self, **{change: not getattr(self, change)})

    def permits(self, stream):
        source, owner = stream.source, stream.owner
        if source.startswith("blue"):
            return bool(owner)
        if not owner or "red-store" in {source, owner}:
            return False
        if owner == APP:
            return self.joined and self.app_pings and stream.protocol == "icmp"
        return self.open_in and (self.joined or source != APP)

    def carries(self, stream):
        ends = {stream.source, stream.owner}
        hosts = {HOST_OF[end] for end in ends if end}
        return ends <= self.plugged and (len(hosts) == 1 or hosts <= self.linked)

    def state(self, streams):
        return State(
            permitted=frozenset(filter(self.permits, streams)),
            carried=frozenset(filter(self.carries, streams)),
        )


def all_streams(addresses):
    """Every workload to every address of any, its own left out."""
    owners = {(name.split("-")[0], address): name for name, address in addresses.items()}
    return [
        Stream(source, address, protocol, owners.get((source.split("-")[0], address), ""))
        for source in sorted(addresses)
        for address in sorted(set(addresses.values()) - {addresses[source]})
        for protocol in ("icmp", "udp")
    ]


# Doing it


class Chaos:
    """A lab with every stream running, the world as it should be, and its history."""

    def __init__(self, lab, api, streams, traffic):
        self.lab, self.api, self.streams, self.traffic = lab, api, streams, traffic
        self.world = World()
        self.ports = lab.read_ports()
        self.policy = api.read("network-policy", api.name_to_id("network-policy", POLICY))
        self.rules = {group: self._group(group)[1] for group in ("open", "web-only")}
        self.began = time.monotonic()
        self.timeline = Timeline(self.began, self.world.state(streams))

    def round(self, fault_):
        """Run one fault with its change; return how long it took until all was as it should be."""
        target = self.world.toggled(fault_.change)
        if fault_.needs_victim:
            self._begin(self.world, target)
            self._change(fault_.change, target)
            self.world = target
            self._break(fault_)
            time.sleep(fault_.down_s)
        else:
            self._break(fault_)
            time.sleep(fault_.change_after_s)
            self._begin(
                self.world, target, self._broken(self.world, fault_), self._broken(target, fault_)
            )
            self._change(fault_.change, target)
            self.world = target
            time.sleep(fault_.down_s - fault_.change_after_s)
        mended = time.monotonic()
        self._mend(fault_)
        healthy = self._wait_healthy(mended)
        for name in target.plugged:
            self.lab.wait_lease(self.lab.topology.endpoint(name))
        recovered = self._wait_settled(mended)
        self.timeline.enter(time.monotonic(), [target.state(self.streams)])
        return (
            f"{healthy:.1f} s after the repair all daemons are healthy,"
            f" after {recovered:.1f} s all packets go as they should"
        )

    def wait_settled(self):
        self._wait_settled(time.monotonic())

    def restore(self):
        """Take back what a failed run left, for the next seed."""
        for host in HOSTS:
            self._set_link(host, "up")
        for name in show.daemon_names(self.lab):
            self.lab.processes.signal(name, signal.SIGCONT)
            if self.lab.processes.identity(name) is None:
                self.lab.restart(name)
        for change in ("joined", "open_in", "app_pings", *HOST_OF):
            if not self.world.has(change):
                target = self.world.toggled(change)
                self._change(change, target)
                self.world = target

    def faults_seen(self):
        """Every wrong packet that had its time, in the order sent."""
        self.traffic.check()
        found = [
            (packet.sent - self.began, fault(stream, packet, self.timeline))
            for stream in self.streams
            for packet in self.traffic.packets(stream, self.began)
        ]
        told = [(sent, text) for sent, text in found if text]
        return [f"at {sent:.2f} s {text}" for sent, text in sorted(told, key=lambda each: each[0])]

    def _begin(self, *worlds):
        self.timeline.enter(time.monotonic(), [world.state(self.streams) for world in worlds])

    @staticmethod
    def _broken(world, fault_):
        """The world as it is while the fault lasts: policy is the same."""
        match fault_.kind:
            case Kind.CUT:
                return replace(world, linked=world.linked - set(fault_.victims))
            case Kind.CRASH:
                return replace(world, plugged=world.plugged - workloads_of(fault_.victims))
            case _:
                return world

    def _break(self, fault_):
        now = time.monotonic()
        broken = self._broken(self.world, fault_).state(self.streams)
        self.timeline.enter(now, self.timeline.between(now, now) | {broken})
        for victim in fault_.victims:
            match fault_.kind:
                case Kind.CUT:
                    self._set_link(victim, "down")
                case Kind.CRASH:
                    self._crash(victim)
                case Kind.HANG:
                    self.lab.processes.signal(victim, signal.SIGSTOP)
                case Kind.KILL | Kind.STUMBLE:
                    self.lab.kill(victim)

    def _mend(self, fault_):
        for victim in fault_.victims:
            match fault_.kind:
                case Kind.CUT:
                    self._set_link(victim, "up")
                case Kind.CRASH:
                    self._boot(victim)
                case Kind.HANG:
                    self.lab.processes.signal(victim, signal.SIGCONT)
                case Kind.KILL:
                    self.lab.restart(victim)
                case Kind.STUMBLE:
                    self.lab.processes.start(self.lab.processes.specification(victim))
                    time.sleep(fault_.change_after_s / 2)
                    self.lab.kill(victim)
                    self.lab.restart(victim)

    def _crash(self, host):
        self.lab.kill(host)
        self._set_link(host, "down")
        for name in workloads_of([host]) & self.world.plugged:
            self.traffic.leave(name)
            workload.stop_clients(name, self.lab.processes)
            workload.destroy(self.lab.attachment(name))
        remove_pins(BPF_DIRECTORY / commands.agent_name(self.lab.plan.node(host)))

    def _boot(self, host):
        self._set_link(host, "up")
        self.lab.restart(host)
        for name in workloads_of([host]) & self.world.plugged:
            self._plug(name)

    def _plug(self, name):
        endpoint = self.lab.topology.endpoint(name)
        self.lab.plug(endpoint, self.ports[endpoint.port])
        self.traffic.enter(name)

    def _set_link(self, host, state):
        # The far end: the host sees its carrier go, as when a cable is pulled.
        node = self.lab.plan.node(host)
        netns.configure(
            self.lab.plan.router_namespace, [f"link set dev {node.router_ifname} {state}"]
        )

    def _change(self, change, target):
        match change:
            case "joined":
                self._join() if target.joined else self._separate()
            case "open_in":
                self._set_rules("open", lambda rule: target.open_in or is_egress(rule))
            case "app_pings":
                self._set_rules(
                    "web-only", lambda rule: target.app_pings or rule["protocol"] != "icmp"
                )
            case name if name in target.plugged:
                self._plug(name)
            case name:
                self.traffic.leave(name)
                self.lab.unplug(self.lab.topology.endpoint(name))

    def _separate(self):
        for network in NETWORKS:
            self._refer(network, "DELETE")
        self.api.delete("network-policy", self.api.name_to_id("network-policy", POLICY))

    def _join(self):
        entries = self.policy["network_policy_entries"]
        content = {"fq_name": POLICY, "parent_type": "project", "network_policy_entries": entries}
        self.api.create("network-policy", content)
        for network in NETWORKS:
            self._refer(network, "ADD", attr={"sequence": {"major": 0, "minor": 0}})

    def _refer(self, network, operation, **more):
        uuid = self.api.name_to_id("virtual-network", network)
        self.api.ref_update(
            "virtual-network", uuid, operation=operation,
            ref_type="network-policy", ref_fq_name=POLICY, **more,
        )  # fmt: skip

    def _group(self, name):
        uuid = self.api.name_to_id("security-group", ["default-domain", "red", name])
        entries = self.api.read("security-group", uuid)["security_group_entries"]
        return uuid, entries["policy_rule"]

    def _set_rules(self, group, keep):
        rules = [rule for rule in copy.deepcopy(self.rules[group]) if keep(rule)]
        content = {"security_group_entries": {"policy_rule": rules}}
        self.api.update("security-group", self._group(group)[0], content)

    def _wait_healthy(self, since):
        for name in show.daemon_names(self.lab):
            health.wait_healthy(self.lab, name, HEAL_TIMEOUT_S)
        return time.monotonic() - since

    def _wait_settled(self, since):
        state = self.world.state(self.streams)
        deadline = time.monotonic() + HEAL_TIMEOUT_S
        while True:
            self.traffic.check()
            waiting, latest = [], since
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


def workloads_of(hosts):
    return {name for name, host in HOST_OF.items() if host in hosts}


def is_egress(rule):
    return rule["src_addresses"][0].get("security_group") == "local"


def told(seed, when, wrong):
    return "\n".join((f"seed {seed}, {when}: {len(wrong)} packets went wrong", *wrong[:20]))


@pytest.fixture(scope="module")
def running(lab_of, tmp_path_factory):
    """The lab, and its workloads' addresses."""
    workloads = "".join(
        f'  - {{name: {name}, host: {host}, port: "default-domain:{name.replace("-", ":")}"}}\n'
        for name, host in HOST_OF.items()
    )
    file = tmp_path_factory.mktemp("chaos") / "chaos.yaml"
    file.write_text(TOPOLOGY.format(", ".join(HOSTS)) + workloads)
    with lab_of(EXAMPLE, "stc", topology=file) as lab:
        members = check.members(lab)
        yield lab, {name: members[name].address(version=4) for name in HOST_OF}


@pytest.mark.parametrize("seed", seeds())
def test_nothing_is_delivered_wrongly_and_everything_heals(running, seed):
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
        time.sleep(2 * PACKET_LATE_S)
        wrong = chaos.faults_seen()
        assert not wrong, told(seed, "at the end", wrong)
        assert chaos.world == World()
