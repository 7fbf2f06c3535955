"""A BGP peer that says what a test wants, right or wrong, and remembers what it is told.

It dials our node from an address of the bench, opens the session and from then on does nothing by
itself: no hold time, no KEEPALIVE but the one that opens, no answer to anything.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from typing import Self

from skytrail.net import RouteDistinguisher, RouteTarget
from skytrail.testing.bgp_routers import OURS, Bench, eventually
from skytrail.testing.namespaces import in_namespace
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    IpAddress,
    MessageFramer,
    MessageType,
    Negotiated,
    Nlri,
    Notification,
    Open,
    Update,
    VpnNlri,
    decode_notification,
    decode_open,
    decode_update,
    encode_end_of_rib,
    encode_keepalive,
    encode_open,
    encode_update,
    encode_withdraw,
    negotiate,
    route_key,
)
from skytrail.wire.bgp.framing import framed

INTERNAL = Attributes(0, local_preference=100)
"""What an internal peer sends with a route that has nothing special."""
Message = tuple[MessageType, bytes]


class RawPeer:
    """One connection; a context that hangs up at its end."""

    def __init__(
        self,
        bench: Bench,
        address: str,
        *families: BgpFamily,
        asn: int = 64512,
        to: str = OURS,
        port: int = 179,
    ) -> None:
        self.address = IPv4Address(address)
        self.open = Open(asn, 0, self.address, families=families, enhanced_refresh=False)
        """What it will say; replace before :meth:`connect`."""
        self.messages: list[Message] = []
        self.is_closed = False
        self.receive_buffer_bytes = 0
        """What the kernel takes for it when it does not read; 0: as much as it likes."""
        self.negotiated = Negotiated()
        self._bench, self._to, self._port = bench, to, port
        self._socket: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._may_read = threading.Event()
        self._may_read.set()

    def offer(self, **changes: object) -> None:
        """Change the OPEN."""
        self.open = replace(self.open, **changes)  # type: ignore[arg-type]

    def connect(self) -> None:
        """Dial and say OPEN and KEEPALIVE; returns when the session stands."""
        theirs = eventually(self._open, "an OPEN")
        self.negotiated = negotiate(self.open, decode_open(theirs[-1]))
        self.send(encode_keepalive())
        eventually(lambda: self.heard(MessageType.KEEPALIVE), "a KEEPALIVE")

    def _open(self) -> list[bytes]:
        """Say OPEN; dial again while our node does not expect this peer yet."""
        if self._socket is None or self.is_closed:
            self.is_closed = False
            self.messages.clear()
            self.dial()
            with contextlib.suppress(OSError):
                self.send(encode_open(self.open))
        return self.heard(MessageType.OPEN)

    def dial(self) -> None:
        """Connect and say nothing."""
        self._socket = in_namespace(self._bench.namespace, self._dial)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Hang up without a word."""
        self._may_read.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if self._reader is not None:
                self._reader.join(5)
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What it says.

    def send(self, chunk: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(chunk)

    def say(self, kind: MessageType, body: bytes) -> None:
        self.send(framed(kind, body))

    def announce(
        self, family: BgpFamily, attributes: Attributes, *nlri: Nlri, hop: IpAddress | None = None
    ) -> None:
        messages = encode_update(family, hop or self.address, attributes, nlri, self.negotiated)
        self.send(b"".join(messages))

    def withdraw(self, family: BgpFamily, *nlri: Nlri) -> None:
        self.send(b"".join(encode_withdraw(family, nlri, self.negotiated)))

    def end_rib(self, *families: BgpFamily) -> None:
        self.send(b"".join(map(encode_end_of_rib, families)))

    # What it hears.

    def stop_reading(self) -> None:
        self._may_read.clear()

    def go_on_reading(self) -> None:
        self._may_read.set()

    def heard(self, kind: MessageType) -> list[bytes]:
        return [body for each, body in list(self.messages) if each is kind]

    def heard_open(self) -> Open:
        return decode_open(self.heard(MessageType.OPEN)[-1])

    def updates(self) -> Iterator[Update]:
        for body in self.heard(MessageType.UPDATE):
            yield decode_update(body, self.negotiated)

    def ends(self) -> list[BgpFamily]:
        """Return the ends of RIB heard, in order."""
        return [each.end_of_rib for each in self.updates() if each.end_of_rib is not None]

    def routes(self, family: BgpFamily) -> dict[object, tuple[Nlri, IpAddress, Attributes]]:
        """Return what it has been told and not told to forget, by the key of the route."""
        found: dict[object, tuple[Nlri, IpAddress, Attributes]] = {}
        for update in self.updates():
            for unreach in update.withdrawn:
                for nlri in unreach.nlri if unreach.family is family else ():
                    found.pop(route_key(nlri), None)
            for reach in update.reach:
                for nlri in reach.nlri if reach.family is family else ():
                    found[route_key(nlri)] = (nlri, reach.next_hop, update.attributes)
        return found

    def withdrawals(self) -> int:
        """Return how many withdrawn routes it was told, repeated ones counted again."""
        return sum(len(each.nlri) for update in self.updates() for each in update.withdrawn)

    def notification(self) -> Notification | None:
        bodies = self.heard(MessageType.NOTIFICATION)
        return decode_notification(bodies[-1]) if bodies else None

    def _dial(self) -> socket.socket:
        channel = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer_bytes:
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes)
            # The sender's kernel keeps many segments, so they must be small as well.
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        channel.bind((str(self.address), 0))
        channel.settimeout(10)
        channel.connect((self._to, self._port))
        channel.settimeout(None)
        return channel

    def _read(self) -> None:
        assert self._socket is not None
        framer = MessageFramer()
        framer.bytes_max = 65535
        while True:
            self._may_read.wait()
            try:
                chunk = self._socket.recv(65536)
            except OSError:
                chunk = b""
            if not chunk:
                self.is_closed = True
                return
            framer.feed(chunk)
            while (message := framer.next_message()) is not None:
                self.messages.append(message)


def vpn_route(octet: int, target: int = 101, *, label: int = 77) -> VpnNlri:
    """Return the VPNv4 route 20.<octet>.0.0/16, told apart by ``target``."""
    return VpnNlri(
        RouteDistinguisher.parse(f"64512:{target}"), ip_network(f"20.{octet}.0.0/16"), (label,)
    )


def with_target(target: int = 101, attributes: Attributes = INTERNAL) -> Attributes:
    """Return attributes with one more route target."""
    packed = RouteTarget.parse(f"target:64512:{target}").packed
    return replace(attributes, extended_communities=(*attributes.extended_communities, packed))
