"""Desired tables: everything the agent wants the datapath to hold, as plain values.

The agent's pure modules compute these rows from configuration and routes; ``reconcile``
diffs them against what a :class:`~skytrail.agent.plugin.Datapath` holds. Nothing here knows
about maps, netlink or time. One row type per datapath table; ``key`` is unique in its table.

```
 frame from workload --> InterfaceRow --> SourceRow (anti-spoof) --> flow table (kernel owned)
     first packet:  InetRouteRow / BridgeRow --> remote identity --> PolicyRows --> verdict
     --> NextHopRow (interface | tunnel | receive | discard | ecmp)
 packet from underlay --> LabelRow / VniRow --> NextHopRow --> InterfaceRow --> policy --> workload
```
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType

from skytrail.net import IpAddress, Mac

IpNetwork = IPv4Network | IPv6Network

VifId = NewType("VifId", int)
"""Agent-local interface number, 1..65535; stable while the interface is plugged."""
VrfId = NewType("VrfId", int)
"""Agent-local VRF number, 1..65535; VRF 0 is never valid. Sent as the XMPP instance-id."""
NextHopId = NewType("NextHopId", int)
"""Index in the next-hop array, 1..65535."""
PolicyId = NewType("PolicyId", int)
"""A compiled policy for one direction of one interface; interned, so equal policies share it."""
IdentityId = NewType("IdentityId", int)
"""Interned (virtual network set, security group set, tag set); 0 means unknown."""
MirrorId = NewType("MirrorId", int)
"""Where copies of packets go, 1..255; 0: nowhere."""
MIRROR_HEADER_BYTES_MAX = 352
"""As in ``bpf/include/abi.h``."""
FLOOD_MEMBERS_COUNT_MAX = 1000
"""As ``FLOOD_MEMBERS_MAX`` in ``bpf/include/abi.h``."""
FLOATING_PLACES_COUNT_MAX = 16
FOLDS_COUNT_MAX = 8
"""Floating addresses of one port, as ``FLOATING_PLACES_MAX`` in ``bpf/include/abi_nat.h``."""
LINK_SERVICE_TARGETS_COUNT_MAX = 8
PORT_RANGES_COUNT_MAX = 8
"""Both as in ``bpf/include/abi_nat.h``."""
FLOOD_RELAYED = 1 << 30
"""In a member's label, as in ``bpf/include/abi.h``."""
QosId = NewType("QosId", int)
"""Interned QoS configuration; 0 = none: packets are left as they are."""
RuleId = NewType("RuleId", int)
"""Number of the deciding rule; the agent's rule table turns it into names."""


class Encapsulation(enum.IntEnum):
    """Tunnel kinds, numbered as in ``bpf/include/abi.h``."""

    MPLS_UDP = 1
    MPLS_GRE = 2
    VXLAN = 3
    NATIVE = 4
    """None: the underlay routes the packet itself."""


class InterfaceKind(enum.IntEnum):
    WORKLOAD_VETH = 1
    """Peer end lives in another network namespace: delivered by redirect_peer."""
    WORKLOAD_TAP = 2
    """A tap owned by a hypervisor: delivered by redirect."""
    UNDERLAY = 3
    SNAT = 4
    """Nobody's link: an address by which workloads of other networks leave."""


def interface_key(ifindex: int, tag: Tag | None = None) -> int:
    """Return the key of an interface's row; untagged it is the index alone."""
    return ifindex if tag is None else tag.vlan << 32 | ifindex


@dataclass(frozen=True, slots=True)
class Tag:
    """A VLAN of an interface, which is an interface of its own."""

    vlan: int
    source: Mac | None
    """Of frames that reach a transparent service by it; None: it is a sub-interface."""

    @property
    def is_chain(self) -> bool:
        return self.source is not None


@dataclass(frozen=True, slots=True)
class InterfaceRow:
    """One workload or underlay interface, or a VLAN of one. Key: ``ifindex`` and VLAN."""

    ifindex: int
    vif_id: VifId
    kind: InterfaceKind
    vrf_id: VrfId
    """Underlay: that of workloads whose networks the underlay routes; 0: there are none."""
    mac: Mac
    """The workload's own MAC; for an underlay interface the interface's MAC."""
    mtu_bytes: int
    """Largest L3 packet the workload may receive; for underlay the link MTU."""
    policy_egress: PolicyId
    """Applied to what the workload sends; 0 = policy disabled (everything allowed)."""
    policy_ingress: PolicyId
    identity: IdentityId
    antispoof: bool
    """False when port security is off: SourceRow is then not consulted."""
    transit: bool = False
    """It forwards for others: who sends is known by the source address, not by the interface."""
    announces: bool = False
    """Who has an address now is told by its gratuitous ARP."""
    has_floating: bool = False
    """It has floating addresses: :class:`FloatingRow`."""
    is_watched: bool = False
    """Its frames are copied: :class:`PortMirrorRow`, or a capture."""
    translates: bool = False
    """Underlay: what comes to the host's address may be for a workload that has a port of it."""
    tag: Tag | None = None
    """A VLAN of the interface ``ifindex``; None: its untagged frames."""
    flow_count_max: int = 0
    """Flows this interface may own; 0 = the datapath's default share."""
    tunnel_address: IPv4Address | None = None
    """Underlay: our tunnel endpoint. Tunnelled packets to it are decapsulated, those to workloads in
    ``vrf_id`` delivered; everything else is left to the host's own stack. SNAT: what sources become."""
    tunnel_address6: IPv6Address | None = None
    """Underlay only: our tunnel endpoint where the underlay is IPv6."""
    replicator_address: IpAddress | None = None
    """Underlay only: what members of assisted networks send there is copied on (RFC 9574)."""
    qos_id: QosId = QosId(0)
    """How what it sends is marked where no rule says; for an underlay interface, how marks of the
    underlay become the workloads'."""
    priority_tags: bool = False
    """Underlay: what is marked carries a tag of VLAN 0 with the VLAN priority."""
    rated_sent: bool = False
    """There is a :class:`RateRow` for what the workload sends; ``rated_received`` likewise."""
    rated_received: bool = False
    packet_mode: bool = False
    """Policy is disabled: flows that find no place in the table are decided packet by packet."""
    merges_flows: bool = False
    """Some of its flows are merged: :class:`FatFlowRow`."""
    folds_flows: bool = False
    """Some of its flows are one for many addresses: :class:`FoldRow`."""
    is_layer2: bool = False
    """Its network only bridges: questions for neighbours are for its members."""
    is_layer3: bool = False
    """Its network only routes: the vRouter stands for every neighbour."""
    asks_members: bool = False
    """Whom the vRouter does not know, members are asked for."""
    lets_dhcp_by: bool = False
    """Requests for addresses are for members."""
    learns: bool = False
    """Which MACs are behind it is learnt from what it sends: :class:`SeenMacRow`."""
    macs_full: bool = False
    """What comes from others than these is dropped."""
    checks_ends: bool = False
    """Underlay: only what comes from the address of a :class:`TunnelEndRow` leaves a tunnel."""
    is_host_side: bool = False
    """No workload's: the host's stack is behind it."""
    learns_addresses: bool = False
    """Which addresses are behind it is learnt from ARP and neighbour discovery: a route with another
    MAC than its own leads to who has that."""
    further_links: tuple[int, ...] = ()
    """Underlay: interface indexes of its other links, where it has several."""

    @property
    def key(self) -> int:
        return interface_key(self.ifindex, self.tag)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A (prefix, MAC) pair a workload may send from. Key: (vif, prefix)."""

    vif_id: VifId
    prefix: IpNetwork
    mac: Mac

    @property
    def key(self) -> tuple[VifId, IpNetwork]:
        return (self.vif_id, self.prefix)


@dataclass(frozen=True, slots=True)
class TunnelEndRow:
    """An address of the underlay from which tunnels come. Key: ``address``."""

    address: IpAddress

    @property
    def key(self) -> IpAddress:
        return self.address


class NextHopKind(enum.IntEnum):
    INTERFACE = 1
    """Deliver to a local workload, after ingress policy."""
    TUNNEL = 2
    """Encapsulate towards another vRouter or gateway."""
    RECEIVE = 3
    """An address of the vRouter itself (gateway, DNS): answer ARP/ND, punt the rest."""
    DISCARD = 4
    ECMP = 5
    """Members chosen by flow hash; the choice is kept in the flow."""
    BRIDGE = 6
    """Target of an L2 label or VNI: look the inner destination MAC up in ``vrf_id``."""
    FABRIC = 7
    """The host's own network: out of the underlay interface ``vif_id`` by the host's address and a
    port of its own (:class:`PortPoolRow`), or a link-local service (:class:`LinkServiceRow`)."""


@dataclass(frozen=True, slots=True)
class NextHopRow:
    """Where a packet goes. Key: ``nexthop_id``. Fields beyond ``kind`` are zero when unused."""

    nexthop_id: NextHopId
    kind: NextHopKind
    vif_id: VifId = VifId(0)
    vrf_id: VrfId = VrfId(0)
    layer2: bool = False
    """INTERFACE: the packet under the label is an Ethernet frame (EVPN label).
    TUNNEL: send the whole inner Ethernet frame under the label (always so for VXLAN)."""
    encapsulation: Encapsulation | None = None
    local: IPv4Address | IPv6Address | None = None
    remote: IPv4Address | IPv6Address | None = None
    """TUNNEL: both of one family, the underlay's."""
    out_ifindex: int = 0
    out_source_mac: Mac | None = None
    out_destination_mac: Mac | None = None
    """Underlay neighbour; None while unresolved (the datapath then drops UNDERLAY_UNRESOLVED)."""
    members: tuple[tuple[NextHopId, int], ...] = ()
    """ECMP: (next hop, label) pairs, at most 16."""
    shares: tuple[int, ...] = ()
    """ECMP: what stands for each member on every host (``share``); none given: zeros."""
    omitted: int = 0
    """ECMP: fields of a flow that do not count when its member is chosen (``share``)."""
    is_routed: bool = False
    """TUNNEL, FABRIC: the kernel's route chooses among several links into the underlay; ``out_ifindex``
    and its MACs are for while it knows no neighbour there."""
    relays: bool = False
    """BRIDGE: what is for everybody goes on to the relayed members of the VRF's flood row."""

    @property
    def key(self) -> NextHopId:
        return self.nexthop_id


@dataclass(frozen=True, slots=True)
class InetRouteRow:
    """IPv4 or IPv6 route. Key: (VRF, prefix)."""

    vrf_id: VrfId
    prefix: IpNetwork
    nexthop_id: NextHopId
    label: int
    """MPLS label or VNI that a TUNNEL next hop pushes; 0 otherwise."""
    identity: IdentityId
    """Of the far end: what policy sees when this prefix matches."""
    mac: Mac | None = None
    """Known MAC of a host route: ARP/ND for the address is answered with it; None: not answered,
    except RECEIVE next hops, which are answered with the vRouter's gateway MAC."""

    @property
    def key(self) -> tuple[VrfId, IpNetwork]:
        return (self.vrf_id, self.prefix)


@dataclass(frozen=True, slots=True)
class BridgeRow:
    """MAC entry of a VRF. Key: (VRF, MAC)."""

    vrf_id: VrfId
    mac: Mac
    nexthop_id: NextHopId
    label: int
    identity: IdentityId

    @property
    def key(self) -> tuple[VrfId, Mac]:
        return (self.vrf_id, self.mac)


@dataclass(frozen=True, slots=True)
class FloodRow:
    """Who gets copies of what a workload of a VRF sends to everybody. Key: VRF.

    Local members come first, then tunnels, those with smaller outer headers first: the datapath
    makes the copies in this order and a frame only grows.
    """

    vrf_id: VrfId
    members: tuple[tuple[NextHopId, int], ...]
    """(next hop, label), at most ``FLOOD_MEMBERS_COUNT_MAX``. With ``FLOOD_RELAYED`` in its label a
    member also gets what another such member sent to a relay's label or the replicator's address."""
    beyond_count: int = 0
    """Members for whom there was no place; each flood then counts as FLOOD_LIMIT."""
    floods_unknown: bool = False
    """What is for a MAC that nobody is known to have goes to everybody, too."""
    snoops: bool = False
    """What is sent to a group goes to the members of its :class:`GroupRow`."""

    @property
    def key(self) -> VrfId:
        return self.vrf_id


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Who gets what is sent to a multicast group of a VRF that snoops. Key: all but the members.

    The row of (group, source) comes before that of the group, and this before the one without a
    group, which is for all others; without any, everybody gets it.
    """

    vrf_id: VrfId
    group: IpAddress | None
    source: IpAddress | None
    members: tuple[tuple[NextHopId, int], ...]
    """In the order of those of :class:`FloodRow`; there may be none."""
    beyond_count: int = 0

    @property
    def key(self) -> tuple[VrfId, IpAddress | None, IpAddress | None]:
        return (self.vrf_id, self.group, self.source)


@dataclass(frozen=True, slots=True)
class BgpServiceRow:
    """An address of the vRouter at which a port speaks BGP to a control node. Key: (vif, address).

    The connection is translated; the control node knows the workload by ``source_port``. With
    ``control`` zero it goes as it is to the relay on this host behind ``out_ifindex``, and the
    address zero stands for all that have no row of their own, IPv6 included.
    """

    vif_id: VifId
    address: IPv4Address
    control: IPv4Address
    source_port: int
    out_ifindex: int

    @property
    def key(self) -> tuple[VifId, IPv4Address]:
        return (self.vif_id, self.address)


@dataclass(frozen=True, slots=True)
class FloatingRow:
    """An address of another network that stands for one of a port's own. Key: (vif, place).

    Places of a port are used from 0 on without gaps, ``FLOATING_PLACES_COUNT_MAX`` at most.
    """

    vif_id: VifId
    place: int
    outside: IpAddress
    inside: IpAddress
    vrf_id: VrfId
    """Where ``outside`` is known, and the port goes out by it."""
    identity: IdentityId
    """Who the port is under this address."""
    policy_egress: PolicyId
    policy_ingress: PolicyId
    is_inward: bool = True
    """Others may open connections to it."""
    is_outward: bool = True
    """The port opens connections by it."""
    has_ports: bool = False
    """It stands for the ports of :class:`FloatingPortRow` alone."""

    @property
    def key(self) -> tuple[VifId, int]:
        return (self.vif_id, self.place)


@dataclass(frozen=True, slots=True)
class FloatingPortRow:
    """A port of a floating address that stands for another, or the other way round.
    Key: all but ``to_port``.
    """

    vif_id: VifId
    outside: IpAddress
    protocol: int
    port: int
    is_inside: bool
    """``port`` is the workload's, ``to_port`` the floating address's."""
    to_port: int

    @property
    def key(self) -> tuple[VifId, IpAddress, int, int, bool]:
        return (self.vif_id, self.outside, self.protocol, self.port, self.is_inside)


@dataclass(frozen=True, slots=True)
class QosMark:
    """What packets of a forwarding class carry in the headers of the underlay."""

    class_id: int
    dscp: int
    exp: int
    vlan_priority: int


@dataclass(frozen=True, slots=True)
class QosMapRow:
    """A QoS configuration with its forwarding classes settled. Key: ``qos_id``.

    None: there is no such forwarding class, the packet stays as it is.
    """

    qos_id: QosId
    dscp: tuple[QosMark | None, ...]
    """By DSCP of an IP packet, 64."""
    vlan: tuple[QosMark | None, ...]
    """By VLAN priority of another frame, 8."""
    exp: tuple[QosMark | None, ...]
    """By traffic class of an MPLS label, 8."""
    has_exp: bool
    """Labels are looked at before the DSCP around them."""

    @property
    def key(self) -> QosId:
        return self.qos_id


@dataclass(frozen=True, slots=True)
class RateRow:
    """How fast a workload may send or receive. Key: (vif, direction)."""

    vif_id: VifId
    is_received: bool
    bytes_per_s: int
    burst_bytes: int

    @property
    def key(self) -> tuple[VifId, bool]:
        return (self.vif_id, self.is_received)


@dataclass(frozen=True, slots=True)
class LinkServiceRow:
    """A link-local address and port where workloads find a service. Key: (address, port)."""

    address: IpAddress
    port: int
    targets: tuple[IpAddress, ...]
    """Where it is, ``LINK_SERVICE_TARGETS_COUNT_MAX`` at most; a flow takes one."""
    to_port: int
    nexthop_id: NextHopId = NextHopId(0)
    """INTERFACE: the host itself is behind it, and answers there; 0: it is in the underlay."""
    is_agents: bool = False
    """The agent answers there: each interface has a rate."""

    @property
    def key(self) -> tuple[IpAddress, int]:
        return (self.address, self.port)


@dataclass(frozen=True, slots=True)
class PortPoolRow:
    """Ports of the host (ICMP: echo identifiers) that stand for workloads'. Key: protocol."""

    protocol: int
    ranges: tuple[tuple[int, int], ...]
    """First and last, ``PORT_RANGES_COUNT_MAX`` at most."""

    @property
    def key(self) -> int:
        return self.protocol


@dataclass(frozen=True, slots=True)
class FatFlowRow:
    """Connections to a port, or all of a protocol (port 0), that are one flow for each pair of
    addresses. Key: everything.
    """

    vif_id: VifId
    protocol: int
    port: int

    @property
    def key(self) -> tuple[VifId, int, int]:
        return (self.vif_id, self.protocol, self.port)


@dataclass(frozen=True, slots=True)
class FoldRow:
    """Connections to a port, or all of a protocol (port 0), that share a flow with those of other
    addresses. Numbers begin with 0 and have no gap: the first one that fits counts. Key: the first four.
    """

    vif_id: VifId
    protocol: int
    port: int
    number: int
    """Below ``FOLDS_COUNT_MAX``."""
    own: IpNetwork | None = None
    """Where the interface's side has to be in; ``far`` likewise."""
    far: IpNetwork | None = None
    own_bits: int | None = None
    """How much of the address the flow has; None: all of it."""
    far_bits: int | None = None

    @property
    def key(self) -> tuple[VifId, int, int, int]:
        return (self.vif_id, self.protocol, self.port, self.number)


@dataclass(frozen=True, slots=True)
class FlowShareRow:
    """An interface of a machine that has several, which share the machine's part of the flow table.
    Key: ``vif_id``.
    """

    vif_id: VifId
    members: tuple[VifId, ...]
    """Itself included, in order; at most 32."""
    count_max: int = 0
    """Flows of the machine; the datapath's default share is always its."""
    parts_count: int = 1
    """Of a machine with more interfaces than 32, the members have one of so many parts of that."""

    @property
    def key(self) -> VifId:
        return self.vif_id


@dataclass(frozen=True, slots=True)
class SeenMacRow:
    """A MAC that was learnt behind an interface; the datapath keeps when it last sent.
    Key: (vif, MAC).
    """

    vif_id: VifId
    mac: Mac

    @property
    def key(self) -> tuple[VifId, Mac]:
        return (self.vif_id, self.mac)


@dataclass(frozen=True, slots=True)
class AgeingRow:
    """How long flows to a port, or all of a protocol (port 0), may be silent.
    Key: (protocol, port).
    """

    protocol: int
    port: int
    idle_s: int

    @property
    def key(self) -> tuple[int, int]:
        return (self.protocol, self.port)


@dataclass(frozen=True, slots=True)
class LabelRow:
    """Incoming MPLS label, 16..1048575. Key: ``label``."""

    label: int
    nexthop_id: NextHopId

    @property
    def key(self) -> int:
        return self.label


@dataclass(frozen=True, slots=True)
class VniRow:
    """Incoming VXLAN VNI, 1..16777215: a BRIDGE next hop. Key: ``vni``."""

    vni: int
    nexthop_id: NextHopId

    @property
    def key(self) -> int:
        return self.vni


class Action(enum.IntEnum):
    DENY = 0
    ALLOW = 1


PROTOCOL_ANY = 256
"""Stands for "every protocol that has no row of its own" in this (policy, class)."""


@dataclass(frozen=True, slots=True)
class PolicyIdentityRow:
    """Which class of remote identities (within one policy) an identity falls in.
    Key: (policy, identity). A missing row means class 0.
    """

    policy_id: PolicyId
    identity: IdentityId
    identity_class: int

    @property
    def key(self) -> tuple[PolicyId, IdentityId]:
        return (self.policy_id, self.identity)


@dataclass(frozen=True, slots=True)
class PolicyPrefixRow:
    """Which class of remote addresses a prefix falls in, longest match.
    Key: (policy, prefix). No match means class 0.
    """

    policy_id: PolicyId
    prefix: IpNetwork
    prefix_class: int

    @property
    def key(self) -> tuple[PolicyId, IpNetwork]:
        return (self.policy_id, self.prefix)


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """Verdict for a block of destination ports, longest match on the port bits.

    Lookup order in the kernel: exact protocol, then PROTOCOL_ANY; then, when ``source_cell`` is
    not 0, the source-port cell decides instead. Rows must carry complete verdicts: rules for any
    protocol are folded into each explicit protocol's rows. Nothing matching = DENY, rule 0.
    For ICMP/ICMPv6 the "destination port" is the ICMP type; the "source port" is 0.
    Non-first fragments are decided by the first fragment's flow, never by rows.
    """

    policy_id: PolicyId
    identity_class: int
    prefix_class: int
    protocol: int
    """0..255 or PROTOCOL_ANY."""
    port: int
    """Block start, 0..65535."""
    port_bits: int
    """Significant leading bits of ``port``, 0 (any) .. 16 (one port)."""
    action: Action
    rule_id: RuleId
    source_cell: int = 0
    vrf_id: VrfId = VrfId(0)
    """ALLOW: where the way on is looked up; 0 = in the interface's own VRF."""
    qos_id: QosId = QosId(0)
    """How the flow's packets are marked; 0 = as the interface's are."""
    mirror_id: MirrorId = MirrorId(0)
    """ALLOW: where copies of the flow's packets go; 0 = nowhere."""

    @property
    def key(self) -> tuple[int, int, int, int, int, int]:
        return (
            self.policy_id,
            self.identity_class,
            self.prefix_class,
            self.protocol,
            self.port,
            self.port_bits,
        )


@dataclass(frozen=True, slots=True)
class SourcePortRow:
    """Second stage for rules that constrain source ports. Key: (cell, port, bits)."""

    cell: int
    port: int
    port_bits: int
    action: Action
    rule_id: RuleId
    vrf_id: VrfId = VrfId(0)
    qos_id: QosId = QosId(0)
    mirror_id: MirrorId = MirrorId(0)

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.cell, self.port, self.port_bits)


class MirrorKind(enum.IntEnum):
    """How the way to an analyzer is found, numbered as in ``bpf/include/abi_watch.h``."""

    ROUTED = 1
    """By a route of ``vrf_id`` to ``analyzer``."""
    BRIDGED = 2
    """By ``mac`` in ``vrf_id``."""
    FIXED = 3
    """By ``nexthop_id``."""


@dataclass(frozen=True, slots=True)
class MirrorRow:
    """Where copies of packets go, and what is put in front of each. Key: ``mirror_id``."""

    mirror_id: MirrorId
    kind: MirrorKind
    vrf_id: VrfId = VrfId(0)
    analyzer: IpAddress | None = None
    mac: Mac | None = None
    nexthop_id: NextHopId = NextHopId(0)
    header: bytes = b""
    """Ethernet, IP and what follows; empty: the copy goes as it is."""
    is_udp: bool = False
    """UDP follows IP in ``header``."""
    has_record: bool = False
    """A record header of pcap follows UDP: time and lengths are filled in."""

    @property
    def key(self) -> MirrorId:
        return self.mirror_id


@dataclass(frozen=True, slots=True)
class PortMirrorRow:
    """The mirrors that all frames of an interface are copied to. Key: ``vif_id``."""

    vif_id: VifId
    sent: MirrorId
    """Of what the workload sends; 0: none."""
    delivered: MirrorId

    @property
    def key(self) -> VifId:
        return self.vif_id


Row = (
    InterfaceRow
    | TunnelEndRow
    | SourceRow
    | NextHopRow
    | InetRouteRow
    | BridgeRow
    | LabelRow
    | VniRow
    | FloodRow
    | GroupRow
    | BgpServiceRow
    | FloatingRow
    | FloatingPortRow
    | QosMapRow
    | MirrorRow
    | PortMirrorRow
    | RateRow
    | LinkServiceRow
    | PortPoolRow
    | FatFlowRow
    | FoldRow
    | FlowShareRow
    | SeenMacRow
    | AgeingRow
    | PolicyIdentityRow
    | PolicyPrefixRow
    | VerdictRow
    | SourcePortRow
)

ROW_TYPES: tuple[type[Row], ...] = (
    # Write order: what is referred to comes before what refers to it; deletes run in reverse.
    TunnelEndRow,
    NextHopRow,
    MirrorRow,
    SourcePortRow,
    VerdictRow,
    PolicyPrefixRow,
    PolicyIdentityRow,
    SourceRow,
    QosMapRow,
    RateRow,
    FatFlowRow,
    FoldRow,
    FlowShareRow,
    SeenMacRow,
    AgeingRow,
    FloatingPortRow,
    FloatingRow,
    PortMirrorRow,
    PortPoolRow,
    InterfaceRow,
    LinkServiceRow,
    BgpServiceRow,
    InetRouteRow,
    BridgeRow,
    GroupRow,
    FloodRow,
    LabelRow,
    VniRow,
)
