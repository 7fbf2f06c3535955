import msgspec

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.types import AddressType, PortType
from skytrail.testing.configuration import PROJECT, rule, security_group, subnet, text_of

WEB = text_of(security_group("web", None))


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def acl(engine, side, group="web"):
    key = DerivedKey("access-control-list", (*PROJECT, group, f"{side}-access-control-list"))
    wanted = engine.wanted(key)
    assert wanted.parent_type == "security-group"
    return wanted.properties["access_control_list_entries"].acl_rule


def test_group_without_rules_has_two_empty_lists():
    engine = compiled(security_group("web", 8000000))

    assert acl(engine, "ingress") == ()
    assert acl(engine, "egress") == ()


def test_local_side_decides_the_direction():
    receive = rule("group=any", "group=local", protocol="tcp", port=(80, 80), ethertype="IPv4")
    send = rule("group=local", "0.0.0.0/0", protocol="any", ethertype="IPv4")
    engine = compiled(security_group("web", 8000000, receive, send))

    (into,) = acl(engine, "ingress")
    (out,) = acl(engine, "egress")

    assert into.match_condition.src_address.security_group == "-1"
    assert into.match_condition.dst_address.security_group is None
    assert (into.match_condition.protocol, into.match_condition.dst_port.start_port) == ("6", 80)
    assert out.match_condition.dst_address.subnet.ip_prefix == "0.0.0.0"
    assert {each.action_list.simple_action for each in (into, out)} == {"pass"}


def test_other_group_is_named_by_its_number_and_follows_it():
    web = security_group("web", 8000000, rule("group=default-domain:demo:db", "group=local"))
    engine = compiled(web, security_group("db", 8000007))

    assert acl(engine, "ingress")[0].match_condition.src_address.security_group == "8000007"


def test_unknown_group_lets_nothing_through_and_is_reported():
    engine = compiled(security_group("web", 8000000, rule("group=a:b:missing", "group=local")))

    assert acl(engine, "ingress") == ()
    assert [each.reason for each in engine.violations()] == ["unknown_security_group"]


def test_icmp_of_ipv6_becomes_protocol_58():
    six = rule("::/0", "group=local", protocol="icmp", ethertype="IPv6")
    four = rule("0.0.0.0/0", "group=local", protocol="icmp", ethertype="IPv4")
    engine = compiled(security_group("web", 8000000, six, four))

    protocols = [each.match_condition.protocol for each in acl(engine, "ingress")]

    assert protocols == ["58", "1"]


def test_rule_without_local_side_is_left_out_and_reported():
    engine = compiled(security_group("web", 8000000, rule("group=any", "group=any")))

    assert (acl(engine, "ingress"), acl(engine, "egress")) == ((), ())
    assert [each.reason for each in engine.violations()] == ["no_local_side"]


def test_group_that_expands_beyond_the_bound_allows_nothing():
    some = rule("group=any", "group=local", protocol="tcp")
    each_port = tuple(PortType(start_port=n, end_port=n) for n in range(2000))
    many = type(some)(
        direction=">",
        protocol="tcp",
        src_addresses=some.src_addresses,
        dst_addresses=some.dst_addresses,
        src_ports=each_port,
        dst_ports=each_port,
    )
    engine = compiled(security_group("web", 8000000, some, many))

    assert (acl(engine, "ingress"), acl(engine, "egress")) == ((), ())
    assert [each.reason for each in engine.violations()] == ["too_many_rules"]


def test_missing_ports_mean_all():
    everything = rule("group=any", "group=local", protocol="tcp")
    bare = type(everything)(
        direction=">",
        protocol="tcp",
        src_addresses=everything.src_addresses,
        dst_addresses=everything.dst_addresses,
    )
    engine = compiled(security_group("web", 8000000, bare))

    port = acl(engine, "ingress")[0].match_condition.dst_port

    assert (port.start_port, port.end_port) == (0, 65535)


def test_rule_with_two_local_sides_allows_nothing():
    engine = compiled(security_group("web", 8000000, rule("group=local", "group=local")))

    assert (acl(engine, "ingress"), acl(engine, "egress")) == ((), ())
    assert [each.reason for each in engine.violations()] == ["two_local_sides"]


def test_further_addresses_beside_local_do_not_widen_the_rule():
    receive = rule("group=any", "group=local")
    both = msgspec.structs.replace(
        receive, dst_addresses=(*receive.dst_addresses, *rule("0.0.0.0/0").src_addresses)
    )
    engine = compiled(security_group("web", 8000000, both))

    (entry,) = acl(engine, "ingress")

    assert entry.match_condition.dst_address.subnet is None
    assert acl(engine, "egress") == ()


def test_address_with_a_group_and_a_subnet_allows_nothing():
    mixed = AddressType(security_group="any", subnet=subnet("10.0.0.0/8"))
    receive = msgspec.structs.replace(rule("group=any", "group=local"), src_addresses=(mixed,))
    engine = compiled(security_group("web", 8000000, receive))

    assert acl(engine, "ingress") == ()
    assert [each.reason for each in engine.violations()] == ["bad_address"]


def test_deny_rule_of_a_group_allows_nothing():
    engine = compiled(
        security_group("web", 8000000, rule("group=any", "group=local", action="deny"))
    )

    assert acl(engine, "ingress") == ()
    assert [each.reason for each in engine.violations()] == ["deny_rule"]


def test_list_of_subnets_is_kept_in_one_entry():
    listed = AddressType(subnet_list=(subnet("10.0.0.0/8"), subnet("192.168.0.0/16")))
    receive = msgspec.structs.replace(rule("group=any", "group=local"), src_addresses=(listed,))
    engine = compiled(security_group("web", 8000000, receive))

    (entry,) = acl(engine, "ingress")

    assert entry.match_condition.src_address == listed
