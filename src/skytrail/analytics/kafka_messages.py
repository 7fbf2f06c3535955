"""What Kafka is told, as keys and values of messages. Pure.

| topic | key | value |
| --- | --- | --- |
| ``PREFIX-uve-topic-N`` | ``TABLE:KEY|STRUCT|GENERATOR|NODE`` | fields of the struct and ``__T``; none: taken back |
| ``PREFIX-alarms`` | ``TABLE:KEY|RULE`` | an alarm was raised, or is gone |
| ``PREFIX-sessions`` | the port's name | one session, columns as the store has them |

Topic and key of UVEs are those of the original system, so that what is compacted by key is what holds.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Final, cast

import msgspec

from skytrail.analytics.alarm_routes import notice_of
from skytrail.analytics.alarms import Transition
from skytrail.analytics.kafka_settings import ALARMS, SESSIONS, UVES, KafkaSettings
from skytrail.analytics.sessions import NO_NAMES
from skytrail.analytics.tags import COLUMNS, TOLD, TagNames
from skytrail.wire.sandesh import Field, plain
from skytrail.wire.telemetry import Sessions, Texts
from skytrail.wire.telemetry.sessions import NUMBERS, PLACE, array_of

UvePlace = tuple[str, str, str, str]
"""Table, key, struct, generator."""
_WORD_BITS: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Message:
    """One message for Kafka; ``place`` is what a message about a UVE is about."""

    stream: str
    topic: str
    key: bytes
    value: bytes | None
    place: UvePlace | None = None


def spread(key: str, count: int) -> int:
    """Return which of so many topics has an entity: D. J. Bernstein's hash of its key, 33 by 33.

    Bytes count as signed, as in the original, so that consumers of one topic find the same entities.
    """
    value = 5381
    for byte in key.encode():
        value = (value * 33 + (byte - 256 if byte > 0x7F else byte)) & _WORD_BITS
    return value % count


def uve_message(
    settings: KafkaSettings,
    node: str,
    place: UvePlace,
    fields: Mapping[str, Field] | None,
    now_us: int,
) -> Message:
    """Return what a generator says of an entity in one struct; None: it took that back."""
    table, key, struct, generator = place
    entity = f"{table}:{key}"
    value = None
    if fields is not None:
        value = msgspec.json.encode(
            {"__T": now_us} | {name: plain(each.value) for name, each in fields.items()}
        )
    topic = settings.uve_topic(spread(entity, settings.uve_topics))
    return Message(UVES, topic, f"{entity}|{struct}|{generator}|{node}".encode(), value, place)


def alarm_message(
    settings: KafkaSettings, node: str, transition: Transition, now_us: int
) -> Message:
    """Return that an alarm was raised, or is gone."""
    table, key = transition.entity
    notice = notice_of(transition, now_us)
    shown = notice.shown()
    del shown["following"]  # Not known yet: nobody waits for it here.
    said = {"source": node, "__T": now_us, "table": table, **shown}
    where = f"{table}:{key}|{notice.rule}".encode()
    return Message(ALARMS, settings.alarms_topic, where, msgspec.json.encode(said))


@dataclass(frozen=True, slots=True)
class SessionRows:
    """Sessions of one host, packed; nothing is done for each of them before it is its turn."""

    count: int
    vrouter: str
    texts: Mapping[str, tuple[Sequence[str], bytes]]
    numbers: Mapping[str, bytes]

    def messages(self, settings: KafkaSettings) -> Iterator[Message]:
        """Yield a message for each session."""
        topic = settings.sessions_topic
        columns = dict(self._columns())
        names = list(columns)
        port = names.index("vmi" if "vmi" in columns else "vrouter")
        encode = msgspec.json.Encoder().encode
        for row in zip(*columns.values(), strict=True):
            value = encode(dict(zip(names, row, strict=True)))
            yield Message(SESSIONS, topic, cast("str", row[port]).encode(), value)

    def _columns(self) -> Iterator[tuple[str, Iterable[object]]]:
        """Yield the columns' values, each read when it is its row's turn."""
        for name, content in self.numbers.items():
            yield name, array_of(NUMBERS[name], content)
        yield "vrouter", repeat(self.vrouter, self.count)
        for name, (words, places) in self.texts.items():
            yield name, map(words.__getitem__, cast("array[int]", array_of(PLACE, places)))


def session_rows(
    message: Sessions, source: str, tags: TagNames, named: Mapping[str, Texts] = NO_NAMES
) -> SessionRows:
    """Return sessions that were checked (:func:`~skytrail.analytics.sessions.block_of`).

    Tags are named now: a number may be another's when its turn comes; ``named`` are those that have their names.
    """
    texts: dict[str, tuple[Sequence[str], bytes]] = {
        name: (column.words, column.places) for name, column in named.items()
    }
    for name, column in message.texts.items():
        if name not in TOLD:
            texts[name] = column.words, column.places
            continue
        for told, words in zip(COLUMNS, tags.columns(column.words), strict=True):
            texts[f"{TOLD[name]}{told}"] = words, column.places
    return SessionRows(message.count, source, texts, message.numbers)
