"""Doing something inside a network namespace from a process that is outside."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import TypeVar

_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


def enter_namespace(name: str) -> None:
    """Move the calling thread; sockets it makes from now on stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        if libc.setns(place, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")
    finally:
        os.close(place)


def in_namespace(name: str, action: Callable[[], T]) -> T:
    """Return what ``action`` returns, run on a thread of its own in the namespace."""
    results: list[T] = []
    failures: list[Exception] = []

    def act() -> None:
        try:
            enter_namespace(name)
            results.append(action())
        except Exception as error:  # The thread's boundary; raised again below.
            failures.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]
