"""What the kernel checks of a BGP session's segments: signatures (RFC 2385) and hops (RFC 5082)."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

TTL_MAX = 255

_TCP_MD5SIG, _TCP_MD5SIG_EXT = 14, 32
_MD5_FLAG_PREFIX = 1
_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73
MD5_KEY_BYTES_MAX = 80
_SOCKADDR_BYTES = 128

Address = IPv4Address | IPv6Address


def set_md5_key(channel: socket.socket, peer: Address, key: str) -> None:
    """Protect segments from and to a peer (RFC 2385); an empty key ends it. ``OSError``."""
    if peer.version == 4:
        place = struct.pack("=HH4s", socket.AF_INET, 0, peer.packed)
    else:
        place = struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, peer.packed, 0)
    _set_key(channel, _TCP_MD5SIG, place, 0, key)


def set_md5_key_of_all(channel: socket.socket, key: str) -> None:
    """Protect segments from and to everybody; nobody without the key connects. ``OSError``."""
    place = struct.pack("=H", channel.family)
    _set_key(channel, _TCP_MD5SIG_EXT, place, _MD5_FLAG_PREFIX, key)


def _set_key(channel: socket.socket, option: int, place: bytes, flags: int, key: str) -> None:
    packed = key.encode()
    if len(packed) > MD5_KEY_BYTES_MAX:
        raise OSError(f"the key has {len(packed)} bytes, at most {MD5_KEY_BYTES_MAX} are possible")
    value = place.ljust(_SOCKADDR_BYTES, b"\0") + struct.pack(
        f"=BBHi{MD5_KEY_BYTES_MAX}s", flags, 0, len(packed), 0, packed
    )
    channel.setsockopt(socket.IPPROTO_TCP, option, value)


def set_ttl(channel: socket.socket, ttl: int) -> None:
    if channel.family == socket.AF_INET:
        channel.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    else:
        channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)


def set_ttl_min(channel: socket.socket, ttl: int) -> None:
    """Let the kernel drop segments that came from further away."""
    if channel.family == socket.AF_INET:
        channel.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, ttl)
    else:
        channel.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, ttl)


def socket_family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
