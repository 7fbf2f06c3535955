"""DHCPv6 messages between client and server (RFC 8415); relay messages are not decoded."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from skytrail.net import Mac
from skytrail.wire.errors import DecodeError

DHCP6_SERVER_PORT = 547
DHCP6_CLIENT_PORT = 546
_RFC = "RFC 8415"
_LABEL_BYTES_MAX = 63


class Dhcp6MessageType(enum.IntEnum):
    SOLICIT = 1
    ADVERTISE = 2
    REQUEST = 3
    CONFIRM = 4
    RENEW = 5
    REBIND = 6
    REPLY = 7
    RELEASE = 8
    DECLINE = 9
    INFORMATION_REQUEST = 11


class Dhcp6Option(enum.IntEnum):
    """Option codes (RFC 8415 section 21, RFC 3646)."""

    CLIENT_ID = 1
    SERVER_ID = 2
    IA_NA = 3
    IA_TA = 4
    IA_ADDRESS = 5
    STATUS_CODE = 13
    RAPID_COMMIT = 14
    DNS_SERVERS = 23
    DOMAIN_LIST = 24
    IA_PD = 25


class Dhcp6Status(enum.IntEnum):
    SUCCESS = 0
    NO_ADDRESSES_AVAILABLE = 2
    NO_BINDING = 3
    NOT_ON_LINK = 4
    NO_PREFIXES_AVAILABLE = 6


@dataclass(frozen=True, slots=True)
class Dhcp6Message:
    """``options`` keeps order and repetition, as several identity associations are legal."""

    message_type: int
    transaction_id: int
    """24 bits."""
    options: tuple[tuple[int, bytes], ...] = ()

    def first(self, code: int) -> bytes | None:
        """The first option of that code, or None."""
        return next((value for kind, value in self.options if kind == code), None)

    def all(self, code: int) -> Iterator[bytes]:
        return (value for kind, value in self.options if kind == code)

    def encode(self) -> bytes:
        head = bytes((self.message_type,)) + self.transaction_id.to_bytes(3)
        return head + encode_options6(self.options)


@dataclass(frozen=True, slots=True)
class IdentityAssociation:
    """An IA_NA option's value (RFC 8415 section 21.4); times in seconds."""

    iaid: int
    t1_s: int
    t2_s: int
    options: tuple[tuple[int, bytes], ...] = ()

    def encode(self) -> bytes:
        head = self.iaid.to_bytes(4) + self.t1_s.to_bytes(4) + self.t2_s.to_bytes(4)
        return head + encode_options6(self.options)


def decode_dhcp6(message: bytes) -> Dhcp6Message:
    """Decode a client or server message."""
    if len(message) < 4:
        raise DecodeError("DHCPv6 message is cut short", len(message), _RFC)
    if message[0] in {12, 13}:
        raise DecodeError("DHCPv6 relay message from a workload", 0, _RFC)
    return Dhcp6Message(
        message_type=message[0],
        transaction_id=int.from_bytes(message[1:4]),
        options=tuple(_decode_options(message[4:])),
    )


def decode_identity_association(value: bytes) -> IdentityAssociation:
    """Decode the value of an IA_NA option."""
    if len(value) < 12:
        raise DecodeError("identity association is cut short", len(value), _RFC)
    return IdentityAssociation(
        iaid=int.from_bytes(value[0:4]),
        t1_s=int.from_bytes(value[4:8]),
        t2_s=int.from_bytes(value[8:12]),
        options=tuple(_decode_options(value[12:])),
    )


def encode_options6(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Lay options out as code, length, value."""
    return b"".join(
        int(code).to_bytes(2) + len(value).to_bytes(2) + value for code, value in options
    )


def encode_ia_address(address: IPv6Address, *, preferred_s: int, valid_s: int) -> bytes:
    """The value of an IA Address option (RFC 8415 section 21.6)."""
    return address.packed + preferred_s.to_bytes(4) + valid_s.to_bytes(4)


def decode_ia_address(value: bytes) -> IPv6Address:
    """The address of an IA Address option."""
    if len(value) < 24:
        raise DecodeError("IA address is cut short", len(value), _RFC)
    return IPv6Address(value[:16])


def encode_status(status: Dhcp6Status, text: str = "") -> bytes:
    """The value of a status code option."""
    return int(status).to_bytes(2) + text.encode()


def encode_domain_list(domains: Iterable[str]) -> bytes:
    """Uncompressed DNS names (RFC 8415 section 10); labels beyond 63 bytes are cut."""
    value = b""
    for domain in domains:
        for label in domain.strip(".").encode("ascii", "ignore").split(b"."):
            short = label[:_LABEL_BYTES_MAX]
            if short:
                value += bytes((len(short),)) + short
        value += b"\0"
    return value


def duid_of_mac(mac: Mac) -> bytes:
    """A DUID-LL (RFC 8415 section 11.4)."""
    return (3).to_bytes(2) + (1).to_bytes(2) + mac.packed


def _decode_options(block: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(block):
        if offset + 4 > len(block):
            raise DecodeError("DHCPv6 option is cut short", offset, _RFC)
        end = offset + 4 + int.from_bytes(block[offset + 2 : offset + 4])
        if end > len(block):
            raise DecodeError("DHCPv6 option leaves the message", offset, _RFC)
        yield int.from_bytes(block[offset : offset + 2]), block[offset + 4 : end]
        offset = end
