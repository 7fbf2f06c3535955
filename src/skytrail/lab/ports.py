"""What the lab must know of a port to attach a workload to it, read from the API's objects. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from skytrail.net import Mac


class PortError(Exception):
    """A port cannot be plugged; the text names it and what is missing."""


class _Reference(msgspec.Struct, frozen=True):
    uuid: str = ""
    to: tuple[str, ...] = ()


class _MacAddresses(msgspec.Struct, frozen=True):
    mac_address: tuple[str, ...] = ()


class _Interface(msgspec.Struct, frozen=True):
    uuid: str
    fq_name: tuple[str, ...]
    virtual_machine_interface_mac_addresses: _MacAddresses | None = None
    virtual_machine_refs: tuple[_Reference, ...] = ()
    virtual_network_refs: tuple[_Reference, ...] = ()


class _InstanceIp(msgspec.Struct, frozen=True):
    instance_ip_address: str | None = None
    virtual_machine_interface_refs: tuple[_Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A virtual-machine-interface that is complete enough to be plugged."""

    uuid: str
    fq_name: tuple[str, ...]
    vm_uuid: str
    mac: Mac
    network: tuple[str, ...]
    addresses: tuple[IPv4Address | IPv6Address, ...]

    @property
    def has_ipv6(self) -> bool:
        return any(address.version == 6 for address in self.addresses)


def ports(
    interfaces: Iterable[Mapping[str, object]], instance_ips: Iterable[Mapping[str, object]]
) -> dict[tuple[str, ...], Port]:
    """Join interfaces and their addresses, by fully qualified name; incomplete ones are left out."""
    addresses: dict[str, list[IPv4Address | IPv6Address]] = {}
    for raw in instance_ips:
        instance_ip = msgspec.convert(raw, _InstanceIp)
        if instance_ip.instance_ip_address:
            for reference in instance_ip.virtual_machine_interface_refs:
                address = ip_address(instance_ip.instance_ip_address)
                addresses.setdefault(reference.uuid, []).append(address)
    found: dict[tuple[str, ...], Port] = {}
    for raw in interfaces:
        interface = msgspec.convert(raw, _Interface)
        macs = interface.virtual_machine_interface_mac_addresses
        if macs and macs.mac_address and interface.virtual_machine_refs:
            found[interface.fq_name] = Port(
                uuid=interface.uuid,
                fq_name=interface.fq_name,
                # Agents ask for a machine by its name, which is its uuid by convention.
                vm_uuid=interface.virtual_machine_refs[0].to[-1],
                mac=Mac.parse(macs.mac_address[0]),
                network=next((ref.to for ref in interface.virtual_network_refs), ()),
                addresses=tuple(addresses.get(interface.uuid, ())),
            )
    return found


def require(known: Mapping[tuple[str, ...], Port], name: tuple[str, ...]) -> Port:
    """Return the port; :class:`PortError` says what to create."""
    if name not in known:
        raise PortError(
            f"the API holds no complete port {':'.join(name)}: a virtual-machine-interface of this "
            "name with a reference to a virtual-machine is needed before it can be plugged"
        )
    return known[name]
