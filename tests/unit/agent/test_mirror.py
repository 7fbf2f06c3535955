"""Mirroring as configured: what the agent makes of it for the datapath."""

from ipaddress import IPv4Address, ip_address

import pytest

from skytrail.agent.interface import troubles
from skytrail.agent.introspect import mirror_rows, policy_rows
from skytrail.agent.mirror import UnusableMirror, read_mirror_to
from skytrail.agent.policy import port_policies
from skytrail.agent.tables import (
    InterfaceRow,
    MirrorKind,
    MirrorRow,
    NextHopRow,
    PortMirrorRow,
    VerdictRow,
)
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, rule, subnet, uuid_of

ANALYZER_VRF = f"{PROJECT}:tools:tools"
TO_VM = {
    "analyzer_name": f"{PROJECT}:tap",
    "analyzer_ip_address": "10.9.1.9",
    "routing_instance": ANALYZER_VRF,
    "udp_port": 8100,
}
COLLECTOR = {"analyzer_ip_address": "192.0.2.99", "routing_instance": ""}


class World:
    """Network blue with the port web; tools with the analyzer's port tap."""

    def __init__(self, mirror=None, rules=(), **tools):
        self.config = config = ConfigBuilder()
        self.blue = config.network("blue", 5, [subnet("10.1.1.0/24")])
        self.tools = config.network("tools", 6, [subnet("10.9.1.0/24")], **tools)
        self.web = config.port("web", self.blue, ["10.1.1.3"])
        self.tap = config.port("tap", self.tools, ["10.9.1.9"])
        if mirror:
            self.mirror(mirror)
        if rules:
            config.access_list(self.blue, "blue", rules)
        self.host = AgentHost("192.0.2.1")
        self.host.plug("web", 10)
        self.host.connect()
        self.apply()

    def mirror(self, mirror):
        node = self.config.nodes[self.web]
        self.config.node(
            "virtual-machine-interface",
            node.key.name,
            **{**node.properties, "virtual_machine_interface_properties": mirror},
        )

    def apply(self):
        self.host.configure(self.config.update())
        self.host.reconcile()

    @property
    def view(self):
        return self.host.view

    def rows(self, kind):
        return list(self.host.desired.rows[kind].values())


def interface_mirror(direction, **to):
    return {"interface_mirror": {"traffic_direction": direction, "mirror_to": to}}


@pytest.mark.parametrize(
    ("direction", "copied"),
    [("ingress", (True, False)), ("egress", (False, True)), ("both", (True, True))],
)
def test_ingress_is_what_the_workload_sends(direction, copied):
    world = World(interface_mirror(direction, **TO_VM))

    (row,) = world.rows(PortMirrorRow)
    assert copied == (bool(row.sent), bool(row.delivered))
    assert [each.is_watched for each in world.rows(InterfaceRow) if each.ifindex == 10] == [True]


def test_analyzer_in_a_network_is_found_by_a_route_of_its_vrf():
    world = World(interface_mirror("ingress", **TO_VM))

    (row,) = world.rows(MirrorRow)
    assert (MirrorKind.ROUTED, IPv4Address("10.9.1.9")) == (row.kind, row.analyzer)
    assert world.host.desired.vrfs[ANALYZER_VRF] == row.vrf_id
    assert (8097).to_bytes(2, "big") + (8100).to_bytes(2, "big") == row.header[34:38]
    assert bytes((3, len(f"{PROJECT}:blue"))) + f"{PROJECT}:blue".encode() in row.header
    assert row.header.endswith(b"\xff\x00")


def test_collector_in_the_underlay_is_reached_without_tunnel_and_follows_the_path():
    world = World(interface_mirror("ingress", **COLLECTOR))
    assert IPv4Address("192.0.2.99") in world.host.desired.remotes

    world.host.resolve("192.0.2.99")
    world.host.reconcile()

    (row,) = world.rows(MirrorRow)
    way = world.host.desired.rows[NextHopRow][row.nexthop_id]
    assert row.kind == MirrorKind.FIXED
    assert way.out_destination_mac is not None
    assert world.host.datapath.rows[NextHopRow][row.nexthop_id] == way


def test_analyzer_with_an_ipv6_address_is_found_by_a_route_of_its_vrf():
    to = {**TO_VM, "analyzer_ip_address": "fd00:9::9"}
    (row,) = World(interface_mirror("ingress", **to)).rows(MirrorRow)

    assert (MirrorKind.ROUTED, ip_address("fd00:9::9")) == (row.kind, row.analyzer)
    assert ip_address("64:ff9b:1::192.0.2.1").packed + row.analyzer.packed == row.header[22:54]


def test_mirror_that_ends_leaves_no_rows():
    world = World(interface_mirror("both", **COLLECTOR))

    world.mirror({})
    world.apply()

    assert (world.rows(MirrorRow), world.rows(PortMirrorRow)) == ([], [])
    assert not any(row.is_watched for row in world.rows(InterfaceRow))
    assert not world.host.desired.remotes


def test_analyzer_does_not_mirror_to_itself():
    own = {"analyzer_ip_address": "10.1.1.3", "routing_instance": f"{PROJECT}:blue:blue"}

    assert World(interface_mirror("both", **own)).rows(PortMirrorRow) == []


@pytest.mark.parametrize(
    ("mirror_to", "text"),
    [
        ({"analyzer_name": "d:p:tap"}, "analyzer d:p:tap has no address yet"),
        ({**COLLECTOR, "encapsulation": "erspan"}, "udp and gre are served"),
        ({**COLLECTOR, "juniper_header": False}, "needs analyzer_mac_address"),
        ({"nh_mode": "static", "static_nh_header": {"vni": 5}}, "needs a vtep_dst_ip_address"),
    ],
)
def test_mirror_that_cannot_be_made_is_refused_by_name_and_told(mirror_to, text):
    world = World(interface_mirror("both", **mirror_to))

    told = {t.uuid: t.reason for t in troubles(world.host.desired.ports, world.view)}
    assert text in told[uuid_of("web")]
    assert world.rows(MirrorRow) == []


def test_static_and_gre_forms_are_read():
    vtep = {"vtep_dst_ip_address": "192.0.2.7", "vni": "77"}
    static = read_mirror_to({"nh_mode": "static", "static_nh_header": vtep})
    gre = read_mirror_to({**COLLECTOR, "encapsulation": "gre", "juniper_header": "false"})

    assert (static.form, static.vni, static.analyzer) == ("vxlan", 77, IPv4Address("192.0.2.7"))
    assert (gre.form, gre.instance) == ("gre", "")
    with pytest.raises(UnusableMirror):
        read_mirror_to({})


def between(port):
    ends = ({"virtual_network": f"{PROJECT}:{name}"} for name in ("blue", "tools"))
    return rule(*ends, ports=(port, port))


def mirrored_rule(port, **to):
    made = between(port)
    made["action_list"]["mirror_to"] = to
    return made


def test_rule_with_an_analyzer_marks_its_verdicts_and_no_others():
    world = World(rules=[mirrored_rule(80, **TO_VM), between(81)])
    world.host.plug("tap", 11)  # Somebody the rules are about.
    world.host.reconcile()

    (row,) = world.rows(MirrorRow)
    marked = {each.port for each in world.rows(VerdictRow) if each.mirror_id == row.mirror_id}
    assert marked == {80}
    assert any("mirror to 10.9.1.9" in each["text"] for each in policy_rows(world.host.desired))


def test_ports_that_take_copies_have_no_policy():
    open_network = World(virtual_network_properties={"mirror_destination": True})
    port = open_network.view.ports[uuid_of("tap")]

    assert all(policy.stages == () for policy in port_policies(port))


def test_mirrors_are_shown_with_their_users_and_counts():
    world = World(interface_mirror("ingress", **TO_VM))
    (row,) = world.rows(MirrorRow)

    (shown,) = mirror_rows(world.host.desired, {row.mirror_id: (7, 2, 1)})

    assert (shown["vrf"], shown["analyzer"]) == (ANALYZER_VRF, "10.9.1.9")
    assert shown["ports"] == [f"sent by {uuid_of('web')}"]
    assert (shown["copies"], shown["truncated"], shown["lost"]) == (7, 2, 1)
