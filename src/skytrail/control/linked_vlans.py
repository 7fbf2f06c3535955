"""Which ports are VLANs of another port's link, as far as walks of the configuration go.

Either port may refer to the other one. So walks go by what they are: from a port without a VLAN tag to
one with a tag. That makes no circle, whatever refers to what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skytrail.control.config_graph import Change
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import VirtualMachineInterface
from skytrail.model.graph import ObjectGraph

_PORT = VirtualMachineInterface.type_name
Uuids = dict[str, None]


def vlans_of(graph: ObjectGraph, port: ConfigObject) -> list[ConfigObject]:
    """Return the ports that are VLANs of a port's link."""
    if not isinstance(port, VirtualMachineInterface) or _is_vlan(port):
        return []
    linked = (*graph.refs(port.uuid, _PORT), *graph.back_refs(port.uuid, _PORT))
    return [each for each in linked if isinstance(each, VirtualMachineInterface) and _is_vlan(each)]


class LinkedVlans:
    """The same, kept up to date change by change."""

    def __init__(self) -> None:
        self._is_vlan: dict[str, bool] = {}
        """Of the ports that are there."""
        self._refs: dict[str, Uuids] = {}
        self._back_refs: dict[str, Uuids] = {}

    def follow(self, changes: Iterable[Change]) -> Iterator[tuple[str, str, int]]:
        """Take over a commit; yield steps that came (1) or went (-1)."""
        for change in changes:
            if isinstance(change.before, VirtualMachineInterface):
                for source, target in self._steps(change.before.uuid):
                    yield source, target, -1
                self._forget(change.before)
            if isinstance(change.after, VirtualMachineInterface):
                self._learn(change.after)
                for source, target in self._steps(change.after.uuid):
                    yield source, target, 1

    def _learn(self, port: VirtualMachineInterface) -> None:
        self._is_vlan[port.uuid] = _is_vlan(port)
        for ref in port.virtual_machine_interface_refs:
            self._refs.setdefault(port.uuid, {})[ref.uuid] = None
            self._back_refs.setdefault(ref.uuid, {})[port.uuid] = None

    def _forget(self, port: VirtualMachineInterface) -> None:
        del self._is_vlan[port.uuid]
        for target in self._refs.pop(port.uuid, ()):
            sources = self._back_refs[target]
            del sources[port.uuid]
            if not sources:
                del self._back_refs[target]

    def _steps(self, uuid: str) -> list[tuple[str, str]]:
        """Return the steps that a port which is there has part in, each once."""
        is_vlan = self._is_vlan[uuid]
        others = {**self._refs.get(uuid, {}), **self._back_refs.get(uuid, {})}
        return [
            (other, uuid) if is_vlan else (uuid, other)
            for other in others
            if self._is_vlan.get(other, is_vlan) != is_vlan
        ]


def _is_vlan(port: VirtualMachineInterface) -> bool:
    settings = port.virtual_machine_interface_properties
    return settings is not None and bool(settings.sub_interface_vlan_tag)
