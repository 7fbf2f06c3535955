"""Which kernel maps hold which rows, and the writes that touch more than one map."""

from __future__ import annotations

import errno
import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address
from itertools import chain
from typing import TypeVar

from skytrail.agent import abi
from skytrail.agent.io import ebpf_mirror_rows as mirror_codec
from skytrail.agent.io import ebpf_nat_rows as nat_codec
from skytrail.agent.io import ebpf_qos_rows as qos_codec
from skytrail.agent.io import ebpf_rows as rows_codec
from skytrail.agent.io.bpf_syscall import BpfMap
from skytrail.agent.io.ebpf_rows import U32, Entry, from_u32, is_v4, u32, vlan_key
from skytrail.agent.tables import (
    AgeingRow,
    BgpServiceRow,
    BridgeRow,
    FatFlowRow,
    FloatingPortRow,
    FloatingRow,
    FloodRow,
    FlowShareRow,
    FoldRow,
    GroupRow,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    LinkServiceRow,
    MirrorRow,
    NextHopKind,
    NextHopRow,
    PolicyIdentityRow,
    PolicyPrefixRow,
    PortMirrorRow,
    PortPoolRow,
    QosMapRow,
    RateRow,
    Row,
    SeenMacRow,
    SourcePortRow,
    SourceRow,
    TunnelEndRow,
    VerdictRow,
    VifId,
    VniRow,
)

RowT = TypeVar("RowT", bound=Row)

_DEFAULT_LINK_MTU = 1500
_NOTHING = u32(0)
_NO_SETTINGS = bytes(abi.SETTINGS_LAYOUT.size)
_BY_LINK = (NextHopKind.TUNNEL, NextHopKind.FABRIC)
"""Kinds whose largest packet is that of a link."""
_STRETCH_ELEMENTS = 64
_NO_ROOM = frozenset({errno.ENOSPC, errno.E2BIG, errno.ENOMEM})
"""A full trie, a full hash table, and no memory for an entry."""


def depends_flows(row: Row) -> bool:
    """True when live flows may have remembered something this row changes.

    Flows that a MAC decided remember nothing of it: they are decided again at every packet.
    """
    return not isinstance(
        row,
        BridgeRow
        | LabelRow
        | VniRow
        | FloodRow
        | GroupRow
        | BgpServiceRow
        | QosMapRow
        | RateRow
        | MirrorRow
        | PortMirrorRow
        | SeenMacRow
        | TunnelEndRow,
    )


class RowTables:
    """Reads and writes rows. Holds no truth of its own beyond a cache of tunnel next hops and
    link MTUs, which is rebuilt from the kernel.
    """

    def __init__(self, maps: Mapping[str, BpfMap]) -> None:
        self._maps = maps
        self._link_mtu: dict[int, int] = {}
        self._tunnels: dict[int, NextHopRow] = {}
        for interface in self._dump_interfaces():
            if interface.kind is InterfaceKind.UNDERLAY:
                for ifindex in (interface.ifindex, *interface.further_links):
                    self._link_mtu[ifindex] = interface.mtu_bytes
        for nexthop in self._dump_nexthops():
            if nexthop.kind in _BY_LINK:
                self._tunnels[nexthop.nexthop_id] = nexthop

    def put(self, rows: Sequence[Row]) -> list[Row]:
        """Install rows of one type; return those that there was no room for."""
        refused: list[Row] = []
        for row in rows:
            match row:
                case InterfaceRow():
                    write = partial(self._put_interface, row)
                case NextHopRow():
                    write = partial(self._put_nexthop, row)
                case _:
                    break
            if not _has_room(write):
                refused.append(row)
        else:
            return refused
        grouped: dict[str, list[tuple[Row, Entry]]] = {}
        for row in rows:
            name, entry = _encode(row)
            grouped.setdefault(name, []).append((row, entry))
        for name, written in grouped.items():
            bpf_map = self._maps[name]
            if not _has_room(partial(bpf_map.update_many, [entry for _, entry in written])):
                refused += [
                    row for row, entry in written if not _has_room(partial(bpf_map.update, *entry))
                ]
        return refused

    def remove(self, rows: Sequence[Row]) -> None:
        """Remove rows of one type; absent ones are passed over."""
        for row in rows:
            match row:
                case InterfaceRow():
                    self._remove_interface(row)
                case NextHopRow():
                    self._remove_nexthop(row)
                case _:
                    break
        else:
            return
        for bpf_map, batch in self._entries(rows):
            if bpf_map is self._maps["labels"]:
                bpf_map.update_many([(key, _NOTHING) for key, _ in batch])
            elif bpf_map is self._maps["mirrors"]:
                nothing = bytes(abi.MIRROR_LAYOUT.size)
                bpf_map.update_many([(key, nothing) for key, _ in batch])
            elif bpf_map is self._maps["port_pools"]:
                bpf_map.update_many([(key, bytes(len(value))) for key, value in batch])
            else:
                bpf_map.delete_many([key for key, _ in batch])

    def dump(self, row_type: type[Row]) -> Iterator[Row]:
        """Every installed row of a type."""
        if row_type is InterfaceRow:
            yield from self._dump_interfaces()
        elif row_type is NextHopRow:
            yield from self._dump_nexthops()
        elif row_type is PortPoolRow:
            for protocol, value in _array_values(self._maps["port_pools"], abi.PORT_POOL_LAYOUT):
                yield nat_codec.port_pool_row(protocol, value)
        elif row_type is LabelRow:
            for label, value in _array_values(self._maps["labels"], U32):
                yield rows_codec.label_row(u32(label), value)
        elif row_type is MirrorRow:
            for mirror_id, value in _array_values(self._maps["mirrors"], abi.MIRROR_LAYOUT):
                yield mirror_codec.mirror_row(mirror_id, value)
        else:
            names, decode = _DECODERS[row_type]
            of_group = row_type is GroupRow
            for name in names:
                for key, value in self._maps[name].items():
                    if name != "floods" or rows_codec.is_of_group(key) == of_group:
                        yield decode(key, value)

    def changes_flows(self, puts: Iterable[Row], deletes: Iterable[Row]) -> bool:
        """Tell, before they are written, whether live flows must be decided again."""
        if any(map(depends_flows, deletes)):
            return True
        return any(depends_flows(row) and not self._only_fills(row) for row in puts)

    def _only_fills(self, row: Row) -> bool:
        """Whether all it changes is that an interface learns no further MACs, or does again.

        No flow's concern, and a workload may bring it about as often as it likes.
        """
        present = self.interface_at(row.ifindex) if isinstance(row, InterfaceRow) else None
        return present is not None and replace(present, macs_full=not present.macs_full) == row

    def interface_at(self, ifindex: int) -> InterfaceRow | None:
        """The row of an interface index."""
        raw = self._ifindex_map(ifindex).lookup(u32(ifindex))
        vif_id = from_u32(raw) % abi.VIF_COUNT_MAX if raw else 0
        if not vif_id:
            return None
        value = self._maps["interfaces"].lookup(u32(vif_id))
        if value is None or not abi.Interface.unpack(value).kind:
            return None
        return self._with_links(rows_codec.interface_row(vif_id, value))

    def _with_links(self, row: InterfaceRow) -> InterfaceRow:
        """Add what only the way from link to interface tells: an underlay's further links."""
        if row.kind is not InterfaceKind.UNDERLAY:
            return row
        direct = _array_values(self._maps["ifindex_vif"], U32)
        high = ((from_u32(key), raw) for key, raw in self._maps["ifindex_vif_high"].items())
        links = {i for i, raw in chain(direct, high) if from_u32(raw) == row.vif_id}
        settings = abi.Settings.unpack(self._maps["settings"].lookup(_NOTHING) or _NO_SETTINGS)
        own6, copying6 = settings.tunnel_address6, settings.replicator_address6
        return replace(
            row,
            further_links=tuple(sorted(links - {row.ifindex})),
            tunnel_address6=IPv6Address(own6) if any(own6) else None,
            replicator_address=IPv6Address(copying6) if any(copying6) else row.replicator_address,
        )

    def _entries(self, rows: Iterable[Row]) -> list[tuple[BpfMap, list[Entry]]]:
        """Entries of single-map rows, grouped by the map they belong to."""
        grouped: dict[str, list[Entry]] = {}
        for row in rows:
            name, entry = _encode(row)
            grouped.setdefault(name, []).append(entry)
        return [(self._maps[name], entries) for name, entries in grouped.items()]

    def _ifindex_map(self, ifindex: int) -> BpfMap:
        direct = ifindex < abi.IFINDEX_DIRECT_MAX
        return self._maps["ifindex_vif" if direct else "ifindex_vif_high"]

    def _put_interface(self, row: InterfaceRow) -> None:
        key, value = rows_codec.interface_entry(row)
        before = self._interface(row.vif_id)
        if before is not None:
            links = {before.ifindex, *before.further_links} - {row.ifindex, *row.further_links}
            for ifindex in sorted(links):
                self._forget_ifindex(ifindex, row.vif_id)
            if before.tag is not None and before.ifindex != row.ifindex:
                self._forget_vlan(before)
        self._maps["interfaces"].update(key, value)
        if row.tag is not None:
            self._maps["vlans"].update(vlan_key(row), u32(row.vif_id))
            return
        number = row.vif_id | (abi.VIF_WATCHED if row.is_watched else 0)
        number |= abi.VIF_LEARNS if row.learns else 0
        self._ifindex_map(row.ifindex).update(u32(row.ifindex), u32(number))
        if row.kind is not InterfaceKind.UNDERLAY:
            return
        links = (row.ifindex, *row.further_links)
        for ifindex in links:
            self._link_mtu[ifindex] = row.mtu_bytes
            self._ifindex_map(ifindex).update(u32(ifindex), u32(row.vif_id))
        for nexthop in self._tunnels.values():
            if nexthop.out_ifindex in links:
                self._maps["nexthops"].update(*self._nexthop_entry(nexthop))

    def _interface(self, vif_id: VifId) -> InterfaceRow | None:
        raw = self._maps["interfaces"].lookup(u32(vif_id))
        if raw is None or not abi.Interface.unpack(raw).kind:
            return None
        return self._with_links(rows_codec.interface_row(vif_id, raw))

    def _forget_ifindex(self, ifindex: int, vif_id: VifId) -> None:
        """Unlink an index from an interface, unless another one has taken it over."""
        where = self._ifindex_map(ifindex)
        raw = where.lookup(u32(ifindex))
        if raw and from_u32(raw) % abi.VIF_COUNT_MAX == vif_id:
            where.update(u32(ifindex), u32(0))

    def _forget_vlan(self, row: InterfaceRow) -> None:
        if self._maps["vlans"].lookup(vlan_key(row)) == u32(row.vif_id):
            self._maps["vlans"].delete(vlan_key(row))

    def _remove_interface(self, row: InterfaceRow) -> None:
        if row.tag is not None:
            self._forget_vlan(row)
        else:
            for ifindex in (row.ifindex, *row.further_links):
                self._forget_ifindex(ifindex, row.vif_id)
        installed = self._interface(row.vif_id)
        if installed is not None and installed.ifindex == row.ifindex:
            self._maps["interfaces"].update(u32(row.vif_id), bytes(abi.INTERFACE_LAYOUT.size))

    def _nexthop_entry(self, row: NextHopRow) -> Entry:
        mtu = self._link_mtu.get(row.out_ifindex, _DEFAULT_LINK_MTU)
        return rows_codec.nexthop_entry(row, mtu)

    def _put_nexthop(self, row: NextHopRow) -> None:
        if row.kind is NextHopKind.ECMP:
            self._maps["ecmp_members"].update(*rows_codec.ecmp_entry(row))
        if row.kind in _BY_LINK:
            self._tunnels[row.nexthop_id] = row
        else:
            self._tunnels.pop(row.nexthop_id, None)
        self._maps["nexthops"].update(*self._nexthop_entry(row))

    def _remove_nexthop(self, row: NextHopRow) -> None:
        self._tunnels.pop(row.nexthop_id, None)
        self._maps["nexthops"].update(u32(row.nexthop_id), bytes(abi.NEXTHOP_LAYOUT.size))
        self._maps["ecmp_members"].delete(u32(row.nexthop_id))

    def _dump_interfaces(self) -> Iterator[InterfaceRow]:
        for vif_id, raw in _array_values(self._maps["interfaces"], abi.INTERFACE_LAYOUT):
            if abi.Interface.unpack(raw).kind:
                yield self._with_links(rows_codec.interface_row(vif_id, raw))

    def _dump_nexthops(self) -> Iterator[NextHopRow]:
        members = {
            from_u32(key): rows_codec.ecmp_of(value)
            for key, value in self._maps["ecmp_members"].items()
        }
        for nexthop_id, raw in _array_values(self._maps["nexthops"], abi.NEXTHOP_LAYOUT):
            if raw[0]:
                chosen, shares, omitted = members.get(nexthop_id, ((), (), 0))
                yield rows_codec.nexthop_row(nexthop_id, raw, chosen, shares, omitted)


def _has_room(write: Callable[[], None]) -> bool:
    """Write; tell whether the kernel had room for it."""
    try:
        write()
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return False
    return True


def _array_values(bpf_map: BpfMap, layout: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Elements of an array map that are not all zero, by mapping its memory."""
    size = (layout.size + 7) & ~7  # The kernel's stride.
    length = size * bpf_map.max_entries
    pages = (length + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
    with mmap.mmap(bpf_map.fd, pages, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as memory:
        snapshot = memory[:length]
    stretch = size * _STRETCH_ELEMENTS
    for start in range(0, length, stretch):
        part = snapshot[start : start + stretch]
        # Nearly all of a table is empty.
        if part.count(0) == len(part):
            continue
        for offset in range(0, len(part), size):
            raw = part[offset : offset + layout.size]
            if any(raw):
                yield (start + offset) // size, raw


def _encode(row: Row) -> tuple[str, Entry]:
    """Map name and entry of a row that lives in one map."""
    match row:
        case SourceRow():
            return ("sources4" if is_v4(row.prefix) else "sources6"), rows_codec.source_entry(row)
        case InetRouteRow():
            return ("routes4" if is_v4(row.prefix) else "routes6"), rows_codec.route_entry(row)
        case TunnelEndRow():
            name = "tunnel_ends4" if row.address.version == 4 else "tunnel_ends6"
            return name, rows_codec.tunnel_end_entry(row)
        case BridgeRow():
            return "bridges", rows_codec.bridge_entry(row)
        case BgpServiceRow():
            return "bgp_services", rows_codec.bgp_service_entry(row)
        case FloatingRow():
            return "floatings", nat_codec.floating_entry(row)
        case FloatingPortRow():
            return "floating_ports", nat_codec.floating_port_entry(row)
        case FatFlowRow():
            return "fat_flows", qos_codec.fat_flow_entry(row)
        case FoldRow():
            return "folds", qos_codec.fold_entry(row)
        case FlowShareRow():
            return "flow_shares", qos_codec.flow_share_entry(row)
        case SeenMacRow():
            return "macs_seen", rows_codec.seen_mac_entry(row)
        case AgeingRow():
            return "ageing", qos_codec.ageing_entry(row)
        case RateRow():
            return "rates", qos_codec.rate_entry(row)
        case QosMapRow():
            return "qos_maps", qos_codec.qos_map_entry(row)
        case MirrorRow():
            return "mirrors", mirror_codec.mirror_entry(row)
        case PortMirrorRow():
            return "port_mirrors", mirror_codec.port_mirror_entry(row)
        case LinkServiceRow():
            return "link_services", nat_codec.link_service_entry(row)
        case PortPoolRow():
            return "port_pools", nat_codec.port_pool_entry(row)
        case FloodRow():
            return "floods", rows_codec.flood_entry(row)
        case GroupRow():
            return "floods", rows_codec.group_entry(row)
        case LabelRow():
            return "labels", rows_codec.label_entry(row)
        case VniRow():
            return "vnis", rows_codec.vni_entry(row)
        case PolicyIdentityRow():
            return "policy_identities", rows_codec.policy_identity_entry(row)
        case PolicyPrefixRow():
            name = "policy_prefixes4" if is_v4(row.prefix) else "policy_prefixes6"
            return name, rows_codec.policy_prefix_entry(row)
        case VerdictRow():
            return "verdicts", rows_codec.verdict_entry(row)
        case SourcePortRow():
            return "source_ports", rows_codec.source_port_entry(row)
        case InterfaceRow() | NextHopRow():
            raise TypeError(f"{type(row).__name__} lives in several maps")


_DECODERS: Mapping[type[Row], tuple[tuple[str, ...], Callable[[bytes, bytes], Row]]] = {
    SourceRow: (("sources4", "sources6"), rows_codec.source_row),
    TunnelEndRow: (("tunnel_ends4", "tunnel_ends6"), rows_codec.tunnel_end_row),
    InetRouteRow: (("routes4", "routes6"), rows_codec.route_row),
    BridgeRow: (("bridges",), rows_codec.bridge_row),
    BgpServiceRow: (("bgp_services",), rows_codec.bgp_service_row),
    FloatingRow: (("floatings",), nat_codec.floating_row),
    FloatingPortRow: (("floating_ports",), nat_codec.floating_port_row),
    FatFlowRow: (("fat_flows",), qos_codec.fat_flow_row),
    FoldRow: (("folds",), qos_codec.fold_row),
    FlowShareRow: (("flow_shares",), qos_codec.flow_share_row),
    AgeingRow: (("ageing",), qos_codec.ageing_row),
    SeenMacRow: (("macs_seen",), rows_codec.seen_mac_row),
    RateRow: (("rates",), qos_codec.rate_row),
    QosMapRow: (("qos_maps",), qos_codec.qos_map_row),
    PortMirrorRow: (("port_mirrors",), mirror_codec.port_mirror_row),
    FloodRow: (("floods",), rows_codec.flood_row),
    LinkServiceRow: (("link_services",), nat_codec.link_service_row),
    GroupRow: (("floods",), rows_codec.group_row),
    VniRow: (("vnis",), rows_codec.vni_row),
    PolicyIdentityRow: (("policy_identities",), rows_codec.policy_identity_row),
    PolicyPrefixRow: (("policy_prefixes4", "policy_prefixes6"), rows_codec.policy_prefix_row),
    VerdictRow: (("verdicts",), rows_codec.verdict_row),
    SourcePortRow: (("source_ports",), rows_codec.source_port_row),
}
