"""What agents and control nodes tell each other, as typed values.

One ``Route`` type serves every address family: its key says which. All values are immutable,
hashable and compare by content, so a route that is announced unchanged is recognised as such.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TypeAlias

from skytrail.net import IpAddress, IpPrefix, Label, Mac, Vni
from skytrail.wire.spans import SpanContext

NO_LABEL = Label(0)
NO_VNI = Vni(0)


class Family(enum.Enum):
    """Address family of a table; the value is the ``af/safi`` text on the wire."""

    INET = "1/1"
    INET6 = "2/1"
    ENET = "25/242"

    # Members are singletons, so identity will do; Enum's own hash is a Python call on hot paths.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True, order=True)
class EnetKey:
    """A MAC offered with one IP (EVPN type 2, RFC 7432 section 7.2) or with none.

    Of the broadcast MAC: who wants copies (type 3), or copies of a group alone (type 6).
    """

    mac: Mac
    address: IpPrefix | None = None
    """A host prefix (/32 or /128) or None."""
    ethernet_tag: int = 0
    group: IpAddress | None = None
    """Of what copies are wanted; unspecified: of every group."""
    source: IpAddress | None = None
    """Who sends them; None: anybody."""


RouteKey: TypeAlias = IPv4Network | IPv6Network | EnetKey


@dataclass(frozen=True, slots=True)
class NextHop:
    """One way to reach the route: a tunnel end point and what to push there."""

    address: IpAddress
    label: Label = NO_LABEL
    """MPLS label of the workload (inet) or of the layer 2 port (enet); 0 means unusable."""
    vni: Vni = NO_VNI
    l3_label: Label = NO_LABEL
    """enet only: label for routed traffic to the same workload."""
    mac: Mac | None = None
    encapsulations: tuple[str, ...] = ()
    """In the publisher's order of preference: ``udp``, ``gre``, ``vxlan``, ``mpls``, ``native``."""
    virtual_network: str = ""
    """Fully qualified name, colon-joined, of the network the route was born in."""
    tags: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteAttributes:
    """What all next hops of a route share."""

    sequence_number: int = 0
    """Mobility sequence: the highest wins (RFC 7432 section 7.7)."""
    sticky: bool = False
    local_preference: int = 100
    """200 = active, 100 = stand-by."""
    med: int = 0
    """0 = not given."""
    security_groups: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    load_balance_fields: tuple[str, ...] = ()
    """Empty = all five fields."""
    load_balance_decision: str = ""
    sub_protocol: str = ""
    etree_leaf: bool = False
    replicates: bool = False
    """enet, broadcast MAC: copies for others are made of what is sent here (RFC 9574)."""
    replication_leaf: bool = False
    """enet, broadcast MAC: has its copies made by a replicator, while there is one."""
    multicast_flags: int = 0
    """enet, broadcast MAC: of whose groups it tells (RFC 9251 section 9.5); of a group, which
    versions its listeners speak, and whether the source is unwanted (section 9.1)."""


@dataclass(frozen=True, slots=True)
class Route:
    """A destination, its next hops (at least one) and their attributes."""

    key: RouteKey
    next_hops: tuple[NextHop, ...]
    attributes: RouteAttributes = RouteAttributes()


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The agent wants the tables of a routing instance (colon-joined name)."""

    instance: str
    instance_id: int
    """The agent's number of the VRF; makes its route distinguisher unique."""
    no_ribout: bool = False
    """True: publish only, receive nothing."""


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    instance: str


@dataclass(frozen=True, slots=True)
class PublishRoute:
    """Agent to control: a local route, replacing an earlier one with the same key."""

    instance: str
    route: Route


@dataclass(frozen=True, slots=True)
class WithdrawRoute:
    instance: str
    key: RouteKey


@dataclass(frozen=True, slots=True, order=True)
class TreeKey:
    """Names an overlay tree within an instance: what it carries, from whom."""

    group: IPv4Address
    """All ones: whatever members of the network send to everybody."""
    source: IPv4Address
    """Zero: anybody."""


BROADCAST_TREE = TreeKey(IPv4Address("255.255.255.255"), IPv4Address(0))
TUNNEL_ENDS, TUNNEL_ENDS_PARTS_COUNT = "tunnel-ends", 16
"""Objects of the config channel that are no user's: where tunnels begin, in so many parts."""


@dataclass(frozen=True, slots=True)
class JoinTree:
    """Agent to control: a member of a tree, replacing what it said of that tree before."""

    instance: str
    key: TreeKey
    address: IpAddress
    """Its tunnel end."""
    first_label: Label
    last_label: Label
    """The block it receives by: control takes a label of it for this tree."""
    encapsulations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaveTree:
    instance: str
    key: TreeKey


@dataclass(frozen=True, slots=True)
class TreeEdge:
    """A neighbour in a tree: where copies go, and from where alone they may come."""

    address: IpAddress
    label: Label
    encapsulations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeBranch:
    """One member's part of a tree: the label it receives by, and its neighbours."""

    key: TreeKey
    label: Label
    edges: tuple[TreeEdge, ...]


@dataclass(frozen=True, slots=True)
class TreeItems:
    """Control to agent: its own parts of an instance's trees. Never both kinds when we send."""

    instance: str
    branches: tuple[TreeBranch, ...] = ()
    retracts: tuple[TreeKey, ...] = ()


@dataclass(frozen=True, slots=True)
class IgnoredRoute:
    """A publish or withdraw of a family this version does not carry (multicast VPN)."""

    instance: str
    node: str


@dataclass(frozen=True, slots=True)
class ItemsEvent:
    """Control to agent: best routes of one table. Never both routes and retracts when we send."""

    family: Family
    instance: str
    routes: tuple[Route, ...] = ()
    retracts: tuple[RouteKey, ...] = ()


@dataclass(frozen=True, slots=True)
class EndOfRib:
    """Everything the sender knew at session start has been sent; stale routes may be swept."""


ConfigValue: TypeAlias = "str | Sequence[ConfigValue] | Mapping[str, ConfigValue]"
"""Property value: text, list (two or more elements) or named parts (JSON names)."""


@dataclass(frozen=True, slots=True, order=True)
class ConfigKey:
    """Names a configuration object: dashed type and colon-joined fully qualified name."""

    type_name: str
    name: str


@dataclass(frozen=True, slots=True)
class ConfigNode:
    """An object with its properties by JSON name (``virtual_network_network_id``)."""

    key: ConfigKey
    properties: Mapping[str, ConfigValue]


@dataclass(frozen=True, slots=True)
class ConfigLink:
    """A parent or reference relation between two objects."""

    left: ConfigKey
    right: ConfigKey
    kind: str
    """Link name, e.g. ``virtual-machine-interface-virtual-network``."""
    value: ConfigValue | None = None
    """The reference's attribute, when it has one."""


@dataclass(frozen=True, slots=True)
class ConfigSubscribe:
    """Agent to control: its virtual-router, or a virtual-machine it runs."""

    key: ConfigKey
    answers_marks: bool = False
    """Said with the virtual-router: a :class:`RevisionMark` will be answered. Control nodes that
    know no marks read over it; agents that do not say it never see one."""


@dataclass(frozen=True, slots=True)
class ConfigUnsubscribe:
    key: ConfigKey


@dataclass(frozen=True, slots=True)
class ConfigUpdate:
    """Objects and relations to add or replace; nodes come before the links that use them."""

    nodes: tuple[ConfigNode, ...] = ()
    links: tuple[ConfigLink, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfigDelete:
    """Relations and objects to remove; links go before nodes."""

    links: tuple[ConfigLink, ...] = ()
    nodes: tuple[ConfigKey, ...] = ()


@dataclass(frozen=True, slots=True)
class EndOfConfig:
    """The first full walk has been sent; the receiver may sweep what it did not see again."""

    generation: int


@dataclass(frozen=True, slots=True)
class RevisionMark:
    """Control to agent: all that this revision means for you has been sent before this."""

    revision: int
    traces: tuple[SpanContext, ...] = ()
    """What it was sent within, of changes that are traced; an addition of ours that others pass over."""


@dataclass(frozen=True, slots=True)
class PortTrouble:
    """A port of the agent's configuration that does not forward, and why."""

    uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class BalancerStanding:
    """How a copy of a load balancer stands that runs at the agent."""

    uuid: str
    """of the load balancer"""
    preference: int
    """Local preference of the copy's routes: clients meet the greatest."""
    parts: tuple[tuple[str, str], ...] = ()
    """(uuid, operating status) of the balancer, its listeners, pools and members."""


@dataclass(frozen=True, slots=True)
class Programmed:
    """Agent to control: how far it is, said in answer to a mark and when the rest changes."""

    revision: int | None
    """Of the mark that is answered: what came before it is in the kernel. None answers none."""
    problem: str = ""
    """Why what was sent is not in the kernel; empty when nothing hinders it."""
    troubles: tuple[PortTrouble, ...] = ()
    balancers: tuple[BalancerStanding, ...] = ()


class DnsVerb(enum.Enum):
    """What a request of the DNS channel asks for."""

    QUERY = "query"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class DnsEntry:
    """A question or a record; class and type are numbers of RFC 1035, ``data`` is as users write it."""

    record_class: int
    record_type: int
    name: str
    data: str = ""
    ttl_s: int = 0
    priority: int = 0
    """The preference of a mail exchanger."""


@dataclass(frozen=True, slots=True)
class DnsRequest:
    """Agent to control, on the DNS connection: questions to a virtual DNS, or records for it."""

    transaction: int
    verb: DnsVerb
    virtual_dns: str
    """The server's fully qualified name, joined by colons."""
    zone: str
    entries: tuple[DnsEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class DnsReply:
    """Control to agent: the answer to the request with this transaction's number."""

    transaction: int
    verb: DnsVerb
    code: int
    """A response code of RFC 1035 section 4.1.1 or RFC 2136 section 2.2."""
    virtual_dns: str
    zone: str
    entries: tuple[DnsEntry, ...] = ()


TreeMessage = JoinTree | LeaveTree | TreeItems
RouteMessage = (
    Subscribe
    | Unsubscribe
    | PublishRoute
    | WithdrawRoute
    | TreeMessage
    | IgnoredRoute
    | ItemsEvent
    | EndOfRib
)
ConfigMessage = (
    ConfigSubscribe
    | ConfigUnsubscribe
    | ConfigUpdate
    | ConfigDelete
    | EndOfConfig
    | RevisionMark
    | Programmed
)
DnsChannelMessage = DnsRequest | DnsReply
Message = RouteMessage | ConfigMessage | DnsChannelMessage


def family_of(key: RouteKey) -> Family:
    """Return the family a key belongs to."""
    if isinstance(key, EnetKey):
        return Family.ENET
    return Family.INET if isinstance(key, IPv4Network) else Family.INET6
