"""What the embedded engine's native code says as it starts, kept from the terminal of who starts it.

It writes to standard error itself. Of what is known to mean nothing here the log has a line at debug; the rest is a warning, and when the
start fails all of it is shown as it was. Should the process die amid its start, the text stays in the file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import structlog

MadeT = TypeVar("MadeT")

CHARACTERS_MAX: Final = 4_000
"""Of what is logged."""
_ERRORS: Final = 2
"""The descriptor of standard error."""
_NO_CGROUPS: Final = re.compile(
    r"^Cannot use cgroups reader: .*?(?:\(version [^)\n]*\)\s*|\Z)", re.MULTILINE | re.DOTALL
)
"""Where no file of a cgroup tells how much memory there is: the engine asks the machine then. A stack trace follows."""


def heard(make: Callable[[], MadeT], place: Path) -> tuple[MadeT, str]:
    """Return what is made, and what was written to standard error meanwhile, in a file at ``place``.

    Nothing else of the process should write there at that time.
    """
    sys.stderr.flush()
    kept = os.dup(_ERRORS)
    try:
        with place.open("w+b") as file:
            os.dup2(file.fileno(), _ERRORS)
            try:
                made = make()
            except BaseException:
                os.dup2(kept, _ERRORS)
                os.write(_ERRORS, place.read_bytes())
                raise
            finally:
                os.dup2(kept, _ERRORS)
            said = place.read_bytes().decode(errors="replace")
    finally:
        os.close(kept)
    place.unlink()
    return made, said


def tell(said: str) -> None:
    """Log what an engine that started said."""
    log = structlog.get_logger("skytrail.analytics.history")
    rest = _NO_CGROUPS.sub("", said).strip()
    if _NO_CGROUPS.search(said):
        log.debug("engine_without_cgroups", text=said[:CHARACTERS_MAX])
    if rest:
        log.warning("engine_said", text=rest[:CHARACTERS_MAX])
