"""Which UVEs, of whom, and which part: kfilt, sfilt, mfilt, cfilt and ackfilt of a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from skytrail.analytics.uve import Entity, Said
from skytrail.wire.sandesh import Field, Struct

ALARMS: Final = "UVEAlarms"


@dataclass(frozen=True, slots=True)
class UveFilter:
    """Everything passes a filter that says nothing."""

    keys: tuple[str, ...] = ()
    """Names; a trailing ``*`` stands for any ending."""
    source: str = ""
    module: tuple[str, str, str] | None = None
    """Node type, module, instance."""
    parts: tuple[tuple[str, str], ...] = ()
    """(struct, field) pairs; an empty field stands for the whole struct."""
    acknowledged: bool | None = None
    """Only alarms that are, or are not."""

    def has_key(self, key: str) -> bool:
        return not self.keys or any(
            key.startswith(each[:-1]) if each.endswith("*") else key == each for each in self.keys
        )

    def part_of(self, entity: Entity) -> dict[str, dict[str, Mapping[str, Field]]]:
        """Return struct to generator to fields, of what passes."""
        found: dict[str, dict[str, Mapping[str, Field]]] = {}
        for struct, said in entity.items():
            wanted = self._fields_of(struct)
            if wanted is None:
                continue
            of_struct = {
                generator: fields
                for generator, each in said.items()
                if self._is_heard(generator) and (fields := _some(each, wanted))
            }
            if struct == ALARMS and self.acknowledged is not None:
                of_struct = _alarms(of_struct, acknowledged=self.acknowledged)
            if of_struct:
                found[struct] = of_struct
        return found

    def _fields_of(self, struct: str) -> frozenset[str] | None:
        """Return the fields wanted of a struct, none in it for all, None for no part of it."""
        if not self.parts:
            return frozenset()
        chosen = [name for each, name in self.parts if each == struct]
        if not chosen:
            return None
        return frozenset() if "" in chosen else frozenset(chosen)

    def _is_heard(self, generator: str) -> bool:
        source, _, rest = generator.partition(":")
        if self.source and source != self.source:
            return False
        return self.module is None or tuple(rest.split(":")) == self.module


class FilterUnusable(ValueError):
    """A filter of a request cannot be read; the text names it and says how it is written."""


def filter_of(values: Mapping[str, Iterable[str]]) -> UveFilter:
    """Read the filters of a request (lists of texts by name); :class:`FilterUnusable`."""
    return UveFilter(
        keys=tuple(each for each in values.get("kfilt", ()) if each),
        source=next(iter(values.get("sfilt", ())), ""),
        module=_module(next(iter(values.get("mfilt", ())), "")),
        parts=tuple(_part(each) for each in values.get("cfilt", ()) if each),
        acknowledged=_flag(next(iter(values.get("ackfilt", ())), "")),
    )


def _module(text: str) -> tuple[str, str, str] | None:
    if not text:
        return None
    parts = text.split(":")
    if len(parts) != 3:
        raise FilterUnusable(f"mfilt={text[:64]} is not NODE-TYPE:MODULE:INSTANCE")
    return parts[0], parts[1], parts[2]


def _part(text: str) -> tuple[str, str]:
    struct, _, name = text.partition(":")
    if not struct:
        raise FilterUnusable(f"cfilt={text[:64]} is not STRUCT or STRUCT:ATTRIBUTE")
    return struct, name


def _flag(text: str) -> bool | None:
    if text not in {"", "true", "false"}:
        raise FilterUnusable(f"ackfilt={text[:16]} is neither true nor false")
    return None if not text else text == "true"


def _some(said: Said, wanted: frozenset[str]) -> Mapping[str, Field]:
    if not wanted:
        return said.fields
    return {name: each for name, each in said.fields.items() if name in wanted}


def _alarms(
    said: Mapping[str, Mapping[str, Field]], *, acknowledged: bool
) -> dict[str, Mapping[str, Field]]:
    kept: dict[str, Mapping[str, Field]] = {}
    for generator, fields in said.items():
        alarms = fields.get("alarms")
        if alarms is None or not isinstance(alarms.value, list):
            continue
        some = [
            each
            for each in alarms.value
            if isinstance(each, Struct) and _is_acknowledged(each) is acknowledged
        ]
        if some:
            listed = Field(alarms.type, list(some), alarms.element_type, alarms.annotations)
            kept[generator] = {**fields, "alarms": listed}
    return kept


def _is_acknowledged(alarm: Struct) -> bool:
    said = alarm.fields.get("ack")
    return said is not None and said.value is True
