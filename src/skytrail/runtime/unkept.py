"""What a process told and nobody has kept yet: numbered, bounded, said again to the next collector. Pure.

Over the bound the oldest goes, and is counted: what is missing then is told as a gap.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from skytrail.wire.telemetry import Log, Lost, Sessions, encode

BYTES_MAX: Final = 16 << 20
OVERFLOW: Final = "unkept_overflow"

Told = Log | Sessions | Lost
Loss = tuple[str, str]
"""What is lost (``log``, ``session``), and why."""


class Unkept:
    """The window between what was told and what is acknowledged."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._frames: deque[tuple[int, bytes, str, int]] = deque()
        """Number, frame, what it tells of and how many."""
        self._number = 0
        self.bytes_max = bytes_max
        self.bytes_count = 0
        self.lost: Counter[Loss] = Counter()

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, message: Told) -> bytes:
        """Number a message, and hold its frame until it is kept; returns the frame."""
        self._number += 1
        frame = encode(msgspec.structs.replace(message, number=self._number))
        kind, count = _contents(message)
        self._frames.append((self._number, frame, kind, count))
        self.bytes_count += len(frame)
        while self.bytes_count > self.bytes_max and len(self._frames) > 1:
            _, gone, kind, count = self._frames.popleft()
            self.bytes_count -= len(gone)
            self.lost[kind, OVERFLOW] += count
        return frame

    @property
    def newest(self) -> int:
        """The number of the last message that somebody was told and nobody keeps, as far as is known; 0: none."""
        return self._frames[-1][0] if self._frames else 0

    def keep(self, number: int) -> None:
        """Forget everything up to a number: it is kept."""
        while self._frames and self._frames[0][0] <= number:
            self.bytes_count -= len(self._frames.popleft()[1])

    def frames(self) -> list[bytes]:
        """Return what is to be said again, oldest first."""
        return [frame for _, frame, _, _ in self._frames]


class Losses:
    """Which losses were told; what is new since is a gap from the last look until now."""

    def __init__(self, now_us: int) -> None:
        self._told: dict[Loss, int] = {}
        self._looked_us = now_us

    def news(self, totals: Mapping[Loss, int], now_us: int) -> Iterable[Lost]:
        """Return gaps for what grew; ``totals`` count from the start of the process."""
        found = [
            Lost(
                kind=kind,
                count=total - self._told.get((kind, reason), 0),
                reason=reason,
                since_us=min(self._looked_us, now_us),
                until_us=now_us,
            )
            for (kind, reason), total in totals.items()
            if total > self._told.get((kind, reason), 0)
        ]
        self._told.update(totals)
        self._looked_us = now_us
        return found


def _contents(message: Told) -> tuple[str, int]:
    if isinstance(message, Sessions):
        return "session", message.count
    return ("log", 1) if isinstance(message, Log) else (message.kind, message.count)
