"""Tells people of alarms: webhooks and e-mail, each route by a task of its own.

```
 Watchman --notice--> queue of each route that wants it (bounded) --> POST, or one mail for all that waits
                                                  `-- nobody answers: again, 1 to 60 s later
```
A notice is told at least once while the node lives; after a start all alarms that stand are raised, and told, anew.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
import structlog

from skytrail.analytics.alarm_routes import (
    SIGNATURE_HEADER,
    Notice,
    Route,
    mail_of,
    signature,
    webhook_body,
)
from skytrail.runtime.backoff import Backoff

WAITING_COUNT_MAX: Final = 1_000
"""For each route; the oldest go first, counted."""
TOGETHER_COUNT: Final = 100
GATHER_S: Final = 2.0
"""What is raised within this time is told together: a host that goes raises several."""
SEND_S: Final = 10.0
_FAILURES: Final = (
    OSError,
    httpx.HTTPError,
    httpx.InvalidURL,
    smtplib.SMTPException,
    ValueError,  # a host's name or a password file's bytes that are no text
)


class _Addressee:
    def __init__(self, route: Route) -> None:
        self.route = route
        self.waiting: deque[Notice] = deque()
        self.has_news = asyncio.Event()
        self.told_count = 0
        self.failures_count = 0
        self.dropped_count = 0

    def add(self, notice: Notice) -> None:
        if len(self.waiting) == WAITING_COUNT_MAX:
            self.waiting.popleft()
            self.dropped_count += 1
        self.waiting.append(notice)
        self.has_news.set()


class AlarmDelivery:
    """Tells every route what it wants to hear."""

    def __init__(self, routes: Sequence[Route], node: str) -> None:
        self._addressees = [_Addressee(route) for route in routes]
        self._node = node
        self._log = structlog.get_logger("skytrail.analytics.alarms")

    def tell(self, notice: Notice) -> None:
        """Have a notice told; returns at once."""
        for addressee in self._addressees:
            if addressee.route.wants(notice):
                addressee.add(notice)

    def counts(self) -> list[tuple[str, int, int, int]]:
        """Return name, told, failed attempts and dropped of each route."""
        return [
            (each.route.name, each.told_count, each.failures_count, each.dropped_count)
            for each in self._addressees
        ]

    async def run(self) -> None:
        """Tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            for addressee in self._addressees:
                group.create_task(self._serve(addressee), name=f"alarms-{addressee.route.name}")

    async def _serve(self, addressee: _Addressee) -> None:
        delays = Backoff(maximum_s=60.0)
        while True:
            await addressee.has_news.wait()
            await asyncio.sleep(GATHER_S)
            some = list(addressee.waiting)[:TOGETHER_COUNT]
            dropped = addressee.dropped_count
            try:
                await _send(addressee.route, some, self._node)
            except _FAILURES as error:
                addressee.failures_count += 1
                self._log.warning(
                    "alarms_not_told", route=addressee.route.name, waiting=len(addressee.waiting),
                    reason=str(error) or type(error).__name__,
                )  # fmt: skip
                await asyncio.sleep(delays.next_delay_s())
                continue
            delays.reset()
            # What was dropped meanwhile stood in front.
            for _ in range(len(some) - (addressee.dropped_count - dropped)):
                addressee.waiting.popleft()
            addressee.told_count += len(some)
            if not addressee.waiting:
                addressee.has_news.clear()


async def _send(route: Route, notices: Sequence[Notice], node: str) -> None:
    if route.webhook:
        await _post(route, webhook_body(notices, node))
    else:
        await asyncio.to_thread(_mail, route, notices, node)


async def _post(route: Route, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    if route.secret_file:
        secret = (await asyncio.to_thread(Path(route.secret_file).read_bytes)).strip()
        headers[SIGNATURE_HEADER] = signature(body, secret)
    # The time is for all of it, and of the answer nothing but its status is read: its body may be endless.
    async with (
        asyncio.timeout(SEND_S),
        httpx.AsyncClient(timeout=SEND_S, trust_env=False) as client,
        client.stream("POST", route.webhook, content=body, headers=headers) as reply,
    ):
        if not reply.is_success:
            raise httpx.HTTPStatusError(
                f"the webhook answers {reply.status_code}", request=reply.request, response=reply
            )


def _mail(route: Route, notices: Sequence[Notice], node: str) -> None:
    host, port = route.smtp_place()
    context = ssl.create_default_context(cafile=route.smtp_ca_file or None)
    server: smtplib.SMTP
    if route.smtp_tls == "tls":
        server = smtplib.SMTP_SSL(host, port, timeout=SEND_S, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=SEND_S)
    with server:
        if route.smtp_tls == "starttls":
            server.starttls(context=context)
        if route.smtp_user:
            password = Path(route.smtp_password_file).read_text(encoding="utf-8").strip()
            server.login(route.smtp_user, password)
        server.send_message(mail_of(route, notices, node))
