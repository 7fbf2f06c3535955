"""BFD for BGP peers over UDP (RFC 5881 one hop, RFC 5883 several): up, down and how to be told.

Packets come to ports 3784 and 4784 of the node's own address; each session sends from a port of
its own. A packet names its session by discriminator, the first one by the peer's address. Over one
hop only packets with a TTL of 255 count: nobody further away can have sent them.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from skytrail.control.bgp_config import BfdConfig
from skytrail.runtime.clock import Clock
from skytrail.runtime.tcp_protection import Address, socket_family
from skytrail.wire.bfd import (
    BfdChange,
    BfdError,
    BfdPacket,
    BfdSession,
    BfdSettings,
    decode_bfd,
    encode_bfd,
)

PORT_SINGLE_HOP = 3784
PORT_MULTIHOP = 4784
_SOURCE_PORTS = range(49152, 65536)
_TTL = 255
_IP_RECVTTL, _IPV6_RECVHOPLIMIT, _IPV6_HOPLIMIT = 12, 51, 52
_PACKET_BYTES_MAX = 512
_BURST_COUNT_MAX = 64
_ATTEMPTS_COUNT = 64


@dataclass(slots=True)
class _Member:
    """One session with its socket; ``told`` is called when it comes up or goes down."""

    peer: Address
    session: BfdSession
    is_multihop: bool
    channel: socket.socket
    told: Callable[[BfdChange], None]
    timer: asyncio.TimerHandle | None = None
    packets_in: int = 0
    packets_out: int = 0


class BfdServer:
    """All sessions of a node, on one event loop.

    The ports are taken with the first session: where another daemon has them, as FRR's does for
    all addresses of a host, a node without such sessions is not to notice.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.own: dict[int, Address] = {}
        """Where packets come to and are sent from, by IP version."""
        self._members: dict[int, _Member] = {}
        self._listeners: dict[int, list[socket.socket]] = {}
        self.discarded_count = 0
        """Packets of nobody, malformed ones, and those that came from too far."""
        self._log = structlog.get_logger("skytrail.control.bfd")

    def _listen(self, address: Address) -> None:
        """Hear packets to this address. Raises ``OSError`` when a port is taken."""
        for port in (PORT_SINGLE_HOP, PORT_MULTIHOP):
            channel = socket.socket(
                socket_family(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
            )
            self._listeners.setdefault(address.version, []).append(channel)
            if address.version == 4:
                channel.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            else:
                channel.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
            channel.bind((str(address), port))
            asyncio.get_running_loop().add_reader(
                channel, self._readable, channel, port == PORT_MULTIHOP
            )

    def close(self) -> None:
        for discriminator in list(self._members):
            self.remove(discriminator)
        for version in list(self._listeners):
            self._hang_up(version)

    def _hang_up(self, version: int) -> None:
        loop = asyncio.get_running_loop()
        for channel in self._listeners.pop(version, ()):
            loop.remove_reader(channel)
            channel.close()

    def add(self, peer: Address, config: BfdConfig, told: Callable[[BfdChange], None]) -> int:
        """Start a session; returns its number. Raises ``OSError``."""
        own = self.own.get(peer.version)
        if own is None:
            raise OSError(f"no own address to send to {peer} from")
        if own.version not in self._listeners:
            try:
                self._listen(own)
            except OSError:
                self._hang_up(own.version)
                raise
        number = random.randrange(1, 1 << 32)
        while number in self._members:
            number = random.randrange(1, 1 << 32)
        settings = BfdSettings(
            number, config.interval_ms * 1000, config.multiplier, is_guarded=config.is_multihop
        )
        channel = _sender(own, peer, PORT_MULTIHOP if config.is_multihop else PORT_SINGLE_HOP)
        member = _Member(peer, BfdSession(settings), config.is_multihop, channel, told)
        self._members[number] = member
        self._tick(number)
        return number

    def remove(self, number: int) -> None:
        """End a session and tell the peer that this was meant."""
        member = self._members.pop(number, None)
        if member is None:
            return
        if member.timer is not None:
            member.timer.cancel()
        self._send(member, member.session.close())
        member.channel.close()

    # Inside.

    def _readable(self, channel: socket.socket, is_multihop: bool) -> None:
        for _ in range(_BURST_COUNT_MAX):
            try:
                chunk, ancillary, _, source = channel.recvmsg(
                    _PACKET_BYTES_MAX, socket.CMSG_SPACE(4)
                )
            except BlockingIOError:
                return
            except OSError as error:
                self._log.warning("bfd_receive_failed", error=str(error))
                return
            self._received(chunk, _ttl(ancillary), ip_address(source[0]), is_multihop=is_multihop)

    def _received(self, chunk: bytes, ttl: int, source: Address, *, is_multihop: bool) -> None:
        try:
            packet = decode_bfd(chunk)
        except BfdError:
            self.discarded_count += 1
            return
        number, member = self._member_of(packet, source, is_multihop=is_multihop)
        if member is None or (ttl != _TTL and not is_multihop):
            self.discarded_count += 1
            return
        member.packets_in += 1
        answer, change = member.session.receive(packet, self._clock.now())
        if answer is not None:
            self._send(member, answer)
        self._changed(member, change)
        self._schedule(number)

    def _member_of(
        self, packet: BfdPacket, source: Address, *, is_multihop: bool
    ) -> tuple[int, _Member | None]:
        number = packet.your_discriminator
        if not number:
            number = next(
                (
                    each
                    for each, member in self._members.items()
                    if member.peer == source and member.is_multihop == is_multihop
                ),
                0,
            )
        member = self._members.get(number)
        if member is None or member.peer != source or member.is_multihop != is_multihop:
            return 0, None
        return number, member

    def _tick(self, number: int) -> None:
        member = self._members.get(number)
        if member is None:
            return
        session = member.session
        # With a multiplier of one the peer waits for one packet only (section 6.8.7).
        top = 0.9 if session.settings.multiplier == 1 else 1.0
        packet, change = session.tick(self._clock.now(), random.uniform(0.75, top))
        if packet is not None:
            self._send(member, packet)
        self._changed(member, change)
        self._schedule(number)

    def _schedule(self, number: int) -> None:
        member = self._members.get(number)
        if member is None:
            return
        if member.timer is not None:
            member.timer.cancel()
        deadline = member.session.next_deadline()
        wait = max(deadline - self._clock.now(), 0.0)
        loop = asyncio.get_running_loop()
        member.timer = None
        if wait != float("inf"):
            member.timer = loop.call_later(wait, self._tick, number)

    def _changed(self, member: _Member, change: BfdChange | None) -> None:
        if change is None:
            return
        self._log.info(
            "bfd_session_changed", peer=str(member.peer), up=change.is_up, why=change.diagnostic
        )
        member.told(change)

    def _send(self, member: _Member, packet: BfdPacket) -> None:
        try:
            member.channel.send(encode_bfd(packet))
            member.packets_out += 1
        except OSError:
            # Unreachable now; silence is what tells the peer.
            return


def _sender(own: Address, peer: Address, port: int) -> socket.socket:
    """Return a socket from a port of its own in the range RFC 5881 section 4 wants."""
    channel = socket.socket(socket_family(own), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if own.version == 4:
            channel.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, _TTL)
        else:
            channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, _TTL)
        for attempt in range(_ATTEMPTS_COUNT):
            try:
                channel.bind((str(own), random.choice(_SOURCE_PORTS)))
                break
            except OSError:
                if attempt == _ATTEMPTS_COUNT - 1:
                    raise
        channel.connect((str(peer), port))
    except OSError:
        channel.close()
        raise
    return channel


def _ttl(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, value in ancillary:
        is_ipv4 = (level, kind) == (socket.IPPROTO_IP, socket.IP_TTL)
        if is_ipv4 or (level, kind) == (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT):
            return int(struct.unpack("=i", value[:4])[0])
    return 0
