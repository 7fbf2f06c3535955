"""Drafts of security policy: edits are collected as copies, then committed or dropped together.

    PUT, DELETE, ref-update ... of an enforced object
       |  draft mode of its scope on?
       +-- no --> the object itself
       '-- yes -> its copy under draft-policy-management; state created, updated or deleted
    commit: copies become the enforced objects, in one transaction;   discard: copies go

Nothing of a draft is enforced before its commit, and a commit that one object would refuse changes
nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from skytrail.api import admission, documents, rights, texts
from skytrail.api.admission import Links
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import NO_SIDE, Record, find, referrers
from skytrail.api.references import DRAFTS, GLOBAL_HOLDER
from skytrail.api.refusal import bad_request, conflict
from skytrail.api.rules.draft import (
    SECURITY_TYPES,
    SYSTEM,
    draft_of,
    drafts_of,
    is_draft,
    is_free,
    pending_in,
)
from skytrail.model.validate import shown

_STATE = "draft_mode_state"
_COMPUTED = {"firewall-rule": ("tag_refs", "address_group_refs")}
"""References the rule of a type computes and takes from nobody."""
_IDENTITY = frozenset(
    {"uuid", "fq_name", "parent_type", "parent_uuid", "id_perms", "perms2", _STATE}
)
T = TypeVar("T")


def _beyond(change: Change, act: Callable[[], T]) -> T:
    """Carry out a part of the plan that may touch enforced objects and draft states."""
    before, change.enforcing = change.enforcing, True
    try:
        return act()
    finally:
        change.enforcing = before


def editable(change: Change, record: Record) -> Record:
    """Return what an update of the object has to change: itself, or its draft."""
    if record.type_name not in SECURITY_TYPES or is_free(change):
        return record
    draft = record
    if not is_draft(record):
        holder = drafts_of(change, record.type_name, record.fq_name)
        if holder is None:
            return record
        draft = draft_of(change, record) or _copy(change, record, holder, "updated")
    if draft.body.get(_STATE) == "deleted":
        raise conflict(
            f"{record.type_name} {list(record.fq_name)} is pending deletion: discard the draft first"
        )
    return draft


def _copy(change: Change, record: Record, holder: Record, state: str) -> Record:
    """Return a new draft with the content of an enforced object."""
    body = _content(record)
    body["fq_name"] = [*holder.fq_name, record.name]
    body["parent_type"] = holder.type_name
    for name in ("perms2", "id_perms"):
        body[name] = documents.section(record.body, name)
    body[_STATE] = state
    resource = change.schema.resources[record.type_name]
    draft = _beyond(change, lambda: admission.create(change, resource, body))
    if record.side != NO_SIDE:
        draft = admission.next_version(draft, draft.body, record.side)
        change.view.put(draft)
    return draft


def _content(record: Record) -> Document:
    left_out = _IDENTITY | set(_COMPUTED.get(record.type_name, ()))
    return {name: value for name, value in record.body.items() if name not in left_out}


def delete(change: Change, record: Record, links: Links) -> Record | None:
    """Plan a removal; return the draft that says so, None when the object itself goes."""
    drafted = is_draft(record) or drafts_of(change, record.type_name, record.fq_name) is not None
    if is_free(change) or not drafted:
        admission.delete(change, record, links)
        return None
    if is_draft(record) and record.body.get(_STATE) == "created":
        _beyond(change, lambda: admission.delete(change, record, links))
        return record
    enforced = _enforced(change, record) if is_draft(record) else record
    draft = record if is_draft(record) else draft_of(change, record)
    _refuse_if_referred(change, [each for each in (enforced, draft) if each is not None], links)
    if draft is None:
        holder = drafts_of(change, record.type_name, record.fq_name)
        draft = _copy(change, record, holder, "deleted") if holder is not None else record
    body = {name: v for name, v in draft.body.items() if not name.endswith("_refs")}
    body[_STATE] = "deleted"
    marked = admission.next_version(draft, body, draft.side)
    change.view.put(marked)
    return marked


def _refuse_if_referred(change: Change, meant: list[Record], links: Links) -> None:
    """Refuse while something would still refer to the object once the drafts are committed."""
    own = {each.uuid for each in meant}
    blocking: dict[str, Record] = {}
    for target in meant:
        for kind in sorted(change.view.referrer_types(target.uuid)):
            for source in referrers(change.view, target.uuid, kind):
                superseded = not is_draft(source) and draft_of(change, source) is not None
                if source.uuid not in own and not superseded:
                    blocking[source.uuid] = source
    if blocking:
        raise admission.held(change, texts.still_referred, list(blocking.values()), links)


def settle(change: Change, request: Document, links: Links) -> None:
    """Commit or discard all drafts of a scope (security-policy-draft)."""
    action = documents.text(request, "action")
    if action not in ("commit", "discard"):
        raise bad_request(f"Only 'commit' or 'discard' actions are supported, not {shown(action)}")
    uuid = documents.text(request, "scope_uuid")
    if not uuid:
        raise bad_request("Bad Request, scope_uuid must be specified")
    scope = rights.known(change, change.view.get(uuid), texts.unknown_id(shown(uuid)))
    rights.check_edit(change, scope, ())
    holder = _holder(change, scope)
    if holder is None:
        raise bad_request(
            f"Security policy draft is not enabled on {scope.type_name} {list(scope.fq_name)}"
        )
    drafts = pending_in(change, holder)
    if action == "commit":
        _beyond(change, lambda: _commit(change, drafts, links))
    else:
        _drop(change, drafts)


def _holder(change: Change, scope: Record) -> Record | None:
    kind = scope.type_name
    if kind == "project":
        return find(change.view, "policy-management", (*scope.fq_name, DRAFTS))
    if scope.fq_name in ((SYSTEM,), (GLOBAL_HOLDER,)):
        return find(change.view, "policy-management", (DRAFTS,))
    if kind == "policy-management" and scope.name == DRAFTS:
        return scope
    raise bad_request(
        f"{kind} {list(scope.fq_name)} has no security policy of its own: "
        "scope_uuid names a project or the global system configuration"
    )


def _enforced_name(draft: Record) -> tuple[str, ...]:
    scope = draft.fq_name[:-2]
    return (*scope, draft.name) if scope else (GLOBAL_HOLDER, draft.name)


def _enforced(change: Change, draft: Record) -> Record | None:
    return find(change.view, draft.type_name, _enforced_name(draft))


def _commit(change: Change, drafts: list[Record], links: Links) -> None:
    became: dict[str, Record] = {}
    """Enforced object by uuid of the draft it follows from."""
    staying = [draft for draft in drafts if draft.body.get(_STATE) != "deleted"]
    leaving = [draft for draft in drafts if draft.body.get(_STATE) == "deleted"]
    for draft in staying:
        became[draft.uuid] = _enforce(change, draft, became)
    targets = [_enforced(change, draft) for draft in leaving]
    _drop(change, drafts)
    for target in reversed(targets):
        if target is not None:
            admission.delete(change, target, links)


def _enforce(change: Change, draft: Record, became: dict[str, Record]) -> Record:
    """Create or replace the enforced object a draft stands for."""
    content = _content(draft)
    for name in list(content):
        if name.endswith("_refs"):
            content[name] = _followed(documents.sections(content, name), became)
    for name in ("endpoint_1", "endpoint_2"):
        if name in content:
            content[name] = _named_as_enforced(documents.section(content, name))
    enforced = _enforced(change, draft)
    if enforced is None:
        fq_name = _enforced_name(draft)
        content["fq_name"] = list(fq_name)
        content["parent_type"] = "project" if draft.fq_name[:-2] else "policy-management"
        for name in ("perms2", "id_perms"):
            content[name] = documents.section(draft.body, name)
        resource = change.schema.resources[draft.type_name]
        made = admission.create(change, resource, content)
        if draft.side != NO_SIDE:
            made = admission.next_version(made, made.body, draft.side)
            change.view.put(made)
        return made
    body = {name: value for name, value in enforced.body.items() if name in _IDENTITY}
    for name in _COMPUTED.get(draft.type_name, ()):
        if name in enforced.body:
            body[name] = enforced.body[name]
    body.update({name: value for name, value in content.items() if value != []})
    given = documents.section(draft.body, "id_perms")
    return admission.replace_body(change, enforced, body, side=draft.side, given=given)


def _followed(references: list[Document], became: dict[str, Record]) -> list[Document]:
    """Return the references with enforced objects in place of drafts, each once."""
    found: dict[str, Document] = {}
    for reference in references:
        target = became.get(documents.text(reference, "uuid") or "")
        if target is not None:
            reference = {**reference, "uuid": target.uuid, "to": list(target.fq_name)}
        found[documents.text(reference, "uuid") or ""] = reference
    return list(found.values())


def _named_as_enforced(endpoint: Document) -> Document:
    """Return an endpoint that names no address group as a draft."""
    parts = (documents.text(endpoint, "address_group") or "").split(":")
    if parts[-2:-1] != [DRAFTS]:
        return endpoint
    name = [*parts[:-2], parts[-1]] if parts[:-2] else [GLOBAL_HOLDER, parts[-1]]
    return {**endpoint, "address_group": ":".join(name)}


def _drop(change: Change, drafts: list[Record]) -> None:
    """Remove drafts; only drafts refer to drafts."""
    for draft in reversed(drafts):
        change.view.numbers.release_owner(draft.uuid)
        change.view.remove(draft.uuid)
