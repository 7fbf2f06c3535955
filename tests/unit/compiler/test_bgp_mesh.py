import msgspec

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import plan
from skytrail.compiler.engine import Engine, Put
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.types import BgpPeeringAttributes
from skytrail.model.objects import Reference
from skytrail.testing.routing import bgp_router, sub_cluster, system_config


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def peers(engine, router):
    links = engine.wanted(DerivedKey("bgp-router", router.fq_name)).links
    return {each.to[-1] for each in links.get("bgp_router_refs", ())}


def written(engine, router):
    """Store the router as the compiler wants it."""
    wanted = engine.wanted(DerivedKey("bgp-router", router.fq_name))
    links = tuple(
        Reference(to=each.to, uuid=engine.intent.find("bgp-router", each.to).uuid, attr=each.attr)
        for each in wanted.links["bgp_router_refs"]
    )
    stored = msgspec.structs.replace(router, bgp_router_refs=links, **wanted.properties)
    engine.apply([Put(stored)])
    return stored


def test_control_nodes_of_the_global_as_form_a_full_mesh():
    routers = [bgp_router(name) for name in ("c1", "c2", "c3")]
    engine = compiled(*routers, system_config())

    assert [peers(engine, each) for each in routers] == [{"c2", "c3"}, {"c1", "c3"}, {"c1", "c2"}]


def test_router_of_another_as_is_left_to_the_user():
    gateway = bgp_router("gw", kind="router", asn=65000, vendor="other")
    node = bgp_router("c1", gateway)
    engine = compiled(node, gateway)

    assert peers(engine, node) == {"gw"}
    assert peers(engine, gateway) == set()


def test_control_node_of_another_installation_keeps_its_as_and_is_left_to_the_user():
    external = bgp_router("west", kind="external-control-node", asn=64999, vendor="contrail")
    node = bgp_router("c1", external)
    engine = compiled(node, external)

    assert peers(engine, node) == {"west"}
    assert peers(engine, external) == set()
    assert not engine.wanted(DerivedKey("bgp-router", external.fq_name)).properties


def test_gateway_of_the_same_as_takes_part():
    gateway = bgp_router("gw", kind="router", vendor="other")

    assert peers(compiled(bgp_router("c1"), gateway), gateway) == {"c1"}


def test_sub_clusters_have_their_own_mesh_and_as():
    site = sub_cluster("site", 65100)
    routers = [bgp_router("c1"), bgp_router("s1", site=site), bgp_router("s2", site=site)]
    engine = compiled(site, *routers)

    assert [peers(engine, each) for each in routers] == [set(), {"s2"}, {"s1"}]
    properties = engine.wanted(DerivedKey("bgp-router", routers[1].fq_name)).properties
    assert properties["bgp_router_parameters"].autonomous_system == 65100


def test_with_a_route_reflector_gateways_peer_with_it_alone():
    reflector = bgp_router("rr", kind="external-control-node", cluster_id=7)
    nodes = bgp_router("c1"), bgp_router("c2")
    gateways = [bgp_router(name, kind="router", vendor="other") for name in ("g1", "g2")]
    engine = compiled(reflector, *nodes, *gateways)

    assert peers(engine, gateways[0]) == {"rr"}
    assert peers(engine, nodes[0]) == {"rr", "c2"}
    assert peers(engine, reflector) == {"c1", "c2", "g1", "g2"}


def test_change_of_the_global_as_rewrites_our_routers_and_no_gateway():
    node, gateway = bgp_router("c1"), bgp_router("gw", kind="router", vendor="other")
    engine = compiled(node, gateway, system_config(65535))

    (write,) = plan(engine, engine.wanted_keys())
    assert write.key.fq_name == node.fq_name
    assert write.wire["bgp_router_parameters"]["autonomous_system"] == 65535
    assert peers(engine, node) == set()


def test_peering_carries_the_families_of_both():
    one = bgp_router("c1", families=["inet-vpn", "e-vpn", "route-target"])
    other = bgp_router("c2", families=["route-target", "inet-vpn"])
    ((link,),) = [
        compiled(one, other).wanted(DerivedKey("bgp-router", one.fq_name)).links["bgp_router_refs"]
    ]

    ((attributes,),) = [session.attributes for session in link.attr.session]
    assert attributes.address_families.family == ("inet-vpn", "route-target")


def test_router_that_leaves_the_as_loses_the_mesh_and_keeps_what_users_made():
    by_hand, node = bgp_router("gw", kind="router", asn=65000), bgp_router("c2")
    router = bgp_router("r", by_hand, kind="router", vendor="other")
    engine = compiled(by_hand, node, router)
    stored = written(engine, router)
    assert peers(engine, router) == {"c2", "gw"}

    parameters = msgspec.structs.replace(stored.bgp_router_parameters, autonomous_system=65000)
    engine.apply([Put(msgspec.structs.replace(stored, bgp_router_parameters=parameters))])

    assert peers(engine, router) == {"gw"}


def test_attributes_that_a_user_set_on_a_peering_of_the_mesh_stay():
    one, other = bgp_router("c1"), bgp_router("c2")
    engine = compiled(one, other)
    stored = written(engine, one)
    (reference,) = stored.bgp_router_refs
    (session,) = reference.attr.session
    edited = msgspec.structs.replace(
        session, attributes=(msgspec.structs.replace(session.attributes[0], hold_time=30),)
    )
    attr = BgpPeeringAttributes(session=(edited,))
    changed = Reference(to=reference.to, uuid=reference.uuid, attr=attr)

    engine.apply([Put(msgspec.structs.replace(stored, bgp_router_refs=(changed,)))])

    assert plan(engine, [DerivedKey("bgp-router", one.fq_name)]) == []


def test_without_auto_mesh_peerings_are_nobodys_but_the_users():
    engine = compiled(bgp_router("c1"), bgp_router("c2"), system_config(mesh=False))

    assert plan(engine, engine.wanted_keys()) == []
