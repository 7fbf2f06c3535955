"""Which member of a load-shared next hop a flow takes; ``bpf/include/share.h`` says the same.

Each member has a share: a number that every host computes alike, and that is the same for both sides
of a copy of a service. Mixed with a hash that is the same for both directions of a flow it gives the
member's weight, and the greatest weight wins (rendezvous hashing): forward and return traffic pass
the same copy, and a member that comes or goes takes no other member's flows along.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

COPY_LABEL_FIRST = 1 << 19
"""Labels from here on are of service copies: the left side has an even one, the right the next."""
COPY_SIDES = ("left", "right")
_SEED = 0x9E3779B97F4A7C15
_FACTOR = 0xFF51AFD7ED558CCD
_MASK = (1 << 64) - 1
_WORDS = struct.Struct("<4I")

IpAddress = IPv4Address | IPv6Address


def share_of(host: object, label: int) -> int:
    """Return what stands for one member everywhere: where it is, and which copy there."""
    copy = label & ~1 if label >= COPY_LABEL_FIRST else label
    return zlib.crc32(f"{host} {copy}".encode())


def flow_hash(ends: tuple[tuple[IpAddress, int], tuple[IpAddress, int]], protocol: int) -> int:
    """Hash a flow by its two (address, port) ends, in any order."""
    total = sum(_end(address, port) for address, port in ends) & _MASK
    return _mix(total, protocol)


def choose(weights: Sequence[int], hashed: int) -> int:
    """Return the index of the member a new flow takes, given all members' shares."""
    best = [(_mix(hashed, share) >> 32) | 1 for share in weights]
    return best.index(max(best))


def _end(address: IpAddress, port: int) -> int:
    hashed = _SEED
    for word in _WORDS.unpack(address.packed.ljust(16, b"\0")):
        hashed = _mix(hashed, word)
    return _mix(hashed, int.from_bytes(port.to_bytes(2, "big"), "little"))


def _mix(hashed: int, word: int) -> int:
    hashed = ((hashed ^ word) * _FACTOR) & _MASK
    return hashed ^ hashed >> 29
