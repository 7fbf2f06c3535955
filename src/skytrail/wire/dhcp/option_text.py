"""Option values as people write them, made bytes: the forms that options of both families have.

Every function raises ``ValueError`` that says what is wrong with the text; what it returns can be
sent as it is.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from skytrail.wire.dhcp.v4 import encode_classless_routes
from skytrail.wire.dns.name import encode_name, is_encodable_name, normalise_name

VALUE_BYTES_MAX = 1024
"""Of one option: messages have to fit a frame."""
_U8_MAX = 0xFF
_U16_MAX = 0xFFFF
_U32_MAX = 0xFFFF_FFFF
_NTP_ADDRESS = 1
_NTP_NAME = 3


class Form(enum.Enum):
    """How a value is written, and by that its bytes."""

    ADDRESS = "an IPv4 address"
    ADDRESSES = "IPv4 addresses"
    ADDRESS_PAIRS = "pairs of IPv4 addresses"
    ADDRESS6 = "an IPv6 address"
    ADDRESSES6 = "IPv6 addresses"
    BYTE = "a number up to 255"
    BYTE_ADDRESSES = "a number up to 255, then IPv4 addresses"
    BYTE_TEXT = "a number up to 255, then text"
    BYTES = "numbers up to 255"
    EMPTY = "nothing"
    FLAG = "0 or 1"
    I32 = "a number that fits 32 bits, or negative"
    NAME = "a domain name"
    NAMES = "domain names"
    NTP6 = "IPv6 addresses or domain names"
    ROUTES = "pairs of an IPv4 prefix and a gateway (0.0.0.0: the subnet's)"
    TEXT = "text"
    U16 = "a number up to 65535"
    U16S = "numbers up to 65535"
    U32 = "a number that fits 32 bits"


RAW_FORMS = frozenset(
    {Form.BYTES, Form.BYTE_TEXT, Form.TEXT, Form.NAME, Form.NAMES, Form.NTP6, Form.U16S}
)
"""Those whose value may be given as bytes instead."""


def encode_text(form: Form, text: str) -> bytes:
    """Return the bytes of a value that is written in a form."""
    value = _encode(form, text)
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"has {len(value)} bytes, at most {VALUE_BYTES_MAX} can be sent")
    return value


def encode_raw(text: str) -> bytes:
    """Return bytes that are written as decimal numbers, split at blanks."""
    return encode_text(Form.BYTES, text)


def parse_routes(text: str) -> tuple[tuple[IPv4Network, IPv4Address], ...]:
    """Return what a value of ``Form.ROUTES`` says."""
    words = _words(text, Form.ROUTES)
    if len(words) % 2:
        raise ValueError(f"must be {Form.ROUTES.value}: {words[-1]} has no gateway")
    return tuple(
        (_network(prefix), _address4(gateway))
        for prefix, gateway in zip(words[::2], words[1::2], strict=True)
    )


def _encode(form: Form, text: str) -> bytes:
    match form:
        case Form.ADDRESS | Form.ADDRESSES | Form.ADDRESS_PAIRS:
            return _addresses4(form, text)
        case Form.ADDRESS6 | Form.ADDRESSES6:
            words = _words(text, form, most=1 if form is Form.ADDRESS6 else None)
            return b"".join(_address6(word).packed for word in words)
        case Form.BYTE | Form.FLAG | Form.U16 | Form.U32 | Form.I32:
            (word,) = _words(text, form, most=1)
            return _number(form, word)
        case Form.BYTES:
            return bytes(_bounded(word, _U8_MAX) for word in _words(text, form))
        case Form.U16S:
            return b"".join(_bounded(word, _U16_MAX).to_bytes(2) for word in _words(text, form))
        case Form.BYTE_ADDRESSES | Form.BYTE_TEXT:
            head, _, rest = text.strip().partition(" ")
            first = _number(Form.BYTE, head)
            return first + _encode(
                Form.TEXT if form is Form.BYTE_TEXT else Form.ADDRESSES, rest.strip()
            )
        case Form.EMPTY:
            return b""
        case Form.TEXT:
            return _plain(text)
        case Form.NAME | Form.NAMES:
            words = _words(text, form, most=1 if form is Form.NAME else None)
            return b"".join(_name(word) for word in words)
        case Form.NTP6:
            return b"".join(_time_server(word) for word in _words(text, form))
        case Form.ROUTES:
            return encode_classless_routes(parse_routes(text))


def _words(text: str, form: Form, most: int | None = None) -> list[str]:
    words = text.replace(",", " ").split()
    if not words or (most is not None and len(words) > most):
        raise ValueError(f"must be {form.value}, not {text[:60]!r}")
    return words


def _addresses4(form: Form, text: str) -> bytes:
    words = _words(text, form, most=1 if form is Form.ADDRESS else None)
    if form is Form.ADDRESS_PAIRS and len(words) % 2:
        raise ValueError(f"must be {form.value}: there are {len(words)}")
    return b"".join(_address4(word).packed for word in words)


def _number(form: Form, word: str) -> bytes:
    match form:
        case Form.FLAG:
            flags = {"0": b"\0", "false": b"\0", "1": b"\1", "true": b"\1"}
            if word.lower() not in flags:
                raise ValueError(f"must be {form.value}, not {word[:60]!r}")
            return flags[word.lower()]
        case Form.I32 if word.startswith("-"):
            return (-_bounded(word[1:], 1 << 31)).to_bytes(4, signed=True)
        case Form.U32 | Form.I32:
            return _bounded(word, _U32_MAX).to_bytes(4)
        case Form.U16:
            return _bounded(word, _U16_MAX).to_bytes(2)
        case _:
            return bytes((_bounded(word, _U8_MAX),))


def _bounded(word: str, most: int) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 10) or int(word) > most:
        raise ValueError(f"must be a number up to {most}, not {word[:60]!r}")
    return int(word)


def _address4(word: str) -> IPv4Address:
    try:
        return IPv4Address(word)
    except ValueError:
        raise ValueError(f"must be an IPv4 address, not {word[:60]!r}") from None


def _address6(word: str) -> IPv6Address:
    try:
        address = IPv6Address(word)
    except ValueError:
        raise ValueError(f"must be an IPv6 address, not {word[:60]!r}") from None
    if address.scope_id is not None:
        raise ValueError(f"must be an IPv6 address without zone, not {word[:60]!r}")
    return address


def _network(word: str) -> IPv4Network:
    try:
        return IPv4Network(word, strict=False)
    except ValueError:
        raise ValueError(f"must be an IPv4 prefix, not {word[:60]!r}") from None


def _plain(text: str) -> bytes:
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"must be printable ASCII text, not {text[:60]!r}")
    return text.encode("ascii")


def _name(word: str) -> bytes:
    name = normalise_name(word)
    if not name or not is_encodable_name(name):
        raise ValueError(f"must be a domain name, not {word[:60]!r}")
    value = bytearray()
    encode_name(name, value, {})
    return bytes(value)


def _time_server(word: str) -> bytes:
    """A suboption of the NTP server option (RFC 5908)."""
    try:
        kind, value = _NTP_ADDRESS, _address6(word).packed
    except ValueError:
        if ":" in word:
            raise
        kind, value = _NTP_NAME, _name(word)
    return kind.to_bytes(2) + len(value).to_bytes(2) + value
