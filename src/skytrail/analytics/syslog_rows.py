"""Syslog messages as rows of the message table, their structured data as statistics. Pure.

```
 message      --> MessageTable: Type 10, Category the facility, Messagetype its MSGID or "Syslog"
 its elements --> StatTable.StructuredSyslog.data: a row for each, numbers as numbers, the rest as texts
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from skytrail.analytics.exporters import Exporter
from skytrail.analytics.history_rows import message_row
from skytrail.analytics.statistics import ATTRIBUTES_COUNT_MAX, TEXT_CHARACTERS_MAX, Row
from skytrail.analytics.syslog_fields import is_typed, value_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import Field, SandeshHeader, SandeshMessage, SandeshType, Struct
from skytrail.wire.syslog import FACILITIES, SyslogMessage

MESSAGE: Final = "Syslog"
STATISTICS: Final = "StatTable.StructuredSyslog.data"
EARLIER_US: Final = 48 * 3600 * 1_000_000
"""A message that says it is older, or from beyond the next hour, counts as of now: clocks of devices may be off."""
LATER_US: Final = 3600 * 1_000_000
ROUTER_TABLE: Final = "ObjectPRouter"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.\-]")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def row_of(message: SyslogMessage, exporter: Exporter, now_us: int) -> Row:
    """Return the row of the message table; its severity is column ``Level``."""
    fields = {"text": Field("string", _shown(message.text))}
    if message.elements:
        fields["elements"] = Field("struct", _structured(message))
    if exporter.name:
        fields["router"] = Field("string", exporter.name, "", {"key": ROUTER_TABLE})
    header = SandeshHeader(
        source=message.host or exporter.shown,
        module=message.application,
        node_type="Syslog",
        instance_id=message.process,
        timestamp_us=_time(message, now_us),
        type=SandeshType.SYSLOG,
        level=message.severity,
        category=FACILITIES[message.facility],
        address=exporter.address,
    )
    name = message.message_id if _NAME.fullmatch(message.message_id) else MESSAGE
    return message_row(SandeshMessage(header, name, fields))


def statistics_of(message: SyslogMessage, exporter: Exporter, now_us: int) -> Iterator[Row | None]:
    """Yield a row for each element; None for one that says what its fields cannot."""
    for element, parameters in message.elements.items():
        try:
            values = dict(_values(element, parameters))
        except DecodeError:
            yield None
            continue
        texts = {"data.element": element, "data.tag": message.message_id}
        texts |= {"data.application": message.application}
        numbers: dict[str, float] = {}
        for key, value in values.items():
            name = f"data.{_attribute(key)}"
            if isinstance(value, str):
                texts[name] = _shown(value[:TEXT_CHARACTERS_MAX])
            else:
                numbers[name] = value
        yield {
            "T": _time(message, now_us),
            "Table": STATISTICS,
            "name": message.host or exporter.shown,
            "Source": exporter.shown,
            "texts": texts,
            "numbers": numbers,
        }


def _values(element: str, parameters: Mapping[str, str]) -> Iterator[tuple[str, str | float]]:
    """Yield what an element says; ``DecodeError`` where that is not of the type of its field."""
    for key, value in list(parameters.items())[:ATTRIBUTES_COUNT_MAX]:
        if not is_typed(element):
            yield key, float(value) if _NUMBER.fullmatch(value) else value
        elif (said := value_of(key, value)) is not None:
            yield key, said


def _structured(message: SyslogMessage) -> Struct:
    return Struct(
        "elements",
        {
            _attribute(name): Field(
                "struct",
                Struct(
                    _attribute(name),
                    {
                        _attribute(key): Field("string", _shown(value))
                        for key, value in parameters.items()
                    },
                ),
            )
            for name, parameters in message.elements.items()
        },
    )


def _attribute(name: str) -> str:
    """Return a name that queries and XML can have: SD-IDs have an at sign, and may begin with anything."""
    fit = _UNFIT.sub("_", name)
    return fit if fit[:1].isalpha() or fit.startswith("_") else f"_{fit}"


def _time(message: SyslogMessage, now_us: int) -> int:
    said = message.timestamp_us
    if said is None or not now_us - EARLIER_US <= said <= now_us + LATER_US:
        return now_us
    return said


def _shown(text: str) -> str:
    """Return text that XML and terminals can show: control characters as ``0xNN``."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
