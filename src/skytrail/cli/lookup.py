"""From names people write to stored objects."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from skytrail.cli.names import (
    FqName,
    did_you_mean,
    fits_length,
    full_names,
    is_uuid,
    split_name,
)
from skytrail.cli.session import Refused, Session
from skytrail.client import ApiError
from skytrail.client.messages import Call, JsonObject, decode_reply
from skytrail.model.catalog import ObjectType

NOT_FOUND = 404


def find_uuid(session: Session, kind: ObjectType, text: str) -> str:
    """Return the uuid of an object by uuid, full name, or a name's end that only one fits.

    Refused with suggestions when none or several fit.
    """
    if is_uuid(text):
        known = _by_full_name(session, kind, (text,)) if kind.is_root else None
        return known or text
    parts = split_name(text, kind)
    for fq_name in full_names(parts, kind, session.project):
        if fits_length(fq_name, kind):
            uuid = _by_full_name(session, kind, fq_name)
            if uuid is not None:
                return uuid
    uuids = {fq_name_of(item): str(item["uuid"]) for item in session.client.list(kind.name)}
    return uuids[only_fitting(kind, parts, uuids)]


def find_full_name(
    session: Session, kind: ObjectType, parts: FqName, planned: Collection[FqName] = ()
) -> FqName:
    """Return the full name that a written one stands for, as :func:`find_uuid` understands it.

    Objects about to be created (``planned``, by full name) count like stored ones.
    """
    for fq_name in full_names(parts, kind, session.project):
        if fits_length(fq_name, kind) and (
            fq_name in planned or _by_full_name(session, kind, fq_name) is not None
        ):
            return fq_name
    if len(parts) == 1 and is_uuid(parts[0]):
        return fq_name_of(session.client.read(kind.name, parts[0], fields=("display_name",)))
    stored = [fq_name_of(item) for item in session.client.list(kind.name)]
    return only_fitting(kind, parts, {*planned, *stored})


def only_fitting(kind: ObjectType, parts: FqName, names: Collection[FqName]) -> FqName:
    """Return the only name that ends with these parts; Refused with suggestions otherwise."""
    text = ":".join(parts)
    fitting = [name for name in names if name[-len(parts) :] == parts]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = "\n  ".join(sorted(":".join(name) for name in fitting))
        raise Refused(
            f"{len(fitting)} {kind.name} objects are named {text!r}; use one of\n  {listed}"
        )
    known = {":".join(name[-len(parts) :]) for name in names if name}
    raise Refused(
        f"No {kind.name} {text!r}.{did_you_mean(text, known)}"
        f" `skytrail get {kind.name}` lists all of them."
    )


def find(session: Session, kind: ObjectType, text: str, *, relations: bool = False) -> JsonObject:
    """Return the object a name stands for."""
    uuid = find_uuid(session, kind, text)
    return session.client.read(kind.name, uuid, relations=relations)


def find_parent(session: Session, kind: ObjectType, text: str) -> str:
    """Return the uuid of a parent given as uuid, ``TYPE=NAME`` or a name of any parent type."""
    from skytrail.cli.names import resolve_type

    if is_uuid(text):
        return text
    type_word, separator, name = text.partition("=")
    if separator:
        return find_uuid(session, resolve_type(type_word), name)
    if not kind.parent_types:
        raise Refused(f"A {kind.name} has no parent: leave --parent out")
    from skytrail.model.catalog import CATALOG

    for parent_type in kind.parent_types:
        parent = CATALOG.objects[parent_type]
        for fq_name in full_names(split_name(text, parent), parent, session.project):
            uuid = _by_full_name(session, parent, fq_name)
            if uuid is not None:
                return uuid
    return find_uuid(session, CATALOG.objects[kind.parent_types[0]], text)


def name_of(session: Session, uuid: str) -> tuple[str, str]:
    """Return type and full name of any object; the uuid itself when it is gone."""
    try:
        reply = session.client.call(Call("POST", "/id-to-fqname", {"uuid": uuid}))
    except ApiError:
        return ("object", uuid)
    found = decode_reply(reply, dict[str, object])
    parts = cast("list[str]", found.get("fq_name", [uuid]))
    return (str(found.get("type", "object")), ":".join(parts))


def fq_name_of(item: JsonObject) -> tuple[str, ...]:
    found = item.get("fq_name")
    return tuple(str(part) for part in found) if isinstance(found, list | tuple) else ()


def _by_full_name(session: Session, kind: ObjectType, fq_name: tuple[str, ...]) -> str | None:
    try:
        return session.client.name_to_id(kind.name, fq_name)
    except ApiError as error:
        if error.status != NOT_FOUND:
            raise
        return None
