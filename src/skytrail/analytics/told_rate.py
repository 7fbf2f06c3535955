"""How many bytes of messages a machine may tell in a second: beyond it the least severe go, counted; state waits. Pure.

```
 bucket of a machine, full: all is taken     below 1/2: no debug    2/5: no info    3/10: no notice    1/5: no warnings
                                             below 1/10: no errors, no sessions     empty: nothing but state
```
State (UVEs) is told once, when it changes: it is never left out. It is paid for as well, and who owes is read more slowly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from skytrail.analytics.uve_room import machine_of

PER_SECOND_DEFAULT: Final = 32 << 20
BURST_S: Final = 4.0
"""A bucket holds what may be told in so many seconds."""
SESSIONS_LEVEL: Final = 3
PAUSE_S_MAX: Final = 1.0
_DEBUG: Final = 7
_LEAST: Final = (0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""By level of syslog: how full the bucket must be."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    since: float


@dataclass(slots=True)
class Shed:
    """What of one generator was left out since it was last asked."""

    counts: Counter[str] = field(default_factory=Counter[str])
    """By kind: ``log``, ``session``."""
    since_us: int = 0


class ToldRate:
    """Of all machines that told lately. Times are seconds of one monotonic clock."""

    def __init__(self, per_second: int = PER_SECOND_DEFAULT) -> None:
        self._per_second = per_second
        self._most = per_second * BURST_S
        self._buckets: dict[str, _Bucket] = {}
        self._shed: dict[str, Shed] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, generator: str, size: int, level: int, now: float) -> bool:
        """Take ``size`` bytes of a message of this severity out of its machine's bucket, if there are enough left."""
        bucket = self._bucket(generator, now)
        if bucket.tokens - size < _LEAST[min(max(level, 0), _DEBUG)] * self._most:
            return False
        bucket.tokens -= size
        return True

    def pay(self, generator: str, size: int, now: float) -> None:
        """Take ``size`` bytes of state, which is never left out."""
        self._bucket(generator, now).tokens -= size

    def pause_s(self, generator: str, now: float) -> float:
        """Return for how long a generator's connection is not to be read."""
        if machine_of(generator) not in self._buckets:
            return 0.0
        debt = -self._bucket(generator, now).tokens
        return min(max(debt / self._per_second, 0.0), PAUSE_S_MAX)

    def note_shed(self, generator: str, kind: str, count: int, wall_us: int) -> None:
        """Count what was left out, to be told as a gap."""
        shed = self._shed.setdefault(generator, Shed(since_us=wall_us))
        shed.counts[kind] += count

    def tick(self, now: float) -> Iterator[tuple[str, Shed]]:
        """Yield what was left out; forget machines whose bucket is full. Call about every second."""
        for machine in list(self._buckets):
            if self._bucket(machine, now).tokens >= self._most:
                del self._buckets[machine]
        shed, self._shed = self._shed, {}
        yield from shed.items()

    def _bucket(self, generator: str, now: float) -> _Bucket:
        machine = machine_of(generator)
        bucket = self._buckets.get(machine)
        if bucket is None:
            bucket = self._buckets[machine] = _Bucket(self._most, now)
        bucket.tokens = min(self._most, bucket.tokens + (now - bucket.since) * self._per_second)
        bucket.since = now
        return bucket
