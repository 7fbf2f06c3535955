"""Changes as the analytics node hears of them: messages of the original's ``ConfigObjectTable``. Pure.

The audit log is what is complete and can be proved; this is for queries beside everything else. What the compiler derives
is left out: it follows from what is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from skytrail.api.audit import Alteration, Entry
from skytrail.wire.telemetry import Log

EVENT: Final = "VncApiConfigLog"
CHANGES_CHARACTERS_MAX: Final = 8_192
_INFO: Final = 6
_STAMP: Final = ("id_perms", "last_modified")
"""Changes with every change, and is the message's own time."""


def logs_of(entry: Entry) -> Iterator[Log]:
    """Yield a message for each object that a request changed."""
    if entry.derived_from is not None:
        return
    at = datetime.fromisoformat(entry.at).replace(tzinfo=UTC)
    for alteration in entry.alterations:
        yield Log(
            timestamp_us=round(at.timestamp() * 1e6),
            level=_INFO,
            event=EVENT,
            category="default",
            fields={
                "identifier_uuid": alteration.uuid,
                "object_type": alteration.type,
                "identifier_name": ":".join(alteration.name),
                "operation": alteration.op,
                "user": entry.by,
                "request_id": entry.request_id,
                "changes": _changes(alteration),
            },
            objects={
                "ConfigObjectTable": f"{alteration.type}:{':'.join(alteration.name)}",
                "ConfigObjectTableByUser": entry.by,
            },
        )


def _changes(alteration: Alteration) -> str:
    told = [each.shown() for each in alteration.fields if each.path != _STAMP]
    shown = msgspec.json.encode(told).decode()
    return shown if len(shown) <= CHANGES_CHARACTERS_MAX else "too long; see the audit log"
