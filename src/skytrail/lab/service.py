"""A lab as a whole: bring it up, look at it, break it, take it down.

```
 up:   state file -> underlay namespaces -> api -> compiler, control nodes -> virtual-router objects
       -> agents -> provisioning program -> gateways, routers -> workloads and guests -> leases
       -> routes to and from the outside
 down: processes (recorded, then any left in our namespaces) -> guests' taps, namespaces -> eBPF pins
       -> folder
```

Every step of ``down`` works on whatever is left, so it can follow a ``kill -9`` of anything, the
lab's own program included, and may be repeated.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, ip_interface
from pathlib import Path
from typing import TypeVar

import msgspec

from skytrail.client import ApiClient, ApiError
from skytrail.client.messages import JsonObject
from skytrail.lab import commands, state
from skytrail.lab import gateway as gateway_config
from skytrail.lab import ports as port_objects
from skytrail.lab import router as router_config
from skytrail.lab import switch as switch_config
from skytrail.lab import topology as topology_file
from skytrail.lab.gateway import Joined
from skytrail.lab.io import appliance, frr, guest, netns, plug, processes, underlay, workload
from skytrail.lab.io import gateway as gateway_io
from skytrail.lab.io import router as router_io
from skytrail.lab.io.gateway import GatewayPlace
from skytrail.lab.io.machine import free_port, remove_pins
from skytrail.lab.io.processes import ProcessError, ProcessTable, Specification
from skytrail.lab.io.router import RouterPlace
from skytrail.lab.plan import Node, Paths, Plan, tap_ifname
from skytrail.lab.ports import Port
from skytrail.lab.state import LabError, LabState
from skytrail.lab.topology import Gateway, Guest, Switch, Topology, Workload
from skytrail.net import Mac
from skytrail.runtime.certificates import Authority
from skytrail.runtime.introspection import read_table

API_PORT_DEFAULT = 8082
BGP_ROUTERS = ("default-domain", "default-project", "ip-fabric", "__default__")
"""The routing instance BGP speakers belong to."""
READY_TIMEOUT_S = 60.0
LEASE_TIMEOUT_S = 60.0
ANALYTICS_PORT = 8081
BPF_DIRECTORY = Path("/run/skytrail/bpf")

T = TypeVar("T")
Progress = Callable[[str], AbstractContextManager[object]]
"""Called with a sentence at the start of each step; the step runs inside the context."""


def silent(_: str) -> AbstractContextManager[object]:
    """Report nothing."""
    return contextlib.nullcontext()


class AttachedPort(msgspec.Struct, frozen=True, kw_only=True):
    """What was plugged for an endpoint, remembered in its folder."""

    uuid: str
    vm_uuid: str
    ifname: str
    mac: str
    network: tuple[str, ...]
    ipv6: bool


@dataclass(frozen=True, slots=True)
class OutsidePlace:
    """A host behind a gateway or router."""

    address: IPv4Address
    router: str
    """Name of the gateway or router in front of it."""
    router_exec: str
    """What ``lab exec`` calls the place of that one's routes."""
    router_namespace: str


class Lab:
    """One lab. Not for use by several threads at once."""

    def __init__(self, lab_state: LabState) -> None:
        self.state = lab_state
        self.topology: Topology = lab_state.topology()
        self.plan: Plan = lab_state.plan()
        self.paths: Paths = state.paths_of(lab_state.name)
        self.processes = ProcessTable(self.paths.processes, self.paths.logs)
        self._lock_file = state.directory() / f".{lab_state.name}.lock"

    @classmethod
    def load(cls, name: str) -> Lab:
        """Return a lab that is up; :class:`LabError` otherwise."""
        return cls(state.read(name))

    @classmethod
    def create(cls, file: Path, *, name: str | None = None, api_port: int | None = None) -> Lab:
        """Record a new lab from its topology file; nothing else exists until :meth:`up`."""
        _require_root()
        text = _read(file)
        topology = topology_file.parse(text, str(file))
        speakers = [*topology.gateways, *(r for r in topology.routers if r.autonomous_system)]
        speakers += [topology.underlay.switch] if topology.underlay.switch else []
        if speakers and not frr.is_installed():
            names = ", ".join(each.name for each in speakers)
            raise LabError(
                f"{names} of {file} need FRR: install it with packaging/setup.sh packages"
                f" (missing: {frr.PROGRAMS}/bgpd), or take them out of the file"
            )
        name = name or topology.name
        if not topology_file.NAME.fullmatch(name):
            raise LabError(f"{name!r} is not a lab name: 1-24 of a-z, 0-9 and -")
        if name in state.names():
            raise LabError(
                f"lab {name!r} is already up; take it down first: skytrail lab down {name}"
            )
        lab_state = LabState(
            name=name,
            source=str(file.resolve()),
            topology_text=text,
            api_port=api_port or free_port(API_PORT_DEFAULT),
            api_port_fixed=bool(api_port),
        )
        lab = cls(lab_state)
        taken = [namespace for namespace in lab.namespaces() if netns.exists(namespace)]
        if taken:
            raise LabError(
                f"namespaces of that name exist already: {', '.join(taken)}; "
                "choose another lab name or delete them"
            )
        state.write(lab_state)
        return lab

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.state.api_port}"

    @property
    def analytics_url(self) -> str:
        """Where analytics answers; empty when the lab has none."""
        return f"http://127.0.0.1:{port}" if (port := self.state.analytics_port) else ""

    def namespaces(self) -> list[str]:
        """Every namespace the topology asks for, and the scratch ones that exist."""
        nodes = (*self.plan.nodes, *self.plan.gateways)
        names = [self.plan.router_namespace, *(node.namespace for node in nodes)]
        names += [self.plan.namespace_of(item.name) for item in self.topology.workloads]
        names += [self.plan.namespace_of(router.name) for router in self.topology.routers]
        names += [self.plan.namespace_of(name) for name in self.topology.outside_hosts]
        return names + netns.names(self.scratch_namespace(""))

    def scratch_namespace(self, purpose: str) -> str:
        """Name for a namespace of a measurement; what is left of them goes with the lab.

        The dot, which no name of a lab has, keeps them apart from another lab's nodes.
        """
        return f"{self.name}.{purpose}"

    # Bringing up

    def up(self, progress: Progress = silent) -> None:
        """Create everything and wait until every endpoint has its address."""
        with self._locked():
            with progress("underlay: router, hosts, controllers"):
                underlay.create(self.plan)
            if self.topology.tls:
                with progress("certificates of hosts and control nodes"):
                    self.issue_certificates()
            with progress("controller: API, compiler, control nodes"):
                self.start_controller()
            with progress("vRouter agents"):
                self.set_autonomous_system()
                self.register_controllers()
                self.register_hosts()
                self.start_agents()
            if self.topology.provision:
                with progress(f"provisioning: {self.topology.provision}"):
                    self.provision()
            if self.topology.gateways:
                with progress("gateways: FRR joins virtual networks to the outside"):
                    self.start_gateways()
            if self.topology.underlay.switch:
                with progress("underlay switch: BGP with the control nodes"):
                    self.start_switch(self.topology.underlay.switch)
            if self.topology.routers:
                with progress("physical routers: link, addresses, BGP"):
                    self.start_routers()
            if self.topology.endpoints:
                with progress("workloads and guests: plug, boot, DHCP"):
                    self.attach(
                        each
                        for each in self.topology.endpoints
                        if not isinstance(each, Workload) or each.plugged
                    )
            if self.topology.outside_hosts:
                with progress("routes to and from the outside"):
                    self.wait_outside()

    def start_controller(self) -> None:
        """Start API, compiler and control nodes and wait until all serve."""
        self._start_api()
        self._start_analytics()
        self._start(commands.COMPILER, commands.compiler(self.paths, self._told()))
        for node in self.plan.controllers:
            record = ("--record", str(self.paths.recordings)) if self.topology.record else ()
            command = commands.control(self.paths, node, (*self._tls(node), *record, *self._told()))
            self._start(node.name, command, node.namespace)
        for name in (commands.COMPILER, *(node.name for node in self.plan.controllers)):
            self.processes.wait_ready(name, READY_TIMEOUT_S)

    def issue_certificates(self) -> None:
        """Make the lab's own authority, and a certificate for each host and control node."""
        authority = Authority(self.paths.hosts_authority(), f"Lab {self.name} hosts")
        for node in self.plan.controllers:
            folder, address = self.paths.certificate(node.name), str(node.address)
            authority.issue_folder(folder, node.namespace, hosts=[address])
        for node in self.plan.hosts:
            name = commands.agent_name(node)
            authority.issue_folder(
                self.paths.certificate(node.name), name, hosts=[name], is_client=True
            )

    def _start_analytics(self) -> None:
        """Start the analytics node and its store, of which nobody needs to wait for the second."""
        if self.topology.analytics:
            port = free_port(ANALYTICS_PORT)
            self.state = msgspec.structs.replace(self.state, analytics_port=port)
            self._start(commands.HISTORY, commands.history(self.paths))
            self._start_on_port(commands.ANALYTICS, "analytics_port", commands.analytics)

    def _told(self) -> tuple[str, ...]:
        return commands.told(self.paths, is_on=self.topology.analytics)

    def _tls(self, node: Node) -> tuple[str, ...]:
        return commands.tls(self.paths, node, is_on=self.topology.tls)

    def _start_api(self) -> None:
        fixed = self.state.api_port_fixed
        self._start_on_port(commands.API, "api_port", commands.api, attempts=1 if fixed else 5)

    def _start_on_port(
        self, name: str, field: str, command: Callable[[Paths, int], list[str]], attempts: int = 5
    ) -> None:
        """Start a daemon; a port that was ours to choose and got taken meanwhile is replaced."""
        for left in range(attempts, 0, -1):
            state.write(self.state)
            self._start(name, command(self.paths, getattr(self.state, field)))
            try:
                self.processes.wait_ready(name, READY_TIMEOUT_S)
                return
            except ProcessError:
                if "ddress already in use" not in self.processes.tail(name) or left == 1:
                    raise
                self.state = msgspec.structs.replace(self.state, **{field: free_port(0)})

    def set_autonomous_system(self) -> None:
        """Tell the installation its AS number, which route targets are made with as well."""
        kind, name = "global-system-config", ["default-global-system-config"]
        with self.api() as api:
            number = self.topology.autonomous_system
            uuid = api.name_to_id(kind, name)
            if api.read(kind, uuid).get("autonomous_system") != number:
                api.update(kind, uuid, {"autonomous_system": number})

    def add_external_peers(self, other: Lab) -> None:
        """Have every control node peer with those of another lab; :mod:`.interconnect` joins."""
        for node in other.plan.controllers:
            self._create_bgp_router(
                node.namespace,
                node.address,
                vendor="contrail",
                router_type="external-control-node",
                autonomous_system=other.topology.autonomous_system,
                port=179,
            )
            with self.api() as api:
                for own in self.plan.controllers:
                    api.ref_update(
                        "bgp-router",
                        api.name_to_id("bgp-router", (*BGP_ROUTERS, own.namespace)),
                        ref_type="bgp-router",
                        ref_fq_name=(*BGP_ROUTERS, node.namespace),
                        attr={"session": []},
                    )

    def register_controllers(self) -> None:
        """Create the bgp-router object of every controller, as an installer does."""
        families: JsonObject = {"address_families": {"family": switch_config.FAMILIES}}
        for node in self.plan.controllers:
            self._create_bgp_router(
                node.namespace,
                node.address,
                vendor="contrail",
                router_type="control-node",
                port=179,
                **(families if self.topology.underlay.switch else {}),
            )

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

    def _start_frr(self, name: str, namespace: str, folder: Path, zebra: Sequence[str]) -> None:
        for daemon in frr.DAEMONS:
            command = zebra if daemon == "zebra" else frr.command(folder, daemon)
            self._start(f"{name}-{daemon}", command, namespace, ready=None)
            self._wait_for(
                lambda daemon=daemon: frr.serves(folder, daemon),
                f"{daemon} of {name} does not come up",
            )

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

    def leased_address(self, endpoint: Workload | Guest) -> str:
        """Return the IPv4 address, with prefix length, that an endpoint's DHCP client got."""
        if isinstance(endpoint, Guest):
            return guest.wait_lease(self.guest_place(endpoint.name), LEASE_TIMEOUT_S).address
        return workload.wait_lease(self.paths.endpoint(endpoint.name), LEASE_TIMEOUT_S).address

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

    def _wait_for(self, look: Callable[[], T | None], complaint: str) -> T:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                raise LabError(complaint)
            time.sleep(0.1)

    def register_hosts(self) -> None:
        """Create the virtual-router object of every host, as an installer does."""
        for node in self.plan.hosts:
            self._create(
                "virtual-router",
                {
                    "fq_name": ["default-global-system-config", commands.agent_name(node)],
                    "parent_type": "global-system-config",
                    "virtual_router_ip_address": str(node.address),
                },
            )

    def _create(self, type_name: str, content: JsonObject) -> None:
        """Create an object unless it exists."""
        with self.api() as api:
            try:
                api.create(type_name, content)
            except ApiError as error:
                if error.status != 409:
                    raise

    def _create_bgp_router(self, name: str, address: IPv4Address, **parameters: object) -> None:
        own = {"address": str(address), "identifier": str(address)}
        content: JsonObject = {
            "fq_name": [*BGP_ROUTERS, name],
            "parent_type": "routing-instance",
            "bgp_router_parameters": {**own, **parameters},
        }
        self._create("bgp-router", content)

    def start_agents(self) -> None:
        for node in self.plan.hosts:
            chosen = next(h.controllers for h in self.topology.hosts if h.name == node.name)
            secret = commands.metadata(self.topology, self.state.source)
            extra = (*self._tls(node), *self._told(), *secret)
            command = commands.agent(self.paths, self.plan, node, chosen, extra)
            self._start(node.name, command, node.namespace)
        for node in self.plan.hosts:
            self.processes.wait_ready(node.name, READY_TIMEOUT_S)

    def provision(self) -> None:
        """Run the topology's program against this lab's API; :class:`LabError` when it fails."""
        program = Path(self.state.source).parent / str(self.topology.provision)
        log = self.paths.logs / "provision.log"
        command = [
            sys.executable, str(program), "--host", "127.0.0.1", "--port", str(self.state.api_port),
        ]  # fmt: skip
        with log.open("wb") as output:
            finished = subprocess.run(command, stdout=output, stderr=output, check=False)
        if finished.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise LabError(f"{program} failed (status {finished.returncode}):\n{tail}")

    def attach(self, endpoints: Iterable[Workload | Guest]) -> None:
        """Create, plug and start endpoints, then wait until each has its address."""
        endpoints = list(endpoints)
        known = self.read_ports()
        for endpoint in endpoints:
            self.plug(endpoint, port_objects.require(known, endpoint.port))
        for endpoint in endpoints:
            self.wait_lease(endpoint)
        appliance.join_plugged(self.topology, self.plan, self.plugged())

    def read_ports(self) -> dict[tuple[str, ...], Port]:
        """Every complete port the API holds."""
        with self.api() as api:
            interfaces = api.list("virtual-machine-interface", detail=True)
            instance_ips = api.list("instance-ip", detail=True)
        return port_objects.ports(interfaces, instance_ips)

    def plug(self, endpoint: Workload | Guest, port: Port) -> None:
        """Attach one endpoint and let it boot; returns before it has an address."""
        attached = self._remember(endpoint.name, port)
        if isinstance(endpoint, Guest):
            place = self.guest_place(endpoint.name)
            guest.create_tap(place)
            self._tell_agent(endpoint.host, attached, "tap")
            guest.boot(place, self.processes)
        else:
            attachment = self.attachment(endpoint.name)
            workload.create(attachment)
            self._tell_agent(endpoint.host, attached, "veth")
            workload.start_clients(attachment, self.processes, ipv6=port.has_ipv6)

    def _remember(self, name: str, port: Port) -> AttachedPort:
        folder = self.paths.endpoint(name)
        folder.mkdir(parents=True, exist_ok=True)
        attached = AttachedPort(
            uuid=port.uuid,
            vm_uuid=port.vm_uuid,
            ifname=tap_ifname(port.uuid),
            mac=str(port.mac),
            network=port.network,
            ipv6=port.has_ipv6,
        )
        (folder / "port.json").write_bytes(msgspec.json.encode(attached))
        return attached

    def unplug(self, endpoint: Workload | Guest) -> None:
        """Take one endpoint away again, as a hypervisor does when a machine is deleted."""
        attached = self.attached(endpoint.name)
        plug.unplug(self.paths.plug_socket(endpoint.host), attached.uuid)
        if isinstance(endpoint, Guest):
            self.processes.stop(self.guest_place(endpoint.name).process, graceful=False)
            guest.destroy_tap(self.guest_place(endpoint.name))
        else:
            workload.stop_clients(endpoint.name, self.processes)
            workload.destroy(self.attachment(endpoint.name))
        shutil.rmtree(self.paths.endpoint(endpoint.name), ignore_errors=True)

    def wait_lease(self, endpoint: Workload | Guest) -> None:
        """Wait until the endpoint's own DHCP client has its addresses."""
        if isinstance(endpoint, Guest):
            guest.wait_lease(self.guest_place(endpoint.name), LEASE_TIMEOUT_S)
            return
        folder = self.paths.endpoint(endpoint.name)
        workload.wait_lease(folder, LEASE_TIMEOUT_S)
        if self.attached(endpoint.name).ipv6:
            workload.wait_lease6(folder, LEASE_TIMEOUT_S)

    # Looking at it

    def api(self) -> ApiClient:
        """Return a client of this lab's API; close it after use."""
        return ApiClient(self.api_url)

    def plugged(self) -> tuple[Workload | Guest, ...]:
        """Return the endpoints that are plugged now."""
        return tuple(
            each
            for each in self.topology.endpoints
            if (self.paths.endpoint(each.name) / "port.json").exists()
        )

    def attached(self, name: str) -> AttachedPort:
        """What was plugged for an endpoint; :class:`LabError` when nothing was."""
        path = self.paths.endpoint(name) / "port.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=AttachedPort)
        except FileNotFoundError as error:
            raise LabError(f"{name} is not plugged in lab {self.name}") from error

    def attachment(self, name: str) -> workload.Attachment:
        """Where a workload sits."""
        attached = self.attached(name)
        return workload.Attachment(
            name=name,
            namespace=self.plan.namespace_of(name),
            folder=self.paths.endpoint(name),
            host_namespace=self._host_of(name).namespace,
            host_ifname=attached.ifname,
            mac=Mac.parse(attached.mac),
            host_mtu_bytes=self.plan.mtu_bytes,
        )

    def guest_place(self, name: str) -> guest.GuestPlace:
        """Where a guest runs."""
        attached = self.attached(name)
        endpoint = self.topology.endpoint(name)
        return guest.GuestPlace(
            name=name,
            host_namespace=self._host_of(name).namespace,
            ifname=attached.ifname,
            mac=Mac.parse(attached.mac),
            mtu_bytes=self.plan.mtu_bytes,
            memory_mib=endpoint.memory_mib if isinstance(endpoint, Guest) else 0,
            console=self.paths.console_socket(name),
        )

    def command_in(self, name: str, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` in a workload, host, or controller."""
        if name in {item.name for item in self.topology.workloads}:
            folder = self.paths.endpoint(name)
            return workload.inside(name, self.plan.namespace_of(name), folder, command)
        if name == "underlay":
            return netns.inside(self.plan.router_namespace, command)
        places = {node.name: node.namespace for node in (*self.plan.nodes, *self.plan.gateways)}
        for host in self.topology.outside_hosts:
            place = self.outside_place(host)
            places |= {host: self.plan.namespace_of(host)}
            places |= {place.router_exec: place.router_namespace}
        if name not in places:
            known = ", ".join([*(item.name for item in self.topology.endpoints), *places])
            raise LabError(f"nothing is called {name!r} in lab {self.name}; known: {known}")
        return netns.inside(places[name], command)

    # Breaking and repairing it

    def kill(self, process: str) -> None:
        """End a daemon as a crash would (SIGKILL); :class:`LabError` when it does not run."""
        if not self.processes.signal(process, signal.SIGKILL):
            raise LabError(f"{process} does not run in lab {self.name}")
        self.processes.stop(process, graceful=False)

    def restart(self, process: str) -> None:
        """Start a recorded process again, ending it first if it runs, and wait until it serves."""
        specification = self.processes.specification(process)
        self.processes.stop(process)
        self.processes.start(specification)
        self.processes.wait_ready(process, READY_TIMEOUT_S)

    # Taking down

    def down(self, progress: Progress = silent) -> None:
        """Remove everything that belongs to the lab, whatever state it is in."""
        _require_root()
        with self._locked():
            with progress("stopping processes"):
                self._end_processes()
            with progress("removing namespaces, pins and files"):
                for namespace in self.namespaces():
                    netns.delete(namespace)
                for node in self.plan.hosts:
                    remove_pins(BPF_DIRECTORY / commands.agent_name(node))
            shutil.rmtree(self.paths.root, ignore_errors=True)
            self._lock_file.unlink(missing_ok=True)

    def _end_processes(self) -> None:
        running = [(name, self.processes.identity(name)) for name in self.processes.names()]
        for name, _ in running:
            self.processes.signal(name, signal.SIGTERM)
        for name, identity in running:
            if identity is not None:
                processes.end(identity, graceful_s=3.0)
            self.processes.stop(name, graceful=False)
        # Whatever else runs inside our namespaces was started there by somebody's exec.
        for namespace in filter(netns.exists, self.namespaces()):
            for pid in netns.processes(namespace):
                identity = processes.identify(pid)
                if identity is not None and pid != os.getpid():
                    processes.end(identity, graceful_s=0.5)

    def _start(
        self,
        name: str,
        command: Sequence[str],
        namespace: str | None = None,
        *,
        ready: str | None = "skytrail-",
    ) -> None:
        line = netns.inside(namespace, command) if namespace else command
        specification = Specification(
            name=name, command=tuple(line), ready=ready, environment={"PYTHONUNBUFFERED": "1"}
        )
        self.processes.start(specification)

    def _tell_agent(self, host: str, attached: AttachedPort, kind: str) -> None:
        port = plug.PluggedPort(
            vmi_uuid=attached.uuid, vm_uuid=attached.vm_uuid, ifname=attached.ifname, kind=kind
        )
        plug.plug(self.paths.plug_socket(host), port)

    def _host_of(self, endpoint: str) -> Node:
        return self.plan.node(self.topology.endpoint(endpoint).host)

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """Keep two programs from working on the same lab; :class:`LabError` when one does."""
        self._lock_file.parent.mkdir(parents=True, exist_ok=True)
        with self._lock_file.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError(f"another program is working on lab {self.name!r}") from error
            yield


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("a lab needs root: network namespaces and eBPF")


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError as error:
        raise LabError(f"cannot read topology {file}: {error.strerror}") from error
