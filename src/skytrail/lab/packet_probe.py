"""``trace --probe``: a real packet with a token, where it was seen, and whether the tables said so. Pure.

The probe is a first packet as the trace's question describes it, from a source port of its own; its
payload is the token. Wherever a vRouter sees a port send it, delivers it or drops it, the frame has
the token, also behind tunnels, services and translations that leave payloads alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.lab.trace import DELIVERED, FORWARDED, Packet, TraceResult
from skytrail.wire.pcapng import ReadPacket
from skytrail.wire.probe import NUMBERS, probe_frame, probe_number

IpAddress = IPv4Address | IPv6Address
PROTOCOLS = tuple(NUMBERS)
"""What a probe can be made of."""


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
    query = {"proto": str(probe_number(packet.protocol, version))}
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
    number = probe_number(packet.protocol, ends[0].version)
    return probe_frame(macs, ends, number, (packet.source_port, packet.port), token)
