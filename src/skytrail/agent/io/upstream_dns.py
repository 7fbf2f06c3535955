"""The socket to upstream DNS servers, one per family, and the timers of outstanding queries."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from ipaddress import ip_address

import structlog

from skytrail.agent.responders.dns import (
    DnsRequest,
    Forwarder,
    ForwardTo,
    encode_reply,
    reply_code,
    reply_frame,
)
from skytrail.net import IpAddress
from skytrail.runtime.clock import SystemClock
from skytrail.wire.dns import DNS_PORT, ResponseCode

EXPIRY_INTERVAL_S = 0.5
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
    """Sends questions on and hands replies to ``reply(request, frame)``.

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
        candidates = (secrets.randbelow(65536) for _ in range(_CANDIDATES_COUNT))
        datagram = self.forwarder.forward(
            request, server, now=self._clock.now(), candidate_ids=candidates
        )
        if datagram is None:
            self._refuse(request)
            return
        transport.sendto(datagram, (str(server), DNS_PORT))

    def _received(self, server: IpAddress, datagram: bytes) -> None:
        matched = self.forwarder.receive(server, datagram)
        if matched is not None:
            request, payload = matched
            self._reply(request, reply_frame(request, payload))

    def _refuse(self, request: DnsRequest) -> None:
        reply = reply_code(request.query, ResponseCode.SERVER_FAILURE)
        self._reply(request, reply_frame(request, encode_reply(reply)))
