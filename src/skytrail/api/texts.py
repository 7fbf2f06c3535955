"""Error texts that clients match, kept in one place and byte-exact."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def no_such_object(type_name: str, uuid: str) -> str:
    return f"No {type_name} object found for id {uuid}"


def unknown_id(uuid: str) -> str:
    return f"Unknown id: {uuid}"


def id_does_not_exist(uuid: str) -> str:
    return f"ID {uuid} does not exist"


def name_not_found(fq_name: Sequence[str]) -> str:
    return f"Name {list(fq_name)} not found"


def resource_type_not_found(type_name: str) -> str:
    return f"Resource type '{type_name}' not found"


def uuid_not_found(uuid: str) -> str:
    return f"UUID {uuid} not found"


def already_exists(fq_name: Sequence[str], uuid: str) -> str:
    return f"{list(fq_name)} already exists with uuid: {uuid}"


def uuid_already_exists(uuid: str, fq_name: Sequence[str]) -> str:
    return f"{uuid} already exists with fq_name: {list(fq_name)}"


def no_fq_name() -> str:
    return "Bad Request, no fq_name in POST body"


def invalid_characters(forbidden: str) -> str:
    return f"Bad Request, name has one of invalid chars {forbidden}"


def illegal_xml_characters() -> str:
    return "Bad Request, name has illegal xml characters"


def invalid_parent_type(given: str, allowed: Iterable[str]) -> str:
    return f"Invalid parent type: {given}. Allowed types: {list(allowed)}"


def parent_missing(fq_name: Sequence[str], parent_type: str) -> str:
    return f"Parent {list(fq_name)} type {parent_type} does not exist"


def invalid_fq_name(parent_type: str, fq_name: Sequence[str]) -> str:
    return f"Invalid fq-name for object with parent_type {parent_type}: {list(fq_name)}"


def invalid_uuid(given: object) -> str:
    return f"Invalid UUID format: {given}"


def children_present(links: Sequence[str]) -> str:
    return f"Delete when children still present: {list(links)}"


def still_referred(links: Sequence[str]) -> str:
    return f"Delete when resource still referred: {list(links)}"


def system_resource(kind: str, fq_name: Sequence[str], uuid: str) -> str:
    return f"Cannot modify system resource {kind} {':'.join(fq_name)}({uuid})"


def quota_exceeded(limit: int, type_name: str) -> str:
    return f"quota limit ({limit}) exceeded for resource {type_name}"


def roles_empty() -> str:
    return "roles empty!!"


def not_visible(uuid: str) -> str:
    return f"This object is not visible by users: {uuid}"


def permission_denied(
    user: str, roles: Sequence[str], operation: str, subject: str, project: str | None
) -> str:
    return (
        f"Permission Denied for {user} as {','.join(roles)} to {operation} {subject} in {project}"
    )
