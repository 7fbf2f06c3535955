"""A lab's workloads and guests: plugged, given their addresses, unplugged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

import msgspec

from skytrail.lab import ports as port_objects
from skytrail.lab.io import appliance, guest, plug, workload
from skytrail.lab.io.running import RunningLab
from skytrail.lab.plan import Node, tap_ifname
from skytrail.lab.ports import Port
from skytrail.lab.state import LabError
from skytrail.lab.topology import Guest, Workload
from skytrail.net import Mac

LEASE_TIMEOUT_S = 60.0


class AttachedPort(msgspec.Struct, frozen=True, kw_only=True):
    """What was plugged for an endpoint, remembered in its folder."""

    uuid: str
    vm_uuid: str
    ifname: str
    mac: str
    network: tuple[str, ...]
    ipv6: bool


class LabEndpoints(RunningLab):
    """What is attached to the ports of a lab."""

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

    def leased_address(self, endpoint: Workload | Guest) -> str:
        """Return the IPv4 address, with prefix length, that an endpoint's DHCP client got."""
        if isinstance(endpoint, Guest):
            return guest.wait_lease(self.guest_place(endpoint.name), LEASE_TIMEOUT_S).address
        return workload.wait_lease(self.paths.endpoint(endpoint.name), LEASE_TIMEOUT_S).address

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

    def _tell_agent(self, host: str, attached: AttachedPort, kind: str) -> None:
        port = plug.PluggedPort(
            vmi_uuid=attached.uuid, vm_uuid=attached.vm_uuid, ifname=attached.ifname, kind=kind
        )
        plug.plug(self.paths.plug_socket(host), port)

    def _host_of(self, endpoint: str) -> Node:
        return self.plan.node(self.topology.endpoint(endpoint).host)
