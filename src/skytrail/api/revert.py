"""Takes back an entry of the audit log, as a new change: the same admission as any other.

Only what people wrote comes back; the compiler derives the rest from it again, as it did before.
"""

from __future__ import annotations

import msgspec

from skytrail.api import admission, documents
from skytrail.api.audit import MODE, USER, Alteration, Entry
from skytrail.api.change import Change
from skytrail.api.differences import NotAsExpected, undone, value_at
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.native import Done, Ground
from skytrail.api.problem import Problem, Unacceptable, pointer
from skytrail.api.references import find_or_draft
from skytrail.api.refusal import Refused
from skytrail.model.catalog_types import ReferenceField
from skytrail.model.secret_values import MASK, holds_mask

_SERVERS = frozenset({"id_perms", "uuid", "fq_name", "parent_type", "parent_uuid"})
_SHOWN_MAX = 80


def carry_out(change: Change, entry: Entry, ground: Ground, *, force: bool) -> list[Done]:
    """Plan the inverse of an entry; refuse where something has changed since, unless forced."""
    if entry.derived_from is not None:
        raise Refused(409, "The compiler wrote this; revert the change it follows from")
    if entry.cut:
        raise Refused(409, "The entry was too large to keep its details: it cannot be reverted")
    if any(each.type in {USER, MODE} for each in entry.alterations):
        raise Refused(409, "Users and aaa-mode are not reverted: set them anew")
    done: list[Done] = []
    made = {each.uuid for each in entry.alterations if each.op == "create"}
    asked_for = [each for each in entry.alterations if not _is_compiled(change, each)]
    # An administrator may have written a compiled object itself; then that is what is meant.
    for alteration in reversed(asked_for or entry.alterations):
        if alteration.op == "create" and _goes_along(change, alteration, made):
            continue
        outcome = _one(change, alteration, ground, force=force)
        if outcome is not None:
            done.append(outcome)
    if not done:
        raise Refused(409, "Nothing is left of this change to revert")
    return done


def _is_compiled(change: Change, alteration: Alteration) -> bool:
    """Whether an object lost a reference, or went, with the one it was compiled from.

    It does not come back from the log: the compiler may have written it since, and the instances
    of a network made anew have other uuids.
    """
    compiled = change.schema.resources[alteration.type].origin == "compiled"
    return compiled and alteration.op != "create"


def _goes_along(change: Change, alteration: Alteration, made: set[str]) -> bool:
    """Whether an object was made as a companion of its parent and goes with it."""
    record = change.view.get(alteration.uuid)
    if record is None or record.parent_uuid not in made or record.parent_type is None:
        return False
    return change.schema.is_derived_child(record.parent_type, record.type_name)


def _one(change: Change, alteration: Alteration, ground: Ground, *, force: bool) -> Done | None:
    resource = change.schema.resources[alteration.type]
    record = change.view.get(alteration.uuid)
    match alteration.op:
        case "create":
            # Companions may have gone with the object they belong to.
            if record is None:
                return None
            admission.delete(change, record, ground.links)
            return Done("deleted", record)
        case "delete":
            present = find(change.view, alteration.type, alteration.name)
            if present is not None:
                if present.uuid not in change.view.changed and not force:
                    raise _exists_again(alteration, present)
                # A companion, made anew with the object it belongs to.
                return None
            body = alteration.object
            if body is None or resource.origin == "compiled":
                return None
            given = {
                name: value
                for name, value in body.items()
                if name != "id_perms"
                and not _is_of_system(resource.properties.get(name))
                and not _is_left_out(change, alteration, (name,), value, force=force)
            }
            given = _linked(change, alteration, given, force=force)
            return Done("created", admission.create(change, resource, given))
        case _:
            if record is None:
                raise Unacceptable(
                    409, f"{alteration.type} {alteration.uuid} does not exist any more"
                )
            request = _former(change, record.body, alteration, force=force)
            if not request:
                return None
            request = _linked(change, alteration, request, force=force)
            return Done("changed", admission.update(change, record, request))


def _exists_again(alteration: Alteration, present: Record) -> Unacceptable:
    name = f"{alteration.type} {':'.join(alteration.name)}"
    detail = f"exists again, as {present.uuid}"
    return Unacceptable(
        409,
        f"{name} {detail}: delete that one first, or leave it with force=true, which reverts "
        "everything else",
        [Problem("/fq_name", detail)],
    )


def _linked(change: Change, alteration: Alteration, given: Document, *, force: bool) -> Document:
    """Return members whose references name what is there; refuse what is gone unless forced."""
    resource = change.schema.resources[alteration.type]
    found = dict(given)
    for name in given.keys() & resource.references.keys():
        reference = resource.references[name]
        items = [
            _living(change, alteration, reference, item, force=force)
            for item in documents.sections(given, name)
        ]
        found[name] = [item for item in items if item is not None]
    return found


def _living(
    change: Change,
    alteration: Alteration,
    reference: ReferenceField,
    item: Document,
    *,
    force: bool,
) -> Document | None:
    """Return a reference by a name or uuid that exists; None for what the compiler makes again."""
    record = change.view.get(documents.text(item, "uuid") or "")
    if record is not None and record.type_name == reference.target:
        return item
    name = tuple(documents.texts(item, "to"))
    if find_or_draft(change, reference.target, name) is not None:
        # Made anew since, under another uuid.
        return {key: value for key, value in item.items() if key != "uuid"}
    if force or change.schema.resources[reference.target].origin == "compiled":
        return None
    who, gone = (
        f"{alteration.type} {':'.join(alteration.name)}",
        f"{reference.target} {':'.join(name)}",
    )
    raise Unacceptable(
        409,
        f"{who} referred to {gone}, which does not exist any more: revert its deletion first "
        f"(`skytrail history {reference.target}` has it); force=true reverts everything else",
        [Problem(pointer(reference.name), f"{gone} does not exist any more")],
    )


def _is_of_system(prop: object) -> bool:
    return getattr(prop, "presence", "") == "system-only"


def _is_left_out(
    change: Change, alteration: Alteration, path: tuple[str, ...], value: object, *, force: bool
) -> bool:
    """Whether a value cannot come back because it holds a secret; refuse unless forced."""
    if path[0] not in change.schema.secret_names[alteration.type] or not holds_mask(value):
        return False
    if not force:
        place = pointer(*path)
        raise Unacceptable(
            409,
            f"{alteration.type} {':'.join(alteration.name)} {place} holds secrets, which the log "
            "does not keep; force=true reverts everything else, then give them anew",
            [Problem(place, f"was {MASK}")],
        )
    return True


def _former(change: Change, body: Document, alteration: Alteration, *, force: bool) -> Document:
    """Return the update that brings back the members an alteration changed."""
    changes = [
        each
        for each in alteration.fields
        if each.path[0] not in _SERVERS
        and not _is_left_out(change, alteration, each.path, [each.before, each.after], force=force)
    ]
    try:
        former = undone(body, changes, force=force)
    except NotAsExpected as clash:
        place = pointer(*clash.difference.path)
        now = value_at(body, clash.difference.path)
        detail = f"has changed since, to {_short(now)}"
        raise Unacceptable(
            409,
            f"{alteration.type} {':'.join(alteration.name)} {place} {detail}; "
            "force=true reverts it all the same",
            [Problem(place, detail)],
        ) from None
    names = {each.path[0] for each in changes}
    return {name: former.get(name) for name in sorted(names)}


def _short(value: object) -> str:
    """Return a value as JSON, cut where it would bury the sentence it stands in."""
    found = msgspec.json.encode(value).decode()
    return found if len(found) <= _SHOWN_MAX else f"{found[:_SHOWN_MAX]}..."
