"""Answers the collector's questions for the pages a process shows of itself, and for nothing else.

Only what its Unix socket shows to ``GET /introspect``, ``/introspect/<table>``, ``/healthz`` and ``/metrics``: pages that
read and change nothing (an agent's ``probe`` sends one small packet of a port's own, ADR 0436). An answer is bounded in
time and size; one that is over is an error that says what to ask instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from skytrail.runtime.asgi import Handler, Request, Response
from skytrail.runtime.http_error import HttpError
from skytrail.wire.telemetry import Answer, Ask

Pages = Handler
"""What serves the pages; usually a router."""

ANSWER_S: Final = 20.0
ANSWER_BYTES_MAX: Final = 8 << 20
PART_BYTES: Final = 1 << 20
"""Between two parts other messages have their turn."""
_PAGE_CHARACTERS_MAX: Final = 128
_TABLE: Final = "introspect"
_ALONE: Final = frozenset({(_TABLE,), ("healthz",), ("metrics",)})


async def answer_to(ask: Ask, pages: Pages | None) -> Sequence[Answer]:
    """Return the parts of the answer, at least one; never raises for what is asked."""
    status, body = await _reply(ask, pages)
    if len(body) > ANSWER_BYTES_MAX:
        status, body = 413, b"The answer is of %d bytes: ask with a smaller limit" % len(body)
    starts = range(0, len(body), PART_BYTES) or (0,)
    return [
        Answer(
            id=ask.id,
            status=status,
            part=body[start : start + PART_BYTES],
            is_last=start + PART_BYTES >= len(body),
        )
        for start in starts
    ]


async def _reply(ask: Ask, pages: Pages | None) -> tuple[int, bytes]:
    segments = tuple(ask.page[:_PAGE_CHARACTERS_MAX].split("/"))
    if segments not in _ALONE and not (len(segments) == 2 and segments[0] == _TABLE):
        return 404, b"No such page: introspect, introspect/<table>, healthz and metrics are shown"
    if pages is None:
        return 404, b"This process shows no pages here"
    request = Request(
        "GET", "/" + "/".join(segments), segments, {k: (v,) for k, v in ask.query.items()}, {}
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            reply = await pages(request)
    except HttpError as error:
        return error.status, error.text.encode()
    except TimeoutError:
        return 504, b"The page was not made within %d s" % ANSWER_S
    except Exception:  # The boundary of one question: what is told beside must go on.
        structlog.get_logger("skytrail.telemetry").exception("page_failed", page=request.path)
        return 500, b"The page was not made; the process's log has the details"
    if not isinstance(reply, Response):
        return 404, b"That page is a stream; it is shown on the process's own socket only"
    return reply.status, reply.body
