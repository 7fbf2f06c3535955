"""The parts every object carries: uuid, name, permissions."""

from __future__ import annotations

import re

from skytrail.api import documents, texts
from skytrail.api.documents import Document, is_document
from skytrail.api.refusal import bad_request
from skytrail.model.validate import has_illegal_characters, misleading_character, shown

_CANONICAL_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FQ_NAME_BYTES_MAX = 1024
CLOUD_ADMIN = "cloud-admin"


def is_uuid(value: object) -> bool:
    """Whether the value is a uuid in its canonical lower-case dashed form."""
    return isinstance(value, str) and _CANONICAL_UUID.fullmatch(value) is not None


def check_fq_name(type_name: str, body: Document) -> tuple[str, ...]:
    """Return the name of a create body; refuse names no client could use later."""
    given = body.get("fq_name")
    if not given:
        raise bad_request(texts.no_fq_name())
    parts = documents.texts(body, "fq_name")
    if not isinstance(given, list) or len(parts) != len(documents.as_list(given)):
        raise bad_request(f"Bad Request, fq_name must be a list of strings, got {shown(given)}")
    if not all(parts):
        raise bad_request("Bad Request, fq_name has an empty name")
    if type_name != "route-target" and ":" in parts[-1]:
        raise bad_request(texts.invalid_characters(":"))
    joined = ":".join(parts)
    if has_illegal_characters(joined):
        raise bad_request(texts.illegal_xml_characters())
    check_plain("fq_name", parts[-1])
    if len(joined) > _FQ_NAME_BYTES_MAX or len(joined.encode()) > _FQ_NAME_BYTES_MAX:
        raise bad_request(f"Bad Request, fq_name is longer than {_FQ_NAME_BYTES_MAX} bytes")
    return tuple(parts)


def check_plain(field: str, name: object) -> None:
    """Refuse a name that looks like another one; those that were given before it was refused stay as they are."""
    character = misleading_character(name) if isinstance(name, str) else None
    if character is not None:
        raise bad_request(
            f"Bad Request, {field} has the character {character}, which is not seen or turns the text"
            " after it around: leave it out"
        )


def id_permissions(uuid: str, given: Document, now: str) -> Document:
    """Return the id_perms of a new object; of what is given only four members count."""
    high, low = divmod(int(uuid.replace("-", ""), 16), 1 << 64)
    visible = documents.flag(given, "user_visible")
    enable = documents.flag(given, "enable")
    return {
        "enable": True if enable is None else enable,
        "description": documents.text(given, "description"),
        "creator": documents.text(given, "creator"),
        "user_visible": True if visible is None else visible,
        "created": now,
        "last_modified": now,
        "uuid": {"uuid_mslong": high, "uuid_lslong": low},
        "permissions": {
            "owner": CLOUD_ADMIN,
            "owner_access": 7,
            "group": "cloud-admin-group",
            "group_access": 7,
            "other_access": 7,
        },
    }


def touched(body: Document, now: str, given: Document | None = None) -> Document:
    """Return the id_perms of a changed object: a new time, and enable or description if given."""
    perms = dict(documents.section(body, "id_perms"))
    perms["last_modified"] = now
    for name in ("enable", "description"):
        if given is not None and given.get(name) is not None:
            perms[name] = given[name]
    return perms


def permissions(given: object, owner: str) -> Document:
    """Return the perms2 of a new object, the given members over the defaults."""
    perms: Document = {"owner": owner, "owner_access": 7, "global_access": 0, "share": []}
    if is_document(given):
        perms.update({name: part for name, part in given.items() if part is not None})
    return perms


def changed_permissions(body: Document, given: Document) -> Document:
    """Return the perms2 after an update, which has to name an owner."""
    if not given.get("owner"):
        raise bad_request("owner in perms2 must be present")
    kept = documents.section(body, "perms2")
    return {**kept, **{name: part for name, part in given.items() if part is not None}}
