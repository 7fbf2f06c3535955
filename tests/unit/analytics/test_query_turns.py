"""Questions of a project take turns, and give them back whatever is asked."""

from __future__ import annotations

import asyncio
import json

import pytest

from skytrail.analytics.io.history import History
from skytrail.analytics.io.queries import Queries
from skytrail.analytics.io.query_http import QueryApi
from skytrail.analytics.io.tenants import RUNNING_COUNT_MAX, Sender, Turns
from skytrail.analytics.tenant_view import Tenant
from skytrail.runtime.asgi import HttpError, Request, Router
from skytrail.runtime.clock import SystemClock


def test_bytes_that_are_no_text_take_no_turn_for_good(tmp_path):
    body = {"table": "SessionRecordTable", "start_time": "now-1m", "end_time": "now"}
    text = json.dumps({**body, "select_fields": ["vmi"], "x": "@"}).encode()

    async def run():
        history = History(f"{tmp_path}/no-store")
        clock = SystemClock()
        router = Router()
        QueryApi(Queries(history, clock, {}, "node"), clock, Turns()).add_routes(router)
        reasons = []
        for _ in range(RUNNING_COUNT_MAX + 1):
            request = Request(
                "POST", "/analytics/query", ("analytics", "query"), {}, {},
                body=text.replace(b"@", b"\xff"), identity=Sender("ann", Tenant("d:red")),
            )  # fmt: skip
            with pytest.raises(HttpError) as refused:
                await router(request)
            reasons.append(refused.value.text)
        await history.close()
        return reasons

    reasons = asyncio.run(run())

    # The store is not there; that is all that is wrong.
    assert all("does not answer" in each for each in reasons), reasons
