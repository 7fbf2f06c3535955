"""Turns of requests, so that one client's many hold up nobody else's few.

A server answers from one loop: whoever has a thousand requests in it is a thousand turns of it ahead
of the next one. Of each client only so much is in work at a time; what it sends beyond waits here, in
the order it came, and beyond that is refused. Nothing is held back that is within its share, however
idle or busy others are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Final

from skytrail.runtime.http_error import HttpError
from skytrail.runtime.metrics import Sample

AT_ONCE: Final = 16
"""Weight of one client's requests in work; one that is heavier alone has all of it."""
WAITING_COUNT_MAX: Final = 512
"""Requests of one client that wait for their turn."""
RETRY_AFTER_S: Final = 1


@dataclass(slots=True)
class _Client:
    in_work: int = 0
    waiting: deque[tuple[int, asyncio.Future[None]]] = field(
        default_factory=deque[tuple[int, asyncio.Future[None]]]
    )


class FairShare:
    """Lets each client have so much in work; a client is forgotten when it has nothing here."""

    def __init__(self, at_once: int = AT_ONCE, waiting_count_max: int = WAITING_COUNT_MAX) -> None:
        self._at_once = at_once
        self._waiting_max = waiting_count_max
        self._clients: dict[str, _Client] = {}
        self.refused_count = 0

    @contextlib.asynccontextmanager
    async def turn(self, client: str, weight: int = 1) -> AsyncGenerator[None]:
        """Wait for the client's turn and hold it for the block; HttpError 429 when too many wait."""
        weight = min(max(weight, 1), self._at_once)
        held = self._clients.setdefault(client, _Client())
        if held.waiting or held.in_work + weight > self._at_once:
            await self._wait(client, held, weight)
        else:
            held.in_work += weight
        try:
            yield
        finally:
            # Not before the loop has been round: most work is done in one go, and a hundred pieces
            # that are ready at once would be, one after the other, before anybody else's.
            loop = asyncio.get_running_loop()
            loop.call_soon(self._give_back, client, held, weight)

    @property
    def clients_count(self) -> int:
        """How many clients have something here."""
        return len(self._clients)

    @property
    def waiting_count(self) -> int:
        return sum(len(each.waiting) for each in self._clients.values())

    def samples(self, prefix: str) -> Iterator[Sample]:
        """Yield the metrics, by names that begin so."""
        yield Sample(f"{prefix}_members_requests_waiting", self.waiting_count)
        yield Sample(f"{prefix}_members_requests_refused_total", self.refused_count)

    async def _wait(self, client: str, held: _Client, weight: int) -> None:
        if len(held.waiting) >= self._waiting_max:
            self.refused_count += 1
            raise HttpError(
                429,
                f"{self._waiting_max} requests of yours wait for their turn already: send fewer at"
                " a time",
                (("retry-after", str(RETRY_AFTER_S)),),
            )
        place = (weight, asyncio.get_running_loop().create_future())
        held.waiting.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            # Its turn may have come just now.
            self._give_back(client, held, 0 if place[1].cancelled() else weight)
            raise

    def _give_back(self, client: str, held: _Client, weight: int) -> None:
        held.in_work -= weight
        self._let_in(held)
        self._forget(client, held)

    def _let_in(self, held: _Client) -> None:
        """Let those have their turn, in their order, for whom there is room."""
        while held.waiting:
            weight, turn = held.waiting[0]
            if not turn.cancelled():
                if held.in_work + weight > self._at_once:
                    return
                held.in_work += weight
                turn.set_result(None)
            # Who gave up is passed over.
            held.waiting.popleft()

    def _forget(self, client: str, held: _Client) -> None:
        if not held.in_work and not held.waiting:
            self._clients.pop(client, None)
