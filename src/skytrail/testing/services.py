"""Builders and strategies of service instances, their ports, and rules that use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from hypothesis import strategies as st

from skytrail.model.generated.objects import (
    InstanceIp,
    InterfaceRouteTable,
    NetworkIpam,
    PortTuple,
    ServiceHealthCheck,
    ServiceInstance,
    ServiceTemplate,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    ActionListType,
    AllowedAddressPair,
    AllowedAddressPairs,
    InterfaceMirrorType,
    MirrorActionType,
    ServiceHealthCheckType,
    ServiceInstanceInterfaceType,
    ServiceInstanceType,
    ServiceInterfaceTag,
    ServiceTemplateInterfaceType,
    ServiceTemplateType,
    VirtualMachineInterfacePropertiesType,
)
from skytrail.model.objects import ConfigObject
from skytrail.testing import configuration as build

CHAIN_IPAM: Final = ("default-domain", "default-project", "service-chain-flat-ipam")


def chain_ipam() -> NetworkIpam:
    """The address manager of transparent services, which the API server makes."""
    uuid = build.uuid_of("network-ipam", CHAIN_IPAM)
    return NetworkIpam(uuid=uuid, fq_name=CHAIN_IPAM, parent_type="project")


def service_template(
    name: str, mode: str | None, roles: Sequence[str] = ("left", "right")
) -> ServiceTemplate:
    fq_name = ("default-domain", name)
    return ServiceTemplate(
        uuid=build.uuid_of("service-template", fq_name),
        fq_name=fq_name,
        parent_type="domain",
        service_template_properties=ServiceTemplateType(
            service_mode=mode,
            service_type="firewall",
            interface_type=tuple(
                ServiceTemplateInterfaceType(service_interface_type=role) for role in roles
            ),
        ),
    )


def service_instance(
    name: str,
    template: ServiceTemplate | None = None,
    *,
    ha_mode: str | None = None,
    kind: str | None = None,
    left_pair: str | None = None,
) -> ServiceInstance:
    """``left_pair``: a prefix that the left interfaces may use besides their own addresses."""
    fq_name = (*build.PROJECT, name)
    pair = (
        None
        if left_pair is None
        else AllowedAddressPairs(
            allowed_address_pair=(AllowedAddressPair(ip=build.subnet(left_pair)),)
        )
    )
    return ServiceInstance(
        uuid=build.uuid_of("service-instance", fq_name),
        fq_name=fq_name,
        parent_type="project",
        service_template_refs=() if template is None else (build.link(template),),
        service_instance_properties=ServiceInstanceType(
            ha_mode=ha_mode,
            service_virtualization_type=kind,
            interface_list=(ServiceInstanceInterfaceType(allowed_address_pairs=pair),),
        ),
    )


def port_tuple(name: str, service: ServiceInstance) -> PortTuple:
    fq_name = (*service.fq_name, name)
    return PortTuple(
        uuid=build.uuid_of("port-tuple", fq_name),
        fq_name=fq_name,
        parent_type="service-instance",
        parent_uuid=service.uuid,
    )


def service_port(
    name: str, network: VirtualNetwork, member: PortTuple | None, role: str | None
) -> VirtualMachineInterface:
    return msgspec.structs.replace(
        build.port(name, network),
        port_tuple_refs=() if member is None else (build.link(member),),
        virtual_machine_interface_properties=None
        if role is None
        else VirtualMachineInterfacePropertiesType(service_interface_type=role),
    )


def members(
    service: ServiceInstance, left: VirtualNetwork, right: VirtualNetwork, count: int = 1
) -> list[ConfigObject]:
    """Port tuples ``1`` to ``count`` with a left and a right port each."""
    found: list[ConfigObject] = []
    for number in range(1, count + 1):
        member = port_tuple(f"{number}", service)
        found.append(member)
        for role, network in (("left", left), ("right", right)):
            found.append(service_port(f"{service.name}-{number}-{role}", network, member, role))
    return found


def interface_route_table(name: str, service: ServiceInstance, side: str) -> InterfaceRouteTable:
    fq_name = (*build.PROJECT, name)
    return InterfaceRouteTable(
        uuid=build.uuid_of("interface-route-table", fq_name),
        fq_name=fq_name,
        parent_type="project",
        service_instance_refs=(build.link_with(service, ServiceInterfaceTag(interface_type=side)),),
    )


def health_check(
    name: str, service: ServiceInstance, side: str, kind: str = "segment"
) -> ServiceHealthCheck:
    fq_name = (*build.PROJECT, name)
    return ServiceHealthCheck(
        uuid=build.uuid_of("service-health-check", fq_name),
        fq_name=fq_name,
        parent_type="project",
        service_health_check_properties=ServiceHealthCheckType(health_check_type=kind),
        service_instance_refs=(build.link_with(service, ServiceInterfaceTag(interface_type=side)),),
    )


def through(*services: ServiceInstance) -> ActionListType:
    """The action of a rule that leads traffic through services."""
    return ActionListType(
        simple_action="pass", apply_service=tuple(build.text_of(each) for each in services)
    )


def to_analyzer(name: str) -> MirrorActionType:
    return MirrorActionType(analyzer_name=":".join((*build.PROJECT, name)))


@st.composite
def items(draw: st.DrawFn, names: Sequence[str]) -> ConfigObject:
    """Any part of two services between few networks, derived objects of chains included."""
    mode = draw(st.sampled_from(("transparent", "in-network", "in-network-nat", None)))
    template = service_template(draw(st.sampled_from(("t1", "t2"))), mode)
    service = service_instance(
        draw(st.sampled_from(("fw", "ids"))),
        draw(st.sampled_from((template, template, None))),
        ha_mode=draw(st.sampled_from((None, "active-standby"))),
        left_pair=draw(st.sampled_from((None, "10.9.0.0/24"))),
    )
    member = port_tuple(draw(st.sampled_from(("1", "2"))), service)
    network = build.virtual_network(
        draw(st.sampled_from(names)), ipams=[(build.network_ipam("ipam"), "10.1.1.0/24")]
    )
    role = draw(st.sampled_from(("left", "right")))
    port = service_port(
        f"{service.name}-{draw(st.sampled_from(('a', 'b')))}",
        network,
        draw(st.sampled_from((member, member, None))),
        draw(st.sampled_from((role, role, "management", None))),
    )
    choices: tuple[ConfigObject, ...] = (
        template,
        service,
        member,
        port,
        port,
        interface_route_table("routes", service, role),
        health_check("check", service, role),
        _mirrored(build.port("port1", network)),
        build.instance_ip("tap", draw(st.sampled_from(("10.1.1.7", "fd00::7"))), network, port),
        chain_ipam(),
        _shared_address(service, role),
    )
    return draw(st.sampled_from(choices))


def _mirrored(port: VirtualMachineInterface) -> VirtualMachineInterface:
    settings = VirtualMachineInterfacePropertiesType(
        interface_mirror=InterfaceMirrorType(mirror_to=to_analyzer("fw"))
    )
    return msgspec.structs.replace(port, virtual_machine_interface_properties=settings)


def _shared_address(service: ServiceInstance, side: str) -> InstanceIp:
    fq_name = (f"{service.uuid}-{side}-v4",)
    return InstanceIp(
        uuid=build.uuid_of("instance-ip", fq_name), fq_name=fq_name, instance_ip_address="10.1.1.9"
    )
