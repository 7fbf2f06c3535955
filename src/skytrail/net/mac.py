"""The Ethernet address value type."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAC_TEXT = re.compile(r"[0-9A-Fa-f]{1,2}([:-][0-9A-Fa-f]{1,2}){5}")
_MAC_BYTES = 6
_GROUP_BIT = 0x01


@dataclass(frozen=True, slots=True, order=True)
class Mac:
    """A 48-bit Ethernet address, ordered by its bytes. ``ValueError`` unless exactly 6 bytes."""

    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != _MAC_BYTES:
            raise ValueError(f"{self.packed!r} is not a MAC address: expected 6 bytes")

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Read six hexadecimal bytes separated by ``:`` or ``-``; ``ValueError`` otherwise."""
        if not _MAC_TEXT.fullmatch(text):
            raise ValueError(f"{text!r} is not a MAC address: expected six hexadecimal bytes")
        return cls(bytes(int(part, 16) for part in re.split("[:-]", text)))

    @property
    def is_group(self) -> bool:
        """True for broadcast and multicast addresses."""
        return bool(self.packed[0] & _GROUP_BIT)

    def __str__(self) -> str:
        return self.packed.hex(":")


GATEWAY_MAC = Mac.parse("00:00:5e:00:01:00")
"""What every vRouter answers for the gateway of a subnet, so that workloads may move."""
BROADCAST_MAC = Mac(b"\xff" * 6)
