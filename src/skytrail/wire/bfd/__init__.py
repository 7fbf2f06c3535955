"""Bidirectional forwarding detection (RFC 5880): packets, and one session without sockets."""

from __future__ import annotations

from skytrail.wire.bfd.packet import (
    BfdError,
    BfdPacket,
    BfdState,
    Diagnostic,
    decode_bfd,
    encode_bfd,
)
from skytrail.wire.bfd.session import BfdChange, BfdSession, BfdSettings

__all__ = [
    "BfdChange",
    "BfdError",
    "BfdPacket",
    "BfdSession",
    "BfdSettings",
    "BfdState",
    "Diagnostic",
    "decode_bfd",
    "encode_bfd",
]
