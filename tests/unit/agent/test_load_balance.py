"""Which fields choose among members of a shared address: as configured, told to others, in the kernel."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from skytrail.agent.share import HASH_FIELDS, choose, fields_of, flow_hash, omitted_of
from skytrail.agent.tables import InetRouteRow, InterfaceRow, NextHopKind, NextHopRow
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet

VIP = "10.1.1.50"
VRF = "default-domain:demo:red:red"
ONLY_SOURCE = sum(HASH_FIELDS.values()) - HASH_FIELDS["l3-source-address"]


def setting(**fields):
    chosen = dict.fromkeys(
        ("source_ip", "destination_ip", "ip_protocol", "source_port", "destination_port"), False
    )
    return {"hashing_configured": True, **chosen, **fields}


def make_config(port=None, network=None, everywhere=None, mode="active-active"):
    """Ports a, b with an address together, and a client."""
    config = ConfigBuilder()
    more = {} if network is None else {"ecmp_hashing_include_fields": network}
    red = config.network("red", 5, [subnet("10.1.1.0/24")], **more)
    if everywhere is not None:
        config.node("global-vrouter-config", "g:c", ecmp_hashing_include_fields=everywhere)
    shared = config.node(
        "instance-ip",
        "vip",
        instance_ip_address=VIP,
        instance_ip_mode=mode,
        instance_ip_secondary=True,
    )
    for name, address in (("a", "10.1.1.3"), ("b", "10.1.1.4"), ("client", "10.1.1.5")):
        key = config.port(name, red, [address])
        if name == "client":
            continue
        config.link(shared, key)
        if port is not None:
            node = config.nodes[key]
            config.node(
                key.type_name, key.name, **node.properties, ecmp_hashing_include_fields=port
            )
    return config


def host(config, *names, address="192.0.2.1"):
    made = AgentHost(address)
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def rows(made, kind):
    return [row for row in made.desired.rows[kind].values() if isinstance(row, kind)]


def shared_row(made):
    key = (made.desired.vrfs[VRF], ip_network(VIP))
    (route,) = [row for row in rows(made, InetRouteRow) if row.key == key]
    return made.desired.rows[NextHopRow][route.nexthop_id]


@pytest.mark.parametrize(
    ("settings", "omitted"),
    [
        ({}, 0),
        ({"everywhere": setting(source_ip=True)}, ONLY_SOURCE),
        ({"network": setting(source_ip=True)}, ONLY_SOURCE),
        ({"port": setting(source_ip=True)}, ONLY_SOURCE),
        ({"port": setting(source_ip=True, source_port=True)}, ONLY_SOURCE - 16),
        (
            {
                "port": setting(source_ip=True),
                "network": setting(destination_ip=True),
                "everywhere": setting(ip_protocol=True),
            },
            ONLY_SOURCE,
        ),
        ({"port": {**setting(source_ip=True), "hashing_configured": False}}, 0),
        ({"port": setting()}, 0),
    ],
)
def test_most_specific_setting_that_is_made_decides(settings, omitted):
    made = host(make_config(**settings), "a", "b")

    assert shared_row(made).kind is NextHopKind.ECMP
    assert shared_row(made).omitted == omitted


def test_other_hosts_are_told_and_choose_alike():
    config = make_config(port=setting(source_ip=True))
    left, right = host(config, "a"), host(config, "b", address="192.0.2.2")
    far = host(config, "client", address="192.0.2.3")
    told, other = (
        next(route for _, route in one.published() if route.key == ip_network(VIP))
        for one in (left, right)
    )
    far.learn(VRF, [replace(told, next_hops=(*told.next_hops, *other.next_hops))], end=False)
    for one in (left, right):
        far.resolve(str(one.address))
    far.reconcile()

    assert told.attributes.load_balance_fields == ("l3-source-address",)
    assert told.attributes.load_balance_decision == "field-hash"
    assert len(shared_row(far).members) == 2
    assert shared_row(far).omitted == ONLY_SOURCE


def test_what_is_left_out_does_not_change_the_choice():
    client, service = ip_address("10.1.1.5"), ip_address(VIP)

    def chosen(port, far_port):
        hashed = flow_hash(((client, port), (service, far_port)), 6, ONLY_SOURCE)
        return choose([11, 22, 33], hashed)

    assert len({chosen(port, 80 + port) for port in range(100)}) == 1


@pytest.mark.parametrize("omitted", [0, ONLY_SOURCE, 16, 8 | 32])
def test_names_of_fields_say_what_is_left_out(omitted):
    assert omitted_of(fields_of(omitted)) == omitted


@pytest.mark.parametrize("names", [(), ("colour",)])
def test_a_route_that_names_no_field_leaves_nothing_out(names):
    assert omitted_of(names) == 0


def test_further_address_of_mode_active_standby_waits_for_its_announcement():
    made = host(make_config(mode="active-standby"), "a", "b")

    assert ip_network(VIP) not in {route.key for _, route in made.published()}
    assert all(row.announces for row in rows(made, InterfaceRow) if row.ifindex in {10, 11})
    assert [str(each) for each in made.active("a").port.addresses] == ["10.1.1.3"]
