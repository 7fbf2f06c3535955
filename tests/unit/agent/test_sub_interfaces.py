"""Ports that are a VLAN of another's link: where they are, what they are, how they are answered."""

from dataclasses import replace
from ipaddress import ip_network

from skytrail.agent.interface import ActivePort
from skytrail.agent.sub_interfaces import on_the_link
from skytrail.agent.tables import InterfaceRow, Tag
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import ConfigDelete, EnetKey

BLUE_VRF = f"{PROJECT}:blue:blue"
PORT = "virtual-machine-interface"


def with_vlans(*vlans):
    """Port a of network red, and a sub-interface of it in network blue for each VLAN."""
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    blue = config.network("blue", 6, [subnet("10.2.2.0/24")])
    parent = config.port("a", red, ["10.1.1.3"])
    for index, vlan in enumerate(vlans):
        name = f"sub{index}"
        key = config.port(name, blue, [f"10.2.2.{3 + index}"])
        properties = {"sub_interface_vlan_tag": vlan}
        config.node(
            PORT,
            key.name,
            **{**config.nodes[key].properties, "virtual_machine_interface_properties": properties},
        )
        config.link(key, parent)
    host = AgentHost()
    host.connect()
    host.configure(config.update())
    host.plug("a", 10)
    host.reconcile()
    return host, config


def interfaces(host):
    rows = host.desired.rows[InterfaceRow].values()
    return {(row.ifindex, row.tag.vlan if row.tag else 0): row for row in rows}


def test_a_sub_interface_is_where_its_parent_is_plugged():
    host, _ = with_vlans(100)
    row = interfaces(host)[10, 100]

    assert row.tag == Tag(100, None)
    assert row.vrf_id == host.desired.vrfs[BLUE_VRF]
    assert row.vif_id == host.vif("sub0")
    assert row.mac == host.active("sub0").port.mac != host.active("a").port.mac


def test_its_routes_are_published_in_its_own_network():
    host, _ = with_vlans(100)
    prefix = ip_network("10.2.2.3/32")
    mac = host.active("sub0").port.mac

    assert {prefix, EnetKey(mac, prefix)} <= {
        route.key for instance, route in host.published() if instance == BLUE_VRF
    }


def test_it_goes_when_its_parent_is_unplugged():
    host, _ = with_vlans(100)
    host.plugged.clear()
    host.reconcile()

    assert uuid_of("sub0") not in host.desired.ports
    assert all(tag == 0 for _, tag in interfaces(host))


def test_it_goes_when_it_is_not_linked_to_its_parent_any_more():
    host, config = with_vlans(100)
    link = next(
        link
        for link in config.links.values()
        if {link.left.type_name, link.right.type_name} == {PORT}
    )
    host.sessions.graph.delete(ConfigDelete(links=(link,)))
    host.reconcile()

    assert uuid_of("sub0") not in host.desired.ports


def test_one_of_two_with_the_same_tag_is_served():
    host, _ = with_vlans(100, 100)
    served = [uuid for uuid in host.desired.ports if uuid != uuid_of("a")]

    assert served == [min(uuid_of("sub0"), uuid_of("sub1"))]


def test_answers_to_it_carry_its_tag():
    host, _ = with_vlans(100)
    frame = bytes(range(60))
    state = host.desired.ports[uuid_of("sub0")]
    assert isinstance(state, ActivePort)

    assert on_the_link(state.plugged, frame) == frame[:12] + b"\x81\x00\x00\x64" + frame[12:]
    assert on_the_link(host.active("a").plugged, frame) == frame


def test_it_moves_with_its_parent():
    host, _ = with_vlans(100)
    sub = host.active("sub0")
    moved = replace(host.plugged[uuid_of("a")], sequences=(("10.2.2.3", 4),))
    host.plugged[uuid_of("a")] = moved
    host.reconcile()
    key = EnetKey(sub.port.mac, ip_network("10.2.2.3/32"))

    assert host.desired.published[BLUE_VRF, key].attributes.sequence_number == 4
