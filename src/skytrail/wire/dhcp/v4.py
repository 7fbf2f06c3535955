"""DHCPv4 messages (RFC 2131, options RFC 2132) with 16-bit safe option handling.

Options are kept as raw bytes by code; the functions at the end build the typed ones.
```
 op htype hlen hops | xid | secs flags | ciaddr yiaddr siaddr giaddr | chaddr(16)
 sname(64) file(128) | magic 63 82 53 63 | code len value ... 255
```
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from skytrail.net import Mac
from skytrail.wire.errors import DecodeError

DHCP_SERVER_PORT = 67
DHCP_CLIENT_PORT = 68
BOOT_REQUEST = 1
BOOT_REPLY = 2
FLAG_BROADCAST = 0x8000
_MAGIC = bytes((0x63, 0x82, 0x53, 0x63))
_FIXED_BYTES = 236
_MINIMUM_BYTES = 300
"""What BOOTP relays and old clients expect at least (RFC 1542 section 2.1)."""
_SERVER_NAME_BYTES = 64
_BOOT_FILE_BYTES = 128
_OPTION_PAD = 0
_OPTION_END = 255
_OPTION_VALUE_MAX = 255
_ADDRESS_UNSPECIFIED = IPv4Address(0)
_RFC = "RFC 2131 section 2"


class DhcpMessageType(enum.IntEnum):
    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class DhcpOption(enum.IntEnum):
    """Option codes this system reads or writes (RFC 2132, 3442, 5859)."""

    SUBNET_MASK = 1
    ROUTER = 3
    DNS_SERVER = 6
    HOST_NAME = 12
    DOMAIN_NAME = 15
    INTERFACE_MTU = 26
    BROADCAST_ADDRESS = 28
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    MESSAGE_TYPE = 53
    SERVER_IDENTIFIER = 54
    PARAMETER_LIST = 55
    MESSAGE = 56
    MAXIMUM_SIZE = 57
    RENEWAL_TIME = 58
    REBINDING_TIME = 59
    CLIENT_IDENTIFIER = 61
    BOOT_SERVER_NAME = 66
    BOOT_FILE = 67
    CLASSLESS_ROUTES = 121
    BOOT_SERVERS = 150
    CLASSLESS_ROUTES_OF_OLD = 249
    """What some clients ask for instead of 121, in the same form."""


@dataclass(frozen=True, slots=True)
class DhcpMessage:
    """One message; ``options`` maps codes to values, repeated codes joined (RFC 3396)."""

    operation: int
    transaction_id: int
    client_mac: Mac
    options: Mapping[int, bytes] = field(default_factory=dict[int, bytes])
    flags: int = 0
    seconds: int = 0
    client_address: IPv4Address = _ADDRESS_UNSPECIFIED
    your_address: IPv4Address = _ADDRESS_UNSPECIFIED
    server_address: IPv4Address = _ADDRESS_UNSPECIFIED
    relay_address: IPv4Address = _ADDRESS_UNSPECIFIED
    server_name: bytes = b""
    """Of the boot server; without zeros, cut to 63 bytes."""
    boot_file: bytes = b""
    """Likewise, cut to 127 bytes."""

    @property
    def message_type(self) -> DhcpMessageType | None:
        """None for BOOTP, malformed or unknown types."""
        value = self.options.get(DhcpOption.MESSAGE_TYPE, b"")
        try:
            return DhcpMessageType(value[0]) if len(value) == 1 else None
        except ValueError:
            return None

    def address_option(self, code: int) -> IPv4Address | None:
        """The option as one address; None when absent or not four bytes."""
        value = self.options.get(code, b"")
        return IPv4Address(value) if len(value) == 4 else None

    def encode(self, order: Sequence[int] = (), bytes_max: int = 65535) -> bytes:
        """Return at least 300 bytes: the message type first, then options in ``order``, the rest by
        code. What does not fit ``bytes_max`` is left out.
        """
        head = bytes((self.operation, 1, 6, 0)) + self.transaction_id.to_bytes(4)
        head += self.seconds.to_bytes(2) + self.flags.to_bytes(2)
        for address in (
            self.client_address,
            self.your_address,
            self.server_address,
            self.relay_address,
        ):
            head += address.packed
        head += self.client_mac.packed + bytes(10)
        head += self.server_name[: _SERVER_NAME_BYTES - 1].ljust(_SERVER_NAME_BYTES, b"\0")
        head += self.boot_file[: _BOOT_FILE_BYTES - 1].ljust(_BOOT_FILE_BYTES, b"\0")
        head += _MAGIC
        first = dict.fromkeys((int(DhcpOption.MESSAGE_TYPE), *order))
        for code in [*first, *sorted(self.options.keys() - first.keys())]:
            if code in self.options:
                option = _encode_option(code, self.options[code])
                if len(head) + len(option) < bytes_max:
                    head += option
        return (head + bytes((_OPTION_END,))).ljust(_MINIMUM_BYTES, b"\0")


def decode_dhcp(message: bytes) -> DhcpMessage:
    """Decode a DHCP (not plain BOOTP) message for Ethernet."""
    if len(message) < _FIXED_BYTES + len(_MAGIC):
        raise DecodeError("DHCP message is cut short", len(message), _RFC)
    if message[_FIXED_BYTES : _FIXED_BYTES + 4] != _MAGIC:
        raise DecodeError("DHCP magic cookie is missing", _FIXED_BYTES, _RFC)
    if message[1] != 1 or message[2] != 6:
        raise DecodeError("DHCP client hardware is not Ethernet", 1, _RFC)
    return DhcpMessage(
        operation=message[0],
        transaction_id=int.from_bytes(message[4:8]),
        seconds=int.from_bytes(message[8:10]),
        flags=int.from_bytes(message[10:12]),
        client_address=IPv4Address(message[12:16]),
        your_address=IPv4Address(message[16:20]),
        server_address=IPv4Address(message[20:24]),
        relay_address=IPv4Address(message[24:28]),
        client_mac=Mac(message[28:34]),
        server_name=message[44:108].partition(b"\0")[0],
        boot_file=message[108:_FIXED_BYTES].partition(b"\0")[0],
        options=_decode_options(message, _FIXED_BYTES + len(_MAGIC)),
    )


def encode_addresses(addresses: Iterable[IPv4Address]) -> bytes:
    """The value of options that list addresses."""
    return b"".join(address.packed for address in addresses)


def encode_classless_routes(routes: Iterable[tuple[IPv4Network, IPv4Address]]) -> bytes:
    """The value of option 121: (destination, gateway) pairs (RFC 3442)."""
    value = b""
    for prefix, gateway in routes:
        significant = (prefix.prefixlen + 7) // 8
        value += bytes((prefix.prefixlen,)) + prefix.network_address.packed[:significant]
        value += gateway.packed
    return value


def decode_classless_routes(value: bytes) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    """Inverse of :func:`encode_classless_routes`."""
    routes: list[tuple[IPv4Network, IPv4Address]] = []
    offset = 0
    while offset < len(value):
        length = value[offset]
        significant = (length + 7) // 8
        end = offset + 1 + significant + 4
        if length > 32 or end > len(value):
            raise DecodeError("classless route does not fit its option", offset, "RFC 3442")
        network = value[offset + 1 : offset + 1 + significant].ljust(4, b"\0")
        prefix = IPv4Network((network, length), strict=False)
        routes.append((prefix, IPv4Address(value[end - 4 : end])))
        offset = end
    return tuple(routes)


def _encode_option(code: int, value: bytes) -> bytes:
    """Long values continue in options of the same code (RFC 3396)."""
    chunks = [
        value[start : start + _OPTION_VALUE_MAX]
        for start in range(0, len(value), _OPTION_VALUE_MAX)
    ] or [b""]
    return b"".join(bytes((code, len(chunk))) + chunk for chunk in chunks)


def _decode_options(message: bytes, offset: int) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    while offset < len(message):
        code = message[offset]
        if code == _OPTION_END:
            break
        if code == _OPTION_PAD:
            offset += 1
            continue
        if offset + 1 >= len(message):
            raise DecodeError("DHCP option has no length", offset, "RFC 2132 section 2")
        end = offset + 2 + message[offset + 1]
        if end > len(message):
            raise DecodeError(f"DHCP option {code} leaves the message", offset, "RFC 2132")
        options[code] = options.get(code, b"") + message[offset + 2 : end]
        offset = end
    return options
