"""Deletion of an object together with everything that forbids it: children, and what refers to it.

Referring objects are deleted only when they cannot be without the reference (their children and
referrers again likewise); others lose the reference and stay.
"""

from __future__ import annotations

from skytrail.api import admission, documents, rights
from skytrail.api.admission import Links
from skytrail.api.change import Change
from skytrail.api.graph import Record
from skytrail.api.problem import Unacceptable
from skytrail.api.refusal import Refused

CASCADE_COUNT_MAX = 4_000
_DEPENDS = {
    # type: reference fields without which the object means nothing
    "virtual-machine-interface": ("virtual_network_refs",),
    "instance-ip": ("virtual_network_refs", "virtual_machine_interface_refs"),
}


def delete_with_dependants(change: Change, record: Record, links: Links) -> None:
    """Plan the deletion of an object after that of whatever is in its way."""
    visited: set[str] = set()
    _delete(change, record, links, visited)


def _delete(change: Change, record: Record, links: Links, visited: set[str]) -> None:
    if record.uuid in visited:
        return
    visited.add(record.uuid)
    if len(visited) > CASCADE_COUNT_MAX:
        raise Unacceptable(409, f"The cascade reaches over {CASCADE_COUNT_MAX} objects")
    for kind in sorted(change.view.child_types(record.uuid), key=_child_order):
        derived = change.schema.is_derived_child(record.type_name, kind)
        for uuid in list(change.view.child_uuids(record.uuid, kind)):
            child = change.view.get(uuid)
            if child is not None and not derived:
                _delete(change, child, links, visited)
    for kind in sorted(change.view.referrer_types(record.uuid)):
        for uuid in list(change.view.referrer_uuids(record.uuid, kind)):
            source = change.view.get(uuid)
            if source is not None:
                _release(change, source, record, links, visited)
    current = change.view.get(record.uuid)
    if current is not None:
        try:
            admission.delete(change, current, links)
        except Refused as refusal:
            if not rights.shown_name(change, current):
                raise _unseen() from None
            name = ":".join(current.fq_name)
            text = f"{current.type_name} {name} cannot go along: {refusal.text}"
            raise Unacceptable(refusal.status, text) from None


def _child_order(kind: str) -> tuple[bool, str]:
    """Order children: an IPAM goes when the networks whose addresses it gives are gone."""
    return kind == "network-ipam", kind


def _release(
    change: Change, source: Record, target: Record, links: Links, visited: set[str]
) -> None:
    """Delete a referring object that depends on its target, or take the reference from it."""
    if not rights.shown_name(change, source):
        raise _unseen()
    needed = _DEPENDS.get(source.type_name, ())
    fields = {name for name, uuid in source.targets if uuid == target.uuid}
    left = {
        name: [i for i in documents.sections(source.body, name) if i.get("uuid") != target.uuid]
        for name in fields
    }
    if any(name in needed and not items for name, items in left.items()):
        _delete(change, source, links, visited)
    else:
        if source.uuid not in visited:
            # What goes along itself (a project that refers to its own policy set) is not edited.
            rights.check_edit(change, source, fields)
        body = {name: value for name, value in source.body.items() if left.get(name) != []}
        body.update({name: items for name, items in left.items() if items})
        admission.replace_body(change, source, body)


def _unseen() -> Unacceptable:
    return Unacceptable(409, "Objects that are not visible to you are in the way of the cascade")
