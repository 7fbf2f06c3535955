"""AS paths on the wire: two and four bytes for each number (RFC 4271, RFC 5065, RFC 6793)."""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.wire.bgp.attributes import AS_TRANS, AsSegment, AsSegmentKind

_NUMBERS_MAX = 255
_KINDS = {kind.value: kind for kind in AsSegmentKind}
_CONFEDERATION = frozenset((AsSegmentKind.CONFED_SEQUENCE, AsSegmentKind.CONFED_SET))


def read_as_path(value: bytes, width: int, *, confederations: bool = True) -> tuple[AsSegment, ...]:
    """Read segments of ``width``-byte numbers; ``ValueError`` as RFC 7606 section 7.2 lists.

    Without ``confederations`` their segments are dropped, as AS4_PATH wants (RFC 6793 section 6).
    """
    segments: list[AsSegment] = []
    position, end = 0, len(value)
    while position < end:
        if end - position < 2:
            raise ValueError("one byte left after the last segment")
        kind, count = _KINDS.get(value[position]), value[position + 1]
        following = position + 2 + count * width
        if kind is None:
            raise ValueError(f"unknown segment type {value[position]}")
        if count == 0:
            raise ValueError("empty segment")
        if following > end:
            raise ValueError("segment runs over the end")
        numbers = tuple(
            int.from_bytes(value[at : at + width]) for at in range(position + 2, following, width)
        )
        if 0 in numbers:
            raise ValueError("AS 0 (RFC 7607)")
        if confederations or kind not in _CONFEDERATION:
            segments.append(AsSegment(kind, numbers))
        position = following
    return tuple(segments)


def write_as_path(path: Iterable[AsSegment], width: int) -> bytes:
    """Return the path with ``width``-byte numbers, AS_TRANS for those that do not fit.

    Segments of more than 255 numbers are divided; ``ValueError`` for numbers no path may hold.
    """
    limit = 1 << (8 * width)
    chunks: list[bytes] = []
    for segment in path:
        for start in range(0, len(segment.numbers), _NUMBERS_MAX):
            numbers = segment.numbers[start : start + _NUMBERS_MAX]
            if any(not 0 < number <= 0xFFFF_FFFF for number in numbers):
                raise ValueError(f"{segment!r} holds what is no AS number")
            chunks.append(bytes((segment.kind, len(numbers))))
            chunks += [
                (number if number < limit else AS_TRANS).to_bytes(width) for number in numbers
            ]
    return b"".join(chunks)


def needs_four_bytes(path: Iterable[AsSegment]) -> bool:
    """Tell whether an old speaker would lose a number of this path."""
    return any(number > 0xFFFF for segment in path for number in segment.numbers)


def without_confederations(path: Iterable[AsSegment]) -> tuple[AsSegment, ...]:
    return tuple(segment for segment in path if segment.kind not in _CONFEDERATION)


def merge_as4_path(
    path: tuple[AsSegment, ...], as4_path: tuple[AsSegment, ...]
) -> tuple[AsSegment, ...]:
    """Restore the path an old speaker shortened to two bytes (RFC 6793 section 4.2.3).

    The leading numbers that AS4_PATH does not cover come from AS_PATH. An AS4_PATH longer than
    the path is ignored.
    """
    surplus = _counted(path) - _counted(as4_path)
    if surplus < 0:
        return path
    leading: list[AsSegment] = []
    for segment in path:
        if segment.kind in _CONFEDERATION:
            # Reached only as the first segment or next to one taken whole.
            leading.append(segment)
            continue
        if surplus == 0:
            break
        is_set = segment.kind is AsSegmentKind.SET
        numbers = segment.numbers if is_set else segment.numbers[:surplus]
        leading.append(AsSegment(segment.kind, numbers))
        surplus -= 1 if is_set else len(numbers)
        if len(numbers) < len(segment.numbers):
            break
    return _joined(leading, as4_path)


def _counted(path: Iterable[AsSegment]) -> int:
    """Count as best path selection does: a set is one, confederation segments nothing."""
    count = 0
    for segment in path:
        if segment.kind is AsSegmentKind.SEQUENCE:
            count += len(segment.numbers)
        elif segment.kind is AsSegmentKind.SET:
            count += 1
    return count


def _joined(leading: list[AsSegment], rest: tuple[AsSegment, ...]) -> tuple[AsSegment, ...]:
    """Concatenate; two sequences that meet become one when it holds both."""
    if leading and rest:
        last, first = leading[-1], rest[0]
        both = AsSegmentKind.SEQUENCE
        if last.kind is both and first.kind is both:
            numbers = last.numbers + first.numbers
            if len(numbers) <= _NUMBERS_MAX:
                return (*leading[:-1], AsSegment(both, numbers), *rest[1:])
    return (*leading, *rest)
