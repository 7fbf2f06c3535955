"""Rows of quality of service and of flows' settings to kernel map entries and back; as ``ebpf_rows`` in everything."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from skytrail.agent import abi
from skytrail.agent.io.ebpf_rows import Entry, from_u32, u32
from skytrail.agent.tables import (
    AgeingRow,
    FatFlowRow,
    FlowShareRow,
    FoldRow,
    IpNetwork,
    QosId,
    QosMapRow,
    QosMark,
    RateRow,
    VifId,
)

_NANOSECONDS = 1_000_000_000
_ADDRESS_BYTES = 16
_UNMARKED = abi.QosMark(0, abi.QOS_UNMARKED, 0, 0).pack()


def qos_map_entry(row: QosMapRow) -> Entry:
    value = abi.QosMap(
        dscp=_packed(row.dscp, abi.QOS_DSCP_COUNT),
        vlan=_packed(row.vlan, abi.QOS_VLAN_COUNT),
        exp=_packed(row.exp, abi.QOS_EXP_COUNT),
        has_exp=row.has_exp,
    )
    return u32(row.qos_id), value.pack()


def qos_map_row(key: bytes, raw: bytes) -> QosMapRow:
    value = abi.QosMap.unpack(raw)
    return QosMapRow(
        qos_id=QosId(from_u32(key)),
        dscp=_marks(value.dscp),
        vlan=_marks(value.vlan),
        exp=_marks(value.exp),
        has_exp=bool(value.has_exp),
    )


def rate_entry(row: RateRow) -> Entry:
    value = abi.Rate(
        bytes_per_s=row.bytes_per_s,
        burst_bytes=row.burst_bytes,
        byte_ns=(_NANOSECONDS << abi.RATE_SHIFT) // row.bytes_per_s,
        burst_ns=row.burst_bytes * _NANOSECONDS // row.bytes_per_s,
        due_ns=0,
    )
    return u32(row.vif_id * 2 + row.is_received), value.pack()


def rate_row(key: bytes, raw: bytes) -> RateRow:
    vif_id, is_received = divmod(from_u32(key), 2)
    value = abi.Rate.unpack(raw)
    return RateRow(VifId(vif_id), bool(is_received), value.bytes_per_s, value.burst_bytes)


def fat_flow_entry(row: FatFlowRow) -> Entry:
    key = abi.FatKey(row.vif_id, row.port.to_bytes(2, "big"), row.protocol)
    return key.pack(), u32(1)


def fat_flow_row(key: bytes, raw: bytes) -> FatFlowRow:
    del raw
    where = abi.FatKey.unpack(key)
    return FatFlowRow(VifId(where.vif), where.protocol, int.from_bytes(where.port, "big"))


def fold_entry(row: FoldRow) -> Entry:
    prefixes = [each for each in (row.own, row.far) if each is not None]
    (own, own_mask), (far, far_mask) = _prefix_words(row.own), _prefix_words(row.far)
    is_v6 = bool(prefixes) and prefixes[0].version == 6
    value = abi.Fold(
        own=own,
        own_mask=own_mask,
        far=far,
        far_mask=far_mask,
        own_kept=_mask(row.own_bits, is_v6=is_v6),
        far_kept=_mask(row.far_bits, is_v6=is_v6),
        own_bits=abi.FOLD_KEEPS_ALL if row.own_bits is None else row.own_bits,
        far_bits=abi.FOLD_KEEPS_ALL if row.far_bits is None else row.far_bits,
        family=prefixes[0].version if prefixes else 0,
    )
    key = abi.FoldKey(row.vif_id, row.port.to_bytes(2, "big"), row.protocol, row.number)
    return key.pack(), value.pack()


def fold_row(key: bytes, raw: bytes) -> FoldRow:
    where, value = abi.FoldKey.unpack(key), abi.Fold.unpack(raw)
    return FoldRow(
        vif_id=VifId(where.vif),
        protocol=where.protocol,
        port=int.from_bytes(where.port, "big"),
        number=where.number,
        own=_prefix(value.own, value.own_mask, value.family),
        far=_prefix(value.far, value.far_mask, value.family),
        own_bits=fold_bits(value.own_bits),
        far_bits=fold_bits(value.far_bits),
    )


def fold_bits(bits: int) -> int | None:
    return None if bits == abi.FOLD_KEEPS_ALL else bits


def _mask(bits: int | None, *, is_v6: bool) -> bytes:
    """Return the mask of an address in four words; an IPv4 address is in the first."""
    if bits is None:
        return b"\xff" * _ADDRESS_BYTES
    width = 128 if is_v6 else 32
    mask = ((1 << width) - 1) ^ ((1 << (width - bits)) - 1)
    return mask.to_bytes(width // 8, "big").ljust(_ADDRESS_BYTES, b"\0")


def _prefix_words(prefix: IpNetwork | None) -> tuple[bytes, bytes]:
    if prefix is None:
        return bytes(_ADDRESS_BYTES), bytes(_ADDRESS_BYTES)
    is_v6 = isinstance(prefix, IPv6Network)
    address = prefix.network_address.packed.ljust(_ADDRESS_BYTES, b"\0")
    return address, _mask(prefix.prefixlen, is_v6=is_v6)


def _prefix(address: bytes, mask: bytes, family: int) -> IpNetwork | None:
    if not any(mask):
        return None
    bits = int.from_bytes(mask, "big").bit_count()
    if family == 4:
        return IPv4Network((address[:4], bits))
    return IPv6Network((address, bits))


def flow_share_entry(row: FlowShareRow) -> Entry:
    vifs = struct.pack(f"={abi.FLOW_SHARE_MEMBERS_MAX}I", *_padded(row.members))
    parts = 0 if row.parts_count == 1 else row.parts_count
    return u32(row.vif_id), abi.FlowShare(row.count_max, len(row.members), parts, vifs).pack()


def flow_share_row(key: bytes, raw: bytes) -> FlowShareRow:
    value = abi.FlowShare.unpack(raw)
    vifs = struct.unpack(f"={abi.FLOW_SHARE_MEMBERS_MAX}I", value.vif)[: value.used]
    members = tuple([VifId(each) for each in vifs])
    return FlowShareRow(VifId(from_u32(key)), members, value.limit, value.parts or 1)


def _padded(members: tuple[VifId, ...]) -> list[int]:
    if len(members) > abi.FLOW_SHARE_MEMBERS_MAX:
        raise ValueError(f"{len(members)} interfaces share flows: at most 32 can")
    return [*members, *[0] * (abi.FLOW_SHARE_MEMBERS_MAX - len(members))]


def ageing_entry(row: AgeingRow) -> Entry:
    key = abi.AgeingKey(row.port.to_bytes(2, "big"), row.protocol)
    return key.pack(), (row.idle_s * _NANOSECONDS).to_bytes(8, sys.byteorder)


def ageing_row(key: bytes, raw: bytes) -> AgeingRow:
    where = abi.AgeingKey.unpack(key)
    idle_s = int.from_bytes(raw, sys.byteorder) // _NANOSECONDS
    return AgeingRow(where.protocol, int.from_bytes(where.port, "big"), idle_s)


def _packed(marks: tuple[QosMark | None, ...], count: int) -> bytes:
    if len(marks) != count:
        raise ValueError(f"a QoS map has {len(marks)} entries where it has {count} marks")
    return b"".join(
        _UNMARKED
        if mark is None
        else abi.QosMark(mark.class_id, mark.dscp, mark.exp, mark.vlan_priority).pack()
        for mark in marks
    )


def _marks(raw: bytes) -> tuple[QosMark | None, ...]:
    listed: Iterable[tuple[int, int, int, int]] = abi.QOS_MARK_LAYOUT.iter_unpack(raw)
    return tuple([QosMark(*each) if each[1] != abi.QOS_UNMARKED else None for each in listed])
