"""Probes: does a packet from A reach B, and only B, and does the answer come back?

One process holds sockets inside every workload's namespace, so it sees where a probe arrived, not
just that something answered: with overlapping addresses a reply alone would prove nothing. Each
probe carries a random token; B is *reached* only when the token was seen in B, and a token seen
anywhere else is a leak.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from skytrail.lab.io import netns
from skytrail.wire.frame.checksum import internet_checksum
from skytrail.wire.icmp import IcmpMessage

IpAddress = IPv4Address | IPv6Address
TOKEN_BYTES = 16
_MARK = b"skytrail-probe:"
_READ_BYTES = 4096
_RESEND_S = 0.25
_SETTLE_S = 0.02
_ECHO_REQUEST: Mapping[int, int] = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ECHO_REPLY: Mapping[int, int] = {socket.AF_INET: 0, socket.AF_INET6: 129}


@dataclass(frozen=True, slots=True)
class Probe:
    """Send from ``source`` (a workload's name) to an address. ``port`` for tcp and udp."""

    source: str
    destination: str
    """The workload that owns the address, by name."""
    address: IpAddress
    protocol: str = "icmp"
    port: int = 0


@dataclass(slots=True)
class Sighting:
    """What became of one probe."""

    probe: Probe
    replied: bool = False
    arrived: set[str] = field(default_factory=set[str])
    """Names of the workloads that saw the request."""
    round_trip_s: float | None = None
    sent_count: int = 0

    @property
    def leaked(self) -> set[str]:
        return self.arrived - {self.probe.destination}


class Prober:
    """Holds sockets in the namespaces of ``workloads`` (name -> namespace) while entered."""

    def __init__(self, workloads: Mapping[str, str]) -> None:
        self._workloads = dict(workloads)
        self._raw: dict[tuple[str, int], socket.socket] = {}
        self._listeners: dict[tuple[str, str, int, int], socket.socket] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._sightings: dict[bytes, tuple[Sighting, asyncio.Event, float]] = {}
        self._lengths: dict[int, set[str]] = {}

    async def __aenter__(self) -> Self:
        for name, namespace in self._workloads.items():
            for family in (socket.AF_INET, socket.AF_INET6):
                opened = _open_raw(namespace, family)
                self._raw[name, family] = opened
                self._tasks.append(asyncio.create_task(self._watch_icmp(name, family, opened)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for opened in (*self._raw.values(), *self._listeners.values()):
            opened.close()

    async def send(self, probe: Probe, *, timeout_s: float, count_max: int = 4) -> Sighting:
        """Probe until an answer or the time is up, sending at most ``count_max`` times."""
        token = os.urandom(TOKEN_BYTES)
        sighting = Sighting(probe)
        answered = asyncio.Event()
        self._sightings[token] = (sighting, answered, time.monotonic())
        try:
            if probe.protocol == "tcp":
                await self._send_tcp(probe, token, sighting, timeout_s)
            else:
                await self._send_datagrams(probe, token, timeout_s, count_max)
            await asyncio.sleep(_SETTLE_S)  # A leaked copy would arrive about now.
        finally:
            del self._sightings[token]
        return sighting

    async def send_all(
        self, probes: Sequence[Probe], *, timeout_s: float, at_once_max: int = 64
    ) -> list[Sighting]:
        """Run many probes together; results in the order of ``probes``."""
        limit = asyncio.Semaphore(at_once_max)

        async def one(probe: Probe) -> Sighting:
            async with limit:
                return await self.send(probe, timeout_s=timeout_s)

        return list(await asyncio.gather(*(one(probe) for probe in probes)))

    @contextlib.contextmanager
    def watch_length(self, payload_bytes: int) -> Generator[set[str]]:
        """Collect the names of workloads that see an echo request of exactly this size.

        For requests that are not sent from here and so carry no token.
        """
        arrived = self._lengths.setdefault(payload_bytes, set())
        try:
            yield arrived
        finally:
            del self._lengths[payload_bytes]

    async def _send_datagrams(
        self, probe: Probe, token: bytes, timeout_s: float, count_max: int
    ) -> None:
        sighting, answered, _ = self._sightings[token]
        deadline = time.monotonic() + timeout_s
        with self._open_sender(probe) as sender:
            watcher = None
            if probe.protocol == "udp":
                self._listen(probe)
                watcher = asyncio.create_task(self._watch_answers(sender))
            try:
                while not answered.is_set() and time.monotonic() < deadline:
                    if sighting.sent_count < count_max:
                        self._transmit(probe, sender, token, sighting)
                    wait_s = min(_RESEND_S, max(0.0, deadline - time.monotonic()))
                    try:
                        await asyncio.wait_for(answered.wait(), wait_s)
                    except TimeoutError:
                        continue
            finally:
                if watcher:
                    watcher.cancel()
                    await asyncio.gather(watcher, return_exceptions=True)

    def _open_sender(self, probe: Probe) -> socket.socket:
        namespace = self._workloads[probe.source]
        if probe.protocol == "udp":
            opened = netns.open_socket(namespace, _family(probe.address))
        else:
            opened = _open_raw(namespace, _family(probe.address))
        opened.setblocking(False)
        return opened

    def _transmit(
        self, probe: Probe, sender: socket.socket, token: bytes, sighting: Sighting
    ) -> None:
        sighting.sent_count += 1
        self._sightings[token] = (sighting, self._sightings[token][1], time.monotonic())
        payload = _MARK + token
        if probe.protocol != "udp":
            payload = _echo_request(_family(probe.address), sighting.sent_count, payload)
        try:
            sender.sendto(payload, (str(probe.address), probe.port))
        except OSError as error:
            # No route inside the workload, or an ICMP error from an earlier copy: not an answer.
            if error.errno not in (
                errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNREFUSED, errno.EPERM,
            ):  # fmt: skip
                raise

    def _listen(self, probe: Probe) -> None:
        """Make sure the destination has a responder on the probe's port."""
        family = _family(probe.address)
        key = (probe.destination, probe.protocol, family, probe.port)
        namespace = self._workloads.get(probe.destination)
        if key in self._listeners or namespace is None:
            return
        kind = socket.SOCK_STREAM if probe.protocol == "tcp" else socket.SOCK_DGRAM
        opened = netns.open_socket(namespace, family, kind)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.setblocking(False)
        opened.bind(("", probe.port))
        self._listeners[key] = opened
        if probe.protocol == "tcp":
            opened.listen(64)
            task = self._serve_tcp(probe.destination, opened)
        else:
            task = self._serve_udp(probe.destination, opened)
        self._tasks.append(asyncio.create_task(task))

    async def _serve_udp(self, name: str, opened: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            payload, sender = await loop.sock_recvfrom(opened, _READ_BYTES)
            self._note_arrival(name, payload)
            opened.sendto(payload, sender)

    async def _serve_tcp(self, name: str, opened: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(opened)
            self._tasks.append(asyncio.create_task(self._answer_tcp(name, connection)))

    async def _answer_tcp(self, name: str, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with connection:
            payload = await loop.sock_recv(connection, _READ_BYTES)
            self._note_arrival(name, payload)
            await loop.sock_sendall(connection, payload)

    async def _send_tcp(
        self, probe: Probe, token: bytes, sighting: Sighting, timeout_s: float
    ) -> None:
        self._listen(probe)
        loop = asyncio.get_running_loop()
        namespace = self._workloads[probe.source]
        started = time.monotonic()
        with netns.open_socket(namespace, _family(probe.address), socket.SOCK_STREAM) as sender:
            sender.setblocking(False)
            sighting.sent_count = 1
            try:
                async with asyncio.timeout(timeout_s):
                    await loop.sock_connect(sender, (str(probe.address), probe.port))
                    await loop.sock_sendall(sender, _MARK + token)
                    answer = await loop.sock_recv(sender, _READ_BYTES)
            except (OSError, TimeoutError):
                return
        if answer == _MARK + token:
            sighting.replied = True
            sighting.round_trip_s = time.monotonic() - started

    async def _watch_answers(self, sender: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                payload, _ = await loop.sock_recvfrom(sender, _READ_BYTES)
            except OSError:
                continue
            self._note_reply(payload)

    async def _watch_icmp(self, name: str, family: int, opened: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            packet, _ = await loop.sock_recvfrom(opened, _READ_BYTES)
            message = packet[(packet[0] & 0x0F) * 4 :] if family == socket.AF_INET else packet
            if len(message) < 8:
                continue
            if message[0] == _ECHO_REQUEST[family]:
                self._note_arrival(name, message[8:])
                self._lengths.get(len(message) - 8, set()).add(name)
            elif message[0] == _ECHO_REPLY[family] and _is_sound(family, message):
                self._note_reply(message[8:], name)

    def _note_arrival(self, name: str, payload: bytes) -> None:
        found = self._sightings.get(_token(payload))
        if found:
            found[0].arrived.add(name)

    def _note_reply(self, payload: bytes, name: str | None = None) -> None:
        found = self._sightings.get(_token(payload))
        if found is None:
            return
        sighting, answered, sent_at = found
        if name not in (None, sighting.probe.source):
            return
        if not sighting.replied:
            sighting.replied = True
            sighting.round_trip_s = time.monotonic() - sent_at
        answered.set()


def _token(payload: bytes) -> bytes:
    start = len(_MARK)
    return payload[start : start + TOKEN_BYTES] if payload.startswith(_MARK) else b""


def _family(address: IpAddress) -> int:
    return socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6


def _is_sound(family: int, message: bytes) -> bool:
    """A raw socket gets ICMP before its checksum is looked at; of ICMPv6 the kernel does that here."""
    return family == socket.AF_INET6 or internet_checksum(message) == 0


def _open_raw(namespace: str, family: int) -> socket.socket:
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    opened = netns.open_socket(namespace, family, socket.SOCK_RAW, protocol)
    opened.setblocking(False)
    return opened


def _echo_request(family: int, sequence: int, payload: bytes) -> bytes:
    word = (os.getpid() & 0xFFFF) << 16 | sequence
    message = IcmpMessage(icmp_type=_ECHO_REQUEST[family], code=0, rest=word, payload=payload)
    # The kernel fills the checksum of raw ICMPv6 sockets, so any address of the family will do.
    address = IPv4Address(0) if family == socket.AF_INET else IPv6Address(0)
    return message.encode(address, address)
