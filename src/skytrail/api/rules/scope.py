"""Which project a body belongs to: objects outside of all projects are global."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request

PROJECT = "project"


def project_above(change: Change, body: Document) -> Record | None:
    """Return the nearest project above an object; None for global ones and projects."""
    here = change.view.get(documents.text(body, "parent_uuid") or "")
    while here is not None and here.type_name != PROJECT:
        here = change.view.get(here.parent_uuid or "")
    return here


def check_global_references(change: Change, body: Document, fields: tuple[str, ...]) -> None:
    """Refuse a global object that refers to an object of some project."""
    if project_above(change, body) is not None:
        return
    for field in fields:
        for target in referred(change, body, field):
            if project_above(change, target.body) is not None:
                raise bad_request(
                    f"{documents.texts(body, 'fq_name')} is global and may only refer to global "
                    f"objects: {target.type_name} {list(target.fq_name)} belongs to a project"
                )
