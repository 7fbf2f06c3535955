"""What the agent keeps between runs never shows: incremental equals full."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.config import ConfigGraph
from skytrail.agent.desired import Planner
from skytrail.agent.fib import LearntRoutes
from skytrail.agent.inputs import Inputs
from skytrail.agent.label import Numbers
from skytrail.agent.view import IncrementalView, build_view
from skytrail.net import Label
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, rule, subnet, uuid_of
from skytrail.wire.xmpp import (
    ConfigDelete,
    ConfigNode,
    ConfigUpdate,
    Family,
    ItemsEvent,
    NextHop,
    Route,
    RouteAttributes,
)


def whole_world():
    config = ConfigBuilder()
    networks = [
        config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")]),
        config.network("blue", 6, [subnet("10.2.2.0/24")]),
    ]
    ports = [
        config.port("a", networks[0], ["10.1.1.3", "fd00:1::3"]),
        config.port("b", networks[0], ["10.1.1.4"]),
        config.port("c", networks[1], ["10.2.2.3"]),
    ]
    web = config.security_group("web", 8000001, [rule({}, {}, protocol="6")], [rule({}, {})])
    config.link(ports[0], web)
    service_copy(config, ports)
    config.access_list(networks[1], "blue", [rule({}, {}, action="deny"), rule({}, {})])
    dns = config.node("virtual-DNS", "d:dns", virtual_DNS_data={"domain_name": "x.test"})
    record = config.node(
        "virtual-DNS-record",
        "d:dns:r",
        virtual_DNS_record_data={"record_name": "w", "record_type": "A", "record_data": "10.1.1.4"},
    )
    config.link(dns, record)
    tags(config, ports, networks)
    return config


def service_copy(config, ports):
    """Two ports are the sides of one copy, and of one machine."""
    copy = config.node("port-tuple", "d:p:fw:one")
    for side, key in zip(("left", "right"), ports[1:], strict=True):
        sides = {"service_interface_type": side}
        node = config.nodes[key]
        more = {"virtual_machine_interface_properties": sides}
        config.node(key.type_name, key.name, **{**node.properties, **more})
        config.link(key, copy)
    config.link(ports[1], config.node("virtual-machine", uuid_of("vm-c")))


def tags(config, ports, networks):
    """Tags at every level, and a set that an application's ports obey."""
    project = config.node("project", "default-domain:demo")
    for each in (*ports, *networks):
        config.link(project, each)
    named = {
        name: config.node("tag", name, tag_id=f"0x{number:08x}")
        for name, number in (("application=a", 0x10001), ("tier=t", 0x20001), ("label=l", 7))
    }
    config.link(ports[0], named["application=a"])
    config.link(networks[0], named["tier=t"])
    config.link(project, named["label=l"])
    applied = config.node("application-policy-set", "default-domain:demo:s")
    policy = config.node("firewall-policy", "default-domain:demo:p")
    config.link(applied, named["application=a"])
    config.link(applied, policy, {"sequence": "1"})
    group = config.node(
        "service-group",
        "default-domain:demo:g",
        service_group_firewall_service_list={"firewall_service": [{"protocol": "tcp"}]},
    )
    for name, end in (("r1", {"any": True}), ("r2", {"tags": ["tier=t"], "tag_ids": [0x20001]})):
        rule_key = config.node(
            "firewall-rule",
            f"default-domain:demo:{name}",
            action_list={"simple_action": "pass"},
            endpoint_1=end,
            endpoint_2={"any": True},
            direction=">",
        )
        config.link(policy, rule_key, {"sequence": name})
        config.link(rule_key, group)


WORLD = whole_world()
NODES = list(WORLD.nodes.values())
LINKS = list(WORLD.links.values())
CHANGED = [
    ConfigNode(node.key, {**node.properties, "display_name": "other", "mtu": "1300"})
    for node in NODES
]
MOVED = [
    ConfigNode(node.key, {"instance_ip_address": "10.1.1.77"})
    for node in NODES
    if node.key.type_name == "instance-ip"
]
STEPS = st.one_of(
    st.sampled_from([*NODES, *CHANGED, *MOVED]).map(lambda node: ConfigUpdate(nodes=(node,))),
    st.sampled_from(LINKS).map(lambda link: ConfigUpdate(links=(link,))),
    st.sampled_from(NODES).map(lambda node: ConfigDelete(nodes=(node.key,))),
    st.sampled_from(LINKS).map(lambda link: ConfigDelete(links=(link,))),
)


def apply(graph, step):
    if isinstance(step, ConfigUpdate):
        graph.update(step)
    else:
        graph.delete(step)


@settings(max_examples=150, deadline=None)
@given(
    start=st.booleans(),
    batches=st.lists(st.lists(STEPS, min_size=1, max_size=4), max_size=8),
)
def test_incremental_view_equals_full_view(start, batches):
    graph, incremental = ConfigGraph(), IncrementalView()
    if start:
        graph.update(WORLD.update())
    for batch in batches:
        incremental.update(graph)
        for step in batch:
            apply(graph, step)

        assert incremental.update(graph) == build_view(graph)


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=1, max_size=6))
def test_kept_planner_equals_a_fresh_one(batches):
    host = AgentHost()
    for index, name in enumerate(("a", "b", "c")):
        host.plug(name, 10 + index)
    host.sessions.graph.update(WORLD.update())
    for batch in batches:
        for step in batch:
            apply(host.sessions.graph, step)
        kept = host.compute()
        fresh = Planner(Numbers())
        fresh.numbers.load(host.numbers.save())
        underlay = host.underlay()
        inputs = Inputs(host.plugged, host.view, host.sessions.learnt, underlay)
        again = fresh.compute(inputs)

        assert again.rows == kept.rows
        assert again.published == kept.published


SOURCES = st.sampled_from(["one", "two"])
PREFIXES = st.integers(1, 4).map(lambda number: IPv4Network((0x0A000000 + number, 32)))
ROUTES = st.builds(
    lambda prefix, address, preference: Route(
        prefix,
        (NextHop(address=IPv4Address(0xC0000200 + address), label=Label(20)),),
        RouteAttributes(local_preference=preference),
    ),
    PREFIXES,
    st.integers(1, 3),
    st.sampled_from([100, 200]),
)
EVENTS = st.one_of(
    st.tuples(st.just("apply"), SOURCES, ROUTES, st.none()),
    st.tuples(st.just("retract"), SOURCES, st.none(), PREFIXES),
    st.tuples(st.sampled_from(["up", "down", "sweep", "forget", "look"]), SOURCES),
)


def play(routes, event):
    match event:
        case ("apply", source, route, _):
            routes.apply(source, ItemsEvent(Family.INET, "red", (route,)))
        case ("retract", source, _, prefix):
            routes.apply(source, ItemsEvent(Family.INET, "red", (), (prefix,)))
        case ("up", source):
            routes.session_up(source)
        case ("down", source):
            routes.session_down(source)
        case ("sweep", _):
            routes.sweep_stale()
        case ("forget", _):
            routes.forget_instance("red")
        case _:
            list(routes.best("red", Family.INET))


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, max_size=30))
def test_winners_chosen_step_by_step_equal_those_chosen_at_the_end(events):
    stepwise, at_once = LearntRoutes(), LearntRoutes()
    for event in events:
        play(stepwise, event)
        list(stepwise.best("red", Family.INET))
        if event[0] != "look":
            play(at_once, event)

    def by_key(routes):
        return {route.key: route for route in routes.best("red", Family.INET)}

    assert by_key(stepwise) == by_key(at_once)
