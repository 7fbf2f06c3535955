"""Records of sessions as a kernel would write them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skytrail.agent import abi
from skytrail.agent.session_batch import RECORD, SessionBatch, SessionEvent


def batch_of(events: Sequence[SessionEvent]) -> SessionBatch:
    """Return events as a batch of records; what a record cannot hold raises ``struct.error``."""
    raw = b"".join(map(_packed, events))
    return SessionBatch(np.frombuffer(raw, RECORD) if raw else np.zeros(0, RECORD))


def _packed(event: SessionEvent) -> bytes:
    source_bits, destination_bits = (
        [each.prefixlen for each in event.folded] if event.folded else (0, 0)
    )
    key = abi.FlowKey6(
        source=event.source.packed.ljust(16, b"\0"),
        destination=event.destination.packed.ljust(16, b"\0"),
        source_port=event.source_port.to_bytes(2, "big"),
        destination_port=event.destination_port.to_bytes(2, "big"),
        vif=event.vif_id,
        protocol=event.protocol,
        direction=(0 if event.is_opened_here else abi.FlowDirection.FROM_UNDERLAY)
        | (abi.FlowDirection.FOLDED if event.folded else 0),
    )
    return abi.SessionEvent(
        time_ns=event.time_ns,
        created_ns=event.created_ns,
        pair=event.pair,
        rule=event.rule_id,
        identity=event.identity,
        source_bits=source_bits,
        destination_bits=destination_bits,
        nexthop=event.nexthop_id,
        peer_vif=event.peer_vif_id,
        kind=event.kind,
        family=event.source.version,
        flags=0,
        drop_reason=abi.DropReason[event.drop_reason] if event.drop_reason else 0,
        key=key.pack(),
        packets_0=event.packets[0],
        packets_1=event.packets[1],
        bytes_0=event.bytes[0],
        bytes_1=event.bytes[1],
    ).pack()
