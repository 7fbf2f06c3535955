"""Listens to devices: datagrams, and streams of syslog.

```
 UDP syslog, sFlow, IPFIX --.
 TCP syslog ----------------+--> Exporters (admitted? its share of the second?) --> Devices --> rows that wait
 TLS syslog ----------------'    with a certificate: admitted by that
```
A datagram is read and acted on at once, so nothing is queued but what the kernel holds; what found no room there is counted by the kernel
and shown (``skytrail_analytics_datagrams_lost_total``). A stream is read only as fast as it is acted on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Final

import structlog

from skytrail.analytics.devices import IPFIX, SFLOW, SYSLOG, Devices
from skytrail.analytics.exporters import DeviceSettings, Exporter, canonical
from skytrail.analytics.io.spread_sockets import bound_sockets
from skytrail.runtime.accepting import Acceptor, address_of, streams_of
from skytrail.runtime.clock import Clock
from skytrail.runtime.metrics import Sample
from skytrail.runtime.mutual_tls import MutualTls
from skytrail.runtime.server import listen_tcp
from skytrail.wire.errors import DecodeError
from skytrail.wire.syslog import SyslogFramer

RECEIVE_BUFFER_BYTES: Final = 1024 * 1024
"""Of each socket of a UDP port; the kernel gives as much as ``net.core.rmem_max`` allows."""
CONNECTIONS_COUNT_MAX: Final = 1024
IDLE_S: Final = 3600.0
"""A silent connection ends; its device connects again."""
READ_BYTES: Final = 64 * 1024
TURN_MESSAGES: Final = 64
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
_MEMINFO_DROPS: Final = 8

Take = Callable[[Exporter, int, bytes, int], None]
"""Acts on one datagram of a device's port, at a time in microseconds since 1970."""


class DevicePorts:
    """Every port that devices send to; all on one event loop."""

    def __init__(self, devices: Devices, clock: Clock, tls: MutualTls | None = None) -> None:
        self._devices = devices
        self._clock = clock
        self._tls = tls
        self._log = structlog.get_logger("skytrail.analytics.devices")
        self._datagram_sockets: dict[str, list[socket.socket]] = {}
        self._connections_count = 0

    async def open(self, settings: DeviceSettings, stack: AsyncExitStack) -> dict[str, int]:
        """Open every port, until the stack is left; returns them by name. Raises ``OSError``."""
        ports: dict[str, int] = {}
        for protocol, port, take in (
            (SYSLOG, settings.syslog_port, self._devices.syslog),
            (SFLOW, settings.sflow_port, self._devices.sflow),
            (IPFIX, settings.ipfix_port, self._devices.ipfix),
        ):
            if port:
                bound = bound_sockets(settings.listen, port, RECEIVE_BUFFER_BYTES)
                self._datagram_sockets[protocol] = bound
                for each in bound:
                    transport = await self._listen_datagrams(protocol, each, take)
                    stack.callback(transport.close)
                ports[protocol] = port
        for name, port in (
            ("syslog", settings.syslog_port),
            ("syslog_tls", settings.syslog_tls_port),
        ):
            if port:
                server = self._listen_syslog(settings.listen, port, is_tls=name != "syslog")
                await stack.enter_async_context(server)
                ports[name] = port
        return ports

    async def _listen_datagrams(
        self, protocol: str, bound: socket.socket, take: Take
    ) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self, protocol, take), sock=bound
        )
        return transport

    def _listen_syslog(self, address: str, port: int, *, is_tls: bool) -> Acceptor:
        async def connected(accepted: socket.socket) -> None:
            await self._connected(accepted, is_tls=is_tls)

        return Acceptor(listen_tcp(address, port), connected)

    def datagram(self, protocol: str, sender: tuple[str, int], data: bytes, take: Take) -> None:
        """Act on one datagram, if its sender is admitted and has not sent too much."""
        address = canonical(sender[0])
        now = self._clock.now()
        exporter = self._devices.exporters.admit(protocol, address, len(data), now)
        if exporter is None:
            return
        try:
            take(exporter, sender[1], data, self._wall_us())
        except Exception:  # One datagram must not end the port: it is counted, and the defect told.
            self._devices.exporters.drop(exporter, f"{protocol}_failed")
            self._log.exception("datagram_failed", protocol=protocol, address=address)

    def samples(self) -> Iterator[Sample]:
        """Yield what the kernel had no room for."""
        for protocol, bound in self._datagram_sockets.items():
            lost = sum(map(_lost, bound))
            labels = {"protocol": protocol}
            yield Sample("skytrail_analytics_datagrams_lost_total", lost, labels)

    def _wall_us(self) -> int:
        return round(self._clock.wall() * 1e6)

    async def _connected(self, accepted: socket.socket, *, is_tls: bool) -> None:
        exporters = self._devices.exporters
        address = address_of(accepted)
        if self._connections_count >= CONNECTIONS_COUNT_MAX:
            exporters.dropped["too_many_connections"] += 1
            return
        self._connections_count += 1
        try:
            await self._hear(accepted, canonical(address), is_tls=is_tls)
        except (OSError, TimeoutError) as error:
            self._log.debug("device_lost", address=address, reason=str(error))
        except Exception:  # A connection's task boundary: one device must not stop the others.
            self._log.exception("device_failed", address=address)
        finally:
            self._connections_count -= 1

    async def _hear(self, accepted: socket.socket, address: str, *, is_tls: bool) -> None:
        port = int(accepted.getpeername()[1])
        context = None if self._tls is None or not is_tls else self._tls.context()
        if is_tls and context is None:
            raise ValueError("TLS without certificates")
        reader, writer = await streams_of(accepted, context, READ_BYTES)
        try:
            exporters = self._devices.exporters
            exporter = exporters.known(SYSLOG, address, self._clock.now(), proven=is_tls)
            if exporter is not None:
                await self._read(reader, exporter, port)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader, exporter: Exporter, port: int) -> None:
        framer, acted = SyslogFramer(), 0
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    chunk = await reader.read(READ_BYTES)
                if not chunk:
                    break
                framer.feed(chunk)
                while (message := framer.next_message()) is not None:
                    self._message(exporter, port, message)
                    acted += 1
                    if acted % TURN_MESSAGES == 0:
                        await asyncio.sleep(0)
        except DecodeError as error:
            self._devices.exporters.drop(exporter, "syslog_unframed")
            self._log.warning("device_refused", address=exporter.address, reason=str(error))
            return
        last = framer.end()
        if last is not None:
            self._message(exporter, port, last)

    def _message(self, exporter: Exporter, port: int, message: bytes) -> None:
        self._devices.exporters.note(exporter, len(message), self._clock.now())
        self._devices.syslog(exporter, port, message, self._wall_us())


def _lost(bound: socket.socket) -> int:
    """Return how many datagrams found no room in a socket."""
    if bound.fileno() < 0:
        return 0
    told = bound.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    return int(_MEMINFO.unpack(told)[_MEMINFO_DROPS])


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, ports: DevicePorts, protocol: str, take: Take) -> None:
        self._ports = ports
        self._protocol = protocol
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._ports.datagram(self._protocol, (addr[0], addr[1]), data, self._take)
