"""Which live tables of nodes an alarm rule has kept when its alarm is raised: an annotation of the object. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from skytrail.model.annotation_names import ALARM_COLLECT, annotations_of

PAGES_COUNT_MAX: Final = 8
"""Of one rule."""
_PAGE: Final = re.compile(r"[A-Za-z0-9-]{1,64}/[A-Za-z0-9_-]{1,64}")


class PagesUnusable(ValueError):
    """The annotation cannot be read; the text says why."""


def pages_of(document: Mapping[str, object]) -> tuple[str, ...]:
    """Return the pages an ``alarm`` object names, as ``agent/drops``; :class:`PagesUnusable`."""
    for key, value in annotations_of(document):
        if key == ALARM_COLLECT:
            return _read(str(value or ""))
    return ()


def _read(text: str) -> tuple[str, ...]:
    pages = tuple(dict.fromkeys(text.split()))
    wrong = [each for each in pages if not _PAGE.fullmatch(each)]
    if wrong:
        raise PagesUnusable(
            f"annotation {ALARM_COLLECT}: {wrong[0][:64]!r} is not PROCESS/TABLE, as in agent/drops"
        )
    if len(pages) > PAGES_COUNT_MAX:
        raise PagesUnusable(
            f"annotation {ALARM_COLLECT}: over {PAGES_COUNT_MAX} pages; leave some out"
        )
    return pages
