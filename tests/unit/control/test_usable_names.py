"""What hosts are told of names in text that their holder's project may not use."""

import msgspec
import pytest

from skytrail.control.config_graph import ConfigGraph
from skytrail.model.generated.objects import QosConfig
from skytrail.model.generated.types import (
    ActionListType,
    InterfaceMirrorType,
    MirrorActionType,
    PermType2,
    ShareType,
    VirtualMachineInterfacePropertiesType,
)
from skytrail.testing.configuration import port, uuid_of, virtual_network
from skytrail.testing.firewall import firewall_rule, project

DEMO = msgspec.structs.replace(
    project(), parent_type="domain", parent_uuid=uuid_of("domain", ("default-domain",))
)
THEIRS = ("default-domain", "theirs")
FORBIDDEN = PermType2(global_access=4)
SHARED = PermType2(share=(ShareType(tenant=f"domain:{DEMO.parent_uuid}", tenant_access=1),))


def theirs(item):
    of_them = {"parent_type": "project", "parent_uuid": uuid_of("project", THEIRS)}
    return msgspec.structs.replace(item, fq_name=(*THEIRS, item.fq_name[-1]), **of_them)


MARKS = theirs(QosConfig(uuid=uuid_of("qos-config", (*THEIRS, "gold")), fq_name=(*THEIRS, "gold")))
TAPS = theirs(virtual_network("taps"))
INTO = ":".join((*TAPS.fq_name, "taps"))


def with_action(**action):
    return msgspec.structs.replace(
        firewall_rule("r"),
        parent_uuid=DEMO.uuid,
        action_list=ActionListType(simple_action="pass", log=True, **action),
    )


def mirrored(**mirror):
    to = MirrorActionType(analyzer_ip_address="10.9.0.3", routing_instance=INTO, **mirror)
    settings = VirtualMachineInterfacePropertiesType(
        service_interface_type="other",
        interface_mirror=InterfaceMirrorType(traffic_direction="both", mirror_to=to),
    )
    return msgspec.structs.replace(
        port("p", virtual_network("red")),
        parent_uuid=DEMO.uuid,
        virtual_machine_interface_properties=settings,
    )


COPIES = MirrorActionType(analyzer_ip_address="10.9.0.3", routing_instance=INTO)
CASES = {
    "marks": (MARKS, with_action(qos_action=":".join(MARKS.fq_name)), "gold", "pass"),
    "copies": (TAPS, with_action(mirror_to=COPIES), "taps", "pass"),
    "a port's copies": (TAPS, mirrored(), "taps", "other"),
}


@pytest.mark.parametrize("case", CASES)
def test_hosts_hear_of_a_name_while_what_it_names_is_shared(case) -> None:
    named, holder, word, rest = CASES[case]
    graph = ConfigGraph()

    def told() -> bool:
        text = graph.encoded(holder).node
        assert rest in text
        return word in text

    for item in (holder, DEMO, named):
        graph.put(item)
    assert not told()
    for permissions, may in ((SHARED, True), (FORBIDDEN, False), (SHARED, True), (None, False)):
        graph.take_outdated()
        graph.put(msgspec.structs.replace(named, perms2=permissions))
        assert holder.uuid in graph.take_outdated()
        assert told() is may


def test_a_share_with_the_domain_counts_once_the_project_is_known() -> None:
    holder = with_action(qos_action=":".join(MARKS.fq_name))
    graph = ConfigGraph()
    for item in (holder, msgspec.structs.replace(MARKS, perms2=SHARED)):
        graph.put(item)
    assert "gold" not in graph.encoded(holder).node

    graph.put(DEMO)

    assert "gold" in graph.encoded(holder).node


def test_who_names_it_no_longer_is_not_judged_again() -> None:
    graph = ConfigGraph()
    for item in (DEMO, MARKS, with_action(qos_action=":".join(MARKS.fq_name)), with_action()):
        graph.put(item)
    graph.take_outdated()

    graph.put(msgspec.structs.replace(MARKS, perms2=SHARED))

    assert list(graph.take_outdated()) == [MARKS.uuid]


def test_the_network_of_a_named_analyzer_is_the_compilers_to_judge() -> None:
    graph = ConfigGraph()
    holder = mirrored(analyzer_name="default-domain:demo:analyzer")
    for item in (DEMO, TAPS, holder):
        graph.put(item)

    assert "taps" in graph.encoded(holder).node
