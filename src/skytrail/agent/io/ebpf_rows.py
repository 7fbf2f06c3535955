"""Rows of :mod:`skytrail.agent.tables` to kernel map entries and back.

Pure: bytes in, bytes out. Encoding then decoding gives the same row, which is what lets the
reconciler compare what it wants with what is installed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from skytrail.agent import abi
from skytrail.agent.tables import (
    Action,
    BgpServiceRow,
    BridgeRow,
    Encapsulation,
    FloodRow,
    GroupRow,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    IpNetwork,
    LabelRow,
    MirrorId,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    QosId,
    RuleId,
    SeenMacRow,
    SourcePortRow,
    SourceRow,
    Tag,
    TunnelEndRow,
    VerdictRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.net import IpAddress, Mac, hashed_network

_VRF_BITS = 32
_VERDICT_FIXED_BITS = 80
_SOURCE_PORT_FIXED_BITS = 32
_ETHERNET_BYTES = 14
_OUTER_IP_BYTES = 20
_OUTER_IP6_BYTES = 40
_TUNNEL_BYTES = {
    Encapsulation.MPLS_UDP: 12,
    Encapsulation.MPLS_GRE: 8,
    Encapsulation.VXLAN: 16,
}
_UDP_PORT = {Encapsulation.MPLS_UDP: 6635, Encapsulation.VXLAN: 4789}
_IPV4_ETHERTYPE = b"\x08\x00"
_OUTER_TTL = 64
_DONT_FRAGMENT = 0x4000
_GRE_PROTOCOL_MPLS = b"\x88\x47"
_NO_MAC = bytes(6)
_IPV6_MULTICAST = 0xFF
_ALL_GROUPS, _OTHER_GROUPS = bytes(16), b"\xff" * 16
_NO_ADDRESS = bytes(4)
U32 = struct.Struct("=I")

Entry = tuple[bytes, bytes]


def u32(value: int) -> bytes:
    """A 32-bit key or value in the kernel's byte order."""
    return U32.pack(value)


def from_u32(raw: bytes) -> int:
    return int(U32.unpack(raw)[0])


def prefix_key(owner: int, prefix: IpNetwork) -> bytes:
    """Longest-prefix key of (VRF, interface or policy number, prefix)."""
    return (
        u32(_VRF_BITS + prefix.prefixlen) + owner.to_bytes(4, "big") + prefix.network_address.packed
    )


def from_prefix_key(raw: bytes) -> tuple[int, IpNetwork]:
    owner = int.from_bytes(raw[4:8], "big")
    network = hashed_network((raw[8:], from_u32(raw[:4]) - _VRF_BITS))
    return owner, network


def interface_entry(row: InterfaceRow) -> Entry:
    tunnel = row.tunnel_address.packed if row.tunnel_address else _NO_ADDRESS
    value = abi.Interface(
        ifindex=row.ifindex,
        vrf=row.vrf_id,
        mtu=row.mtu_bytes,
        policy_egress=row.policy_egress,
        policy_ingress=row.policy_ingress,
        identity=row.identity,
        flow_count_max=row.flow_count_max,
        mac=row.mac.packed,
        kind=row.kind,
        flags=(abi.InterfaceFlags.ANTISPOOF if row.antispoof else 0)
        | (abi.InterfaceFlags.TRANSIT if row.transit else 0)
        | (abi.InterfaceFlags.FLOATING if row.has_floating else 0)
        | (abi.InterfaceFlags.ANNOUNCES if row.announces else 0)
        | (abi.InterfaceFlags.WATCHED if row.is_watched else 0)
        | (abi.InterfaceFlags.TAGGED if row.tag and row.tag.is_chain else 0)
        | (abi.InterfaceFlags.VLAN if row.tag and not row.tag.is_chain else 0)
        | (abi.InterfaceFlags.TRANSLATES if row.translates else 0),
        tunnel_address=tunnel,
        tag_source=row.tag.source.packed if row.tag and row.tag.source else bytes(6),
        vlan=row.tag.vlan if row.tag else 0,
        replicator_address=(
            row.replicator_address.packed
            if isinstance(row.replicator_address, IPv4Address)
            else _NO_ADDRESS
        ),
        qos=row.qos_id,
        vif=row.vif_id,
        options=(abi.InterfaceOptions.PRIORITY_TAGS if row.priority_tags else 0)
        | (abi.InterfaceOptions.RATE_SENT if row.rated_sent else 0)
        | (abi.InterfaceOptions.RATE_RECEIVED if row.rated_received else 0)
        | (abi.InterfaceOptions.FAT if row.merges_flows else 0)
        | (abi.InterfaceOptions.FOLDS if row.folds_flows else 0)
        | (abi.InterfaceOptions.PACKET_MODE if row.packet_mode else 0)
        | (abi.InterfaceOptions.LAYER2 if row.is_layer2 else 0)
        | (abi.InterfaceOptions.LAYER3 if row.is_layer3 else 0)
        | (abi.InterfaceOptions.ASKS_MEMBERS if row.asks_members else 0)
        | (abi.InterfaceOptions.LETS_DHCP_BY if row.lets_dhcp_by else 0)
        | (abi.InterfaceOptions.LEARNS if row.learns else 0)
        | (abi.InterfaceOptions.MACS_FULL if row.macs_full else 0)
        | (abi.InterfaceOptions.CHECKS_ENDS if row.checks_ends else 0)
        | (abi.InterfaceOptions.LEARNS_ADDRESSES if row.learns_addresses else 0)
        | (abi.InterfaceOptions.HOST_SIDE if row.is_host_side else 0),
    )
    return u32(row.vif_id), value.pack()


def vlan_key(row: InterfaceRow) -> bytes:
    """Key of a tagged interface in ``vlans``."""
    return abi.VlanKey(row.ifindex, row.tag.vlan if row.tag else 0).pack()


def interface_row(vif_id: int, raw: bytes) -> InterfaceRow:
    value = abi.Interface.unpack(raw)
    return InterfaceRow(
        ifindex=value.ifindex,
        vif_id=VifId(vif_id),
        kind=InterfaceKind(value.kind),
        vrf_id=VrfId(value.vrf),
        mac=Mac(value.mac),
        mtu_bytes=value.mtu,
        policy_egress=PolicyId(value.policy_egress),
        policy_ingress=PolicyId(value.policy_ingress),
        identity=IdentityId(value.identity),
        antispoof=bool(value.flags & abi.InterfaceFlags.ANTISPOOF),
        transit=bool(value.flags & abi.InterfaceFlags.TRANSIT),
        has_floating=bool(value.flags & abi.InterfaceFlags.FLOATING),
        announces=bool(value.flags & abi.InterfaceFlags.ANNOUNCES),
        is_watched=bool(value.flags & abi.InterfaceFlags.WATCHED),
        translates=bool(value.flags & abi.InterfaceFlags.TRANSLATES),
        tag=_tag(value) if value.vlan else None,
        flow_count_max=value.flow_count_max,
        tunnel_address=(
            IPv4Address(value.tunnel_address) if value.tunnel_address != _NO_ADDRESS else None
        ),
        replicator_address=(
            IPv4Address(value.replicator_address)
            if value.replicator_address != _NO_ADDRESS
            else None
        ),
        qos_id=QosId(value.qos),
        priority_tags=bool(value.options & abi.InterfaceOptions.PRIORITY_TAGS),
        rated_sent=bool(value.options & abi.InterfaceOptions.RATE_SENT),
        rated_received=bool(value.options & abi.InterfaceOptions.RATE_RECEIVED),
        packet_mode=bool(value.options & abi.InterfaceOptions.PACKET_MODE),
        merges_flows=bool(value.options & abi.InterfaceOptions.FAT),
        folds_flows=bool(value.options & abi.InterfaceOptions.FOLDS),
        is_layer2=bool(value.options & abi.InterfaceOptions.LAYER2),
        is_layer3=bool(value.options & abi.InterfaceOptions.LAYER3),
        asks_members=bool(value.options & abi.InterfaceOptions.ASKS_MEMBERS),
        lets_dhcp_by=bool(value.options & abi.InterfaceOptions.LETS_DHCP_BY),
        learns=bool(value.options & abi.InterfaceOptions.LEARNS),
        macs_full=bool(value.options & abi.InterfaceOptions.MACS_FULL),
        checks_ends=bool(value.options & abi.InterfaceOptions.CHECKS_ENDS),
        learns_addresses=bool(value.options & abi.InterfaceOptions.LEARNS_ADDRESSES),
        is_host_side=bool(value.options & abi.InterfaceOptions.HOST_SIDE),
    )


def _tag(value: abi.Interface) -> Tag:
    is_chain = value.flags & abi.InterfaceFlags.TAGGED
    return Tag(value.vlan, Mac(value.tag_source) if is_chain else None)


def tunnel_end_entry(row: TunnelEndRow) -> Entry:
    return row.address.packed, u32(0)


def tunnel_end_row(key: bytes, value: bytes) -> TunnelEndRow:
    del value
    return TunnelEndRow(ip_address(key))


def seen_mac_entry(row: SeenMacRow) -> Entry:
    """Return the entry of a learnt MAC, which has sent nothing since as far as the row says."""
    return abi.MacSeenKey(row.vif_id, row.mac.packed).pack(), bytes(8)


def seen_mac_row(key: bytes, value: bytes) -> SeenMacRow:
    del value
    where = abi.MacSeenKey.unpack(key)
    return SeenMacRow(VifId(where.vif), Mac(where.mac))


def source_entry(row: SourceRow) -> Entry:
    return prefix_key(row.vif_id, row.prefix), row.mac.packed + bytes(2)


def source_row(key: bytes, value: bytes) -> SourceRow:
    vif_id, prefix = from_prefix_key(key)
    return SourceRow(vif_id=VifId(vif_id), prefix=prefix, mac=Mac(value[:6]))


def ones_complement_sum(header: bytes) -> int:
    """Folded 16-bit sum of a header as the kernel's (little-endian) program adds it."""
    total = sum(struct.unpack(f"<{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def outer_header(row: NextHopRow) -> bytes:
    """The outer headers of a tunnel with everything a packet decides left zero."""
    encapsulation = row.encapsulation
    destination = row.out_destination_mac.packed if row.out_destination_mac else _NO_MAC
    source = row.out_source_mac.packed if row.out_source_mac else _NO_MAC
    if isinstance(row.remote, IPv6Address) and isinstance(row.local, IPv6Address):
        # The datapath knows all else of it.
        header = destination + source + row.local.packed + row.remote.packed
        return header.ljust(abi.OUTER_HEADER_BYTES_MAX, b"\x00")
    protocol = 47 if encapsulation is Encapsulation.MPLS_GRE else 17
    ip = struct.pack(
        "!BBHHHBBH4s4s",
        0x45,
        0,
        0,
        0,
        _DONT_FRAGMENT,
        _OUTER_TTL,
        protocol,
        0,
        row.local.packed if row.local else _NO_ADDRESS,
        row.remote.packed if row.remote else _NO_ADDRESS,
    )
    match encapsulation:
        case Encapsulation.MPLS_UDP | Encapsulation.VXLAN:
            tunnel = struct.pack("!HHHH", 0, _UDP_PORT[encapsulation], 0, 0)
        case Encapsulation.MPLS_GRE:
            tunnel = bytes(2) + _GRE_PROTOCOL_MPLS
        case Encapsulation.NATIVE | None:
            # The addresses are only remembered: no header but Ethernet's is written.
            tunnel = b""
    header = destination + source + _IPV4_ETHERTYPE + ip + tunnel
    return header.ljust(abi.OUTER_HEADER_BYTES_MAX, b"\x00")


def tunnel_mtu_bytes(row: NextHopRow, link_mtu_bytes: int) -> int:
    """Largest IP packet that fits through the tunnel over a link of this MTU."""
    if row.encapsulation in (None, Encapsulation.NATIVE):
        return link_mtu_bytes
    outer = _OUTER_IP_BYTES if row.remote is None or row.remote.version == 4 else _OUTER_IP6_BYTES
    overhead = outer + _TUNNEL_BYTES[row.encapsulation]
    if row.layer2 or row.encapsulation is Encapsulation.VXLAN:
        overhead += _ETHERNET_BYTES
    return max(link_mtu_bytes - overhead, 0)


def nexthop_entry(row: NextHopRow, link_mtu_bytes: int) -> Entry:
    flags = 0
    if row.layer2:
        flags |= abi.NexthopFlags.LAYER2
    if row.out_destination_mac is not None:
        flags |= abi.NexthopFlags.RESOLVED
    if row.out_source_mac is not None:
        flags |= abi.NexthopFlags.HAS_SOURCE
    if row.local is not None:
        flags |= abi.NexthopFlags.HAS_LOCAL
    if row.remote is not None:
        flags |= abi.NexthopFlags.HAS_REMOTE
    if row.relays:
        flags |= abi.NexthopFlags.RELAYS
    if row.is_routed:
        flags |= abi.NexthopFlags.ROUTED
    if isinstance(row.remote, IPv6Address):
        if not isinstance(row.local, IPv6Address) or row.encapsulation is None:
            raise ValueError(f"next hop {row.nexthop_id} cannot lead over IPv6: {row}")
        flags |= abi.NexthopFlags.OUTER6
    header = bytes(abi.OUTER_HEADER_BYTES_MAX)
    if row.kind is NextHopKind.TUNNEL:
        header = outer_header(row)
    value = abi.Nexthop(
        kind=row.kind,
        encapsulation=row.encapsulation or 0,
        flags=flags,
        vif=row.vif_id,
        vrf=row.vrf_id,
        out_ifindex=row.out_ifindex,
        mtu=tunnel_mtu_bytes(row, link_mtu_bytes),
        outer_checksum=ones_complement_sum(header[_ETHERNET_BYTES : _ETHERNET_BYTES + 20]),
        header=header,
    )
    return u32(row.nexthop_id), value.pack()


def _outer_end(
    header: bytes, flags: int, which: abi.NexthopFlags
) -> IPv4Address | IPv6Address | None:
    is_remote = which is abi.NexthopFlags.HAS_REMOTE
    if not flags & which:
        return None
    if flags & abi.NexthopFlags.OUTER6:
        start = 28 if is_remote else 12
        return IPv6Address(header[start : start + 16])
    start = 30 if is_remote else 26
    return IPv4Address(header[start : start + 4])


def nexthop_row(
    nexthop_id: int,
    raw: bytes,
    members: tuple[tuple[NextHopId, int], ...] = (),
    shares: tuple[int, ...] = (),
    omitted: int = 0,
) -> NextHopRow:
    value = abi.Nexthop.unpack(raw)
    header = value.header
    flags = value.flags
    return NextHopRow(
        nexthop_id=NextHopId(nexthop_id),
        kind=NextHopKind(value.kind),
        vif_id=VifId(value.vif),
        vrf_id=VrfId(value.vrf),
        layer2=bool(flags & abi.NexthopFlags.LAYER2),
        encapsulation=Encapsulation(value.encapsulation) if value.encapsulation else None,
        local=_outer_end(header, flags, abi.NexthopFlags.HAS_LOCAL),
        remote=_outer_end(header, flags, abi.NexthopFlags.HAS_REMOTE),
        out_ifindex=value.out_ifindex,
        out_source_mac=Mac(header[6:12]) if flags & abi.NexthopFlags.HAS_SOURCE else None,
        out_destination_mac=Mac(header[:6]) if flags & abi.NexthopFlags.RESOLVED else None,
        members=members,
        shares=shares,
        omitted=omitted,
        is_routed=bool(flags & abi.NexthopFlags.ROUTED),
        relays=bool(flags & abi.NexthopFlags.RELAYS),
    )


def ecmp_entry(row: NextHopRow) -> Entry:
    if len(row.members) > abi.ECMP_MEMBERS_MAX:
        raise ValueError(
            f"next hop {row.nexthop_id} has {len(row.members)} members, at most "
            f"{abi.ECMP_MEMBERS_MAX} are possible"
        )
    packed = b"".join(abi.EcmpMember(nexthop, label).pack() for nexthop, label in row.members)
    size = abi.ECMP_MEMBERS_MAX * abi.ECMP_MEMBER_LAYOUT.size
    shares = b"".join(map(u32, row.shares))
    members = abi.EcmpMembers(
        used=len(row.members),
        omitted=row.omitted,
        member=packed.ljust(size, b"\x00"),
        share=shares.ljust(abi.ECMP_MEMBERS_MAX * 4, b"\x00"),
    )
    return u32(row.nexthop_id), members.pack()


def ecmp_of(raw: bytes) -> tuple[tuple[tuple[NextHopId, int], ...], tuple[int, ...], int]:
    """Return members, their shares, and the fields left out."""
    value = abi.EcmpMembers.unpack(raw)
    listed: Iterable[tuple[int, int]] = abi.ECMP_MEMBER_LAYOUT.iter_unpack(value.member)
    members = tuple((NextHopId(nexthop), label) for nexthop, label in listed)[: value.used]
    words = [value.share[at : at + 4] for at in range(0, 4 * value.used, 4)]
    shares = tuple(map(from_u32, words))
    return members, shares if any(shares) else (), value.omitted


def _route_value(
    nexthop_id: int, label: int, identity: int, mac: Mac | None, bits: int = 0
) -> bytes:
    return abi.Route(
        label=label,
        identity=identity,
        nexthop=nexthop_id,
        has_mac=mac is not None,
        bits=bits,
        mac=mac.packed if mac else _NO_MAC,
    ).pack()


def route_entry(row: InetRouteRow) -> Entry:
    bits = row.prefix.prefixlen
    value = _route_value(row.nexthop_id, row.label, row.identity, row.mac, bits)
    return prefix_key(row.vrf_id, row.prefix), value


def route_row(key: bytes, raw: bytes) -> InetRouteRow:
    vrf_id, prefix = from_prefix_key(key)
    value = abi.Route.unpack(raw)
    return InetRouteRow(
        vrf_id=VrfId(vrf_id),
        prefix=prefix,
        nexthop_id=NextHopId(value.nexthop),
        label=value.label,
        identity=IdentityId(value.identity),
        mac=Mac(value.mac) if value.has_mac else None,
    )


def bridge_entry(row: BridgeRow) -> Entry:
    key = abi.BridgeKey(vrf=row.vrf_id, mac=row.mac.packed).pack()
    return key, _route_value(row.nexthop_id, row.label, row.identity, None)


def bridge_row(key: bytes, raw: bytes) -> BridgeRow:
    where = abi.BridgeKey.unpack(key)
    value = abi.Route.unpack(raw)
    return BridgeRow(
        vrf_id=VrfId(where.vrf),
        mac=Mac(where.mac),
        nexthop_id=NextHopId(value.nexthop),
        label=value.label,
        identity=IdentityId(value.identity),
    )


def bgp_service_entry(row: BgpServiceRow) -> Entry:
    key = abi.BgpServiceKey(vif=row.vif_id, address=row.address.packed)
    value = abi.BgpService(
        control=row.control.packed,
        out_ifindex=row.out_ifindex,
        source_port=row.source_port.to_bytes(2, "big"),
    )
    return key.pack(), value.pack()


def bgp_service_row(key: bytes, raw: bytes) -> BgpServiceRow:
    where, value = abi.BgpServiceKey.unpack(key), abi.BgpService.unpack(raw)
    return BgpServiceRow(
        vif_id=VifId(where.vif),
        address=IPv4Address(where.address),
        control=IPv4Address(value.control),
        source_port=int.from_bytes(value.source_port, "big"),
        out_ifindex=value.out_ifindex,
    )


def flood_entry(row: FloodRow) -> Entry:
    flags = abi.FloodFlags.UNKNOWN if row.floods_unknown else 0
    flags |= abi.FloodFlags.SNOOPS if row.snoops else 0
    return abi.FloodKey(row.vrf_id, _ALL_GROUPS, _ALL_GROUPS).pack(), _flood(row, flags)


def _flood(row: FloodRow | GroupRow, flags: int) -> bytes:
    if len(row.members) > abi.FLOOD_MEMBERS_MAX:
        raise ValueError(
            f"VRF {row.vrf_id} has {len(row.members)} members, at most {abi.FLOOD_MEMBERS_MAX} fit"
        )
    packed = b"".join(abi.EcmpMember(nexthop, label).pack() for nexthop, label in row.members)
    size = abi.FLOOD_MEMBERS_MAX * abi.ECMP_MEMBER_LAYOUT.size
    value = abi.Flood(
        used=len(row.members),
        flags=flags,
        beyond=row.beyond_count,
        member=packed.ljust(size, b"\x00"),
    )
    return value.pack()


def flood_row(key: bytes, raw: bytes) -> FloodRow:
    value = abi.Flood.unpack(raw)
    unknown = bool(value.flags & abi.FloodFlags.UNKNOWN)
    snoops = bool(value.flags & abi.FloodFlags.SNOOPS)
    vrf_id = VrfId(abi.FloodKey.unpack(key).vrf)
    return FloodRow(vrf_id, _members(value), value.beyond, unknown, snoops)


def _members(value: abi.Flood) -> tuple[tuple[NextHopId, int], ...]:
    members: Iterable[tuple[int, int]] = abi.ECMP_MEMBER_LAYOUT.iter_unpack(value.member)
    return tuple((NextHopId(nexthop), label) for nexthop, label in members)[: value.used]


def group_entry(row: GroupRow) -> Entry:
    packed = [b"" if each is None else each.packed for each in (row.group, row.source)]
    group, source = (each.ljust(16, b"\x00") for each in packed)
    if row.group is None:
        source = _OTHER_GROUPS
    return abi.FloodKey(row.vrf_id, group, source).pack(), _flood(row, abi.FloodFlags.GROUP)


def is_of_group(key: bytes) -> bool:
    """Tell whether a list of members is a group's."""
    return any(abi.FloodKey.unpack(key).source) or any(abi.FloodKey.unpack(key).group)


def group_row(key: bytes, raw: bytes) -> GroupRow:
    where, value = abi.FloodKey.unpack(key), abi.Flood.unpack(raw)
    is_v6 = where.group[0] == _IPV6_MULTICAST
    return GroupRow(
        VrfId(where.vrf),
        _group_address(where.group, is_v6=is_v6),
        None if where.source == _OTHER_GROUPS else _group_address(where.source, is_v6=is_v6),
        _members(value),
        value.beyond,
    )


def _group_address(packed: bytes, *, is_v6: bool) -> IpAddress | None:
    if not any(packed):
        return None
    return ip_address(packed if is_v6 else packed[:4])


def label_entry(row: LabelRow) -> Entry:
    return u32(row.label), u32(row.nexthop_id)


def label_row(key: bytes, value: bytes) -> LabelRow:
    return LabelRow(label=from_u32(key), nexthop_id=NextHopId(from_u32(value)))


def vni_entry(row: VniRow) -> Entry:
    return u32(row.vni), u32(row.nexthop_id)


def vni_row(key: bytes, value: bytes) -> VniRow:
    return VniRow(vni=from_u32(key), nexthop_id=NextHopId(from_u32(value)))


def policy_identity_entry(row: PolicyIdentityRow) -> Entry:
    key = abi.PolicyIdentityKey(policy=row.policy_id, identity=row.identity).pack()
    return key, u32(row.identity_class)


def policy_identity_row(key: bytes, value: bytes) -> PolicyIdentityRow:
    where = abi.PolicyIdentityKey.unpack(key)
    return PolicyIdentityRow(
        policy_id=PolicyId(where.policy),
        identity=IdentityId(where.identity),
        identity_class=from_u32(value),
    )


def policy_prefix_entry(row: PolicyPrefixRow) -> Entry:
    return prefix_key(row.policy_id, row.prefix), u32(row.prefix_class)


def policy_prefix_row(key: bytes, value: bytes) -> PolicyPrefixRow:
    policy_id, prefix = from_prefix_key(key)
    return PolicyPrefixRow(
        policy_id=PolicyId(policy_id), prefix=prefix, prefix_class=from_u32(value)
    )


def verdict_entry(row: VerdictRow) -> Entry:
    key = abi.VerdictKey(
        prefixlen=_VERDICT_FIXED_BITS + row.port_bits,
        policy=row.policy_id.to_bytes(4, "big"),
        identity_class=row.identity_class.to_bytes(2, "big"),
        prefix_class=row.prefix_class.to_bytes(2, "big"),
        protocol=row.protocol.to_bytes(2, "big"),
        port=row.port.to_bytes(2, "big"),
    )
    value = abi.Verdict(
        rule=row.rule_id,
        source_cell=row.source_cell,
        action=row.action,
        vrf=row.vrf_id,
        qos=row.qos_id,
        mirror=row.mirror_id,
    )
    return key.pack(), value.pack()


def verdict_row(key: bytes, raw: bytes) -> VerdictRow:
    where = abi.VerdictKey.unpack(key)
    value = abi.Verdict.unpack(raw)
    return VerdictRow(
        policy_id=PolicyId(int.from_bytes(where.policy, "big")),
        identity_class=int.from_bytes(where.identity_class, "big"),
        prefix_class=int.from_bytes(where.prefix_class, "big"),
        protocol=int.from_bytes(where.protocol, "big"),
        port=int.from_bytes(where.port, "big"),
        port_bits=where.prefixlen - _VERDICT_FIXED_BITS,
        action=Action(value.action),
        rule_id=RuleId(value.rule),
        source_cell=value.source_cell,
        vrf_id=VrfId(value.vrf),
        qos_id=QosId(value.qos),
        mirror_id=MirrorId(value.mirror),
    )


def source_port_entry(row: SourcePortRow) -> Entry:
    key = abi.SourcePortKey(
        prefixlen=_SOURCE_PORT_FIXED_BITS + row.port_bits,
        cell=row.cell.to_bytes(4, "big"),
        port=row.port.to_bytes(2, "big"),
    )
    value = abi.Verdict(
        rule=row.rule_id,
        source_cell=0,
        action=row.action,
        vrf=row.vrf_id,
        qos=row.qos_id,
        mirror=row.mirror_id,
    )
    return key.pack(), value.pack()


def source_port_row(key: bytes, raw: bytes) -> SourcePortRow:
    where = abi.SourcePortKey.unpack(key)
    value = abi.Verdict.unpack(raw)
    return SourcePortRow(
        cell=int.from_bytes(where.cell, "big"),
        port=int.from_bytes(where.port, "big"),
        port_bits=where.prefixlen - _SOURCE_PORT_FIXED_BITS,
        action=Action(value.action),
        rule_id=RuleId(value.rule),
        vrf_id=VrfId(value.vrf),
        qos_id=QosId(value.qos),
        mirror_id=MirrorId(value.mirror),
    )


def is_v4(prefix: IpNetwork) -> bool:
    match prefix:
        case IPv4Network():
            return True
        case IPv6Network():
            return False
