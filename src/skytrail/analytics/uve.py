"""UVEs: for each entity, the newest of what every generator says of it.

```
 table -- key -- struct -- generator -- field         said(change): one generator's fields merged
```
A generator tells what changed; fields it does not name stay as they were. It takes a struct back
by ``deleted``. What a generator that is gone said stays until :meth:`UveTables.forget`, so that a
fail-over between collectors shows no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from skytrail.analytics.uve_room import Room, bytes_of, machine_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import Field, SandeshMessage, Struct

KEYS_COUNT_MAX: Final = 500_000
"""Entities of which anything is known. What is beyond is refused and counted."""
BYTES_MAX: Final = 2 << 30
"""Of everything known, roughly."""
PLACES_COUNT_MAX: Final = 1_000_000
"""Structs of entities that all generators speak of; a machine may have as many as are free."""
FEW_COUNT: Final = 1_024
"""A machine that speaks of so few may name new entities as long as there is room at all."""
KEY_CHARACTERS_MAX: Final = 1024
NAME_CHARACTERS_MAX: Final = 128
"""Of a table or a struct."""
STRUCTS_COUNT_MAX: Final = 256
"""Kinds of struct that one generator has."""
FIELDS_COUNT_MAX: Final = 1024
"""Of one struct from one generator."""


@dataclass(frozen=True, slots=True)
class UveChange:
    """One generator's word on one entity."""

    table: str
    key: str
    struct: str
    generator: str
    fields: Mapping[str, Field]
    """Without the key, and without ``deleted``."""
    is_deleted: bool = False
    sequence: int = 0


def change_of(message: SandeshMessage) -> UveChange:
    """Read a UVE message; ``DecodeError`` when its struct has no key."""
    for each in message.fields.values():
        if isinstance(each.value, Struct):
            return _change(message, each.value)
    raise DecodeError(f"{message.name[:64]} holds no struct")


def _change(message: SandeshMessage, struct: Struct) -> UveChange:
    named = next(
        ((name, each) for name, each in struct.fields.items() if "key" in each.annotations), None
    )
    if named is None or not isinstance(named[1].value, str):
        raise DecodeError(f"{struct.name[:64]} has no field that is its key")
    key, table = named[1].value, named[1].annotations["key"]
    if not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise DecodeError(f"a key of {len(key)} characters")
    if max(len(table), len(struct.name)) > NAME_CHARACTERS_MAX:
        raise DecodeError(f"a name of a table or struct of over {NAME_CHARACTERS_MAX} characters")
    gone = struct.fields.get("deleted")
    own = {named[0], "deleted"}
    return UveChange(
        table=table,
        key=key,
        struct=struct.name,
        generator=message.header.generator,
        fields={name: each for name, each in struct.fields.items() if name not in own},
        is_deleted=gone is not None and gone.value is True,
        sequence=message.header.sequence,
    )


@dataclass(slots=True)
class Said:
    """What one generator says in one struct; ``since`` is when it last said anything."""

    fields: dict[str, Field]
    since: float
    bytes_count: int = 0


Entity = dict[str, dict[str, Said]]
"""Struct to generator to what it says."""


@dataclass(slots=True)
class _Speaker:
    """What a generator has said of, so that all of it can be taken back."""

    newest: dict[str, int] = field(default_factory=dict[str, int])
    keys: dict[tuple[str, str, str], None] = field(default_factory=dict[tuple[str, str, str], None])


class UveTables:
    """Everything said, by table and key, and in the order of its latest changes."""

    def __init__(self, keys_count_max: int = KEYS_COUNT_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._tables: dict[str, dict[str, Entity]] = {}
        self._speakers: dict[str, _Speaker] = {}
        self._keys_count_max = keys_count_max
        self._bytes = Room(bytes_max)
        self._places = Room(PLACES_COUNT_MAX)
        self.keys_count = 0
        self.refused_count = 0
        """Changes that found no room."""
        self.changes_count = 0

    def apply(self, change: UveChange, now: float) -> bool:
        """Take a change over; False when there is no room for what it speaks of."""
        speaker = self._speakers.setdefault(change.generator, _Speaker())
        if change.struct not in speaker.newest and len(speaker.newest) >= STRUCTS_COUNT_MAX:
            self.refused_count += 1
            return False
        place = (change.table, change.key, change.struct)
        if change.is_deleted:
            self._take_back(change.generator, place)
            speaker.keys.pop(place, None)
        elif not self._merge(change, now):
            self.refused_count += 1
            return False
        else:
            speaker.keys[place] = None
        speaker.newest[change.struct] = max(change.sequence, speaker.newest.get(change.struct, 0))
        self.changes_count += 1
        return True

    def _merge(self, change: UveChange, now: float) -> bool:
        entity = self._tables.get(change.table, {}).get(change.key)
        said = (entity or {}).get(change.struct, {}).get(change.generator)
        former = said.fields if said is not None else {}
        if len(former.keys() | change.fields.keys()) > FIELDS_COUNT_MAX:
            return False
        machine = machine_of(change.generator)
        more = sum(
            bytes_of(name, each) - (bytes_of(name, former[name]) if name in former else 0)
            for name, each in change.fields.items()
        )
        if not self._bytes.has(machine, more):
            return False
        if said is None:
            said = self._new(change, machine, now)
            if said is None:
                return False
        said.fields.update(change.fields)
        said.since = now
        said.bytes_count += more
        self._bytes.add(machine, more)
        return True

    def _new(self, change: UveChange, machine: str, now: float) -> Said | None:
        """Make room for what a generator says first; None when there is none."""
        entity = self._tables.get(change.table, {}).get(change.key)
        keys_left = self._keys_count_max - self.keys_count
        if not self._places.has(machine, 1) or (entity is None and keys_left <= 0):
            return None
        if entity is None:
            if self._places.held(machine) >= max(keys_left, FEW_COUNT):
                return None
            entity = self._tables.setdefault(change.table, {})[change.key] = {}
            self.keys_count += 1
        said = entity.setdefault(change.struct, {})[change.generator] = Said({}, now)
        self._places.add(machine, 1)
        return said

    def _take_back(self, generator: str, place: tuple[str, str, str]) -> None:
        table, key, struct = place
        entity = self._tables.get(table, {}).get(key)
        if entity is None or struct not in entity:
            return
        said = entity[struct].pop(generator, None)
        if said is not None:
            machine = machine_of(generator)
            self._bytes.add(machine, -said.bytes_count)
            self._places.add(machine, -1)
        if not entity[struct]:
            del entity[struct]
        if not entity:
            del self._tables[table][key]
            self.keys_count -= 1

    def forget(self, generator: str) -> list[tuple[str, str, str]]:
        """Take back all a generator said; returns the (table, key, struct) it had spoken of."""
        speaker = self._speakers.pop(generator, None)
        if speaker is None:
            return []
        for place in speaker.keys:
            self._take_back(generator, place)
        return list(speaker.keys)

    def places(self, generator: str) -> list[tuple[str, str, str]]:
        """Return the (table, key, struct) a generator speaks of."""
        speaker = self._speakers.get(generator)
        return list(speaker.keys) if speaker is not None else []

    def newest(self, generator: str) -> Mapping[str, int]:
        """Return per struct the newest sequence number a generator has told us."""
        speaker = self._speakers.get(generator)
        return dict(speaker.newest) if speaker else {}

    def start_over(self, generator: str) -> None:
        """Expect sequence numbers from the beginning: the process started anew."""
        speaker = self._speakers.get(generator)
        if speaker is not None:
            speaker.newest.clear()

    def tables(self) -> list[str]:
        """Return the tables that hold anything, sorted."""
        return sorted(name for name, keys in self._tables.items() if keys)

    def keys(self, table: str) -> list[str]:
        return sorted(self._tables.get(table, ()))

    def get(self, table: str, key: str) -> Entity | None:
        """Return what is said of an entity; not to be changed."""
        return self._tables.get(table, {}).get(key)

    def said(self, table: str, key: str, struct: str, generator: str) -> Mapping[str, Field] | None:
        """Return what a generator says of an entity in one struct; not to be changed."""
        by_generator = (self.get(table, key) or {}).get(struct, {})
        return by_generator[generator].fields if generator in by_generator else None

    def entities(self, table: str) -> Iterator[tuple[str, Entity]]:
        """Yield keys and entities of a table, sorted; what goes meanwhile is left out."""
        for key in self.keys(table):
            entity = self.get(table, key)
            if entity is not None:
                yield key, entity
