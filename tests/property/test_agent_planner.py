"""Whatever happens in whatever order, the incremental desired state is the one from nothing."""

from collections.abc import Sequence
from dataclasses import fields, replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.desired import Planner
from skytrail.agent.fib import JOURNAL_COUNT_MAX, LearntRoutes
from skytrail.agent.inputs import Inputs
from skytrail.agent.interface import WELL, Failing
from skytrail.agent.label import Numbers
from skytrail.agent.membership import Listening
from skytrail.agent.outcome import Desired
from skytrail.agent.port_rows import FABRIC_INSTANCE
from skytrail.agent.tables import Row
from skytrail.net import BROADCAST_MAC, Label, Mac, Vni
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, rule, subnet, uuid_of
from skytrail.testing.fake_datapath import FakeDatapath
from skytrail.wire.xmpp import (
    ConfigDelete,
    ConfigNode,
    ConfigUpdate,
    EndOfConfig,
    EndOfRib,
    EnetKey,
    Family,
    ItemsEvent,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    RouteKey,
    Subscribe,
    Unsubscribe,
    WithdrawRoute,
)

NAMES = ("a", "b", "c", "d")
PROVIDER = "default-domain:default-project:ip-fabric"
VRFS = {
    "red": "default-domain:demo:red:red",
    "blue": "default-domain:demo:blue:blue",
    "fabric": FABRIC_INSTANCE,
}


def whole_world() -> ConfigBuilder:
    """Two networks; b shares an address with a, d can replace c; groups name each other.

    Both may be routed by the underlay, where their addresses meet.
    """
    config = ConfigBuilder()
    subnets = [subnet("10.1.1.0/24"), subnet("fd00:1::/64")]
    red = config.network("red", 5, subnets, igmp_enable=True)
    blue = config.network("blue", 6, [subnet("10.2.2.0/24")])
    provider = config.node("virtual-network", PROVIDER, is_provider_network=True)
    config.link(red, provider)
    config.link(blue, provider)
    a = config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    config.port("b", red, ["10.1.1.3", "10.1.1.4"])
    c = config.port("c", blue, ["10.2.2.3"])
    config.port("d", blue, ["10.2.2.3", "10.2.2.1"])
    allow = [rule({}, {}, protocol="6"), rule({"security_group": "8000002"}, {}, ports=(80, 90))]
    web = config.security_group("web", 8000001, allow, [rule({}, {})])
    database = config.security_group("database", 8000002, [], [rule({}, {}, ethertype="IPv4")])
    config.link(a, web)
    config.link(c, web)
    config.link(c, database)
    config.floating("10.2.2.9", a, blue)
    config.floating("10.2.2.9", c, blue, floating_ip_traffic_direction="egress")
    config.alias("10.1.1.9", c, red)
    config.access_list(blue, "blue", [rule({}, {}, action="deny"), rule({}, {})])
    return config


WORLD = whole_world()
NODES, LINKS = list(WORLD.nodes.values()), list(WORLD.links.values())
MOVED = [
    ConfigNode(node.key, {"instance_ip_address": "10.1.1.9"})
    for node in NODES
    if node.key.type_name == "instance-ip"
]
MODES = [
    replace(
        node,
        properties={**node.properties, "virtual_network_properties": {"forwarding_mode": mode}},
    )
    for node in NODES
    if node.key.name.endswith(":red")
    if node.key.type_name == "virtual-network"
    for mode in ("l2", "l3", "l2_l3")
]
OWN_MAC = Mac(b"\2" + UUID(uuid_of("a")).bytes[:5])
MACS = [Mac(b"\2\0\0\0\0\7"), OWN_MAC]
INET_KEYS = [ip_network(f"10.1.1.{last}") for last in (1, 3, 9)] + [ip_network("10.2.0.0/16")]
INET6_KEYS = [ip_network("fd00:1::3"), ip_network("fd00:9::/64")]
ENET_KEYS = [
    *(EnetKey(mac, key) for mac in MACS for key in (None, INET_KEYS[1], INET_KEYS[2])),
    *(EnetKey(BROADCAST_MAC, ip_network(f"192.0.2.{last}")) for last in (1, 2, 3)),
    *(
        EnetKey(BROADCAST_MAC, ip_network(f"192.0.2.{last}"), 0, ip_address("239.1.1.1"), source)
        for last in (1, 2)
        for source in (None, ip_address("10.1.1.3"))
    ),
]
LISTENINGS = st.dictionaries(
    st.sampled_from([ip_address("239.1.1.1"), ip_address("ff05::1")]),
    st.builds(
        Listening,
        takes_all=st.booleans(),
        unwanted=st.sampled_from([frozenset(), frozenset({ip_address("10.1.1.9")})]),
        versions=st.sampled_from([0, 2, 4]),
    ),
)
HOPS = st.builds(
    NextHop,
    address=st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3"]).map(IPv4Address),
    label=st.integers(14, 24).map(Label),
    vni=st.sampled_from([0, 7]).map(Vni),
    mac=st.sampled_from([None, MACS[0]]),
    encapsulations=st.sampled_from([(), ("udp",), ("vxlan",), ("native",), ("native", "udp")]),
    virtual_network=st.sampled_from(["", "default-domain:demo:red"]),
)
ATTRIBUTES = st.builds(
    RouteAttributes,
    local_preference=st.sampled_from([100, 200]),
    sequence_number=st.sampled_from([0, 1]),
    security_groups=st.sampled_from([(), (8000002,)]),
    multicast_flags=st.sampled_from([0, 3, 12]),
)
KEYS = st.sampled_from(
    [
        *((Family.INET, key) for key in INET_KEYS),
        *((Family.INET6, key) for key in INET6_KEYS),
        *((Family.ENET, key) for key in ENET_KEYS),
    ]
)
FAILINGS = [WELL, Failing(("ping",)), Failing((), ((IPv4Address("10.1.1.3"), "bfd"),))]
SOURCES = st.sampled_from(["one", "two"])
INSTANCES = st.sampled_from(sorted(VRFS.values()))
HOPS_OF_ROUTE = st.lists(HOPS, min_size=1, max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("plug"), st.sampled_from(NAMES), st.integers(0, 12)),
    st.tuples(st.just("unplug"), st.sampled_from(NAMES)),
    st.tuples(st.just("health"), st.sampled_from(NAMES), st.sampled_from(FAILINGS)),
    st.tuples(st.just("route"), SOURCES, INSTANCES, KEYS, HOPS_OF_ROUTE, ATTRIBUTES),
    st.tuples(st.just("route"), SOURCES, INSTANCES, KEYS, HOPS_OF_ROUTE, ATTRIBUTES),
    st.tuples(st.just("retract"), SOURCES, INSTANCES, KEYS),
    st.tuples(st.just("put node"), st.sampled_from([*NODES, *MOVED, *MODES])),
    st.tuples(st.just("delete node"), st.sampled_from(NODES)),
    st.tuples(st.just("put link"), st.sampled_from(LINKS)),
    st.tuples(st.just("delete link"), st.sampled_from(LINKS)),
    st.tuples(st.just("resolve"), st.sampled_from(["192.0.2.2", "192.0.2.3"])),
    st.tuples(st.just("unresolve")),
    st.tuples(st.just("listen"), st.sampled_from(NAMES), LISTENINGS),
    st.tuples(st.just("refuse")),
    st.tuples(st.sampled_from(["up", "down", "end of rib", "end of config"]), SOURCES),
    st.tuples(st.just("later"), st.sampled_from([1.0, 11.0, 61.0])),
)


def play(host: AgentHost, step: Any) -> None:
    sessions = host.sessions
    match step:
        case ("plug", name, ifindex):
            host.plug(name, ifindex + 2 if ifindex else 0)
        case ("unplug", name):
            owner = [uuid for uuid, port in host.plugged.items() if port.ifname == f"tap-{name}"]
            for uuid in owner:
                del host.plugged[uuid]
        case ("health", name, reasons):
            host.failing[uuid_of(name)] = reasons
        case ("route", source, instance, (family, key), hops, attributes):
            route = Route(key, tuple(hops), attributes)
            sessions.received(source, ItemsEvent(family, instance, (route,)), host.now)
        case ("retract", source, instance, (family, key)):
            sessions.received(source, ItemsEvent(family, instance, (), (key,)), host.now)
        case ("put node", node):
            sessions.graph.update(ConfigUpdate(nodes=(node,)))
        case ("delete node", node):
            sessions.graph.delete(ConfigDelete(nodes=(node.key,)))
        case ("put link", link):
            sessions.graph.update(ConfigUpdate(links=(link,)))
        case ("delete link", link):
            sessions.graph.delete(ConfigDelete(links=(link,)))
        case ("resolve", remote):
            host.resolve(remote)
        case ("listen", name, groups):
            host.groups[uuid_of(name)] = groups
        case ("unresolve",):
            host.paths.clear()
        case ("refuse",):
            assert isinstance(host.datapath, UnsteadyDatapath)
            host.datapath.refusals += 1
        case ("up", source):
            host.connect(source)
        case ("down", source):
            host.sent += sessions.lost(source, host.now)
        case ("end of rib", source):
            sessions.received(source, EndOfRib(), host.now)
        case ("end of config", source):
            sessions.received(source, EndOfConfig(1), host.now)
        case ("later", seconds):
            host.now += seconds
            sessions.tick(host.now)
        case _:
            raise AssertionError(f"no step: {step}")


class UnsteadyDatapath(FakeDatapath):
    """Refuses the next ``refusals`` writes, after half of each."""

    refusals = 0

    def apply(self, puts: Sequence[Row], deletes: Sequence[Row]) -> None:
        if self.refusals:
            self.refusals -= 1
            super().apply(puts[: len(puts) // 2], ())
            raise OSError("refused")
        super().apply(puts, deletes)


def reconcile(host: AgentHost, *, is_complete: bool) -> None:
    """As the service does: again until the kernel takes it."""
    for _ in range(10):
        try:
            host.reconcile(complete=is_complete)
        except OSError:
            continue
        return
    raise AssertionError("refused ten times")


def from_nothing(host: AgentHost) -> Desired:
    planner = Planner(Numbers())
    planner.numbers.load(host.numbers.save())
    learnt, underlay = host.sessions.learnt, host.underlay()
    return planner.compute(
        Inputs(host.plugged, host.view, learnt, underlay, host.failing, groups=host.groups)
    )


def told(
    sent: Sequence[tuple[str, object]], source: str
) -> tuple[dict[str, int], dict[tuple[str, RouteKey], Route]]:
    """What a control node that heard all this believes of us since its session began."""
    instances: dict[str, int] = {}
    routes: dict[tuple[str, RouteKey], Route] = {}
    for name, message in sent:
        if name != source:
            continue
        match message:
            case Subscribe(instance, number):
                instances[instance] = number
            case Unsubscribe(instance):
                del instances[instance]
            case PublishRoute(instance, route):
                routes[instance, route.key] = route
            case WithdrawRoute(instance, key):
                del routes[instance, key]
            case _:
                pass
    return instances, routes


@settings(max_examples=250, deadline=None)
@given(
    start=st.sampled_from([True, True, False]),
    journal_count_max=st.sampled_from([JOURNAL_COUNT_MAX, JOURNAL_COUNT_MAX, 2]),
    batches=st.lists(
        st.tuples(st.lists(STEPS, min_size=1, max_size=4), st.booleans()), max_size=14
    ),
)
def test_incremental_desired_state_equals_the_one_from_nothing(
    start: bool, journal_count_max: int, batches: list[tuple[list[tuple[str, Any]], bool]]
) -> None:
    host = AgentHost(datapath=UnsteadyDatapath())
    host.sessions.learnt = LearntRoutes(journal_count_max)
    heard_from: dict[str, int] = {}
    if start:
        host.connect("one")
        host.configure(WORLD.update(), "one")
        for index, name in enumerate(NAMES):
            host.plug(name, 10 + index)
        host.reconcile()
        far = (NextHop(IPv4Address("192.0.2.2"), Label(30)),)
        for instance in VRFS.values():
            host.learn(instance, [Route(key, far) for key in [*INET_KEYS, *ENET_KEYS]], "one")
    for steps, is_complete in [([], True), *batches]:
        for step in steps:
            play(host, step)
            if step[0] == "up":
                heard_from[step[1]] = len(host.sent)
        reconcile(host, is_complete=is_complete)
        kept, fresh = host.desired, from_nothing(host)

        for part in fields(kept):
            if part.name != "changes":
                assert getattr(fresh, part.name) == getattr(kept, part.name), part.name
        if is_complete:
            installed = {
                kind: {row.key: row for row in host.datapath.dump(kind)} for kind in kept.rows
            }
            assert installed == kept.rows
        for source in host.sessions._sessions:
            sent = host.sent[heard_from.get(source, 0) :]
            assert told(sent, source) == (dict(kept.vrfs), dict(kept.published))
