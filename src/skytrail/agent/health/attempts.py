"""One question to a workload, until it is answered or its time is up. Pure: time comes in.

```
 start(now) -> frames;  receive(packet, now) -> frames;  tick(now) -> frames;  verdict: None, then one
```
A question is one ICMP echo, or one HTTP request over a TCP connection of its own that ends with a
reset as soon as the status line is there: who is asked every second is spared the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Protocol

from skytrail.agent.health.check import HttpRequest
from skytrail.net import GATEWAY_MAC, IpAddress, Mac
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    EthernetFrame,
    IpPacket,
    TcpFlag,
    TcpSegment,
    decode_tcp,
)
from skytrail.wire.icmp import (
    ICMP_ECHO_REPLY,
    ICMP_ECHO_REQUEST,
    ICMPV6_ECHO_REPLY,
    ICMPV6_ECHO_REQUEST,
    IcmpMessage,
    decode_icmp,
)

RETRANSMIT_S = 1.0
"""For what TCP repeats; a shorter time to answer is split in three."""
_PAYLOAD = b"skytrail health check"
_SEGMENT_BYTES_MAX = 1200
"""So that answers fit below any tunnel, and whole into what the datapath hands over."""
_TAGGED = 0x8100
_STATUS_START = b"HTTP/1."
_STATUS_BYTES = 12
"""``HTTP/1.1 200``."""
_SEQUENCE_MASK = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reason`` says what was wrong; empty: nothing."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """Between whom a check speaks, and the MAC that frames of ours go to."""

    source: IpAddress
    destination: IpAddress
    mac: Mac
    source_mac: Mac = GATEWAY_MAC
    vlan: int = 0
    """Of a chain through a transparent service; 0: frames have no tag."""

    @property
    def is_ipv6(self) -> bool:
        return isinstance(self.destination, IPv6Address)

    def frame(
        self, protocol: int, payload: bytes, *, hop_limit: int = 64, traffic_class: int = 0
    ) -> bytes:
        """Return a frame from the vRouter to the workload."""
        packet = IpPacket(
            source=self.source,
            destination=self.destination,
            protocol=protocol,
            payload=payload,
            hop_limit=hop_limit,
            traffic_class=traffic_class,
        )
        kind = ETHERTYPE_IPV6 if self.is_ipv6 else ETHERTYPE_IPV4
        content = packet.encode()
        if self.vlan:
            kind, content = _TAGGED, self.vlan.to_bytes(2) + kind.to_bytes(2) + content
        return EthernetFrame(self.mac, self.source_mac, kind, content).encode()

    def answers(self, packet: IpPacket) -> bool:
        """Whether a packet comes back on this way."""
        return packet.source == self.destination and packet.destination == self.source


class Attempt(Protocol):
    """A question under way. ``verdict`` is None until it is decided."""

    @property
    def verdict(self) -> Verdict | None: ...

    @property
    def next_deadline(self) -> float:
        """When to call :meth:`tick` at the latest."""
        ...

    def start(self, now: float) -> Sequence[bytes]: ...

    def receive(self, packet: IpPacket, now: float) -> Sequence[bytes]: ...

    def tick(self, now: float) -> Sequence[bytes]: ...


class PingAttempt:
    """``identifier`` tells checks apart, ``sequence`` the questions of one; 16 bits each."""

    def __init__(self, way: Way, identifier: int, sequence: int, timeout_s: float) -> None:
        self.verdict: Verdict | None = None
        self.next_deadline = 0.0
        self._way = way
        self._rest = (identifier & 0xFFFF) << 16 | (sequence & 0xFFFF)
        self._timeout_s = timeout_s

    def start(self, now: float) -> Sequence[bytes]:
        self.next_deadline = now + self._timeout_s
        way = self._way
        kind = ICMPV6_ECHO_REQUEST if way.is_ipv6 else ICMP_ECHO_REQUEST
        message = IcmpMessage(kind, 0, self._rest, _PAYLOAD)
        protocol = PROTOCOL_ICMPV6 if way.is_ipv6 else PROTOCOL_ICMP
        return (way.frame(protocol, message.encode(way.source, way.destination)),)

    def receive(self, packet: IpPacket, now: float) -> Sequence[bytes]:
        """Take a packet of the workload; raises ``DecodeError``."""
        del now
        protocol = PROTOCOL_ICMPV6 if self._way.is_ipv6 else PROTOCOL_ICMP
        if packet.protocol == protocol and self._way.answers(packet) and not packet.is_fragment:
            message = decode_icmp(packet.payload)
            reply = ICMPV6_ECHO_REPLY if self._way.is_ipv6 else ICMP_ECHO_REPLY
            if (message.icmp_type, message.rest) == (reply, self._rest):
                self.verdict = Verdict()
        return ()

    def tick(self, now: float) -> Sequence[bytes]:
        if now >= self.next_deadline and self.verdict is None:
            self.verdict = Verdict(f"no answer to ping within {self._timeout_s:g} s")
        return ()


class HttpAttempt:
    """A request over a connection of its own; ``port`` is ours, ``sequence`` where we start."""

    def __init__(
        self, way: Way, request: HttpRequest, ours: tuple[int, int], timeout_s: float
    ) -> None:
        self.verdict: Verdict | None = None
        self._way = way
        self._request = request
        self._port, self._first = ours
        self._timeout_s = timeout_s
        self._repeat_s = min(RETRANSMIT_S, timeout_s / 3)
        self._until = self._repeat_at = 0.0
        self._received: int | None = None
        """What we expect next of the workload; None: no connection yet."""
        self._answer = b""

    @property
    def next_deadline(self) -> float:
        return min(self._until, self._repeat_at)

    def start(self, now: float) -> Sequence[bytes]:
        self._until = now + self._timeout_s
        return self._say(now)

    def tick(self, now: float) -> Sequence[bytes]:
        if self.verdict is not None:
            return ()
        if now >= self._until:
            heard = "no connection" if self._received is None else "no HTTP status"
            self.verdict = Verdict(f"{heard} on port {self._request.port} in {self._timeout_s:g} s")
            return () if self._received is None else self._reset()
        return self._say(now) if now >= self._repeat_at else ()

    def receive(self, packet: IpPacket, now: float) -> Sequence[bytes]:
        """Take a packet of the workload; raises ``DecodeError``."""
        if packet.protocol != PROTOCOL_TCP or packet.is_fragment or not self._way.answers(packet):
            return ()
        segment = decode_tcp(packet.payload)
        ports = (segment.source_port, segment.destination_port)
        if ports != (self._request.port, self._port) or self.verdict is not None:
            return ()
        if self._received is None:
            return self._connected(segment, now)
        if segment.flags & TcpFlag.RST:
            if segment.sequence == self._received:
                self.verdict = Verdict("the connection was reset before an HTTP status")
            return ()
        return self._data(segment)

    def _connected(self, segment: TcpSegment, now: float) -> Sequence[bytes]:
        after = (self._first + 1) & _SEQUENCE_MASK
        if not segment.flags & TcpFlag.ACK or segment.acknowledgement != after:
            return ()
        if segment.flags & TcpFlag.RST:
            self.verdict = Verdict(f"port {self._request.port} refuses connections")
            return ()
        if not segment.flags & TcpFlag.SYN:
            return ()
        self._received = (segment.sequence + 1) & _SEQUENCE_MASK
        return self._say(now)

    def _data(self, segment: TcpSegment) -> Sequence[bytes]:
        """Only what is next counts: what arrives out of order is sent again."""
        expected = self._received or 0
        if segment.flags & TcpFlag.SYN or segment.sequence != expected:
            return ()
        self._answer += segment.payload
        self._received = (expected + len(segment.payload)) & _SEQUENCE_MASK
        self.verdict = self._judge(is_last=bool(segment.flags & TcpFlag.FIN))
        if self.verdict is not None:
            return self._reset()
        return (self._frame(self._next, TcpFlag.ACK),) if segment.payload else ()

    def _judge(self, *, is_last: bool) -> Verdict | None:
        answer = self._answer
        if len(answer) < _STATUS_BYTES:
            return Verdict("the connection ended before an HTTP status") if is_last else None
        code = answer[_STATUS_BYTES - 3 : _STATUS_BYTES]
        if not answer.startswith(_STATUS_START) or not code.isdigit():
            return Verdict("the answer is not HTTP/1")
        number = int(code)
        if any(first <= number <= last for first, last in self._request.codes):
            return Verdict()
        return Verdict(f"HTTP status {number}")

    @property
    def _next(self) -> int:
        """What we send next, with everything said."""
        return (self._first + 1 + len(self._text())) & _SEQUENCE_MASK

    def _text(self) -> bytes:
        request, destination = self._request, self._way.destination
        host = f"[{destination}]" if self._way.is_ipv6 else str(destination)
        lines = (
            f"{request.method} {request.path} HTTP/1.1",
            f"Host: {host}:{request.port}",
            "User-Agent: skytrail-health-check",
            "Accept: */*",
            "Connection: close",
            "",
            "",
        )
        return "\r\n".join(lines).encode("ascii", "replace")

    def _say(self, now: float) -> Sequence[bytes]:
        """Say (again) what is due: that we want to connect, or the request."""
        self._repeat_at = now + self._repeat_s
        if self._received is None:
            return (self._frame(self._first, TcpFlag.SYN),)
        after = (self._first + 1) & _SEQUENCE_MASK
        return (self._frame(after, TcpFlag.ACK | TcpFlag.PSH, self._text()),)

    def _reset(self) -> Sequence[bytes]:
        return (self._frame(self._next, TcpFlag.RST | TcpFlag.ACK),)

    def _frame(self, sequence: int, flags: TcpFlag, payload: bytes = b"") -> bytes:
        way = self._way
        segment = TcpSegment(
            source_port=self._port,
            destination_port=self._request.port,
            sequence=sequence & _SEQUENCE_MASK,
            acknowledgement=self._received or 0,
            flags=flags,
            payload=payload,
            segment_bytes_max=_SEGMENT_BYTES_MAX if flags == TcpFlag.SYN else 0,
        )
        return way.frame(PROTOCOL_TCP, segment.encode(way.source, way.destination))
