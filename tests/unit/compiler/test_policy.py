import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.objects import Project, QosConfig
from skytrail.model.generated.types import (
    ActionListType,
    AddressType,
    PermType2,
    PortType,
    ShareType,
    SubnetType,
    TimerType,
)
from skytrail.testing.configuration import (
    network_policy,
    routing_instance,
    rule,
    text_of,
    uuid_of,
    virtual_network,
)

RED = "default-domain:demo:red"
BLUE = "default-domain:demo:blue"


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def networks(*found):
    return [*found, *(routing_instance(each) for each in found)]


def acl_rules(engine, network):
    wanted = engine.wanted(DerivedKey("access-control-list", (*network.fq_name, network.name)))
    return () if wanted is None else wanted.properties["access_control_list_entries"].acl_rule


def show(entry):
    match = entry.match_condition
    return " ".join(
        (
            match.src_address.virtual_network or "subnet",
            entry.direction,
            match.dst_address.virtual_network or "subnet",
            match.protocol,
            f"{match.dst_port.start_port}-{match.dst_port.end_port}",
            entry.action_list.simple_action,
        )
    )


def peers_of(engine, network):
    key = DerivedKey("routing-instance", (*network.fq_name, network.name))
    links = engine.wanted(key).links["routing_instance_refs"]
    return [":".join(link.to[:-1]) for link in links]


def reasons(engine):
    return [violation.reason for violation in engine.violations()]


def test_network_without_policy_has_no_access_list():
    red = virtual_network("red")

    assert acl_rules(compiled(*networks(red)), red) == ()


def test_rules_come_in_attachment_order_then_rule_order_then_the_tail():
    first = network_policy(
        "first", rule("local", BLUE, protocol="tcp", port=(80, 90), direction=">")
    )
    second = network_policy("second", rule("local", BLUE, protocol="icmp"), rule(BLUE, "local"))
    red = virtual_network("red", first, second)

    rules = acl_rules(compiled(first, second, *networks(red, virtual_network("blue"))), red)

    assert [show(each) for each in rules] == [
        f"{RED} > {BLUE} 6 80-90 pass",
        f"{RED} > {BLUE} 1 0-65535 pass",
        f"{BLUE} > {RED} 1 0-65535 pass",
        f"{BLUE} > {RED} any 0-65535 pass",
        f"{RED} > {BLUE} any 0-65535 pass",
        f"{RED} > {RED} any 0-65535 pass",
        f"{RED} > {BLUE} any 0-65535 deny",
        f"{BLUE} > {RED} any 0-65535 deny",
        "any > any any 0-65535 pass",
    ]


def test_attachment_sequence_decides_not_the_order_of_references():
    low = network_policy("z", rule("local", BLUE, protocol="tcp"))
    high = network_policy("a", rule("local", BLUE, protocol="udp"))
    red = virtual_network("red", low, high)
    shuffled = type(red)(
        uuid=red.uuid,
        fq_name=red.fq_name,
        network_policy_refs=tuple(reversed(red.network_policy_refs)),
    )

    rules = acl_rules(compiled(low, high, *networks(shuffled)), red)

    assert [each.match_condition.protocol for each in rules[:4:2]] == ["6", "17"]


def test_policy_address_means_the_networks_it_is_attached_to():
    shared = network_policy("shared", rule("local", "policy=default-domain:demo:shared"))
    red, blue = virtual_network("red", shared), virtual_network("blue", shared)

    engine = compiled(shared, *networks(red, blue))

    assert [show(each) for each in acl_rules(engine, red)[:3]] == [
        f"{RED} > {BLUE} any 0-65535 pass",
        f"{BLUE} > {RED} any 0-65535 pass",
        f"{RED} > {RED} any 0-65535 pass",
    ]
    assert peers_of(engine, red) == [BLUE]


def test_rule_between_two_other_networks_is_left_out():
    policy = network_policy("p", rule("default-domain:demo:a", "default-domain:demo:b"))
    red = virtual_network("red", policy)

    rules = acl_rules(compiled(policy, *networks(red)), red)

    assert [show(each) for each in rules] == [
        f"{RED} > {RED} any 0-65535 pass",
        "any > any any 0-65535 pass",
    ]


def test_networks_are_joined_only_when_both_policies_pass():
    both = network_policy("both", rule("local", BLUE), rule("local", RED))
    red, blue = virtual_network("red", both), virtual_network("blue", both)
    lonely = virtual_network("blue")

    joined = compiled(both, *networks(red, blue))
    one_sided = compiled(both, *networks(red, lonely))

    assert (peers_of(joined, red), peers_of(joined, blue)) == ([BLUE], [RED])
    assert (peers_of(one_sided, red), peers_of(one_sided, lonely)) == ([], [])


def test_any_joins_every_network_that_allows_it_back():
    everyone = network_policy("everyone", rule("any", "any"))
    to_red = network_policy("to-red", rule("local", RED))
    red, blue = virtual_network("red", everyone), virtual_network("blue", to_red)
    plain = virtual_network("plain")

    engine = compiled(everyone, to_red, *networks(red, blue, plain))

    assert peers_of(engine, red) == [BLUE]
    assert peers_of(engine, plain) == []


def test_deny_rule_joins_nothing():
    policy = network_policy("p", rule(RED, BLUE, action="deny"))
    red, blue = virtual_network("red", policy), virtual_network("blue", policy)

    assert peers_of(compiled(policy, *networks(red, blue)), red) == []


def test_service_rule_denies_and_is_reported():
    action = ActionListType(simple_action="pass", apply_service=("default-domain:demo:fw",))
    policy = network_policy("p", rule(RED, BLUE, action=action))
    red, blue = virtual_network("red", policy), virtual_network("blue", policy)

    engine = compiled(policy, *networks(red, blue))

    assert acl_rules(engine, red)[0].action_list.simple_action == "deny"
    assert peers_of(engine, red) == []
    assert set(reasons(engine)) == {"service_not_found"}


def test_service_rule_without_simple_action_denies_and_is_reported():
    action = ActionListType(apply_service=("default-domain:demo:fw",))
    policy = network_policy("p", rule(RED, BLUE, action=action))
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert acl_rules(engine, red)[0].action_list.simple_action == "deny"
    assert set(reasons(engine)) == {"service_chain_one_sided"}


def test_unknown_protocol_denies_and_is_reported():
    policy = network_policy("p", rule("local", BLUE, protocol="carrier-pigeon"))
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert show(acl_rules(engine, red)[0]) == f"{RED} > {BLUE} any 0-65535 deny"
    assert reasons(engine) == ["unknown_protocol"]


def test_subnet_address_is_kept_and_closed_in_the_tail():
    policy = network_policy("p", rule("10.0.0.0/8", "local", protocol="tcp", port=(22, 22)))
    red = virtual_network("red", policy)

    rules = acl_rules(compiled(policy, *networks(red)), red)

    assert [show(each) for each in rules] == [
        f"subnet > {RED} 6 22-22 pass",
        f"{RED} > subnet 6 0-65535 pass",
        f"{RED} > {RED} any 0-65535 pass",
        f"subnet > {RED} any 0-65535 deny",
        f"{RED} > subnet any 0-65535 deny",
        "any > any any 0-65535 pass",
    ]
    assert rules[3].match_condition.src_address.subnet.ip_prefix == "10.0.0.0"


def test_one_way_rule_closes_the_other_direction():
    policy = network_policy("p", rule("local", BLUE, protocol="tcp", direction=">"))
    red = virtual_network("red", policy)

    rules = acl_rules(compiled(policy, *networks(red, virtual_network("blue"))), red)

    assert [show(each) for each in rules] == [
        f"{RED} > {BLUE} 6 0-65535 pass",
        f"{RED} > {RED} any 0-65535 pass",
        f"{RED} > {BLUE} any 0-65535 deny",
        f"{BLUE} > {RED} any 0-65535 deny",
        "any > any any 0-65535 pass",
    ]


def test_two_way_rule_is_mirrored_with_its_ports():
    policy = network_policy("p", rule("local", BLUE, protocol="tcp", port=(80, 81)))
    red = virtual_network("red", policy)

    _, mirror = acl_rules(compiled(policy, *networks(red, virtual_network("blue"))), red)[:2]

    match = mirror.match_condition
    assert (match.src_address.virtual_network, match.src_port.start_port) == (BLUE, 80)
    assert (match.dst_address.virtual_network, match.dst_port.end_port) == (RED, 65535)


def test_expansion_beyond_the_bound_denies_everything():
    many = [rule("local", BLUE, protocol="tcp", port=(n, n)) for n in range(3000)]
    policy = network_policy("p", *many)
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert show(acl_rules(engine, red)[0]) == "any > any any 0-65535 deny"
    assert reasons(engine) == ["too_many_rules"]


def test_lists_that_multiply_to_millions_are_counted_not_made():
    some = rule("local", BLUE, protocol="tcp")
    many = type(some)(
        direction="<>",
        protocol="tcp",
        src_addresses=tuple(rule(f"10.0.{n}.0/24", "any").src_addresses[0] for n in range(200)),
        dst_addresses=tuple(rule(f"10.1.{n}.0/24", "any").src_addresses[0] for n in range(200)),
        src_ports=tuple(PortType(start_port=n, end_port=n) for n in range(200)),
        dst_ports=tuple(PortType(start_port=n, end_port=n) for n in range(200)),
        action_list=some.action_list,
    )
    policy = network_policy("p", many)
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red))

    assert show(acl_rules(engine, red)[0]) == "any > any any 0-65535 deny"
    (violation,) = engine.violations()
    assert violation.detail.startswith(f"policies expand to {2 * 200**4} entries")


def test_access_list_that_would_be_refused_for_its_bytes_denies_everything():
    some = rule("local", "any", protocol="tcp")
    subnets = tuple(SubnetType(ip_prefix=f"10.{n}.0.0", ip_prefix_len=16) for n in range(200))
    many = type(some)(
        direction=">",
        protocol="tcp",
        src_addresses=some.src_addresses,
        dst_addresses=(AddressType(subnet_list=subnets),),
        src_ports=(),
        dst_ports=tuple(PortType(start_port=n, end_port=n) for n in range(200)),
        action_list=some.action_list,
    )
    policy = network_policy("p", many)
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red))

    assert show(acl_rules(engine, red)[0]) == "any > any any 0-65535 deny"
    assert reasons(engine) == ["too_many_rules"]


def test_name_of_a_missing_network_is_reported():
    policy = network_policy("p", rule("local", text_of(virtual_network("typo"))))
    red = virtual_network("red", policy)

    assert reasons(compiled(policy, *networks(red))) == ["unknown_network"]


def action_of(engine, network, index=0):
    return acl_rules(engine, network)[index].action_list


def test_log_and_alert_are_kept_whether_a_rule_passes_or_denies():
    passing = ActionListType(simple_action="pass", log=True)
    denying = ActionListType(simple_action="deny", log=True, alert=True)
    policy = network_policy(
        "p",
        rule("local", BLUE, protocol="tcp", action=passing, direction=">"),
        rule("local", BLUE, protocol="udp", action=denying, direction=">"),
    )
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert action_of(engine, red, 0) == passing
    assert action_of(engine, red, 1) == denying


BLUES = ("default-domain", "blue")
"""Another project than demo."""
BLUE_UUID = uuid_of("project", BLUES)
DEMO_UUID = uuid_of("project", ("default-domain", "demo"))
DOMAIN_UUID = uuid_of("domain", ("default-domain",))


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        (None, False),
        (PermType2(owner=BLUE_UUID, owner_access=7), False),
        (PermType2(global_access=4), False),
        (PermType2(global_access=5), True),
        (PermType2(share=(ShareType(tenant=DEMO_UUID, tenant_access=4),)), False),
        (PermType2(share=(ShareType(tenant=DEMO_UUID, tenant_access=5),)), True),
        (PermType2(share=(ShareType(tenant=f"project:{DEMO_UUID}", tenant_access=1),)), True),
        (PermType2(share=(ShareType(tenant=f"domain:{DOMAIN_UUID}", tenant_access=7),)), True),
        (PermType2(share=(ShareType(tenant=BLUE_UUID, tenant_access=7),)), False),
    ],
)
def test_another_projects_qos_config_is_used_only_when_shared(permissions, may):
    gold = QosConfig(
        uuid=uuid_of("qos-config", (*BLUES, "gold")),
        fq_name=(*BLUES, "gold"),
        parent_type="project",
        parent_uuid=BLUE_UUID,
        perms2=permissions,
    )
    project = Project(
        uuid=DEMO_UUID,
        fq_name=("default-domain", "demo"),
        parent_type="domain",
        parent_uuid=DOMAIN_UUID,
    )
    action = ActionListType(simple_action="pass", qos_action=":".join(gold.fq_name))
    named = network_policy("p", rule("local", BLUE, action=action))
    policy = msgspec.structs.replace(named, parent_type="project", parent_uuid=DEMO_UUID)
    red = virtual_network("red", policy)

    engine = compiled(project, gold, policy, *networks(red, virtual_network("blue")))

    assert bool(action_of(engine, red).qos_action) is may
    assert reasons(engine) == ([] if may else ["unknown_qos_config"])


def test_marking_is_kept_when_its_qos_config_exists_and_reported_otherwise():
    name = ("default-domain", "demo", "gold")
    gold = QosConfig(uuid=uuid_of("qos-config", name), fq_name=name)
    action = ActionListType(simple_action="pass", qos_action=":".join(name))
    policy = network_policy("p", rule("local", BLUE, action=action))
    red = virtual_network("red", policy)
    items = [policy, *networks(red, virtual_network("blue"))]

    with_it, without = compiled(gold, *items), compiled(*items)

    assert action_of(with_it, red).qos_action == ":".join(name)
    assert action_of(without, red) == ActionListType(simple_action="pass")
    assert (reasons(with_it), reasons(without)) == ([], ["unknown_qos_config"])


def test_assigned_routing_instance_is_kept_and_joins_nothing():
    action = ActionListType(simple_action="pass", assign_routing_instance=f"{BLUE}:blue")
    policy = network_policy("p", rule(RED, BLUE, action=action))
    red, blue = virtual_network("red", policy), virtual_network("blue", policy)

    engine = compiled(policy, *networks(red, blue))

    assert action_of(engine, red) == action
    assert peers_of(engine, red) == []
    assert reasons(engine) == []


def test_assigning_a_routing_instance_that_is_not_there_denies():
    action = ActionListType(simple_action="pass", assign_routing_instance="a:b:c:d")
    policy = network_policy("p", rule(RED, BLUE, action=action))
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert action_of(engine, red).simple_action == "deny"
    assert reasons(engine) == ["unknown_routing_instance"]


def test_policy_with_a_timer_only_denies():
    policy = network_policy("p", rule("local", BLUE))
    red = virtual_network("red", policy)
    (attachment,) = red.network_policy_refs
    timer = TimerType(start_time="08:00", end_time="17:00")
    timed = msgspec.structs.replace(
        red,
        network_policy_refs=(
            msgspec.structs.replace(
                attachment, attr=msgspec.structs.replace(attachment.attr, timer=timer)
            ),
        ),
    )

    engine = compiled(policy, *networks(timed, virtual_network("blue")))

    assert action_of(engine, red).simple_action == "deny"
    assert reasons(engine) == ["timer_not_supported"]


def test_local_policy_address_means_every_network_of_the_same_policy():
    everyone = AddressType(network_policy="local")
    meshed = msgspec.structs.replace(
        rule("local", "any"), src_addresses=(everyone,), dst_addresses=(everyone,)
    )
    policy = network_policy("mesh", meshed)
    red, blue = virtual_network("red", policy), virtual_network("blue", policy)

    engine = compiled(policy, *networks(red, blue))

    assert peers_of(engine, red) == [BLUE]


def test_network_and_subnet_in_one_address_both_limit_the_entry():
    both = AddressType(
        virtual_network=BLUE, subnet=SubnetType(ip_prefix="10.2.0.0", ip_prefix_len=16)
    )
    narrow = msgspec.structs.replace(rule(RED, BLUE, direction=">"), dst_addresses=(both,))
    policy = network_policy("p", narrow)
    red, blue = virtual_network("red", policy), virtual_network("blue", policy)

    engine = compiled(policy, *networks(red, blue))

    assert acl_rules(engine, red)[0].match_condition.dst_address == both
    assert peers_of(engine, red) == [BLUE]


def test_rule_through_services_needs_a_named_network_on_both_sides():
    action = ActionListType(apply_service=("default-domain:demo:fw",))
    policy = network_policy("p", rule("local", "any", action=action))
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red))

    assert action_of(engine, red).simple_action == "deny"
    assert reasons(engine) == ["service_chain_ends"]


def test_too_many_services_in_a_row_deny():
    action = ActionListType(apply_service=tuple(f"a:b:fw{n}" for n in range(17)))
    policy = network_policy("p", rule("local", BLUE, action=action))
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert action_of(engine, red).simple_action == "deny"
    assert reasons(engine) == ["too_many_services"]


def test_icmp_of_ipv6_is_protocol_58_in_policies_too():
    policy = network_policy("p", rule("local", BLUE, protocol="icmp", ethertype="IPv6"))
    red = virtual_network("red", policy)

    engine = compiled(policy, *networks(red, virtual_network("blue")))

    assert acl_rules(engine, red)[0].match_condition.protocol == "58"
