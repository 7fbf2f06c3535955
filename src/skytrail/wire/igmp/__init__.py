"""Who listens to which multicast group: IGMP (RFC 2236, 3376) and MLD (RFC 2710, 3810)."""

from skytrail.wire.igmp.message import (
    Record,
    RecordKind,
    decode_reports,
    encode_query,
)

__all__ = ["Record", "RecordKind", "decode_reports", "encode_query"]
