"""Keeps the API told how far a component is: at once when it changes, and before the lease ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote

import structlog

from skytrail.client.async_client import AsyncApiClient
from skytrail.client.errors import ApiFailure
from skytrail.client.messages import Call, JsonObject

LOOK_EVERY_S: Final = 0.5
RENEW_ROUNDS: Final = 20
"""An unchanged report is sent again every so many looks: a third of its lease."""
LEASE_S: Final = 30.0


async def report_to_all(
    client: AsyncApiClient,
    others: Sequence[AsyncApiClient],
    reporter: str,
    report: Callable[[], JsonObject | None],
) -> None:
    """Keep the component's own server told and others beside it; one that is away holds up none."""
    async with asyncio.TaskGroup() as group:
        for each in (client, *others):
            group.create_task(keep_reporting(each, reporter, report))


async def keep_reporting(
    client: AsyncApiClient, reporter: str, report: Callable[[], JsonObject | None]
) -> None:
    """Send what ``report`` returns until cancelled; None is nothing to say yet."""
    log = structlog.get_logger("skytrail.reporting").bind(reporter=reporter)
    path = f"/api/v1/status/{quote(reporter, safe='')}"
    sent: JsonObject | None = None
    rounds = 0
    failing = False
    while True:
        body = report()
        rounds += 1
        if body is not None and (body != sent or rounds >= RENEW_ROUNDS):
            try:
                await client.call(Call("POST", path, {**body, "lease_s": LEASE_S}))
                sent, rounds, failing = body, 0, False
            except ApiFailure as error:
                # The next look tries again; only the first of a row is worth a line.
                if not failing:
                    log.warning("report_failed", error=str(error))
                failing = True
        await asyncio.sleep(LOOK_EVERY_S)
