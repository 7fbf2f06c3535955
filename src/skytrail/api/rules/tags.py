"""Rules of tags and tag types: the name says type and value, the ids are numbers in hex text."""

from __future__ import annotations

import re

from skytrail.api import documents
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.references import reference_to
from skytrail.api.refusal import Refused, bad_request, conflict
from skytrail.model.validate import shown

TYPE_POOL = "tag-type-id"
_SYSTEM_IDS = ((255, 32_767),)
_USER_IDS = range(32_768, 65_536)
_PREDEFINED = 7
_HEX = re.compile("(0[xX])?[0-9a-fA-F]{1,8}")
_TYPE, _TAG = "tag-type", "tag"
MULTI_VALUE_TYPES = frozenset({"label", "neutron_fwaas", "neutron_tag"})
_MATCHING = "firewall-rule"
"""The type whose tag references are what it matches, not what it carries."""


def check_carried(type_name: str, body: Document) -> None:
    """Refuse two tags of one type on an object, unless the type may have several values."""
    references = documents.sections(body, "tag_refs")
    if len(references) < 2 or type_name == _MATCHING:
        return
    seen: set[str] = set()
    for reference in references:
        kind = type_of(reference)
        if kind in seen and kind not in MULTI_VALUE_TYPES:
            raise bad_request(set_twice(kind))
        seen.add(kind)


def type_of(reference: Document) -> str:
    """Return the type of the tag a reference names."""
    name = documents.texts(reference, "to")
    return name[-1].partition("=")[0] if name else ""


def set_twice(kind: str) -> str:
    return f"Tag type {shown(kind)} cannot be set multiple times on a same object."


def _prepare_tag(change: Change, body: Document) -> None:
    """Name the tag after its type and value, whatever name was given."""
    kind, value = documents.text(body, "tag_type_name"), documents.text(body, "tag_value")
    if not kind or not value:
        raise bad_request("Tag must be created with a type and a value")
    if "=" in kind or "=" in value:
        raise bad_request("Tag type and value may not contain '='")
    name = f"{kind}={value}"
    given = documents.texts(body, "fq_name")
    if given:
        body["fq_name"] = [*given[:-1], name]
    body["display_name"] = name


def _create_tag(change: Change, body: Document) -> None:
    kind = documents.text(body, "tag_type_name") or ""
    given = _given_tag_id(documents.text(body, "tag_id"))
    tag_type = find(change.view, _TYPE, (kind,))
    if tag_type is None:
        tag_type = _new_type(change, kind, None if given is None else given[0])
    body["tag_type_refs"] = [reference_to(tag_type)]
    body.setdefault("tag_predefined", False)
    number = int(documents.text(tag_type.body, "tag_type_id") or "0", 16)
    owner = documents.text(body, "uuid") or ""
    pool = f"tag-id/{number}"
    if given is None:
        value = change.view.numbers.take_first(pool, _SYSTEM_IDS, owner)
        if value is None:
            raise conflict(f"Tag type {kind} has no tag ID left")
    else:
        value = given[1]
        if given[0] != number:
            raise bad_request(f"Tag ID {body['tag_id']} is not one of tag type {shown(kind)}")
        if not change.view.numbers.take(pool, value, owner):
            raise bad_request(f"Tag ID {body['tag_id']} is in use")
    body["tag_id"] = f"0x{number:04x}{value:04x}"


def _given_tag_id(text: str | None) -> tuple[int, int] | None:
    """Return type and value number of an id the user chose."""
    if text is None:
        return None
    number = _hexadecimal(text, "Tag ID")
    kind, value = divmod(number, 1 << 16)
    if kind > _USER_IDS[-1] or value not in _USER_IDS:
        raise bad_request(f"Tag ID {shown(text)}: the value part is outside 0x8000..0xffff")
    return kind, value


def _hexadecimal(text: str, what: str) -> int:
    if _HEX.fullmatch(text) is None:
        raise bad_request(f"{what} {shown(text)} is not hexadecimal")
    return int(text, 16)


def _new_type(change: Change, name: str, number: int | None) -> Record:
    from skytrail.api import admission, rights  # the table of rules is below admission

    body: Document = {"fq_name": [name]}
    if number is not None:
        body["tag_type_id"] = f"0x{number:04x}"
    with rights.on_own_behalf(change):
        return admission.create(change, change.schema.resources[_TYPE], body)


def _update_tag(change: Change, old: Record, body: Document) -> None:
    for name in ("tag_type_name", "tag_value", "tag_id", "tag_predefined", "tag_type_refs"):
        if body.get(name) != old.body.get(name):
            raise bad_request(f"Tag {name.removeprefix('tag_')} cannot be updated")


def _create_type(change: Change, body: Document) -> None:
    owner = documents.text(body, "uuid") or ""
    given = documents.text(body, "tag_type_id")
    if given is None:
        number = change.view.numbers.take_first(TYPE_POOL, _SYSTEM_IDS, owner)
        if number is None:
            raise conflict("No tag type ID is left")
    else:
        number = _given_id(change, given)
        if not change.view.numbers.take(TYPE_POOL, number, owner):
            raise bad_request(f"Tag type ID {given} is in use")
    body["tag_type_id"] = f"0x{number:04x}"


def _given_id(change: Change, text: str) -> int:
    number = _hexadecimal(text, "Tag type ID")
    if number in _USER_IDS or (change.by_system and 0 <= number < _PREDEFINED):
        return number
    raise bad_request(f"Tag type ID {shown(text)} is outside 0x8000..0xffff")


def _update_type(change: Change, old: Record, body: Document) -> None:
    if body.get("tag_type_id") != old.body.get("tag_type_id"):
        raise bad_request("Tag type ID cannot be updated")
    if body.get("display_name") != old.body.get("display_name"):
        raise bad_request("Tag type display name cannot be updated")


def _delete_type(change: Change, record: Record) -> None:
    number = int(documents.text(record.body, "tag_type_id") or "0xffff", 16)
    if number < _PREDEFINED and not change.by_system:
        raise Refused(403, f"Tag type {record.name} is predefined and cannot be deleted")


def _after_delete(change: Change, record: Record) -> None:
    """Let a tag type go with its last tag, unless it is one of the predefined."""
    for _, uuid in record.targets:
        tag_type = change.view.get(uuid)
        if tag_type is None or tag_type.type_name != _TYPE:
            continue
        number = int(documents.text(tag_type.body, "tag_type_id") or "0", 16)
        if number >= _PREDEFINED and not any(change.view.referrer_uuids(uuid, _TAG)):
            change.view.numbers.release_owner(uuid)
            change.view.remove(uuid)


TAG = Rule(prepare=_prepare_tag, create=_create_tag, update=_update_tag, after_delete=_after_delete)
TAG_TYPE = Rule(create=_create_type, update=_update_type, delete=_delete_type)
