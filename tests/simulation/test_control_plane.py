"""The whole control plane in one process: two control nodes, several agents, virtual time.

Real parts: the XMPP server with its sessions and bytes, the plane, the watch's event handling, and
on the other side the agent's session core. Simulated: TCP (delay, splits, cuts, half-open
connections, partitions), the API's watch (lag), restarts of agents and control nodes.

After the faults end everything must converge to what a slow, obvious oracle says from the intent
alone; at every moment no table may hold a route its network was never allowed to import.

A failing seed is in the test's name: ``pytest tests/simulation -k "seed-17"``. More seeds:
``SKYTRAIL_SIM_SEEDS=200 pytest tests/simulation``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_network

import pytest

from skytrail.agent.control_sessions import ControlSessions
from skytrail.client import ObjectDelete, ObjectPut, RevisionEnd, SnapshotBegin, SnapshotEnd
from skytrail.control.io.watch import ConfigWatch
from skytrail.control.io.xmpp import AgentConnection, XmppServer
from skytrail.control.plane import ControlPlane, Limits
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import encode_object
from skytrail.net import Label
from skytrail.testing.control_plane import (
    SYSTEM,
    build,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.testing.sim_network import Pipe, SimNetwork
from skytrail.wire.xmpp import (
    Connected,
    Deliver,
    Disconnected,
    Established,
    Family,
    ItemsEvent,
    Message,
    NextHop,
    Received,
    Route,
    RouteAttributes,
    RouteKey,
    Send,
    Session,
    Tick,
    Write,
    client_settings,
)

SEEDS = range(int(os.environ.get("SKYTRAIL_SIM_SEEDS", "12")))
HOLD_TIME_S = 30.0
LATENCY_S = 0.02
CHAOS_S = 240.0
CALM_S = 150.0
HOSTS = ("h0", "h1", "h2", "h3")
CONTROLS = ("c0", "c1")
NETWORKS = ("red", "blue", "green")
LIMITS = Limits(restart_time_s=60.0, deferral_time_s=20.0)

View = dict[str, frozenset[tuple[str, int]]]
"""Prefix text to the (next-hop address, label) pairs in use."""


class FakeTransport:
    """What ``AgentConnection`` uses of a transport, writing into a pipe."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._is_closing = False

    def write(self, chunk: bytes) -> None:
        self._link.to_agent.send(chunk)

    def writelines(self, chunks: list[bytes]) -> None:
        self._link.to_agent.send(b"".join(chunks))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._link.closed_by_server()

    abort = close

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> object:
        return None


class SimServer(XmppServer):
    """The real server; only its flush timer runs on virtual time."""

    def __init__(self, plane: ControlPlane, network: SimNetwork) -> None:
        super().__init__(plane, network, HOLD_TIME_S)
        self._network = network
        self._is_flush_due = False

    def schedule_flush(self) -> None:
        if not self._is_flush_due:
            self._is_flush_due = True
            self._network.after(0.002, self._flush_now)

    def _flush_now(self) -> None:
        self._is_flush_due = False
        self._flush()


class Control:
    """One control node; a restart replaces all its state."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.is_up = False
        self.server: SimServer
        self.watch: ConfigWatch
        self.links: set[Link] = set()
        self._life = 0
        self.start()

    @property
    def plane(self) -> ControlPlane:
        return self.server.plane

    def start(self) -> None:
        network = self.world.network
        self._life += 1
        life = self._life
        self.server = SimServer(ControlPlane(LIMITS), network)
        self.watch = ConfigWatch(self.server.plane, network, self.server.schedule_flush)
        self.is_up = True
        self.server.log = SilentLog()

        def tick() -> None:
            if self.is_up and self._life == life:
                self.server.tick()
                network.after(0.25, tick)

        network.after(0.25, tick)
        lag = network.rng.uniform(0.1, 3.0)
        network.after(lag, lambda: self._snapshot(life))

    def stop(self) -> None:
        """Die at once: connections reset, nothing said."""
        self.is_up = False
        for link in list(self.links):
            link.cut(both=True)

    def feed(self, events: list[ObjectPut | ObjectDelete | RevisionEnd]) -> None:
        """Changes reach each node after its own lag, in order."""
        life = self._life

        def take() -> None:
            # Before its snapshot a node has no watch; the snapshot will hold the change.
            if self.is_up and self._life == life and self.plane.is_config_complete:
                for event in events:
                    self.watch.take(event)

        self.world.network.after(self.world.watch_lag_s, take)

    def _snapshot(self, life: int) -> None:
        if self._life != life or not self.is_up:
            return
        revision = self.world.revision
        self.watch.take(SnapshotBegin(revision))
        for config_object in self.world.objects.values():
            self.watch.take(put_event(config_object, revision))
        self.watch.take(SnapshotEnd(revision))


class SilentLog:
    """Stands in for structlog; a session that fails on an exception fails the test."""

    def info(self, *_: object, **__: object) -> None: ...

    warning = info

    def exception(self, event: str, **_: object) -> None:
        raise AssertionError(event)


class Link:
    """One TCP connection between an agent and a control node."""

    def __init__(self, agent: Agent, control: Control) -> None:
        network = agent.world.network
        self.agent, self.control = agent, control
        self.network = network
        self.session = Session(client_settings(agent.name, hold_time_s=HOLD_TIME_S))
        self.to_agent = Pipe(network, self._agent_receives, LATENCY_S)
        self.to_control = Pipe(network, self._control_receives, LATENCY_S)
        self.connection = AgentConnection(control.server)
        self._server_knows = True
        self._agent_knows = True
        control.links.add(self)
        self.connection.connection_made(FakeTransport(self))  # type: ignore[arg-type]
        self.step(Connected())

    def step(self, event: Connected | Received | Send | Tick | Disconnected) -> None:
        for action in self.session.step(event, self.network.now()):
            match action:
                case Write(chunk):
                    self.to_control.send(chunk)
                case Established():
                    self.agent.established(self)
                case Deliver(message):
                    self.agent.received(self, message)
                case _:
                    self.agent.lost(self)
                    self._tell_server_after(LATENCY_S)

    def _agent_receives(self, chunk: bytes) -> None:
        self.step(Received(chunk))

    def _control_receives(self, chunk: bytes) -> None:
        if self._server_knows:
            self.connection.data_received(chunk)

    def closed_by_server(self) -> None:
        self._tell_server_after(0.0)
        self.network.after(LATENCY_S, lambda: self.step(Disconnected()))

    def cut(self, *, both: bool) -> None:
        """Break the connection. Without ``both`` the control node only finds out by its timer."""
        self.to_agent.is_cut = self.to_control.is_cut = True
        self.network.after(0.001, lambda: self.step(Disconnected()))
        if both:
            self._tell_server_after(self.network.rng.uniform(0.0, 2.0))

    def black_hole(self) -> None:
        """Nothing gets through any more and nobody is told: both hold timers must find out."""
        self.to_agent.is_cut = self.to_control.is_cut = True

    def _tell_server_after(self, delay_s: float) -> None:
        def tell() -> None:
            if self._server_knows:
                self._server_knows = False
                self.control.links.discard(self)
                self.connection.connection_lost(None)

        self.network.after(delay_s, tell)


class Agent:
    """A host: its intent (what runs there), the agent's real session core, its connections."""

    def __init__(self, name: str, number: int, world: World) -> None:
        self.name, self.world = name, world
        self.address = IPv4Address(f"172.16.0.{number + 1}")
        self.intent: dict[tuple[str, RouteKey], Route] = {}
        self.vrfs: dict[str, int] = {}
        self.blocked_until: dict[str, float] = {}
        self.links: dict[str, Link] = {}
        self.core = ControlSessions(name)
        world.network.every(0.5, self._tick)

    def restart(self) -> None:
        """Forget everything learnt; the intent (pinned ports) stays."""
        for link in list(self.links.values()):
            link.cut(both=self.world.network.rng.random() < 0.5)
        self.links = {}
        self.core = ControlSessions(self.name)

    def established(self, link: Link) -> None:
        if self.links.get(link.control.name) is link:
            self._send(self.core.established(link.control.name, self.world.network.now()))
            self.synchronise()

    def received(self, link: Link, message: Message) -> None:
        if self.links.get(link.control.name) is link:
            self.world.check_isolation(message)
            self.core.received(link.control.name, message, self.world.network.now())
            self.synchronise()

    def lost(self, link: Link) -> None:
        if self.links.get(link.control.name) is link:
            del self.links[link.control.name]
            self._send(self.core.lost(link.control.name, self.world.network.now()))

    def synchronise(self) -> None:
        self._send(self.core.synchronise(self.vrfs, self.intent))  # type: ignore[arg-type]

    def view(self, instance: str) -> View:
        return {
            str(learnt.key): frozenset(
                (str(hop.address), int(hop.label)) for hop in learnt.next_hops
            )
            for learnt in self.core.learnt.best(instance, Family.INET)
        }

    def _send(self, outgoing: list[tuple[str, Message]]) -> None:
        for source, message in outgoing:
            link = self.links.get(source)
            if link is not None:
                link.step(Send(message))

    def _tick(self) -> None:
        now = self.world.network.now()
        for name, control in self.world.controls.items():
            link = self.links.get(name)
            if link is not None:
                if now >= link.session.next_deadline():
                    link.step(Tick())
            elif control.is_up and now >= self.blocked_until.get(name, 0.0):
                self.links[name] = Link(self, control)
        self.core.tick(now)
        self.synchronise()


@dataclass
class Workload:
    network: str
    prefix: str
    host: str
    sequence: int = 0


@dataclass
class World:
    """The intent (workloads, connections between networks) and everything that carries it."""

    seed: int
    network: SimNetwork = field(init=False)
    objects: dict[str, ConfigObject] = field(default_factory=dict)
    revision: int = 0
    watch_lag_s: float = 0.05
    workloads: dict[str, Workload] = field(default_factory=dict)
    connections: set[tuple[str, str]] = field(default_factory=set)
    present: set[str] = field(default_factory=lambda: set(NETWORKS))
    ever_allowed: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.network = SimNetwork(self.seed)
        self._labels = 16
        self._numbers = 0
        self.commit(
            build("global-system-config", [SYSTEM]),
            build("project", ["default-domain", "p"], parent="domain"),
            *(build("virtual-network", ["default-domain", "p", n], parent="project") for n in NETWORKS),
            *(self._instance(name) for name in NETWORKS),
            *(virtual_router(host) for host in HOSTS),
        )  # fmt: skip
        self.controls: dict[str, Control] = {}
        for name in CONTROLS:
            self.controls[name] = Control(name, self)
        self.agents = {host: Agent(host, number, self) for number, host in enumerate(HOSTS)}

    def run(self, seconds: float) -> None:
        self.network.run_until(self.network.now() + seconds)

    # Configuration.

    def commit(self, *objects: ConfigObject, gone: tuple[ConfigObject, ...] = ()) -> None:
        self.revision += 1
        events: list[ObjectPut | ObjectDelete | RevisionEnd] = []
        for config_object in objects:
            self.objects[config_object.uuid] = config_object
            events.append(put_event(config_object, self.revision))
        for config_object in gone:
            del self.objects[config_object.uuid]
            events.append(
                ObjectDelete(
                    config_object.type_name,
                    config_object.uuid,
                    config_object.fq_name,
                    self.revision,
                )
            )
        events.append(RevisionEnd(self.revision))
        self.note_allowed()
        for control in getattr(self, "controls", {}).values():
            control.feed(events)

    def _instance(self, name: str) -> ConfigObject:
        others = sorted(other for one, other in self.connections if one == name)
        return routing_instance(name, both=[1 + NETWORKS.index(name)], connected=others)

    def toggle_connection(self, one: str, other: str) -> None:
        self.connections ^= {(one, other)}
        if one in self.present:
            self.commit(self._instance(one))

    def toggle_network(self, name: str) -> None:
        self.present ^= {name}
        if name in self.present:
            self.commit(self._instance(name))
        else:
            self.commit(gone=(self._instance(name),))

    def note_allowed(self) -> None:
        for one, other in self.connections:
            self.ever_allowed |= {(one, other), (other, one)}

    # Workloads.

    def add_workload(self, name: str, workload: Workload) -> None:
        self.workloads[name] = workload
        self._install(name)

    def remove_workload(self, name: str) -> None:
        workload = self.workloads.pop(name)
        self._uninstall(workload)
        self._update_router(workload.host)

    def move_workload(self, name: str, host: str) -> None:
        workload = self.workloads[name]
        before = workload.host
        self._uninstall(workload)
        workload.host, workload.sequence = host, workload.sequence + 1
        self._install(name)
        self._update_router(before)

    def _install(self, name: str) -> None:
        workload = self.workloads[name]
        agent = self.agents[workload.host]
        instance = instance_of(workload.network)
        self._labels += 1
        hop = NextHop(agent.address, Label(self._labels), encapsulations=("udp",))
        attributes = RouteAttributes(local_preference=200, sequence_number=workload.sequence)
        key = ip_network(workload.prefix)
        agent.intent[instance, key] = Route(key, (hop,), attributes)
        if instance not in agent.vrfs:
            self._numbers += 1
            agent.vrfs[instance] = self._numbers
        self.commit(
            build("virtual-machine", [name]),
            build(
                "virtual-machine-interface",
                ["default-domain", "p", f"port-{name}"],
                parent="project",
                refs=[
                    ("virtual-machine", [name], None),
                    ("virtual-network", ["default-domain", "p", workload.network], None),
                ],
            ),
        )
        self._update_router(workload.host)
        agent.synchronise()

    def _uninstall(self, workload: Workload) -> None:
        agent = self.agents[workload.host]
        instance = instance_of(workload.network)
        del agent.intent[instance, ip_network(workload.prefix)]
        if not any(key[0] == instance for key in agent.intent):
            del agent.vrfs[instance]
        agent.synchronise()

    def _update_router(self, host: str) -> None:
        machines = sorted(name for name, w in self.workloads.items() if w.host == host)
        self.commit(virtual_router(host, machines))

    # Judging.

    def check_isolation(self, message: Message) -> None:
        """No table ever holds a route of a network that was never connected to its own."""
        if isinstance(message, ItemsEvent):
            own = message.instance.split(":")[2]
            for route in message.routes:
                for hop in route.next_hops:
                    origin = hop.virtual_network.rpartition(":")[2]
                    assert origin == own or (origin, own) in self.ever_allowed

    def oracle(self, host: str, name: str) -> View:
        """Who must be reachable from ``host`` in network ``name``, by looking at everything."""
        if name not in self.present:
            return {}
        offers: dict[str, list[tuple[tuple[int, int], str, tuple[str, int]]]] = {}
        for agent in self.agents.values():
            for (instance, key), route in agent.intent.items():
                origin = instance.split(":")[2]
                if origin in self.present and (origin == name or self._connected(origin, name)):
                    rank = (-route.attributes.sequence_number, origin != name)
                    hop = route.next_hops[0]
                    offers.setdefault(str(key), []).append(
                        (rank, agent.name, (str(hop.address), int(hop.label)))
                    )
        view: View = {}
        for prefix, candidates in offers.items():
            best = min(rank for rank, _, _ in candidates)
            winners = [(who, hop) for rank, who, hop in candidates if rank == best]
            # An agent needs no telling of its own routes, except in another network's table.
            if any(who != host for who, _ in winners) or best[1]:
                view[prefix] = frozenset(hop for _, hop in winners)
        return view

    def _connected(self, one: str, other: str) -> bool:
        # A connection counts while the instance that holds the reference exists.
        return (one, other) in self.connections or (other, one) in self.connections

    def check_converged(self) -> None:
        for host, agent in self.agents.items():
            for instance in agent.vrfs:
                name = instance.split(":")[2]
                assert agent.view(instance) == self.oracle(host, name), (host, name)
            wanted = {f"port-{name}" for name, w in self.workloads.items() if w.host == host}
            seen = {
                node.key.name.rpartition(":")[2]
                for node in agent.core.graph.nodes("virtual-machine-interface")
            }
            assert seen == wanted, host
        for control in self.controls.values():
            for peer in control.plane.peers.values():
                assert peer.is_up
                assert peer.stale_count == 0
                assert peer.end_of_rib_sent


def put_event(config_object: ConfigObject, revision: int) -> ObjectPut:
    return ObjectPut(
        config_object.type_name, config_object.uuid, revision, encode_object(config_object)
    )


def populated(seed: int, count: int = 8) -> World:
    world = World(seed)
    for number in range(count):
        network = NETWORKS[number % len(NETWORKS)]
        host = HOSTS[number % len(HOSTS)]
        # Every network uses the same subnet.
        world.add_workload(f"w{number}", Workload(network, f"10.1.1.{number // 3 + 3}/32", host))
    return world


Fault = Callable[[World], None]


def _some_workload(world: World) -> str | None:
    names = sorted(world.workloads)
    return world.network.rng.choice(names) if names else None


def fault_move(world: World) -> None:
    name = _some_workload(world)
    if name is not None:
        world.move_workload(name, world.network.rng.choice(HOSTS))


def fault_remove(world: World) -> None:
    name = _some_workload(world)
    if name is not None:
        world.remove_workload(name)


def fault_add(world: World) -> None:
    rng = world.network.rng
    name = f"x{world.revision}"
    prefix = f"10.1.1.{rng.randrange(100, 110)}/32"
    workload = Workload(rng.choice(NETWORKS), prefix, rng.choice(HOSTS))
    # The same prefix on two hosts is an anycast service; twice on one host is a mistake.
    for other in world.workloads.values():
        if (other.network, other.prefix) == (workload.network, prefix):
            if other.host == workload.host:
                return
            workload.sequence = max(workload.sequence, other.sequence)
    world.add_workload(name, workload)


def fault_connect(world: World) -> None:
    one, other = world.network.rng.sample(NETWORKS, 2)
    world.toggle_connection(one, other)


def fault_network(world: World) -> None:
    world.toggle_network(world.network.rng.choice(NETWORKS))


def _some_link(world: World) -> Link | None:
    links = [link for agent in world.agents.values() for link in agent.links.values()]
    return world.network.rng.choice(links) if links else None


def fault_cut(world: World) -> None:
    link = _some_link(world)
    if link is not None:
        link.cut(both=world.network.rng.random() < 0.5)


def fault_black_hole(world: World) -> None:
    link = _some_link(world)
    if link is not None:
        link.black_hole()


def fault_partition(world: World) -> None:
    link = _some_link(world)
    if link is not None:
        until = world.network.now() + world.network.rng.uniform(5.0, 100.0)
        link.agent.blocked_until[link.control.name] = until
        link.black_hole()


def fault_restart_agent(world: World) -> None:
    world.agents[world.network.rng.choice(HOSTS)].restart()


def fault_restart_control(world: World) -> None:
    control = world.controls[world.network.rng.choice(CONTROLS)]
    if control.is_up:
        control.stop()
        world.network.after(world.network.rng.uniform(0.5, 40.0), control.start)


FAULTS: tuple[Fault, ...] = (
    fault_move, fault_move, fault_add, fault_add, fault_remove, fault_connect, fault_network,
    fault_cut, fault_cut, fault_black_hole, fault_partition, fault_restart_agent,
    fault_restart_control,
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_control_plane_converges_to_the_oracle_after_faults(seed: int) -> None:
    print(f"seed {seed}")
    world = populated(seed)
    world.run(10)
    end = world.network.now() + CHAOS_S

    while world.network.now() < end:
        world.run(world.network.rng.expovariate(1 / 4.0))
        world.network.rng.choice(FAULTS)(world)
    for name in sorted(set(NETWORKS) - world.present):
        world.toggle_network(name)
    world.run(CALM_S)

    world.check_converged()


def all_views(world: World) -> dict[tuple[str, str], View]:
    return {
        (host, instance): agent.view(instance)
        for host, agent in world.agents.items()
        for instance in agent.vrfs
    }


def test_quiet_network_converges_within_seconds() -> None:
    world = populated(1)
    world.toggle_connection("red", "blue")
    world.run(10)

    world.check_converged()


@pytest.mark.parametrize("victims", [("c0",), ("c0", "c1")])
def test_restart_of_control_nodes_loses_no_route_at_any_moment(victims: tuple[str, ...]) -> None:
    world = populated(2)
    world.run(30)
    before = all_views(world)
    assert any(before.values())
    for name in victims:
        world.controls[name].stop()
    world.run(20)
    for name in victims:
        world.controls[name].start()

    for _ in range(600):
        world.run(0.2)
        assert all_views(world) == before


def test_agent_back_within_the_restart_time_changes_nothing_for_others() -> None:
    world = populated(3)
    world.run(30)
    before = {key: view for key, view in all_views(world).items() if key[0] != "h0"}
    world.agents["h0"].restart()
    for name in CONTROLS:
        world.agents["h0"].blocked_until[name] = world.network.now() + 50

    for _ in range(600):
        world.run(0.2)
        assert {key: view for key, view in all_views(world).items() if key[0] != "h0"} == before


def test_agent_that_stays_away_is_withdrawn_after_the_restart_time() -> None:
    world = populated(4)
    world.run(30)
    gone = world.agents["h0"]
    gone.restart()
    for name in CONTROLS:
        gone.blocked_until[name] = world.network.now() + 1000
    lost = {str(hop.address) for route in gone.intent.values() for hop in route.next_hops}

    # The hold time finds half-open connections, then the restart time passes.
    world.run(HOLD_TIME_S + LIMITS.restart_time_s + 5)

    for (host, _), view in all_views(world).items():
        if host != "h0":
            assert not {address for hops in view.values() for address, _ in hops} & lost


def test_equal_seeds_give_equal_runs() -> None:
    first, second = populated(5), populated(5)
    for world in (first, second):
        world.run(5)
        fault_restart_control(world)
        world.run(20)

    assert all_views(first) == all_views(second)
    assert first.network.rng.random() == second.network.rng.random()


def test_withdrawn_workload_is_gone_everywhere() -> None:
    world = populated(6)
    world.run(20)
    key: IPv4Network = IPv4Network(world.workloads["w0"].prefix)
    world.remove_workload("w0")

    world.run(5)

    world.check_converged()
    for agent in world.agents.values():
        assert (instance_of("red"), key) not in agent.intent
