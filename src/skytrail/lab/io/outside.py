"""What is around a lab's hosts: gateways and a switch (FRR), physical routers, hosts behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_interface
from pathlib import Path

from skytrail.lab import gateway as gateway_config
from skytrail.lab import ports as port_objects
from skytrail.lab import router as router_config
from skytrail.lab import switch as switch_config
from skytrail.lab.gateway import Joined
from skytrail.lab.io import frr, underlay
from skytrail.lab.io import gateway as gateway_io
from skytrail.lab.io import router as router_io
from skytrail.lab.io.endpoints import LabEndpoints
from skytrail.lab.io.gateway import GatewayPlace
from skytrail.lab.io.router import RouterPlace
from skytrail.lab.io.running import BGP_ROUTERS
from skytrail.lab.state import LabError
from skytrail.lab.topology import Gateway, Switch
from skytrail.net import Mac
from skytrail.runtime.introspection import read_table


@dataclass(frozen=True, slots=True)
class OutsidePlace:
    """A host behind a gateway or router."""

    address: IPv4Address
    router: str
    """Name of the gateway or router in front of it."""
    router_exec: str
    """What ``lab exec`` calls the place of that one's routes."""
    router_namespace: str


class LabOutside(LabEndpoints):
    """Ways from a lab's networks to what is no workload, and back."""

    def start_gateways(self) -> None:
        """Join each gateway's virtual network, which provisioning made, to the outside."""
        # FRR 8.4 forgets a router MAC when one of two copies of a route goes: it gets one.
        controllers = [node.address for node in self.plan.controllers[:1]]
        for node, gateway in zip(self.plan.gateways, self.topology.gateways, strict=True):
            place, joined = self.gateway_place(gateway.name), self._joined(gateway)
            self._create_bgp_router(
                node.namespace,
                node.address,
                vendor="frr",
                router_type="router",
                autonomous_system=joined.asn,
            )
            gateway_io.create(place, joined)
            zebra = gateway_io.zebra(place)
            frr.configure(place.folder, "zebra", gateway_config.zebra_config(joined))
            bgpd = gateway_config.bgpd_config(node.address, controllers, joined)
            frr.configure(place.folder, "bgpd", bgpd)
            self._start_frr(gateway.name, node.namespace, place.folder, zebra)

    def _joined(self, gateway: Gateway) -> Joined:
        """Return number and route target of a gateway's network, once the compiler made them."""
        with self.api() as api:

            def look() -> Joined | None:
                network = api.read(
                    "virtual-network", api.name_to_id("virtual-network", gateway.network)
                )
                instance = api.read(
                    "routing-instance",
                    api.name_to_id("routing-instance", (*gateway.network, gateway.network[-1])),
                )
                return gateway_config.joined(network, instance)

            return self._wait_for(look, f"{':'.join(gateway.network)} has no route target")

    def start_switch(self, switch: Switch) -> None:
        """Let the underlay's router exchange routes with every control node."""
        underlay.add_outside(self.plan, self.plan.namespace_of(switch.host), switch.outside)
        controllers = self.plan.controllers
        for node in controllers:
            name = f"{self.plan.router_namespace}-{node.name}"
            self._create_bgp_router(
                name,
                node.gateway,
                vendor="frr",
                router_type="router",
                autonomous_system=switch.autonomous_system,
                address_families={"family": ["inet"]},
            )
            with self.api() as api:
                api.ref_update(
                    "bgp-router",
                    api.name_to_id("bgp-router", (*BGP_ROUTERS, node.namespace)),
                    ref_type="bgp-router",
                    ref_fq_name=(*BGP_ROUTERS, name),
                    attr={"session": []},
                )
        folder = self.paths.gateway(switch.name)
        frr.prepare(folder)
        frr.configure(folder, "zebra", "")
        peers = [node.address for node in controllers]
        asn = self.topology.autonomous_system
        text = switch_config.bgpd_config(switch, controllers[0].gateway, peers, asn)
        frr.configure(folder, "bgpd", text)
        zebra = frr.command(folder, "zebra")
        self._start_frr(switch.name, self.plan.router_namespace, folder, zebra)

    def start_routers(self) -> None:
        """Attach each physical router to its port, which provisioning made."""
        known = self.read_ports() if self.topology.routers else {}
        for router in self.topology.routers:
            port = port_objects.require(known, router.port)
            attached = self._remember(router.name, port)
            own = next((each for each in port.addresses if isinstance(each, IPv4Address)), None)
            if own is None:
                raise LabError(f"port {':'.join(router.port)} of {router.name} has no IPv4 address")
            with self.api() as api:
                network = api.read(
                    "virtual-network", api.name_to_id("virtual-network", port.network)
                )
            link, place = router_config.link(network, own), self.router_place(router.name)
            router_io.create(place, link, is_static=router.autonomous_system is None)
            # A network card: unlike a veth to a workload, its other end is out of our reach.
            self._tell_agent(router.host, attached, "tap")
            if router.autonomous_system is not None:
                frr.configure(place.folder, "zebra", "")
                bgpd = router_config.bgpd_config(
                    link,
                    router.behind,
                    own_asn=router.autonomous_system,
                    asn=self.topology.autonomous_system,
                )
                frr.configure(place.folder, "bgpd", bgpd)
                zebra = frr.command(place.folder, "zebra")
                self._start_frr(router.name, place.namespace, place.folder, zebra)

    def _start_frr(self, name: str, namespace: str, folder: Path, zebra: Sequence[str]) -> None:
        for daemon in frr.DAEMONS:
            command = zebra if daemon == "zebra" else frr.command(folder, daemon)
            self._start(f"{name}-{daemon}", command, namespace, ready=None)
            self._wait_for(
                lambda daemon=daemon: frr.serves(folder, daemon),
                f"{daemon} of {name} does not come up",
            )

    def router_place(self, name: str) -> RouterPlace:
        """Return where a physical router lives; ``KeyError`` when there is none of that name."""
        router = next((each for each in self.topology.routers if each.name == name), None)
        if router is None:
            raise KeyError(f"no router {name!r} in this lab")
        attached = self.attached(name)
        return RouterPlace(
            namespace=self.plan.namespace_of(name),
            site_namespace=self.plan.namespace_of(router.site),
            host_namespace=self.plan.node(router.host).namespace,
            host_ifname=attached.ifname,
            host_mtu_bytes=self.plan.mtu_bytes,
            mac=Mac.parse(attached.mac),
            folder=self.paths.gateway(name),
            behind=router.behind,
        )

    def outside_place(self, name: str) -> OutsidePlace:
        """Return where a host behind a gateway or router is, by its name."""
        found = self.topology.outside_hosts[name]
        if isinstance(found, Gateway):
            place = self.gateway_place(found.name)
            vrf = f"{found.name}-vrf"
            return OutsidePlace(place.host_address, found.name, vrf, place.vrf_namespace)
        if isinstance(found, Switch):
            router = self.plan.router_namespace
            return OutsidePlace(found.outside[10], found.name, found.name, router)
        namespace = self.plan.namespace_of(found.name)
        return OutsidePlace(found.behind[10], found.name, found.name, namespace)

    def gateway_place(self, name: str) -> GatewayPlace:
        """Return where a gateway lives; ``KeyError`` when there is none of that name."""
        gateway = next((each for each in self.topology.gateways if each.name == name), None)
        if gateway is None:
            raise KeyError(f"no gateway {name!r} in this lab")
        node = next(each for each in self.plan.gateways if each.name == name)
        return GatewayPlace(
            node=node,
            vrf_namespace=self.scratch_namespace(f"{name}-vrf"),
            outside_namespace=self.plan.namespace_of(gateway.host),
            folder=self.paths.gateway(name),
            outside=gateway.outside,
        )

    def wait_outside(self) -> None:
        """Wait until gateways, routers and the plugged endpoints of their networks know the way."""
        for gateway in self.topology.gateways:
            self._wait_routes(gateway.host, gateway.network, gateway.outside)
        for router in self.topology.routers:
            self._wait_routes(router.site, self.attached(router.name).network, router.behind)
        switch = self.topology.underlay.switch
        for network in {self.attached(end.name).network for end in self.plugged()}:
            if switch and self._is_underlay(network):
                self._wait_routes(switch.host, network, switch.outside)

    def _is_underlay(self, network: tuple[str, ...]) -> bool:
        with self.api() as api:
            uuid = api.name_to_id("virtual-network", network)
            return switch_config.is_underlay(api.read("virtual-network", uuid))

    def _wait_routes(self, outside: str, network: tuple[str, ...], prefix: IPv4Network) -> None:
        place = self.outside_place(outside)
        vrf = ":".join((*network, network[-1]))
        for end in self.plugged():
            if self.attached(end.name).network != network:
                continue
            lease = ip_interface(self.leased_address(end))
            socket = self.paths.introspect_socket(end.host)
            look = "look: skytrail lab show bgp, skytrail lab show routes"
            self._wait_for(
                lambda lease=lease: router_io.has_route(place.router_namespace, lease.ip),
                f"{place.router} hears of no route to {end.name}; {look}",
            )
            self._wait_for(
                lambda socket=socket: read_table(
                    socket, "routes", where={"vrf": vrf, "prefix": str(prefix)}
                ),
                f"{end.host} hears of no route to {prefix} behind {place.router}; {look}",
            )
