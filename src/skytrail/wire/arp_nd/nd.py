"""IPv6 neighbour discovery messages (RFC 4861), the bodies of ICMPv6 types 133 to 136.

``encode`` returns an :class:`~skytrail.wire.icmp.IcmpMessage`, which then knows the checksum.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from skytrail.net import Mac
from skytrail.wire.errors import DecodeError
from skytrail.wire.icmp import IcmpMessage

ND_ROUTER_SOLICITATION = 133
ND_ROUTER_ADVERTISEMENT = 134
ND_NEIGHBOUR_SOLICITATION = 135
ND_NEIGHBOUR_ADVERTISEMENT = 136
_OPTION_SOURCE_MAC = 1
_OPTION_TARGET_MAC = 2
_OPTION_PREFIX = 3
_OPTION_MTU = 5
_OPTION_ROUTE = 24
_OPTION_DNS_SERVERS = 25
_OPTION_DOMAINS = 31
_FLAG_MANAGED = 0x80
_FLAG_OTHER = 0x40
_FLAG_ON_LINK = 0x80
_FLAG_AUTONOMOUS = 0x40
_RFC = "RFC 4861"


@dataclass(frozen=True, slots=True)
class RouterSolicitation:
    source_mac: Mac | None = None

    def encode(self) -> IcmpMessage:
        options = _mac_option(_OPTION_SOURCE_MAC, self.source_mac)
        return IcmpMessage(ND_ROUTER_SOLICITATION, 0, 0, options)


@dataclass(frozen=True, slots=True)
class PrefixOption:
    """A prefix information option (RFC 4861 section 4.6.2); lifetimes in seconds."""

    prefix: IPv6Network
    on_link: bool
    autonomous: bool
    valid_lifetime_s: int
    preferred_lifetime_s: int


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    hop_limit: int
    managed: bool
    """Addresses come from DHCPv6."""
    other: bool
    """Other configuration comes from DHCPv6."""
    router_lifetime_s: int
    """0 = not a default router."""
    source_mac: Mac | None = None
    mtu_bytes: int | None = None
    prefixes: tuple[PrefixOption, ...] = ()
    more: tuple[tuple[int, bytes], ...] = ()
    """Other options, by kind; bodies are filled up with zeros."""

    def encode(self) -> IcmpMessage:
        flags = (_FLAG_MANAGED if self.managed else 0) | (_FLAG_OTHER if self.other else 0)
        rest = (self.hop_limit << 24) | (flags << 16) | self.router_lifetime_s
        options = _mac_option(_OPTION_SOURCE_MAC, self.source_mac)
        if self.mtu_bytes is not None:
            options += bytes((_OPTION_MTU, 1, 0, 0)) + self.mtu_bytes.to_bytes(4)
        for prefix in self.prefixes:
            options += _encode_prefix(prefix)
        for kind, body in self.more:
            units = -(-(len(body) + 2) // 8)
            options += (bytes((kind, units)) + body).ljust(8 * units, b"\0")
        return IcmpMessage(ND_ROUTER_ADVERTISEMENT, 0, rest, bytes(8) + options)


@dataclass(frozen=True, slots=True)
class NeighbourSolicitation:
    target: IPv6Address
    source_mac: Mac | None = None

    def encode(self) -> IcmpMessage:
        options = _mac_option(_OPTION_SOURCE_MAC, self.source_mac)
        return IcmpMessage(ND_NEIGHBOUR_SOLICITATION, 0, 0, self.target.packed + options)


@dataclass(frozen=True, slots=True)
class NeighbourAdvertisement:
    target: IPv6Address
    router: bool
    solicited: bool
    override: bool
    target_mac: Mac | None = None

    def encode(self) -> IcmpMessage:
        rest = (self.router << 31) | (self.solicited << 30) | (self.override << 29)
        options = _mac_option(_OPTION_TARGET_MAC, self.target_mac)
        return IcmpMessage(ND_NEIGHBOUR_ADVERTISEMENT, 0, rest, self.target.packed + options)


NdMessage = (
    RouterSolicitation | RouterAdvertisement | NeighbourSolicitation | NeighbourAdvertisement
)


def route_option(prefix: IPv6Network, lifetime_s: int) -> tuple[int, bytes]:
    """A route through whoever advertises it (RFC 4191 section 2.3)."""
    head = bytes((prefix.prefixlen, 0)) + lifetime_s.to_bytes(4)
    return _OPTION_ROUTE, head + prefix.network_address.packed


def dns_servers_option(servers: Iterable[IPv6Address], lifetime_s: int) -> tuple[int, bytes]:
    """Where names are resolved (RFC 8106 section 5.1)."""
    addresses = b"".join(each.packed for each in servers)
    return _OPTION_DNS_SERVERS, bytes(2) + lifetime_s.to_bytes(4) + addresses


def domains_option(names: bytes, lifetime_s: int) -> tuple[int, bytes]:
    """How short names are completed: uncompressed names (RFC 8106 section 5.2)."""
    return _OPTION_DOMAINS, bytes(2) + lifetime_s.to_bytes(4) + names


def decode_nd(message: IcmpMessage) -> NdMessage:
    """Decode the four message kinds; other ICMPv6 types are a ``DecodeError``."""
    match message.icmp_type:
        case 133:
            options = dict(_options(message.payload))
            return RouterSolicitation(_mac(options.get(_OPTION_SOURCE_MAC)))
        case 134:
            return _decode_router_advertisement(message)
        case 135:
            target, options = _target(message.payload)
            return NeighbourSolicitation(target, _mac(options.get(_OPTION_SOURCE_MAC)))
        case 136:
            target, options = _target(message.payload)
            return NeighbourAdvertisement(
                target=target,
                router=bool(message.rest >> 31 & 1),
                solicited=bool(message.rest >> 30 & 1),
                override=bool(message.rest >> 29 & 1),
                target_mac=_mac(options.get(_OPTION_TARGET_MAC)),
            )
        case other:
            raise DecodeError(f"ICMPv6 type {other} is not neighbour discovery", 0, _RFC)


def _decode_router_advertisement(message: IcmpMessage) -> RouterAdvertisement:
    if len(message.payload) < 8:
        raise DecodeError("router advertisement is cut short", len(message.payload), _RFC)
    source_mac, mtu_bytes, prefixes = None, None, list[PrefixOption]()
    more: list[tuple[int, bytes]] = []
    for kind, body in _options(message.payload[8:]):
        if kind == _OPTION_SOURCE_MAC:
            source_mac = _mac(body)
        elif kind == _OPTION_MTU:
            mtu_bytes = int.from_bytes(body[2:6])
        elif kind == _OPTION_PREFIX:
            prefixes.append(_decode_prefix(body))
        else:
            more.append((kind, body))
    flags = message.rest >> 16 & 0xFF
    return RouterAdvertisement(
        hop_limit=message.rest >> 24,
        managed=bool(flags & _FLAG_MANAGED),
        other=bool(flags & _FLAG_OTHER),
        router_lifetime_s=message.rest & 0xFFFF,
        source_mac=source_mac,
        mtu_bytes=mtu_bytes,
        prefixes=tuple(prefixes),
        more=tuple(more),
    )


def _options(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, body without its two-byte head); lengths are in 8-byte units."""
    offset = 0
    while offset < len(block):
        length = block[offset + 1] * 8 if offset + 1 < len(block) else 0
        if length == 0 or offset + length > len(block):
            raise DecodeError("neighbour discovery option has a wrong length", offset, _RFC)
        yield block[offset], block[offset + 2 : offset + length]
        offset += length


def _target(payload: bytes) -> tuple[IPv6Address, dict[int, bytes]]:
    if len(payload) < 16:
        raise DecodeError("neighbour discovery target is cut short", len(payload), _RFC)
    return IPv6Address(payload[:16]), dict(_options(payload[16:]))


def _mac(body: bytes | None) -> Mac | None:
    return None if body is None else Mac(body[:6])


def _mac_option(kind: int, mac: Mac | None) -> bytes:
    return b"" if mac is None else bytes((kind, 1)) + mac.packed


def _encode_prefix(option: PrefixOption) -> bytes:
    flags = (_FLAG_ON_LINK if option.on_link else 0) | (
        _FLAG_AUTONOMOUS if option.autonomous else 0
    )
    return (
        bytes((_OPTION_PREFIX, 4, option.prefix.prefixlen, flags))
        + option.valid_lifetime_s.to_bytes(4)
        + option.preferred_lifetime_s.to_bytes(4)
        + bytes(4)
        + option.prefix.network_address.packed
    )


def _decode_prefix(body: bytes) -> PrefixOption:
    if len(body) != 30 or body[0] > 128:
        raise DecodeError("prefix information option is malformed", 0, _RFC)
    return PrefixOption(
        prefix=IPv6Network((body[14:30], body[0]), strict=False),
        on_link=bool(body[1] & _FLAG_ON_LINK),
        autonomous=bool(body[1] & _FLAG_AUTONOMOUS),
        valid_lifetime_s=int.from_bytes(body[2:6]),
        preferred_lifetime_s=int.from_bytes(body[6:10]),
    )
