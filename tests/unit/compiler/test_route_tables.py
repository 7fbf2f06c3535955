import msgspec

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.types import IpamSubnets, IpamSubnetType, VnSubnetsType
from skytrail.testing.configuration import (
    instance_ip,
    link,
    network_ipam,
    port,
    routing_instance,
    subnet,
    text_of,
    virtual_network,
)
from skytrail.testing.routing import (
    logical_router,
    port_tuple,
    route,
    route_table,
    service_instance,
    service_port,
    with_routing,
)

IPAM = network_ipam("ipam")
RED = virtual_network("red", ipams=[(IPAM, "10.1.1.0/24")])
BLUE = virtual_network("blue", ipams=[(IPAM, "10.1.2.0/24")])
OUTSIDE = virtual_network("outside", ipams=[(IPAM, "100.64.0.0/29")])
NETWORKS = (RED, BLUE, OUTSIDE)
NAT = service_instance("nat")
MEMBER = port_tuple("member", NAT)
NAT_LEFT = service_port("nat-left", OUTSIDE, MEMBER, "left")
NAT_ADDRESS = instance_ip("nat-left", "100.64.0.3", OUTSIDE, NAT_LEFT)
BASE = (IPAM, *map(routing_instance, NETWORKS), *NETWORKS, NAT, MEMBER, NAT_LEFT, NAT_ADDRESS)


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(list({each.uuid: each for each in (*BASE, *items)}.values()))
    return engine


def instance(engine, network):
    return engine.wanted(DerivedKey("routing-instance", (*network.fq_name, network.name)))


def routes(engine, network):
    found = instance(engine, network).properties["static_route_entries"].route
    return [(each.prefix, each.next_hop) for each in found]


def targets(engine, network):
    links = instance(engine, network).links["route_target_refs"]
    return {each.to[0]: each.attr.import_export for each in links}


def reasons(engine):
    return [each.reason for each in engine.violations()]


def routed(router, *tables):
    return msgspec.structs.replace(router, route_table_refs=tuple(link(each) for each in tables))


def test_table_of_a_network_becomes_entries_of_its_instance_with_communities():
    table = route_table("t", route("10.9.0.7/16", "10.1.1.9", "64512:100", "no-export"))
    engine = compiled(table, with_routing(RED, table))

    (entry,) = instance(engine, RED).properties["static_route_entries"].route
    assert (entry.prefix, entry.next_hop) == ("10.9.0.0/16", "10.1.1.9")
    assert entry.community == ("64512:100", "no-export")
    assert routes(engine, BLUE) == []


def test_service_next_hop_stands_for_its_interface_in_the_network():
    table = route_table("t", route("0.0.0.0/0", text_of(NAT), kind="service-instance"))
    inside = service_port("nat-right", RED, MEMBER, "right")
    addresses = (
        instance_ip("own", "10.1.1.4", RED, inside),
        msgspec.structs.replace(
            instance_ip("shared", "10.1.1.20", RED, inside), service_instance_ip=True
        ),
    )
    engine = compiled(table, with_routing(RED, table), inside, *addresses)

    assert routes(engine, RED) == [("0.0.0.0/0", "10.1.1.20")]


def test_route_whose_next_hop_is_not_there_is_left_out_and_reported_until_it_is():
    table = route_table("t", route("0.0.0.0/0", text_of(NAT)), route("::/0", "10.1.1.1"))
    engine = compiled(table, with_routing(OUTSIDE, table))
    assert routes(engine, OUTSIDE) == [("0.0.0.0/0", "100.64.0.3")]
    assert reasons(engine) == ["next_hop_not_found"]

    engine.apply([Remove(NAT_ADDRESS.type_name, NAT_ADDRESS.uuid)])

    assert routes(engine, OUTSIDE) == []
    assert reasons(engine) == ["next_hop_not_found"] * 2


def test_bad_prefix_is_reported_on_the_table():
    table = route_table("t", route("red", "10.1.1.1"))
    engine = compiled(table, with_routing(RED, table))

    (violation,) = engine.violations()
    assert (violation.type_name, violation.reason) == ("route-table", "bad_prefix")


def test_router_route_through_a_service_enters_in_front_of_it_and_reaches_all_networks():
    ports = port("r-red", RED), port("r-blue", BLUE)
    table = route_table("t", route("0.0.0.0/0", text_of(NAT)))
    router = routed(logical_router("r", *ports, targets=["target:65000:1"]), table)
    engine = compiled(table, *ports, router)

    (entry,) = instance(engine, OUTSIDE).properties["static_route_entries"].route
    assert entry.next_hop == "100.64.0.3"
    assert set(entry.route_target) < set(targets(engine, RED))
    # Answers must find their way to every network of the router.
    assert targets(engine, OUTSIDE)["target:65000:1"] == "import"
    assert routes(engine, RED) == routes(engine, BLUE) == []


def test_router_route_to_an_address_enters_in_the_network_that_holds_it():
    ports = port("r-red", RED), port("r-blue", BLUE)
    table = route_table("t", route("10.9.0.0/16", "10.1.2.7"), route("10.8.0.0/16", "192.0.2.1"))
    engine = compiled(table, *ports, routed(logical_router("r", *ports), table))

    assert routes(engine, BLUE) == [("10.9.0.0/16", "10.1.2.7")]
    assert routes(engine, RED) == []
    assert reasons(engine) == ["next_hop_not_found"]


def test_router_route_may_lead_to_an_address_of_a_flat_subnet():
    flat = msgspec.structs.replace(
        network_ipam("flat"),
        ipam_subnets=IpamSubnets(subnets=(IpamSubnetType(subnet=subnet("10.7.0.0/24")),)),
    )
    reference = msgspec.structs.replace(RED.network_ipam_refs[0], to=flat.fq_name, uuid=flat.uuid)
    empty = msgspec.structs.replace(reference, attr=VnSubnetsType())
    shared = msgspec.structs.replace(RED, network_ipam_refs=(empty,))
    table = route_table("t", route("10.9.0.0/16", "10.7.0.9"))
    ports = (port("r-red", RED),)
    engine = compiled(flat, shared, table, *ports, routed(logical_router("r", *ports), table))

    assert routes(engine, RED) == [("10.9.0.0/16", "10.7.0.9")]
    assert reasons(engine) == []


def test_removed_table_takes_its_routes_away():
    table = route_table("t", route("10.9.0.0/16", "10.1.1.9"))
    engine = compiled(table, with_routing(RED, table))

    engine.apply([Put(RED)])

    assert routes(engine, RED) == []
