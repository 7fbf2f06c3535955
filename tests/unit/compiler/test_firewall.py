"""Tags of ports and application policy sets: what holds for whom, in which order."""

import msgspec
import pytest

from skytrail.compiler.engine import Engine, Put
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.types import (
    ActionListType,
    FirewallRuleEndpointType,
    FirewallServiceType,
)
from skytrail.testing.configuration import subnet, virtual_machine, virtual_network
from skytrail.testing.firewall import (
    ANYBODY,
    WEB,
    address_group,
    end,
    firewall_policy,
    firewall_rule,
    policy_set,
    project,
    project_port,
    service_group,
    tag,
    tagged,
    vrouter_config,
)

RED = virtual_network("red")
MACHINE = virtual_machine("m")
SHOP, BANK = tag("application=shop", 1), tag("application=bank", 2)
WEB_TIER, DB_TIER = tag("tier=web", 1), tag("tier=db", 2)


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def value(engine, pass_name, item):
    return engine._states[pass_name].outcomes[item.uuid].value


def reasons(engine):
    ignored = {"no_routing_instance"}
    return [each.reason for each in engine.violations() if each.reason not in ignored]


def tags_of(*items):
    port = next(each for each in items if each.type_name == "virtual-machine-interface")
    found = value(compiled(*items, SHOP, BANK, WEB_TIER, DB_TIER), "port_tags", port)
    return [each.name.rpartition(":")[2] for each in found.tags]


def test_most_specific_tag_of_a_type_wins_and_the_rest_is_inherited():
    port = tagged(project_port("p", RED, MACHINE), WEB_TIER)

    found = tags_of(
        port,
        tagged(MACHINE, DB_TIER),
        tagged(RED, SHOP),
        project(tags=[BANK]),
    )

    assert found == ["application=shop", "tier=web"]


def test_labels_of_all_levels_add_up():
    one, two = tag("label=one", 1), tag("label=two", 2)
    port = tagged(project_port("p", RED), one)

    engine = compiled(port, RED, project(tags=[two]), one, two)

    names = [each.name for each in value(engine, "port_tags", port).tags]
    assert [name.rpartition("=")[2] for name in names] == ["one", "two"]


def test_tag_without_number_is_reported_and_not_applied():
    bare = tag("tier=web", None)
    port = tagged(project_port("p", RED), bare)

    engine = compiled(port, RED, bare)

    assert value(engine, "port_tags", port).tags == ()
    assert reasons(engine) == ["tag_without_number"]


def test_rule_has_tag_numbers_services_and_types_to_match():
    rule = firewall_rule("r", end("tier=web"), end("tier=db"), match=["deployment"])

    found = value(compiled(rule, WEB_TIER, DB_TIER), "firewall_rule", rule)

    assert [set(each.tags) for each in found.ends] == [{0x20001}, {0x20002}]
    assert [(each.protocol, each.destination_ports.end_port) for each in found.services] == [
        ("6", 443)
    ]
    assert found.match_kinds == {3}


def test_global_tags_are_looked_up_without_the_project():
    rule = firewall_rule("r", end("global:tier=web"), ANYBODY)
    everywhere = tag("tier=web", 9, is_global=True)

    found = value(compiled(rule, everywhere, WEB_TIER), "firewall_rule", rule)

    assert found.ends[0].tags == {0x20009}


def test_groups_are_replaced_by_their_content_and_followed():
    office = address_group("office", "192.0.2.0/24")
    group = service_group("http", WEB, FirewallServiceType(protocol="udp", protocol_id=17))
    rule = firewall_rule(
        "r",
        FirewallRuleEndpointType(address_group="default-domain:demo:office"),
        FirewallRuleEndpointType(subnet=subnet("10.0.0.1/8")),
        service=group,
    )
    engine = compiled(office, group, rule)

    found = value(engine, "firewall_rule", rule)
    engine.apply([Put(address_group("office", "198.51.100.0/24"))])
    later = value(engine, "firewall_rule", rule)

    assert [each.prefixes for each in found.ends] == [("192.0.2.0/24",), ("10.0.0.0/8",)]
    assert [each.protocol for each in found.services] == ["6", "17"]
    assert later.ends[0].prefixes == ("198.51.100.0/24",)


UNREADABLE = [
    ({"one": end("tier=gone")}, "unknown_tag"),
    ({"one": None}, "bad_endpoint"),
    ({"one": FirewallRuleEndpointType()}, "bad_endpoint"),
    ({"one": FirewallRuleEndpointType(address_group="a:b:c")}, "unknown_address_group"),
    ({"one": FirewallRuleEndpointType(virtual_network="a:b:c")}, "unknown_network"),
    ({"service": None}, "no_service"),
    ({"service": service_group("gone")}, "unknown_service_group"),
    ({"service": FirewallServiceType(protocol="smoke")}, "unknown_protocol"),
    ({"direction": None}, "bad_direction"),
]


@pytest.mark.parametrize(("broken", "reason"), UNREADABLE)
def test_unreadable_rule_allows_nothing(broken, reason):
    rule = firewall_rule("r", **broken)

    engine = compiled(rule)

    assert value(engine, "firewall_rule", rule) is None
    assert reasons(engine) == [reason]


def test_unreadable_denying_rule_denies_all_it_may_have_meant():
    rule = firewall_rule("r", end("tier=gone"), action="deny", match=["deployment"])

    found = value(compiled(rule), "firewall_rule", rule)

    assert found.ends[0].tags == frozenset()
    assert found.match_kinds == frozenset()
    assert not found.passes


def test_passing_rule_with_a_service_chain_allows_nothing():
    rule = msgspec.structs.replace(
        firewall_rule("r"),
        action_list=ActionListType(simple_action="pass", apply_service=("a:b:fw",)),
    )

    assert reasons(compiled(rule)) == ["apply_service_not_supported"]


def test_policies_and_rules_come_by_sequence_and_fractions_fall_between():
    rules = {name: firewall_rule(name) for name in ("a", "b", "c", "d", "e")}
    first = firewall_policy("first", {"10": rules["d"], "9": rules["c"]})
    second = firewall_policy("second", {"1.5": rules["b"], "1.25": rules["a"], "x": rules["e"]})
    applied = policy_set("set", {"2": first, "0": second})

    found = value(compiled(applied, first, second, *rules.values()), "policy_set", applied)

    assert [each.name[-1] for each in found.rules] == ["a", "b", "e", "c", "d"]


def test_drafts_change_nothing():
    rule, other = firewall_rule("r"), firewall_rule("other")
    draft = msgspec.structs.replace(other, draft_mode_state="created")
    policy = firewall_policy("fp", {"1": rule, "2": draft})
    applied = policy_set("set", {"1": policy})
    planned = msgspec.structs.replace(
        policy_set("planned", {"1": policy}), draft_mode_state="updated"
    )

    engine = compiled(rule, draft, policy, applied, planned)

    assert [each.name[-1] for each in value(engine, "policy_set", applied).rules] == ["r"]
    assert value(engine, "policy_set", planned) is None


def sets_of(engine, port):
    found = value(engine, "port_policy_sets", port)
    return () if found is None else tuple(name.rpartition(":")[2] for name in found.sets)


def applied_sets(*tags):
    """A port with these tags under sets of everybody, of its project and of two applications."""
    rule = firewall_rule("r")
    policy = firewall_policy("fp", {"1": rule})
    by_name = {"1": policy}
    sets = {
        "all": policy_set("all", by_name, is_for_all=True),
        "project": policy_set("project", by_name),
        "shop": policy_set("shop", by_name, tags=[SHOP]),
        "bank": policy_set("bank", by_name, tags=[BANK]),
        "empty": policy_set("empty", {}, tags=[SHOP]),
    }
    port = tagged(project_port("p", RED), *tags)
    engine = compiled(
        *(rule, policy, *sets.values(), port, RED, vrouter_config(), SHOP, BANK),
        project(sets=[sets["project"]]),
    )
    return engine, port


def test_port_obeys_everybodys_sets_then_its_projects_then_its_applications():
    assert sets_of(*applied_sets(SHOP)) == ("all", "project", "shop")
    assert sets_of(*applied_sets()) == ("all", "project")


def test_another_application_brings_other_sets():
    engine, port = applied_sets(SHOP)

    engine.apply([Put(tagged(port, BANK))])

    assert sets_of(engine, port) == ("all", "project", "bank")


def test_set_of_which_no_rule_can_be_read_holds_and_one_of_drafts_does_not():
    broken = firewall_rule("r", end("tier=gone"))
    draft = msgspec.structs.replace(firewall_rule("d"), draft_mode_state="created")
    policies = [firewall_policy("p", {"1": broken}), firewall_policy("q", {"1": draft})]
    sets = [policy_set(p.fq_name[-1], {"1": p}) for p in policies]
    port = project_port("port", RED)

    engine = compiled(broken, draft, *policies, *sets, port, RED, project(sets=sets))

    assert sets_of(engine, port) == ("p",)
