"""TCP between workloads as :mod:`.reach_streams` sends it: one connection of a stream, kept open.

While it has none, a stream tries anew at each turn; an attempt is a packet of the stream as well,
answered when the connection is open. On an open connection each turn is a message that the other
end echoes. A connection that leaves a message unanswered for ``STALL_S`` is given up: that, and what
the other end or the network resets, is an :class:`~.reach_oracle.Ending`.

Each attempt has a port of its own, by which its SYN is known wherever it comes out.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from skytrail.lab.io import netns
from skytrail.testing.reach_oracle import Ending, Packet, Stream
from skytrail.testing.reach_token import TOKEN_BYTES, Token, answer_to

PORT = 7001
ATTEMPT_S = 1.0
"""Ends before the first SYN would be repeated, so that one SYN is one packet."""
STALL_S = 2.0
_SILENT_S = 5.0
"""A served connection whose client went without a word is let go after so long."""
_FIRST_PORT = 10000
_PORTS_EACH = 200
_CHUNK_BYTES = 4096
_IN_PROGRESS = 115  # EINPROGRESS
_ABORT = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class _Client:
    index: int
    link: socket.socket
    attempt: Packet
    is_open: bool = False
    waiting: dict[int, Packet] = field(default_factory=dict[int, Packet])
    """Messages without an answer, in the order sent."""
    unread: bytes = b""


@dataclass(slots=True)
class _Served:
    link: socket.socket
    heard: float
    unread: bytes = b""


class Connections:
    """The connections of all TCP streams. Everything runs in the thread of the streams."""

    def __init__(
        self, mark: bytes, streams: Sequence[Stream], packets: Sequence[list[Packet]]
    ) -> None:
        self.endings: list[Ending] = []
        self.opened_count = 0
        self._mark, self._streams, self._packets = mark, streams, packets
        self._places = {
            index: place
            for place, index in enumerate(n for n, s in enumerate(streams) if s.protocol == "tcp")
        }
        self._attempts: dict[int, tuple[int, int]] = {}
        """By source port: stream and number of the packet."""
        self._clients: dict[int, list[_Client]] = {index: [] for index in self._places}
        self._served: dict[str, list[_Served]] = {}
        self._listeners: dict[str, socket.socket] = {}
        self._namespaces: dict[str, str] = {}
        self._selector = selectors.EpollSelector()

    def fileno(self) -> int:
        """Ready to read when :meth:`work` has something to do."""
        return self._selector.fileno()

    def enter(self, name: str, namespace: str) -> None:
        """Listen in a workload, and let its streams begin."""
        listener = netns.open_socket(namespace, socket.AF_INET6, socket.SOCK_STREAM)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", PORT))
        listener.listen(100)
        listener.setblocking(False)
        self._listeners[name], self._served[name] = listener, []
        self._namespaces[name] = namespace
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(name))

    def leave(self, name: str) -> None:
        """Let go of everything in a workload that is about to end."""
        for served in self._served.pop(name):
            self._close(served.link)
        for index, clients in self._clients.items():
            if self._streams[index].source == name:
                for client in list(clients):
                    self._drop(client)
        self._close(self._listeners.pop(name))
        del self._namespaces[name]

    def close(self) -> None:
        for name in list(self._namespaces):
            self.leave(name)
        self._selector.close()

    def turn(self, index: int, read_up_to: float) -> None:
        """Send the stream's next packet; what was received up to ``read_up_to`` is known."""
        namespace = self._namespaces.get(self._streams[index].source)
        if namespace is None:
            return
        for client in list(self._clients[index]):
            if not client.is_open and client.attempt.sent + ATTEMPT_S < read_up_to:
                self._drop(client)
            oldest = next(iter(client.waiting.values()), None)
            if oldest is not None and oldest.sent + STALL_S < read_up_to:
                self._end(client, "timed out")
        packet, number = Packet(time.monotonic()), len(self._packets[index])
        self._packets[index].append(packet)
        current = next((client for client in self._clients[index] if client.is_open), None)
        if current is None:
            self._attempt(namespace, index, number, packet)
            return
        current.waiting[number] = packet
        try:
            current.link.send(Token(index, number).encode(self._mark))
        except BlockingIOError:
            return  # Filled by what waits: it will time out.
        except OSError as error:
            self._end(current, str(error))

    def work(self) -> None:
        """Do what connections ask for."""
        for key, _ in self._selector.select(0):
            key.data()

    def tidy(self, now: float) -> None:
        """Let go of served connections that nobody speaks on any more."""
        for served in self._served.values():
            for each in [each for each in served if each.heard + _SILENT_S < now]:
                self._close(each.link)
                served.remove(each)

    def attempt_of(self, source_port: int) -> tuple[int, int] | None:
        """Return stream and number of the packet whose SYN has this source port."""
        return self._attempts.get(source_port)

    def _attempt(self, namespace: str, index: int, number: int, packet: Packet) -> None:
        stream = self._streams[index]
        port = _FIRST_PORT + self._places[index] * _PORTS_EACH + number % _PORTS_EACH
        family = socket.AF_INET6 if stream.address.version == 6 else socket.AF_INET
        link = netns.open_socket(namespace, family, socket.SOCK_STREAM)
        link.setblocking(False)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._attempts[port] = (index, number)
        try:
            link.bind(("", port))
            started = link.connect_ex((str(stream.address), PORT)) == _IN_PROGRESS
        except OSError:
            started = False
        if not started:
            link.close()  # No address or no way inside the workload: a packet nobody will see.
            return
        client = _Client(index, link, packet)
        self._clients[index].append(client)
        self._selector.register(link, selectors.EVENT_WRITE, lambda: self._connected(client))

    def _connected(self, client: _Client) -> None:
        if client.link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._drop(client)
            return
        client.attempt.answered = time.monotonic()
        if any(each.is_open for each in self._clients[client.index]):
            self._drop(client)
            return
        client.is_open = True
        self.opened_count += 1
        self._selector.modify(client.link, selectors.EVENT_READ, lambda: self._answered(client))

    def _answered(self, client: _Client) -> None:
        try:
            received = client.link.recv(_CHUNK_BYTES)
        except OSError as error:
            self._end(client, error.strerror or str(error))
            return
        if not received:
            self._end(client, "closed by the other end")
            return
        client.unread += received
        while len(client.unread) >= TOKEN_BYTES:
            head, client.unread = client.unread[:TOKEN_BYTES], client.unread[TOKEN_BYTES:]
            number = int.from_bytes(head[-5:-1], "big")
            packet = client.waiting.pop(number, None)
            if packet is not None:
                packet.answered = time.monotonic()

    def _accept(self, name: str) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            link, _ = self._listeners[name].accept()
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            served = _Served(link, time.monotonic())
            self._served[name].append(served)
            self._selector.register(link, selectors.EVENT_READ, lambda: self._echo(name, served))

    def _echo(self, name: str, served: _Served) -> None:
        try:
            received = served.link.recv(_CHUNK_BYTES)
            served.heard = time.monotonic()
            served.unread += received
            while len(served.unread) >= TOKEN_BYTES:
                head, served.unread = served.unread[:TOKEN_BYTES], served.unread[TOKEN_BYTES:]
                served.link.send(answer_to(head, self._mark) or b"")
        except OSError:
            received = b""  # Reset by its client, or full because its client is gone.
        if not received:
            self._close(served.link)
            self._served[name].remove(served)

    def _end(self, client: _Client, why: str) -> None:
        now = time.monotonic()
        stream = self._streams[client.index]
        self.endings.append(Ending(stream, client.attempt.sent, now, why))
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        self._clients[client.index].remove(client)
        self._close(client.link)

    def _close(self, link: socket.socket) -> None:
        self._selector.unregister(link)
        # Reset at once, so that its port is free for the next one.
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        link.close()
