"""Whose objects the compiler lets users' objects name in text. Pure.

What a project may not name is treated, and reported, as what does not exist (ADR 0357). What hosts
read in text themselves a control node judges alike (``control/usable_names.py``).
"""

from __future__ import annotations

from typing import Final

from skytrail.compiler.engine import View
from skytrail.model import naming
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import Project, QosConfig, RoutingInstance, VirtualNetwork

KINDS: Final = frozenset({Project.type_name, QosConfig.type_name})
"""What is read of marks, beside their holder."""
INSTANCE_KINDS: Final = frozenset(
    {Project.type_name, RoutingInstance.type_name, VirtualNetwork.type_name}
)
"""What is read of routing instances, beside their holder."""


def may_mark(view: View, holder: ConfigObject, name: str) -> bool:
    """Tell whether a QoS configuration is there, and the holder's to name."""
    found = view.by_name(QosConfig, tuple(name.split(":")))
    return found is not None and may_name(view, holder, found)


def may_use_instance(view: View, holder: ConfigObject, name: str) -> bool:
    """Tell whether a routing instance is there, and its network the holder's to name."""
    parts = tuple(name.split(":"))
    if view.by_name(RoutingInstance, parts) is None:
        return False
    network = view.by_name(VirtualNetwork, parts[:-1])
    return network is None or may_name(view, holder, network)


def may_copy_into(view: View, holder: ConfigObject, name: str) -> bool:
    """Tell whether copies may go to a routing instance, which may be made later."""
    network = view.by_name(VirtualNetwork, tuple(name.split(":"))[:-1])
    return network is None or may_name(view, holder, network)


def may_name(view: View, holder: ConfigObject, named: ConfigObject) -> bool:
    """Tell whether the object is of the holder's project, of nobody's, or shared with it for use."""
    is_of_project = holder.parent_type == Project.type_name and holder.parent_uuid is not None
    project = view.get(Project, holder.parent_uuid or "") if is_of_project else None
    return naming.may_name(holder, named, project)
