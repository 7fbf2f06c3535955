"""Mirroring: the analyzer's address, and the connection of its network."""

import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.types import (
    ActionListType,
    InterfaceMirrorType,
    MirrorActionType,
    PermType2,
    StaticMirrorNhType,
    VirtualMachineInterfacePropertiesType,
)
from skytrail.testing.compiled import settle
from skytrail.testing.configuration import (
    instance_ip,
    network_policy,
    port,
    routing_instance,
    rule,
    virtual_network,
)
from skytrail.testing.services import (
    port_tuple,
    service_instance,
    service_port,
    service_template,
)

RED = "default-domain:demo:red"
BLUE = "default-domain:demo:blue"
TAPS = "default-domain:demo:taps"
TEMPLATE = service_template("analyzer", "transparent", ["left"])
ANALYZER = service_instance("analyzer", TEMPLATE)
NAMED = MirrorActionType(analyzer_name="default-domain:demo:analyzer", udp_port=8099)


def analyzer(network):
    member = port_tuple("1", ANALYZER)
    tap = service_port("tap", network, member, "left")
    return [TEMPLATE, ANALYZER, member, tap, instance_ip("tap", "10.9.0.3", network, tap)]


def compiled(policy, *items, analyzer_items=None):
    red = virtual_network("red", *([] if policy is None else [policy]))
    blue, taps = virtual_network("blue"), virtual_network("taps")
    engine = Engine(ALL_PASSES)
    more = analyzer(taps) if analyzer_items is None else analyzer_items
    known = [] if policy is None else [policy]
    instances = map(routing_instance, (red, blue, taps))
    engine.load([red, blue, taps, *instances, *known, *more, *items])
    return engine


def mirroring_policy(mirror):
    action = ActionListType(simple_action="pass", mirror_to=mirror)
    return network_policy("p", rule("local", BLUE, action=action))


def entries(engine):
    key = DerivedKey("access-control-list", (*RED.split(":"), "red"))
    return engine.wanted(key).properties["access_control_list_entries"].acl_rule


def peers(engine):
    key = DerivedKey("routing-instance", (*RED.split(":"), "red"))
    return [":".join(each.to[:-1]) for each in engine.wanted(key).links["routing_instance_refs"]]


def reasons(engine):
    return [violation.reason for violation in engine.violations()]


def mirrored_port(mirror):
    settings = VirtualMachineInterfacePropertiesType(
        max_flows=7, interface_mirror=InterfaceMirrorType(mirror_to=mirror)
    )
    return msgspec.structs.replace(
        port("web", virtual_network("red")), virtual_machine_interface_properties=settings
    )


def port_properties(engine):
    key = DerivedKey("virtual-machine-interface", ("default-domain", "demo", "web"))
    return engine.wanted(key).properties["virtual_machine_interface_properties"]


def test_entry_says_where_the_analyzer_is_and_keeps_the_rest():
    mirror = entries(compiled(mirroring_policy(NAMED)))[0].action_list.mirror_to

    assert mirror.analyzer_ip_address == "10.9.0.3"
    assert mirror.routing_instance == f"{TAPS}:taps"
    assert mirror.udp_port == 8099


def test_mirrored_network_is_connected_to_the_analyzers_and_closed_to_its_workloads():
    engine = compiled(mirroring_policy(NAMED))

    assert peers(engine) == [TAPS]
    tail = [
        (each.match_condition.src_address.virtual_network, each.action_list.simple_action)
        for each in entries(engine)
        if TAPS
        in {
            each.match_condition.src_address.virtual_network,
            each.match_condition.dst_address.virtual_network,
        }
    ]
    assert tail == [(RED, "deny"), (TAPS, "deny")]


def test_missing_analyzer_passes_traffic_without_a_copy_and_is_reported():
    engine = compiled(mirroring_policy(NAMED), analyzer_items=[])

    assert entries(engine)[0].action_list == ActionListType(simple_action="pass")
    assert peers(engine) == []
    assert reasons(engine) == ["no_analyzer"]


@pytest.mark.parametrize(
    "mirror",
    [
        MirrorActionType(analyzer_ip_address="192.0.2.9", udp_port=8099),
        MirrorActionType(nh_mode="static", static_nh_header=StaticMirrorNhType(vni=7)),
        MirrorActionType(analyzer_name="tap", analyzer_ip_address="192.0.2.9"),
        MirrorActionType(
            analyzer_name="tap", analyzer_ip_address="10.9.0.9", routing_instance=f"{TAPS}:taps"
        ),
    ],
)
def test_address_a_user_gives_is_kept(mirror):
    engine = compiled(mirroring_policy(mirror))

    assert entries(engine)[0].action_list.mirror_to == mirror
    assert peers(engine) == []


def test_qualified_name_counts_more_than_an_address_beside_it():
    stale = msgspec.structs.replace(NAMED, analyzer_ip_address="10.9.0.9")

    assert reasons(compiled(mirroring_policy(stale), analyzer_items=[])) == ["no_analyzer"]


def test_mirror_without_name_and_address_is_reported():
    assert reasons(compiled(mirroring_policy(MirrorActionType(udp_port=1)))) == ["no_analyzer"]


def test_port_that_is_mirrored_gets_the_analyzers_place_and_keeps_its_other_settings():
    engine = compiled(None, mirrored_port(NAMED))

    settings = port_properties(engine)

    assert settings.max_flows == 7
    mirror = settings.interface_mirror.mirror_to
    assert (mirror.analyzer_ip_address, mirror.routing_instance) == ("10.9.0.3", f"{TAPS}:taps")
    assert peers(engine) == [TAPS]


def test_place_of_the_analyzer_follows_it_and_goes_with_it():
    engine = compiled(None, mirrored_port(NAMED))
    settle(engine)

    engine.apply([Remove(ANALYZER.type_name, ANALYZER.uuid)])
    settle(engine)

    mirror = port_properties(engine).interface_mirror.mirror_to
    assert (mirror.analyzer_ip_address, mirror.routing_instance) == (None, None)
    assert peers(engine) == []
    assert reasons(engine) == ["no_analyzer"]
    engine.apply([Put(ANALYZER)])
    assert reasons(engine) == []


def test_analyzer_in_the_same_network_needs_no_connection():
    red = virtual_network("red")
    engine = compiled(None, mirrored_port(NAMED), analyzer_items=analyzer(red))

    assert peers(engine) == []


@pytest.mark.parametrize(("access", "may"), [(0, False), (4, False), (5, True)])
def test_another_projects_analyzer_gets_copies_only_when_it_is_shared(access, may):
    """Nor does its network become a neighbour of one that names it in text."""
    project = {"parent_type": "project", "parent_uuid": "00000000-0000-4000-8000-000000000001"}
    theirs = msgspec.structs.replace(ANALYZER, **project, perms2=PermType2(global_access=access))
    policy = msgspec.structs.replace(
        mirroring_policy(NAMED), fq_name=("default-domain", "blue", "p"), **project
    )
    items = [theirs if each is ANALYZER else each for each in analyzer(virtual_network("taps"))]

    engine = compiled(policy, analyzer_items=items)

    assert [each.reason for each in engine.violations()] == ([] if may else ["no_analyzer"])
    wanted = engine.wanted(DerivedKey("routing-instance", (*RED.split(":"), "red")))
    peers = [":".join(link.to[:-1]) for link in wanted.links.get("routing_instance_refs", ())]
    assert (TAPS in peers) is may
