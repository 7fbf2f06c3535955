"""Builders and strategies of objects that route between networks."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from skytrail.compiler.derived import derived_uuid
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import (
    BgpAsAService,
    BgpRouter,
    Bgpvpn,
    GlobalSystemConfig,
    LogicalRouter,
    SubCluster,
    VirtualMachineInterface,
)
from skytrail.model.generated.types import (
    AddressFamilies,
    BGPaaServiceParametersType,
    BgpPeeringAttributes,
    BgpRouterParams,
    LogicalRouterVirtualNetworkType,
    RouteTargetList,
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
    return st.one_of(port, vpn, router, router, internal, instance, speakers(networks))


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
