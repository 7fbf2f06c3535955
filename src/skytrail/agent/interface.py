"""Plugged interfaces: a workload's tap or veth joined with its port's configuration.

Plugged but without usable configuration = quarantined: the interface has a row in VRF 0, which holds
no route and no MAC, so that nothing is forwarded and only the requests a workload starts with
(DHCP, router solicitation) reach the agent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network

from skytrail.agent.port_config import Port
from skytrail.agent.tables import InterfaceKind, IpNetwork, SourceRow, Tag, VifId
from skytrail.agent.view import View
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import PortTrouble

LINK_LOCAL = IPv6Network("fe80::/10")
_EVERYBODY = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
TUNNEL_OVERHEAD_BYTES = 50
MTU_BYTES_MIN = 576


@dataclass(frozen=True, slots=True)
class PluggedPort:
    """What was plugged, with the link it names when that exists."""

    vmi_uuid: str
    vm_uuid: str
    ifname: str
    kind: InterfaceKind
    ifindex: int = 0
    """0 = the link does not exist (any more)."""
    link_mtu_bytes: int = 0
    sequences: tuple[tuple[str, int], ...] = ()
    """Mobility sequence numbers by address, of a workload that moved here (``mobility``)."""
    tag: Tag | None = None
    """A VLAN of the link, which is a port of its own (``tagged``)."""
    relay_ifindex: int = 0
    """Of what joins it to the relay of its BGP; 0: there is none."""

    @property
    def is_chain(self) -> bool:
        """Whether it is the VLAN by which a chain passes a transparent service."""
        return self.tag is not None and self.tag.is_chain


@dataclass(frozen=True, slots=True)
class Failing:
    """Why nobody is to be led to a port, though it may send: health checks that fail."""

    port: tuple[str, ...] = ()
    """Of all of it."""
    addresses: tuple[tuple[IpAddress, str], ...] = ()
    """Of single addresses."""
    workload: bool = False
    """The workload itself does not answer, whatever is beyond it."""

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.port, *(reason for _, reason in self.addresses))))

    def takes(self, prefix: IpNetwork) -> bool:
        """Whether a prefix of the port is not to be offered."""
        if self.port:
            return True
        return any(prefix == ip_network(address) for address, _ in self.addresses)


WELL = Failing()


@dataclass(frozen=True, slots=True)
class LearntAddress:
    """An address behind a port, learnt from ARP or neighbour discovery."""

    address: IpAddress
    mac: Mac
    sequence: int
    """Mobility sequence number."""


@dataclass(frozen=True, slots=True)
class LearntMacs:
    """MACs behind a port beside its own, which were learnt from what it sends."""

    sequences: tuple[tuple[Mac, int], ...] = ()
    """Each with its mobility sequence number."""
    is_full: bool = False
    """Frames of others are to be dropped."""
    is_shut: bool = False
    """It sent from so many, or MACs moved so often, that it is to forward nothing."""
    trouble: str = ""
    addresses: tuple[LearntAddress, ...] = ()
    """Addresses behind it, with their MACs; the port's own MAC may be one of these."""


NO_MACS = LearntMacs()


@dataclass(frozen=True, slots=True)
class PortInputs:
    """What the running form of a port is a function of."""

    plugged: PluggedPort
    port: Port | None
    problem: str | None
    """Why it cannot be active, of a port without."""
    failing: Failing = WELL
    is_captured: bool = False
    macs: LearntMacs = NO_MACS

    def same(self, other: PortInputs) -> bool:
        """Tell cheaply that nothing changed: ports are kept as objects."""
        if self.plugged.tag is not None:
            return self == other
        return (
            self.plugged is other.plugged
            and self.port is other.port
            and (self.problem, self.failing) == (other.problem, other.failing)
            and self.is_captured == other.is_captured
            and self.macs is other.macs
        )


@dataclass(frozen=True, slots=True)
class ActivePort:
    """A plugged port that forwards."""

    plugged: PluggedPort
    port: Port
    mtu_bytes: int
    failing: Failing = WELL
    is_captured: bool = False
    """Somebody looks at its frames."""
    macs: LearntMacs = NO_MACS


@dataclass(frozen=True, slots=True)
class InactivePort:
    """A plugged port that does not; ``reason`` says what is missing."""

    plugged: PluggedPort
    reason: str


PortState = ActivePort | InactivePort


def resolve_port(inputs: PortInputs, *, underlay_mtu_bytes: int) -> PortState:
    """Join a plugged interface with its configuration."""
    plugged, port = inputs.plugged, inputs.port
    missing = lacks(plugged, port, inputs.problem)
    if port is None or missing:
        return InactivePort(plugged, missing)
    if inputs.macs.is_shut:
        return InactivePort(plugged, inputs.macs.trouble)
    mtu_bytes = workload_mtu(port, underlay_mtu_bytes)
    macs = inputs.macs if port.learning is not None else NO_MACS
    addresses = inputs.macs.addresses if port.address_learning is not None else ()
    macs = macs if macs.addresses == addresses else replace(macs, addresses=addresses)
    return ActivePort(plugged, port, mtu_bytes, inputs.failing, inputs.is_captured, macs)


def lacks(plugged: PluggedPort, port: Port | None, problem: str | None) -> str:
    """Return what keeps a plugged port from being active; empty: nothing."""
    if port is None:
        return problem or "configuration has not arrived"
    if not plugged.ifindex:
        return f"link {plugged.ifname} does not exist"
    if plugged.kind is InterfaceKind.SNAT:
        return _lacks_way_out(port)
    if port.addresses or not port.network.forwarding.routes:
        return ""
    return "no instance-ip has arrived"


def _lacks_way_out(port: Port) -> str:
    if port.source_nat is None:
        return "nobody leaves by it any more"
    return "" if port.outward_address else f"this host has no IPv4 address of {port.network.name}"


def troubles(ports: Mapping[str, PortState], view: View) -> Iterator[PortTrouble]:
    """Yield every port of the configuration or of a plug that does not do all it should."""
    for uuid in sorted(ports.keys() | view.ports.keys() | view.problems.keys()):
        state = ports.get(uuid)
        if state is not None and state.plugged.is_chain:
            continue  # Its untagged port tells.
        if state is None:
            yield PortTrouble(uuid, view.problems.get(uuid, "not plugged on this host"))
        elif isinstance(state, InactivePort):
            yield PortTrouble(uuid, state.reason)
        elif state.failing.reasons:
            why = "; ".join(state.failing.reasons)
            yield PortTrouble(uuid, f"routes are withdrawn: {why}")
        elif state.port.missing_groups:
            names = ", ".join(state.port.missing_groups)
            yield PortTrouble(uuid, f"security groups have not arrived: {names}")
        elif state.port.mirror_problem:
            yield PortTrouble(uuid, state.port.mirror_problem)
        elif state.port.floating_problems:
            yield PortTrouble(uuid, "; ".join(state.port.floating_problems))
        elif state.macs.trouble:
            yield PortTrouble(uuid, state.macs.trouble)
        elif _lacks_relay(state):
            yield PortTrouble(uuid, "BGP as a service: the relay of its sessions does not run")


def _lacks_relay(state: ActivePort) -> bool:
    bgp = state.port.bgp
    return bgp is not None and (bgp.is_signed or bgp.is_ipv6) and not state.plugged.relay_ifindex


def workload_mtu(port: Port, underlay_mtu_bytes: int) -> int:
    """What fits into the largest tunnel header, capped by the network's own setting."""
    fits = max(MTU_BYTES_MIN, underlay_mtu_bytes - TUNNEL_OVERHEAD_BYTES)
    wanted = port.network.mtu_bytes
    return min(fits, max(MTU_BYTES_MIN, wanted)) if wanted else fits


def source_rows(active: ActivePort, vif_id: VifId) -> list[SourceRow]:
    """Everything the workload may send from; empty when port security is off."""
    port = active.port
    if not port.port_security or port.source_nat is not None:
        return []
    network = port.network
    rows = {
        prefix: SourceRow(vif_id, prefix, port.mac)
        for prefix in (ip_network(address) for address in port.addresses)
    }
    if any(address.version == 6 for address in port.addresses):
        own = ip_network(link_local(port.mac))
        rows[own] = SourceRow(vif_id, own, port.mac)
    for route in port.routes:
        rows.setdefault(route.prefix, SourceRow(vif_id, route.prefix, port.mac))
    is_anybodys = port.chains or not network.checks_sources or not network.forwarding.routes
    for everybody in _EVERYBODY if is_anybodys else ():
        # A service passes on what others sent; policy says whose. Addresses are no business of a
        # network that only bridges.
        rows.setdefault(everybody, SourceRow(vif_id, everybody, port.mac))
    for binding, _ in port.floating:
        if binding.is_alias:
            own = ip_network(binding.outside)
            rows[own] = SourceRow(vif_id, own, port.mac)
    for pair in port.address_pairs:
        rows[pair.prefix] = SourceRow(vif_id, pair.prefix, pair.mac or port.mac)
    return list(rows.values())


def link_local(mac: Mac) -> IPv6Address:
    """The modified EUI-64 link-local address (RFC 4291 appendix A)."""
    packed = mac.packed
    identifier = bytes((packed[0] ^ 2,)) + packed[1:3] + b"\xff\xfe" + packed[3:]
    return IPv6Address(LINK_LOCAL.network_address.packed[:8] + identifier)
