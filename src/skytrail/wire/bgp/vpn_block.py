"""VPN routes with one label each, a whole field of them: bytes, not an object for each.

Nearly all routes of a full table come like this, and most readers only look each up and pass it
on. Fields whose routes are all of one length, as host routes are, are divided at C speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import or_

from skytrail.wire.bgp.nlri import VPN_KEY_IPV6, Nlri, vpn_from_wire
from skytrail.wire.bgp.nlri_reading import NlriError, unknown_distinguisher
from skytrail.wire.bgp.prefixes import masked

_BOTTOM = 1
_FRONT_BITS = 24 + 64
"""Label and distinguisher, which a route's length in bits includes."""
_LENGTHS = tuple(bytes((length,)) for length in range(256))
_USUAL_ENDS = bytes(range(_BOTTOM, 256, 16))
"""The last byte of a label field whose unused bits are as they should be."""
_KNOWN_TYPES = b"\0\1\2"


@dataclass(frozen=True, slots=True, eq=False)
class VpnBlock:
    """``keys`` and ``wires`` as ``VpnNlri`` has them, in order."""

    keys: list[bytes]
    wires: list[bytes]
    has_reserved_labels: bool
    """Some label is below 16, and nothing to send to a workload."""

    def routes(self) -> tuple[Nlri, ...]:
        """Make an object for each route."""
        return tuple(map(vpn_from_wire, self.keys, self.wires))


def read_vpn_block(data: bytes, limit: int, skipped: list[str]) -> VpnBlock:
    """Divide a field of VPN routes for prefixes of up to ``limit`` bits (32, or 128 for IPv6).

    Routes to pass over are named in ``skipped``; ``NlriError`` when it does not divide.
    """
    mark = 0 if limit == 32 else VPN_KEY_IPV6
    return _read_alike(data, limit, mark) or _read_each(data, limit, mark, skipped)


def _read_alike(data: bytes, limit: int, mark: int) -> VpnBlock | None:
    """Divide a field of routes of one length of whole bytes, none of them unusual; else ``None``.

    Each test looks at one byte of every route.
    """
    size = len(data)
    bits = data[0] if data else 0
    width = (bits >> 3) + 1
    if bits & 7 or size % width or not 0 <= bits - _FRONT_BITS <= limit:
        return None
    if (
        data[::width] != data[:1] * (size // width)
        or data[3::width].translate(None, _USUAL_ENDS)
        or data[4::width].strip(b"\0")
        or data[5::width].translate(None, _KNOWN_TYPES)
    ):
        return None
    head, rest = _LENGTHS[mark + bits - _FRONT_BITS], width - 4
    return VpnBlock(
        [head + data[at : at + rest] for at in range(4, size, width)],
        [data[at : at + width] for at in range(0, size, width)],
        0 in map(or_, data[1::width], data[2::width]),
    )


def _read_each(data: bytes, limit: int, mark: int, skipped: list[str]) -> VpnBlock:
    keys: list[bytes] = []
    wires: list[bytes] = []
    has_reserved_labels = False
    bits_max = _FRONT_BITS + limit
    position, end = 0, len(data)
    while position < end:
        bits = data[position]
        following = position + (bits + 15 >> 3)
        if not _FRONT_BITS <= bits <= bits_max or following > end:
            raise NlriError(f"VPN prefix of {bits} bits", position)
        wire = data[position:following]
        position = following
        if (wire[4] or wire[5] > 2) and (reason := unknown_distinguisher(wire[4:6])):
            skipped.append(reason)
            continue
        key = _LENGTHS[mark + bits - _FRONT_BITS] + wire[4:]
        if bits & 7:
            key = masked(key, bits)
            wire = wire[:4] + key[1:]
        if wire[3] & 0xF != _BOTTOM:
            # What follows the label's 20 bits means nothing here; we write it as it should be.
            wire = wire[:3] + bytes((wire[3] & 0xF0 | _BOTTOM,)) + wire[4:]
        if not wire[1] | wire[2]:
            has_reserved_labels = True
        keys.append(key)
        wires.append(wire)
    return VpnBlock(keys, wires, has_reserved_labels)
