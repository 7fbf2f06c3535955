"""A link at whose far end the agent's responders answer, without a datapath in between.

Whatever runs in the namespace at the near end is a real client: a DHCP client, a resolver. Frames are
told apart here as the kernel's programs do.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping

from skytrail.agent.interface import ActivePort
from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.responders.dispatch import Dispatcher
from skytrail.agent.responders.dns import Zones
from skytrail.agent.tables import VifId
from skytrail.lab.io import netns
from skytrail.net import GATEWAY_MAC
from skytrail.wire.dns.zones import VirtualDns
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_ICMPV6,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    decode_ethernet,
    decode_ip,
    decode_tcp,
    decode_udp,
)

TIME_S_MAX = 20
_REASONS = {67: PuntReason.DHCP, 547: PuntReason.DHCP6, 53: PuntReason.DNS}
_ROUTER_SOLICITATION = 133
_ALL_PROTOCOLS = 3


class ResponderWire:
    """The far end, which answers while a command runs at the near one."""

    def __init__(
        self, name: str, port: ActivePort, servers: Mapping[str, VirtualDns] | None = None
    ) -> None:
        self.near = f"{name}c"
        self.port = port
        self.dispatcher = Dispatcher(Zones())
        self._servers = servers or {}
        with netns.entered(f"{name}h"):
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS)
            )
            self._socket.bind(("far", 0))
        self._socket.settimeout(0.05)

    def close(self) -> None:
        self._socket.close()

    def serve(self, until: Callable[[], bool]) -> None:
        """Answer until something is so; it has to be within ``TIME_S_MAX``."""
        end = time.monotonic() + TIME_S_MAX
        while not until():
            assert time.monotonic() < end, dict(self.dispatcher.counts)
            self._answer_once()

    def run(self, *command: str, **environment: str) -> str:
        """Run a command to its end at the near end; return what it printed."""
        line = netns.inside(self.near, command)
        with subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
        ) as process:
            try:
                self.serve(lambda: process.poll() is not None)
            finally:
                process.kill()
            return process.stdout.read() if process.stdout is not None else ""

    def _answer_once(self) -> None:
        try:
            frame, where = self._socket.recvfrom(4096)
        except TimeoutError:
            return
        reason = None if where[2] == socket.PACKET_OUTGOING else _reason_of(frame)
        if reason is not None:
            punt = Punt(reason, VifId(2), 10, 0, frame)
            now = time.monotonic()
            for reply in self.dispatcher.receive(punt, self.port, self._servers, now).frames:
                self._socket.send(reply)


@contextlib.contextmanager
def responder_wire(
    port: ActivePort, servers: Mapping[str, VirtualDns] | None = None
) -> Generator[ResponderWire]:
    """Make the link; its near end is ``eth0`` with the port's MAC."""
    name = f"rsp{secrets.token_hex(3)}"
    netns.create(f"{name}c")
    netns.create(f"{name}h")
    try:
        netns.connect((f"{name}h", "far"), (f"{name}c", "eth0"), mtu_bytes=1500)
        near = [f"link set dev eth0 address {port.port.mac}", "link set dev eth0 up"]
        known = [
            f"neigh replace {address} lladdr {GATEWAY_MAC} dev eth0"
            for subnet in port.port.network.subnets
            for address in (subnet.gateway, subnet.service_address)
            if address is not None
        ]
        netns.configure(f"{name}c", near + known)
        netns.configure(f"{name}h", ["link set dev far up"])
        made = ResponderWire(name, port, servers)
        try:
            yield made
        finally:
            made.close()
    finally:
        netns.delete(f"{name}c")
        netns.delete(f"{name}h")


def _reason_of(frame: bytes) -> PuntReason | None:
    with contextlib.suppress(DecodeError):
        ethernet = decode_ethernet(frame)
        if ethernet.ether_type in {ETHERTYPE_IPV4, ETHERTYPE_IPV6}:
            packet = decode_ip(ethernet.payload)
            if packet.protocol == PROTOCOL_UDP:
                return _REASONS.get(decode_udp(packet.payload).destination_port)
            if packet.protocol == PROTOCOL_TCP:
                return _REASONS.get(decode_tcp(packet.payload).destination_port)
            if packet.protocol == PROTOCOL_ICMPV6 and packet.payload[0] == _ROUTER_SOLICITATION:
                return PuntReason.ROUTER_SOLICITATION
    return None
