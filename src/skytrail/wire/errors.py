"""The one error every decoder raises."""

from __future__ import annotations


class DecodeError(Exception):
    """Input that is not what its protocol allows; nothing was changed by reading it.

    ``offset`` is the byte position where it stopped making sense, 0 when unknown; ``rfc`` names
    the violated clause (``"RFC 2131 section 3"``) or is empty.
    """

    def __init__(self, reason: str, offset: int = 0, rfc: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.rfc = rfc

    def __str__(self) -> str:
        clause = f" ({self.rfc})" if self.rfc else ""
        return f"{self.reason} at offset {self.offset}{clause}"
