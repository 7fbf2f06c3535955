"""How long to wait before the next attempt: exponential, capped, jittered."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Delays in seconds: each is drawn from the upper half of a doubling, capped interval.

    The jitter keeps many clients of one restarted server from returning in the same instant.
    """

    first_s: float = 0.1
    maximum_s: float = 10.0
    factor: float = 2.0
    rng: random.Random = field(default_factory=random.Random)
    attempts: int = 0

    def next_delay_s(self) -> float:
        ceiling = min(self.maximum_s, self.first_s * self.factor ** min(self.attempts, 64))
        self.attempts += 1
        return ceiling * self.rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        self.attempts = 0
