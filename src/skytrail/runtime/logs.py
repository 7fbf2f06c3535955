"""Logging set-up: structlog to standard error, for people or as one JSON object per line.

Standard output stays free for the ready line and for command output. Fields whose name speaks of
a secret are masked whatever code logs them, and tracebacks never show variables.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import structlog

SECRET_WORDS: Final = ("password", "passwd", "secret", "token", "authorization", "private_key")
MASK: Final = "***"
LEVELS: Final = ("debug", "info", "warning", "error")


Processor = Callable[[object, str, MutableMapping[str, Any]], MutableMapping[str, Any]]


def configure(
    level: str = "info",
    json: bool = False,
    *,
    stream: TextIO | None = None,
    tap: Processor | None = None,
) -> None:
    """Route structlog and the standard library's loggers to standard error.

    ``tap`` sees every event that is shown, after secrets were masked. Raises ValueError for an
    unknown level. May be called again; the last call wins.
    """
    if level.lower() not in LEVELS:
        message = f"log level {level!r} is not one of {', '.join(LEVELS)}"
        raise ValueError(message)
    number = logging.getLevelNamesMapping()[level.upper()]
    output = stream if stream is not None else sys.stderr
    renderer = structlog.processors.JSONRenderer() if json else _console(output)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            *([structlog.processors.format_exc_info] if json else []),
            mask_secrets,
            *([tap] if tap is not None else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # A line and its end in one write: several processes share one standard error.
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    # Libraries (uvicorn, httpx) speak only when something is wrong.
    logging.basicConfig(
        level=max(number, logging.WARNING),
        stream=output,
        format="%(levelname)s %(name)s %(message)s",
        force=True,
    )


def mask_secrets(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Replace the value of every field whose name contains a secret word."""
    for name in event:
        if any(word in name.lower() for word in SECRET_WORDS):
            event[name] = MASK
    return event


def _console(output: TextIO) -> structlog.dev.ConsoleRenderer:
    # The default shows the variables of every frame where rich is installed: passwords among them.
    return structlog.dev.ConsoleRenderer(
        colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
