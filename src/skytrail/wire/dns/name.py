r"""DNS names on the wire, with compression (RFC 1035 sections 2.3.4, 3.1 and 4.1.4).

A name is text in lower case without the final dot; the root is ``""``. Bytes of a label that
are no printable ASCII, and dots inside a label, are written as ``\DDD`` (RFC 1035 section 5.1).
"""

from __future__ import annotations

from skytrail.wire.errors import DecodeError

NAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63
_POINTER = 0xC0
_POINTER_OFFSET_MAX = 0x3FFF
_POINTERS_COUNT_MAX = NAME_BYTES_MAX // 2
"""As many as the longest name has labels: a name that needs more only costs its reader time."""
_RFC = "RFC 1035 section 4.1.4"


def decode_name(message: bytes, offset: int) -> tuple[str, int]:
    """Return the name at ``offset`` and the offset behind it.

    Pointers must go backwards, so that every chain of them ends, and are at most 127.
    """
    labels: list[str] = []
    total, behind, limit, pointers = 0, -1, offset, 0
    while True:
        if offset >= len(message):
            raise DecodeError("DNS name is cut short", offset, _RFC)
        length = message[offset]
        if length & _POINTER == _POINTER:
            if offset + 1 >= len(message):
                raise DecodeError("DNS name pointer is cut short", offset, _RFC)
            behind = offset + 2 if behind < 0 else behind
            target = int.from_bytes(message[offset : offset + 2]) & _POINTER_OFFSET_MAX
            if target >= limit:
                raise DecodeError("DNS name pointer does not go backwards", offset, _RFC)
            pointers += 1
            if pointers > _POINTERS_COUNT_MAX:
                raise DecodeError("DNS name is a chain of pointers", offset, _RFC)
            offset = limit = target
            continue
        if length > LABEL_BYTES_MAX:
            raise DecodeError(f"DNS label type {length >> 6} is unknown", offset, _RFC)
        offset += 1
        if length == 0:
            return ".".join(labels), offset if behind < 0 else behind
        total += length + 1
        if offset + length > len(message) or total >= NAME_BYTES_MAX:
            raise DecodeError("DNS name is too long", offset, _RFC)
        labels.append(_label_text(message[offset : offset + length]))
        offset += length


def encode_name(name: str, message: bytearray, offsets: dict[str, int]) -> None:
    """Append ``name`` to ``message``, pointing at suffixes already in ``offsets``.

    ``ValueError`` when a label or the name is too long.
    """
    rest = name
    while rest:
        known = offsets.get(rest)
        if known is not None:
            message += (_POINTER << 8 | known).to_bytes(2)
            return
        if len(message) <= _POINTER_OFFSET_MAX:
            offsets[rest] = len(message)
        label, _, rest = _split_label(rest)
        if not 0 < len(label) <= LABEL_BYTES_MAX:
            raise ValueError(f"{name!r} has an empty label or one beyond {LABEL_BYTES_MAX} bytes")
        message.append(len(label))
        message += label
    message.append(0)


def is_encodable_name(name: str) -> bool:
    """True when :func:`encode_name` accepts ``name``."""
    try:
        scratch = bytearray()
        encode_name(name, scratch, {})
    except ValueError:
        return False
    return len(scratch) <= NAME_BYTES_MAX


def normalise_name(text: str) -> str:
    """Configuration text to the form names have here: lower case, no final dot."""
    return text.strip().rstrip(".").lower()


def _label_text(label: bytes) -> str:
    parts: list[str] = []
    for byte in label.lower():
        plain = 0x21 <= byte <= 0x7E and byte not in b".\\"
        parts.append(chr(byte) if plain else f"\\{byte:03d}")
    return "".join(parts)


def _split_label(name: str) -> tuple[bytes, str, str]:
    """Take the first label off ``name``, undoing escapes."""
    label = bytearray()
    position = 0
    while position < len(name) and name[position] != ".":
        if name[position] == "\\":
            digits = name[position + 1 : position + 4]
            if len(digits) != 3 or not (digits.isascii() and digits.isdigit()) or int(digits) > 255:
                raise ValueError(f"{name!r} has a bad escape")
            label.append(int(digits))
            position += 4
            continue
        if not name[position].isascii():
            raise ValueError(f"{name!r} is not ASCII")
        label.append(ord(name[position]))
        position += 1
    rest = name[position + 1 :]
    if position < len(name) and not rest:
        raise ValueError(f"{name!r} ends in an empty label")
    return bytes(label), name[:position], rest
