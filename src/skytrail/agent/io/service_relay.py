"""The relay of link-local services that no translation leads to: it asks the servers as the host.

```
 workload --eBPF--> the host's side, a port of the relay --> socket of the host --> server
```
It listens on the host's side of the datapath alone, where the source address tells the interface. A
connection ends here and another one goes on; it must not keep what one end says longer than the other
takes to read it. One event loop, no other thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from ipaddress import ip_address

import structlog

from skytrail.agent.fabric_config import LinkServicePlace
from skytrail.net import IpAddress

CONNECTIONS_OF_ONE_MAX = 64
CONNECTIONS_COUNT_MAX = 512
CONNECT_TIMEOUT_S = 5.0
IDLE_TIMEOUT_S = 900.0
EXCHANGES_OF_ONE_MAX = 64
EXCHANGES_COUNT_MAX = 512
EXCHANGE_IDLE_S = 60.0
_SWEEP_S = 5.0
_PORT_TRIES = 16
_ACCEPT_PAUSE_S = 0.1
_BACKLOG = 64
_CHUNK_BYTES = 16384
"""What one connection is served before it is everybody else's turn in the event loop."""
_DATAGRAM_BYTES = 65536
MOUTH_BYTES = 8 * 2**20
"""What waits of all workloads' datagrams to one service, as the kernel counts: a small datagram for about
2 KiB. Bursts of 16 interfaces, as the datapath lets them through."""
_RCVBUFFORCE, _RXQ_OVFL = 33, 40
"""SO_RCVBUFFORCE and SO_RXQ_OVFL of <asm-generic/socket.h>: a buffer beyond net.core.rmem_max, for it is
everybody's; and be told how many datagrams had no room, with the next one that has."""

Servers = tuple[tuple[str, int], ...]
Client = tuple[str, int]


@dataclass(slots=True)
class _Exchange:
    """What a workload says from one UDP port, and the socket by which a server hears it."""

    upstream: socket.socket
    used_s: float


@dataclass(slots=True)
class _Mouth:
    """One service over UDP; who was silent for longest comes first."""

    place: LinkServicePlace
    listener: socket.socket
    exchanges: OrderedDict[Client, _Exchange]
    lost_count: int = 0
    """Datagrams for which the listener had no room, as the kernel counts: modulo 2**32."""


class ServiceRelay:
    """``servers`` tells where a service is now, ``source`` what the host calls itself there.

    All services share the bounds. ``statistics`` counts what was relayed and what was refused.
    """

    def __init__(
        self,
        servers: Callable[[LinkServicePlace], Servers],
        source: Callable[[], IpAddress | None],
    ) -> None:
        self._servers = servers
        self._source = source
        self._connections: Counter[str] = Counter()
        self._exchanges: Counter[str] = Counter()
        self._turn = 0
        self.statistics: Counter[str] = Counter()
        self._log = structlog.get_logger("skytrail.agent.service_relay")

    async def serve(
        self,
        place: LinkServicePlace,
        ifname: str,
        own: IpAddress,
        listening: Callable[[int], None],
    ) -> None:
        """Relay one service over TCP and UDP, at one port of ``own``, until cancelled.

        ``listening`` is told the port. What is open ends with it.
        """
        stream, datagrams = _bound(ifname, own)
        mouth = _Mouth(place, datagrams, OrderedDict())
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(datagrams, self._asked, mouth)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sweep(mouth))
                listening(stream.getsockname()[1])
                await self._accept(group, place, stream)
        finally:
            loop.remove_reader(datagrams)
            for client in list(mouth.exchanges):
                self._end(mouth, client)
            stream.close()
            datagrams.close()

    # TCP.

    async def _accept(
        self, group: asyncio.TaskGroup, place: LinkServicePlace, listener: socket.socket
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, peer = await loop.sock_accept(listener)
            except OSError as error:
                # Too many files, or the client left before it was looked at: others are served.
                self.statistics["accept_failed"] += 1
                self._log.debug("relay_accept_failed", error=str(error))
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            client.setblocking(False)
            group.create_task(self._connection(place, client, str(peer[0])))

    async def _connection(self, place: LinkServicePlace, client: socket.socket, peer: str) -> None:
        """Carry one connection; when it fails the client is told by a reset, not by an end."""
        with _closing(client), self._counted(peer) as is_admitted:
            if not is_admitted:
                self.statistics["refused_busy"] += 1
                return
            upstream = await self._connected(place)
            if upstream is None:
                self.statistics["refused_unreachable"] += 1
                return
            with _closing(upstream):
                if await self._carried(client, upstream):
                    for each in (client, upstream):
                        _set_linger(each, is_reset=False)

    @contextlib.contextmanager
    def _counted(self, peer: str) -> Generator[bool]:
        mine, everybody = self._connections[peer], self._connections.total()
        if mine >= CONNECTIONS_OF_ONE_MAX or everybody >= CONNECTIONS_COUNT_MAX:
            yield False
            return
        self._connections[peer] += 1
        try:
            yield True
        finally:
            self._connections[peer] -= 1
            if not self._connections[peer]:
                del self._connections[peer]

    async def _connected(self, place: LinkServicePlace) -> socket.socket | None:
        """Connect to the servers in turn; the first that is there serves."""
        loop = asyncio.get_running_loop()
        for host, port in self._in_turn(place):
            try:
                upstream = self._socket(host, socket.SOCK_STREAM)
            except OSError as error:
                self._log.debug("relay_unreachable", server=host, error=str(error))
                continue
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await loop.sock_connect(upstream, (host, port))
            except (OSError, TimeoutError) as error:
                upstream.close()
                self._log.debug("relay_unreachable", server=host, error=str(error))
            except asyncio.CancelledError:
                upstream.close()
                raise
            else:
                return upstream
        return None

    async def _carried(self, client: socket.socket, upstream: socket.socket) -> bool:
        """Carry bytes until both ends have ended what they say; False: it was broken off."""
        idle = asyncio.timeout(IDLE_TIMEOUT_S)
        try:
            for each in (client, upstream):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with idle, asyncio.TaskGroup() as both:
                both.create_task(_pump(client, upstream, idle))
                both.create_task(_pump(upstream, client, idle))
            outcome = "relayed"
        except* OSError:
            outcome = "idle" if idle.expired() else "aborted"
        self.statistics[outcome] += 1
        return outcome == "relayed"

    # UDP.

    def _asked(self, mouth: _Mouth) -> None:
        """Pass one datagram of a workload on."""
        try:
            data, told, _, peer = mouth.listener.recvmsg(_DATAGRAM_BYTES, socket.CMSG_SPACE(4))
        except OSError:
            # An ICMP error about an answer: the workload has left.
            return
        for level, kind, value in told:
            if (level, kind) == (socket.SOL_SOCKET, _RXQ_OVFL):
                (lost_count,) = struct.unpack("=I", value)
                self.statistics["datagrams_lost_full"] += (lost_count - mouth.lost_count) % 2**32
                mouth.lost_count = lost_count
        client: Client = (str(peer[0]), int(peer[1]))
        exchange = mouth.exchanges.get(client) or self._opened(mouth, client)
        if exchange is None:
            return
        exchange.used_s = asyncio.get_running_loop().time()
        mouth.exchanges.move_to_end(client)
        try:
            exchange.upstream.send(data)
            self.statistics["datagrams_out"] += 1
        except OSError:
            self._broken(mouth, client)

    def _opened(self, mouth: _Mouth, client: Client) -> _Exchange | None:
        """Return a new exchange; one of the same interface may have to go for it."""
        peer = client[0]
        if self._exchanges[peer] >= EXCHANGES_OF_ONE_MAX:
            silent = next((each for each in mouth.exchanges if each[0] == peer), None)
            if silent is not None:
                self._end(mouth, silent)
                self.statistics["exchanges_ended_early"] += 1
        everybody = self._exchanges.total()
        if self._exchanges[peer] >= EXCHANGES_OF_ONE_MAX or everybody >= EXCHANGES_COUNT_MAX:
            self.statistics["datagrams_refused_busy"] += 1
            return None
        for host, port in self._in_turn(mouth.place):
            upstream: socket.socket | None = None
            try:
                upstream = self._socket(host, socket.SOCK_DGRAM)
                upstream.connect((host, port))
            except OSError as error:
                if upstream is not None:
                    upstream.close()
                self._log.debug("relay_unreachable", server=host, error=str(error))
                continue
            loop = asyncio.get_running_loop()
            loop.add_reader(upstream, self._answered, mouth, client, upstream)
            self._exchanges[peer] += 1
            mouth.exchanges[client] = _Exchange(upstream, loop.time())
            return mouth.exchanges[client]
        self.statistics["datagrams_refused_unreachable"] += 1
        return None

    def _answered(self, mouth: _Mouth, client: Client, upstream: socket.socket) -> None:
        """Pass one datagram of a server back."""
        try:
            data = upstream.recv(_DATAGRAM_BYTES)
        except OSError:
            self._broken(mouth, client)
            return
        mouth.exchanges[client].used_s = asyncio.get_running_loop().time()
        mouth.exchanges.move_to_end(client)
        try:
            mouth.listener.sendto(data, client)
            self.statistics["datagrams_back"] += 1
        except OSError:
            self.statistics["datagrams_back_lost"] += 1

    def _broken(self, mouth: _Mouth, client: Client) -> None:
        """End an exchange whose server is not there: the next datagram tries another one."""
        self.statistics["datagrams_refused_unreachable"] += 1
        self._end(mouth, client)

    def _end(self, mouth: _Mouth, client: Client) -> None:
        exchange = mouth.exchanges.pop(client)
        asyncio.get_running_loop().remove_reader(exchange.upstream)
        exchange.upstream.close()
        self._exchanges[client[0]] -= 1
        if not self._exchanges[client[0]]:
            del self._exchanges[client[0]]

    async def _sweep(self, mouth: _Mouth) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            over = loop.time() - EXCHANGE_IDLE_S
            for client in [c for c, each in mouth.exchanges.items() if each.used_s <= over]:
                self._end(mouth, client)

    # Both.

    def _in_turn(self, place: LinkServicePlace) -> Servers:
        servers = self._servers(place)
        self._turn += 1
        first = self._turn % len(servers) if servers else 0
        return servers[first:] + servers[:first]

    def _socket(self, host: str, kind: socket.SocketKind) -> socket.socket:
        """Return a socket towards a server, from the host's underlay address where that can be."""
        server, source = ip_address(host), self._source()
        made = socket.socket(_family(server), kind)
        try:
            made.setblocking(False)
            if source is not None and source.version == server.version:
                made.bind((str(source), 0))
        except OSError:
            made.close()
            raise
        return made


async def _pump(source: socket.socket, target: socket.socket, idle: asyncio.Timeout) -> None:
    """Carry what one end says, and that it has ended; each part of it puts the time-out off."""
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _CHUNK_BYTES):
        await loop.sock_sendall(target, data)
        if not idle.expired():
            idle.reschedule(loop.time() + IDLE_TIMEOUT_S)
        # Neither call waits while there is something to read and room for it.
        await asyncio.sleep(0)
    target.shutdown(socket.SHUT_WR)


def _family(address: IpAddress) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _bound(ifname: str, own: IpAddress) -> tuple[socket.socket, socket.socket]:
    """Return sockets of TCP, listening, and UDP at one port, which the kernel chose."""
    tries_count = 0
    while True:
        tries_count += 1
        with contextlib.ExitStack() as stack:
            made: list[socket.socket] = []
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    each = stack.enter_context(socket.socket(_family(own), kind))
                    each.setblocking(False)
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, ifname.encode())
                    each.bind((str(own), made[0].getsockname()[1] if made else 0))
                    made.append(each)
            except OSError:
                # Somebody else may have this port for UDP.
                if not made or tries_count == _PORT_TRIES:
                    raise
                continue
            made[0].listen(_BACKLOG)
            # The kernel doubles it.
            made[1].setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, MOUTH_BYTES // 2)
            made[1].setsockopt(socket.SOL_SOCKET, _RXQ_OVFL, 1)
            stack.pop_all()
            return made[0], made[1]


@contextlib.contextmanager
def _closing(channel: socket.socket) -> Generator[None]:
    """Close a connection at the end of the block: by a reset unless the linger is taken back."""
    _set_linger(channel, is_reset=True)
    try:
        yield
    finally:
        channel.close()


def _set_linger(channel: socket.socket, *, is_reset: bool) -> None:
    value = struct.pack("ii", int(is_reset), 0)
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)
