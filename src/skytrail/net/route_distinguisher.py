"""The route distinguisher: makes equal prefixes of two tenants different (RFC 4364 section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from skytrail.net.administrator import format_administrator, pack_administrator

_PACKED_BYTES = 8
_TYPE_ADDRESS = 1
_NUMBER_MAX = 0xFFFF


@dataclass(frozen=True, slots=True, order=True)
class RouteDistinguisher:
    """A distinguisher of type 0, 1 or 2, kept as its eight wire bytes."""

    packed: bytes

    def __post_init__(self) -> None:
        kinds = range(3)
        if len(self.packed) != _PACKED_BYTES or int.from_bytes(self.packed[:2]) not in kinds:
            raise ValueError(f"{self.packed.hex()} is not a route distinguisher")

    @classmethod
    def parse(cls, text: str) -> RouteDistinguisher:
        """Read ``<AS or IPv4 address>:<number>``; ``ValueError`` names the bad text."""
        kind, value = pack_administrator(text, whole=text)
        return cls(kind.to_bytes(2) + value)

    @classmethod
    def of_address(cls, address: IPv4Address, number: int) -> RouteDistinguisher:
        """Return the type 1 distinguisher; ``ValueError`` unless ``number`` fits 16 bits."""
        if not 0 <= number <= _NUMBER_MAX:
            raise ValueError(f"{number} is not in 0..{_NUMBER_MAX}")
        return cls(_TYPE_ADDRESS.to_bytes(2) + address.packed + number.to_bytes(2))

    def __str__(self) -> str:
        return format_administrator(int.from_bytes(self.packed[:2]), self.packed[2:])
