"""How one process tells another that it asks on behalf of a project's member: this narrows what is shown, never widens it."""

from __future__ import annotations

from typing import Final

PROJECT_HEADER: Final = "x-skytrail-project"
"""The full name of the project, ``domain:project``, percent-encoded UTF-8."""
SINCE_HEADER: Final = "x-skytrail-project-since"
"""Since when there is the project, in microseconds since 1970: what is older is another's of the same name."""
USER_HEADER: Final = "x-skytrail-user"
"""Who it is that asks, percent-encoded UTF-8; it is noted beside what he does, and decides nothing."""
