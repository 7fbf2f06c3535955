"""Rows of quality of service and of flows' settings to kernel map entries and back; as ``ebpf_rows`` in everything."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterable

from skytrail.agent import abi
from skytrail.agent.io.ebpf_rows import Entry, from_u32, u32
from skytrail.agent.tables import (
    AgeingRow,
    FatFlowRow,
    FlowShareRow,
    QosId,
    QosMapRow,
    QosMark,
    RateRow,
    VifId,
)

_NANOSECONDS = 1_000_000_000
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
