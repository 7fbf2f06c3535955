"""Steady packets between workloads, each watched at every port: what :mod:`.reach_oracle` judges.

One thread sends and reads. It watches by packet sockets inside every workload's namespace, which
see any IPv4 packet that comes out of the port, to whatever address: with overlapping addresses,
and for misdeliveries, what the workload's own stack takes would tell too little. Each packet
carries a token of this run, its stream and its number. A reply has the same token.

Pings change their identifier every second, so that both live and new flows are seen; datagrams
keep their ports.
"""

from __future__ import annotations

import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from skytrail.lab.io import netns
from skytrail.testing.reach_oracle import Packet, Stream
from skytrail.wire.icmp import IcmpMessage

PORT = 7000
PACKET_LATE_S = 1.0
"""After so long without an answer a packet counts as not answered; late answers still count."""
_ETH_P_IP = 0x0800
_IFNAME = "eth0"
_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33
_TOKEN = struct.Struct("!8sHIB")
_REQUEST, _ANSWER = 1, 2


@dataclass(frozen=True, slots=True)
class _Ends:
    """The sockets in one workload."""

    seen: socket.socket
    ping: socket.socket
    sender: socket.socket
    responder: socket.socket

    def all(self) -> tuple[socket.socket, ...]:
        return (self.seen, self.ping, self.sender, self.responder)


class Streams:
    """Sends every stream once in ``interval_s`` while entered. Times are ``time.monotonic()``."""

    def __init__(
        self, namespaces: Mapping[str, str], streams: Sequence[Stream], *, interval_s: float
    ) -> None:
        self._namespaces = dict(namespaces)
        self._streams = list(streams)
        self._interval_s = interval_s
        self._mark = os.urandom(8)
        self._packets: list[list[Packet]] = [[] for _ in streams]
        self._ends: dict[str, _Ends] = {}
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

    def leave(self, name: str) -> None:
        """Let go of a workload whose namespace is about to end; its streams pause."""
        self._order(lambda: self._close(name))

    def enter(self, name: str) -> None:
        """Take up a workload again, in its new namespace."""
        self._order(lambda: self._open(name))

    def packets(self, stream: Stream, since: float = 0.0) -> list[Packet]:
        """Return the packets sent at or after ``since`` that were answered or had their time."""
        now, found = self._read_up_to, list[Packet]()
        for packet in reversed(self._packets[self._streams.index(stream)]):
            if packet.sent < since:
                break
            if packet.answered is not None or packet.sent + PACKET_LATE_S <= now:
                found.append(packet)
        return found[::-1]

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
            # After a pause of this process the pace goes on; nothing is caught up in a burst.
            due = max(due + step_s, time.monotonic())
            self._read_until(due)

    def _open(self, name: str) -> None:
        namespace = self._namespaces[name]
        seen = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_DGRAM)
        seen.bind((_IFNAME, _ETH_P_IP))
        ping = netns.open_socket(namespace, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        sender, responder = (netns.open_socket(namespace, socket.AF_INET) for _ in range(2))
        responder.bind(("", PORT))
        ends = _Ends(seen, ping, sender, responder)
        for each in ends.all():
            each.setblocking(False)
        for each in (seen, responder):
            each.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._ends[name] = ends

    def _close(self, name: str) -> None:
        for each in self._ends.pop(name).all():
            each.close()

    def _send(self, index: int) -> None:
        stream = self._streams[index]
        ends = self._ends.get(stream.source)
        if ends is None:
            return
        sent = self._packets[index]
        token = _TOKEN.pack(self._mark, index, len(sent), _REQUEST)
        packet = Packet(time.monotonic())
        sent.append(packet)
        try:
            if stream.protocol == "icmp":
                generation = int(packet.sent) & 0xFF
                word = (index << 8 | generation) << 16 | (len(sent) & 0xFFFF)
                message = IcmpMessage(icmp_type=8, code=0, rest=word, payload=token)
                ends.ping.sendto(message.encode(IPv4Address(0), IPv4Address(0)), _to(stream, 0))
            else:
                ends.sender.sendto(token, _to(stream, PORT))
        except OSError:
            return  # No address or no way inside the workload: a packet nobody will see.

    def _read_until(self, due: float) -> None:
        while True:
            readable = {ends.seen: name for name, ends in self._ends.items()}
            responders = {ends.responder for ends in self._ends.values()}
            now = time.monotonic()
            left_s = max(0.0, due - now)
            ready = select.select([*readable, *responders], [], [], left_s)[0]
            for each in ready:
                if each in responders:
                    self._answer(each)
                else:
                    self._note(readable[each], each.recv(2048))
            if not ready:
                self._read_up_to = now
            if not ready or time.monotonic() >= due:
                return

    def _answer(self, responder: socket.socket) -> None:
        payload, sender = responder.recvfrom(2048)
        if payload[:8] == self._mark and payload[-1] == _REQUEST:
            try:
                responder.sendto(payload[:-1] + bytes((_ANSWER,)), sender)
            except OSError:
                return  # The workload has no way back just now: unanswered.

    def _note(self, name: str, packet: bytes) -> None:
        body = packet[(packet[0] & 0x0F) * 4 :] if packet else b""
        start = body.find(self._mark, 0, 16)
        # An ICMP error quotes the token far behind its own header: neither request nor answer.
        if start != 8 or len(body) < start + _TOKEN.size:
            return
        _, index, number, kind = _TOKEN.unpack_from(body, start)
        stream, found = self._streams[index], self._packets[index][number]
        is_answer = body[0] == 0 if stream.protocol == "icmp" else kind == _ANSWER
        now = time.monotonic()
        if not is_answer:
            found.arrivals.setdefault(name, now)
        elif name == stream.source:
            found.answered = found.answered or now
        else:
            found.strays.add(name)


def _to(stream: Stream, port: int) -> tuple[str, int]:
    return str(stream.address), port
