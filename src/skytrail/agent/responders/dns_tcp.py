"""DNS over TCP at the service address (RFC 7766): as much of TCP as answering questions needs.

Sans-IO: segments and time in, segments and questions out. A connection is a workload's on this very
host, so the path loses next to nothing: what is lost anyhow is sent again by a timer, and what comes
out of order is asked for again instead of kept. The side that answers never closes first.

```
 SYN -> SYN|ACK -> length, question ... -> questions -> answer() -> length, answer -> FIN -> FIN|ACK
```
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from skytrail.agent.tables import VifId
from skytrail.net import IpAddress
from skytrail.wire.dns import DNS_PORT
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_TCP,
    EthernetFrame,
    IpPacket,
    TcpFlag,
    TcpSegment,
    decode_tcp,
)

CONNECTIONS_COUNT_MAX = 256
CONNECTIONS_PER_PORT_COUNT_MAX = 16
IDLE_S_MAX = 10.0
QUESTION_BYTES_MAX = 4096
WAITING_BYTES_MAX = 1 << 17
"""Of answers that a workload does not take."""
_RESEND_S = 1.0
_WINDOW_BYTES = 8192
_SEQUENCES = 1 << 32
_SEGMENT_BYTES = {4: 536, 6: 1220}
"""What every host takes (RFC 9293 section 3.7.1): options of others are not read."""


@dataclass(frozen=True, slots=True)
class ConnectionKey:
    vif_id: VifId
    client: IpAddress
    client_port: int
    server: IpAddress


@dataclass(slots=True)
class _Connection:
    ethernet: EthernetFrame
    expected: int
    """Sequence number of the client's next byte."""
    sent: int
    """Sequence number of our first byte that is not acknowledged yet."""
    due: float
    deadline: float
    window: int
    is_open: bool = False
    is_ended: bool = False
    """The client sends no more."""
    has_ended: bool = False
    """Neither do we: our FIN is sent."""
    flying: int = 0
    """How many of ``outgoing`` are sent and not acknowledged."""
    outstanding: int = 0
    """Questions that have no answer yet."""
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: bytearray = field(default_factory=bytearray)


class TcpService:
    """All connections of a host; bounded in all and per port, refused beyond."""

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number
        """Returns 32 random bits."""
        self._connections: dict[ConnectionKey, _Connection] = {}
        self._per_port: Counter[VifId] = Counter()
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._connections)

    def receive(
        self, vif_id: VifId, ethernet: EthernetFrame, packet: IpPacket, now: float
    ) -> tuple[list[bytes], ConnectionKey, list[bytes]]:
        """Take a segment in: frames to send, and questions that came whole. ``DecodeError``."""
        segment = decode_tcp(packet.payload)
        key = ConnectionKey(vif_id, packet.source, segment.source_port, packet.destination)
        connection = self._connections.get(key)
        if segment.flags & TcpFlag.RST:
            self._forget(key)
            return [], key, []
        if segment.flags & TcpFlag.SYN and not segment.flags & TcpFlag.ACK:
            return self._accept(key, ethernet, segment, now), key, []
        if connection is None:
            return [self._refuse(key, ethernet, segment)], key, []
        connection.deadline = now + IDLE_S_MAX
        connection.window = segment.window
        self._acknowledged(connection, segment.acknowledgement, now)
        if connection.has_ended and not connection.outgoing and connection.flying < 0:
            self._forget(key)
            return [], key, []
        questions, answers = self._take(connection, segment)
        frames = list(self._send(key, connection, now))
        if answers and not frames:
            frames = [self._frame(key, connection, TcpFlag.ACK)]
        return frames, key, questions

    def answer(self, key: ConnectionKey, message: bytes, now: float) -> list[bytes]:
        """Send an answer; nothing if the connection is gone."""
        connection = self._connections.get(key)
        if connection is None:
            return []
        connection.outstanding -= 1
        if len(connection.outgoing) + len(message) > WAITING_BYTES_MAX:
            self.counts["answer not taken"] += 1
            self._forget(key)
            return []
        connection.outgoing += len(message).to_bytes(2) + message
        return list(self._send(key, connection, now))

    def abandon(self, key: ConnectionKey) -> None:
        """Forget a connection on which something came that is no question."""
        self.counts["abandoned"] += 1
        self._forget(key)

    def tick(self, now: float) -> Iterator[tuple[VifId, bytes]]:
        """Yield what is to be sent again; forget who is silent."""
        for key, connection in list(self._connections.items()):
            if connection.deadline <= now:
                self.counts["timed out"] += 1
                self._forget(key)
            elif connection.due <= now and (connection.flying > 0 or connection.has_ended):
                connection.due = now + _RESEND_S
                connection.flying = 0
                connection.has_ended = False
                for frame in self._send(key, connection, now):
                    yield key.vif_id, frame

    def _accept(
        self, key: ConnectionKey, ethernet: EthernetFrame, segment: TcpSegment, now: float
    ) -> list[bytes]:
        known = self._connections.get(key)
        if known is None or known.is_open:
            self._forget(key)
            mine = self._per_port[key.vif_id]
            if (
                mine >= CONNECTIONS_PER_PORT_COUNT_MAX
                or len(self._connections) >= CONNECTIONS_COUNT_MAX
            ):
                self.counts["refused: too many connections"] += 1
                return [self._refuse(key, ethernet, segment)]
            self._per_port[key.vif_id] += 1
            known = self._connections[key] = _Connection(
                ethernet=ethernet,
                expected=(segment.sequence + 1) % _SEQUENCES,
                sent=self._number() % _SEQUENCES,
                due=now + _RESEND_S,
                deadline=now + IDLE_S_MAX,
                window=segment.window,
            )
            self.counts["accepted"] += 1
        size = _SEGMENT_BYTES[key.client.version]
        answer = TcpSegment(
            source_port=DNS_PORT,
            destination_port=key.client_port,
            sequence=known.sent,
            acknowledgement=known.expected,
            flags=TcpFlag.SYN | TcpFlag.ACK,
            window=_WINDOW_BYTES,
            segment_bytes_max=size,
        )
        return [_wrapped(key, known.ethernet, answer)]

    def _acknowledged(self, connection: _Connection, number: int, now: float) -> None:
        ahead = (number - connection.sent) % _SEQUENCES
        if not connection.is_open:
            if ahead == 1:
                connection.is_open = True
                connection.sent = number
            return
        most = connection.flying + (1 if connection.has_ended else 0)
        if not 0 < ahead <= most:
            return
        given = min(ahead, connection.flying)
        del connection.outgoing[:given]
        connection.sent = (connection.sent + given) % _SEQUENCES
        connection.flying -= given
        connection.due = now + _RESEND_S
        if ahead > given:
            connection.flying = -1  # Our FIN is acknowledged.

    def _take(self, connection: _Connection, segment: TcpSegment) -> tuple[list[bytes], bool]:
        """Return whole questions, and whether the segment wants an acknowledgement."""
        is_fin = bool(segment.flags & TcpFlag.FIN)
        if not segment.payload and not is_fin:
            return [], False
        if segment.sequence != connection.expected or not connection.is_open:
            return [], True
        room = QUESTION_BYTES_MAX + 2 - len(connection.incoming)
        taken = segment.payload[: max(room, 0)]
        connection.incoming += taken
        connection.expected = (connection.expected + len(taken)) % _SEQUENCES
        if is_fin and len(taken) == len(segment.payload):
            connection.expected = (connection.expected + 1) % _SEQUENCES
            connection.is_ended = True
        questions = list(self._whole(connection))
        connection.outstanding += len(questions)
        return questions, True

    def _whole(self, connection: _Connection) -> Iterator[bytes]:
        while len(connection.incoming) >= 2:
            length = int.from_bytes(connection.incoming[:2])
            if length > QUESTION_BYTES_MAX:
                # Whatever follows cannot be told apart from it: nobody gets an answer any more.
                connection.incoming.clear()
                connection.is_ended = True
                return
            if len(connection.incoming) < 2 + length:
                return
            yield bytes(connection.incoming[2 : 2 + length])
            del connection.incoming[: 2 + length]

    def _send(self, key: ConnectionKey, connection: _Connection, now: float) -> Iterator[bytes]:
        size = _SEGMENT_BYTES[key.client.version]
        if connection.flying < 0:
            return
        while connection.flying < min(len(connection.outgoing), connection.window):
            begin = connection.flying
            end = min(begin + size, len(connection.outgoing), connection.window)
            connection.flying = end
            connection.due = now + _RESEND_S
            flags = TcpFlag.ACK | TcpFlag.PSH
            payload = bytes(connection.outgoing[begin:end])
            yield self._frame(key, connection, flags, payload, ahead=begin)
        done = connection.flying == len(connection.outgoing) and not connection.outstanding
        if connection.is_ended and done and not connection.has_ended:
            connection.has_ended = True
            connection.due = now + _RESEND_S
            flags = TcpFlag.ACK | TcpFlag.FIN
            yield self._frame(key, connection, flags, ahead=connection.flying)

    def _frame(
        self,
        key: ConnectionKey,
        connection: _Connection,
        flags: TcpFlag,
        payload: bytes = b"",
        *,
        ahead: int | None = None,
    ) -> bytes:
        after = max(connection.flying, 0) if ahead is None else ahead
        segment = TcpSegment(
            source_port=DNS_PORT,
            destination_port=key.client_port,
            sequence=(connection.sent + after) % _SEQUENCES,
            acknowledgement=connection.expected,
            flags=flags,
            payload=payload,
            window=_WINDOW_BYTES,
        )
        return _wrapped(key, connection.ethernet, segment)

    def _refuse(self, key: ConnectionKey, ethernet: EthernetFrame, segment: TcpSegment) -> bytes:
        length = len(segment.payload) + bool(segment.flags & (TcpFlag.SYN | TcpFlag.FIN))
        reset = TcpSegment(
            source_port=DNS_PORT,
            destination_port=key.client_port,
            sequence=segment.acknowledgement if segment.flags & TcpFlag.ACK else 0,
            acknowledgement=(segment.sequence + length) % _SEQUENCES,
            flags=TcpFlag.RST | TcpFlag.ACK,
            window=0,
        )
        return _wrapped(key, ethernet, reset)

    def _forget(self, key: ConnectionKey) -> None:
        if self._connections.pop(key, None) is not None:
            self._per_port[key.vif_id] -= 1
            if not self._per_port[key.vif_id]:
                del self._per_port[key.vif_id]


def _wrapped(key: ConnectionKey, ethernet: EthernetFrame, segment: TcpSegment) -> bytes:
    packet = IpPacket(
        source=key.server,
        destination=key.client,
        protocol=PROTOCOL_TCP,
        payload=segment.encode(key.server, key.client),
    )
    ether_type = ETHERTYPE_IPV4 if key.client.version == 4 else ETHERTYPE_IPV6
    back = EthernetFrame(ethernet.source, ethernet.destination, ether_type, packet.encode())
    return back.encode()
