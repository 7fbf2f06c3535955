"""The one error of this protocol, shaped as the NOTIFICATION it leads to, and its code points."""

from __future__ import annotations

import enum


class ErrorCode(enum.IntEnum):
    """NOTIFICATION error codes (RFC 4271 section 4.5, RFC 7313 section 5)."""

    HEADER = 1
    OPEN = 2
    UPDATE = 3
    HOLD_TIMER = 4
    STATE_MACHINE = 5
    CEASE = 6
    ROUTE_REFRESH = 7


class HeaderError(enum.IntEnum):
    """RFC 4271 section 6.1."""

    NOT_SYNCHRONIZED = 1
    BAD_LENGTH = 2
    BAD_TYPE = 3


class OpenError(enum.IntEnum):
    """RFC 4271 section 6.2, RFC 5492 section 5."""

    UNSPECIFIC = 0
    UNSUPPORTED_VERSION = 1
    BAD_PEER_AS = 2
    BAD_IDENTIFIER = 3
    UNSUPPORTED_PARAMETER = 4
    UNACCEPTABLE_HOLD_TIME = 6
    UNSUPPORTED_CAPABILITY = 7


class UpdateError(enum.IntEnum):
    """RFC 4271 section 6.3."""

    MALFORMED_ATTRIBUTE_LIST = 1
    UNRECOGNIZED_WELL_KNOWN = 2
    MISSING_WELL_KNOWN = 3
    ATTRIBUTE_FLAGS = 4
    ATTRIBUTE_LENGTH = 5
    INVALID_ORIGIN = 6
    INVALID_NEXT_HOP = 8
    OPTIONAL_ATTRIBUTE = 9
    INVALID_NETWORK = 10
    MALFORMED_AS_PATH = 11


class StateMachineError(enum.IntEnum):
    """RFC 6608: a message that has no place in the present state."""

    UNSPECIFIED = 0
    IN_OPEN_SENT = 1
    IN_OPEN_CONFIRM = 2
    IN_ESTABLISHED = 3


class Cease(enum.IntEnum):
    """RFC 4486 section 4, RFC 8538 section 3, RFC 9384."""

    UNSPECIFIC = 0
    MAX_PREFIXES = 1
    ADMINISTRATIVE_SHUTDOWN = 2
    PEER_DECONFIGURED = 3
    ADMINISTRATIVE_RESET = 4
    CONNECTION_REJECTED = 5
    CONFIGURATION_CHANGE = 6
    COLLISION = 7
    OUT_OF_RESOURCES = 8
    HARD_RESET = 9
    BFD_DOWN = 10


class RefreshError(enum.IntEnum):
    """RFC 7313 section 5."""

    INVALID_LENGTH = 1


class BgpError(Exception):
    """Input that ends the session: answered with the NOTIFICATION (code, subcode, data).

    Anything milder (RFC 7606) is no exception; it shows in ``Update.problems``.
    """

    def __init__(self, code: int, subcode: int, data: bytes = b"", text: str = "") -> None:
        super().__init__(code, subcode, data, text)
        self.code = code
        self.subcode = subcode
        self.data = data
        self.text = text

    def __str__(self) -> str:
        return f"{self.text or 'protocol error'} ({self.code}/{self.subcode})"
