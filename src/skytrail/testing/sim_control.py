"""The control plane in one process for simulations: control nodes, agents, virtual time.

Real parts: the XMPP and BGP servers with their sessions and bytes, the plane, the watch's event
handling, and on the other side the agent's session core. Simulated: TCP (delay, splits, cuts,
half-open connections, partitions), the API's watch (lag), restarts of agents and control nodes.

``World`` holds the intent; ``World.oracle`` says from it alone, slowly and obviously, what each host
must know in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

from skytrail.agent.control_sessions import ControlSessions
from skytrail.client import ObjectDelete, ObjectPut, RevisionEnd, SnapshotBegin, SnapshotEnd
from skytrail.control.bgp_config import BgpPeerConfig, Speaker
from skytrail.control.io.bgp import BgpConnection, BgpServer, PeerLink, Plane
from skytrail.control.io.watch import ConfigWatch
from skytrail.control.io.xmpp import AgentConnection, XmppServer
from skytrail.control.limits import Limits
from skytrail.control.plane import ControlPlane
from skytrail.control.tree_shape import parents_of
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import encode_object
from skytrail.net import IpAddress, Label
from skytrail.testing.control_plane import (
    SYSTEM,
    bgp_router,
    build,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.testing.sim_network import Pipe, SimNetwork
from skytrail.wire.bgp import session_events as bgp_events
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    Connected,
    Deliver,
    Disconnected,
    Established,
    Family,
    ItemsEvent,
    JoinTree,
    Message,
    NextHop,
    Received,
    Route,
    RouteAttributes,
    RouteKey,
    Send,
    Session,
    Tick,
    TreeBranch,
    TreeKey,
    Write,
    client_settings,
)

HOLD_TIME_S = 30.0
LATENCY_S = 0.02
HOSTS = ("h0", "h1", "h2", "h3")
CONTROLS = ("c0", "c1")
BOTH: Mapping[str, tuple[str, ...]] = dict.fromkeys(HOSTS, CONTROLS)
"""Each host talks to both control nodes, which then have nothing to tell each other."""
APART: Mapping[str, tuple[str, ...]] = {"h0": ("c0",), "h1": ("c0",), "h2": ("c1",), "h3": ("c1",)}
"""Each host talks to one, so that routes cross by BGP."""
BGP_ADDRESSES = {"c0": "10.0.0.1", "c1": "10.0.0.2"}
NETWORKS = ("red", "blue", "green")
LIMITS = Limits(restart_time_s=60.0, deferral_time_s=20.0)
LARGE_SHARE = 0.5
"""Of control nodes that put off nearly all of what looks at many routes."""

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

    def call_soon(self, action: Callable[[], None]) -> None:
        self._network.after(0.0, action)

    def _flush_now(self) -> None:
        self._is_flush_due = False
        self._flush()


class SimBgpServer(BgpServer):
    """The real server; connections are pipes, and its turns run on virtual time."""

    def __init__(self, owner: Control, schedule_flush: Callable[[], None]) -> None:
        network = owner.world.network
        super().__init__(
            owner.plane.bgp, network, schedule_flush, restart_time_s=LIMITS.restart_time_s
        )
        self.owner = owner
        self.log = SilentLog()

    def call_soon(self, action: Callable[[], None]) -> None:
        self.owner.world.network.after(0.0, action)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.owner.world.network.after(delay_s, action)

    def jitter(self) -> float:
        return self.owner.world.network.rng.uniform(0.75, 1.0)

    def make_link(self, speaker: Speaker, config: BgpPeerConfig, plane: Plane) -> PeerLink:
        return SimPeerLink(self, speaker, config, plane)


class SimPeerLink(PeerLink):
    """The real link; it dials through the simulated network."""

    def dial(self, number: int) -> None:
        server = self.server
        assert isinstance(server, SimBgpServer)
        server.owner.world.dial(server.owner, self, number)


class BgpWire:
    """One TCP connection between two control nodes; each end is a real ``BgpConnection``."""

    def __init__(self, dialler: Control, link: PeerLink, number: int, other: Control) -> None:
        network = dialler.world.network
        self.network = network
        self.controls = (dialler, other)
        self.ends = tuple(BgpConnection(each.bgp) for each in self.controls)
        self.pipes = tuple(Pipe(network, self._receiver(place), LATENCY_S) for place in range(2))
        self._knows = [True, True]
        link.connected(number, self.ends[0])
        for place, other_place in ((0, 1), (1, 0)):
            address = BGP_ADDRESSES[self.controls[other_place].name]
            transport = WireTransport(self, place, address)
            self.ends[place].connection_made(transport)  # type: ignore[arg-type]
        if self._knows[0]:
            link.step(bgp_events.Connected(number))

    def _receiver(self, place: int) -> Callable[[bytes], None]:
        def receive(chunk: bytes) -> None:
            if self._knows[place]:
                self.ends[place].data_received(chunk)

        return receive

    def closed_by(self, place: int) -> None:
        self._tell(place, 0.0)
        self._tell(1 - place, LATENCY_S * 3)

    def cut(self, *, both: bool) -> None:
        """Break the connection. Without ``both`` one end only finds out by its timer."""
        self.black_hole()
        self._tell(0, 0.001)
        if both:
            self._tell(1, self.network.rng.uniform(0.0, 2.0))

    def black_hole(self) -> None:
        for pipe in self.pipes:
            pipe.is_cut = True

    def _tell(self, place: int, delay_s: float) -> None:
        def tell() -> None:
            if self._knows[place]:
                self._knows[place] = False
                self.controls[place].wires.pop(self, None)
                self.ends[place].connection_lost(None)

        self.network.after(delay_s, tell)


class WireTransport:
    """What ``BgpConnection`` uses of a transport."""

    def __init__(self, wire: BgpWire, place: int, peer_address: str) -> None:
        self._wire, self._place, self._peer_address = wire, place, peer_address
        self._is_closing = False

    def writelines(self, chunks: list[bytes]) -> None:
        # What this end writes arrives at the other one.
        self._wire.pipes[1 - self._place].send(b"".join(chunks))

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._wire.closed_by(self._place)

    abort = close
    # The other end ends its side as soon as it hears of it.
    write_eof = close

    def set_write_buffer_limits(self, high: int) -> None: ...

    def pause_reading(self) -> None: ...

    resume_reading = pause_reading

    def get_extra_info(self, name: str) -> object:
        return (self._peer_address, 179) if name == "peername" else None


class Control:
    """One control node; a restart replaces all its state."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.world = world
        self.is_up = False
        self.plane: ControlPlane
        self.server: SimServer
        self.watch: ConfigWatch
        self.links: dict[Link, None] = {}
        self.bgp: SimBgpServer
        self.wires: dict[BgpWire, None] = {}
        self._life = 0
        self.start()

    def start(self) -> None:
        network = self.world.network
        self._life += 1
        life = self._life
        self.plane = ControlPlane(LIMITS, self.name)
        self.server = SimServer(self.plane, network)
        self.bgp = SimBgpServer(self, self.server.schedule_flush)
        self.server.on_flush = self.bgp.flush
        self.watch = ConfigWatch(self.plane, network, self.server.schedule_flush)
        self.is_up = True
        self.server.log = SilentLog()
        if network.rng.random() < LARGE_SHARE:
            # As if tables were so large that next to nothing of them is looked at in one go.
            self.plane.replicator.chores.at_once = 1

        def tick() -> None:
            if self.is_up and self._life == life:
                self.server.tick()
                self.bgp.tick()
                network.after(0.25, tick)

        network.after(0.25, tick)
        lag = network.rng.uniform(0.1, 3.0)
        network.after(lag, lambda: self._snapshot(life))

    def stop(self) -> None:
        """Die at once: connections reset, nothing said."""
        self.is_up = False
        for link in list(self.links):
            link.cut(both=True)
        for wire in list(self.wires):
            wire.cut(both=True)

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
        control.links[self] = None
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
                self.control.links.pop(self, None)
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
        published = {**self.intent, **dict(self._joins())}
        self._send(self.core.synchronise(self.vrfs, published))  # type: ignore[arg-type]

    def _joins(self) -> Iterator[tuple[tuple[str, TreeKey], JoinTree]]:
        """Yield what makes the host a member of the tree of each of its networks."""
        for instance, number in self.vrfs.items():
            label = Label(100_000 + number)
            yield (
                (instance, BROADCAST_TREE),
                JoinTree(instance, BROADCAST_TREE, self.address, label, label, ("udp",)),
            )

    def branch(self, instance: str) -> TreeBranch | None:
        """Return the host's part of a network's tree, as it would forward by now."""
        branch = self.core.learnt.branches.best(instance, BROADCAST_TREE)
        if branch is None or branch.label != 100_000 + self.vrfs.get(instance, 0):
            return None
        return branch

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
        for name in self.world.homes[self.name]:
            control, link = self.world.controls[name], self.links.get(name)
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
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: BOTH)
    """The control nodes each host talks to."""
    network: SimNetwork = field(init=False)
    objects: dict[str, ConfigObject] = field(default_factory=dict)
    revision: int = 0
    watch_lag_s: float = 0.05
    workloads: dict[str, Workload] = field(default_factory=dict)
    connections: set[tuple[str, str]] = field(default_factory=set)
    present: set[str] = field(default_factory=lambda: set(NETWORKS))
    bgp_blocked_until: float = 0.0
    ever_allowed: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.network = SimNetwork(self.seed)
        self._labels = 16
        self._numbers = 0
        self.commit(
            build("global-system-config", [SYSTEM]),
            build("project", ["default-domain", "p"], parent="domain"),
            *(virtual_network(name) for name in NETWORKS),
            *(self._instance(name) for name in NETWORKS),
            *(virtual_router(host) for host in HOSTS),
            bgp_router(
                "c0", BGP_ADDRESSES["c0"], peers=[("c1", {"hold_time": int(HOLD_TIME_S)})],
                router_type="control-node",
            ),
            bgp_router("c1", BGP_ADDRESSES["c1"], router_type="control-node"),
        )  # fmt: skip
        self.controls: dict[str, Control] = {}
        for name in CONTROLS:
            self.controls[name] = Control(name, self)
        self.agents = {host: Agent(host, number, self) for number, host in enumerate(HOSTS)}

    def dial(self, dialler: Control, link: PeerLink, number: int) -> None:
        """Connect two control nodes by BGP, or tell the one who dials that it cannot be."""
        address = str(link.config.address)
        other = next(c for c in self.controls.values() if BGP_ADDRESSES[c.name] == address)

        def arrive() -> None:
            if not dialler.is_up or dialler.bgp is not link.server:
                return
            if not other.is_up or self.network.now() < self.bgp_blocked_until:
                link.step(bgp_events.ConnectFailed(number, "unreachable"))
                return
            wire = BgpWire(dialler, link, number, other)
            dialler.wires[wire] = None
            other.wires[wire] = None

        self.network.after(LATENCY_S, arrive)

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

    def flooded(self, sender: Agent, instance: str) -> list[IPv4Address]:
        """Send one copy by the tree as hosts know it now; return who gets it, once for each copy.

        A copy is forwarded by the label it comes with, if it comes from a neighbour.
        """
        by_address: dict[IpAddress, Agent] = {
            agent.address: agent for agent in self.agents.values()
        }
        got: list[IPv4Address] = []
        waiting: list[tuple[IPv4Address | None, Agent]] = [(None, sender)]
        while waiting and len(got) < 4 * len(HOSTS):
            source, agent = waiting.pop()
            got.append(agent.address)
            branch = agent.branch(instance)
            for edge in branch.edges if branch is not None else ():
                other = by_address[edge.address]
                theirs = other.branch(instance)
                if edge.address == source or theirs is None or theirs.label != edge.label:
                    continue
                if any(back.address == agent.address for back in theirs.edges):
                    waiting.append((agent.address, other))
        return got

    def check_no_copy_arrives_twice(self) -> None:
        """Hold at every moment, whatever hosts were told and when."""
        for agent in self.agents.values():
            for instance in agent.vrfs:
                got = self.flooded(agent, instance)
                assert len(got) == len(set(got)), (agent.name, instance)

    def check_trees_converged(self) -> None:
        for name in NETWORKS:
            instance = instance_of(name)
            members = [agent for agent in self.agents.values() if instance in agent.vrfs]
            addresses = {agent.address for agent in members}
            for agent in members if name in self.present else ():
                assert set(self.flooded(agent, instance)) == addresses, (agent.name, name)
            salt = f"{instance} {BROADCAST_TREE.group} {BROADCAST_TREE.source}".encode()
            parents = parents_of(salt, addresses)
            edges = {*parents.items(), *((parent, child) for child, parent in parents.items())}
            told = {
                (agent.address, edge.address)
                for agent in members
                if (branch := agent.branch(instance)) is not None
                for edge in branch.edges
            }
            assert told == (edges if name in self.present else set()), name

    def check_converged(self) -> None:
        self.check_trees_converged()
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
            for speaker in control.plane.bgp.peers.values():
                assert speaker.is_up
                assert speaker.adj_in.stale_count == 0


def virtual_network(name: str) -> ConfigObject:
    """Return a network with its number, by which BGP names where a route was born."""
    fields: dict[str, object] = {"virtual_network_network_id": 40 + NETWORKS.index(name)}
    return build("virtual-network", ["default-domain", "p", name], parent="project", fields=fields)


def put_event(config_object: ConfigObject, revision: int) -> ObjectPut:
    return ObjectPut(
        config_object.type_name, config_object.uuid, revision, encode_object(config_object)
    )


def populated(seed: int, count: int = 8, *, homes: Mapping[str, tuple[str, ...]] = BOTH) -> World:
    world = World(seed, homes)
    for number in range(count):
        network = NETWORKS[number % len(NETWORKS)]
        host = HOSTS[number % len(HOSTS)]
        # Every network uses the same subnet.
        world.add_workload(f"w{number}", Workload(network, f"10.1.1.{number // 3 + 3}/32", host))
    return world
