"""Work that looks at very many routes, done in slices so that nobody waits for it.

```
 add(steps) --> a first slice at once --> the rest waits; work(count) does one more, oldest first
```
A chore is a generator that yields after each route. Between two of its steps anything may happen,
so each step must look at what is true *then* and do what is still right: a chore that comes too
late does nothing. Small chores, nearly all, are over when ``add`` returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

SLICE_COUNT = 1000
"""Routes looked at in one slice: a few milliseconds."""
STEPS_OF_PUTTING = 10
"""What putting a path into tables anew, or taking it out, counts: as many looks at a route."""


class Chores:
    """What is left to do. ``at_once``: how many steps of a new chore are not put off."""

    def __init__(self, at_once: int = SLICE_COUNT) -> None:
        self.at_once = at_once
        self._waiting: deque[Iterator[None]] = deque()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits: tables are what configuration and sessions say."""
        return not self._waiting

    def add(self, steps: Iterator[None]) -> None:
        """Do it, beginning now."""
        if not _advance(steps, self.at_once):
            self._waiting.append(steps)

    def work(self, count: int = SLICE_COUNT) -> bool:
        """Do about ``count`` steps of what waits longest; True while more waits."""
        if self._waiting and count and _advance(self._waiting[0], count):
            self._waiting.popleft()
        return bool(self._waiting)

    def finish(self) -> None:
        """Do all that waits, whatever it takes."""
        while self.work():
            pass


def _advance(steps: Iterator[None], count: int) -> bool:
    """Take some steps; True when there was no further one."""
    return sum(1 for _ in islice(steps, count)) < count
