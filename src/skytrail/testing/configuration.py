"""Builders of configuration objects as the API stores them, with uuids that follow from names."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Sequence
from typing import TypeVar

from skytrail.model.generated.objects import (
    InstanceIp,
    NetworkIpam,
    NetworkPolicy,
    RoutingInstance,
    SecurityGroup,
    VirtualDns,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    ActionListType,
    AddressType,
    IpamDnsAddressType,
    IpamSubnetType,
    IpamType,
    PolicyEntriesType,
    PolicyRuleType,
    PortType,
    RouteTargetList,
    SequenceType,
    SubnetType,
    VirtualDnsType,
    VirtualNetworkPolicyType,
    VnSubnetsType,
)
from skytrail.model.objects import ConfigObject, Reference

PROJECT = ("default-domain", "demo")
_NAMESPACE = uuids.UUID("00000000-0000-4000-8000-000000000001")

AttrT = TypeVar("AttrT")


def uuid_of(type_name: str, fq_name: Sequence[str]) -> str:
    return str(uuids.uuid5(_NAMESPACE, f"{type_name}:{':'.join(fq_name)}"))


def link(target: ConfigObject) -> Reference[None]:
    return Reference(to=target.fq_name, uuid=target.uuid)


def link_with(target: ConfigObject, attr: AttrT) -> Reference[AttrT]:
    return Reference(to=target.fq_name, uuid=target.uuid, attr=attr)


def text_of(item: ConfigObject) -> str:
    return ":".join(item.fq_name)


def subnet(prefix: str) -> SubnetType:
    address, length = prefix.split("/")
    return SubnetType(ip_prefix=address, ip_prefix_len=int(length))


def address(text: str) -> AddressType:
    """``any``, ``local``, a network's full name, a prefix, ``policy=NAME`` or ``group=NAME``."""
    kind, _, name = text.partition("=")
    if kind == "policy":
        return AddressType(network_policy=name)
    if kind == "group":
        return AddressType(security_group=name)
    return AddressType(subnet=subnet(text)) if "/" in text else AddressType(virtual_network=text)


def rule(
    source: str = "any",
    destination: str = "any",
    *,
    protocol: str = "any",
    port: tuple[int, int] | None = None,
    direction: str = "<>",
    action: ActionListType | str = "pass",
    uuid: str = "",
    ethertype: str | None = None,
) -> PolicyRuleType:
    low, high = port or (-1, -1)
    return PolicyRuleType(
        rule_uuid=uuid or None,
        direction=direction,
        protocol=protocol,
        src_addresses=(address(source),),
        dst_addresses=(address(destination),),
        src_ports=(PortType(start_port=-1, end_port=-1),),
        dst_ports=(PortType(start_port=low, end_port=high),),
        action_list=ActionListType(simple_action=action) if isinstance(action, str) else action,
        ethertype=ethertype,
    )


def network_policy(name: str, *rules: PolicyRuleType) -> NetworkPolicy:
    fq_name = (*PROJECT, name)
    return NetworkPolicy(
        uuid=uuid_of("network-policy", fq_name),
        fq_name=fq_name,
        parent_type="project",
        network_policy_entries=PolicyEntriesType(policy_rule=rules),
    )


def virtual_network(
    name: str,
    *policies: NetworkPolicy,
    both: Sequence[str] = (),
    imports: Sequence[str] = (),
    exports: Sequence[str] = (),
    ipams: Sequence[tuple[NetworkIpam, str]] = (),
) -> VirtualNetwork:
    """Policies attach in the given order; ``ipams`` pairs an IPAM with a prefix."""
    fq_name = (*PROJECT, name)
    return VirtualNetwork(
        uuid=uuid_of("virtual-network", fq_name),
        fq_name=fq_name,
        parent_type="project",
        network_policy_refs=tuple(
            link_with(policy, VirtualNetworkPolicyType(sequence=SequenceType(major=n, minor=0)))
            for n, policy in enumerate(policies)
        ),
        network_ipam_refs=tuple(
            link_with(ipam, VnSubnetsType(ipam_subnets=(IpamSubnetType(subnet=subnet(prefix)),)))
            for ipam, prefix in ipams
        ),
        route_target_list=_targets(both),
        import_route_target_list=_targets(imports),
        export_route_target_list=_targets(exports),
    )


def routing_instance(network: VirtualNetwork) -> RoutingInstance:
    """The default instance as the API server makes it: without references."""
    fq_name = (*network.fq_name, network.name)
    return RoutingInstance(
        uuid=uuid_of("routing-instance", fq_name),
        fq_name=fq_name,
        parent_type="virtual-network",
        parent_uuid=network.uuid,
        routing_instance_is_default=True,
    )


def security_group(name: str, number: int | None, *rules: PolicyRuleType) -> SecurityGroup:
    fq_name = (*PROJECT, name)
    return SecurityGroup(
        uuid=uuid_of("security-group", fq_name),
        fq_name=fq_name,
        parent_type="project",
        security_group_id=number,
        security_group_entries=PolicyEntriesType(policy_rule=rules),
    )


def virtual_dns(name: str, domain: str, *, ttl_s: int | None = None) -> VirtualDns:
    fq_name = ("default-domain", name)
    return VirtualDns(
        uuid=uuid_of("virtual-DNS", fq_name),
        fq_name=fq_name,
        parent_type="domain",
        virtual_DNS_data=VirtualDnsType(domain_name=domain, default_ttl_seconds=ttl_s),
    )


def network_ipam(name: str, server: VirtualDns | None = None) -> NetworkIpam:
    fq_name = (*PROJECT, name)
    settings = IpamType(
        ipam_dns_method="none" if server is None else "virtual-dns-server",
        ipam_dns_server=None
        if server is None
        else IpamDnsAddressType(virtual_dns_server_name=text_of(server)),
    )
    return NetworkIpam(
        uuid=uuid_of("network-ipam", fq_name),
        fq_name=fq_name,
        parent_type="project",
        network_ipam_mgmt=settings,
        virtual_DNS_refs=() if server is None else (link(server),),
    )


def virtual_machine(name: str, display_name: str | None = None) -> VirtualMachine:
    return VirtualMachine(
        uuid=uuid_of("virtual-machine", (name,)), fq_name=(name,), display_name=display_name or name
    )


def port(
    name: str, network: VirtualNetwork, machine: VirtualMachine | None = None
) -> VirtualMachineInterface:
    fq_name = (*PROJECT, name)
    return VirtualMachineInterface(
        uuid=uuid_of("virtual-machine-interface", fq_name),
        fq_name=fq_name,
        parent_type="project",
        virtual_network_refs=(link(network),),
        virtual_machine_refs=() if machine is None else (link(machine),),
    )


def instance_ip(
    name: str, text: str, network: VirtualNetwork, *ports: VirtualMachineInterface
) -> InstanceIp:
    return InstanceIp(
        uuid=uuid_of("instance-ip", (name,)),
        fq_name=(name,),
        instance_ip_address=text,
        virtual_network_refs=(link(network),),
        virtual_machine_interface_refs=tuple(link(each) for each in ports),
    )


def _targets(texts: Sequence[str]) -> RouteTargetList | None:
    return RouteTargetList(route_target=tuple(texts)) if texts else None
