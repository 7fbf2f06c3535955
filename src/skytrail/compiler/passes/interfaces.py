"""What interfaces say of themselves, for passes that reach them from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.compiler.engine import View
from skytrail.model.generated.objects import VirtualMachineInterface


def role_of(port: VirtualMachineInterface) -> str | None:
    """Return the side of a service that the interface is, if it is one."""
    properties = port.virtual_machine_interface_properties
    return None if properties is None else properties.service_interface_type


def networks_of(view: View, ports: Iterable[str]) -> frozenset[str]:
    """Return the uuids of the networks that interfaces are in."""
    items = (view.get(VirtualMachineInterface, uuid) for uuid in ports)
    return frozenset(
        reference.uuid
        for item in items
        if item is not None
        for reference in item.virtual_network_refs
    )
