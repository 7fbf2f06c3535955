"""Application policy sets on a host: what a port allows, and what fails closed."""

from ipaddress import ip_address

import pytest

from skytrail.agent.config import ConfigGraph
from skytrail.agent.identity import Identity
from skytrail.agent.policy import PolicyPacket, evaluate, port_policies
from skytrail.agent.view import IncrementalView, build_view
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import ConfigDelete, ConfigKey, ConfigLink, ConfigUpdate

WEB, DB, SHOP, BANK = 0x20001, 0x20002, 0x10001, 0x10002
TEST, PRODUCTION = 0x30001, 0x30002
NAMES = {WEB: "tier=web", DB: "tier=db", SHOP: "application=shop", BANK: "application=bank"}
NAMES |= {TEST: "deployment=test", PRODUCTION: "deployment=production"}
APPLIES = "project-default-application-policy-set"
SQL = {"protocol": "tcp", "protocol_id": 6, "dst_ports": {"start_port": 1521, "end_port": 1521}}


def tagged(*numbers):
    return {"tags": [NAMES[number] for number in numbers], "tag_ids": list(numbers)}


class World(ConfigBuilder):
    """One network, ports by name, one policy of a set that the project applies."""

    def __init__(self):
        super().__init__()
        self.red = self.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
        self.project = self.node("project", PROJECT)
        self.applied = self.node("application-policy-set", f"{PROJECT}:set")
        self.policy = self.node("firewall-policy", f"{PROJECT}:policy")
        key = (self.project, self.applied)
        self.links[key] = ConfigLink(*key, APPLIES, None)
        self.link(self.applied, self.policy, {"sequence": "1"})
        self.tags = {
            number: self.node("tag", f"{PROJECT}:{name}", tag_id=f"0x{number:08x}")
            for number, name in NAMES.items()
        }

    def port_of(self, name, addresses, *numbers):
        port = self.port(name, self.red, addresses)
        self.link(self.project, port)
        for number in numbers:
            self.link(port, self.tags[number])
        return port

    def rule(self, name, one, two, *, match=(), action="pass", direction=">", **properties):
        properties.setdefault("service", SQL)
        rule = self.node(
            "firewall-rule",
            f"{PROJECT}:{name}",
            uuid=uuid_of(name),
            action_list={"simple_action": action},
            endpoint_1=one,
            endpoint_2=two,
            direction=direction,
            match_tag_types={"tag_type": list(match)},
            **properties,
        )
        self.link(self.policy, rule, {"sequence": str(len(self.links))})
        return rule

    def graph(self):
        graph = ConfigGraph()
        graph.update(self.update())
        return graph

    def decide(self, name, remote=(), *, egress, address="10.1.1.9", port=1521, protocol=6):
        policies = port_policies(build_view(self.graph()).ports[uuid_of(name)])
        identity = Identity(frozenset(["red"]), frozenset(), frozenset(remote))
        packet = PolicyPacket(identity, ip_address(address), protocol, 40000, port)
        return evaluate(policies[0 if egress else 1], packet)


@pytest.fixture
def world():
    made = World()
    made.port_of("db", ["10.1.1.3", "fd00:1::3"], DB, SHOP, TEST)
    return made


def test_without_sets_that_have_rules_everything_is_allowed(world):
    assert world.decide("db", egress=True).allow
    assert world.decide("db", egress=False).allow


def test_only_what_a_rule_passes_reaches_a_port(world):
    world.rule("sql", tagged(WEB), tagged(DB))

    assert world.decide("db", [WEB], egress=False).allow
    assert not world.decide("db", [WEB], egress=False, port=22).allow
    assert not world.decide("db", [DB], egress=False).allow
    assert not world.decide("db", [WEB], egress=True).allow


def test_decision_names_set_and_rule(world):
    world.rule("sql", tagged(WEB), tagged(DB))

    decided = world.decide("db", [WEB], egress=False)
    refused = world.decide("db", egress=False)

    assert decided.name == f"{PROJECT}:set#{uuid_of('sql')}"
    assert refused.name == f"application policy sets {PROJECT}:set#no rule allows"


@pytest.mark.parametrize(
    ("remote", "allowed"), [((WEB, TEST), True), ((WEB, PRODUCTION), False), ((WEB,), False)]
)
def test_matched_tag_types_have_to_be_alike_at_both_ends(world, remote, allowed):
    world.rule("sql", tagged(WEB), tagged(DB), match=[3])

    assert world.decide("db", remote, egress=False).allow == allowed


def test_matched_tag_type_that_the_port_lacks_matches_nobody(world):
    world.rule("sql", tagged(WEB), tagged(DB), match=[4])

    assert not world.decide("db", [WEB], egress=False).allow


def test_first_rule_decides(world):
    world.rule("no", tagged(WEB), {"any": True}, action="deny")
    world.rule("yes", {"any": True}, {"any": True})

    assert not world.decide("db", [WEB], egress=False).allow
    assert world.decide("db", egress=False).allow


def test_set_of_another_application_does_not_hold(world):
    world.rule("sql", tagged(WEB), tagged(DB))
    del world.links[world.project, world.applied]
    world.link(world.applied, world.tags[BANK])

    assert world.decide("db", egress=False).allow


def test_set_a_project_merely_contains_does_not_hold(world):
    world.rule("sql", tagged(WEB), tagged(DB))
    world.link(world.project, world.applied)

    assert world.decide("db", egress=False).allow


def test_port_specific_tag_replaces_the_networks_and_labels_add_up(world):
    world.link(world.red, world.tags[WEB])
    world.link(world.red, world.tags[BANK])
    for name, number in (("label=one", 1), ("label=two", 2)):
        label = world.node("tag", name, tag_id=hex(number))
        world.link(world.red if number == 1 else world.project, label)

    port = build_view(world.graph()).ports[uuid_of("db")]

    assert port.security.tags == (1, 2, SHOP, DB, TEST)


def test_vrouters_tags_come_between_the_machines_and_the_networks(world):
    router = world.node("virtual-router", "default-global-system-config:host")
    machine = ConfigKey("virtual-machine", uuid_of("vm-db2"))
    world.port_of("db2", ["10.1.1.5"])
    world.link(world.red, world.tags[WEB])
    world.link(router, world.tags[DB])
    world.link(router, world.tags[TEST])
    world.link(machine, world.tags[PRODUCTION])

    port = build_view(world.graph()).ports[uuid_of("db2")]

    assert port.security.tags == (DB, PRODUCTION)


def test_pass_rule_that_cannot_be_read_leaves_a_set_that_allows_nothing(world):
    world.rule("odd", {"any": True}, {"any": True}, service={"protocol": "smoke"})

    assert not world.decide("db", egress=False).allow


def test_deny_rule_that_cannot_be_read_denies_what_it_may_have_meant(world):
    world.rule("odd", tagged(WEB), {}, service={"protocol": "smoke"}, action="deny", match=[4])
    world.rule("rest", {"any": True}, {"any": True})

    assert not world.decide("db", [WEB], egress=False).allow
    assert world.decide("db", [DB], egress=False).allow


def test_drafts_change_nothing(world):
    world.rule("sql", tagged(WEB), tagged(DB))
    world.rule("planned", {"any": True}, {"any": True}, draft_mode_state="created")

    assert not world.decide("db", egress=False).allow


@pytest.mark.parametrize("absent", ["rule", "policy", "set", "group", "tag"])
def test_what_has_not_arrived_denies(world, absent):
    group = world.node("service-group", f"{PROJECT}:g")
    rule = world.rule("sql", {"any": True}, {"any": True}, service=None)
    world.link(rule, group)
    world.nodes[group] = world.nodes[group].__class__(
        group, {"service_group_firewall_service_list": {"firewall_service": [{"protocol": "any"}]}}
    )
    assert world.decide("db", egress=False).allow

    keys = {"rule": rule, "policy": world.policy, "set": world.applied, "group": group}
    del world.nodes[keys.get(absent, world.tags[DB])]

    assert not world.decide("db", egress=False).allow


def test_local_prefix_is_judged_for_each_ip_version(world):
    office = {"subnet": {"ip_prefix": "10.1.1.3", "ip_prefix_len": 32}}
    world.rule("sql", {"any": True}, office)

    assert world.decide("db", egress=False).allow
    assert not world.decide("db", egress=False, address="fd00:1::9").allow


def test_port_with_addresses_on_both_sides_of_a_prefix_fails_closed(world):
    world.port_of("two", ["10.1.1.4", "10.1.1.200"])
    half = {"subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 25}}
    world.rule("yes", {"any": True}, half)
    assert not world.decide("two", egress=False).allow

    world.rule("all", {"any": True}, {"any": True}, direction="<>")
    assert world.decide("two", egress=False).allow

    world.rule("no", {"any": True}, half, action="deny")
    order = ConfigKey("firewall-rule", f"{PROJECT}:no")
    world.link(world.policy, order, {"sequence": "0"})
    assert not world.decide("two", egress=False).allow


def test_empty_address_group_matches_nobody(world):
    group = world.node("address-group", f"{PROJECT}:nobody")
    rule = world.rule("sql", {"address_group": f"{PROJECT}:nobody"}, {"any": True})
    world.link(rule, group)

    assert not world.decide("db", egress=False).allow


def test_routes_of_a_port_carry_its_tags(world):
    host = AgentHost()
    host.plug("db", 10)
    host.sessions.graph.update(world.update())

    published = host.compute().published

    tags = {hop.tags for route in published.values() for hop in getattr(route, "next_hops", ())
            if hop.label}  # fmt: skip
    assert (SHOP, DB, TEST) in tags


def test_change_of_a_rule_leaves_ports_that_do_not_obey_it_alone(world):
    world.rule("sql", tagged(WEB), tagged(DB))
    other = world.port("elsewhere", world.red, ["10.1.1.77"])
    graph, incremental = world.graph(), IncrementalView()
    before = incremental.update(graph).ports

    changed = World()
    changed.rule("sql", tagged(WEB), tagged(DB), direction="<>")
    key = ConfigKey("firewall-rule", f"{PROJECT}:sql")
    graph.update(ConfigUpdate(nodes=(changed.nodes[key],)))
    after = incremental.update(graph).ports

    assert other.name.endswith("elsewhere")
    assert after[uuid_of("elsewhere")] is before[uuid_of("elsewhere")]
    assert after[uuid_of("db")] is not before[uuid_of("db")]
    assert incremental.view == build_view(graph)


def test_ports_that_look_alike_to_the_rules_share_a_stage(world):
    world.rule("sql", tagged(WEB), tagged(DB))
    world.port_of("db2", ["10.1.1.5"], DB, BANK)
    ports = build_view(world.graph()).ports

    stages = {id(port_policies(ports[uuid_of(name)])[1].stages[0]) for name in ("db", "db2")}

    assert len(stages) == 1


def test_deleting_the_last_rule_ends_the_restriction(world):
    rule = world.rule("sql", tagged(WEB), tagged(DB))
    graph, incremental = world.graph(), IncrementalView()
    incremental.update(graph)

    link = world.links[world.policy, rule]
    graph.delete(ConfigDelete(links=(link,), nodes=(rule,)))
    ports = incremental.update(graph).ports

    assert ports[uuid_of("db")].security.sets is None


def test_rule_that_decided_is_told_with_all_its_services(world):
    two = {"firewall_service": [SQL, {"protocol": "icmp", "protocol_id": 1}]}
    group = world.node("service-group", f"{PROJECT}:g", service_group_firewall_service_list=two)
    rule = world.rule("sql", tagged(WEB), tagged(DB), service=None)
    world.link(rule, group)
    host = AgentHost()
    host.plug("db", 10)
    host.sessions.graph.update(world.update())
    host.compute()

    told = host.planner.policies.rule_text("ingress", f"{PROJECT}:set#{uuid_of('sql')}")

    assert told == (
        "pass protocol 6 remote tag 0x00020001 ports 0-65535->1521-1521; "
        "pass protocol 1 remote tag 0x00020001 ports 0-65535->0-65535"
    )
