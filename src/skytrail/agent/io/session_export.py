"""Sessions of a host, told to the analytics node: as many a second as is configured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from skytrail.agent.io.settings import AgentSettings
from skytrail.agent.outcome import Desired
from skytrail.agent.service import AgentService
from skytrail.agent.session_batch import SessionBatch
from skytrail.agent.session_follow import Followed
from skytrail.agent.session_log import SessionBook
from skytrail.agent.session_rows import SessionRows, rate_of
from skytrail.agent.session_sample import Sample
from skytrail.runtime.clock import Clock
from skytrail.wire.telemetry import Sessions


class SessionExport:
    """Between the session log and telemetry."""

    def __init__(self, agent: AgentService, settings: AgentSettings, clock: Clock) -> None:
        self._agent = agent
        self._clock = clock
        self._given = settings.sessions_per_second
        self._rows = SessionRows(
            SessionBook(agent.numbers),
            agent.numbers,
            str(settings.address),
            Sample(np.random.default_rng(), self.per_second()),
        )

    def per_second(self) -> int:
        """Return how many sessions may be told in a second."""
        return rate_of(self._agent.sessions.graph, self._given)

    def note(self, batch: SessionBatch, followed: Followed, desired: Desired) -> None:
        """Take a batch of records."""
        self._rows.sample.per_second = self.per_second()
        self._rows.note(batch, followed, desired, self._clock.now())

    def take(self) -> Iterator[Sessions]:
        """Remove and yield what is to be told, as it is asked for."""
        return self._rows.take(self._clock.now())

    def lost(self) -> Mapping[str, int]:
        """Return how many sessions were lost, by reason."""
        return {
            "rows_overflow": self._rows.lost_count,
            "ring_overflow": self._agent.datapath.sessions().counts()[1],
        }
