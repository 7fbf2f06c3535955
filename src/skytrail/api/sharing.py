"""Who an object belongs to and who shares it: the state of ``perms2``, never who may change it.

The rights of a caller are judged elsewhere; here are the two calls that edit ``perms2``, chown and
chmod.
"""

from __future__ import annotations

from typing import TypeGuard
from uuid import UUID

from skytrail.api import admission, documents, identity, rights
from skytrail.api.change import Change
from skytrail.api.documents import Document, is_document
from skytrail.api.graph import Record
from skytrail.api.refusal import Refused, bad_request
from skytrail.model.validate import has_illegal_characters

_ACCESS = range(8)
_NAME_LENGTH_MAX = 256


def change_owner(change: Change, request: Document) -> Record:
    """Give an object to another project (chown)."""
    record = _addressed(change, request)
    owner = request.get("owner")
    if not is_name(owner):
        raise _invalid("owner")
    return _renew(change, record, {"owner": owner_text(owner)})


def change_mode(change: Change, request: Document) -> Record:
    """Change the given parts of an object's permissions (chmod); null means not given."""
    record = _addressed(change, request)
    given = {name: value for name, value in request.items() if value is not None}
    changed: Document = {}
    if "owner" in given:
        if not is_name(given["owner"]):
            raise _invalid("owner")
        changed["owner"] = owner_text(given["owner"])
    for name in ("owner_access", "global_access"):
        if name in given:
            if not _is_access(given[name]):
                raise _invalid(f"{name} value")
            changed[name] = given[name]
    if "share" in given:
        changed["share"] = _share(given["share"])
    return _renew(change, record, changed)


def _invalid(what: str) -> Refused:
    return bad_request(f"Bad Request, invalid {what}")


def _addressed(change: Change, request: Document) -> Record:
    uuid = request.get("uuid")
    record = change.view.get(uuid) if isinstance(uuid, str) else None
    if record is None or not rights.shown_name(change, record):
        raise _invalid("object id")
    rights.check_permissions_edit(change, record)
    return record


def is_name(value: object) -> TypeGuard[str]:
    """Whether a value can name an owner or a tenant."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _NAME_LENGTH_MAX
        and not has_illegal_characters(value)
    )


def owner_text(given: str) -> str:
    """Return an owner as it is stored: a project's uuid without dashes, anything else as it is."""
    return UUID(given).hex if identity.is_uuid(given) else given


def _is_access(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in _ACCESS


def _share(given: object) -> list[Document]:
    """Return the share list, one entry per tenant; refuse entries nobody could match."""
    entries: dict[str, Document] = {}
    if not isinstance(given, list):
        raise _invalid("share list")
    for entry in documents.as_list(given):
        if not is_document(entry):
            raise _invalid("share list")
        tenant, access = entry.get("tenant"), entry.get("tenant_access")
        if not is_name(tenant) or not _is_access(access):
            raise _invalid("share list")
        entries[tenant] = {"tenant": tenant, "tenant_access": access}
    return list(entries.values())


def _renew(change: Change, record: Record, changed: Document) -> Record:
    body = dict(record.body)
    body["perms2"] = {**documents.section(body, "perms2"), **changed}
    return admission.replace_body(change, record, body)
