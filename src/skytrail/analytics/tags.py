"""Names of tags, which hosts know by number, and sessions' columns of tags by them. Pure.

A number is a type's 16 bits and a value's. The host tells what a workload had at that moment; the name is put in when the
row comes, so that what is stored stays true when the tag is renamed, deleted, or its number given to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, cast

from skytrail.wire.errors import DecodeError

COLUMNS: Final = ("deployment", "tier", "application", "site", "labels", "custom_tags")
TOLD: Final = {"tags": "", "remote_tags": "remote_"}
"""Columns that hosts tell, numbers as ``0x00010005 0x00000003``, and how the stored ones begin."""
SEPARATOR: Final = ";"
"""Between labels or custom tags of one workload."""
FORMER_COUNT_MAX: Final = 10_000
TAGS_COUNT_MAX: Final = 64
"""Of one workload."""
_CUSTOM: Final = COLUMNS.index("custom_tags")
_KINDS: Final[Mapping[int, int]] = {
    number: COLUMNS.index(name)
    for number, name in enumerate(("labels", "application", "tier", "deployment", "site"))
}
_VALUE_BITS: Final = 16
_NUMBER_MAX: Final = (1 << 32) - 1

_Texts = tuple[str, ...]
_NONE: Final[_Texts] = ("",) * len(COLUMNS)


class TagNames:
    """Which number stands for which tag, as configuration says."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        """By a tag's uuid."""
        self._names: dict[int, tuple[str, str]] = {}
        """By number: uuid and full name."""
        self._former: dict[int, str] = {}
        """Of tags that are gone: sessions that had them are still told for a while."""

    def put(self, uuid: str, document: Mapping[str, object]) -> None:
        """Take over a ``tag`` object; one without a number names nothing."""
        self.delete(uuid)
        fq_name = document.get("fq_name")
        try:
            number = int(str(document.get("tag_id")), 16)
        except ValueError:
            return
        if isinstance(fq_name, list):
            self._numbers[uuid] = number
            self._names[number] = uuid, ":".join(map(str, cast("list[object]", fq_name)))
            self._former.pop(number, None)

    def delete(self, uuid: str) -> None:
        """Forget a tag; its number keeps its name until another tag has it."""
        number = self._numbers.pop(uuid, None)
        if number is None or self._names[number][0] != uuid:
            return
        self._former[number] = self._names.pop(number)[1]
        if len(self._former) > FORMER_COUNT_MAX:
            del self._former[next(iter(self._former))]

    def name(self, number: int) -> str:
        """Return a tag's full name; its number, as it is told, when nobody knows it."""
        if number in self._names:
            return self._names[number][1]
        return self._former.get(number, f"0x{number:08x}")

    def columns(self, told: Sequence[str]) -> list[list[str]]:
        """Return ``COLUMNS`` of a told column; ``DecodeError`` when it holds no numbers.

        O(rows), and what is to be read is read once per distinct text.
        """
        known: dict[str, _Texts] = {"": _NONE}
        for text in set(told) - known.keys():
            known[text] = self._texts(text)
        return [[known[text][index] for text in told] for index in range(len(COLUMNS))]

    def _texts(self, told: str) -> _Texts:
        if len(words := told.split()) > TAGS_COUNT_MAX:
            raise DecodeError(f"tags of a session are up to {TAGS_COUNT_MAX} numbers")
        found: list[list[str]] = [[] for _ in COLUMNS]
        for word in words:
            try:
                number = int(word, 16)
            except ValueError as error:
                raise DecodeError(
                    f"a session has a tag {word[:32]!r}, which is no number"
                ) from error
            if not 0 <= number <= _NUMBER_MAX:
                raise DecodeError(f"a session has a tag {word[:32]!r}, of more than 32 bits")
            found[_KINDS.get(number >> _VALUE_BITS, _CUSTOM)].append(self.name(number))
        return tuple(SEPARATOR.join(sorted(names)) for names in found)
