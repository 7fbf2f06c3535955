"""How many objects, subnets and security rules a project may have.

Counted in the plan that adds one, so that no concurrent request can slip past and no counter can
drift. Only what users see counts; default objects and what the server makes do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skytrail.api import documents, texts
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, children
from skytrail.api.references import referred
from skytrail.api.refusal import Refused
from skytrail.model.catalog_types import ObjectType

_PROJECT = "project"


def quota_limit(project: Record, name: str) -> int | None:
    """Return the limit for a member of the project's quota; None when there is none."""
    quota = documents.section(project.body, "quota")
    limit = documents.number(quota, name)
    if limit is None:
        limit = documents.number(quota, "defaults")
    return None if limit is None or limit < 0 else limit


def check_objects(change: Change, resource: ObjectType, body: Document) -> None:
    """Refuse one more object than its project, by parent or by reference, may have."""
    project = _project_of(change, body)
    if project is None or change.by_system:
        return
    limit = quota_limit(project, resource.json_name)
    if limit is None or not _counts(resource.name, body):
        return
    below = set(change.view.child_uuids(project.uuid, resource.name))
    below.update(change.view.referrer_uuids(project.uuid, resource.name))
    below.discard(documents.text(body, "uuid") or "")
    if len(below) < limit:
        return
    present = (change.view.get(uuid) for uuid in below)
    used = sum(1 for each in present if each is not None and _counts(resource.name, each.body))
    if used >= limit:
        raise Refused(412, texts.quota_exceeded(limit, resource.json_name))


def _project_of(change: Change, body: Document) -> Record | None:
    parent = change.view.get(documents.text(body, "parent_uuid") or "")
    if parent is not None and parent.type_name == _PROJECT:
        return parent
    return next(iter(referred(change, body, "project_refs")), None)


def _counts(type_name: str, body: Document) -> bool:
    """Whether users see the object and it is not one that every project has."""
    visible = documents.flag(documents.section(body, "id_perms"), "user_visible")
    name = documents.texts(body, "fq_name")
    return visible is not False and (not name or name[-1] != f"default-{type_name}")


def subnets_count(network: Document) -> int:
    """Return how many subnets of its own a network has."""
    return sum(
        1
        for reference in documents.sections(network, "network_ipam_refs")
        for subnet in documents.sections(documents.section(reference, "attr"), "ipam_subnets")
        if documents.section(subnet, "subnet")
    )


def rules_count(group: Document) -> int:
    """Return how many rules a security group has."""
    return len(
        documents.sections(documents.section(group, "security_group_entries"), "policy_rule")
    )


def check_subnets(change: Change, body: Document, old: Record | None) -> None:
    """Refuse more subnets than the network's project may have in all its networks."""
    limit = _exceeded(change, body, old, _Part("virtual-network", "subnet", subnets_count))
    if limit is not None:
        raise Refused(412, texts.quota_exceeded(limit, "subnet"))


def check_rules(change: Change, body: Document, old: Record | None) -> None:
    """Refuse more rules than the group's project may have in all its groups."""
    part = _Part("security-group", "security_group_rule", rules_count)
    limit = _exceeded(change, body, old, part)
    if limit is not None:
        raise Refused(412, f"security_group_entries: {limit}")


@dataclass(frozen=True, slots=True)
class _Part:
    """What objects of a type have several of, and a project may have so many of."""

    type_name: str
    kind: str
    count: Callable[[Document], int]


def _exceeded(change: Change, body: Document, old: Record | None, part: _Part) -> int | None:
    """Return the limit of the project that a body exceeds, if it does."""
    added = part.count(body) - (0 if old is None else part.count(old.body))
    limit = _part_limit(change, body, part.kind, added)
    if limit is None:
        return None
    total = sum(part.count(each) for each in _siblings(change, body, part.type_name))
    return limit if total > limit else None


def _part_limit(change: Change, body: Document, kind: str, added: int) -> int | None:
    """Return the limit that has to be looked at: fewer parts than before are always fine."""
    project = _project_of(change, body)
    if project is None or added <= 0 or change.by_system:
        return None
    return quota_limit(project, kind)


def _siblings(change: Change, body: Document, type_name: str) -> list[Document]:
    """Return the body and all others of its type in the project that count."""
    project = documents.text(body, "parent_uuid") or ""
    others = (each.body for each in children(change.view, project, type_name))
    uuid = body.get("uuid")
    return [body, *(each for each in others if each["uuid"] != uuid and _counts(type_name, each))]
