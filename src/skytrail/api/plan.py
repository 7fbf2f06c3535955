"""What a change comes to, told before it is made: the intent part, object by object."""

from __future__ import annotations

from skytrail.api.differences import differences
from skytrail.api.documents import Document
from skytrail.api.graph import Overlay, Record

_NOISE = frozenset({"/id_perms/last_modified"})
"""Changes with every write and tells nobody anything."""


def intent_changes(plan: Overlay) -> list[Document]:
    """Return every object a plan creates, updates or deletes, with what differs."""
    found: list[Document] = []
    for uuid, record in plan.changed.items():
        before = plan.base.get(uuid)
        if record is None:
            if before is not None:
                found.append(_entry("delete", before))
        elif before is None:
            found.append({**_entry("create", record), "object": record.body})
        else:
            changed = [
                each.shown()
                for each in differences(before.body, record.body)
                if each.shown()["path"] not in _NOISE
            ]
            if changed or before.side != record.side:
                found.append({**_entry("update", record), "fields": changed})
    return found


def _entry(verb: str, record: Record) -> Document:
    return {
        "op": verb,
        "type": record.type_name,
        "uuid": record.uuid,
        "fq_name": list(record.fq_name),
    }
