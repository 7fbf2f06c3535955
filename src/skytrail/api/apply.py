"""Server-side apply: make an object say what a document says, and remember who wanted which field.

An owner applies a document again and again; each time the fields it names become so, those it
named before and no longer names go away, and all others stay as they are. A field that another
owner applied with another value is a conflict, unless forced. Fields nobody applied are free.

Paths are as fine as people share objects: a property as a whole, one element of a reference list
(by target), one element of a map property (by key).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from skytrail.api import admission, documents
from skytrail.api.change import Change
from skytrail.api.differences import covers
from skytrail.api.documents import Document
from skytrail.api.graph import Record, Side
from skytrail.api.problem import Problem, Unacceptable, pointer
from skytrail.api.references import resolve_references
from skytrail.api.strict import ENVELOPE
from skytrail.model.catalog_types import ObjectType, Property
from skytrail.model.validate import stored_properties

_NEVER_APPLIED = frozenset({*ENVELOPE, "id_perms"})
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Manner:
    """Who applies, and whether others' fields may be taken over."""

    owner: str
    force: bool = False


def apply_new(change: Change, resource: ObjectType, body: Document, manner: Manner) -> Record:
    """Create the object and note what its owner wants of it."""
    record = admission.create(change, resource, body)
    wanted = _wanted(change, resource, body)
    return _with_owners(change, record, _owned_after(change, record, wanted, manner, {}))


def apply_existing(change: Change, record: Record, body: Document, manner: Manner) -> Record:
    """Change the object where it does not yet say what the document says; return it."""
    resource = change.schema.resources[record.type_name]
    wanted = _wanted(change, resource, body)
    own = record.side.owners.get(manner.owner, {})
    others = {name: p for name, p in record.side.owners.items() if name != manner.owner}
    held = {path for paths in others.values() for path in paths}
    stale = {
        path: value
        for path, value in wanted.items()
        if not _is_so(record, resource, path, value, own)
    }
    if not manner.force:
        _refuse_conflicts(stale, others)
    gone = [path for path in own if path not in wanted and path not in held]
    request = _request(record, resource, stale, gone)
    renewed = admission.update(change, record, request) if request else record
    return _with_owners(change, renewed, _owned_after(change, renewed, wanted, manner, others))


def _wanted(change: Change, resource: ObjectType, body: Document) -> dict[str, object]:
    """Return the document's value by path; null says nothing."""
    found: dict[str, object] = {}
    given = {n: v for n, v in body.items() if n not in _NEVER_APPLIED and v is not None}
    for name, value in stored_properties(resource, given).items():
        prop = resource.properties[name]
        if value is None:
            continue
        if prop.kind == "map":
            for key, element in _elements(prop, value).items():
                found[f"{name}/{key}"] = element
        else:
            found[name] = value
    for name, items in resolve_references(change, resource, given, "update").items():
        for item in items:
            found[f"{name}/{item['uuid']}"] = item
    return found


def _elements(prop: Property, value: object) -> dict[str, Document]:
    wrapper: Document = value if documents.is_document(value) else {}
    return {
        str(element.get(prop.map_key)): element
        for element in documents.sections(wrapper, prop.wrapper_field)
    }


def _present(record: Record, resource: ObjectType, path: str) -> object:
    """Return what the object says at a path now."""
    name, part, key = path.partition("/")
    if not part:
        return record.body.get(name, _ABSENT)
    if name in resource.references:
        listed = documents.sections(record.body, name)
        return next((item for item in listed if item.get("uuid") == key), _ABSENT)
    elements = _elements(resource.properties[name], record.body.get(name))
    return elements.get(key, _ABSENT)


def _digest(value: object) -> str:
    encoded = b"" if value is _ABSENT else msgspec.json.encode(value, order="sorted")
    return blake2b(encoded, digest_size=8).hexdigest()


def _is_so(
    record: Record, resource: ObjectType, path: str, value: object, own: dict[str, str]
) -> bool:
    """Whether the object says this already.

    The server completes and normalises values, so two things count as the same: what covers the
    wanted value, and what became of the very same wanted value when it was applied.
    """
    present = _present(record, resource, path)
    wanted_then, _, became = own.get(path, "").partition(":")
    if wanted_then and wanted_then == _digest(value):
        return became == _digest(present) or covers(present, value)
    if wanted_then:
        return False
    return covers(present, value)


def _refuse_conflicts(stale: dict[str, object], others: dict[str, dict[str, str]]) -> None:
    conflicts = [(path, owner) for path in stale for owner, held in others.items() if path in held]
    if not conflicts:
        return
    owners = sorted({owner for _, owner in conflicts})
    problems = [
        Problem(pointer(*path.split("/")), f"applied by {owner!r} with another value")
        for path, owner in conflicts
    ]
    text = (
        f"{len(conflicts)} {'field belongs' if len(conflicts) == 1 else 'fields belong'} to {', '.join(owners)}; "
        "leave them out, or take them over with force=true"
    )
    raise Unacceptable(409, text, problems, {"owners": owners})


def _request(
    record: Record, resource: ObjectType, stale: dict[str, object], gone: list[str]
) -> Document:
    """Return the update that sets stale paths and removes gone ones."""
    request: Document = {}
    lists: dict[str, dict[str, object]] = {}
    for path, value in (*stale.items(), *((path, None) for path in gone)):
        name, part, key = path.partition("/")
        if not part:
            request[name] = value
            continue
        if name not in lists:
            lists[name] = _present_elements(record, resource, name)
        if value is None:
            lists[name].pop(key, None)
        else:
            lists[name][key] = value
    for name, elements in lists.items():
        if name in resource.references:
            request[name] = list(elements.values())
        else:
            wrapper = resource.properties[name].wrapper_field
            request[name] = {wrapper: list(elements.values())} if elements else None
    return request


def _present_elements(record: Record, resource: ObjectType, name: str) -> dict[str, object]:
    if name in resource.references:
        return {str(i.get("uuid")): i for i in documents.sections(record.body, name)}
    return {**_elements(resource.properties[name], record.body.get(name))}


def _owned_after(
    change: Change,
    record: Record,
    wanted: dict[str, object],
    manner: Manner,
    others: dict[str, dict[str, str]],
) -> dict[str, dict[str, str]]:
    resource = change.schema.resources[record.type_name]
    own = {
        path: f"{_digest(value)}:{_digest(_present(record, resource, path))}"
        for path, value in wanted.items()
    }
    owners: dict[str, dict[str, str]] = {}
    for owner, held in others.items():
        # Whose value was replaced by force no longer owns the field.
        kept = {
            path: digests
            for path, digests in held.items()
            if path not in wanted
            or digests.partition(":")[2] == _digest(_present(record, resource, path))
        }
        if kept:
            owners[owner] = kept
    if own:
        owners[manner.owner] = own
    return owners


def _with_owners(change: Change, record: Record, owners: dict[str, dict[str, str]]) -> Record:
    side = record.side
    if side.owners == owners:
        return record
    renewed_side = Side(positions=side.positions, relaxed=side.relaxed, owners=owners)
    renewed = admission.next_version(record, record.body, renewed_side)
    change.view.put(renewed)
    return renewed
