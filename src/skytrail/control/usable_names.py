"""What hosts may not use is not told them: names in text that are not their holder's to name. Pure.

Hosts read two kinds of such names from users' objects themselves: what marks or copies the packets
a firewall rule lets through, and where a port's packets are copied to. The compiler judges all
other names, and reports these; whose they are to name is judged alike (``model/naming.py``), so a
share that is taken back ends the use of either at once (ADR 0411).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import (
    FirewallRule,
    Project,
    QosConfig,
    VirtualMachineInterface,
    VirtualNetwork,
)
from skytrail.model.generated.types import MirrorActionType
from skytrail.model.graph import ObjectGraph
from skytrail.model.naming import may_name

Name: TypeAlias = tuple[str, tuple[str, ...]]
"""Type and full name."""


class UsableNames:
    """Judges the names of a graph's objects; knows who depends on whom."""

    def __init__(self, graph: ObjectGraph) -> None:
        self._graph = graph
        self._holders: dict[Name, dict[str, None]] = {}
        """Uuids of the objects that name it, or whose project it is."""

    def follow(self, before: ConfigObject | None, after: ConfigObject | None) -> tuple[str, ...]:
        """Take over one object's change; return the uuids of those whose names it decides about."""
        if before is not None:
            for name in _read(before):
                self._let_go(name, before.uuid)
        if after is not None:
            for name in _read(after):
                self._holders.setdefault(name, {})[after.uuid] = None
        found = {(each.type_name, each.fq_name) for each in (before, after) if each is not None}
        return tuple(uuid for name in found for uuid in self._holders.get(name, ()))

    def usable(self, held: ConfigObject) -> ConfigObject:
        """Return the object without what it names and its project may not use."""
        if isinstance(held, FirewallRule) and held.action_list is not None:
            action = held.action_list
            marks = action.qos_action
            if marks and not self._may(held, (QosConfig.type_name, tuple(marks.split(":")))):
                action = msgspec.structs.replace(action, qos_action=None)
            if not self._may_copy(held, action.mirror_to):
                action = msgspec.structs.replace(action, mirror_to=None)
            return msgspec.structs.replace(held, action_list=action)
        if isinstance(held, VirtualMachineInterface):
            settings = held.virtual_machine_interface_properties
            if settings is not None and not self._may_copy(held, _copied(held)):
                none = msgspec.structs.replace(settings, interface_mirror=None)
                return msgspec.structs.replace(held, virtual_machine_interface_properties=none)
        return held

    def _may_copy(self, held: ConfigObject, mirror: MirrorActionType | None) -> bool:
        name = _network_of(mirror)
        return name is None or self._may(held, name)

    def _may(self, held: ConfigObject, name: Name) -> bool:
        named = self._graph.by_name(*name)
        # Nobody uses what is not there yet.
        return named is None or may_name(held, named, self._graph.get(held.parent_uuid or ""))

    def _let_go(self, name: Name, uuid: str) -> None:
        held = self._holders.get(name, {})
        held.pop(uuid, None)
        if not held:
            self._holders.pop(name, None)


def _read(held: ConfigObject) -> Iterator[Name]:
    """Yield what decides which names of the object are usable."""
    named: list[Name] = []
    if isinstance(held, FirewallRule) and held.action_list is not None:
        marks = held.action_list.qos_action
        named += [(QosConfig.type_name, tuple(marks.split(":")))] if marks else []
        copied = _network_of(held.action_list.mirror_to)
        named += [copied] if copied is not None else []
    elif isinstance(held, VirtualMachineInterface):
        copied = _network_of(_copied(held))
        named += [copied] if copied is not None else []
    if named and held.parent_type == Project.type_name:
        named.append((Project.type_name, held.fq_name[:-1]))
    yield from named


def _copied(port: VirtualMachineInterface) -> MirrorActionType | None:
    settings = port.virtual_machine_interface_properties
    mirror = None if settings is None else settings.interface_mirror
    return None if mirror is None else mirror.mirror_to


def _network_of(mirror: MirrorActionType | None) -> Name | None:
    """Return the network that copies go into by its name; the compiler judges named analyzers."""
    if mirror is None or not mirror.routing_instance or ":" in (mirror.analyzer_name or ""):
        return None
    return VirtualNetwork.type_name, tuple(mirror.routing_instance.split(":"))[:-1]
