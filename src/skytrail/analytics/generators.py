"""Who tells us things: identity, session and counters of every generator, and when it is gone.

A generator that lost its connection may have gone to another collector and come back: what it said
is kept for ``GRACE_S``, then taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

GRACE_S: Final = 60.0
COUNT_MAX: Final = 100_000


@dataclass(slots=True)
class Generator:
    """One process that tells us things; ``came_or_went`` is of the collector's monotonic clock, in seconds."""

    name: str
    """``Source:NodeType:Module:InstanceId``."""
    address: str = ""
    pid: int = 0
    http_port: int = 0
    protocol: str = ""
    is_connected: bool = False
    came_or_went: float = 0.0
    sessions_count: int = 0
    messages_count: int = 0
    bytes_count: int = 0
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    """Messages that were not taken, by reason."""


class Generators:
    """The register; a name is connected once, the newest connection counts."""

    def __init__(self) -> None:
        self._by_name: dict[str, Generator] = {}

    def __iter__(self) -> Iterator[Generator]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Generator | None:
        return self._by_name.get(name)

    def connected(
        self, name: str, now: float, *, address: str, pid: int, http_port: int, protocol: str
    ) -> tuple[Generator, bool] | None:
        """Note a session; returns the generator and whether it is a new process, None if full."""
        known = self._by_name.get(name)
        if known is None:
            if len(self._by_name) >= COUNT_MAX:
                return None
            known = self._by_name[name] = Generator(name)
        is_new = known.pid != pid or pid == 0
        known.address, known.pid, known.http_port = address, pid, http_port
        known.protocol, known.is_connected, known.came_or_went = protocol, True, now
        known.sessions_count += 1
        return known, is_new

    def rows(self, now: float, wall: float) -> Iterator[dict[str, object]]:
        """Yield rows for people; ``wall`` is ``now`` in seconds since 1970."""
        for each in self:
            since = datetime.fromtimestamp(wall - (now - each.came_or_went), UTC)
            yield {
                "name": each.name,
                "address": each.address,
                "pid": each.pid,
                "http_port": each.http_port,
                "protocol": each.protocol,
                "is_connected": each.is_connected,
                "since": since.isoformat(timespec="seconds"),
                "sessions_count": each.sessions_count,
                "messages_count": each.messages_count,
                "bytes_count": each.bytes_count,
                "dropped": each.dropped,
            }

    def disconnected(self, name: str, now: float) -> None:
        known = self._by_name.get(name)
        if known is not None and known.is_connected:
            known.is_connected, known.came_or_went = False, now

    def expired(self, now: float) -> list[str]:
        """Return and drop those that were away for longer than :data:`GRACE_S`."""
        gone = [
            each.name
            for each in self._by_name.values()
            if not each.is_connected and now - each.came_or_went > GRACE_S
        ]
        for name in gone:
            del self._by_name[name]
        return gone
