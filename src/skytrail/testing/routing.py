"""Builders and strategies of objects that route between networks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import strategies as st

from skytrail.model.config_object import ConfigObject
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import (
    BgpAsAService,
    BgpRouter,
    Bgpvpn,
    DataCenterInterconnect,
    GlobalSystemConfig,
    LogicalRouter,
    PortTuple,
    RouteAggregate,
    RouteTable,
    RoutingInstance,
    RoutingPolicy,
    ServiceInstance,
    SubCluster,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import (
    AddressFamilies,
    BGPaaServiceParametersType,
    BgpPeeringAttributes,
    BgpRouterParams,
    CommunityAttributes,
    LogicalRouterVirtualNetworkType,
    RouteListType,
    RouteTableType,
    RouteTargetList,
    RouteType,
    RoutingPolicyServiceInstanceType,
    RoutingPolicyType,
    ServiceChainInfo,
    ServiceInterfaceTag,
    VirtualMachineInterfacePropertiesType,
)
from skytrail.testing import configuration as build

USER_TARGETS = ("target:65000:7", "target:65000:8", "nonsense")


def _listed(texts: Sequence[str]) -> RouteTargetList | None:
    return RouteTargetList(route_target=tuple(texts)) if texts else None


def bgpvpn(
    name: str,
    *,
    both: Sequence[str] = (),
    imports: Sequence[str] = (),
    exports: Sequence[str] = (),
    kind: str | None = None,
) -> Bgpvpn:
    fq_name = (*build.PROJECT, name)
    return Bgpvpn(
        uuid=build.uuid_of("bgpvpn", fq_name),
        fq_name=fq_name,
        parent_type="project",
        bgpvpn_type=kind,
        route_target_list=_listed(both),
        import_route_target_list=_listed(imports),
        export_route_target_list=_listed(exports),
    )


def logical_router(
    name: str,
    *ports: VirtualMachineInterface,
    targets: Sequence[str] = (),
    vpns: Sequence[Bgpvpn] = (),
    is_vxlan: bool = False,
    vni: str | None = None,
    external: ConfigObject | None = None,
) -> LogicalRouter:
    fq_name = (*build.PROJECT, name)
    gateway = LogicalRouterVirtualNetworkType(logical_router_virtual_network_type="ExternalGateway")
    return LogicalRouter(
        uuid=build.uuid_of("logical-router", fq_name),
        fq_name=fq_name,
        parent_type="project",
        logical_router_type="vxlan-routing" if is_vxlan else None,
        vxlan_network_identifier=vni,
        configured_route_target_list=_listed(targets),
        virtual_machine_interface_refs=tuple(build.link(port) for port in ports),
        bgpvpn_refs=tuple(build.link(vpn) for vpn in vpns),
        virtual_network_refs=() if external is None else (build.link_with(external, gateway),),
    )


FABRIC_INSTANCE = ("default-domain", "default-project", "ip-fabric", "__default__")


def bgp_router(
    name: str,
    *peers: BgpRouter,
    kind: str | None = "control-node",
    asn: int | None = 64512,
    vendor: str | None = None,
    cluster_id: int | None = None,
    site: SubCluster | None = None,
    families: Sequence[str] = (),
) -> BgpRouter:
    fq_name = (*FABRIC_INSTANCE, name)
    return BgpRouter(
        uuid=build.uuid_of("bgp-router", fq_name),
        fq_name=fq_name,
        parent_type="routing-instance",
        bgp_router_parameters=BgpRouterParams(
            router_type=kind,
            autonomous_system=asn,
            vendor=vendor,
            cluster_id=cluster_id,
            address_families=AddressFamilies(family=tuple(families)) if families else None,
        ),
        sub_cluster_refs=() if site is None else (build.link(site),),
        bgp_router_refs=tuple(build.link_with(peer, BgpPeeringAttributes()) for peer in peers),
    )


def sub_cluster(name: str, asn: int) -> SubCluster:
    return SubCluster(
        uuid=build.uuid_of("sub-cluster", (name,)), fq_name=(name,), sub_cluster_asn=asn
    )


def system_config(
    asn: int = 64512, *, mesh: bool | None = None, ports: tuple[int, int] | None = None
) -> GlobalSystemConfig:
    name = ("default-global-system-config",)
    return GlobalSystemConfig(
        uuid=build.uuid_of("global-system-config", name),
        fq_name=name,
        autonomous_system=asn,
        ibgp_auto_mesh=mesh,
        bgpaas_parameters=None
        if ports is None
        else BGPaaServiceParametersType(port_start=ports[0], port_end=ports[1]),
    )


def bgp_service(
    name: str,
    *ports: VirtualMachineInterface,
    asn: int | None = 65001,
    shared: bool | None = None,
    address: str | None = None,
) -> BgpAsAService:
    fq_name = (*build.PROJECT, name)
    return BgpAsAService(
        uuid=build.uuid_of("bgp-as-a-service", fq_name),
        fq_name=fq_name,
        parent_type="project",
        autonomous_system=asn,
        bgpaas_shared=shared,
        bgpaas_ip_address=address,
        virtual_machine_interface_refs=tuple(build.link(port) for port in ports),
    )


def route(prefix: str, next_hop: str, *communities: str, kind: str | None = None) -> RouteType:
    return RouteType(
        prefix=prefix,
        next_hop=next_hop,
        next_hop_type=kind,
        community_attributes=CommunityAttributes(community_attribute=communities)
        if communities
        else None,
    )


def route_table(name: str, *routes: RouteType) -> RouteTable:
    fq_name = (*build.PROJECT, name)
    return RouteTable(
        uuid=build.uuid_of("route-table", fq_name),
        fq_name=fq_name,
        parent_type="project",
        routes=RouteTableType(route=routes),
    )


def service_instance(name: str) -> ServiceInstance:
    fq_name = (*build.PROJECT, name)
    return ServiceInstance(
        uuid=build.uuid_of("service-instance", fq_name), fq_name=fq_name, parent_type="project"
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
    name: str, network: VirtualNetwork, member: PortTuple, role: str
) -> VirtualMachineInterface:
    return msgspec.structs.replace(
        build.port(name, network),
        port_tuple_refs=(build.link(member),),
        virtual_machine_interface_properties=VirtualMachineInterfacePropertiesType(
            service_interface_type=role
        ),
    )


def chain_instance(
    network: VirtualNetwork, service: ServiceInstance, address: str | None = None
) -> RoutingInstance:
    """The instance of a service on this side of a chain."""
    text = "_".join(service.fq_name)
    fq_name = (*network.fq_name, f"service-00000000-0000-0000-0000-000000000001-{text}")
    return RoutingInstance(
        uuid=build.uuid_of("routing-instance", fq_name),
        fq_name=fq_name,
        parent_type="virtual-network",
        parent_uuid=network.uuid,
        service_chain_information=ServiceChainInfo(service_chain_address=address),
    )


def routing_policy(
    name: str,
    service: ServiceInstance | None = None,
    left: str | None = None,
    right: str | None = None,
) -> RoutingPolicy:
    fq_name = (*build.PROJECT, name)
    sides = RoutingPolicyServiceInstanceType(left_sequence=left, right_sequence=right)
    return RoutingPolicy(
        uuid=build.uuid_of("routing-policy", fq_name),
        fq_name=fq_name,
        parent_type="project",
        service_instance_refs=() if service is None else (build.link_with(service, sides),),
    )


def route_aggregate(
    name: str, service: ServiceInstance, role: str, *prefixes: str
) -> RouteAggregate:
    fq_name = (*build.PROJECT, name)
    return RouteAggregate(
        uuid=build.uuid_of("route-aggregate", fq_name),
        fq_name=fq_name,
        parent_type="project",
        aggregate_route_entries=RouteListType(route=prefixes),
        service_instance_refs=(build.link_with(service, ServiceInterfaceTag(interface_type=role)),),
    )


def with_routing(
    network: VirtualNetwork,
    *tables: RouteTable,
    policies: Sequence[tuple[RoutingPolicy, str]] = (),
) -> VirtualNetwork:
    return msgspec.structs.replace(
        network,
        route_table_refs=tuple(build.link(table) for table in tables),
        routing_policy_refs=tuple(
            build.link_with(policy, RoutingPolicyType(sequence=sequence))
            for policy, sequence in policies
        ),
    )


def linked_network(
    name: str, *others: VirtualNetwork, provider: bool | None = None, snat: bool | None = None
) -> VirtualNetwork:
    return msgspec.structs.replace(
        build.virtual_network(name, build.network_policy("p1")),
        virtual_network_refs=tuple(build.link(other) for other in others),
        is_provider_network=provider,
        fabric_snat=snat,
    )


def interconnect(
    name: str,
    *targets: str,
    routers: Sequence[LogicalRouter] = (),
    networks: Sequence[VirtualNetwork] = (),
    mode: str | None = None,
) -> DataCenterInterconnect:
    fq_name = ("default-global-system-config", name)
    return DataCenterInterconnect(
        uuid=build.uuid_of("data-center-interconnect", fq_name),
        fq_name=fq_name,
        parent_type="global-system-config",
        data_center_interconnect_mode=mode,
        data_center_interconnect_configured_route_target_list=_listed(targets),
        logical_router_refs=tuple(build.link(each) for each in routers),
        virtual_network_refs=tuple(build.link(each) for each in networks),
    )


def internal_network_name(router: LogicalRouter) -> str:
    return f"__contrail_lr_internal_vn_{router.uuid}__"


def items(networks: Sequence[str]) -> st.SearchStrategy[ConfigObject]:
    """Any of the objects above, of few names, so that they meet."""
    network = st.sampled_from(networks).map(build.virtual_network)
    port = st.builds(build.port, st.sampled_from(("router-a", "router-b")), network)
    targets = st.lists(st.sampled_from(USER_TARGETS), max_size=2, unique=True)
    vpn = st.builds(
        bgpvpn,
        st.just("vpn"),
        both=targets,
        imports=targets,
        exports=targets,
        kind=st.sampled_from((None, "l2", "l3")),
    )
    red_port = st.sampled_from(("router-a", "router-b")).map(
        lambda name: build.port(name, build.virtual_network("red"))
    )
    router = st.builds(
        logical_router,
        st.sampled_from(("r1", "r2")),
        red_port,
        targets=targets,
        vpns=st.lists(st.just(bgpvpn("vpn")), max_size=1),
        is_vxlan=st.booleans(),
        vni=st.sampled_from((None, "5000", "x")),
        external=st.sampled_from((None, build.virtual_network("public"))),
    )
    internal = st.sampled_from(("r1", "r2")).map(
        lambda name: build.virtual_network(internal_network_name(logical_router(name)))
    )
    instance = internal.map(build.routing_instance)
    routed_router = router.map(
        lambda found: msgspec.structs.replace(
            found, route_table_refs=(build.link(route_table("routes")),)
        )
    )
    return st.one_of(
        port,
        vpn,
        router,
        routed_router,
        internal,
        instance,
        speakers(networks),
        routes(networks),
    )


def routes(networks: Sequence[str]) -> st.SearchStrategy[ConfigObject]:
    """Route tables, policies, aggregates and the service they point to."""
    fw = service_instance("fw")
    fw_name = build.text_of(fw)
    table = st.lists(
        st.builds(
            route,
            st.sampled_from(("0.0.0.0/0", "::/0", "10.9.0.0/16", "x")),
            st.sampled_from(("10.1.1.9", "fd00::1", fw_name, "a:b")),
            kind=st.sampled_from((None, "service-instance", "ip-address")),
        ),
        max_size=2,
    ).map(lambda found: route_table("routes", *found))
    network = st.sampled_from(networks).map(
        lambda name: with_routing(
            build.virtual_network(name, ipams=[(build.network_ipam("ipam"), "10.1.1.0/24")]),
            route_table("routes"),
            policies=[(routing_policy("policy"), "1")],
        )
    )
    side = st.tuples(st.sampled_from(networks), st.sampled_from(("left", "right")))
    port = side.map(
        lambda found: service_port(
            f"fw-{found[1]}",
            build.virtual_network(found[0]),
            port_tuple("member", fw),
            found[1],
        )
    )
    red = build.virtual_network("red")
    address = st.sampled_from(("10.1.1.20", "fd00::20")).map(
        lambda text: build.instance_ip("fw-left", text, red, build.port("fw-left", red))
    )
    instance = st.sampled_from(networks).map(
        lambda name: chain_instance(build.virtual_network(name), fw, "10.1.1.20")
    )
    policy = st.builds(
        routing_policy,
        st.just("policy"),
        st.sampled_from((None, fw)),
        st.sampled_from((None, "1")),
        st.sampled_from((None, "2")),
    )
    aggregate = st.builds(
        route_aggregate,
        st.just("aggregate"),
        st.just(fw),
        st.sampled_from(("left", "right")),
        st.sampled_from(("10.0.0.0/8", "fd00::/32", "x")),
    )
    member = st.just(port_tuple("member", fw))
    return st.one_of(
        links(networks),
        table,
        network,
        st.just(fw),
        member,
        port,
        address,
        instance,
        policy,
        aggregate,
    )


def links(networks: Sequence[str]) -> st.SearchStrategy[ConfigObject]:
    """Networks that refer to each other, and interconnections."""
    linked = st.builds(
        linked_network,
        st.sampled_from(networks),
        st.sampled_from(networks).map(build.virtual_network),
        provider=st.booleans(),
        snat=st.booleans(),
    )
    between = st.builds(
        interconnect,
        st.just("dci"),
        st.sampled_from(USER_TARGETS),
        routers=st.just([logical_router("r1")]),
        networks=st.just([build.virtual_network("red")]),
        mode=st.sampled_from((None, "l2", "l3")),
    )
    return st.one_of(linked, between)


def speakers(networks: Sequence[str]) -> st.SearchStrategy[ConfigObject]:
    """BGP routers, services and what they depend on, of few names, so that they meet."""
    site = sub_cluster("site", 65100)
    router = st.builds(
        bgp_router,
        st.sampled_from(("c1", "c2", "c3")),
        st.sampled_from(("c1", "gw")).map(bgp_router),
        kind=st.sampled_from(("control-node", "router", "bgpaas-client")),
        asn=st.sampled_from((64512, 65000, None)),
        vendor=st.sampled_from((None, "contrail", "other")),
        cluster_id=st.sampled_from((None, 1)),
        site=st.sampled_from((None, site)),
        families=st.sampled_from(((), ("inet-vpn", "e-vpn"), ("e-vpn",))),
    )
    made = st.builds(
        made_client,
        st.sampled_from(networks),
        st.sampled_from((50000, 50001, 7)),
    )
    ports = st.sampled_from(("router-a", "router-b")).map(
        lambda name: build.port(name, build.virtual_network("red"))
    )
    service = st.builds(
        bgp_service,
        st.sampled_from(("bgp1", "bgp2")),
        ports,
        asn=st.sampled_from((65001, 65001, None)),
        shared=st.booleans(),
        address=st.sampled_from((None, "10.1.1.9")),
    )
    address = ports.map(
        lambda port: build.instance_ip(
            f"a-{port.name}", "10.1.1.5", build.virtual_network("red"), port
        )
    )
    system = st.builds(
        system_config,
        st.sampled_from((64512, 65000)),
        mesh=st.sampled_from((None, False)),
        ports=st.sampled_from((None, (50000, 50001), (9, 8))),
    )
    return st.one_of(router, router, service, address, system, st.just(site), made)


def made_client(network: str, number: int) -> BgpRouter:
    """A client the compiler made for port ``router-a`` in service ``bgp1``."""
    service, port = bgp_service("bgp1"), build.port("router-a", build.virtual_network(network))
    instance = build.routing_instance(build.virtual_network(network)).fq_name
    fq_name = (*instance, f"bgpaas-{service.uuid}-{port.uuid}")
    return BgpRouter(
        uuid=derived_uuid("bgp-router", fq_name),
        fq_name=fq_name,
        parent_type="routing-instance",
        bgp_router_parameters=BgpRouterParams(router_type="bgpaas-client", source_port=number),
    )
