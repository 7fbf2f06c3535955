"""The way to upstream DNS servers: a UDP socket for each family, a TCP connection for each question
that came by TCP, and the timers of what is outstanding.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address

import structlog

from skytrail.agent.responders.dns import (
    QUERY_TIMEOUT_S,
    DnsRequest,
    Forwarder,
    ForwardTo,
    UdpWay,
    encode_reply,
    reply_code,
)
from skytrail.agent.tables import VifId
from skytrail.net import IpAddress
from skytrail.runtime.clock import SystemClock
from skytrail.wire.dns import DNS_PORT, ResponseCode

EXPIRY_INTERVAL_S = 0.5
STREAMS_COUNT_MAX = 128
STREAMS_PER_PORT_COUNT_MAX = 8
_CANDIDATES_COUNT = 16


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[IpAddress, bytes], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr[1] == DNS_PORT:
            self._receive(ip_address(addr[0].partition("%")[0]), data)

    def error_received(self, exc: Exception) -> None:
        # An unreachable server shows as a timeout of its queries.
        pass


class UpstreamDns:
    """Sends questions on and hands replies to ``reply(request, message)``.

    ``server`` None: questions nobody here can answer get SERVFAIL.
    """

    def __init__(
        self, server: IpAddress | None, reply: Callable[[DnsRequest, bytes], None]
    ) -> None:
        self.forwarder = Forwarder()
        self._server = server
        self._reply = reply
        self._clock = SystemClock()
        self._transports: dict[int, asyncio.DatagramTransport] = {}
        self._streams: set[asyncio.Task[None]] = set()
        self._streams_per_port: Counter[VifId] = Counter()
        self._log = structlog.get_logger("skytrail.agent.dns")

    async def run(self) -> None:
        """Open the sockets and expire queries until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            for version, address in ((4, "0.0.0.0"), (6, "::")):
                try:
                    transport, _ = await loop.create_datagram_endpoint(
                        lambda: _Receiver(self._received), local_addr=(address, 0)
                    )
                except OSError as error:
                    self._log.warning("dns_socket_failed", family=version, error=str(error))
                    continue
                self._transports[version] = transport
            while True:
                await asyncio.sleep(EXPIRY_INTERVAL_S)
                for request in self.forwarder.expire(self._clock.now()):
                    self._refuse(request)
        finally:
            for task in self._streams:
                task.cancel()
            for transport in self._transports.values():
                transport.close()
            self._transports.clear()

    def forward(self, request: DnsRequest, target: ForwardTo) -> None:
        """Send a question on, or answer SERVFAIL when that cannot be done."""
        server = target.server or self._server
        transport = self._transports.get(server.version) if server else None
        if server is None or transport is None:
            self._refuse(request)
            return
        if not isinstance(request.way, UdpWay):
            self._forward_stream(request, server)
            return
        candidates = (secrets.randbelow(65536) for _ in range(_CANDIDATES_COUNT))
        datagram = self.forwarder.forward(
            request, server, now=self._clock.now(), candidate_ids=candidates
        )
        if datagram is None:
            self._refuse(request)
            return
        transport.sendto(datagram, (str(server), DNS_PORT))

    def _forward_stream(self, request: DnsRequest, server: IpAddress) -> None:
        mine = self._streams_per_port[request.vif_id]
        if len(self._streams) >= STREAMS_COUNT_MAX or mine >= STREAMS_PER_PORT_COUNT_MAX:
            self.forwarder.refused += 1
            self._refuse(request)
            return
        self._streams_per_port[request.vif_id] += 1
        self.forwarder.forwarded += 1
        task = asyncio.get_running_loop().create_task(self._ask_stream(request, server))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    async def _ask_stream(self, request: DnsRequest, server: IpAddress) -> None:
        try:
            async with asyncio.timeout(QUERY_TIMEOUT_S):
                message = await _exchange(server, request.message)
        except (OSError, EOFError, TimeoutError):
            self.forwarder.timed_out += 1
            self._refuse(request)
        else:
            self.forwarder.answered += 1
            self._reply(request, message)
        finally:
            self._streams_per_port[request.vif_id] -= 1
            if not self._streams_per_port[request.vif_id]:
                del self._streams_per_port[request.vif_id]

    def _received(self, server: IpAddress, datagram: bytes) -> None:
        matched = self.forwarder.receive(server, datagram)
        if matched is not None:
            self._reply(*matched)

    def _refuse(self, request: DnsRequest) -> None:
        reply = reply_code(request.query, ResponseCode.SERVER_FAILURE)
        self._reply(request, encode_reply(request, reply))


async def _exchange(server: IpAddress, question: bytes) -> bytes:
    """Ask over TCP. The server was asked on a connection of its own, so its answer is to that."""
    reader, writer = await asyncio.open_connection(str(server), DNS_PORT)
    try:
        writer.write(len(question).to_bytes(2) + question)
        await writer.drain()
        length = int.from_bytes(await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()
