"""What the datapath and the agent share: generated from BTF by bpf/generate_abi.py, do not edit.

Fields in network byte order and byte arrays are ``bytes``; everything else is ``int``. Layouts
are those of the little-endian target the object was compiled for.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

ABI_VERSION = 13
VIF_COUNT_MAX = 65536
IFINDEX_DIRECT_MAX = 65536
NEXTHOP_COUNT_MAX = 65536
ECMP_MEMBERS_MAX = 16
FLOOD_MEMBERS_MAX = 1000
FLOOD_RELAYED = 1073741824
FLOATING_PLACES_MAX = 16
LINK_SERVICE_TARGETS_MAX = 8
PORT_RANGES_MAX = 8
CPU_COUNT_MAX = 256
MIRROR_COUNT = 256
CAPTURE_SLOTS = 4
CAPTURE_FRAME_BYTES_MAX = 9216
MIRROR_HEADER_BYTES_MAX = 352
VIF_WATCHED = 65536
VIF_LEARNS = 131072
FLOW_SHARE_MEMBERS_MAX = 32
FOLDS_COUNT_MAX = 8
FOLD_KEEPS_ALL = 255
LABEL_COUNT = 1048576
FLOW_PAIRS_DEFAULT = 262144
PUNT_FRAME_BYTES_MAX = 2048
PUNT_RING_BYTES = 4194304
OUTER_HEADER_BYTES_MAX = 48
PROTOCOL_ANY = 256
QOS_MAP_COUNT_MAX = 4096
QOS_DSCP_COUNT = 64
QOS_VLAN_COUNT = 8
QOS_EXP_COUNT = 8
QOS_UNMARKED = 255
QOS_RATED = 32768
RATE_SENT = 0
RATE_RECEIVED = 1
RATE_SHIFT = 20
QOS_PRIORITY_FIRST = 1364197632


class DropReason(enum.IntEnum):
    NONE = 0
    TRUNCATED = 1
    MALFORMED = 2
    CHECKSUM = 3
    VLAN = 4
    EXTENSION_HEADERS = 5
    FRAGMENT_UNKNOWN = 6
    FRAGMENT_TINY = 7
    INTERFACE_UNKNOWN = 8
    SPOOFED_MAC = 9
    SPOOFED_ADDRESS = 10
    SOURCE_LOCAL = 11
    NO_ROUTE = 12
    UNKNOWN_MAC = 13
    MULTICAST = 14
    DISCARD = 15
    NEXTHOP = 16
    UNDERLAY_UNRESOLVED = 17
    TTL = 18
    TOO_BIG = 19
    LOOP = 20
    SAME_INTERFACE = 21
    LINK_LOCAL = 22
    ENCAPSULATION = 23
    ARP_MALFORMED = 24
    ARP_IGNORED = 25
    ARP_UNKNOWN = 26
    ND_MALFORMED = 27
    ND_IGNORED = 28
    ND_UNKNOWN = 29
    POLICY = 30
    FLOW_TABLE_FULL = 31
    FLOW_LIMIT = 32
    OUTER_HEADER = 33
    TUNNEL_HEADER = 34
    LABEL_UNKNOWN = 35
    VNI_UNKNOWN = 36
    ECN = 37
    PUNT_RATE = 38
    PUNT_FULL = 39
    NOT_IP = 40
    FLOOD_LIMIT = 41
    FLOOD_POLICY = 42
    FLOOD_SOURCE = 43
    FLOATING_PORT = 44
    FLOATING_GONE = 45
    TRANSLATION = 46
    PUNT_RATE_NEIGHBOUR = 47
    PUNT_RATE_DHCP = 48
    PUNT_RATE_DNS = 49
    DHCP_CLIENT = 50
    DHCP_SERVER = 51
    ND_ROUTER = 52
    RATE_SENT = 53
    RATE_RECEIVED = 54
    LINK_SERVICE = 55
    FABRIC_PROTOCOL = 56
    FABRIC_ADDRESS = 57
    FABRIC_ROUTE = 58
    FABRIC_UNKNOWN = 59
    PORTS_EXHAUSTED = 60
    GROUP_UNHEARD = 61
    FLOW_LIMIT_MACHINE = 62
    LAYER3_ONLY = 63
    VLAN_NESTED = 64
    FABRIC_FAMILY = 65
    MAC_LIMIT = 66
    OUTER_SOURCE = 67
    PORT_SHARE = 68
    PUNT_RATE_SERVICE = 69


class PuntReason(enum.IntEnum):
    NONE = 0
    DHCP = 1
    DHCP6 = 2
    DNS = 3
    ROUTER_SOLICITATION = 4
    ICMP_TTL_EXCEEDED = 5
    ICMP_TOO_BIG = 6
    RECEIVE = 7
    ICMP_UNREACHABLE = 8
    ANNOUNCEMENT = 9
    MEMBERSHIP = 10
    MAC = 11
    MAC_UNTOLD = 12


class InterfaceKind(enum.IntEnum):
    VETH = 1
    TAP = 2
    UNDERLAY = 3
    SNAT = 4


class InterfaceFlags(enum.IntEnum):
    ANTISPOOF = 1
    TRANSIT = 2
    FLOATING = 4
    ANNOUNCES = 8
    TAGGED = 16
    WATCHED = 32
    VLAN = 128
    TRANSLATES = 64


class NexthopKind(enum.IntEnum):
    NONE = 0
    INTERFACE = 1
    TUNNEL = 2
    RECEIVE = 3
    DISCARD = 4
    ECMP = 5
    BRIDGE = 6
    FABRIC = 7


class NexthopFlags(enum.IntEnum):
    LAYER2 = 1
    RESOLVED = 2
    HAS_SOURCE = 4
    HAS_LOCAL = 8
    HAS_REMOTE = 16
    RELAYS = 32
    OUTER6 = 128
    ROUTED = 64


class Encapsulation(enum.IntEnum):
    NONE = 0
    MPLS_UDP = 1
    MPLS_GRE = 2
    VXLAN = 3
    NATIVE = 4


class FloodFlags(enum.IntEnum):
    UNKNOWN = 1
    SNOOPS = 2
    GROUP = 4


class FloatingFlags(enum.IntEnum):
    INWARD = 1
    OUTWARD = 2
    PORTS = 4


class InterfaceOptions(enum.IntEnum):
    PRIORITY_TAGS = 1
    RATE_SENT = 2
    RATE_RECEIVED = 4
    FAT = 8
    LAYER2 = 16
    LAYER3 = 32
    ASKS_MEMBERS = 64
    LETS_DHCP_BY = 128
    PACKET_MODE = 256
    LEARNS = 512
    MACS_FULL = 1024
    CHECKS_ENDS = 2048
    LEARNS_ADDRESSES = 4096
    FOLDS = 8192
    HOST_SIDE = 16384


class FlowFlags(enum.IntEnum):
    DENY = 1
    REVERSE = 2
    BRIDGED = 4
    TRANSLATED = 8
    CLOSED = 16
    HAS_PAIR = 32
    FINISHED = 64
    MIRRORED = 128


class FlowDirection(enum.IntEnum):
    FROM_WORKLOAD = 0
    FROM_UNDERLAY = 1
    FOLDED = 2


class MirrorKind(enum.IntEnum):
    NONE = 0
    ROUTED = 1
    BRIDGED = 2
    FIXED = 3


class MirrorFlags(enum.IntEnum):
    IP = 1
    UDP = 2
    PCAP = 4
    IP6 = 8


class CapturePoint(enum.IntEnum):
    SENT = 1
    DELIVERED = 2
    DROPPED = 4


class CaptureAsks(enum.IntEnum):
    SOURCE = 1
    DESTINATION = 2
    SOURCE_PORT = 4
    DESTINATION_PORT = 8
    PROTOCOL = 16


class SessionKind(enum.IntEnum):
    BEGIN = 1
    END = 2


class Limits(NamedTuple):
    """``struct limits``, 40 bytes."""

    cpu_count: int
    flow_pairs_max: int
    flow_limit_default: int
    punt_tokens_max: int
    punt_token_ns: int
    port_parts: int
    tai_offset_ns: int

    def pack(self) -> bytes:
        return LIMITS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Limits:
        return cls._make(LIMITS_LAYOUT.unpack(raw))


LIMITS_LAYOUT = struct.Struct("=IIIIQI4xQ")


class Settings(NamedTuple):
    """``struct settings``, 52 bytes."""

    generation: int
    tunnel_address: bytes
    replicator_address: bytes
    fabric_qos: int
    options: int
    mirror_ifindex: int
    tunnel_address6: bytes
    replicator_address6: bytes

    def pack(self) -> bytes:
        return SETTINGS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Settings:
        return cls._make(SETTINGS_LAYOUT.unpack(raw))


SETTINGS_LAYOUT = struct.Struct("=I4s4sHHI16s16s")


class Interface(NamedTuple):
    """``struct interface``, 64 bytes."""

    ifindex: int
    vrf: int
    mtu: int
    mac: bytes
    kind: int
    flags: int
    policy_egress: int
    policy_ingress: int
    identity: int
    flow_count_max: int
    tunnel_address: bytes
    tag_source: bytes
    vlan: int
    replicator_address: bytes
    qos: int
    options: int
    vif: int

    def pack(self) -> bytes:
        return INTERFACE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Interface:
        return cls._make(INTERFACE_LAYOUT.unpack(raw))


INTERFACE_LAYOUT = struct.Struct("=IHH6sBBIIII4s6sH4sHHI8x")


class VlanKey(NamedTuple):
    """``struct vlan_key``, 8 bytes."""

    ifindex: int
    vlan: int

    def pack(self) -> bytes:
        return VLAN_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> VlanKey:
        return cls._make(VLAN_KEY_LAYOUT.unpack(raw))


VLAN_KEY_LAYOUT = struct.Struct("=II")


class Nexthop(NamedTuple):
    """``struct nexthop``, 64 bytes."""

    kind: int
    encapsulation: int
    flags: int
    vif: int
    vrf: int
    out_ifindex: int
    mtu: int
    outer_checksum: int
    header: bytes

    def pack(self) -> bytes:
        return NEXTHOP_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Nexthop:
        return cls._make(NEXTHOP_LAYOUT.unpack(raw))


NEXTHOP_LAYOUT = struct.Struct("=BBB1xHHIHH48s")


class EcmpMember(NamedTuple):
    """``struct ecmp_member``, 8 bytes."""

    nexthop: int
    label: int

    def pack(self) -> bytes:
        return ECMP_MEMBER_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> EcmpMember:
        return cls._make(ECMP_MEMBER_LAYOUT.unpack(raw))


ECMP_MEMBER_LAYOUT = struct.Struct("=II")


class EcmpMembers(NamedTuple):
    """``struct ecmp_members``, 200 bytes."""

    used: int
    omitted: int
    member: bytes
    share: bytes

    def pack(self) -> bytes:
        return ECMP_MEMBERS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> EcmpMembers:
        return cls._make(ECMP_MEMBERS_LAYOUT.unpack(raw))


ECMP_MEMBERS_LAYOUT = struct.Struct("=II128s64s")


class Flood(NamedTuple):
    """``struct flood``, 8008 bytes."""

    used: int
    flags: int
    beyond: int
    member: bytes

    def pack(self) -> bytes:
        return FLOOD_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Flood:
        return cls._make(FLOOD_LAYOUT.unpack(raw))


FLOOD_LAYOUT = struct.Struct("=HHI8000s")


class FloodKey(NamedTuple):
    """``struct flood_key``, 36 bytes."""

    vrf: int
    group: bytes
    source: bytes

    def pack(self) -> bytes:
        return FLOOD_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FloodKey:
        return cls._make(FLOOD_KEY_LAYOUT.unpack(raw))


FLOOD_KEY_LAYOUT = struct.Struct("=I16s16s")


class BgpServiceKey(NamedTuple):
    """``struct bgp_service_key``, 8 bytes."""

    vif: int
    address: bytes

    def pack(self) -> bytes:
        return BGP_SERVICE_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> BgpServiceKey:
        return cls._make(BGP_SERVICE_KEY_LAYOUT.unpack(raw))


BGP_SERVICE_KEY_LAYOUT = struct.Struct("=I4s")


class BgpService(NamedTuple):
    """``struct bgp_service``, 12 bytes."""

    control: bytes
    out_ifindex: int
    source_port: bytes

    def pack(self) -> bytes:
        return BGP_SERVICE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> BgpService:
        return cls._make(BGP_SERVICE_LAYOUT.unpack(raw))


BGP_SERVICE_LAYOUT = struct.Struct("=4sI2s2x")


class FloatingKey(NamedTuple):
    """``struct floating_key``, 8 bytes."""

    vif: int
    place: int

    def pack(self) -> bytes:
        return FLOATING_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FloatingKey:
        return cls._make(FLOATING_KEY_LAYOUT.unpack(raw))


FLOATING_KEY_LAYOUT = struct.Struct("=II")


class Floating(NamedTuple):
    """``struct floating``, 56 bytes."""

    outside: bytes
    inside: bytes
    vrf: int
    identity: int
    policy_egress: int
    policy_ingress: int
    flags: int
    family: int

    def pack(self) -> bytes:
        return FLOATING_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Floating:
        return cls._make(FLOATING_LAYOUT.unpack(raw))


FLOATING_LAYOUT = struct.Struct("=16s16sIIIIII")


class FloatingPortKey(NamedTuple):
    """``struct floating_port_key``, 28 bytes."""

    vif: int
    outside: bytes
    port: bytes
    protocol: int
    side: int
    family: int

    def pack(self) -> bytes:
        return FLOATING_PORT_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FloatingPortKey:
        return cls._make(FLOATING_PORT_KEY_LAYOUT.unpack(raw))


FLOATING_PORT_KEY_LAYOUT = struct.Struct("=I16s2sBBI")


class QosMark(NamedTuple):
    """``struct qos_mark``, 4 bytes."""

    class_id: int
    dscp: int
    exp: int
    vlan_priority: int

    def pack(self) -> bytes:
        return QOS_MARK_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> QosMark:
        return cls._make(QOS_MARK_LAYOUT.unpack(raw))


QOS_MARK_LAYOUT = struct.Struct("=BBBB")


class QosMap(NamedTuple):
    """``struct qos_map``, 324 bytes."""

    dscp: bytes
    vlan: bytes
    exp: bytes
    has_exp: int

    def pack(self) -> bytes:
        return QOS_MAP_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> QosMap:
        return cls._make(QOS_MAP_LAYOUT.unpack(raw))


QOS_MAP_LAYOUT = struct.Struct("=256s32s32sI")


class Rate(NamedTuple):
    """``struct rate``, 40 bytes."""

    bytes_per_s: int
    burst_bytes: int
    byte_ns: int
    burst_ns: int
    due_ns: int

    def pack(self) -> bytes:
        return RATE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Rate:
        return cls._make(RATE_LAYOUT.unpack(raw))


RATE_LAYOUT = struct.Struct("=QQQQQ")


class FatKey(NamedTuple):
    """``struct fat_key``, 8 bytes."""

    vif: int
    port: bytes
    protocol: int

    def pack(self) -> bytes:
        return FAT_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FatKey:
        return cls._make(FAT_KEY_LAYOUT.unpack(raw))


FAT_KEY_LAYOUT = struct.Struct("=I2sB1x")


class FoldKey(NamedTuple):
    """``struct fold_key``, 8 bytes."""

    vif: int
    port: bytes
    protocol: int
    number: int

    def pack(self) -> bytes:
        return FOLD_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FoldKey:
        return cls._make(FOLD_KEY_LAYOUT.unpack(raw))


FOLD_KEY_LAYOUT = struct.Struct("=I2sBB")


class Fold(NamedTuple):
    """``struct fold``, 100 bytes."""

    own: bytes
    own_mask: bytes
    far: bytes
    far_mask: bytes
    own_kept: bytes
    far_kept: bytes
    own_bits: int
    far_bits: int
    family: int

    def pack(self) -> bytes:
        return FOLD_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Fold:
        return cls._make(FOLD_LAYOUT.unpack(raw))


FOLD_LAYOUT = struct.Struct("=16s16s16s16s16s16sBBB1x")


class FlowShare(NamedTuple):
    """``struct flow_share``, 136 bytes."""

    limit: int
    used: int
    parts: int
    vif: bytes

    def pack(self) -> bytes:
        return FLOW_SHARE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FlowShare:
        return cls._make(FLOW_SHARE_LAYOUT.unpack(raw))


FLOW_SHARE_LAYOUT = struct.Struct("=IHH128s")


class AgeingKey(NamedTuple):
    """``struct ageing_key``, 4 bytes."""

    port: bytes
    protocol: int

    def pack(self) -> bytes:
        return AGEING_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> AgeingKey:
        return cls._make(AGEING_KEY_LAYOUT.unpack(raw))


AGEING_KEY_LAYOUT = struct.Struct("=2sB1x")


class LinkServiceKey(NamedTuple):
    """``struct link_service_key``, 20 bytes."""

    address: bytes
    port: bytes

    def pack(self) -> bytes:
        return LINK_SERVICE_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> LinkServiceKey:
        return cls._make(LINK_SERVICE_KEY_LAYOUT.unpack(raw))


LINK_SERVICE_KEY_LAYOUT = struct.Struct("=16s2s2x")


class LinkService(NamedTuple):
    """``struct link_service``, 140 bytes."""

    target: bytes
    used: int
    nexthop: int
    port: bytes
    is_agents: int

    def pack(self) -> bytes:
        return LINK_SERVICE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> LinkService:
        return cls._make(LINK_SERVICE_LAYOUT.unpack(raw))


LINK_SERVICE_LAYOUT = struct.Struct("=128sII2sB1x")


class PortPool(NamedTuple):
    """``struct port_pool``, 40 bytes."""

    used: int
    size: int
    range: bytes

    def pack(self) -> bytes:
        return PORT_POOL_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> PortPool:
        return cls._make(PORT_POOL_LAYOUT.unpack(raw))


PORT_POOL_LAYOUT = struct.Struct("=II32s")


class RouteKey4(NamedTuple):
    """``struct route_key4``, 12 bytes."""

    prefixlen: int
    vrf: bytes
    address: bytes

    def pack(self) -> bytes:
        return ROUTE_KEY4_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> RouteKey4:
        return cls._make(ROUTE_KEY4_LAYOUT.unpack(raw))


ROUTE_KEY4_LAYOUT = struct.Struct("=I4s4s")


class RouteKey6(NamedTuple):
    """``struct route_key6``, 24 bytes."""

    prefixlen: int
    vrf: bytes
    address: bytes

    def pack(self) -> bytes:
        return ROUTE_KEY6_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> RouteKey6:
        return cls._make(ROUTE_KEY6_LAYOUT.unpack(raw))


ROUTE_KEY6_LAYOUT = struct.Struct("=I4s16s")


class Route(NamedTuple):
    """``struct route``, 20 bytes."""

    label: int
    identity: int
    nexthop: int
    has_mac: int
    bits: int
    mac: bytes

    def pack(self) -> bytes:
        return ROUTE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Route:
        return cls._make(ROUTE_LAYOUT.unpack(raw))


ROUTE_LAYOUT = struct.Struct("=IIHBB6s2x")


class BridgeKey(NamedTuple):
    """``struct bridge_key``, 12 bytes."""

    vrf: int
    mac: bytes

    def pack(self) -> bytes:
        return BRIDGE_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> BridgeKey:
        return cls._make(BRIDGE_KEY_LAYOUT.unpack(raw))


BRIDGE_KEY_LAYOUT = struct.Struct("=I6s2x")


class MacSeenKey(NamedTuple):
    """``struct mac_seen_key``, 12 bytes."""

    vif: int
    mac: bytes

    def pack(self) -> bytes:
        return MAC_SEEN_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> MacSeenKey:
        return cls._make(MAC_SEEN_KEY_LAYOUT.unpack(raw))


MAC_SEEN_KEY_LAYOUT = struct.Struct("=I6s2x")


class Source(NamedTuple):
    """``struct source``, 8 bytes."""

    mac: bytes

    def pack(self) -> bytes:
        return SOURCE_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Source:
        return cls._make(SOURCE_LAYOUT.unpack(raw))


SOURCE_LAYOUT = struct.Struct("=6s2x")


class PolicyIdentityKey(NamedTuple):
    """``struct policy_identity_key``, 8 bytes."""

    policy: int
    identity: int

    def pack(self) -> bytes:
        return POLICY_IDENTITY_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> PolicyIdentityKey:
        return cls._make(POLICY_IDENTITY_KEY_LAYOUT.unpack(raw))


POLICY_IDENTITY_KEY_LAYOUT = struct.Struct("=II")


class VerdictKey(NamedTuple):
    """``struct verdict_key``, 16 bytes."""

    prefixlen: int
    policy: bytes
    identity_class: bytes
    prefix_class: bytes
    protocol: bytes
    port: bytes

    def pack(self) -> bytes:
        return VERDICT_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> VerdictKey:
        return cls._make(VERDICT_KEY_LAYOUT.unpack(raw))


VERDICT_KEY_LAYOUT = struct.Struct("=I4s2s2s2s2s")


class Verdict(NamedTuple):
    """``struct verdict``, 16 bytes."""

    rule: int
    source_cell: int
    action: int
    vrf: int
    qos: int
    mirror: int

    def pack(self) -> bytes:
        return VERDICT_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Verdict:
        return cls._make(VERDICT_LAYOUT.unpack(raw))


VERDICT_LAYOUT = struct.Struct("=IIHHHH")


class SourcePortKey(NamedTuple):
    """``struct source_port_key``, 12 bytes."""

    prefixlen: int
    cell: bytes
    port: bytes

    def pack(self) -> bytes:
        return SOURCE_PORT_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> SourcePortKey:
        return cls._make(SOURCE_PORT_KEY_LAYOUT.unpack(raw))


SOURCE_PORT_KEY_LAYOUT = struct.Struct("=I4s2s2x")


class FlowKey4(NamedTuple):
    """``struct flow_key4``, 16 bytes."""

    source: bytes
    destination: bytes
    source_port: bytes
    destination_port: bytes
    vif: int
    protocol: int
    direction: int

    def pack(self) -> bytes:
        return FLOW_KEY4_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FlowKey4:
        return cls._make(FLOW_KEY4_LAYOUT.unpack(raw))


FLOW_KEY4_LAYOUT = struct.Struct("=4s4s2s2sHBB")


class FlowKey6(NamedTuple):
    """``struct flow_key6``, 40 bytes."""

    source: bytes
    destination: bytes
    source_port: bytes
    destination_port: bytes
    vif: int
    protocol: int
    direction: int

    def pack(self) -> bytes:
        return FLOW_KEY6_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FlowKey6:
        return cls._make(FLOW_KEY6_LAYOUT.unpack(raw))


FLOW_KEY6_LAYOUT = struct.Struct("=16s16s2s2sHBB")


class Translation(NamedTuple):
    """``struct translation``, 12 bytes."""

    source: bytes
    destination: bytes
    source_port: bytes
    destination_port: bytes

    def pack(self) -> bytes:
        return TRANSLATION_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Translation:
        return cls._make(TRANSLATION_LAYOUT.unpack(raw))


TRANSLATION_LAYOUT = struct.Struct("=4s4s2s2s")


class TranslationRest(NamedTuple):
    """``struct translation_rest``, 24 bytes."""

    source: bytes
    destination: bytes

    def pack(self) -> bytes:
        return TRANSLATION_REST_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> TranslationRest:
        return cls._make(TRANSLATION_REST_LAYOUT.unpack(raw))


TRANSLATION_REST_LAYOUT = struct.Struct("=12s12s")


class Flow(NamedTuple):
    """``struct flow``, 64 bytes."""

    generation: int
    pair: int
    label: int
    nexthop: int
    peer_vif: int
    flags: int
    drop_reason: int
    entropy: bytes
    source_mac: bytes
    mac: bytes
    rule: int
    policy_port: bytes
    qos: int
    created_ns: int
    to: bytes
    came_from: bytes

    def pack(self) -> bytes:
        return FLOW_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Flow:
        return cls._make(FLOW_LAYOUT.unpack(raw))


FLOW_LAYOUT = struct.Struct("=IIIHHBB2s6s6sI2sHQ12s4s")


class FlowCounters(NamedTuple):
    """``struct flow_counters``, 32 bytes."""

    packets_0: int
    packets_1: int
    bytes_0: int
    bytes_1: int

    def pack(self) -> bytes:
        return FLOW_COUNTERS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FlowCounters:
        return cls._make(FLOW_COUNTERS_LAYOUT.unpack(raw))


FLOW_COUNTERS_LAYOUT = struct.Struct("=2Q2Q")


class PuntEvent(NamedTuple):
    """``struct punt_event``, 2064 bytes."""

    ifindex: int
    vif: int
    reason: int
    argument: int
    frame_bytes: int
    frame: bytes

    def pack(self) -> bytes:
        return PUNT_EVENT_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> PuntEvent:
        return cls._make(PUNT_EVENT_LAYOUT.unpack(raw))


PUNT_EVENT_LAYOUT = struct.Struct("=IHB1xII2048s")


class DropKey(NamedTuple):
    """``struct drop_key``, 8 bytes."""

    vif: int
    reason: int

    def pack(self) -> bytes:
        return DROP_KEY_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> DropKey:
        return cls._make(DROP_KEY_LAYOUT.unpack(raw))


DROP_KEY_LAYOUT = struct.Struct("=II")


class Mirror(NamedTuple):
    """``struct mirror``, 388 bytes."""

    kind: int
    flags: int
    header_bytes: int
    vrf: int
    analyzer: bytes
    nexthop: int
    mac: bytes
    header: bytes

    def pack(self) -> bytes:
        return MIRROR_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> Mirror:
        return cls._make(MIRROR_LAYOUT.unpack(raw))


MIRROR_LAYOUT = struct.Struct("=BBHI16sI6s2x352s")


class MirrorCounters(NamedTuple):
    """``struct mirror_counters``, 24 bytes."""

    copies: int
    truncated: int
    lost: int

    def pack(self) -> bytes:
        return MIRROR_COUNTERS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> MirrorCounters:
        return cls._make(MIRROR_COUNTERS_LAYOUT.unpack(raw))


MIRROR_COUNTERS_LAYOUT = struct.Struct("=QQQ")


class PortMirror(NamedTuple):
    """``struct port_mirror``, 4 bytes."""

    sent: int
    delivered: int

    def pack(self) -> bytes:
        return PORT_MIRROR_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> PortMirror:
        return cls._make(PORT_MIRROR_LAYOUT.unpack(raw))


PORT_MIRROR_LAYOUT = struct.Struct("=BB2x")


class CaptureFilter(NamedTuple):
    """``struct capture_filter``, 52 bytes."""

    snap: int
    vif: int
    points: int
    asks: int
    protocol: int
    reason: int
    family: int
    source: bytes
    destination: bytes
    source_port: bytes
    destination_port: bytes

    def pack(self) -> bytes:
        return CAPTURE_FILTER_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> CaptureFilter:
        return cls._make(CAPTURE_FILTER_LAYOUT.unpack(raw))


CAPTURE_FILTER_LAYOUT = struct.Struct("=IIBBBBB3x16s16s2s2s")


class CaptureCounters(NamedTuple):
    """``struct capture_counters``, 16 bytes."""

    matched: int
    lost: int

    def pack(self) -> bytes:
        return CAPTURE_COUNTERS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> CaptureCounters:
        return cls._make(CAPTURE_COUNTERS_LAYOUT.unpack(raw))


CAPTURE_COUNTERS_LAYOUT = struct.Struct("=QQ")


class SessionEvent(NamedTuple):
    """``struct session_event``, 112 bytes."""

    time_ns: int
    created_ns: int
    pair: int
    rule: int
    identity: int
    source_bits: int
    destination_bits: int
    nexthop: int
    peer_vif: int
    kind: int
    family: int
    flags: int
    drop_reason: int
    key: bytes
    packets_0: int
    packets_1: int
    bytes_0: int
    bytes_1: int

    def pack(self) -> bytes:
        return SESSION_EVENT_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> SessionEvent:
        return cls._make(SESSION_EVENT_LAYOUT.unpack(raw))


SESSION_EVENT_LAYOUT = struct.Struct("=QQIIIHHHHBBBB40s2Q2Q")


class SessionCounters(NamedTuple):
    """``struct session_counters``, 16 bytes."""

    events: int
    lost: int

    def pack(self) -> bytes:
        return SESSION_COUNTERS_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> SessionCounters:
        return cls._make(SESSION_COUNTERS_LAYOUT.unpack(raw))


SESSION_COUNTERS_LAYOUT = struct.Struct("=QQ")


class FlowScan(NamedTuple):
    """``struct flow_scan``, 56 bytes."""

    now_ns: int
    purge_vif: int
    deleted: int
    visited: int
    has_ageing: int
    idle_tcp_ns: int
    idle_udp_ns: int
    idle_closed_ns: int
    idle_opening_ns: int

    def pack(self) -> bytes:
        return FLOW_SCAN_LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, raw: bytes | bytearray | memoryview) -> FlowScan:
        return cls._make(FLOW_SCAN_LAYOUT.unpack(raw))


FLOW_SCAN_LAYOUT = struct.Struct("=QIIIIQQQQ")
