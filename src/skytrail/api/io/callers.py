"""Who sent a request: attached by the authenticator before any handler runs, kept with what it writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.change import Change
from skytrail.api.service import ConfigService, Written
from skytrail.runtime.asgi import Request

T = TypeVar("T")


def caller_of(request: Request) -> Caller:
    """Return who sent the request."""
    return request.identity if isinstance(request.identity, Caller) else NOBODY_ASKED


async def write_for(
    request: Request,
    service: ConfigService,
    plan: Callable[[Change], T],
    *,
    weight: int = 1,
    request_id: str = "",
) -> Written[T]:
    """Carry out a plan as the sender of the request, noted under the request's id by default."""
    return await service.write(
        plan, caller=caller_of(request), weight=weight, request_id=request_id or request.id
    )
