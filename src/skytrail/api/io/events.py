"""What changes, told as it happens without the objects: one cheap stream for a page that shows many.

GET /api/v1/events?from_revision=&history=     JSON lines

    {"kind":"start","revision":R,"history":H}     where it begins; what is shown now is as of R or newer
    {"kind":"changes",...,"changes":[{"kind":"create|update|delete","type","uuid","fq_name"}]}
    {"kind":"bookmark",...}                       nothing happened for a while
    {"kind":"lost",...}                           more was missed than is kept: read anew
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from skytrail.api.feed import Batch
from skytrail.api.io import watch
from skytrail.api.io.callers import caller_of
from skytrail.api.io.gate import Gate
from skytrail.api.io.native import check_parameters
from skytrail.api.refusal import bad_request
from skytrail.api.service import ConfigService
from skytrail.api.sight import Sight
from skytrail.model.validate import shown
from skytrail.runtime.asgi import Request, Router, StreamResponse

_PARAMETERS: Final = frozenset({"from_revision", "history"})
CHANGES_COUNT_MAX: Final = 1000
"""Changes of one commit that are told one by one; beyond, the reader reads anew."""


class EventsApi:
    """The stream; each reader is told what it may see."""

    def __init__(self, service: ConfigService, gate: Gate | None) -> None:
        self._service = service
        self._gate = gate

    def add_routes(self, router: Router) -> None:
        router.add("GET", "/api/v1/events", self._events)

    async def _events(self, request: Request) -> StreamResponse:
        check_parameters(request, _PARAMETERS)
        position = position_of(request)
        sight = Sight(self._service.graph, caller_of(request), self._service.schema)
        standing = None if self._gate is None else self._gate.standing(request)
        return StreamResponse(lines(self._service, position, sight, standing))


def position_of(request: Request) -> tuple[int, str] | None:
    """Return the revision and history to go on from; None: from now."""
    text = request.query.get("from_revision", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise bad_request(f"Invalid from_revision {shown(text)}")
    return (int(text), request.query.get("history", "")[:64]) if text else None


async def lines(
    service: ConfigService,
    position: tuple[int, str] | None,
    sight: Sight,
    standing: watch.Standing | None,
) -> AsyncGenerator[bytes, None]:
    """Yield what was missed since the position, then everything that happens.

    Ends when the reader is too slow, or no longer who it was.
    """
    with watch.subscribed(service) as (subscription, woken):
        missed = [] if position is None else service.feed.since(*position)
        kind = "lost" if missed is None else "start"
        yield _line(kind, service.feed.revision, service.feed.history)
        for batch in missed or ():
            yield _changes(sight.batch(batch))
        while not (subscription.overrun or sight.is_over(time.time())):
            batches = await watch.next_batches(subscription, woken, watch.BOOKMARK_S)
            if not await watch.may_go_on(sight, standing):
                return
            if not batches:
                yield _line("bookmark", service.feed.revision, service.feed.history)
            for batch in batches:
                yield _changes(sight.batch(batch))


def _changes(batch: Batch) -> bytes:
    if len(batch.events) > CHANGES_COUNT_MAX:
        return _line("lost", batch.revision, batch.history)
    changes: list[dict[str, object]] = [
        {
            "kind": event.kind,
            "type": event.type_name,
            "uuid": event.record.uuid,
            "fq_name": event.record.fq_name,
        }
        for event in batch.events
    ]
    return _line("changes", batch.revision, batch.history, changes)


def _line(
    kind: str, revision: int, history: str, changes: list[dict[str, object]] | None = None
) -> bytes:
    line: dict[str, object] = {"kind": kind, "revision": revision, "history": history}
    if changes is not None:
        line["changes"] = changes
    return msgspec.json.encode(line) + b"\n"
