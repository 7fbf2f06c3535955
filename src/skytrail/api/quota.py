"""How many objects of a kind a project may have."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.graph import Record


def quota_limit(project: Record, name: str) -> int | None:
    """Return the limit for a member of the project's quota; None when there is none."""
    quota = documents.section(project.body, "quota")
    limit = documents.number(quota, name)
    if limit is None:
        limit = documents.number(quota, "defaults")
    return None if limit is None or limit < 0 else limit
