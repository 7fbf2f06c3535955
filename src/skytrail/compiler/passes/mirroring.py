"""Mirroring: where the analyzer is that a rule or a port names, and what its network must join.

Users name a service instance; whoever copies packets needs an address and a routing instance. The
network of what is mirrored is connected to the analyzer's, so that its address can be reached; the
access list of the mirrored network closes that connection to workloads. A copy that cannot be made
does not stop the original: it is left out and reported.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, Outcome, Violation
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.passes.naming import may_copy_into, may_name
from skytrail.compiler.passes.route_targets import Membership
from skytrail.compiler.passes.service_instances import LEFT, PORT, SERVICE, Service
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import (
    InstanceIp,
    Project,
    ServiceInstance,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import MirrorActionType

KINDS: Final = frozenset(
    {SERVICE, PORT, InstanceIp.type_name, Project.type_name, VirtualNetwork.type_name}
)
"""What :func:`filled` reads, beside the rows of ``service``."""
NETWORK: Final = VirtualNetwork.type_name


@dataclass(frozen=True, slots=True)
class PortMirror:
    """A port whose packets are copied to an analyzer in another network."""

    network_uuid: str
    analyzer_network: str


class NoAnalyzer(Exception):
    """The analyzer cannot be reached; the text says why."""


def filled(view: View, mirror: MirrorActionType, holder: ConfigObject) -> MirrorActionType:
    """Return the action of a policy or port with the analyzer's address and routing instance.

    Without the name of an analyzer the user's own address is left as it is. Raises NoAnalyzer.
    """
    name = _service_name(mirror)
    if not name:
        if not mirror.analyzer_ip_address and mirror.static_nh_header is None:
            raise NoAnalyzer("mirror_to names no analyzer and no address")
        instance = mirror.routing_instance
        if instance and not may_copy_into(view, holder, instance):
            raise NoAnalyzer(f"the network of {instance} is not shared with this project")
        return mirror
    item = view.by_name(ServiceInstance, tuple(name.split(":")))
    is_ours = item is not None and may_name(view, holder, item)
    found = view.row("service", item.uuid, Service) if item is not None and is_ours else None
    if found is None:
        raise NoAnalyzer(f"analyzer {name} does not exist or is not shared with this project")
    for uuid in found.ports(LEFT):
        port = view.get(VirtualMachineInterface, uuid)
        address = None if port is None else _address(view, port)
        if port is not None and address is not None and port.virtual_network_refs:
            network = port.virtual_network_refs[0].to
            return msgspec.structs.replace(
                mirror,
                analyzer_ip_address=address,
                routing_instance=":".join((*network, network[-1])),
            )
    raise NoAnalyzer(f"analyzer {name} has no left interface with an address")


def analyzer_network(mirror: MirrorActionType | None) -> str | None:
    """Return the network of a filled action's analyzer."""
    if mirror is None or not _service_name(mirror) or not mirror.routing_instance:
        return None
    return mirror.routing_instance.rpartition(":")[0]


def port_mirror(view: View, uuid: str) -> Outcome:
    """Fill in the analyzer that one port's settings name."""
    port = view.get(VirtualMachineInterface, uuid)
    settings = None if port is None else port.virtual_machine_interface_properties
    own = None if settings is None else settings.interface_mirror
    if port is None or settings is None or own is None or own.mirror_to is None:
        return Outcome()
    violations: tuple[Violation, ...] = ()
    try:
        mirror = filled(view, own.mirror_to, port)
    except NoAnalyzer as gap:
        detail = f"{gap}: nothing is mirrored"
        violations = (Violation(PORT, port.fq_name, "no_analyzer", detail),)
        mirror = msgspec.structs.replace(
            own.mirror_to, analyzer_ip_address=None, routing_instance=None
        )
    if not _service_name(mirror):
        return Outcome(violations=violations)
    changed = msgspec.structs.replace(
        settings, interface_mirror=msgspec.structs.replace(own, mirror_to=mirror)
    )
    written = Derived(
        DerivedKey(PORT, port.fq_name),
        properties={"virtual_machine_interface_properties": changed},
        update_only=True,
    )
    network = analyzer_network(mirror)
    row = None
    for reference in port.virtual_network_refs[:1]:
        if network is not None and network != ":".join(reference.to):
            row = PortMirror(reference.uuid, network)
    return Outcome(row, derived=(written,), violations=violations)


def mirrored_networks(view: View) -> dict[str, Outcome]:
    """Tell for each network which analyzers' networks its ports need."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for _, mirror in view.rows("port_mirror", PortMirror):
        found[mirror.network_uuid].add(mirror.analyzer_network)
    return {
        uuid: Outcome(Membership(peers=frozenset(names))) for uuid, names in sorted(found.items())
    }


def _service_name(mirror: MirrorActionType) -> str | None:
    """Return the qualified name of the service instance that is the analyzer.

    Beside an address, a name without domain and project is the user's label for the place, as
    Contrail's own console asks for one. A qualified one never is: the address beside it may be what
    was written here while the service was there, and is somebody else's by now.
    """
    name = mirror.analyzer_name
    if name and ":" not in name and mirror.analyzer_ip_address:
        return None
    return name


def _address(view: View, port: VirtualMachineInterface) -> str | None:
    """Return the port's own address, IPv4 before IPv6."""
    found: list[IPv4Address | IPv6Address] = []
    for item in view.referrers(InstanceIp, port.uuid):
        if item.service_instance_ip or item.service_health_check_ip:
            continue
        try:
            found.append(ip_address(item.instance_ip_address or ""))
        except ValueError:
            # The API server checks addresses; one is still on its way.
            continue
    first = min(found, key=lambda each: (each.version, int(each)), default=None)
    return None if first is None else str(first)


PASSES: Final = (
    UnitPass("port_mirror", PORT, KINDS, port_mirror, ("service",)),
    TablePass("mirrored_networks", frozenset(), mirrored_networks, None, upstream=("port_mirror",)),
)
