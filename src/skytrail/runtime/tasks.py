"""Task plumbing: restart a failing unit with backoff, run a daemon until a signal stops it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

import structlog
import uvloop

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import Clock, SystemClock

STABLE_AFTER_S: Final = 30.0
"""A unit that ran this long before it failed starts again with the shortest delay."""


async def supervise(
    name: str,
    factory: Callable[[], Awaitable[None]],
    *,
    backoff: Backoff | None = None,
    clock: Clock | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run ``factory()`` again after each failure, with growing delays; return when it returns.

    Every failure is logged once, here. Cancellation is passed on at once.
    """
    log = structlog.get_logger("skytrail.tasks")
    delays = backoff if backoff is not None else Backoff()
    time_source = clock if clock is not None else SystemClock()
    while True:
        started = time_source.now()
        try:
            await factory()
        except Exception as error:  # The task boundary this function exists for.
            if time_source.now() - started >= STABLE_AFTER_S:
                delays.reset()
            delay_s = delays.next_delay_s()
            log.warning(
                "task_restarting",
                task=name,
                error=f"{type(error).__name__}: {error}",
                delay_s=round(delay_s, 2),
                exc_info=error,
            )
        else:
            return
        await sleep(delay_s)


def run_until_signal(main: Callable[[], Coroutine[object, object, None]]) -> int:
    """Run a daemon's root coroutine; return its exit status.

    SIGTERM and SIGINT cancel it (status 0 after its clean-up); a failure is logged once and
    gives status 1. The coroutine may also simply return.
    """
    return uvloop.run(_until_signal(main))


async def _until_signal(main: Callable[[], Coroutine[object, object, None]]) -> int:
    root = asyncio.ensure_future(main())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, root.cancel)
    try:
        await root
    except asyncio.CancelledError:
        return 0
    except Exception as error:  # The outermost task boundary of the process.
        structlog.get_logger("skytrail.tasks").error("daemon_failed", exc_info=error)
        print(f"{sys.argv[0]}: {_first_cause(error)}", file=sys.stderr)
        return 1
    return 0


def _first_cause(error: BaseException) -> str:
    """Return the text of the first plain exception inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        group: BaseExceptionGroup[BaseException] = error
        error = group.exceptions[0]
    return f"{type(error).__name__}: {error}"
