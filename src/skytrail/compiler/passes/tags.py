"""Tags of ports: what is said of the port itself, its machine, vRouter, network and project.

Per tag type the most specific object decides, so a port can leave what its project says. Labels have
no single value and add up. A vRouter is known by the machines it refers to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import Outcome, Violation
from skytrail.compiler.engine import UnitPass, View
from skytrail.model.generated.objects import (
    Project,
    Tag,
    VirtualMachine,
    VirtualMachineInterface,
    VirtualNetwork,
    VirtualRouter,
)
from skytrail.model.objects import ConfigObject

PORT: Final = VirtualMachineInterface.type_name
LABEL: Final = 0
"""Tag type of labels."""
APPLICATION: Final = 1
_VALUE_BITS: Final = 16


@dataclass(frozen=True, slots=True, order=True)
class TagValue:
    number: int
    name: str
    uuid: str

    @property
    def kind(self) -> int:
        return self.number >> _VALUE_BITS


@dataclass(frozen=True, slots=True)
class PortTags:
    """Effective tags of one port, by number."""

    tags: tuple[TagValue, ...] = ()
    project: str | None = None
    """uuid"""


def port_tags(view: View, uuid: str) -> Outcome:
    """Derive one port's effective tags."""
    port = view.get(VirtualMachineInterface, uuid)
    if port is None:
        return Outcome()
    project = _project(view, port)
    found: dict[int, set[TagValue]] = {}
    violations: list[Violation] = []
    machines = [machine for machine in _machines(view, port) if machine is not None]
    routers = [
        router for machine in machines for router in view.referrers(VirtualRouter, machine.uuid)
    ]
    for holder in (port, *machines, *routers, *_networks(view, port), project):
        if holder is None:
            continue
        given: dict[int, set[TagValue]] = {}
        for tag in _tags(view, holder, violations):
            given.setdefault(tag.kind, set()).add(tag)
        for kind, values in given.items():
            if kind == LABEL:
                found.setdefault(kind, set()).update(values)
            else:
                found.setdefault(kind, values)
    tags = sorted(tag for values in found.values() for tag in values)
    return Outcome(
        PortTags(tuple(tags), None if project is None else project.uuid),
        violations=tuple(violations),
    )


def tag_number(tag: Tag) -> int | None:
    """Return type and value as one number."""
    try:
        return int(tag.tag_id or "", 16)
    except ValueError:
        return None


def _tags(view: View, holder: ConfigObject, violations: list[Violation]) -> Iterator[TagValue]:
    for reference in holder.tag_refs:
        tag = view.get(Tag, reference.uuid)
        number = None if tag is None else tag_number(tag)
        if number is None:
            violations.append(
                Violation(
                    holder.type_name,
                    holder.fq_name,
                    "tag_without_number",
                    f"tag {':'.join(reference.to)} has no tag_id: it is not applied; set it again",
                )
            )
        else:
            yield TagValue(number, ":".join(reference.to), reference.uuid)


def _machines(view: View, port: VirtualMachineInterface) -> Iterator[VirtualMachine | None]:
    if port.parent_type == VirtualMachine.type_name and port.parent_uuid:
        yield view.get(VirtualMachine, port.parent_uuid)
    for reference in port.virtual_machine_refs:
        yield view.get(VirtualMachine, reference.uuid)


def _networks(view: View, port: VirtualMachineInterface) -> Iterator[VirtualNetwork | None]:
    for reference in port.virtual_network_refs:
        yield view.get(VirtualNetwork, reference.uuid)


def _project(view: View, port: VirtualMachineInterface) -> Project | None:
    """Return the port's project; that of its network when a machine is its parent."""
    if port.parent_type == Project.type_name and port.parent_uuid:
        return view.get(Project, port.parent_uuid)
    for network in _networks(view, port):
        if network is not None and network.parent_uuid:
            return view.get(Project, network.parent_uuid)
    return None


PASSES: Final = (
    UnitPass(
        "port_tags",
        PORT,
        frozenset(
            {
                PORT,
                Tag.type_name,
                VirtualMachine.type_name,
                VirtualNetwork.type_name,
                VirtualRouter.type_name,
                Project.type_name,
            }
        ),
        port_tags,
    ),
)
