"""How many replies without an end one client may have open, and all together.

A stream holds a connection, a task and what it has not sent yet for as long as its client likes: one
client with thousands of them would leave nobody else a connection. Unix sockets are of our own
daemons: theirs are not counted.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Generator
from typing import Final

from skytrail.runtime.http_error import HttpError

PER_CLIENT_DEFAULT: Final = 256
STREAMS_COUNT_MAX: Final = 2048
"""Of all clients; other requests have the rest of the connections over TCP."""
RETRY_AFTER_S: Final = 5


class StreamLimits:
    """Counts the open streams of one server by client."""

    def __init__(
        self, per_client: int = PER_CLIENT_DEFAULT, total: int = STREAMS_COUNT_MAX
    ) -> None:
        self._per_client = per_client
        self._total = total
        self._open: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Raise HttpError 429 when this client has as many as it may, 503 when all together have."""
        again = (("retry-after", str(RETRY_AFTER_S)),)
        if self._open[client] >= self._per_client:
            raise HttpError(
                429,
                f"{self._per_client} streams of this client are open already: close some, or have "
                "the server let each have more (--streams-per-client)",
                again,
            )
        if self._open.total() >= self._total:
            raise HttpError(503, f"{self._total} streams are open, more are not served", again)

    @contextlib.contextmanager
    def held(self, client: str) -> Generator[None]:
        """Count a stream for the block."""
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]
