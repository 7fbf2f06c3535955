"""How one process tells another that it asks on behalf of a project's member: this narrows what is shown, never widens it."""

from __future__ import annotations

from typing import Final

PROJECT_HEADER: Final = "x-skytrail-project"
"""The full name of the project, ``domain:project``, percent-encoded UTF-8."""
