"""Which project a body belongs to, and where the settings of everybody are."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, find
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request

PROJECT = "project"
_SYSTEM = "default-global-system-config"


def project_above(change: Change, body: Document) -> Record | None:
    """Return the nearest project above an object; None for global ones and projects."""
    here = change.view.get(documents.text(body, "parent_uuid") or "")
    while here is not None and here.type_name != PROJECT:
        here = change.view.get(here.parent_uuid or "")
    return here


def system_settings(change: Change) -> Document:
    """Return the global system configuration: the one of that name, not another of the type."""
    system = find(change.view, "global-system-config", (_SYSTEM,))
    return {} if system is None else system.body


def router_settings(change: Change) -> Document:
    """Return the global configuration of all virtual routers."""
    name = (_SYSTEM, "default-global-vrouter-config")
    config = find(change.view, "global-vrouter-config", name)
    return {} if config is None else config.body


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
