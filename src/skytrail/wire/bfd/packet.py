"""Control packets (RFC 5880 section 4.1), without authentication."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

BYTES = 24
VERSION = 1
_LAYOUT = struct.Struct("!BBBBIIIII")
_DIAGNOSTIC_MASK = 0x1F
_POLL, _FINAL, _INDEPENDENT, _AUTHENTICATED, _DEMAND, _MULTIPOINT = 32, 16, 8, 4, 2, 1


class BfdError(ValueError):
    """A packet to be discarded (section 6.8.6)."""


class BfdState(enum.IntEnum):
    ADMIN_DOWN = 0
    DOWN = 1
    INIT = 2
    UP = 3


class Diagnostic(enum.IntEnum):
    """Why a session went down; others stay numbers."""

    NONE = 0
    DETECTION_TIME_EXPIRED = 1
    NEIGHBOR_SIGNALED_DOWN = 3
    ADMINISTRATIVELY_DOWN = 7


@dataclass(frozen=True, slots=True)
class BfdPacket:
    """Intervals are microseconds."""

    state: BfdState
    my_discriminator: int
    your_discriminator: int
    multiplier: int
    desired_min_tx_us: int
    required_min_rx_us: int
    diagnostic: int = Diagnostic.NONE
    poll: bool = False
    final: bool = False
    is_independent: bool = False
    """BFD does not share the fate of the control plane."""
    demand: bool = False


def encode_bfd(packet: BfdPacket) -> bytes:
    flags = (
        packet.state << 6
        | packet.poll * _POLL
        | packet.final * _FINAL
        | packet.is_independent * _INDEPENDENT
        | packet.demand * _DEMAND
    )
    return _LAYOUT.pack(
        VERSION << 5 | packet.diagnostic,
        flags,
        packet.multiplier,
        BYTES,
        packet.my_discriminator,
        packet.your_discriminator,
        packet.desired_min_tx_us,
        packet.required_min_rx_us,
        0,
    )


def decode_bfd(chunk: bytes) -> BfdPacket:
    """Read a packet; :class:`BfdError` for one that section 6.8.6 wants discarded."""
    if len(chunk) < BYTES:
        raise BfdError(f"{len(chunk)} bytes")
    first, flags, multiplier, length, mine, yours, tx, rx, _ = _LAYOUT.unpack_from(chunk)
    state = BfdState(flags >> 6)
    if first >> 5 != VERSION:
        raise BfdError(f"version {first >> 5}")
    if not BYTES <= length <= len(chunk):
        raise BfdError(f"length {length} in {len(chunk)} bytes")
    if flags & _AUTHENTICATED:
        raise BfdError("authenticated, and no key is configured")
    if not multiplier or flags & _MULTIPOINT or not mine:
        raise BfdError("no multiplier, no discriminator or multipoint")
    if not yours and state not in {BfdState.DOWN, BfdState.ADMIN_DOWN}:
        raise BfdError("names no session")
    return BfdPacket(
        state=state,
        my_discriminator=mine,
        your_discriminator=yours,
        multiplier=multiplier,
        desired_min_tx_us=tx,
        required_min_rx_us=rx,
        diagnostic=first & _DIAGNOSTIC_MASK,
        poll=bool(flags & _POLL),
        final=bool(flags & _FINAL),
        is_independent=bool(flags & _INDEPENDENT),
        demand=bool(flags & _DEMAND),
    )
