"""What members of a project leave to others on their own objects, asked inside a planned change.

The model names it: fields with a ``guard`` (ADR 0505), annotations ``OF_ADMINISTRATORS`` (ADR 0468).
A member reads it, and writes it back as it is: clients send whole objects. All doors to the store
come through here, with the body as it was asked for, before rules of the type complete it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from skytrail.api import authorize, documents, rights
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.references import referred
from skytrail.api.refusal import Refused
from skytrail.model.annotation_names import OF_ADMINISTRATORS, STICKY_MAC
from skytrail.model.catalog_types import ObjectType
from skytrail.model.guarded import Place

_PORT = "virtual-machine-interface"
_PORTS = "virtual_machine_interface_refs"
_NETWORKS = "virtual_network_refs"
_BINDINGS = "virtual_machine_interface_bindings"
_SHOWN_MAX = 200


def check(change: Change, resource: ObjectType, body: Document, old: Document) -> None:
    """Refuse a new version that says what is not its author's to say; ``old`` is empty for a new one."""
    if not rights.is_restricted(change):
        return
    _check_annotations(resource.name, body, old)
    _check_sticky(change, resource, body, old)
    guards = change.schema.guards
    if guards.names[resource.name].isdisjoint((*body, *old)):
        _check_moved(change, resource, body, old)
        return
    said, before = guards.values(resource, body), guards.values(resource, old)
    for place in sorted({*said, *before}, key=lambda each: each.path):
        new, former = said.get(place, []), before.get(place, [])
        if place.guard.by == "network":
            _check_network(change, resource, body, old, place, new, former)
        elif _is_new(place, new, former) and not _is_judged_elsewhere(place, body):
            raise Refused(
                403,
                f"Permission Denied: {place.path} of a {resource.name} is written by "
                f"administrators; {_as_it_is(former)}",
            )
    _check_moved(change, resource, body, old)


def _is_new(place: Place, new: list[str], former: list[str]) -> bool:
    """Whether something is said anew; a value that is alone in its place does not go either."""
    return bool(Counter(new) - Counter(former)) if place.is_of_many else new != former


def _is_judged_elsewhere(place: Place, body: Document) -> bool:
    """Whether it is a bare-metal port's profile: that takes the right to use each switch port it names."""
    if place.path != f"{_BINDINGS}.profile":
        return False
    pairs = documents.sections(documents.section(body, _BINDINGS), "key_value_pair")
    return {"key": "vnic_type", "value": "baremetal"} in pairs


def _as_it_is(former: Iterable[str]) -> str:
    told = ", ".join(former)
    if not told:
        return "leave it out"
    return f"leave it as it is: {told[:_SHOWN_MAX]}{'…' * (len(told) > _SHOWN_MAX)}"


# Values that are about the network of a port.


def _check_network(
    change: Change,
    resource: ObjectType,
    body: Document,
    old: Document,
    place: Place,
    new: list[str],
    former: list[str],
) -> None:
    """Refuse what is said of ports in networks the caller may not write: it counts for all in them."""
    if _links(body, _NETWORKS) == _links(old, _NETWORKS) and not Counter(new) - Counter(former):
        return
    if not new:
        return
    ports = [body] if resource.name == _PORT else _added_ports(change, body, old)
    foreign = next(_not_writable(change, ports), None)
    if foreign is not None:
        raise Refused(
            403,
            f"Permission Denied: {place.path} of a {resource.name} is for ports in networks that "
            f"you may write, which {':'.join(foreign.fq_name)} is not; leave it out",
        )


def _check_moved(change: Change, resource: ObjectType, body: Document, old: Document) -> None:
    """Refuse to move a port that is a router's, or speaks BGP, into a network of others."""
    if resource.name != _PORT or not old or _links(body, _NETWORKS) == _links(old, _NETWORKS):
        return
    uuid = documents.text(old, "uuid") or ""
    for kind in change.schema.guarded_referrers(_PORT):
        if next(iter(change.view.referrer_uuids(uuid, kind)), None) is None:
            continue
        foreign = next(_not_writable(change, [body]), None)
        if foreign is not None:
            raise Refused(
                403,
                f"Permission Denied: {_NETWORKS}: a port of a {kind} is moved into networks only "
                f"that you may write, which {':'.join(foreign.fq_name)} is not",
            )


def _added_ports(change: Change, body: Document, old: Document) -> list[Document]:
    kept = _links(old, _PORTS)
    return [port.body for port in referred(change, body, _PORTS) if port.uuid not in kept]


def _not_writable(change: Change, ports: Iterable[Document]) -> Iterator[Record]:
    for port in ports:
        for network in referred(change, port, _NETWORKS):
            if not authorize.access_to(change.caller, network) & authorize.WRITE:
                yield network


def _links(body: Document, name: str) -> frozenset[str]:
    return frozenset(documents.text(each, "uuid") or "" for each in documents.sections(body, name))


# Annotations.


def _check_annotations(kind: str, body: Document, old: Document) -> None:
    for key in sorted(OF_ADMINISTRATORS.get(kind, ())):
        before = _annotated(old, key)
        if _annotated(body, key) != before:
            raise Refused(
                403,
                f"Permission Denied: annotation {key} of a {kind} is written by administrators; "
                f"{_as_it_is(map(repr, before))}",
            )


def _check_sticky(change: Change, resource: ObjectType, body: Document, old: Document) -> None:
    """Refuse a sticky MAC in a network the caller may not write: it wins against everybody's there."""
    if resource.name != _PORT or "true" not in _annotated(body, STICKY_MAC):
        return
    is_kept = "true" in _annotated(old, STICKY_MAC)
    if is_kept and _links(body, _NETWORKS) == _links(old, _NETWORKS):
        return
    if next(_not_writable(change, [body]), None) is not None:
        raise Refused(
            403,
            f"Permission Denied: annotation {STICKY_MAC} is for ports in networks that you may"
            " write; leave it out",
        )


def _annotated(body: Document, key: str) -> list[str]:
    """Return the values that are noted so, in their order: readers take the first."""
    pairs = documents.sections(documents.section(body, "annotations"), "key_value_pair")
    return [documents.text(pair, "value") or "" for pair in pairs if pair.get("key") == key]
