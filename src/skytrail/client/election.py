"""Doing a job in one process of several: stand for election at the API, work while elected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog

from skytrail.client.errors import ApiFailure, ApiUnavailable
from skytrail.client.messages import Call, Standing, stand_call
from skytrail.runtime.clock import Clock

TTL_S: Final = 2.0
ASKS_PER_TTL: Final = 5
_GONE: Final = 410


class Api(Protocol):
    """What a candidate needs of the API client."""

    async def stand(self, call: Call) -> Standing: ...
    async def resign(self, name: str, lease: str) -> None: ...


class Candidate:
    """One process's candidacy; :meth:`run` for as long as the process lives.

    ``on_change`` is told True on election and False when the office is lost. The end is reckoned from
    before the request that renewed it, so two never hold the office by their own clocks.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        on_change: Callable[[bool], None],
        *,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ttl_s: float = TTL_S,
    ) -> None:
        self._api = api
        self._name = name
        self._on_change = on_change
        self._clock = clock
        self._sleep = sleep
        self._ttl_s = ttl_s
        self._lease: str | None = None
        self._until = 0.0
        self.leading = False
        self._refusal = ""
        """Why the API last said no; told once."""
        self._log = structlog.get_logger("skytrail.client")

    async def run(self) -> None:
        """Stand until cancelled, then resign."""
        try:
            while True:
                await self._stand()
                await self._sleep(self._ttl_s / ASKS_PER_TTL)
        finally:
            self._set(False)
            await self._resign()

    async def _stand(self) -> None:
        asked_at = self._clock.now()
        rest_s = self._until - asked_at if self.leading else self._ttl_s
        try:
            async with asyncio.timeout(max(rest_s, 0)):
                standing = await self._api.stand(stand_call(self._name, self._lease, self._ttl_s))
        except (ApiFailure, TimeoutError) as error:
            if not isinstance(error, ApiUnavailable | TimeoutError):
                # Refused: most likely the lease ran out; if it stays so, somebody must know why.
                self._note_refusal(str(error)[:200])
                self._lease = None
                self._set(False)
            elif self._clock.now() >= self._until:
                self._set(False)
            return
        self._refusal = ""
        self._lease = standing.lease
        self._until = asked_at + standing.ttl_s
        self._set(standing.leading and self._clock.now() < self._until)

    def _note_refusal(self, reason: str) -> None:
        if reason != self._refusal:
            self._refusal = reason
            self._log.warning("candidacy_refused", office=self._name, reason=reason)

    def _set(self, leading: bool) -> None:
        if leading != self.leading:
            self.leading = leading
            self._log.info("leadership_changed", office=self._name, leading=leading)
            self._on_change(leading)

    async def _resign(self) -> None:
        if self._lease is None:
            return
        try:
            async with asyncio.timeout(1.0):
                await self._api.resign(self._name, self._lease)
        except (ApiFailure, TimeoutError) as error:
            self._log.info("resignation_lost", office=self._name, reason=str(error))
