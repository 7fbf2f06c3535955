"""Whose objects one may name in text: the one judgement of the compiler and of control nodes. Pure.

A reference is judged by the API when it is made. A name in text is not, and whom it means, and to whom
that is shared, may change at any time: it is judged whenever it is read (ADR 0357, ADR 0411).
"""

from __future__ import annotations

from typing import Final

from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import Project

_LINK: Final = 1
"""The bit of an access number that lets others refer to an object."""
UNDERLAY: Final = ("default-domain", "default-project", "ip-fabric")
"""Network of the underlay: every host is in it, so sharing it says nothing."""


def may_name(holder: ConfigObject, named: ConfigObject, project: ConfigObject | None) -> bool:
    """Tell whether an object is of the holder's project, of nobody's, or shared with it for use.

    ``project`` is the holder's; while it is not known, what is shared with its domain is not.
    """
    if named.parent_type != Project.type_name or holder.parent_type != Project.type_name:
        # What is global is everybody's, and what is nobody's only an administrator writes.
        return True
    if holder.fq_name[:-1] == named.fq_name[:-1] or named.fq_name == UNDERLAY:
        return True
    permissions = named.perms2
    if permissions is None:
        return False
    if (permissions.global_access or 0) & _LINK:
        return True
    mine = _plain(holder.parent_uuid)
    domain = _plain(project.parent_uuid) if project is not None else ""
    for share in permissions.share:
        kind, separator, tenant = (share.tenant or "").rpartition(":")
        own = domain if separator and kind == "domain" else mine
        if own and _plain(tenant) == own and (share.tenant_access or 0) & _LINK:
            return True
    return False


def _plain(uuid: str | None) -> str:
    return (uuid or "").replace("-", "")
