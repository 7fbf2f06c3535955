"""The topology file: what is accepted, and how faults are told."""

from pathlib import Path

import pytest

from skytrail.lab.plan import plan, tap_ifname
from skytrail.lab.topology import (
    Appliance,
    ApplianceKind,
    Expectation,
    TopologyError,
    parse,
)

SMALLEST = "name: small\nhosts: [compute1]\n"
EXAMPLE = Path(__file__).parents[3] / "examples" / "two-tenants" / "topology.yaml"


def faults_of(text):
    with pytest.raises(TopologyError) as caught:
        parse(text, "lab.yaml")
    return caught.value.faults


def test_smallest_topology_gets_one_controller_and_the_defaults():
    topology = parse(SMALLEST, "lab.yaml")

    assert [item.name for item in topology.controllers] == ["control1"]
    assert topology.underlay.mtu_bytes == 1600
    assert str(topology.underlay.network) == "198.18.0.0/15"


def test_every_fault_is_told_at_once_with_file_entry_and_fix():
    faults = faults_of(
        "name: Small\nhosts: [a, a]\nworkloads: [{name: w, host: b, port: x}]\nunderlay: {mtu: 9}\n"
    )

    assert len(faults) == 5
    assert all(fault.startswith("lab.yaml: ") for fault in faults)
    assert any("workloads[0].host: 'b' is not in hosts; known hosts: a, a" in f for f in faults)
    assert any("'a' is used 2 times" in fault for fault in faults)
    assert any("underlay.mtu: 9 must be a whole number from 1280" in fault for fault in faults)


def test_unknown_keys_are_refused_with_the_known_ones():
    assert faults_of(SMALLEST + "host: []\n")[0].startswith(
        "lab.yaml: file: unknown key 'host'; known keys: name, underlay"
    )


def test_text_that_is_not_yaml_is_one_fault():
    assert len(faults_of("name: [")) == 1


@pytest.mark.parametrize("document", ["", "[]", "7", "null", "hosts: 7", "hosts: {a: b}"])
def test_documents_of_the_wrong_shape_are_faults_and_not_crashes(document):
    assert faults_of(document)


def test_a_small_underlay_range_is_refused():
    assert "too small" in faults_of(SMALLEST + "underlay: {network: 10.0.0.0/24}\n")[0]


def test_expectations_expand_to_every_ordered_pair_but_never_to_oneself():
    topology = parse(EXAMPLE.read_text(), "example")

    names = {endpoint.name for endpoint in topology.endpoints} | set(topology.outside_hosts)
    pairs = {(e.source, e.destination) for e in topology.expect if e.protocol == "icmp"}
    assert pairs == {(a, b) for a in names for b in names if a != b}


def test_contradicting_expectations_are_refused():
    text = SMALLEST + (
        "workloads:\n"
        "  - {name: a, host: compute1, port: 'd:p:a'}\n"
        "  - {name: b, host: compute1, port: 'd:p:b'}\n"
        "expect:\n  - {from: a, to: b}\n  - {from: a, to: b, reply: false}\n"
    )

    assert "already stated otherwise" in faults_of(text)[0]


def test_a_reason_needs_a_missing_reply():
    text = SMALLEST + (
        "workloads: [{name: a, host: compute1, port: 'd:p:a'}]\n"
        "expect: [{from: a, to: a, reason: POLICY}]\n"
    )

    assert "goes with reply: false only" in faults_of(text)[0]


def test_nodes_live_in_subnets_of_their_own():
    laid_out = plan(parse("name: n\nhosts: [h1, h2]\ncontrollers: [c1, c2]\n", "x"), "lab")

    networks = [node.network for node in laid_out.nodes]
    assert len(set(networks)) == 4
    assert all(node.address in node.network for node in laid_out.nodes)
    assert str(laid_out.node("h2").address) == "198.18.2.2"
    assert str(laid_out.node("c1").address) == "198.19.1.2"


def test_labs_of_different_names_share_no_namespace():
    topology = parse(SMALLEST, "x")

    first, second = plan(topology, "one"), plan(topology, "two")

    assert not {node.namespace for node in first.nodes} & {node.namespace for node in second.nodes}


def test_unknown_node_names_the_known_ones():
    with pytest.raises(KeyError, match="known: control1, compute1"):
        plan(parse(SMALLEST, "x"), "lab").node("compute9")


def test_interface_names_fit_the_kernel():
    assert tap_ifname("5e0c1f64-55aa-4d6e-9a54-77f2b9a8e6c1") == "tap5e0c1f64-55"


def test_expectation_defaults_to_a_ping_that_is_answered():
    assert Expectation("a", "b") == Expectation("a", "b", "icmp", 0, True, None)


def test_tls_is_off_unless_asked_for_and_takes_nothing_but_yes_or_no() -> None:
    base = "name: a\nhosts: [h1]\n"
    assert parse(base, "t").tls is False
    assert parse(base + "tls: true\n", "t").tls is True
    with pytest.raises(TopologyError, match="'on please' must be true or false"):
        parse(base + "tls: on please\n", "t")


GATEWAY = SMALLEST + "gateways: [{name: gw1, network: 'd:p:n', outside: 198.51.100.0/24%s}]\n"


def test_a_gateways_host_outside_is_named_after_it_unless_it_has_a_name():
    assert list(parse(GATEWAY % "", "t").outside_hosts) == ["gw1-outside"]
    assert list(parse(GATEWAY % ", host: internet", "t").outside_hosts) == ["internet"]


def test_hosts_outside_may_be_probed_and_share_the_space_of_names():
    text = GATEWAY % ", host: internet" + (
        "workloads: [{name: web, host: compute1, port: 'd:p:web'}]\n"
        "expect: [{from: web, to: internet}, {from: internet, to: web}]\n"
    )

    assert len(parse(text, "t").expect) == 2
    assert faults_of(text.replace("host: internet", "host: web"))[0].startswith(
        "lab.yaml: name: 'web' is used 2 times"
    )


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("{network: 'd:p:n', outside: 198.51.100.0/24}", "gateways[0].name: missing"),
        ("{name: g, outside: 198.51.100.0/24}", "gateways[0].network: missing"),
        ("{name: g, network: 'd:p:n'}", "gateways[0].outside: Expected 4 octets"),
        ("{name: g, network: 'd:p:n', outside: 198.51.100.0/30}", "must be a range from /8 to /28"),
        ("{name: g, network: 'd:p:n', outside: 198.51.100.1/24}", "has host bits set"),
        ("{name: g, network: 'd:p:n', outside: 10.0.0.0/8, host: 7}", "gateways[0].host: 7 is not"),
        ("{name: g, network: 'd:p:n', outside: 10.0.0.0/8, vrf: x}", "unknown key 'vrf'"),
        ("gw1", "gateways[0]: expected a mapping"),
    ],
)  # fmt: skip
def test_faults_of_a_gateway_name_the_entry_and_the_field(entry, fault):
    assert any(fault in each for each in faults_of(f"{SMALLEST}gateways: [{entry}]\n"))


def test_more_gateways_than_the_underlay_has_room_for_are_refused():
    entries = ", ".join(
        f"{{name: g{n}, network: 'd:p:n{n}', outside: 10.{n}.0.0/16}}" for n in range(5)
    )

    assert "at most 4 fit" in faults_of(f"{SMALLEST}gateways: [{entries}]\n")[0]


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("{name: r, port: 'd:p:r', behind: 10.0.0.0/8}", "routers[0].host: None is not in hosts"),
        ("{name: r, host: compute1, behind: 10.0.0.0/8}", "routers[0].port: missing"),
        ("{name: r, host: compute1, port: 'd:p:r'}", "routers[0].behind: Expected 4 octets"),
        (
            "{name: r, host: compute1, port: 'd:p:r', behind: 10.0.0.0/8, autonomous_system: x}",
            "routers[0].autonomous_system: 'x' must be a whole number from 1",
        ),
        (
            "{name: r, host: compute1, port: 'd:p:r', behind: 10.0.0.0/8, site: compute1}",
            "name: 'compute1' is used 2 times",
        ),
    ],
)
def test_faults_of_a_router_name_the_entry_and_the_field(entry, fault):
    assert any(fault in each for each in faults_of(f"{SMALLEST}routers: [{entry}]\n"))


def test_what_lies_behind_a_router_may_be_probed():
    router = "{name: r, host: compute1, port: 'd:p:r', behind: 10.0.0.0/8}"
    workload = "workloads: [{name: w, host: compute1, port: 'd:p:w'}]"
    text = f"{SMALLEST}routers: [{router}]\n{workload}\nexpect: [{{from: w, to: r-site}}]\n"

    topology = parse(text, "t")

    assert topology.routers[0].autonomous_system is None
    assert topology.expect[0].destination == "r-site"


SIDES = (
    "name: small\nhosts: [a, b]\nworkloads:\n"
    "- {name: l, host: a, port: 'd:p:l'}\n- {name: r, host: a, port: 'd:p:r'}\n"
    "- {name: far, host: b, port: 'd:p:f'}\n"
)


def test_two_workloads_of_a_host_make_an_appliance():
    topology = parse(f"{SIDES}appliances: [{{name: fw, left: l, right: r, kind: nat}}]\n", "t")

    assert topology.appliances == (Appliance("fw", "l", "r", ApplianceKind.NAT),)


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("{name: fw, left: l}", "appliances[0].right: None is not in workloads"),
        ("{name: fw, left: l, right: far}", "appliances[0]: left and right are on different hosts"),
        ("{name: fw, left: l, right: r, kind: x}", "appliances[0].kind: 'x' is not one of router"),
        ("{name: fw, left: l, right: l}", "appliances: workload: 'l' is used 2 times"),
        ("{name: l, left: l, right: r}", "name: 'l' is used 2 times"),
    ],
)
def test_faults_of_an_appliance_name_the_entry_and_the_field(entry, fault):
    assert any(fault in each for each in faults_of(f"{SIDES}appliances: [{entry}]\n"))


@pytest.mark.parametrize("text", ['"""Provisions."""\nimport sys\n', "def main():\n\tpass\n"])
def test_a_program_given_as_topology_is_told_what_a_topology_is(text):
    with pytest.raises(
        TopologyError, match=r"provision\.py: .*a topology is a YAML file, docs/lab"
    ):
        parse(text, "provision.py")


def test_nodes_with_two_uplinks_have_their_address_on_the_loopback_and_a_link_to_each_router():
    laid_out = plan(parse("name: two\nhosts: [h1]\nunderlay: {uplinks: 2}\n", "f"), "two")

    (host,) = laid_out.hosts
    assert host.ifnames == ("underlay0", "underlay1")
    assert [each.router_namespace for each in host.uplinks] == ["two-underlay", "two-underlay2"]
    assert laid_out.routers == ("two-underlay", "two-underlay2")
    links = [f"{each.address}/{each.length} via {each.gateway}" for each in host.uplinks]
    assert links == ["198.18.1.66/26 via 198.18.1.65", "198.18.1.130/26 via 198.18.1.129"]
    assert str(host.address) == "198.18.1.2"


def test_two_uplinks_are_not_joined_with_what_speaks_frr_in_the_underlay():
    switch = "switch: {autonomous_system: 65100, outside: 192.0.2.0/24}"
    gateway = "gateways: [{name: g, network: 'd:p:n', outside: 198.51.100.0/24}]"

    with pytest.raises(TopologyError) as refused:
        parse(f"name: two\nhosts: [h1]\nunderlay: {{uplinks: 2, {switch}}}\n{gateway}\n", "f")

    assert "underlay.switch" in str(refused.value)
    assert "gateways: go with one uplink" in str(refused.value)


def test_nodes_of_an_ipv6_underlay_have_ipv6_places_of_their_own():
    text = "name: six\nhosts: [h1, h2]\ncontrollers: [c1, c2]\nunderlay: {version: 6}\n"

    laid_out = plan(parse(text, "f"), "six")

    assert [str(node.place) for node in laid_out.nodes] == [
        "2001:2:0:8001::2",
        "2001:2:0:8002::2",
        "2001:2:0:1::2",
        "2001:2:0:2::2",
    ]
    assert str(laid_out.hosts[0].way_out) == "2001:2:0:1::1"


def test_nodes_with_two_uplinks_into_an_ipv6_underlay_have_links_and_a_loopback_of_ipv6():
    text = "name: six\nhosts: [h1]\ncontrollers: [c1]\nunderlay: {version: 6, uplinks: 2}\n"

    laid_out = plan(parse(text, "f"), "six")

    (host,) = laid_out.hosts
    assert str(host.place) == "2001:2:0:1::2"
    links = [f"{each.address}/{each.length} via {each.gateway}" for each in host.uplinks]
    assert links == ["2001:2:1:1::2/64 via 2001:2:1:1::1", "2001:2:2:1::2/64 via 2001:2:2:1::1"]
    assert str(laid_out.controllers[0].uplinks[1].address) == "2001:2:2:8001::2"
    assert str(laid_out.between_routers) == "2001:2:3::/64"


def test_an_ipv6_underlay_is_not_joined_with_what_needs_ipv4():
    keys = "network: 100.64.0.0/10"
    gateway = "gateways: [{name: g, network: 'd:p:n', outside: 198.51.100.0/24}]"

    with pytest.raises(TopologyError) as refused:
        parse(f"name: six\nhosts: [h1]\nunderlay: {{version: 6, {keys}}}\n{gateway}\n", "f")

    assert "underlay.network" in str(refused.value)
    assert "gateways: go with an IPv4 underlay" in str(refused.value)
