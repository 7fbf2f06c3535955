"""What a capture asks for, and how what it gets reads in a pcapng file. Pure.

A question is the query of ``GET /capture``::

    interface=UUID|NAME  point=sent,delivered,dropped  src=A  dst=A  proto=tcp  sport=N  port=N
    reason=POLICY  snap=BYTES  count=N  seconds=S

The ends of a flow match either way round, so that answers are in the file as well.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from skytrail.agent.interface import ActivePort, PluggedPort
from skytrail.agent.outcome import Desired
from skytrail.agent.tables import VifId
from skytrail.net.decimal_text import SHOWN_LENGTH, decimal
from skytrail.wire import pcapng

FRAME_BYTES_MAX = 9216
"""As ``CAPTURE_FRAME_BYTES_MAX`` in ``bpf/include/abi.h``."""
SLOTS_COUNT_MAX = 4
"""Captures of a host at once."""
COUNT_MAX = 1_000_000
SECONDS_MAX = 3600
SECONDS_DEFAULT = 60
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}
_KNOWN = frozenset(
    "interface point src dst proto sport port reason snap count seconds".split()  # noqa: SIM905
)


class Point(enum.IntFlag):
    """Where a frame was seen, numbered as in ``bpf/include/abi_watch.h``."""

    SENT = 1
    DELIVERED = 2
    DROPPED = 4


ANY_PORT = VifId(0)
EVERYWHERE = Point.SENT | Point.DELIVERED | Point.DROPPED


class CaptureRefused(Exception):
    """The question cannot be understood; the text names the parameter and what would do."""


@dataclass(frozen=True, slots=True)
class CaptureFilter:
    """Which frames the datapath hands over; unset means any."""

    vif_id: VifId = ANY_PORT
    points: Point = EVERYWHERE
    source: IPv4Address | IPv6Address | None = None
    destination: IPv4Address | IPv6Address | None = None
    protocol: int | None = None
    source_port: int | None = None
    destination_port: int | None = None
    reason: str = ""
    """Of drops, by the name of ``drop_reasons.h``."""
    snap_bytes: int = FRAME_BYTES_MAX


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    filter: CaptureFilter
    vmi_uuid: str = ""
    """Empty: all ports."""
    count: int = COUNT_MAX
    seconds: int = SECONDS_DEFAULT


@dataclass(frozen=True, slots=True)
class Captured:
    """A frame the datapath handed over."""

    time_ns: int
    """Since 1970."""
    vif_id: VifId
    slots: int
    """Bit n: slot n asked for it."""
    point: Point
    reason: str
    original_bytes: int
    frame: bytes


def read_request(
    query: Mapping[str, str],
    plugged: Mapping[str, PluggedPort],
    vifs: Mapping[VifId, str],
    reasons: frozenset[str],
) -> CaptureRequest:
    """Read a question; ``reasons`` are those a packet can be dropped for. ``CaptureRefused``."""
    unknown = sorted(query.keys() - _KNOWN)
    if unknown:
        raise CaptureRefused(f"{unknown[0]} is not known; known are {', '.join(sorted(_KNOWN))}")
    uuid = _port(query["interface"], plugged) if query.get("interface") else ""
    numbers = {each: vif_id for vif_id, each in vifs.items()}
    if uuid and uuid not in numbers:
        raise CaptureRefused(f"interface={uuid} has no number yet: try again")
    source, destination = read_address(query, "src"), read_address(query, "dst")
    if source and destination and source.version != destination.version:
        raise CaptureRefused("src and dst must be of one IP version")
    reason = query.get("reason", "").upper()
    if reason and reason not in reasons:
        raise CaptureRefused(f"reason={reason} is no drop reason, as POLICY is one")
    points = Point.DROPPED if reason else _points(query.get("point", ""))
    return CaptureRequest(
        filter=CaptureFilter(
            vif_id=numbers.get(uuid, VifId(0)),
            points=points,
            source=source,
            destination=destination,
            protocol=_protocol(query.get("proto", ""), source or destination),
            source_port=read_number(query, "sport", 65535),
            destination_port=read_number(query, "port", 65535),
            reason=reason,
            snap_bytes=read_number(query, "snap", FRAME_BYTES_MAX, least=14) or FRAME_BYTES_MAX,
        ),
        vmi_uuid=uuid,
        count=read_number(query, "count", COUNT_MAX, least=1) or COUNT_MAX,
        seconds=read_number(query, "seconds", SECONDS_MAX, least=1) or SECONDS_DEFAULT,
    )


def _port(text: str, plugged: Mapping[str, PluggedPort]) -> str:
    for uuid, port in plugged.items():
        if text.lower() == uuid or text == port.ifname:
            return uuid
    raise CaptureRefused(f"interface={text}: no port of that uuid or link name is plugged here")


def _points(text: str) -> Point:
    chosen = Point(0)
    for name in filter(None, text.lower().split(",")):
        try:
            chosen |= Point[name.upper()]
        except KeyError:
            raise CaptureRefused(f"point={name}: sent, delivered or dropped") from None
    return chosen or EVERYWHERE


def read_address(query: Mapping[str, str], name: str) -> IPv4Address | IPv6Address | None:
    """Return an address of a query, None where it is not given; ``CaptureRefused``."""
    text = query.get(name, "")
    try:
        return ip_address(text) if text else None
    except ValueError:
        raise CaptureRefused(f"{name}={text} is no IP address") from None


def _protocol(text: str, address: IPv4Address | IPv6Address | None) -> int | None:
    if not text:
        return None
    name = "icmp6" if text == "icmp" and address and address.version == 6 else text.lower()
    if name in _PROTOCOLS:
        return _PROTOCOLS[name]
    number = decimal(name, 0, 255)
    if number is not None:
        return number
    raise CaptureRefused(
        f"proto={text[:SHOWN_LENGTH]}: {', '.join(_PROTOCOLS)} or a number up to 255"
    )


def read_number(query: Mapping[str, str], name: str, most: int, *, least: int = 0) -> int | None:
    """Return a number of a query, None where it is not given; ``CaptureRefused``."""
    text = query.get(name, "")
    if not text:
        return None
    number = decimal(text, least, most)
    if number is None:
        raise CaptureRefused(f"{name}={text[:SHOWN_LENGTH]}: a number from {least} to {most}")
    return number


@dataclass(slots=True)
class CaptureFile:
    """Turns captured frames into the parts of a pcapng file."""

    snap_bytes: int
    _interfaces: dict[VifId, int] = field(default_factory=dict[VifId, int])

    def begin(self, vif_id: VifId, desired: Desired) -> Iterator[bytes]:
        """Yield the start, with the interface that was asked for, of all ports the underlay.

        Readers refuse a file without any, and one that is ended early has no frame yet.
        """
        yield pcapng.section("skytrail")
        yield from self._interface(vif_id, desired)

    def parts(self, captured: Captured, desired: Desired) -> Iterator[bytes]:
        """Yield a packet, its interface before it if it is the first one there."""
        yield from self._interface(captured.vif_id, desired)
        yield pcapng.packet(
            pcapng.Packet(
                interface=self._interfaces[captured.vif_id],
                time_ns=captured.time_ns,
                # Another capture may keep more of a frame.
                frame=captured.frame[: self.snap_bytes],
                original_bytes=captured.original_bytes,
                direction=_DIRECTIONS[captured.point],
                comment=_comment(captured, desired),
            )
        )

    def end(self, time_ns: int, *, received: int, dropped: int) -> Iterator[bytes]:
        """Yield how many frames matched and how many of them got lost, at the first interface."""
        yield pcapng.statistics(0, time_ns, received=received, dropped=dropped)

    def _interface(self, vif_id: VifId, desired: Desired) -> Iterator[bytes]:
        if vif_id not in self._interfaces:
            self._interfaces[vif_id] = len(self._interfaces)
            name, description = _names(vif_id, desired)
            yield pcapng.interface(name, description, self.snap_bytes)


_DIRECTIONS = {
    Point.SENT: pcapng.Direction.INBOUND,
    Point.DELIVERED: pcapng.Direction.OUTBOUND,
    Point.DROPPED: pcapng.Direction.UNKNOWN,
}


def _names(vif_id: VifId, desired: Desired) -> tuple[str, str]:
    uuid = desired.vifs.get(vif_id, "")
    state = desired.ports.get(uuid)
    if state is None:
        return f"vif{vif_id}", "the underlay" if uuid == "" else uuid
    if not isinstance(state, ActivePort):
        return state.plugged.ifname, f"port {uuid}, not active: {state.reason}"
    port = state.port
    return state.plugged.ifname, f"port {port.name} ({uuid}), VRF {port.network.vrf}"


def _comment(captured: Captured, desired: Desired) -> str:
    state = desired.ports.get(desired.vifs.get(captured.vif_id, ""))
    vrf = state.port.network.vrf if isinstance(state, ActivePort) else ""
    place = f" in VRF {vrf}" if vrf else ""
    match captured.point:
        case Point.DROPPED:
            return f"dropped: {captured.reason}{place}"
        case Point.DELIVERED:
            return f"delivered to the workload{place}"
        case _:
            return f"sent by the workload{place}"
