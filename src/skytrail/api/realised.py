"""How far the last change of each of many objects has come, in one word. Pure.

The first stage that is not reached gives the word: it failed, is waited for, or nothing is known of
it. Where all are reached, the object is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from skytrail.api.documents import Document
from skytrail.api.graph import Record, View
from skytrail.api.hosts import need_of
from skytrail.api.problem import listed
from skytrail.api.refusal import bad_request
from skytrail.api.status import Told
from skytrail.api.unseen_names import Eyes
from skytrail.model.validate import shown

LOOKED_AT_COUNT_MAX = 2_000_000
"""Objects that one list may look at: a group that every port has leads to all of them."""


class Realised(IntEnum):
    """In the order of who needs looking after."""

    FAILED = 0
    PENDING = 1
    UNKNOWN = 2
    DONE = 3


_WORDS = {each.name.lower(): each for each in Realised}


def words_of(text: str) -> frozenset[Realised]:
    """Read words separated by commas; Refused 400 with those there are."""
    words = [word for word in text.split(",") if word]
    for word in words:
        if word not in _WORDS:
            raise bad_request(f"realised={shown(word)}: it is {listed(tuple(_WORDS))}")
    if not words:
        raise bad_request(f"realised names what to select: {listed(tuple(_WORDS))}")
    return frozenset(_WORDS[word] for word in words)


def realised_of(conditions: Sequence[Document]) -> Realised:
    """Return the word for an object's conditions, which are in the order of stages."""
    for each in conditions:
        if each["status"] == "true":
            continue
        if each["status"] == "unknown":
            return Realised.UNKNOWN
        return Realised.PENDING if each["reason"] == "pending" else Realised.FAILED
    return Realised.DONE


@dataclass(slots=True)
class Judge:
    """Judges one object after the other, as one caller may see; Refused 400 when that is too much."""

    view: View
    told: Told
    machines: Mapping[str, set[str]]
    eyes: Eyes | None
    looked_at_count: int = 0

    def of(self, record: Record) -> Realised:
        need = need_of(self.view, record, self.machines)
        self.looked_at_count += need.looked_at_count
        if self.looked_at_count > LOOKED_AT_COUNT_MAX:
            raise bad_request(
                "Too many objects have to do with these to tell how far all have come: narrow the"
                " list with filter= or parent="
            )
        return realised_of(self.told.conditions(record, need, self.eyes))
