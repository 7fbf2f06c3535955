"""Which project's part of analytics a caller may see who may not see all of it. Pure.

The compatible API's rules decide: whoever may read neither ports nor networks sees none of their traffic.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from skytrail.api import authorize, documents
from skytrail.api.caller import Caller
from skytrail.api.graph import View

_NEEDED: Final = ("virtual-network", "virtual-machine-interface")


def analytics_project(view: View, caller: Caller) -> str | None:
    """Return ``domain:project``; None where nothing may be seen."""
    record = None if caller.project is None else view.get(caller.project)
    if record is None or record.type_name != "project":
        return None
    may_read = all(authorize.judge_rule(view, caller, name, "R").allowed for name in _NEEDED)
    return ":".join(record.fq_name) if may_read else None


def project_since_us(view: View, caller: Caller) -> int:
    """Return since when there is the caller's project, in microseconds since 1970; 0 where there is none, or nobody knows."""
    record = None if caller.project is None else view.get(caller.project)
    permissions = {} if record is None else documents.section(record.body, "id_perms")
    try:
        made = datetime.fromisoformat(documents.text(permissions, "created") or "")
    except ValueError:
        return 0
    return max(0, round(made.replace(tzinfo=UTC).timestamp() * 1e6))


def may_acknowledge(view: View, caller: Caller) -> bool:
    """Whether a project's member may say of its alarms that they were seen: who may change what they are of."""
    return analytics_project(view, caller) is not None and all(
        authorize.judge_rule(view, caller, name, "U").allowed for name in _NEEDED
    )
