"""Steady packets between workloads, each watched at every port: what :mod:`.reach_oracle` judges.

One thread sends and reads. It watches by packet sockets inside every workload's namespace, which
see any IP packet that comes out of the port, to whatever address: with overlapping addresses,
and for misdeliveries, what the workload's own stack takes would tell too little. Each packet
carries a token of this run, its stream and its number. A reply has the same token.

Pings change their identifier every second, so that both live and new flows are seen; datagrams
keep their ports; TCP keeps its connection as long as it can (:mod:`.reach_connections`).
"""

from __future__ import annotations

import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from skytrail.lab.io import netns
from skytrail.testing import reach_connections
from skytrail.testing.reach_connections import Connections
from skytrail.testing.reach_oracle import Ending, Packet, Stream
from skytrail.testing.reach_token import Token, answer_to, tokens
from skytrail.wire.icmp import IcmpMessage

PORT = 7000
PACKET_LATE_S = 1.0
"""After so long without an answer a packet counts as not answered; late answers still count."""
_ETH_P_ALL = 0x0003
_IFNAME = "eth0"
_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PINGS = {4: (8, socket.IPPROTO_ICMP), 6: (128, socket.IPPROTO_ICMPV6)}
_ECHO_ANSWERS = {1: 0, 58: 129}
_TCP, _UDP = 6, 17
_UPPER_HEADER_BYTES = {1: 8, 58: 8, _UDP: 8}
_IPV6_HEADER_BYTES = 40
_SYN, _ACK = 0x02, 0x10


@dataclass(frozen=True, slots=True)
class _Ends:
    """The sockets in one workload; those of each IP version by its number."""

    seen: socket.socket
    pings: dict[int, socket.socket]
    senders: dict[int, socket.socket]
    responders: dict[int, socket.socket]

    def watched(self) -> tuple[socket.socket, ...]:
        return (self.seen, *self.responders.values())

    def all(self) -> tuple[socket.socket, ...]:
        return (*self.watched(), *self.pings.values(), *self.senders.values())


@dataclass(frozen=True, slots=True)
class Connected:
    """What became of the TCP connections of a run."""

    opened: int
    endings: Sequence[Ending]

    def __str__(self) -> str:
        timed_out = sum(ending.why == "timed out" for ending in self.endings)
        lost = len(self.endings)
        return (
            f"{self.opened} connections were opened, {timed_out} timed out,"
            f" {lost - timed_out} were reset"
        )


class Streams:
    """Sends every stream once in ``interval_s`` while entered. Times are ``time.monotonic()``."""

    def __init__(
        self, namespaces: Mapping[str, str], streams: Sequence[Stream], *, interval_s: float
    ) -> None:
        self._namespaces = dict(namespaces)
        self._streams = list(streams)
        self._indexes = {stream: index for index, stream in enumerate(streams)}
        self._interval_s = interval_s
        self._mark = os.urandom(8)
        self._packets: list[list[Packet]] = [[] for _ in streams]
        self._ends: dict[str, _Ends] = {}
        self._connections = Connections(self._mark, self._streams, self._packets)
        self._selector = selectors.EpollSelector()
        self._selector.register(
            self._connections.fileno(), selectors.EVENT_READ, self._connections.work
        )
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = (
            queue.SimpleQueue()
        )
        # A packet that waits in a buffer while this process does not run is not lost.
        self._read_up_to = 0.0
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        for name in self._namespaces:
            self._open(name)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        for name in list(self._ends):
            self._close(name)
        self._connections.close()
        self._selector.close()

    def leave(self, name: str) -> None:
        """Let go of a workload whose namespace is about to end; its streams pause."""
        self._order(lambda: self._close(name))

    def enter(self, name: str) -> None:
        """Take up a workload again, in its new namespace."""
        self._order(lambda: self._open(name))

    def packets(self, stream: Stream, since: float = 0.0) -> list[Packet]:
        """Return the packets sent at or after ``since`` that were answered or had their time."""
        now, found = self._read_up_to, list[Packet]()
        for packet in reversed(self._packets[self._indexes[stream]]):
            if packet.sent < since:
                break
            if packet.answered is not None or packet.sent + PACKET_LATE_S <= now:
                found.append(packet)
        return found[::-1]

    def connected(self) -> Connected:
        """Tell what became of connections so far."""
        return Connected(self._connections.opened_count, tuple(self._connections.endings))

    def _order(self, what: Callable[[], None]) -> None:
        done = threading.Event()
        self._orders.put((what, done))
        while not done.wait(0.1):
            self.check()

    def check(self) -> None:
        """Raise what ended the thread, if anything did: silence must not look like denial."""
        if self._failure is not None:
            raise RuntimeError("the streams ended") from self._failure

    def _run(self) -> None:
        try:
            self._send_and_read()
        except BaseException as failure:
            self._failure = failure
            raise

    def _send_and_read(self) -> None:
        due, turn = time.monotonic(), 0
        step_s = self._interval_s / len(self._streams)
        while not self._stopping.is_set():
            while not self._orders.empty():
                what, done = self._orders.get()
                what()
                done.set()
            self._send(turn % len(self._streams))
            turn += 1
            if turn % len(self._streams) == 0:
                self._connections.tidy(self._read_up_to)
            # After a pause of this process the pace goes on; nothing is caught up in a burst.
            due = max(due + step_s, time.monotonic())
            self._read_until(due)

    def _open(self, name: str) -> None:
        namespace = self._namespaces[name]
        seen = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_DGRAM)
        seen.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        seen.bind((_IFNAME, _ETH_P_ALL))
        ends = _Ends(
            seen,
            pings={
                version: netns.open_socket(namespace, family, socket.SOCK_RAW, _PINGS[version][1])
                for version, family in _FAMILIES.items()
            },
            senders={v: netns.open_socket(namespace, family) for v, family in _FAMILIES.items()},
            responders={v: netns.open_socket(namespace, family) for v, family in _FAMILIES.items()},
        )
        ends.responders[6].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for responder in ends.responders.values():
            responder.bind(("", PORT))
            self._selector.register(
                responder, selectors.EVENT_READ, lambda each=responder: self._answer(each)
            )
        self._selector.register(
            seen, selectors.EVENT_READ, lambda: self._note(name, seen.recv(2048))
        )
        for each in ends.all():
            each.setblocking(False)
        for each in ends.watched():
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._ends[name] = ends
        self._connections.enter(name, namespace)

    def _close(self, name: str) -> None:
        ends = self._ends.pop(name)
        for each in ends.watched():
            self._selector.unregister(each)
        for each in ends.all():
            each.close()
        self._connections.leave(name)

    def _send(self, index: int) -> None:
        stream = self._streams[index]
        if stream.protocol == "tcp":
            self._connections.turn(index, self._read_up_to)
            return
        ends = self._ends.get(stream.source)
        if ends is None:
            return
        sent = self._packets[index]
        token = Token(index, len(sent)).encode(self._mark)
        packet = Packet(time.monotonic())
        sent.append(packet)
        version = stream.address.version
        try:
            if stream.protocol == "icmp":
                generation = int(packet.sent) & 0xFF
                word = (index << 8 | generation) << 16 | (len(sent) & 0xFFFF)
                message = IcmpMessage(
                    icmp_type=_PINGS[version][0], code=0, rest=word & 0xFFFFFFFF, payload=token
                )
                # The kernel writes the checksum of ICMPv6, whatever stands there.
                coded = message.encode(IPv4Address(0), IPv4Address(0))
                ends.pings[version].sendto(coded, (str(stream.address), 0))
            else:
                ends.senders[version].sendto(token, (str(stream.address), PORT))
        except OSError:
            return  # No address or no way inside the workload: a packet nobody will see.

    def _read_until(self, due: float) -> None:
        while True:
            now = time.monotonic()
            ready = self._selector.select(max(0.0, due - now))
            for key, _ in ready:
                key.data()
            if not ready:
                self._read_up_to = now
            if not ready or time.monotonic() >= due:
                return

    def _answer(self, responder: socket.socket) -> None:
        payload, sender = responder.recvfrom(2048)
        answer = answer_to(payload, self._mark)
        if answer is not None:
            try:
                responder.sendto(answer, sender)
            except OSError:
                return  # The workload has no way back just now: unanswered.

    def _note(self, name: str, packet: bytes) -> None:
        version = packet[0] >> 4 if packet else 0
        if version == 4:
            protocol, body = packet[9], packet[(packet[0] & 0x0F) * 4 :]
        elif version == 6:
            protocol, body = packet[6], packet[_IPV6_HEADER_BYTES:]
        else:
            return
        if protocol == _TCP:
            self._note_segment(name, body)
            return
        length = _UPPER_HEADER_BYTES.get(protocol)
        # An ICMP error quotes the token far behind its own header: neither request nor answer.
        if length is None or not body.startswith(self._mark, length):
            return
        for token in tokens(body[length:], self._mark):
            is_echo_answer = body[0] == _ECHO_ANSWERS.get(protocol)
            is_answer = token.is_answer if protocol == _UDP else is_echo_answer
            self._see(name, token.stream, token.number, is_answer=is_answer)

    def _note_segment(self, name: str, body: bytes) -> None:
        ports = int.from_bytes(body[0:2], "big"), int.from_bytes(body[2:4], "big")
        is_back = ports[0] == reach_connections.PORT
        if body[13] & _SYN:
            attempt = self._connections.attempt_of(ports[1] if is_back else ports[0])
            if attempt is not None:
                self._see(name, *attempt, is_answer=bool(body[13] & _ACK))
            return
        for token in tokens(body[(body[12] >> 4) * 4 :], self._mark):
            self._see(name, token.stream, token.number, is_answer=token.is_answer)

    def _see(self, name: str, index: int, number: int, *, is_answer: bool) -> None:
        stream, found = self._streams[index], self._packets[index][number]
        now = time.monotonic()
        if not is_answer:
            found.arrivals.setdefault(name, now)
        elif name != stream.source:
            found.strays.add(name)
        elif stream.protocol != "tcp":
            # Of TCP its client says it, when all before it arrived as well.
            found.answered = found.answered or now
