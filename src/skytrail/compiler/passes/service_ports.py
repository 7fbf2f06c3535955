"""Ports of services: what users attach to a side of a service is copied to each of its ports.

Interface route tables, health checks and allowed address pairs may be given to a side of a service
once; every port of that side refers to them. Users may give the same things to a port directly, so
the port remembers, in an annotation, which ones are copies: only those are ever taken away again
(docs/adr/0112).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome, Value
from skytrail.compiler.engine import UnitPass, View
from skytrail.compiler.passes.interfaces import role_of
from skytrail.compiler.passes.service_instances import PORT, is_about, template_of
from skytrail.model.generated.objects import (
    InterfaceRouteTable,
    PortTuple,
    ServiceHealthCheck,
    ServiceInstance,
    ServiceTemplate,
    VirtualMachineInterface,
)
from skytrail.model.generated.types import (
    AllowedAddressPair,
    AllowedAddressPairs,
    KeyValuePair,
    KeyValuePairs,
)

MARK: Final = "skytrail.service-copies"
TABLES: Final = "interface_route_table_refs"
CHECKS: Final = "service_health_check_refs"
PAIRS: Final = "virtual_machine_interface_allowed_address_pairs"

T = TypeVar("T")


class Copies(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a port has because of its side of a service; the annotation's value as JSON."""

    tables: tuple[FqName, ...] = ()
    checks: tuple[FqName, ...] = ()
    pairs: tuple[AllowedAddressPair, ...] = ()


def service_port(view: View, uuid: str) -> Outcome:
    """Derive one port's copies; a port that neither has nor needs any is left alone."""
    port = view.get(VirtualMachineInterface, uuid)
    if port is None:
        return Outcome()
    marked = _marked(port)
    wanted = _wanted(view, port)
    if marked is None and wanted == Copies():
        return Outcome()
    marked = marked or Copies()
    pairs = port.virtual_machine_interface_allowed_address_pairs
    tables, table_copies = _merged(_names(port, TABLES), marked.tables, wanted.tables)
    checks, check_copies = _merged(_names(port, CHECKS), marked.checks, wanted.checks)
    listed, pair_copies = _merged(
        () if pairs is None else pairs.allowed_address_pair, marked.pairs, wanted.pairs
    )
    copies = Copies(table_copies, check_copies, pair_copies)
    properties: dict[str, Value] = {"annotations": _annotations(port, copies)}
    if marked.pairs or wanted.pairs:
        properties[PAIRS] = AllowedAddressPairs(allowed_address_pair=listed)
    links = {
        field: tuple(Link(name) for name in names)
        for field, names, is_ours in (
            (TABLES, tables, bool(marked.tables or wanted.tables)),
            (CHECKS, checks, bool(marked.checks or wanted.checks)),
        )
        if is_ours
    }
    return Outcome(
        derived=(Derived(DerivedKey(PORT, port.fq_name), properties, links, update_only=True),)
    )


def _wanted(view: View, port: VirtualMachineInterface) -> Copies:
    role = role_of(port)
    if role is None:
        return Copies()
    tables: list[FqName] = []
    checks: list[FqName] = []
    pairs: list[AllowedAddressPair] = []
    for item in _services(view, port):
        tables += [
            table.fq_name
            for table in view.referrers(InterfaceRouteTable, item.uuid)
            if is_about(table, item.uuid, role)
        ]
        checks += [
            check.fq_name
            for check in view.referrers(ServiceHealthCheck, item.uuid)
            if is_about(check, item.uuid, role)
        ]
        pairs += _pairs(view, item, role)
    return Copies(_unique(tables), _unique(checks), _unique(pairs))


def _services(view: View, port: VirtualMachineInterface) -> Iterator[ServiceInstance]:
    for reference in port.port_tuple_refs:
        port_tuple = view.get(PortTuple, reference.uuid)
        if port_tuple is not None and port_tuple.parent_uuid is not None:
            item = view.get(ServiceInstance, port_tuple.parent_uuid)
            if item is not None:
                yield item


def _pairs(view: View, item: ServiceInstance, role: str) -> list[AllowedAddressPair]:
    """Return the pairs of the service's interface in this role; the template orders interfaces."""
    template = template_of(view, item)
    properties = item.service_instance_properties
    if template is None or properties is None:
        return []
    roles = [interface.service_interface_type for interface in template.interface_type]
    return [
        pair
        for known, interface in zip(roles, properties.interface_list, strict=False)
        if known == role and interface.allowed_address_pairs is not None
        for pair in interface.allowed_address_pairs.allowed_address_pair
    ]


def _merged(
    stored: Sequence[T], marked: Sequence[T], wanted: Sequence[T]
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Return the whole list, the user's part first, and which of it are copies."""
    own = [each for each in stored if each not in marked]
    copies = [each for each in wanted if each not in own]
    return (*own, *copies), tuple(copies)


def _names(port: VirtualMachineInterface, field: str) -> tuple[FqName, ...]:
    references = (
        port.interface_route_table_refs if field == TABLES else port.service_health_check_refs
    )
    return tuple(reference.to for reference in references)


def _marked(port: VirtualMachineInterface) -> Copies | None:
    for pair in () if port.annotations is None else port.annotations.key_value_pair:
        if pair.key == MARK:
            try:
                return msgspec.json.decode(pair.value or "", type=Copies)
            except msgspec.MsgspecError:
                # A user wrote there: what the port has is then taken for the user's own.
                return Copies()
    return None


def _annotations(port: VirtualMachineInterface, copies: Copies) -> KeyValuePairs:
    found = () if port.annotations is None else port.annotations.key_value_pair
    others = tuple(pair for pair in found if pair.key != MARK)
    if copies == Copies():
        return KeyValuePairs(key_value_pair=others)
    mark = KeyValuePair(key=MARK, value=msgspec.json.encode(copies).decode())
    return KeyValuePairs(key_value_pair=(*others, mark))


def _unique(items: Sequence[T]) -> tuple[T, ...]:
    found: list[T] = []
    for item in items:
        if item not in found:
            found.append(item)
    return tuple(found)


PASSES: Final = (
    UnitPass(
        "service_port",
        PORT,
        frozenset(
            {
                PORT,
                PortTuple.type_name,
                ServiceInstance.type_name,
                ServiceTemplate.type_name,
                InterfaceRouteTable.type_name,
                ServiceHealthCheck.type_name,
            }
        ),
        service_port,
    ),
)
