"""Refusals of the native API: every problem at once, each with the place it is at (RFC 9457, 6901).

``Refused`` stays what the core raises; ``Unacceptable`` is one that knows more than one sentence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches
from http import HTTPStatus

import msgspec

from skytrail.api.documents import Document
from skytrail.api.refusal import Refused

MEDIA_TYPE = "application/problem+json"
PROBLEMS_COUNT_MAX = 100
"""A hostile body may be wrong in more places than anybody reads."""
_SUGGESTED_FROM_MAX = 2_000


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong; ``pointer`` is a JSON pointer into the request body."""

    pointer: str
    detail: str


class Unacceptable(Refused):
    """A refusal with its parts; ``more`` are further members of the problem document."""

    def __init__(
        self,
        status: int,
        text: str,
        problems: Sequence[Problem] = (),
        more: Document | None = None,
    ) -> None:
        super().__init__(status, text)
        self.problems = tuple(problems)
        self.more = more or {}

    def below(self, prefix: str, text: str) -> Unacceptable:
        """Return this refusal as part of a larger body."""
        moved = [Problem(prefix + each.pointer, each.detail) for each in self.problems]
        return Unacceptable(self.status, text + self.text, moved, self.more)


def invalid(problems: Sequence[Problem]) -> Unacceptable:
    """Return the 400 for a body with these problems."""
    first = problems[0]
    where = f"{first.pointer}: " if first.pointer else ""
    count = len(problems)
    rest = "" if count == 1 else f" (and {count - 1} more)"
    return Unacceptable(400, f"{where}{first.detail}{rest}", problems[:PROBLEMS_COUNT_MAX])


def document_of(refusal: Refused) -> Document:
    """Return the problem document of any refusal."""
    found: Document = {
        "type": "about:blank",
        "title": title_of(refusal.status),
        "status": refusal.status,
        "detail": refusal.text,
    }
    if isinstance(refusal, Unacceptable):
        if refusal.problems:
            found["errors"] = [{"pointer": p.pointer, "detail": p.detail} for p in refusal.problems]
        found.update(refusal.more)
    return found


def title_of(status: int) -> str:
    """Return the standard's name of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def pointer(*keys: str | int) -> str:
    """Return the JSON pointer of a path of keys."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a suggestion with a leading blank, empty when nothing is close.

    Nothing is suggested out of very many words: looking at all would cost too much.
    """
    if len(known) > _SUGGESTED_FROM_MAX or len(word) > 256:
        return ""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names as a sentence part, cut after ``most``."""
    all_names = list(names)
    text = ", ".join(all_names[:most])
    return text if len(all_names) <= most else f"{text} and {len(all_names) - most} more"
