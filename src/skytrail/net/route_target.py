"""The route target: which routing instances a route may enter (RFC 4360 section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.net.administrator import format_administrator, pack_administrator

_SUBTYPE_ROUTE_TARGET = 0x02
_PACKED_BYTES = 8
_PREFIX = "target:"


@dataclass(frozen=True, slots=True, order=True)
class RouteTarget:
    """An extended community of sub-type 2, kept as its eight wire bytes.

    ``ValueError`` when the bytes are no transitive route target.
    """

    packed: bytes

    def __post_init__(self) -> None:
        kinds = range(3)
        if (
            len(self.packed) != _PACKED_BYTES
            or self.packed[0] not in kinds
            or self.packed[1] != _SUBTYPE_ROUTE_TARGET
        ):
            raise ValueError(f"{self.packed.hex()} is not a route target")

    @classmethod
    def parse(cls, text: str) -> RouteTarget:
        """Read ``target:<AS or IPv4 address>:<number>``; ``ValueError`` names the bad text."""
        if not text.startswith(_PREFIX):
            raise ValueError(f"{text!r} is not a route target: expected target:<AS|IPv4>:<number>")
        kind, value = pack_administrator(text.removeprefix(_PREFIX), whole=text)
        return cls(bytes((kind, _SUBTYPE_ROUTE_TARGET)) + value)

    def __str__(self) -> str:
        return _PREFIX + format_administrator(self.packed[0], self.packed[2:])
