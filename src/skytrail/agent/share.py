"""Which member of a load-shared next hop a flow takes; ``bpf/include/share.h`` says the same.

Each member has a share: a number that every host computes alike, and that is the same for both sides
of a copy of a service. Mixed with a hash that is the same for both directions of a flow it gives the
member's weight, and the greatest weight wins (rendezvous hashing): forward and return traffic pass
the same copy, and a member that comes or goes takes no other member's flows along.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address

COPY_LABEL_FIRST = 1 << 19
"""Labels from here on are of service copies: the left side has an even one, the right the next."""
COPY_SIDES = ("left", "right")
_SEED = 0x9E3779B97F4A7C15
_FACTOR = 0xFF51AFD7ED558CCD
_MASK = (1 << 64) - 1
_WORDS = struct.Struct("<4I")
HASH_FIELDS = {
    "l3-source-address": 128,
    "l3-destination-address": 64,
    "l4-protocol": 32,
    "l4-source-port": 16,
    "l4-destination-port": 8,
}
"""Fields of a flow that choose its member, as routes name them and the kernel numbers them."""
FIELD_HASH = "field-hash"
_ALL_FIELDS = sum(HASH_FIELDS.values())
_END_FIELDS = ((128, 16), (64, 8))

IpAddress = IPv4Address | IPv6Address


def share_of(host: object, label: int) -> int:
    """Return what stands for one member everywhere: where it is, and which copy there."""
    copy = label & ~1 if label >= COPY_LABEL_FIRST else label
    return zlib.crc32(f"{host} {copy}".encode())


def flow_hash(
    ends: tuple[tuple[IpAddress, int], tuple[IpAddress, int]], protocol: int, omitted: int = 0
) -> int:
    """Hash a flow by its (address, port) ends, the sender's first; in any order if none is omitted."""
    total = 0
    for (address, port), (of_address, of_port) in zip(ends, _END_FIELDS, strict=True):
        words = bytes(16) if omitted & of_address else address.packed.ljust(16, b"\0")
        total += _end(words, 0 if omitted & of_port else port)
    return _mix(total & _MASK, 0 if omitted & HASH_FIELDS["l4-protocol"] else protocol)


def omitted_of(fields: Collection[str]) -> int:
    """Return what a route's load balance fields leave out; without any, nothing is left out."""
    if not fields:
        return 0
    known = {HASH_FIELDS[name] for name in fields if name in HASH_FIELDS}
    return _ALL_FIELDS & ~sum(known) if known else 0


def fields_of(omitted: int) -> tuple[str, ...]:
    """Return the names of the fields that count; none when all do."""
    if not omitted:
        return ()
    return tuple(name for name, field in HASH_FIELDS.items() if not omitted & field)


def choose(weights: Sequence[int], hashed: int) -> int:
    """Return the index of the member a new flow takes, given all members' shares."""
    best = [(_mix(hashed, share) >> 32) | 1 for share in weights]
    return best.index(max(best))


def _end(address: bytes, port: int) -> int:
    hashed = _SEED
    for word in _WORDS.unpack(address):
        hashed = _mix(hashed, word)
    return _mix(hashed, int.from_bytes(port.to_bytes(2, "big"), "little"))


def _mix(hashed: int, word: int) -> int:
    hashed = ((hashed ^ word) * _FACTOR) & _MASK
    return hashed ^ hashed >> 29
