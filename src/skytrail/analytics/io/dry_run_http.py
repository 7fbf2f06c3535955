"""``POST /api/v1/alarms/dry-run``: when a rule would have raised an alarm, over what is kept.

One at a time is evaluated, in a thread, in pieces; what takes longer than its time is refused, and others have their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from skytrail.analytics.alarm_rule import AlarmRule
from skytrail.analytics.dry_run import DryRun, Span, Step
from skytrail.analytics.dry_run_request import (
    DryRunRequest,
    RuleUnknown,
    chosen_of,
    narrowed,
    rule_of,
    span_of,
)
from skytrail.analytics.io.other_nodes import missing_headers
from skytrail.analytics.io.past import Past
from skytrail.analytics.io.tenants import Turns, tenant_of
from skytrail.analytics.query_request import QueryUnusable
from skytrail.analytics.tenant_uves import own_part
from skytrail.analytics.tenant_view import Tenant
from skytrail.analytics.uve_recorder import EVERY_S
from skytrail.analytics.uve_types import TABLES
from skytrail.analytics.watchman import Watchman
from skytrail.runtime.asgi import HttpError, Request, Response, Router, json_reply
from skytrail.runtime.clock import Clock

PIECE_COUNT: Final = 500
EVALUATION_S: Final = 20.0
WAITING_COUNT_MAX: Final = 4


class DryRuns:
    """Tries rules out."""

    def __init__(self, past: Past, watchman: Watchman, clock: Clock, turns: Turns) -> None:
        self._past = past
        self._turns = turns
        """Of members of projects: fewer than may wait."""
        self._watchman = watchman
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting_count = 0

    def add_routes(self, router: Router) -> None:
        router.add("POST", "/api/v1/alarms/dry-run", self._try_out)

    async def _try_out(self, request: Request) -> Response:
        asked, tenant = request.json(DryRunRequest), tenant_of(request)
        now_us = round(self._clock.wall() * 1e6)
        try:
            rule = rule_of(asked, _known(self._watchman.board.rules, tenant))
            if tenant is not None:
                rule = narrowed(rule, tenant)
            span_us = span_of(asked, now_us)
            chosen = chosen_of(asked, rule)
        except RuleUnknown as error:
            raise HttpError(404, str(error)) from error
        except QueryUnusable as error:
            raise HttpError(400, str(error)) from error
        if self._waiting_count >= WAITING_COUNT_MAX:
            raise HttpError(
                503, "Too many rules are being tried; try again", (("retry-after", "5"),)
            )
        tables = [TABLES[word] for word in rule.types or TABLES if word in TABLES]
        if tenant is not None:
            # Names of both kinds of entity have their project in front.
            part = own_part(tenant, chosen, tables[0])
            tables, chosen = (tables, part) if part is not None else ([], chosen)
        self._turns.take(tenant)
        self._waiting_count += 1
        try:
            async with self._turn:
                steps, missing = await self._past.steps(tables, chosen, span_us)
                if tenant is not None:
                    steps = [each for each in steps if each.at_us >= tenant.since_us]
                run, spans = await self._evaluate(rule, span_us, steps)
        finally:
            self._waiting_count -= 1
            self._turns.give_back(tenant)
        return json_reply(
            {
                **({"missing": missing} if missing else {}),
                "rule": rule.name,
                "from_us": span_us[0],
                "to_us": span_us[1],
                "alarms": spans,
                "alarms_count": run.spans_count,
                "entities_count": run.entities_count,
                "steps_count": len(steps),
                "cut_count": run.cut_count,
                "every_s": EVERY_S,
            },
            headers=missing_headers(missing),
        )

    async def _evaluate(
        self, rule: AlarmRule, span_us: tuple[int, int], steps: Sequence[Step]
    ) -> tuple[DryRun, Sequence[Span]]:
        run = DryRun(rule, *span_us)
        ends_at = self._clock.now() + EVALUATION_S
        start = 0
        while start < len(steps):
            end = min(start + PIECE_COUNT, len(steps))
            while end < len(steps) and steps[end].at_us == steps[end - 1].at_us:
                end += 1
            await asyncio.to_thread(run.feed, steps[start:end])
            start = end
            if self._clock.now() > ends_at:
                raise HttpError(
                    400,
                    f"rule: it takes over {EVALUATION_S:g} s to evaluate; simplify it, or choose a"
                    " shorter time (last) or entities by name (entity)",
                )
        return run, await asyncio.to_thread(run.finish)


def _known(rules: Iterable[AlarmRule], tenant: Tenant | None) -> Iterable[AlarmRule]:
    """Return the rules that may be named: a project's member knows its own, and those of all."""
    return [rule for rule in rules if tenant is None or rule.project in {"", tenant.project}]
