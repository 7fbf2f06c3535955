"""VLAN sub-interfaces: ports that are a VLAN of another port's link. Pure.

A port with ``sub_interface_vlan_tag`` that is linked to one without is a port in every respect, in
whatever network, with a MAC of its own or its parent's. It is here when its parent is plugged here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from skytrail.agent.interface import PluggedPort
from skytrail.agent.port_config import Port
from skytrail.agent.tables import Tag

_ETHERTYPE_VLAN = b"\x81\x00"
_MACS_BYTES = 12


def by_parent(ports: Mapping[str, Port]) -> dict[str, list[Port]]:
    """Return the sub-interfaces of each parent, one for each VLAN, in order of their uuids."""
    found: dict[str, dict[int, Port]] = {}
    for uuid in sorted(uuid for uuid, port in ports.items() if port.vlan and port.parent):
        port = ports[uuid]
        found.setdefault(port.parent, {}).setdefault(port.vlan, port)
    return {parent: list(vlans.values()) for parent, vlans in found.items()}


def plugged_with(parent: PluggedPort, ports: Iterable[Port]) -> Iterator[tuple[Port, PluggedPort]]:
    """Yield each sub-interface as if it had been plugged with its parent."""
    for port in ports:
        own = {str(address) for address in port.addresses}
        sequences = tuple(entry for entry in parent.sequences if entry[0] in own)
        tag = Tag(port.vlan, None)
        yield port, replace(parent, vmi_uuid=port.uuid, sequences=sequences, tag=tag)


def on_the_link(plugged: PluggedPort, frame: bytes) -> bytes:
    """Return a frame for a port as it goes out of the port's link."""
    if plugged.tag is None:
        return frame
    tag = _ETHERTYPE_VLAN + plugged.tag.vlan.to_bytes(2)
    return frame[:_MACS_BYTES] + tag + frame[_MACS_BYTES:]
