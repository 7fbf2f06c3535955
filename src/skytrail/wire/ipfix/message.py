"""One message: a header, then sets of templates, of options templates and of records.

```
 NetFlow 9: version, count, uptime, time, sequence, domain      sets 0 templates, 1 options templates, 256.. records
 IPFIX:     version, length, time, sequence, domain             sets 2 templates, 3 options templates, 256.. records
```
A message is read whole before its templates count for later ones: one that is malformed changes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from skytrail.wire.errors import DecodeError
from skytrail.wire.ipfix.records import SAMPLER, FlowRecord, number_of, rate_of, record_of
from skytrail.wire.ipfix.templates import (
    FIELDS_COUNT_MAX,
    VARIABLE,
    Template,
    TemplateField,
    Templates,
)

NETFLOW_9: Final = 9
IPFIX: Final = 10
RECORDS_COUNT_MAX: Final = 4096
"""Of one message: a datagram of records of a fair size has fewer."""
_RECORDS_FROM: Final = 256
_HEADERS: Final = {NETFLOW_9: struct.Struct("!HHIIII"), IPFIX: struct.Struct("!HHIII")}
_TEMPLATE_SETS: Final = {NETFLOW_9: (0, 1), IPFIX: (2, 3)}
_RFC: Final = {NETFLOW_9: "RFC 3954 section 5", IPFIX: "RFC 7011 section 3"}
_PAIR: Final = struct.Struct("!HH")
_ENTERPRISE_BIT: Final = 0x8000

Place = tuple[int, int]


@dataclass(slots=True)
class Exported:
    """What a message told beside its templates."""

    version: int
    domain: int
    sequence: int
    records: list[FlowRecord] = field(default_factory=list[FlowRecord])
    untold_count: int = 0
    """Sets of records whose template is not known."""
    refused_count: int = 0
    """Templates there was no room for."""


@dataclass(slots=True)
class _Reading:
    """One message while it is read: what it taught so far."""

    templates: Templates
    now: float
    told: Exported
    learned: dict[Place, Template | None] = field(default_factory=dict[Place, Template | None])
    rates: dict[int, int] = field(default_factory=dict[int, int])
    """By sampler."""
    records_count: int = 0

    def template(self, number: int) -> Template | None:
        place = (self.told.domain, number)
        if place in self.learned:
            return self.learned[place]
        return self.templates.get(*place, self.now)

    def rate(self, sampler: int) -> int:
        told = self.templates.rate(self.told.domain, sampler, whole=self.rates.get(0, 0))
        return self.rates.get(sampler) or told

    def error(self, reason: str, offset: int) -> DecodeError:
        return DecodeError(reason, offset, _RFC[self.told.version])


def decode_message(data: bytes, templates: Templates, now: float) -> Exported:
    """Read a message; ``templates`` learns from it unless it is malformed, a ``DecodeError``."""
    told, at, end = _header(data)
    reading = _Reading(templates, now, told)
    while at < end:
        if end - at < _PAIR.size:
            # NetFlow 9 may be padded behind its last set.
            if told.version == NETFLOW_9 and not any(data[at:end]):
                break
            raise reading.error("a set without its header", at)
        number, length = _PAIR.unpack_from(data, at)
        if length < _PAIR.size or length > end - at:
            raise reading.error(f"a set of {length} octets", at)
        _read_set(reading, number, data[at + _PAIR.size : at + length], at + _PAIR.size)
        at += length
    told.refused_count = templates.put(reading.learned, now)
    for sampler, rate in reading.rates.items():
        templates.set_rate(told.domain, sampler, rate)
    return told


def _header(data: bytes) -> tuple[Exported, int, int]:
    """Return what the header says, where the first set begins and where the last one ends."""
    version = int.from_bytes(data[:2], "big")
    header = _HEADERS.get(version)
    if header is None or len(data) < header.size:
        raise DecodeError(f"version {version}, or too short", 0, _RFC[IPFIX])
    words = header.unpack_from(data)
    end = words[1] if version == IPFIX else len(data)
    if not header.size <= end <= len(data):
        raise DecodeError(f"a message of {end} octets in {len(data)}", 2, _RFC[version])
    return Exported(version, domain=words[-1], sequence=words[-2]), header.size, end


def _read_set(reading: _Reading, number: int, body: bytes, start: int) -> None:
    plain, options = _TEMPLATE_SETS[reading.told.version]
    if number == plain:
        _read_templates(reading, body, start, is_options=False)
    elif number == options:
        _read_templates(reading, body, start, is_options=True)
    elif number >= _RECORDS_FROM:
        template = reading.template(number)
        if template is None:
            reading.told.untold_count += 1
        else:
            _read_records(reading, template, body, start)


def _read_templates(reading: _Reading, body: bytes, start: int, *, is_options: bool) -> None:
    at = 0
    # What is shorter than the shortest template is padding.
    while len(body) - at >= _PAIR.size:
        number, count = _PAIR.unpack_from(body, at)
        at += _PAIR.size
        place = (reading.told.domain, number)
        if number == 0 and not any(body[at:]):
            return
        if number < _RECORDS_FROM:
            if count == 0 and reading.told.version == IPFIX:
                # All templates are withdrawn; those of a stranger to this are forgotten in time.
                continue
            raise reading.error(f"template {number}", start + at)
        if count == 0 and reading.told.version == IPFIX:
            reading.learned[place] = None
            continue
        scope_count = 0
        if is_options:
            if len(body) - at < 2:
                raise reading.error("an options template without scope", start + at)
            second = int.from_bytes(body[at : at + 2], "big")
            at += 2
            if reading.told.version == NETFLOW_9:
                # Here both are lengths in octets, of fields that have four each.
                scope_count, count = count // 4, (count + second) // 4
            else:
                scope_count = second
        fields, at = _fields(reading, body, at, count, start)
        if not 0 <= scope_count <= len(fields) or (is_options and not scope_count):
            raise reading.error(f"a scope of {scope_count} fields", start + at)
        template = Template(fields, scope_count)
        if template.least_bytes == 0:
            raise reading.error("a template of no octets", start + at)
        reading.learned[place] = template


def _fields(
    reading: _Reading, body: bytes, at: int, count: int, start: int
) -> tuple[tuple[TemplateField, ...], int]:
    if not 0 < count <= FIELDS_COUNT_MAX:
        raise reading.error(f"a template of {count} fields", start + at)
    fields: list[TemplateField] = []
    for _ in range(count):
        if len(body) - at < _PAIR.size:
            raise reading.error("a template that ends too early", start + at)
        element, length = _PAIR.unpack_from(body, at)
        at += _PAIR.size
        enterprise = 0
        if reading.told.version == IPFIX and element & _ENTERPRISE_BIT:
            if len(body) - at < 4:
                raise reading.error("an element without its enterprise", start + at)
            enterprise, element = int.from_bytes(body[at : at + 4], "big"), element & 0x7FFF
            at += 4
        if reading.told.version == NETFLOW_9 and length == VARIABLE:
            raise reading.error("a field of 65535 octets", start + at)
        fields.append(TemplateField(enterprise, element, length))
    return tuple(fields), at


def _read_records(reading: _Reading, template: Template, body: bytes, start: int) -> None:
    for values in _values(reading, template, body, start):
        reading.records_count += 1
        if reading.records_count > RECORDS_COUNT_MAX:
            raise reading.error(f"over {RECORDS_COUNT_MAX} records", start)
        sampler, rate = number_of(values, SAMPLER), rate_of(values)
        if template.scope_count:
            if rate:
                reading.rates[sampler] = rate
            continue
        record = record_of(values, rate or reading.rate(sampler))
        if record is not None:
            reading.told.records.append(record)


def _values(
    reading: _Reading, template: Template, body: bytes, start: int
) -> Iterator[dict[int, bytes]]:
    at, least = 0, template.least_bytes
    # What is shorter than a record is padding.
    while len(body) - at >= least:
        values: dict[int, bytes] = {}
        for index, each in enumerate(template.fields):
            length = each.length
            if length == VARIABLE:
                length, at = _variable(reading, body, at, start)
            if length > len(body) - at:
                raise reading.error("a record that ends too early", start + at)
            # Scopes of NetFlow 9 have numbers of their own: they are no elements.
            is_scope = index < template.scope_count and reading.told.version == NETFLOW_9
            if not each.enterprise and not is_scope:
                values.setdefault(each.element, body[at : at + length])
            at += length
        yield values


def _variable(reading: _Reading, body: bytes, at: int, start: int) -> tuple[int, int]:
    """Return the length of a value and where it begins (RFC 7011 section 7)."""
    length = body[at] if at < len(body) else 0
    if length < 0xFF:
        return length, at + 1
    if len(body) - at < 3:
        raise reading.error("a length that ends too early", start + at)
    return int.from_bytes(body[at + 1 : at + 3], "big"), at + 3
