"""Messages as rows of history. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from skytrail.analytics.telemetry import typed_fields
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import (
    Field,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    encode_body,
)
from skytrail.wire.telemetry import Hello, Log, Lost

LOGGED: Final = frozenset(
    {
        SandeshType.SYSTEM,
        SandeshType.TRACE,
        SandeshType.OBJECT,
        SandeshType.TRACE_OBJECT,
        SandeshType.SYSLOG,
    }
)
"""Types of message that are rows of the message table."""

PAST_US_MAX: Final = 31 * 86_400_000_000
AHEAD_US_MAX: Final = 86_400_000_000
"""Of what is told. The store has a part for each day, and those of a far future would never go."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_LATEST_US: Final = 4_102_444_800_000_000
"""The year 2100: columns of time hold no more."""
Row = dict[str, object]


def message_row(message: SandeshMessage) -> Row:
    """Return a message as a row; its text is the XML of its body, as it always was."""
    header = message.header
    objects = dict(_objects(message.fields))
    return {
        "MessageTS": header.timestamp_us,
        "Source": header.source,
        "ModuleId": header.module,
        "NodeType": header.node_type,
        "InstanceId": header.instance_id,
        "Category": header.category,
        "Level": min(max(header.level, -(1 << 15)), (1 << 15) - 1),
        "Type": int(header.type),
        "Messagetype": message.name,
        "SequenceNum": header.sequence & 0xFFFFFFFF,
        "Context": header.context,
        "Xmlmessage": encode_body(message),
        "IPAddress": header.address,
        "Pid": header.pid & 0xFFFFFFFF,
        "ObjectTables": list(objects),
        "ObjectIds": list(objects.values()),
    }


def is_timely(at_us: int, wall_us: int) -> bool:
    """Tell whether something is kept for that time; ``wall_us`` is now."""
    return -PAST_US_MAX <= at_us - wall_us <= AHEAD_US_MAX


def gap_row(source: str, module: str, lost: Lost) -> Row:
    """Return what somebody could not tell as a row; ``DecodeError`` when it makes no sense."""
    if lost.kind not in {"log", "session", "uve", "all"} or not _NAME.fullmatch(lost.reason):
        raise DecodeError(f"{lost.kind[:32]!r} of {lost.reason[:32]!r} is nothing that can be lost")
    if not 0 <= lost.since_us <= lost.until_us <= _LATEST_US or not 0 <= lost.count < 1 << 63:
        raise DecodeError("a gap has a beginning, an end after it and a count")
    return {
        "T": lost.since_us,
        "Until": lost.until_us,
        "Source": source,
        "ModuleId": module,
        "Kind": lost.kind,
        "Reason": lost.reason,
        "Count": lost.count,
    }


def _objects(fields: Mapping[str, Field]) -> Iterator[tuple[str, str]]:
    """Yield (table, key) of every entity a message is about."""
    for each in fields.values():
        if "key" in each.annotations and isinstance(each.value, str):
            yield each.annotations["key"], each.value
        elif isinstance(each.value, Struct):
            yield from _objects(each.value.fields)


def message_of(hello: Hello, log: Log, sequence: int) -> SandeshMessage:
    """Return a log event of our own as the message a generator would send.

    ``DecodeError`` when a name cannot be an element's, or a value no field's.
    """
    unfit = [name for name in (log.event, *log.fields) if not _NAME.fullmatch(name)]
    if unfit:
        raise DecodeError(f"{unfit[0][:64]!r} is no name of an event or a field")
    header = SandeshHeader(
        source=hello.source,
        module=hello.module,
        node_type=hello.node_type,
        instance_id=hello.instance_id,
        timestamp_us=log.timestamp_us,
        sequence=sequence,
        type=SandeshType.OBJECT if log.objects else SandeshType.SYSTEM,
        level=log.level,
        category=log.category,
        pid=hello.pid,
    )
    objects = {
        f"object{index}": Field("string", key, "", {"key": table})
        for index, (table, key) in enumerate(log.objects.items())
    }
    return SandeshMessage(header, log.event, {**objects, **typed_fields(log.fields)})
