"""What quality of service does to a traced packet, as steps for people. Pure.

A trace tells no DSCP: it is that of a packet with none, and how many other values are of another class.
"""

from __future__ import annotations

from collections.abc import Iterator

from skytrail.agent.lookup import Tables
from skytrail.agent.tables import InterfaceRow, QosId, QosMark, VifId

Step = tuple[str, str, str]
"""Stage, question, answer."""
_KILOBIT_BYTES = 125


def sent_steps(tables: Tables, row: InterfaceRow, by_rule: QosId, *, stays: bool) -> Iterator[Step]:
    """Yield what a workload's packet is up to; ``stays``: it is for a workload of this host."""
    yield from _rate_steps(tables, row.vif_id, is_received=False)
    qos_id = by_rule or row.qos_id
    if not qos_id or stays:
        return
    found = tables.qos_maps.get(qos_id)
    question = f"configuration {qos_id} of the {'rule' if by_rule else 'network or interface'}"
    if found is None:
        yield "marking", question, "no row: not marked"
        return
    plain = found.dscp[0]
    others = sum(mark != plain for mark in found.dscp)
    more = f"; another class for {others} values of DSCP" if others else ""
    yield "marking", question, f"without DSCP: {_mark_text(plain)}{more}"


def received_steps(tables: Tables, vif_id: VifId) -> Iterator[Step]:
    yield from _rate_steps(tables, vif_id, is_received=True)


def _rate_steps(tables: Tables, vif_id: VifId, *, is_received: bool) -> Iterator[Step]:
    row = tables.rates.get((vif_id, is_received))
    if row is not None:
        kbps = row.bytes_per_s // _KILOBIT_BYTES
        way = "received" if is_received else "sent"
        answer = f"up to {kbps} kbit/s, bursts of {row.burst_bytes} bytes; beyond is dropped"
        yield "rate", f"vif {vif_id} {way}", answer


def _mark_text(mark: QosMark | None) -> str:
    if mark is None:
        return "no such forwarding class: not marked"
    return (
        f"class {mark.class_id}: DSCP {mark.dscp} EXP {mark.exp} VLAN priority {mark.vlan_priority}"
    )
