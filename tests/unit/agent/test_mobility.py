"""A workload that moved: who announces which number, and whom others believe."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from itertools import pairwise

from skytrail.agent.io.state import StateFolder
from skytrail.agent.mobility import announced, announced_by, claim
from skytrail.agent.tables import BridgeRow, InetRouteRow, NextHopRow
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import EnetKey, NextHop

VRF = f"{PROJECT}:red:red"
ADDRESS = "10.1.1.3"
FIRST, SECOND = "192.0.2.1", "192.0.2.2"


def config():
    made = ConfigBuilder()
    red = made.network("red", 5, [subnet("10.1.1.0/24")])
    made.port("a", red, [ADDRESS])
    made.port("b", red, ["10.1.1.4"])
    return made


def host(address, *names):
    made = AgentHost(address)
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config().update())
    made.reconcile()
    return made


def tell(source, *hearers):
    """Others learn what a host publishes."""
    for hearer in hearers:
        for instance, route in source.published():
            hearer.learn(instance, [route], end=False)
        hearer.resolve(str(source.address))
        hearer.reconcile()


def claims(made, name="a"):
    heard = (made.sessions.learnt, IPv4Address(made.address))
    found = list(claim([uuid_of(name)], made.plugged, made.view, heard))
    for port in found:
        made.plugged[port.vmi_uuid] = port
    made.reconcile()
    return [dict(port.sequences) for port in found]


def numbers(made):
    """The sequence numbers a host announces for the workload's address, by family."""
    return {
        type(route.key).__name__: route.attributes.sequence_number
        for _, route in made.published()
        if ADDRESS in str(getattr(route.key, "address", route.key))
    }


def test_workload_that_never_moved_has_no_number():
    made = host(FIRST, "a", "b")

    assert claims(made) == []
    assert numbers(made) == {"IPv4Network": 0, "EnetKey": 0}


def test_host_a_port_is_plugged_on_last_claims_one_above_the_former():
    old, new = host(FIRST, "a", "b"), host(SECOND, "a")
    tell(old, new)

    assert claims(new) == [{ADDRESS: 1}]
    assert numbers(new) == {"IPv4Network": 1, "EnetKey": 1}


def test_former_host_sends_to_the_new_one_although_the_port_is_still_plugged():
    old, new = host(FIRST, "a", "b"), host(SECOND, "a")
    tell(old, new)
    claims(new)
    tell(new, old)

    routes = [row for row in old.datapath.dump(InetRouteRow) if row.prefix == ip_network(ADDRESS)]
    macs = [row for row in old.datapath.dump(BridgeRow) if row.mac == old.active("a").port.mac]
    assert [row.label for row in routes] == [row_label(new, ADDRESS)]
    assert [row.label != 0 for row in macs] == [True]


def row_label(made, address):
    (label,) = [
        route.next_hops[0].label
        for _, route in made.published()
        if route.key == ip_network(address)
    ]
    return label


def test_new_host_keeps_the_workload_to_itself_although_the_former_still_announces_it():
    old, new = host(FIRST, "a", "b"), host(SECOND, "a")
    tell(old, new)
    claims(new)

    (route,) = [row for row in new.datapath.dump(InetRouteRow) if row.prefix == ip_network(ADDRESS)]

    assert route.label == 0, "delivered here, not shared with the former host"


def test_number_is_claimed_once_so_that_two_hosts_do_not_race():
    one, other = host(FIRST, "a"), host(SECOND, "a")
    tell(one, other)
    assert claims(other) == [{ADDRESS: 1}]
    tell(other, one)
    assert claims(one) == [{ADDRESS: 2}]
    tell(one, other)

    assert claims(other) == []


def test_move_back_and_on_counts_up():
    hosts = [host(FIRST, "a", "b"), host(SECOND, "a"), host("192.0.2.3", "a")]
    for before, after in pairwise(hosts):
        tell(before, after)
        claims(after)

    assert numbers(hosts[2])["EnetKey"] == 2


def test_address_that_others_share_is_not_claimed():
    made = host(SECOND, "a")
    other = host(FIRST, "b")
    (theirs,) = [route for _, route in other.published() if route.key == ip_network("10.1.1.4")]
    shared = replace(theirs, key=ip_network(ADDRESS))
    made.learn(VRF, [shared], end=False)
    made.resolve(FIRST)
    made.reconcile()

    assert claims(made) == []


def test_layer_2_route_alone_is_enough_to_know_that_it_moved():
    made = host(SECOND, "a")
    old = host(FIRST, "a")
    mac = old.active("a").port.mac
    (theirs,) = [
        route
        for _, route in old.published()
        if isinstance(route.key, EnetKey) and route.key.mac == mac
    ]
    made.learn(VRF, [theirs], end=False)
    made.resolve(FIRST)
    made.reconcile()

    assert claims(made) == [{ADDRESS: 1}]


def test_own_copy_heard_from_a_control_node_is_no_move():
    made = host(FIRST, "a")
    (own,) = [route for _, route in made.published() if route.key == ip_network(ADDRESS)]
    hop = own.next_hops[0]
    assert isinstance(hop, NextHop)
    assert hop.address == ip_address(FIRST)
    made.learn(VRF, [own], end=False)
    made.reconcile()

    assert claims(made) == []


def test_numbers_survive_a_restart(tmp_path):
    old, new = host(FIRST, "a", "b"), host(SECOND, "a")
    tell(old, new)
    claims(new)
    state = StateFolder(tmp_path)
    state.save_ports(list(new.plugged.values()))

    (restored,) = StateFolder(tmp_path).load_ports()

    assert dict(restored.sequences) == {ADDRESS: 1}


PAIR = "10.1.1.50"


def pair_config(mode="active-standby"):
    made = config()
    prefix = {"ip_prefix": PAIR, "ip_prefix_len": 32}
    pairs = {"allowed_address_pair": [{"ip": prefix, "address_mode": mode}]}
    for key in [key for key in made.nodes if key.type_name == "virtual-machine-interface"]:
        made.node(
            key.type_name,
            key.name,
            **made.nodes[key].properties,
            virtual_machine_interface_allowed_address_pairs=pairs,
        )
    return made


def pair_host(address, *names):
    made = host(address, *names)
    made.configure(pair_config().update())
    made.reconcile()
    return made


def announces(made, name, address=PAIR):
    """A workload's gratuitous ARP; what changes is taken over as the service does."""
    heard = (made.sessions.learnt, made.address)
    found = list(announced(uuid_of(name), ip_address(address), made.plugged, made.view, heard))
    for port in found:
        made.plugged[port.vmi_uuid] = port
    made.reconcile()
    return len(found)


def pair_route(made):
    routes = {(instance, route.key): route for instance, route in made.published()}
    return routes.get((VRF, ip_network(PAIR)))


def way(made):
    """The next hop of the pair's route: a local port's number or a tunnel's far end."""
    key = (made.desired.vrfs[VRF], ip_network(PAIR))
    (row,) = [row for row in made.datapath.dump(InetRouteRow) if row.key == key]
    hops = made.datapath.dump(NextHopRow)
    (hop,) = [hop for hop in hops if hop.nexthop_id == row.nexthop_id]
    return hop.vif_id or str(hop.remote)


def test_a_pair_is_nobody_s_until_somebody_announces_it():
    made = pair_host(FIRST, "a", "b")
    assert pair_route(made) is None

    assert announces(made, "a") == 1
    assert pair_route(made).attributes.sequence_number == 1
    assert way(made) == made.vif("a")
    assert announces(made, "a") == 0, "saying it again changes nothing"


def test_the_last_to_announce_a_pair_has_it_on_one_host_and_between_two():
    one, two = pair_host(FIRST, "a"), pair_host(SECOND, "b")
    announces(one, "a")
    tell(one, two)
    assert way(two) == FIRST

    announces(two, "b")
    tell(two, one)
    assert (way(one), way(two)) == (SECOND, two.vif("b"))

    announces(one, "a")
    tell(one, two)
    assert (way(one), way(two)) == (one.vif("a"), FIRST)

    both = pair_host(FIRST, "a", "b")
    announces(both, "a")
    announces(both, "b")
    assert way(both) == both.vif("b")


def test_a_workload_announces_nothing_but_pairs_of_its_own_that_one_has_at_a_time():
    made = pair_host(FIRST, "a")
    assert announces(made, "a", "10.1.1.51") == 0
    assert announces(made, "a", ADDRESS) == 0

    shared = host(FIRST, "a")
    shared.configure(pair_config("active-active").update())
    shared.reconcile()
    assert announces(shared, "a") == 0


def test_a_pair_s_number_is_not_the_mac_s():
    made = pair_host(FIRST, "a")
    announces(made, "a")

    assert set(numbers(made).values()) == {0}


PAIR6 = "fd00:1::50"


def pair6_host(address, *names):
    made = host(address, *names)
    settings = pair_config()
    for key in [key for key in settings.nodes if key.type_name == "virtual-machine-interface"]:
        prefix = {"ip_prefix": PAIR6, "ip_prefix_len": 128}
        pairs = {"allowed_address_pair": [{"ip": prefix, "address_mode": "active-standby"}]}
        name = "virtual_machine_interface_allowed_address_pairs"
        settings.node(key.type_name, key.name, **{**settings.nodes[key].properties, name: pairs})
    made.configure(settings.update())
    made.reconcile()
    return made


def pair6_route(made):
    routes = {(instance, route.key): route for instance, route in made.published()}
    return routes.get((VRF, ip_network(PAIR6)))


def test_an_ipv6_pair_goes_to_the_host_that_announces_it_last():
    old, new = pair6_host(FIRST, "a"), pair6_host(SECOND, "b")
    assert pair6_route(old) is None
    assert announces(old, "a", PAIR6) == 1
    first = pair6_route(old)
    new.learn(VRF, [first])
    new.reconcile()

    assert announces(new, "b", PAIR6) == 1

    second = pair6_route(new)
    assert second.attributes.sequence_number == first.attributes.sequence_number + 1
    assert announces(new, "b", PAIR6) == 0


def test_a_frame_tells_which_address_it_announces():
    arp = bytes(12) + b"\x08\x06" + bytes(14) + ip_address("10.1.1.50").packed + bytes(10)
    advertisement = bytes(12) + b"\x86\xdd" + bytes(40) + bytes(8) + ip_address(PAIR6).packed

    assert announced_by(arp) == ip_address("10.1.1.50")
    assert announced_by(advertisement) == ip_address(PAIR6)
