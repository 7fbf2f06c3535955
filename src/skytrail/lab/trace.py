"""``trace A B``: follows one packet through the tables the agents really hold. Pure.

Asks the source's vRouter where the packet goes; when that is a tunnel, asks the vRouter at the other
end what it does with the label. Where the packet enters a service, it is asked on about from the
service's other side, as often as it takes. ``Ask`` brings the answers; nothing is computed here, so
what is shown is what the tables say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

from skytrail.net import Mac

IpAddress = IPv4Address | IPv6Address
Query = Mapping[str, str]
FORWARDED = "forwarded"
DELIVERED = "delivered"
LEFT = "leaves for the host's own network"
"""Out of all networks, to the underlay or a service of the host: nobody there is asked on."""
POLICY = "POLICY"
SAME_INTERFACE = "SAME_INTERFACE"
SERVICES_COUNT_MAX = 32
"""A packet that passes more goes round in circles: a chain has at most 16."""
NO_ADDRESS = {4: "0.0.0.0", 6: "::"}
"""What a vRouter is asked for by MAC alone."""
NATIVE = "NATIVE"
"""No tunnel: the underlay routes the packet itself."""
WITH_PORTS = ("tcp", "udp", "sctp")
PROTOCOLS = ("icmp", "icmp6", *WITH_PORTS)
_ENTRY_UUID = re.compile("#[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TraceError(Exception):
    """The question cannot be answered; the text says what is wrong or missing."""


class SeveralPorts(TraceError):
    """The text of an end means several of them."""

    def __init__(self, text: str, ends: tuple[Endpoint, ...]) -> None:
        super().__init__(text)
        self.ends = ends


class PortRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace needs of an agent's interface row."""

    vmi_uuid: str
    ifname: str
    active: bool
    reason: str = ""
    name: str = ""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    floating_addresses: tuple[str, ...] = ()
    """Of other networks, alias addresses included."""
    virtual_network: str = ""


class LearntRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a trace needs of an agent's row of a machine behind a port."""

    port: str
    """Its uuid."""
    mac: str


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One table looked at: what was asked, what was found, and the rule if one decided."""

    stage: str
    question: str
    answer: str
    rule_id: int = 0
    rule: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    rule_id: int
    name: str = ""
    text: str = ""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """The network function a packet enters, which gives it back at another port."""

    copy: str
    """Name of its port-tuple."""
    onward: str = ""
    """Port where the packet goes on; empty: not on this host."""
    source: str = ""
    """Who sends it on, of a service that translates."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One vRouter's answer."""

    outcome: str
    drop_reason: str = ""
    deciding_rule: Rule | None = None
    vmi_uuid: str = ""
    remote: str = ""
    encapsulation: str = ""
    label: int = 0
    leaves_as: Mapping[str, str] = {}
    """What is asked about the packet from here on, where it is translated."""
    service: Service | None = None
    """What it is delivered to, if that is not where it ends."""
    steps: tuple[Step, ...] = ()


Ask = Callable[[str, Query], Explanation]
"""(host, query) -> that host's answer."""
ReadTable = Callable[[str, str, Query], Iterable[Mapping[str, object]]]
"""(host, table, what its columns are) -> rows of that host's agent."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of the question, found on a host; or just an address or MAC somewhere else.

    Without addresses it is asked for by MAC: whoever has that, whatever its address.
    """

    name: str
    host: str
    uuid: str
    mac: str
    network: str
    addresses: tuple[IpAddress, ...]
    behind: str = ""
    """The port where it was learnt; empty: it is configured, or not known."""
    sharers: tuple[Endpoint, ...] = ()
    """Those that have the address, if several: whom the sender's tables choose is the end."""

    def address(self, version: int) -> IpAddress:
        """The first address of a family; :class:`TraceError` when there is none."""
        for address in self.addresses:
            if address.version == version:
                return address
        raise TraceError(f"{self.name} has no IPv{version} address")


@dataclass(frozen=True, slots=True)
class Packet:
    protocol: str = "icmp"
    port: int = 0
    source_port: int = 0


@dataclass(frozen=True, slots=True)
class Leg:
    """What one vRouter does."""

    host: str
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class TraceResult:
    source: Endpoint
    destination: Endpoint
    packet: Packet
    legs: tuple[Leg, ...]
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """Port uuid to the name people know it by."""
    gateway: str = ""
    """The router the packet leaves by, if it does."""

    @property
    def asked_address(self) -> IpAddress:
        """The address the packet is for."""
        return self.destination.address(_version(self.source, self.destination, self.packet))

    @property
    def last(self) -> Explanation:
        return self.legs[-1].explanation

    @property
    def delivered(self) -> bool:
        """True when the packet ends in the destination itself, or leaves for a host outside."""
        if self.last.outcome == LEFT:
            return not self.destination.host and not self.destination.sharers
        if self.gateway and not self.destination.host and not self.destination.sharers:
            return self.last.outcome == FORWARDED
        return self.last.outcome == DELIVERED and self.last.vmi_uuid == self.destination.uuid

    @property
    def services(self) -> tuple[str, ...]:
        """The services passed, in order."""
        last = len(self.legs) - 1
        return tuple(
            [
                leg.explanation.service.copy
                for number, leg in enumerate(self.legs)
                if leg.explanation.service is not None and number < last
            ]
        )

    @property
    def deciding_rule(self) -> Rule | None:
        """The rule that decided last, on whichever host."""
        rules = [leg.explanation.deciding_rule for leg in self.legs]
        return next((rule for rule in reversed(rules) if rule), None)

    def summary(self) -> str:
        """One sentence that tells the outcome and why."""
        rule = self.deciding_rule
        because = f" by rule {rule.name or rule.rule_id}" if rule else ""
        through = f" through {', '.join(self.services)}" if self.services else ""
        if self.last.outcome == DELIVERED:
            if self.delivered:
                return f"delivered to {self._receiver()}{through}{because}"
            if self.last.service is not None:
                return f"enters {self._entered(self.last.service)}{through}{because}"
            owner = self.names.get(self.last.vmi_uuid)
            which = f"is {owner}, not" if owner else "is not"
            return (
                f"delivered to port {self.last.vmi_uuid}, "
                f"which {which} {self.destination.name}{through}{because}"
            )
        if self.last.drop_reason:
            where = self.legs[-1].host
            decided = because if self.last.drop_reason == POLICY else ""
            behind = f" behind {self.services[-1]}" if self.services else ""
            own = self._own_address() if self.last.drop_reason == SAME_INTERFACE else ""
            return f"dropped on {where}{behind}: {self.last.drop_reason}{decided}{own}"
        if self.gateway:
            last = self.last
            if last.encapsulation == NATIVE:
                return f"leaves by {self.gateway}, without tunnel{because}"
            return f"leaves by {self.gateway}, {last.encapsulation} {last.label}{because}"
        if self.last.outcome == LEFT:
            return f"{LEFT}{self._translated()}{through}{because}"
        return self.last.outcome

    def _translated(self) -> str:
        """Say what the packet is on the host's network."""
        told = self.last.leaves_as
        if not told.get("src") or not told.get("dst"):
            return ""
        port = f" port {told['port']}" if told.get("port", "0") != "0" else ""
        return f", from {told['src']} to {told['dst']}{port}"

    def _receiver(self) -> str:
        """Who has it at last; of several that share the address, which one."""
        to = self.destination
        behind = f" behind {to.behind}" if to.behind else ""
        if not to.sharers:
            return f"{to.name}{behind}"
        which = behind or f" at {self.names.get(to.uuid, to.uuid)}"
        among = f", one of the {len(to.sharers)} ports that share it"
        return f"{self.asked_address}{which}{among if len(to.sharers) > 1 else ''}"

    def _own_address(self) -> str:
        """Say so when the name of somebody else stands for an address of the sender itself."""
        source, destination = self.source, self.destination
        if not destination.addresses or self.asked_address not in source.addresses:
            return ""
        address, owner = str(self.asked_address), self.names.get(source.uuid, source.name)
        if destination.name == address:
            return f": {address} is {owner}'s own"
        return f": {destination.name} has {address}, which is {owner}'s own"

    def _entered(self, service: Service) -> str:
        port = self.names.get(self.last.vmi_uuid, self.last.vmi_uuid)
        if not service.onward:
            return f"service {service.copy} at {port}, which has no other side on that host"
        if len(self.services) >= SERVICES_COUNT_MAX:
            return f"service {service.copy} again and again: the way goes round in circles"
        return f"service {service.copy} at {port}"


def without_uuids(rule: str) -> str:
    """A rule's name as people read it: the access lists without entry numbers, default domain."""
    parts = (_ENTRY_UUID.sub("", part) for part in rule.split(" & "))
    return " & ".join(part.replace("default-domain:", "").replace("#", ": ") for part in parts)


def trace(
    source: Endpoint,
    destination: Endpoint,
    packet: Packet,
    *,
    ask: Ask,
    host_of: Mapping[str, str],
    gateway_of: Mapping[str, str] = {},
) -> TraceResult:
    """Follow the packet; ``host_of`` and ``gateway_of`` map underlay addresses to names."""
    query = query_of(source, destination, packet)
    host, vmi, legs = source.host, source.uuid, list[Leg]()
    for _ in range(SERVICES_COUNT_MAX + 1):
        first = ask(host, {**query, "vmi": vmi})
        legs.append(Leg(host, first))
        query |= first.leaves_as
        if first.outcome == FORWARDED:
            came_from = next((a for a, name in host_of.items() if name == host), "")
            query_there = {**query, "from": came_from} if came_from else query
            legs += _arrival(first, query_there, ask=ask, host_of=host_of, destination=destination)
        host, last = legs[-1].host, legs[-1].explanation
        service = last.service
        destination = chosen(destination, last)
        if service is None or not service.onward or last.vmi_uuid == destination.uuid:
            break
        query |= last.leaves_as
        query |= {"src": service.source} if service.source else {}
        vmi = service.onward
    gateway = gateway_of.get(legs[-1].explanation.remote, "")
    return TraceResult(source, destination, packet, tuple(legs), gateway=gateway)


def chosen(destination: Endpoint, last: Explanation) -> Endpoint:
    """Of ends that share an address, take the one that the packet is delivered to.

    Those of other networks have the same address by chance: it is not told of them.
    """
    if last.outcome != DELIVERED:
        return destination
    found = next((end for end in destination.sharers if end.uuid == last.vmi_uuid), None)
    if found is None:
        return destination
    sharers = tuple(end for end in destination.sharers if end.network == found.network)
    return replace(found, sharers=sharers)


def query_of(source: Endpoint, destination: Endpoint, packet: Packet) -> dict[str, str]:
    """Return what a vRouter is asked about the packet, but for where it comes in."""
    version = _version(source, destination, packet)
    protocol = "icmp6" if (version, packet.protocol) == (6, "icmp") else packet.protocol
    query = {"src": str(source.address(version)), "proto": protocol}
    if destination.addresses:
        query["dst"] = str(destination.address(version))
    else:
        query |= {"dst": NO_ADDRESS[version], "dmac": destination.mac}
    if packet.port:
        query["port"] = str(packet.port)
    if packet.source_port:
        query["sport"] = str(packet.source_port)
    return query


def _version(source: Endpoint, destination: Endpoint, packet: Packet) -> int:
    """The IP version of the packet: IPv4 unless its protocol or an end has only the other."""
    version = 6 if packet.protocol == "icmp6" else 4
    for end in (destination, source):
        if end.addresses and all(address.version != version for address in end.addresses):
            version = end.addresses[0].version
    return version


def _arrival(
    first: Explanation,
    query: Mapping[str, str],
    *,
    ask: Ask,
    host_of: Mapping[str, str],
    destination: Endpoint,
) -> list[Leg]:
    host = host_of.get(first.remote)
    if host is None:
        return []  # A gateway: nobody to ask.
    incoming = {"vni" if first.encapsulation == "VXLAN" else "label": str(first.label)}
    if first.encapsulation == NATIVE:
        incoming = {"native": "1"}
    there = [end.mac for end in destination.sharers if end.host == host]
    # Of several on that host a label says which one; a VNI goes by MAC, and the first one answers.
    macs = [destination.mac] if destination.mac else there
    mac = {"dmac": macs[0]} if macs else {}
    return [Leg(host, ask(host, {**query, **incoming, **mac}))]


def find(
    text: str,
    ports: Mapping[str, Sequence[PortRow]],
    *,
    known: Mapping[str, str],
    network: str | None = None,
    read: ReadTable | None = None,
) -> Endpoint:
    """Find an end by lab name, port uuid, port name, MAC or address; those two in a network.

    ``ports``: interface rows by host; ``known``: lab names -> port uuid; ``read`` is asked for
    what was learnt behind ports where no port is meant. :class:`TraceError`, also where the text
    means several.
    """
    wanted = known.get(text, text)
    mac, address = as_mac(wanted), _address(wanted)
    if mac is not None and mac.is_group:
        raise TraceError(f"{text} is the MAC of a group: name a machine's")
    # A port is one whatever its network.
    network = None if mac is None and address is None else network
    found = [
        _endpoint(text, host, row, address)
        for host, rows in ports.items()
        for row in rows
        if network in (None, row.virtual_network)
        and (row.mac == str(mac) if mac is not None else _matches(row, wanted, address))
    ]
    if mac is not None:
        found = [replace(end, addresses=()) for end in found]
    if not found and read is not None:
        found = _learnt(text, mac or address, ports, network, read)
    if len(found) == 1:
        return found[0]
    if found:
        tells = (mac, address) != (None, None) and len({end.network for end in found}) > 1
        choices = ", ".join(f"{end.uuid} in {end.network} on {end.host}" for end in found)
        which = "the network or the uuid" if tells else "the uuid"
        raise SeveralPorts(f"{text!r} means several ports: {choices}; name {which}", tuple(found))
    if mac is not None:
        return Endpoint(text, "", "", str(mac), network or "", ())
    if address is not None:
        return Endpoint(text, "", "", "", network or "", (address,))
    names = ", ".join(sorted(known)) or "none"
    raise TraceError(f"no active port {text!r} on any host; workloads of the lab: {names}")


def find_destination(
    text: str,
    ports: Mapping[str, Sequence[PortRow]],
    *,
    known: Mapping[str, str],
    network: str | None = None,
    read: ReadTable | None = None,
) -> Endpoint:
    """Find where a packet is to go: as :func:`find`, but several ports may share an address.

    Which of them gets it is what the sender's tables say.
    """
    try:
        return find(text, ports, known=known, network=network, read=read)
    except SeveralPorts as error:
        address = _address(known.get(text, text))
        if address is None:
            raise
        return Endpoint(text, "", "", "", network or "", (address,), sharers=error.ends)


def network_of_destination(text: str, source: Endpoint, network: str | None) -> str | None:
    """Return the network to look in; a MAC is one of the source's unless told."""
    return network or source.network if as_mac(text) is not None else network


def check_source(source: Endpoint) -> None:
    """Refuse an end that a packet cannot be sent by, for want of an address; ``TraceError``."""
    if not source.addresses:
        raise TraceError(f"{source.name} has no address: name the sender's port or address instead")


def as_mac(text: str) -> Mac | None:
    """Return the MAC a text is; None: it is something else."""
    try:
        return Mac.parse(text)
    except ValueError:
        return None


def _learnt(
    text: str,
    wanted: Mac | IpAddress | None,
    ports: Mapping[str, Sequence[PortRow]],
    network: str | None,
    read: ReadTable,
) -> list[Endpoint]:
    """Return the ports behind which a MAC or an address was learnt."""
    if wanted is None:
        return []
    is_mac = isinstance(wanted, Mac)
    tables = ("learnt_addresses", "macs") if is_mac else ("learnt_addresses",)
    where = {"mac" if is_mac else "address": str(wanted)}
    found: dict[tuple[str, str], Endpoint] = {}
    for host, rows in ports.items():
        by_uuid = {row.vmi_uuid: row for row in rows if network in (None, row.virtual_network)}
        for table in tables:
            for each in msgspec.convert(list(read(host, table, where)), list[LearntRow]):
                port = by_uuid.get(each.port)
                if port is None:
                    continue
                found[host, each.port] = replace(
                    _endpoint(text, host, port, None),
                    mac=each.mac,
                    addresses=() if isinstance(wanted, Mac) else (wanted,),
                    behind=without_uuids(port.name),
                )
    return list(found.values())


def _address(text: str) -> IpAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _matches(row: PortRow, wanted: str, address: IpAddress | None) -> bool:
    if address is not None:
        return str(address) in (*row.addresses, *row.floating_addresses)
    names = {row.vmi_uuid, row.name, row.name.rpartition(":")[2]}
    return row.active and wanted in names


def _endpoint(text: str, host: str, row: PortRow, asked: IpAddress | None) -> Endpoint:
    """A port as an end; named by an address, that address is what the packet carries."""
    own = tuple(ip_address(address) for address in row.addresses)
    return Endpoint(
        name=text,
        host=host,
        uuid=row.vmi_uuid,
        mac=row.mac,
        network=row.virtual_network,
        addresses=(asked,) if asked else own,
    )


def port_rows(rows: Iterable[Mapping[str, object]]) -> list[PortRow]:
    """Read an agent's interface table; further columns are ignored."""
    return [msgspec.convert(row, PortRow) for row in rows]
