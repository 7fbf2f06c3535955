from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.route_targets import NUMBERS_FOUR_BYTE_AS, NUMBERS_TWO_BYTE_AS
from skytrail.model.generated.objects import Bgpvpn, GlobalSystemConfig, RouteTarget
from skytrail.model.generated.types import RouteTargetList
from skytrail.testing.configuration import link, routing_instance, uuid_of, virtual_network


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def system(asn):
    name = ("default-global-system-config",)
    return GlobalSystemConfig(uuid="g", fq_name=name, autonomous_system=asn)


def targets(engine, network):
    key = DerivedKey("routing-instance", (*network.fq_name, network.name))
    links = engine.wanted(key).links["route_target_refs"]
    return {each.to[0]: each.attr.import_export for each in links}


def referring(instance, *texts):
    links = tuple(
        link(RouteTarget(uuid=uuid_of("route-target", (text,)), fq_name=(text,))) for text in texts
    )
    return type(instance)(uuid=instance.uuid, fq_name=instance.fq_name, route_target_refs=links)


def test_default_instance_gets_its_own_target_and_the_object_for_it():
    red = virtual_network("red")

    engine = compiled(red, routing_instance(red), system(64900))

    ((text, direction),) = targets(engine, red).items()
    assert text.startswith("target:64900:")
    assert int(text.rsplit(":", 1)[1]) in NUMBERS_TWO_BYTE_AS
    assert direction is None
    assert engine.wanted(DerivedKey("route-target", (text,))) is not None


def test_four_byte_asn_uses_the_small_pool():
    red = virtual_network("red")

    (text,) = targets(compiled(red, routing_instance(red), system(200000)), red)

    assert int(text.rsplit(":", 1)[1]) in NUMBERS_FOUR_BYTE_AS


def test_instance_keeps_the_target_it_has():
    red = virtual_network("red")
    instance = referring(routing_instance(red), "target:64512:8000123")

    assert list(targets(compiled(red, instance), red)) == ["target:64512:8000123"]


def test_target_object_of_somebody_else_is_not_taken():
    red = virtual_network("red")
    (first,) = targets(compiled(red, routing_instance(red)), red)
    taken = RouteTarget(uuid="other", fq_name=(first,))

    (second,) = targets(compiled(red, routing_instance(red), taken), red)

    assert second != first


def test_user_targets_are_added_with_their_direction():
    red = virtual_network(
        "red",
        both=["target:65000:1"],
        imports=["target:65000:2", "target:65000:4"],
        exports=["target:65000:3", "target:65000:4"],
    )

    found = targets(compiled(red, routing_instance(red)), red)

    assert len(found) == 5
    assert {text: found[text] for text in found if ":65000:" in text} == {
        "target:65000:1": None,
        "target:65000:2": "import",
        "target:65000:3": "export",
        "target:65000:4": None,
    }


def test_bad_user_target_is_skipped_and_reported():
    red = virtual_network("red", both=["target:nonsense"])

    engine = compiled(red, routing_instance(red))

    assert len(targets(engine, red)) == 1
    assert [each.reason for each in engine.violations()] == ["bad_route_target"]


def test_layer3_vpn_adds_its_targets():
    vpn = Bgpvpn(
        uuid="v",
        fq_name=("default-domain", "demo", "vpn"),
        route_target_list=RouteTargetList(route_target=("target:65000:9",)),
    )
    red = virtual_network("red")
    attached = type(red)(uuid=red.uuid, fq_name=red.fq_name, bgpvpn_refs=(link(vpn),))

    assert "target:65000:9" in targets(compiled(vpn, attached, routing_instance(red)), red)


def test_network_without_instance_is_reported():
    engine = compiled(virtual_network("red"))

    assert [each.reason for each in engine.violations()] == ["no_routing_instance"]
