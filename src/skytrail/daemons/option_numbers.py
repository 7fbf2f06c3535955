"""Types of options that are numbers: a usage error for any other text, however long."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Final

from skytrail.net.decimal_text import bounded

PORT_MAX: Final = 65_535


def number(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type of whole numbers from ``low`` to ``high``."""
    return partial(_read, low, high)


def _read(low: int, high: int, text: str) -> int:
    try:
        return bounded(text, low, high)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


port: Final = number(1, PORT_MAX)
port_or_none: Final = number(0, PORT_MAX)
"""0: a free one, or none."""
