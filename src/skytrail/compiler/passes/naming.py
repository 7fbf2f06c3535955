"""Whose objects a project's policies and ports may name in text. Pure.

A reference is judged by the API when it is made. A name in text is not, and whom it means, and to whom
that is shared, may change at any time: it is judged whenever it is read.
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.engine import View
from skytrail.model.generated.objects import (
    NetworkPolicy,
    Project,
    QosConfig,
    ServiceInstance,
    VirtualMachineInterface,
)

_LINK: Final = 1
"""The bit of an access number that lets others refer to an object."""
Holder = NetworkPolicy | VirtualMachineInterface
Named = QosConfig | ServiceInstance
KINDS: Final = frozenset({Project.type_name, QosConfig.type_name})
"""What is read, beside services."""


def marking(view: View, holder: Holder, name: str) -> bool:
    """Tell whether a QoS configuration is there, and the holder's to name."""
    found = view.by_name(QosConfig, tuple(name.split(":")))
    return found is not None and may_name(view, holder, found)


def may_name(view: View, holder: Holder, named: Named) -> bool:
    """Tell whether the object is of the holder's project, of nobody's, or shared with it for use."""
    if named.parent_type != Project.type_name or holder.parent_type != Project.type_name:
        # What is global is everybody's, and what is nobody's only an administrator writes.
        return True
    if holder.fq_name[:-1] == named.fq_name[:-1]:
        return True
    permissions = named.perms2
    if permissions is None:
        return False
    if (permissions.global_access or 0) & _LINK:
        return True
    project = _plain(holder.parent_uuid)
    found = view.get(Project, holder.parent_uuid) if holder.parent_uuid else None
    domain = _plain(found.parent_uuid) if found is not None else ""
    for share in permissions.share:
        kind, separator, tenant = (share.tenant or "").rpartition(":")
        mine = domain if separator and kind == "domain" else project
        if mine and _plain(tenant) == mine and (share.tenant_access or 0) & _LINK:
            return True
    return False


def _plain(uuid: str | None) -> str:
    return (uuid or "").replace("-", "")
