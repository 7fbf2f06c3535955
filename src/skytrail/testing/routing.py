"""Builders and strategies of objects that route between networks."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import Bgpvpn, LogicalRouter, VirtualMachineInterface
from skytrail.model.generated.types import LogicalRouterVirtualNetworkType, RouteTargetList
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
    return st.one_of(port, vpn, router, router, internal, instance)
