"""The DNS records that agents said, until they take them back or their session ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from skytrail.wire.dns import RecordContent, ResourceRecord

RECORDS_COUNT_MAX = 4096
"""Records of one agent, in all servers together."""

RecordKey: TypeAlias = tuple[str, str, int, RecordContent]
"""Server, name, type, content: what makes a record the same one."""


class AgentRecords:
    """Records by agent, and by server and name."""

    def __init__(self) -> None:
        self._of: dict[str, dict[RecordKey, ResourceRecord]] = {}
        self._named: dict[tuple[str, str], dict[tuple[str, RecordKey], ResourceRecord]] = {}

    def __iter__(self) -> Iterator[tuple[str, str, ResourceRecord]]:
        """Yield (agent, server, record)."""
        for agent, records in self._of.items():
            for key, record in records.items():
                yield agent, key[0], record

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def count(self, agent: str) -> int:
        return len(self._of.get(agent, {}))

    def has_room(self, agent: str, server: str, records: list[ResourceRecord]) -> bool:
        """Tell whether an agent may have these as well."""
        known = self._of.get(agent, {})
        fresh = {_key(server, record) for record in records}.difference(known)
        return len(known) + len(fresh) <= RECORDS_COUNT_MAX

    def put(self, agent: str, server: str, record: ResourceRecord) -> None:
        """Add a record, or give the one that is there another time to live."""
        key = _key(server, record)
        self._of.setdefault(agent, {})[key] = record
        self._named.setdefault((server, record.name), {})[agent, key] = record

    def remove(self, agent: str, server: str, record: ResourceRecord) -> None:
        """Take one record back; one that is not there is ignored."""
        self._drop(agent, _key(server, record))

    def remove_named(self, agent: str, server: str, name: str, record_type: int | None) -> None:
        """Take an agent's records of a name back, of one type unless None."""
        named = self._named.get((server, name), {})
        for owner, key in list(named):
            if owner == agent and record_type in (None, key[2]):
                self._drop(agent, key)

    def forget(self, agent: str) -> None:
        """Take back everything an agent said."""
        for key in list(self._of.get(agent, {})):
            self._drop(agent, key)

    def find(self, server: str, name: str) -> list[tuple[str, ResourceRecord]]:
        """Return (agent, record) of a name in one server, in an order that stays."""
        named = self._named.get((server, name))
        if named is None:
            return []
        return [(owner, record) for (owner, _), record in named.items()]

    def _drop(self, agent: str, key: RecordKey) -> None:
        mine = self._of.get(agent, {})
        if mine.pop(key, None) is None:
            return
        if not mine:
            del self._of[agent]
        place = key[0], key[1]
        named = self._named[place]
        del named[agent, key]
        if not named:
            del self._named[place]


def _key(server: str, record: ResourceRecord) -> RecordKey:
    return server, record.name, record.record_type, record.content
