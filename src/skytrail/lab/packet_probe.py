"""``trace --probe``: a real packet with a token, where it was seen, and whether the tables said so. Pure.

The probe is a first packet as the trace's question describes it, from a source port of its own; its
payload is the token. Wherever a vRouter sees a port send it, delivers it or drops it, the frame has
the token, also behind tunnels, services and translations that leave payloads alone.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.lab.trace import DELIVERED, FORWARDED, Packet, TraceResult
from skytrail.wire.pcapng import ReadPacket

IpAddress = IPv4Address | IPv6Address
TOKEN_BYTES = 16
_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
PROTOCOLS = ("icmp", "icmp6", "tcp", "udp")
"""What a probe can be made of."""
_SYN = 2


@dataclass(frozen=True, slots=True)
class Hop:
    """One sighting of the probe."""

    host: str
    port: str
    """Link at which it was seen."""
    what: str
    """``sent``, ``delivered`` or ``dropped: REASON``, with the VRF."""
    time_ns: int

    @property
    def drop_reason(self) -> str:
        head, _, rest = self.what.partition("dropped: ")
        return rest.partition(" ")[0] if not head else ""

    @property
    def is_delivery(self) -> bool:
        return self.what.startswith("delivered")


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of a probe, beside what the tables said."""

    hops: tuple[Hop, ...]
    trace: TraceResult

    @property
    def seen(self) -> str:
        """The end as seen: ``delivered``, a drop reason, or empty if it went out of sight."""
        if not self.hops:
            return ""
        last = self.hops[-1]
        return last.drop_reason or (DELIVERED if last.is_delivery else "")

    @property
    def expected(self) -> str:
        """The end as the tables have it, in the same words."""
        last = self.trace.last
        if last.outcome == FORWARDED:
            return ""
        return last.drop_reason or last.outcome

    @property
    def agrees(self) -> bool:
        return self.seen == self.expected

    def summary(self) -> str:
        """One sentence: where it ended, and whether the tables said so."""
        if not self.hops:
            return "the probe was seen nowhere, not even where it was sent"
        last = self.hops[-1]
        end = f"last seen at {last.port} of {last.host}: {last.what}"
        if self.agrees:
            return f"{end}, as the tables say"
        wanted = self.expected or "that it leaves the hosts"
        return f"{end}, but the tables say {wanted}"


def hops(seen: Mapping[str, Sequence[ReadPacket]], token: bytes) -> tuple[Hop, ...]:
    """Return the sightings of a token, by host, in the order of time."""
    found = [
        Hop(host, packet.interface, packet.comment, packet.time_ns)
        for host, packets in seen.items()
        for packet in packets
        if token in packet.frame
    ]
    return tuple(sorted(found, key=lambda hop: hop.time_ns))


def capture_query(packet: Packet, version: int) -> dict[str, str]:
    """Return what captures are asked for: translations may change the rest."""
    query = {"proto": str(_number(packet, version))}
    if packet.port:
        query["port"] = str(packet.port)
    return query


def frame(
    macs: tuple[bytes, bytes],
    ends: tuple[IpAddress, IpAddress],
    packet: Packet,
    token: bytes,
) -> bytes:
    """Return the probe: ``macs`` and ``ends`` are (source, destination)."""
    source, destination = ends
    protocol = _number(packet, source.version)
    body = _body(packet, protocol, token)
    place = {1: 2, 58: 2, 6: 16, 17: 6}[protocol]
    pseudo = source.packed + destination.packed + struct.pack("!II", len(body), protocol)
    total = _sum(body if protocol == 1 else pseudo + body) or 0xFFFF
    body = body[:place] + total.to_bytes(2, "big") + body[place + 2 :]
    if source.version == 6:
        ethertype = 0x86DD
        header = struct.pack("!IHBB", 6 << 28, len(body), protocol, 64)
        header += source.packed + destination.packed
    else:
        ethertype = 0x0800
        header = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(body), 0, 64, protocol, 0)
        header += source.packed + destination.packed
        header = header[:10] + _sum(header).to_bytes(2, "big") + header[12:]
    return macs[1] + macs[0] + ethertype.to_bytes(2, "big") + header + body


def _number(packet: Packet, version: int) -> int:
    return _NUMBERS["icmp6" if (version, packet.protocol) == (6, "icmp") else packet.protocol]


def _body(packet: Packet, protocol: int, token: bytes) -> bytes:
    ports = (packet.source_port, packet.port)
    if protocol == 6:
        return struct.pack("!HHIIBBHHH", *ports, 1, 0, 5 << 4, _SYN, 1024, 0, 0) + token
    if protocol == 17:
        return struct.pack("!HHHH", *ports, 8 + len(token), 0) + token
    kind = 8 if protocol == 1 else 128
    return struct.pack("!BBHHH", kind, 0, 0, packet.source_port, 1) + token


def _sum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
