"""Virtual time and byte pipes with delays, splits and cuts; everything from one seeded generator."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from random import Random

Action = Callable[[], None]


class SimNetwork:
    """An event queue that is also the clock. Equal seeds give equal runs."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self._now = 0.0
        self._number = 0
        self._queue: list[tuple[float, int, Action]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now

    def after(self, delay_s: float, action: Action) -> None:
        """Run ``action`` when ``delay_s`` has passed; equal times run in order of asking."""
        self._number += 1
        heapq.heappush(self._queue, (self._now + delay_s, self._number, action))

    def every(self, period_s: float, action: Action) -> None:
        """Run ``action`` again and again."""

        def again() -> None:
            action()
            self.after(period_s, again)

        self.after(period_s, again)

    def run_until(self, time_s: float) -> None:
        """Let virtual time pass."""
        while self._queue and self._queue[0][0] <= time_s:
            self._now, _, action = heapq.heappop(self._queue)
            action()
        self._now = time_s


class Pipe:
    """One direction of a connection: bytes arrive late and cut anywhere, but in order.

    ``deliver`` gets chunks; what is still on the way when the pipe is cut is lost.
    """

    def __init__(
        self, network: SimNetwork, deliver: Callable[[bytes], None], latency_s: float
    ) -> None:
        self.is_cut = False
        self._network = network
        self._deliver = deliver
        self._latency_s = latency_s
        self._last_arrival = 0.0

    def send(self, chunk: bytes) -> None:
        """Put bytes on the way, in one to three pieces."""
        rng = self._network.rng
        cuts = sorted(rng.randrange(len(chunk) + 1) for _ in range(rng.randrange(3)))
        edges = [0, *cuts, len(chunk)]
        for start, end in itertools.pairwise(edges):
            if start < end:
                self._send_piece(chunk[start:end])

    def _send_piece(self, piece: bytes) -> None:
        network = self._network
        arrival = network.now() + self._latency_s * network.rng.uniform(0.5, 3.0)
        self._last_arrival = arrival = max(arrival, self._last_arrival)

        def arrive() -> None:
            if not self.is_cut:
                self._deliver(piece)

        network.after(arrival - network.now(), arrive)
