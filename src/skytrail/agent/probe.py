"""What is asked of an agent about a probe: to look for its token, and to send it from a port. Pure.

The query of ``GET /introspect/probe``::

    token=HEX  proto=tcp  [port=N]  [seconds=S]       where frames with the token pass
    send=UUID  destination=A  [sport=N]  [mac=M]      and the probe from a port of this host

It is sent with the port's own MAC and address, so that it says nothing that the workload might not say itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from skytrail.agent.capture import (
    Captured,
    CaptureFilter,
    CaptureRefused,
    CaptureRequest,
    Point,
    read_address,
    read_number,
)
from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.outcome import Desired
from skytrail.net import GATEWAY_MAC, IpAddress, Mac
from skytrail.wire.probe import NUMBERS, TOKEN_BYTES, probe_frame, probe_number

SECONDS_MAX: Final = 5
SECONDS_DEFAULT: Final = 3
FRAMES_COUNT_MAX: Final = 20_000
"""Looked at for one probe; a busy port has many that are alike but for the token."""
SIGHTINGS_COUNT_MAX: Final = 100
SNAP_BYTES: Final = 256
"""A probe is shorter, with its tunnel."""
ICMP_HEADER_BYTES: Final = 8
_ECHO_REPLIES: Final = (0, 129)
_POINTS: Final = {Point.SENT: "sent", Point.DELIVERED: "delivered", Point.DROPPED: "dropped"}
_KNOWN: Final = frozenset(
    {"token", "proto", "port", "seconds", "send", "destination", "sport", "mac", "version"}
)


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Without ``send`` nothing is sent."""

    token: bytes
    protocol: int
    port: int
    seconds: int
    send: str = ""
    destination: IpAddress | None = None
    source_port: int = 0
    mac: Mac = GATEWAY_MAC

    @property
    def capture(self) -> CaptureRequest:
        """The frames that may be it: translations change addresses, not the token."""
        return CaptureRequest(
            filter=CaptureFilter(
                protocol=self.protocol,
                destination_port=self.port or None,
                snap_bytes=SNAP_BYTES,
            ),
            count=FRAMES_COUNT_MAX,
            seconds=self.seconds,
        )


def read_probe(query: Mapping[str, str]) -> ProbeRequest:
    """Read a question; ``CaptureRefused`` names the parameter and what would do."""
    unknown = sorted(query.keys() - _KNOWN)
    if unknown:
        raise CaptureRefused(
            f"{unknown[0][:64]} is not known; known are {', '.join(sorted(_KNOWN))}"
        )
    token = _token(query.get("token", ""))
    name = query.get("proto", "")
    if name not in NUMBERS:
        raise CaptureRefused(f"proto={name[:64]}: probes are {', '.join(NUMBERS)}")
    destination = read_address(query, "destination")
    version = destination.version if destination else read_number(query, "version", 6, least=4) or 4
    port = read_number(query, "port", 65_535) or 0
    if name in {"tcp", "udp"} and not port:
        raise CaptureRefused(f"port: {name} needs one, 1 to 65535")
    send = query.get("send", "")
    if bool(send) is not (destination is not None):
        raise CaptureRefused("send and destination: a probe is sent from a port to an address")
    return ProbeRequest(
        token=token,
        protocol=probe_number(name, version),
        port=port if name in {"tcp", "udp"} else 0,
        seconds=read_number(query, "seconds", SECONDS_MAX, least=1) or SECONDS_DEFAULT,
        send=send,
        destination=destination,
        source_port=read_number(query, "sport", 65_535) or 0,
        mac=_mac(query.get("mac", "")),
    )


def _token(text: str) -> bytes:
    try:
        token = bytes.fromhex(text)
    except ValueError:
        token = b""
    if len(token) != TOKEN_BYTES:
        raise CaptureRefused(f"token: {TOKEN_BYTES} bytes as hexadecimal digits")
    return token


def _mac(text: str) -> Mac:
    try:
        return Mac.parse(text) if text else GATEWAY_MAC
    except ValueError as error:
        raise CaptureRefused(f"mac={text[:64]} is no MAC address") from error


def frame_of(request: ProbeRequest, state: PortState | None) -> tuple[int, bytes]:
    """Return the link that the probe comes in by, and its frame; ``CaptureRefused`` says why it is not sent."""
    name, destination = request.send, request.destination
    if state is None or destination is None:
        raise CaptureRefused(f"send={name[:64]}: no port of that uuid is plugged here")
    if not isinstance(state, ActivePort):
        raise CaptureRefused(f"send={name}: the port does not forward: {state.reason}")
    if state.plugged.tag is not None or not state.plugged.ifindex:
        raise CaptureRefused(f"send={name}: a probe is sent from a port with a link of its own")
    own = next((each for each in state.port.addresses if each.version == destination.version), None)
    if own is None:
        raise CaptureRefused(f"send={name}: the port has no IPv{destination.version} address")
    frame = probe_frame(
        (state.port.mac.packed, request.mac.packed),
        (own, destination),
        request.protocol,
        (request.source_port, request.port),
        request.token,
    )
    return state.plugged.ifindex, frame


def _is_probe(request: ProbeRequest, frame: bytes) -> bool:
    """Tell whether a frame has the token, and is no answer that repeats it (RFC 792, RFC 4443)."""
    place = frame.find(request.token)
    if place < ICMP_HEADER_BYTES:
        return False
    is_icmp = request.protocol in {NUMBERS["icmp"], NUMBERS["icmp6"]}
    return not is_icmp or frame[place - ICMP_HEADER_BYTES] not in _ECHO_REPLIES


def sightings(
    request: ProbeRequest, frames: Iterable[Captured], desired: Desired
) -> list[dict[str, object]]:
    """Return where the token was seen, a row for each."""
    rows: list[dict[str, object]] = []
    for each in frames:
        if not _is_probe(request, each.frame) or len(rows) == SIGHTINGS_COUNT_MAX:
            continue
        uuid = desired.vifs.get(each.vif_id, "")
        state = desired.ports.get(uuid)
        is_active = isinstance(state, ActivePort)
        rows.append(
            {
                "time_ns": each.time_ns,
                "point": _POINTS[each.point],
                "reason": each.reason if each.point is Point.DROPPED else "",
                "vmi_uuid": uuid,
                "port": state.port.name if is_active else "",
                "ifname": state.plugged.ifname if state else "",
                "vrf": state.port.network.vrf if is_active else "",
            }
        )
    return rows
