"""BGP for tests: raw UPDATEs built byte by byte, and two sessions joined by a pretended network."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address

from skytrail.wire.bgp import (
    Accepted,
    Action,
    BgpFamily,
    BgpSession,
    CloseConnection,
    Connect,
    Connected,
    Disconnected,
    Event,
    MessageFramer,
    MessageType,
    Negotiated,
    Received,
    SessionSettings,
    Start,
    Tick,
    Write,
)

INTERNAL = Negotiated(
    families=frozenset(BgpFamily),
    local_as=64512,
    peer_as=64512,
    peer_router_id=IPv4Address("192.0.2.2"),
)
EXTERNAL = replace(INTERNAL, peer_as=65001)
ORIGIN = b"\x40\x01\x01\x00"
AS_PATH = b"\x40\x02\x00"
NEXT_HOP = b"\x40\x03\x04\xc0\x00\x02\x01"
LOCAL_PREF = b"\x40\x05\x04\x00\x00\x00\x64"
MANDATORY = ORIGIN + AS_PATH + NEXT_HOP + LOCAL_PREF
TEN_SLASH_8 = b"\x08\x0a"


def attribute(flags: int, code: int, value: bytes) -> bytes:
    """Return an attribute with the length field its flags ask for."""
    width = 2 if flags & 0x10 else 1
    return bytes((flags, code)) + len(value).to_bytes(width) + value


def update_body(attributes: bytes = b"", nlri: bytes = b"", withdrawn: bytes = b"") -> bytes:
    """Return the body of an UPDATE with correct lengths around the given fields."""
    return len(withdrawn).to_bytes(2) + withdrawn + len(attributes).to_bytes(2) + attributes + nlri


def mp_reach(family: BgpFamily, next_hop: bytes, nlri: bytes) -> bytes:
    value = family.packed + len(next_hop).to_bytes(1) + next_hop + b"\0" + nlri
    return attribute(0x90, 14, value)


def mp_unreach(family: BgpFamily, nlri: bytes) -> bytes:
    return attribute(0x90, 15, family.packed + nlri)


def messages_of(stream: bytes) -> list[tuple[MessageType, bytes]]:
    """Divide a stream into (type, body)."""
    framer = MessageFramer()
    framer.bytes_max = 65535
    framer.feed(stream)
    found: list[tuple[MessageType, bytes]] = []
    while (message := framer.next_message()) is not None:
        found.append(message)
    return found


class Pair:
    """Two sessions, ends 0 and 1, and the network between them.

    Nothing moves until :meth:`run`; ``now`` is moved by the test. What each end did besides
    writing and connecting is in ``actions``.
    """

    def __init__(self, *settings: SessionSettings) -> None:
        self.ends = tuple(BgpSession(each) for each in settings)
        self.actions: tuple[list[Action], list[Action]] = ([], [])
        self.now = 0.0
        self.is_reachable = True
        self._peers: dict[tuple[int, int], tuple[int, int]] = {}
        self._queue: deque[tuple[int, Event]] = deque()

    def start(self) -> None:
        for end in (0, 1):
            self.step(end, Start())

    def step(self, end: int, event: Event) -> list[Action]:
        """Give one end an event and carry out what it asks for."""
        actions = self.ends[end].step(event, self.now)
        self.actions[end].extend(actions)
        for action in actions:
            match action:
                case Connect(number):
                    self._dial(end, number)
                case Write(number, chunk):
                    far = self._peers.get((end, number))
                    if far is not None:
                        self._queue.append((far[0], Received(far[1], chunk)))
                case CloseConnection(number):
                    self._hang_up(end, number)
                case _:
                    pass
        return actions

    def run(self) -> None:
        """Deliver until nothing is under way."""
        while self._queue:
            end, event = self._queue.popleft()
            self.step(end, event)

    def advance(self, seconds: float) -> None:
        """Let time pass, with every timer served when it is due."""
        until = self.now + seconds
        while True:
            self.run()
            due = min(end.next_deadline() for end in self.ends)
            if due > until:
                break
            self.now = max(self.now, due)
            for end in (0, 1):
                self.step(end, Tick())
        self.now = until

    def cut(self) -> None:
        """Break every connection without a word."""
        self._queue.clear()
        for end, number in list(self._peers):
            self._peers.pop((end, number), None)
            self.step(end, Disconnected(number))

    def _dial(self, end: int, number: int) -> None:
        if not self.is_reachable:
            return
        other = 1 - end
        accepted = self.ends[other].new_connection()
        self._peers[end, number] = (other, accepted)
        self._peers[other, accepted] = (end, number)
        self._queue.append((end, Connected(number)))
        self._queue.append((other, Accepted(accepted)))

    def _hang_up(self, end: int, number: int) -> None:
        far = self._peers.pop((end, number), None)
        if far is not None:
            self._peers.pop(far, None)
            self._queue.append((far[0], Disconnected(far[1])))
