"""Agents decide by tags as the controller reads the same objects: rows, oracle and compiler agree."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.config import ConfigGraph as AgentGraph
from skytrail.agent.identity import Identity
from skytrail.agent.label import Numbers
from skytrail.agent.lookup import Tables
from skytrail.agent.policy import PolicyPacket, evaluate, port_identity, port_policies
from skytrail.agent.policy_rows import PolicyCompiler
from skytrail.agent.tables import IdentityId
from skytrail.agent.view import IncrementalView, View, build_view
from skytrail.compiler.engine import Engine
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.firewall_rules import Endpoint, FirewallService
from skytrail.compiler.passes.policy_sets import PolicySet
from skytrail.control.config_filter import visible
from skytrail.control.config_graph import ConfigGraph
from skytrail.model.generated.objects import (
    FirewallRule,
    GlobalSystemConfig,
    Tag,
    VirtualMachine,
    VirtualRouter,
)
from skytrail.model.generated.types import (
    FirewallRuleEndpointType,
    FirewallServiceType,
    MacAddressesType,
    PortType,
)
from skytrail.model.objects import ConfigObject
from skytrail.net import IpAddress
from skytrail.testing import configuration as build
from skytrail.testing import firewall as fw
from skytrail.wire.xmpp import ConfigKey, ConfigUpdate
from skytrail.wire.xmpp.config_codec import decode_config
from skytrail.wire.xmpp.xml import StanzaParser

T = TypeVar("T")
World = tuple[list[ConfigObject], VirtualRouter]
Packet = tuple[int, int, int]
"""Protocol, source port, destination port."""
Side = tuple[frozenset[int], str, IpAddress]
"""Tags, network and address of one end."""
TAGS = [
    fw.tag(f"{kind}={value}", number)
    for kind in ("application", "tier", "deployment", "label")
    for number, value in enumerate(("one", "two"), start=1)
]
NUMBERS = {tag.fq_name[-1]: int(tag.tag_id or "", 16) for tag in TAGS}
ADDRESSES = {"a": ("10.0.0.1", "fd00::1"), "b": ("10.0.1.1", "fd00:1::1"), "c": ("192.0.2.9",)}
FAR = ("203.0.113.5", "2001:db8::5")
PREFIXES = ("10.0.0.0/16", "10.0.1.0/24", "10.0.0.1/32", "fd00::/16", "fd00:1::/64", "192.0.2.0/24")
NETWORKS = [build.virtual_network(name) for name in ("red", "blue")]
SYSTEM = GlobalSystemConfig(
    uuid=build.uuid_of("global-system-config", ("default-global-system-config",)),
    fq_name=("default-global-system-config",),
)
SERVICES = (
    fw.WEB,
    FirewallServiceType(protocol="any", protocol_id=0),
    FirewallServiceType(protocol="icmp", protocol_id=1),
    FirewallServiceType(
        protocol="udp",
        protocol_id=17,
        src_ports=PortType(start_port=1000, end_port=2000),
        dst_ports=PortType(start_port=53, end_port=500),
    ),
    FirewallServiceType(protocol="smoke"),
)
EASY = (*SERVICES, SERVICES[1], SERVICES[1])
GROUPS = (fw.service_group("two", *SERVICES[:3:2]), fw.service_group("empty"))
OFFICES = (
    fw.address_group("office", "10.0.0.0/16", "fd00::/16"),
    fw.address_group("nobody"),
    fw.address_group("b", "10.0.1.0/24"),
)


def some(items: Sequence[T], *, size: int) -> st.SearchStrategy[list[T]]:
    return st.lists(st.sampled_from(items), max_size=size, unique=True)


def by_tags(tags: Iterable[Tag]) -> FirewallRuleEndpointType:
    names = tuple(tag.fq_name[-1] for tag in tags)
    return FirewallRuleEndpointType(tags=names, tag_ids=tuple(NUMBERS[name] for name in names))


ENDS = st.one_of(
    st.just(fw.ANYBODY),
    st.just(fw.ANYBODY),
    st.lists(st.sampled_from(TAGS), min_size=1, max_size=2, unique=True).map(by_tags),
    st.sampled_from(OFFICES).map(
        lambda group: FirewallRuleEndpointType(address_group=":".join(group.fq_name))
    ),
    st.sampled_from(NETWORKS).map(
        lambda network: FirewallRuleEndpointType(virtual_network=":".join(network.fq_name))
    ),
    st.sampled_from(PREFIXES).map(lambda p: FirewallRuleEndpointType(subnet=build.subnet(p))),
    st.just(FirewallRuleEndpointType()),
)


@st.composite
def rules(draw: st.DrawFn, name: str) -> FirewallRule:
    one, two = draw(ENDS), draw(ENDS)
    rule = fw.firewall_rule(
        name,
        one,
        two,
        action=draw(st.sampled_from(("pass", "pass", "deny"))),
        direction=draw(st.sampled_from((">", "<", "<>", "<>", None))),
        service=draw(st.sampled_from((*EASY, *GROUPS))),
        match=draw(
            st.sampled_from(((), ("deployment",), ("deployment",), ("application", "tier")))
        ),
    )
    named = {end.address_group for end in (one, two)}
    groups = [each for each in OFFICES if ":".join(each.fq_name) in named]
    state = draw(st.sampled_from((None, None, None, "created")))
    return msgspec.structs.replace(
        rule, address_group_refs=tuple(map(build.link, groups)), draft_mode_state=state
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Every object of a small installation whose objects all exist."""
    firewall_rules = [draw(rules(f"r{number}")) for number in range(draw(st.integers(0, 4)))]
    sequences = ("1", "2", "0.5", "x", "1.25")
    policies = [
        fw.firewall_policy(
            f"p{number}", dict(zip(draw(st.permutations(sequences)), chosen, strict=False))
        )
        for number, chosen in enumerate((firewall_rules, firewall_rules[::2]))
    ]
    sets = [
        fw.policy_set(
            f"s{number}",
            dict(zip(sequences, draw(some(policies, size=2)), strict=False)),
            tags=draw(some(TAGS[:2], size=1)),
            is_for_all=number == 2 and draw(st.booleans()),
        )
        for number in range(3)
    ]
    project = fw.project(
        tags=draw(some(TAGS, size=2)), sets=draw(st.sampled_from((sets[:2], sets[1:2], sets[:1])))
    )
    networks = [fw.tagged(network, *draw(some(TAGS, size=1))) for network in NETWORKS]
    found: list[ConfigObject] = [
        *TAGS,
        *firewall_rules,
        *policies,
        *sets,
        *GROUPS,
        *OFFICES,
        SYSTEM,
        *networks,
    ]
    config = msgspec.structs.replace(
        fw.vrouter_config(), parent_type="global-system-config", parent_uuid=SYSTEM.uuid
    )
    # All of it is contained in the project, which is not the same as applied to it.
    found = [
        msgspec.structs.replace(item, parent_uuid=project.uuid)
        if item.parent_type == "project"
        else item
        for item in found
    ]
    found += [project, config, *map(build.routing_instance, NETWORKS)]
    machines: list[VirtualMachine] = []
    for number, (name, addresses) in enumerate(ADDRESSES.items()):
        network = draw(st.sampled_from(networks))
        machine = fw.tagged(build.virtual_machine(f"vm-{name}"), *draw(some(TAGS, size=1)))
        port = fw.tagged(fw.project_port(name, network, machine), *draw(some(TAGS, size=6)))
        mac = MacAddressesType(mac_address=(f"02:00:00:00:00:{number:02x}",))
        port = msgspec.structs.replace(port, virtual_machine_interface_mac_addresses=mac)
        machines.append(machine)
        found += [machine, port]
        found += [build.instance_ip(text, text, network, port) for text in addresses]
    return found, VirtualRouter(
        uuid=build.uuid_of("virtual-router", ("default-global-system-config", "host")),
        fq_name=("default-global-system-config", "host"),
        parent_type="global-system-config",
        parent_uuid=SYSTEM.uuid,
        virtual_machine_refs=tuple(map(build.link, machines)),
        tag_refs=tuple(map(build.link, draw(some(TAGS, size=2)))),
    )


def sent(items: Sequence[ConfigObject], root: VirtualRouter) -> ConfigUpdate:
    """What a control node sends the agent of that vRouter, through the codec."""
    graph = ConfigGraph()
    graph.replace_all([*items, root])
    seen = visible(graph.graph, [ConfigKey("virtual-router", ":".join(root.fq_name))])
    encoded = [graph.encoded(item) for item in seen.values()]
    texts = [each.node for each in encoded]
    texts += [link.text for each in encoded for link in each.links if link.other in seen]
    stanza = f"<config><update>{''.join(texts)}</update></config>"
    (update,) = decode_config(StanzaParser().parse(stanza.encode()))
    assert isinstance(update, ConfigUpdate)
    return update


def compiled(items: Iterable[ConfigObject]) -> Engine:
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def value(engine: Engine, pass_name: str, uuid: str) -> Any:
    outcome = engine._states[pass_name].outcomes.get(uuid)
    return None if outcome is None else outcome.value


def sets_of(engine: Engine, port_uuid: str) -> list[PolicySet] | None:
    """The controller's sets of a port, in order; None: it obeys none."""
    listed = value(engine, "port_policy_sets", port_uuid)
    values = (each.value for each in engine._states["policy_set"].outcomes.values())
    known = {each.name: each for each in values if isinstance(each, PolicySet)}
    names = () if listed is None else listed.sets
    return [known[name] for name in names] or None


def agent_of(world: World) -> View:
    items, root = world
    graph = AgentGraph()
    graph.update(sent(items, root))
    return build_view(graph)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_agents_read_tags_and_sets_as_the_compiler_does(world: World) -> None:
    engine, view = compiled([*world[0], world[1]]), agent_of(world)

    assert len(view.ports) == len(ADDRESSES)
    for uuid, port in view.ports.items():
        tags = value(engine, "port_tags", uuid).tags
        expected = sets_of(engine, uuid)
        applied = port.security.sets

        assert port.security.tags == tuple(tag.number for tag in tags)
        assert (None if applied is None else [each.name for each in applied.sets]) == (
            None if expected is None else [each.name for each in expected]
        )


def ends_match(end: Endpoint, tags: frozenset[int], network: str, address: IpAddress) -> bool:
    return (
        end.tags <= tags
        and end.network in (None, network)
        and (
            end.prefixes is None
            or any(address in ip_network(p) for p in end.prefixes
                   if ip_network(p).version == address.version)
        )
    )  # fmt: skip


def service_matches(service: FirewallService, packet: Packet) -> bool:
    protocol, source_port, destination_port = packet
    return (
        service.protocol in ("any", str(protocol))
        and covers(service.source_ports, source_port)
        and covers(service.destination_ports, destination_port)
    )


def covers(ports: PortType, port: int) -> bool:
    assert ports.start_port is not None
    assert ports.end_port is not None
    return ports.start_port <= port <= ports.end_port


def controllers_word(
    sets: list[PolicySet], source: Side, destination: Side, packet: Packet
) -> tuple[bool, str]:
    """Decide as the objects say, one after the other: (allowed, deciding rule)."""
    for rule in (rule for each in sets for rule in each.rules):
        sides = {">": [(0, 1)], "<": [(1, 0)], "<>": [(0, 1), (1, 0)]}[rule.direction]
        alike = all(
            {t for t in source[0] if t >> 16 == kind}
            & {t for t in destination[0] if t >> 16 == kind}
            for kind in rule.match_kinds
        )
        if (
            alike
            and any(service_matches(service, packet) for service in rule.services)
            and any(
                ends_match(rule.ends[i], *source) and ends_match(rule.ends[j], *destination)
                for i, j in sides
            )
        ):
            return rule.passes, rule.uuid
    return False, "no rule allows"


PACKETS = st.tuples(
    st.sampled_from([1, 6, 17, 58]),
    st.sampled_from([0, 999, 1000, 2000, 40000]),
    st.sampled_from([0, 8, 53, 80, 443, 500, 501]),
)


@settings(max_examples=150, deadline=None)
@given(world=worlds(), packets=st.lists(PACKETS, min_size=1, max_size=4))
def test_rows_and_oracle_decide_as_the_controllers_objects_say(
    world: World, packets: list[Packet]
) -> None:
    engine, view = compiled([*world[0], world[1]]), agent_of(world)
    remotes: dict[IdentityId, tuple[Identity, Sequence[IpAddress]]] = {
        IdentityId(9): (Identity(), [ip_address(text) for text in FAR])
    }
    for number, port in enumerate(view.ports.values(), start=1):
        remotes[IdentityId(number)] = port_identity(port), port.addresses
    numbers = Numbers()
    compiler = PolicyCompiler(numbers)
    compiler.begin()
    policies = {
        (uuid, egress): (policy, compiler.intern(policy))
        for uuid, port in view.ports.items()
        for egress, policy in zip((True, False), port_policies(port), strict=True)
    }
    rows = compiler.compile({number: identity for number, (identity, _) in remotes.items()})
    tables = Tables([*rows.identities, *rows.prefixes, *rows.verdicts, *rows.source_ports])

    for (uuid, egress), (policy, policy_id) in policies.items():
        port, sets = view.ports[uuid], sets_of(engine, uuid)
        for identity_id, (identity, addresses) in remotes.items():
            for packet in packets:
                for here, there in pairs(port.addresses, addresses):
                    protocol, *ports = packet
                    question = PolicyPacket(identity, there, protocol, *ports)
                    oracle = evaluate(policy, question)
                    verdict = tables.verdict(
                        policy_id, (identity_id, there), protocol, (ports[0], ports[1])
                    )
                    local = frozenset(port.security.tags), port.network.name, here
                    remote = identity.tags, min(identity.networks, default=""), there
                    sides = (local, remote) if egress else (remote, local)

                    assert verdict.allow == oracle.allow
                    if sets is None:
                        assert oracle.allow
                        continue
                    allowed, rule = controllers_word(sets, *sides, packet)
                    assert (oracle.allow, oracle.name.rpartition("#")[2]) == (allowed, rule)


def pairs(
    here: Iterable[IpAddress], there: Iterable[IpAddress]
) -> list[tuple[IpAddress, IpAddress]]:
    return [(one, other) for one in here for other in there if one.version == other.version]


@settings(max_examples=60, deadline=None)
@given(worlds(), worlds())
def test_incremental_reading_of_policy_sets_equals_a_full_one(before: World, after: World) -> None:
    graph, incremental = AgentGraph(), IncrementalView()
    first, second = sent(*before), sent(*after)
    graph.update(first)
    incremental.update(graph)
    graph.begin_generation()
    graph.update(second)
    incremental.update(graph)
    graph.sweep()

    assert incremental.update(graph) == build_view(graph)
