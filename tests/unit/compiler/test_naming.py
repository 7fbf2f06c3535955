"""Names in text of another project's objects: in force while they are shared, and no longer."""

import msgspec
import pytest

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.objects import QosConfig
from skytrail.model.generated.types import ActionListType, MirrorActionType, PermType2, ShareType
from skytrail.testing.configuration import (
    instance_ip,
    link,
    network_ipam,
    network_policy,
    routing_instance,
    rule,
    uuid_of,
    virtual_network,
)
from skytrail.testing.firewall import firewall_rule, project
from skytrail.testing.routing import port_tuple, route, route_table, service_instance, service_port

DEMO = project()
THEIRS = ("default-domain", "theirs")
IPAM = network_ipam("ipam")
RED, BLUE = "default-domain:demo:red", "default-domain:demo:blue"
NONE, READ, USE = (
    PermType2(share=(ShareType(tenant=DEMO.uuid, tenant_access=access),)) for access in (0, 4, 5)
)


def theirs(item, permissions=USE):
    """Move an object to another project."""
    return msgspec.structs.replace(
        item,
        fq_name=(*THEIRS, item.fq_name[-1]),
        parent_type="project",
        parent_uuid=uuid_of("project", THEIRS),
        perms2=permissions,
    )


def ours(item):
    return msgspec.structs.replace(item, parent_type="project", parent_uuid=DEMO.uuid)


SERVICE = theirs(service_instance("fw"))
VRF = theirs(virtual_network("taps"))
MARKS = theirs(QosConfig(uuid=uuid_of("qos-config", (*THEIRS, "gold")), fq_name=(*THEIRS, "gold")))
INSTANCE = routing_instance(VRF)
NAME = ":".join(INSTANCE.fq_name)


def red(*policies):
    return virtual_network("red", *policies, ipams=[(IPAM, "10.1.1.0/24")])


def with_rule(**action):
    entry = ActionListType(simple_action="pass", **action)
    policy = ours(network_policy("p", rule(RED, BLUE, action=entry)))
    networks = [red(policy), virtual_network("blue", policy)]
    return [policy, *networks, *map(routing_instance, networks)]


def with_table():
    table = ours(route_table("t", route("0.0.0.0/0", ":".join(SERVICE.fq_name))))
    member = port_tuple("1", SERVICE)
    network = msgspec.structs.replace(red(), route_table_refs=(link(table),))
    port = service_port("left", network, member, "left")
    address = instance_ip("left", "10.1.1.9", network, port)
    return [table, network, routing_instance(network), member, port, address]


def with_firewall_rule(**action):
    entry = ActionListType(simple_action="pass", **action)
    return [ours(msgspec.structs.replace(firewall_rule("r"), action_list=entry))]


COPIES = MirrorActionType(analyzer_ip_address="10.9.0.3", routing_instance=NAME)
MARKED = ":".join(MARKS.fq_name)
CASES = {
    "service": (SERVICE, with_rule(apply_service=(":".join(SERVICE.fq_name),)), "unknown_service"),
    "assigned instance": (VRF, with_rule(assign_routing_instance=NAME), "unknown_routing_instance"),
    "copies": (VRF, with_rule(mirror_to=COPIES), "no_analyzer"),
    "marks": (MARKS, with_rule(qos_action=MARKED), "unknown_qos_config"),
    "next hop": (SERVICE, with_table(), "next_hop_not_found"),
    "marks of a firewall rule": (
        MARKS,
        with_firewall_rule(qos_action=MARKED),
        "unknown_qos_config",
    ),
    "copies of a firewall rule": (VRF, with_firewall_rule(mirror_to=COPIES), "no_analyzer"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_share_that_is_taken_back_or_given_again_counts_at_once(case) -> None:
    named, items, reason = CASES[case]
    engine = Engine(ALL_PASSES)
    engine.load([DEMO, IPAM, SERVICE, VRF, MARKS, INSTANCE, *items])
    refused = {each.reason for each in engine.violations()}
    shared = state(engine)

    assert reason not in refused
    for permissions in (READ, NONE, None):
        engine.apply([Put(msgspec.structs.replace(named, perms2=permissions))])
        assert reason in {each.reason for each in engine.violations()}
        # A service without members leads nowhere either; hosts read firewall rules themselves.
        assert (state(engine) != shared) == (case != "service" and "firewall" not in case)
    engine.apply([Put(named)])
    assert state(engine) == shared
    assert {each.reason for each in engine.violations()} == refused


def state(engine):
    keys = [
        DerivedKey("access-control-list", (*RED.split(":"), "red")),
        DerivedKey("routing-instance", (*RED.split(":"), "red")),
    ]
    wanted = [engine.wanted(key) for key in keys]
    return [each and (each.properties, each.links) for each in wanted]


@pytest.mark.parametrize(
    "items",
    [
        with_rule(apply_service=(":".join(SERVICE.fq_name),)),
        with_rule(assign_routing_instance=NAME),
    ],
)
def test_where_traffic_may_go_is_closed_without_the_share(items) -> None:
    engine = Engine(ALL_PASSES)
    engine.load([DEMO, IPAM, *(theirs(each, NONE) for each in (SERVICE, VRF)), INSTANCE, *items])

    (entry, *_) = (
        engine.wanted(DerivedKey("access-control-list", (*RED.split(":"), "red")))
        .properties["access_control_list_entries"]
        .acl_rule
    )
    assert entry.action_list == ActionListType(simple_action="deny")


def test_the_underlay_is_everybodys() -> None:
    underlay = "default-domain:default-project:ip-fabric:__default__"
    fabric = msgspec.structs.replace(
        VRF, fq_name=tuple(underlay.split(":"))[:-1], perms2=PermType2(global_access=0)
    )
    copies = MirrorActionType(analyzer_ip_address="198.51.100.1", routing_instance=underlay)
    engine = Engine(ALL_PASSES)

    engine.load([DEMO, IPAM, fabric, routing_instance(fabric), *with_rule(mirror_to=copies)])

    assert [each.reason for each in engine.violations()] == []
