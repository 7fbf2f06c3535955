"""What happens to a BGP session (events), what it wants done (actions), and its settings."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TypeAlias

from skytrail.wire.bgp.errors import Cease
from skytrail.wire.bgp.families import BgpFamily
from skytrail.wire.bgp.messages import (
    GracefulRestart,
    LongLivedFamily,
    Negotiated,
    Notification,
    Open,
    RouteRefresh,
    Update,
)
from skytrail.wire.bgp.negotiation import ANY_AS

HOLD_TIME_S = 90
CONNECT_RETRY_S = 30.0
OPEN_WAIT_S = 15.0
IDLE_HOLD_S = 5.0
IDLE_HOLD_MAX_S = 120.0


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """One configured peer. A change counts from the next OPEN on."""

    local_as: int
    router_id: IPv4Address
    peer_as: int = ANY_AS
    families: tuple[BgpFamily, ...] = (BgpFamily.INET,)
    is_passive: bool = False
    """Never dial, only answer."""
    hold_time_s: int = HOLD_TIME_S
    """0 (no timers at all) or at least 3."""
    connect_retry_s: float = CONNECT_RETRY_S
    """How long one attempt to connect may take, and the longest pause between two."""
    connect_retry_first_s: float = 1.0
    """The pause after the first failed attempt; it doubles up to ``connect_retry_s``."""
    open_wait_s: float = OPEN_WAIT_S
    """How long the peer may take for its OPEN."""
    idle_hold_s: float = IDLE_HOLD_S
    """The pause after a session ended in a protocol error; it doubles up to two minutes as long
    as no session is established in between (RFC 4271 section 8.1.1, DampPeerOscillations)."""
    four_byte_as: bool = True
    route_refresh: bool = True
    enhanced_refresh: bool = True
    extended_message: bool = True
    graceful_restart: GracefulRestart | None = None
    long_lived: tuple[LongLivedFamily, ...] = ()
    extended_next_hop: tuple[BgpFamily, ...] = ()
    label_stacks: tuple[tuple[BgpFamily, int], ...] = ()
    host_name: str = ""
    domain_name: str = ""

    def __post_init__(self) -> None:
        if self.hold_time_s not in {0, *range(3, 0x1_0000)}:
            raise ValueError(f"hold time of {self.hold_time_s} s: 0 or 3 to 65535")
        if int(self.router_id) == 0 or not 0 < self.local_as <= 0xFFFF_FFFF:
            raise ValueError(f"AS {self.local_as} with router id {self.router_id}")

    def open(self) -> Open:
        """Return the OPEN this end sends."""
        return Open(
            self.local_as,
            self.hold_time_s,
            self.router_id,
            families=self.families,
            four_byte_as=self.four_byte_as,
            route_refresh=self.route_refresh,
            enhanced_refresh=self.enhanced_refresh,
            extended_message=self.extended_message,
            graceful_restart=self.graceful_restart,
            long_lived=self.long_lived,
            extended_next_hop=self.extended_next_hop,
            label_stacks=self.label_stacks,
            host_name=self.host_name,
            domain_name=self.domain_name,
        )


class State(enum.Enum):
    """RFC 4271 section 8.2.2; that of the connection which is furthest."""

    IDLE = "idle"
    CONNECT = "connect"
    ACTIVE = "active"
    OPEN_SENT = "open_sent"
    OPEN_CONFIRM = "open_confirm"
    ESTABLISHED = "established"


class DownReason(enum.Enum):
    """Why a session, or an attempt at one, ended."""

    TRANSPORT = "transport"
    """The connection went away without a word."""
    HOLD_TIMER = "hold_timer"
    OPEN_TIMER = "open_timer"
    """No OPEN, or no KEEPALIVE behind it, in time."""
    NOTIFICATION = "notification"
    """The peer ended it."""
    PROTOCOL_ERROR = "protocol_error"
    """We ended it for what the peer sent."""
    STOPPED = "stopped"
    """Our side wanted it."""
    RESTARTED = "restarted"
    """The peer came back on a new connection while the old one still looked alive."""
    COLLISION = "collision"
    """The other of two connections was kept (RFC 4271 section 6.8)."""
    REJECTED = "rejected"
    """It came while the session is down by configuration or pausing."""


@dataclass(frozen=True, slots=True)
class Start:
    """Bring the session up and keep it up."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the session and stay down, or pause for ``restart_after_s``."""

    subcode: Cease = Cease.ADMINISTRATIVE_SHUTDOWN
    text: str = ""
    """The operator's words, sent with a shutdown or reset (RFC 9003)."""
    restart_after_s: float | None = None
    graceful: bool = False
    """Let the peer keep our routes where graceful restart allows: this process will be back."""


@dataclass(frozen=True, slots=True)
class Connected:
    """What :class:`Connect` asked for is there."""

    connection: int


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    connection: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The peer connected to us; ``connection`` comes from ``BgpSession.new_connection``."""

    connection: int


@dataclass(frozen=True, slots=True)
class Received:
    connection: int
    chunk: bytes


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The transport of a connection is gone; ignored for one the session gave up itself."""

    connection: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; due at ``BgpSession.next_deadline``, harmless at any time."""


Event: TypeAlias = (
    Start | Stop | Connected | ConnectFailed | Accepted | Received | Disconnected | Tick
)


@dataclass(frozen=True, slots=True)
class Connect:
    """Dial the peer; answer with :class:`Connected` or :class:`ConnectFailed`."""

    connection: int


@dataclass(frozen=True, slots=True)
class Write:
    connection: int
    chunk: bytes


@dataclass(frozen=True, slots=True)
class CloseConnection:
    """Write what came before, then close. An unfinished attempt is given up."""

    connection: int


@dataclass(frozen=True, slots=True)
class Established:
    """Routes may flow: write UPDATEs to ``connection``."""

    connection: int
    open: Open
    negotiated: Negotiated


@dataclass(frozen=True, slots=True)
class Deliver:
    message: Update | RouteRefresh


@dataclass(frozen=True, slots=True)
class Down:
    """The established session ended.

    ``graceful`` tells that the peer's routes may be kept as stale (RFC 4724, RFC 8538).
    """

    reason: DownReason
    graceful: bool
    text: str = ""
    sent: Notification | None = None
    received: Notification | None = None


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A connection ended before it was established."""

    connection: int
    reason: DownReason
    text: str = ""
    sent: Notification | None = None
    received: Notification | None = None


Action: TypeAlias = Connect | Write | CloseConnection | Established | Deliver | Down | AttemptFailed
