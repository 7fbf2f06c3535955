"""Asks nodes for the pages that a raised alarm's rule wants kept.

```
 Watchman --Wanted--> queue (bounded, full: refused and counted) --> one alarm after the other: pages of its nodes --> Shelf
```
    GET /api/v1/alarms/<type>/<name>/collected      what is kept of an entity's alarms, the newest first
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from skytrail.analytics.collected import ROWS_COUNT_MAX, Collected, Limits, Page, Shelf, Wanted, cut
from skytrail.analytics.everywhere import Chosen, gather
from skytrail.analytics.io.introspect_http import IntrospectEverywhere
from skytrail.analytics.uve_types import TABLES, TYPES
from skytrail.runtime.asgi import HttpError, Request, Response, Router, json_reply
from skytrail.runtime.clock import Clock

QUEUE_COUNT_MAX: Final = 50
PAGE_S: Final = 5.0


class Collecting:
    """Keeps what alarms' rules want kept. :meth:`run` is a task."""

    def __init__(self, everywhere: IntrospectEverywhere, clock: Clock) -> None:
        self._everywhere = everywhere
        self._clock = clock
        self._queue: asyncio.Queue[Wanted] = asyncio.Queue(QUEUE_COUNT_MAX)
        self._limits = Limits()
        self.shelf = Shelf()
        self.collected_count = 0
        self._log = structlog.get_logger("skytrail.analytics.alarms")

    @property
    def refused_count(self) -> int:
        """Alarms for which nothing was collected: too many, or too soon again."""
        return self._limits.refused_count

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/alarms/{type}/{name}/collected", self._show)

    def want(self, wanted: Wanted) -> None:
        """Have an alarm's pages collected; returns at once."""
        if self._queue.full():
            self._limits.refused_count += 1
        elif self._limits.admits(wanted.transition, self._clock.now()):
            self._queue.put_nowait(wanted)

    async def run(self) -> None:
        """Collect until cancelled."""
        while True:
            wanted = await self._queue.get()
            try:
                self.shelf.put(await self._collect(wanted))
            except HttpError as error:
                # Others ask for so much now that there is no room.
                self._limits.refused_count += 1
                self._log.warning("pages_not_collected", reason=error.text)
            else:
                self.collected_count += 1

    async def _collect(self, wanted: Wanted) -> Collected:
        rule, (table, key) = wanted.transition.alarm.rule, wanted.transition.entity
        pages: list[Page] = []
        for each in rule.collect:
            process, _, name = each.partition("/")
            chosen = Chosen(frozenset(wanted.nodes), frozenset({process}))
            limit = {"limit": str(ROWS_COUNT_MAX)}
            shown = await self._everywhere.ask_all(chosen, f"introspect/{name}", limit, PAGE_S)
            found = gather(name, shown, chosen, ROWS_COUNT_MAX)
            pages.append(
                Page(process=process, table=name, rows=(), total=0,
                     failures=[{"reason": "no process of these nodes has such a table"}])
                if found is None
                else Page(process=process, table=name, rows=cut(found.rows), total=found.total,
                          failures=found.failures)
            )  # fmt: skip
        return Collected(
            type=TYPES.get(table, table),
            name=key,
            rule=rule.name,
            raised_us=wanted.transition.alarm.raised_us,
            nodes=wanted.nodes,
            pages=pages,
        )

    async def _show(self, request: Request) -> Response:
        kind, name = request.params["type"], request.params["name"]
        if kind not in TABLES:
            raise HttpError(
                404, f"No type of UVE is called {kind[:64]}; /analytics/uve-types lists them"
            )
        return json_reply({"collected": self.shelf.of(kind, name)})
