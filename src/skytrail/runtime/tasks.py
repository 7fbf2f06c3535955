"""Task plumbing: restart a failing unit with backoff, run a daemon until a signal stops it."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

import structlog
import uvloop

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.clock import Clock, SystemClock

DESCRIPTORS_WANTED = 65_536
FINAL: Final = 78
"""Exit status of a daemon that ends again if it is started again (EX_CONFIG): nobody restarts it."""

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

    Every failure is logged once, here: with its traceback unless the world refused something
    (OSError) or the failure before was the same. Cancellation is passed on at once.
    """
    log = structlog.get_logger("skytrail.tasks")
    delays = backoff if backoff is not None else Backoff()
    time_source = clock if clock is not None else SystemClock()
    told = ""
    while True:
        started = time_source.now()
        try:
            await factory()
        except Exception as error:  # The task boundary this function exists for.
            if time_source.now() - started >= STABLE_AFTER_S:
                delays.reset()
            delay_s = delays.next_delay_s()
            text = f"{type(error).__name__}: {error}"
            known = isinstance(error, OSError) or text == told
            told = text
            log.warning(
                "task_restarting",
                task=name,
                error=text,
                delay_s=round(delay_s, 2),
                **({} if known else {"exc_info": error}),
            )
        else:
            return
        await sleep(delay_s)


def run_until_signal(
    main: Callable[[], Coroutine[object, object, None]],
    *,
    expected: tuple[type[Exception], ...] = (),
    final: tuple[type[Exception], ...] = (),
) -> int:
    """Run a daemon's root coroutine; return its exit status.

    SIGTERM and SIGINT cancel it (status 0 after its clean-up); a failure is told once and gives
    status 1, or :data:`FINAL` if it is one of ``final``. What an operator can mend (OSError,
    ``expected``, ``final``) is one line; its traceback is for the log level debug. The coroutine
    may also simply return.
    """
    _allow_descriptors()
    return uvloop.run(_until_signal(main, (OSError, *expected, *final), final))


def _allow_descriptors() -> None:
    """Take as many descriptors as the system gives: the usual soft limit of 1,024 is for select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _until_signal(
    main: Callable[[], Coroutine[object, object, None]],
    plain: tuple[type[Exception], ...],
    final: tuple[type[Exception], ...],
) -> int:
    root = asyncio.ensure_future(main())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, root.cancel)
    try:
        await root
    except asyncio.CancelledError:
        return 0
    except Exception as error:  # The outermost task boundary of the process.
        log = structlog.get_logger("skytrail.tasks")
        causes = _causes(error)
        unexpected = next((cause for cause in causes if not isinstance(cause, plain)), None)
        shown = unexpected if unexpected is not None else causes[0]
        if unexpected is None:
            log.debug("daemon_failed", exc_info=error)
        else:
            log.exception("daemon_failed", exc_info=error)
        kind = "" if isinstance(shown, plain) and str(shown) else f"{type(shown).__name__}: "
        print(f"{sys.argv[0]}: {kind}{shown}", file=sys.stderr)
        return FINAL if isinstance(shown, final) else 1
    return 0


def _causes(error: BaseException) -> list[BaseException]:
    """Return the plain exceptions inside nested groups."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    group: BaseExceptionGroup[BaseException] = error
    return [cause for inner in group.exceptions for cause in _causes(inner)]
