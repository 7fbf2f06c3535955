"""What a lab takes of the machine it runs on, and gives back: ports on loopback, pinned programs."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path


class NoPort(OSError):
    """There is no free TCP port on the loopback address."""


def free_port(wanted: int) -> int:
    """Return the wanted port when nobody listens there, else one the system picks."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise NoPort("no free TCP port on the loopback address")


def remove_pins(folder: Path) -> None:
    """Unpin everything of one agent; programs and maps go when nothing holds them any more."""
    for directory, _, files in os.walk(folder, topdown=False):
        for file in files:
            Path(directory, file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
