"""One BGP peer across its sessions: what it said, what it is being told, what is known of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from skytrail.control.adj_in import AdjIn
from skytrail.control.bgp_adverts import Entry
from skytrail.control.bgp_config import BgpPeerConfig
from skytrail.control.bgp_import import Importer
from skytrail.control.bgp_out import BgpGroup
from skytrail.control.membership import Asked
from skytrail.control.path import PeerName
from skytrail.wire.bgp import BgpFamily, Negotiated


class TooManyPrefixes(Exception):
    """A peer exceeded its limit; its session must be ceased (RFC 4486 subcode 1)."""


@dataclass(slots=True)
class BgpCounters:
    """Since the peer was configured."""

    sessions: int = 0
    updates_in: int = 0
    routes_in: int = 0
    withdrawals_in: int = 0
    problems: int = 0
    """UPDATEs with errors that cost routes or attributes, not the session (RFC 7606)."""
    messages_out: int = 0
    bytes_out: int = 0


@dataclass(slots=True)
class BgpPeer:
    """One configured peer, across its sessions."""

    config: BgpPeerConfig
    adj_in: AdjIn
    is_up: bool = False
    up_since: float = 0.0
    bfd_state: str = ""
    """Of the session that watches the path to it; empty without one."""
    last_down_reason: str = ""
    last_problem: str = ""
    negotiated: Negotiated | None = None
    importer: Importer | None = None
    group: BgpGroup | None = None
    has_work: bool = False
    to_tell: deque[Entry] = field(default_factory=deque[Entry])
    """Destinations it must be told of whether or not they changed."""
    looking_count: int = 0
    """How many chores look for more of them."""
    ends_received: set[BgpFamily] = field(default_factory=set[BgpFamily])
    ends_to_send: list[BgpFamily] = field(default_factory=list[BgpFamily])
    refreshes_to_begin: list[BgpFamily] = field(default_factory=list[BgpFamily])
    refreshes_to_end: list[BgpFamily] = field(default_factory=list[BgpFamily])
    """What the peer asked to hear again, for the marks around it (RFC 7313)."""
    repeating: dict[BgpFamily, bool] = field(default_factory=dict[BgpFamily, bool])
    """Families that are being told again, and whether they were asked for once more meanwhile."""
    asked: Asked = field(default_factory=Asked)
    """Route target memberships the peer sent."""
    has_memberships: bool = False
    """The family was negotiated, so the peer gets only what it asks for."""
    membership_deadline: float = float("-inf")
    stale_deadline: float = float("inf")
    long_lived: dict[BgpFamily, float] = field(default_factory=dict[BgpFamily, float])
    """For how long it wants its routes kept beyond its restart time (RFC 9494)."""
    long_lived_deadlines: dict[BgpFamily, float] = field(default_factory=dict[BgpFamily, float])
    """When families that are kept so go."""
    counters: BgpCounters = field(default_factory=BgpCounters)

    @property
    def name(self) -> PeerName:
        return PeerName(self.config.name)
