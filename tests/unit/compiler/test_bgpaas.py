import msgspec

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Create, Delete, Update, all_keys, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.transactions import groups
from skytrail.model.annotation_names import BGPAAS_CONTROL_NODES
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import BgpRouter, ControlNodeZone
from skytrail.model.generated.types import (
    BGPaaSControlNodeZoneAttributes,
    BgpRouterParams,
    BgpSessionAttributes,
    IpamSubnetType,
)
from skytrail.model.objects import decode_object
from skytrail.testing.configuration import (
    instance_ip,
    link_with,
    network_ipam,
    port,
    routing_instance,
    virtual_network,
)
from skytrail.testing.control_plane import BGP_PLACE
from skytrail.testing.routing import bgp_service, system_config

IPAM = network_ipam("ipam")
RED = virtual_network("red", ipams=[(IPAM, "10.1.1.0/24")])
ONE, TWO = port("one", RED), port("two", RED)
ADDRESSES = instance_ip("a1", "10.1.1.3", RED, ONE), instance_ip("a2", "10.1.1.4", RED, TWO)
BASE = (IPAM, RED, routing_instance(RED), ONE, TWO, *ADDRESSES)


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load([*BASE, *items])
    return engine


def routers(engine, kind):
    found = [engine.wanted(key) for key in engine.wanted_keys() if key.type_name == "bgp-router"]
    parameters = "bgp_router_parameters"
    written = [each for each in found if parameters in each.properties]
    return [each for each in written if each.properties[parameters].router_type == kind]


def parameters(derived):
    return derived.properties["bgp_router_parameters"]


def carry_out(engine):
    """Do to the intent what the API would do to the store; return what was done."""
    writes = plan(engine, all_keys(engine))
    for write in writes:
        match write:
            case Create(key, _, wire):
                engine.apply([Put(decode_object(key.type_name, dict(wire)))])
            case Update(key, uuid, wire):
                known = engine.intent.item(key.type_name, uuid)
                changed = decode_object(
                    key.type_name, {"uuid": uuid, "fq_name": list(known.fq_name), **wire}
                )
                fields = {name: getattr(changed, name) for name in wire}
                engine.apply([Put(msgspec.structs.replace(known, **fields))])
            case Delete(key, uuid):
                engine.apply([Remove(key.type_name, uuid)])
    return writes


def test_every_port_gets_a_client_and_the_instance_one_server():
    engine = compiled(bgp_service("bgp", ONE, TWO))

    clients = routers(engine, "bgpaas-client")
    assert {parameters(each).address for each in clients} == {"10.1.1.3", "10.1.1.4"}
    assert {parameters(each).autonomous_system for each in clients} == {65001}
    assert len({parameters(each).source_port for each in clients}) == 2
    (server,) = routers(engine, "bgpaas-server")
    assert server.key.fq_name == (*RED.fq_name, "red", "bgpaas-server")
    assert parameters(server).autonomous_system == 64512


def test_shared_service_has_one_client_for_all_ports():
    engine = compiled(bgp_service("bgp", ONE, TWO, shared=True, address="10.1.1.9"))

    (client,) = routers(engine, "bgpaas-client")
    assert parameters(client).address == "10.1.1.9"
    for each in (ONE, TWO):
        links = engine.wanted(DerivedKey("virtual-machine-interface", each.fq_name)).links
        assert [link.to for link in links["bgp_router_refs"]] == [client.key.fq_name]


def test_client_knows_the_session_settings_zones_and_gateway_of_its_service():
    (reference,) = RED.network_ipam_refs
    subnet = msgspec.structs.replace(reference.attr.ipam_subnets[0], default_gateway="10.1.1.1")
    assert isinstance(subnet, IpamSubnetType)
    attr = msgspec.structs.replace(reference.attr, ipam_subnets=(subnet,))
    red = msgspec.structs.replace(RED, network_ipam_refs=(link_with(IPAM, attr),))
    zone = ControlNodeZone(uuid="z", fq_name=("default-global-system-config", "zone"))
    kind = BGPaaSControlNodeZoneAttributes(bgpaas_control_node_zone_type="primary")
    service = msgspec.structs.replace(
        bgp_service("bgp", ONE),
        bgpaas_session_attributes=BgpSessionAttributes(hold_time=30),
        control_node_zone_refs=(link_with(zone, kind),),
    )

    (client,) = routers(compiled(service, zone, red), "bgpaas-client")

    assert parameters(client).gateway_address == "10.1.1.1"
    assert [link.to for link in client.links["control_node_zone_refs"]] == [zone.fq_name]
    (peering,) = client.links["bgp_router_refs"]
    assert peering.to[-1] == "bgpaas-server"
    assert peering.attr.session[0].attributes[0].hold_time == 30


def control_node(name, address, zone, kind="control-node"):
    return BgpRouter(
        uuid=f"router-{name}",
        fq_name=(*BGP_PLACE, name),
        bgp_router_parameters=BgpRouterParams(router_type=kind, address=address),
        control_node_zone_refs=(link_with(zone, None),),
    )


def zone_of(name):
    return ControlNodeZone(uuid=f"zone-{name}", fq_name=("default-global-system-config", name))


def test_client_names_the_control_nodes_of_its_zones():
    east, west = zone_of("east"), zone_of("west")
    service = msgspec.structs.replace(
        bgp_service("bgp", ONE),
        control_node_zone_refs=tuple(
            link_with(zone, BGPaaSControlNodeZoneAttributes(bgpaas_control_node_zone_type=kind))
            for zone, kind in ((east, "primary"), (west, "secondary"))
        ),
    )
    nodes = (
        control_node("c1", "10.0.0.1", east),
        control_node("c2", "10.0.0.2", east),
        control_node("c3", "10.0.0.3", west),
        control_node("mx", "10.0.0.9", west, kind="router"),
    )
    engine = compiled(service, east, west, *nodes)

    def notes():
        (client,) = routers(engine, "bgpaas-client")
        return {pair.key: pair.value for pair in client.properties["annotations"].key_value_pair}

    first, second = BGPAAS_CONTROL_NODES
    assert sorted(notes()[first].split(",")) == ["10.0.0.1", "10.0.0.2"]
    assert notes()[second] == "10.0.0.3"

    engine.apply([Remove("bgp-router", "router-c3"), Remove("bgp-router", "router-c1")])

    assert notes() == {first: "10.0.0.2", second: ""}


def test_everything_of_a_service_is_written_at_once_the_server_first():
    engine = compiled(bgp_service("bgp", ONE))
    (together,) = [
        group
        for group in groups(plan(engine, all_keys(engine)))
        if any(write.key.type_name == "bgp-router" for write in group)
    ]

    assert [write.key.type_name for write in together] == [
        "bgp-router",
        "bgp-router",
        "virtual-machine-interface",
        "bgp-as-a-service",
    ]
    assert together[0].key.fq_name[-1] == "bgpaas-server"


def test_source_port_stays_whoever_comes_and_goes():
    engine = compiled(bgp_service("bgp", ONE), system_config(ports=(50000, 50002)))
    carry_out(engine)
    (client,) = routers(engine, "bgpaas-client")

    engine.apply([Put(bgp_service("bgp", ONE, TWO)), Put(bgp_service("aaa", TWO))])
    carry_out(engine)

    kept = engine.wanted(client.key)
    assert parameters(kept).source_port == parameters(client).source_port
    numbers = [parameters(each).source_port for each in routers(engine, "bgpaas-client")]
    assert sorted(numbers) == [50000, 50001, 50002]


def test_nothing_is_written_twice():
    engine = compiled(bgp_service("bgp", ONE, TWO))

    assert carry_out(engine)
    assert carry_out(engine) == []


def test_removed_service_leaves_nothing_behind_references_first():
    service = bgp_service("bgp", ONE)
    engine = compiled(service)
    carry_out(engine)

    engine.apply([Remove(service.type_name, service.uuid)])
    writes = carry_out(engine)

    assert [(type(each), each.key.type_name) for each in writes] == [
        (Update, "virtual-machine-interface"),
        (Delete, "bgp-router"),
        (Delete, "bgp-router"),
    ]
    assert writes[-1].key.fq_name[-1] == "bgpaas-server"
    assert engine.intent.item(ONE.type_name, ONE.uuid).bgp_router_refs == ()


def test_router_of_a_user_is_kept_on_the_port():
    mine = link_with(decode_object("bgp-router", {"uuid": "6f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11",
                                                  "fq_name": ["a", "b", "c", "d", "mine"]}), None)  # fmt: skip
    own = msgspec.structs.replace(ONE, bgp_router_refs=(mine,))
    engine = compiled(own, bgp_service("bgp", ONE))

    links = engine.wanted(DerivedKey("virtual-machine-interface", ONE.fq_name)).links

    assert {link.to[-1][:6] for link in links["bgp_router_refs"]} == {"mine", "bgpaas"}


def test_used_up_ports_and_missing_settings_are_reported():
    engine = compiled(
        bgp_service("bgp", ONE, TWO), bgp_service("none", asn=None), system_config(ports=(7, 7))
    )

    assert sorted(each.reason for each in engine.violations()) == [
        "bgpaas_ports_exhausted",
        "no_autonomous_system",
    ]
    assert len(routers(engine, "bgpaas-client")) == 1


def test_port_without_address_waits_for_one():
    bare = port("bare", RED)
    engine = compiled(bare, bgp_service("bgp", bare))
    assert [each.reason for each in engine.violations()] == ["no_address"]

    engine.apply([Put(instance_ip("a3", "10.1.1.7", RED, bare))])

    (client,) = routers(engine, "bgpaas-client")
    assert parameters(client).address == "10.1.1.7"
    assert client.key.fq_name[-1] != derived_uuid("bgp-router", client.key.fq_name)
