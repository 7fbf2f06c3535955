"""The messages of BGP as values, and what two OPENs agree on."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

from skytrail.net.late_slots import fill_late
from skytrail.wire.bgp.attributes import Attributes
from skytrail.wire.bgp.families import BgpFamily
from skytrail.wire.bgp.nlri import Nlri
from skytrail.wire.bgp.vpn_block import VpnBlock

MESSAGE_BYTES_MAX = 4096
EXTENDED_MESSAGE_BYTES_MAX = 65535
HEADER_BYTES = 19


class MessageType(enum.IntEnum):
    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


@dataclass(frozen=True, slots=True)
class RawCapability:
    """A capability kept unread."""

    code: int
    value: bytes


@dataclass(frozen=True, slots=True)
class GracefulRestart:
    """RFC 4724 section 3 and the N bit of RFC 8538."""

    restart_time_s: int = 120
    restarting: bool = False
    notification: bool = False
    families: tuple[tuple[BgpFamily, bool], ...] = ()
    """(family, whether its forwarding state was preserved)."""


@dataclass(frozen=True, slots=True)
class LongLivedFamily:
    """One entry of the long-lived graceful restart capability (RFC 9494 section 3)."""

    family: BgpFamily
    preserved: bool
    stale_time_s: int


@dataclass(frozen=True, slots=True)
class Open:
    """An OPEN (RFC 4271 section 4.2) with its capabilities read.

    ``asn`` is the real AS number: that of the 4-byte capability where there is one.
    """

    asn: int
    hold_time_s: int
    router_id: IPv4Address
    families: tuple[BgpFamily, ...] = ()
    unknown_families: tuple[tuple[int, int], ...] = ()
    four_byte_as: bool = True
    route_refresh: bool = True
    enhanced_refresh: bool = True
    extended_message: bool = True
    graceful_restart: GracefulRestart | None = None
    long_lived: tuple[LongLivedFamily, ...] = ()
    extended_next_hop: tuple[BgpFamily, ...] = ()
    """Families whose IPv4 routes may have an IPv6 next hop (RFC 8950)."""
    label_stacks: tuple[tuple[BgpFamily, int], ...] = ()
    """(family, most labels) of the multiple-labels capability (RFC 8277 section 2.1)."""
    host_name: str = ""
    domain_name: str = ""
    unknown: tuple[RawCapability, ...] = ()
    version: int = 4


@dataclass(frozen=True, slots=True)
class Notification:
    code: int
    subcode: int
    data: bytes = b""

    @property
    def text(self) -> str:
        """The operator's words in a shutdown or reset (RFC 9003), else empty."""
        from_operator = self.code == 6 and self.subcode in {2, 4}
        if not from_operator or not self.data or self.data[0] > len(self.data) - 1:
            return ""
        return self.data[1 : 1 + self.data[0]].decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Keepalive:
    pass


class Demarcation(enum.IntEnum):
    """RFC 7313 section 3.2."""

    REQUEST = 0
    BEGIN = 1
    END = 2


@dataclass(frozen=True, slots=True)
class RouteRefresh:
    family: BgpFamily
    demarcation: Demarcation = Demarcation.REQUEST


@dataclass(frozen=True, slots=True)
class Reach:
    """Routes of one family with one next hop.

    An IPv4-mapped IPv6 next hop is read as the IPv4 address it maps. A global address is kept
    where a link-local one comes with it.
    """

    family: BgpFamily
    next_hop: IPv4Address | IPv6Address
    nlri: tuple[Nlri, ...]
    block: VpnBlock | None = field(default=None, init=False, compare=False, repr=False)
    """The same routes as bytes, where they were read; ``nlri`` is made when first asked for."""


_new = object.__new__
_set_family: Callable[[Reach, BgpFamily], None] = Reach.__dict__["family"].__set__
_set_hop: Callable[[Reach, IPv4Address | IPv6Address], None] = Reach.__dict__["next_hop"].__set__
_set_block: Callable[[Reach, VpnBlock], None] = Reach.__dict__["block"].__set__


def _routes_of_block(reach: Reach) -> tuple[Nlri, ...]:
    assert reach.block is not None
    return reach.block.routes()


fill_late(Reach, "nlri", _routes_of_block)


def reach_of_block(
    family: BgpFamily, next_hop: IPv4Address | IPv6Address, block: VpnBlock
) -> Reach:
    """Return VPN routes with one label each, of which no object is made yet."""
    reach = _new(Reach)
    _set_family(reach, family)
    _set_hop(reach, next_hop)
    _set_block(reach, block)
    return reach


@dataclass(frozen=True, slots=True)
class Unreach:
    family: BgpFamily
    nlri: tuple[Nlri, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """An UPDATE after RFC 7606: apply ``withdrawn`` first, then ``reach``."""

    attributes: Attributes
    reach: tuple[Reach, ...] = ()
    withdrawn: tuple[Unreach, ...] = ()
    end_of_rib: BgpFamily | None = None
    problems: tuple[str, ...] = ()
    """What was wrong and what was done about it, for logs and counters."""


Message: TypeAlias = Open | Update | Notification | Keepalive | RouteRefresh


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What a session may use: the intersection of both OPENs, and facts of the peer."""

    families: frozenset[BgpFamily] = frozenset()
    local_as: int = 0
    peer_as: int = 0
    peer_router_id: IPv4Address = field(default=IPv4Address(0))
    hold_time_s: int = 90
    four_byte_as: bool = True
    message_bytes_max: int = MESSAGE_BYTES_MAX
    extended_next_hop: frozenset[BgpFamily] = frozenset()
    label_stacks: frozenset[BgpFamily] = frozenset()
    route_refresh: bool = False
    enhanced_refresh: bool = False
    graceful_restart: GracefulRestart | None = None
    """The peer's flags and times; ``None`` unless both sides have the capability."""
    long_lived: tuple[LongLivedFamily, ...] = ()
    """The peer's; empty unless both sides have the capability and graceful restart."""

    @property
    def is_internal(self) -> bool:
        return self.local_as == self.peer_as
