"""The native API's judgement of a body's form: everything that is wrong, where, and what was meant.

Same rules of form as the compatible API (``model.validate``), but unknown fields are refused, and
so is what the server computes. What makes sense beside other objects is for admission.
"""

from __future__ import annotations

from skytrail.api import documents, identity
from skytrail.api.change import Change
from skytrail.api.documents import Document, is_document
from skytrail.api.graph import Record
from skytrail.api.problem import Problem, did_you_mean, invalid, pointer
from skytrail.api.references import target_of
from skytrail.model.catalog_types import ObjectType
from skytrail.model.validate import Violation, check_properties, check_references, shown
from skytrail.model.violation_text import plain

ENVELOPE = ("uuid", "fq_name", "parent_type", "parent_uuid", "name")


def check(change: Change, resource: ObjectType, body: Document, record: Record | None) -> None:
    """Raise the refusal that names every problem of a body; ``record`` is what it changes."""
    problems = [
        *_names(resource, body),
        *(_identity_of_new(resource, body) if record is None else _kept_identity(record, body)),
        *(_problem(each) for each in check_properties(resource.name, body)),
        *(_problem(each) for each in check_references(resource.name, body)),
    ]
    if not problems:
        problems = _missing_targets(change, resource, body)
    if problems:
        raise invalid(problems)


def _names(resource: ObjectType, body: Document) -> list[Problem]:
    known = (*ENVELOPE, *resource.properties, *resource.references)
    problems: list[Problem] = []
    for name in body:
        if name in ENVELOPE or name in resource.properties or name in resource.references:
            continue
        computed = name in resource.children or name in resource.back_references
        if computed or name in ("href", "parent_href"):
            detail = "is computed by the server; leave it out"
        else:
            detail = f"{resource.name} has no field {shown(name)!r}.{did_you_mean(name, known)}"
        problems.append(Problem(pointer(name), detail))
    return problems


def _identity_of_new(resource: ObjectType, body: Document) -> list[Problem]:
    problems: list[Problem] = []
    uuid, fq_name = body.get("uuid"), body.get("fq_name")
    if uuid is not None and not identity.is_uuid(uuid):
        problems.append(Problem("/uuid", f"not a lower-case uuid with dashes: {shown(uuid)}"))
    names = documents.texts(body, "fq_name")
    if not isinstance(fq_name, list) or not names or len(names) != len(documents.as_list(fq_name)):
        detail = "needed: the list of names from the top of the tree down to the object"
        problems.append(Problem("/fq_name", detail))
    elif body.get("name") not in (None, names[-1]):
        problems.append(Problem("/name", f"differs from the last item of fq_name, {names[-1]!r}"))
    parent_type = body.get("parent_type")
    allowed = tuple(resource.parents)
    if parent_type is not None and parent_type not in allowed:
        detail = f"must be one of {', '.join(allowed)}, not {shown(parent_type)}"
        problems.append(Problem("/parent_type", detail))
    parent = body.get("parent_uuid")
    if parent is not None and not identity.is_uuid(parent):
        problems.append(Problem("/parent_uuid", f"not a uuid: {shown(parent)}"))
    return problems


def _kept_identity(record: Record, body: Document) -> list[Problem]:
    own: Document = {
        "uuid": record.uuid,
        "fq_name": list(record.fq_name),
        "name": record.name,
        "parent_type": record.parent_type or "config-root",
        "parent_uuid": record.parent_uuid,
    }
    return [
        Problem(pointer(name), f"cannot be changed; it is {shown(own[name])}")
        for name in ENVELOPE
        if body.get(name) is not None and body[name] != own[name]
    ]


def _problem(violation: Violation) -> Problem:
    """Return a violation as the native API says it: the place apart, without the whole value."""
    found = plain(violation)
    near = "" if found.unknown is None else "." + did_you_mean(found.unknown, found.known)
    return Problem(pointer(*found.keys), found.text + near)


def _missing_targets(change: Change, resource: ObjectType, body: Document) -> list[Problem]:
    problems: list[Problem] = []
    for name, value in body.items():
        reference = resource.references.get(name)
        if reference is None:
            continue
        for place, item in enumerate(documents.as_list(value)):
            if is_document(item) and target_of(change, reference.target, item) is None:
                wanted = documents.text(item, "uuid") or ":".join(documents.texts(item, "to"))
                detail = f"no {reference.target} {shown(wanted)!r}."
                near = did_you_mean(wanted, _known_names(change, reference.target))
                problems.append(Problem(pointer(name, place), detail + near))
    return problems


def _known_names(change: Change, type_name: str) -> list[str]:
    found: list[str] = []
    for record in change.view.of_type(type_name):
        found.append(":".join(record.fq_name))
        if len(found) > 2_000:
            break
    return found
