"""What a lab takes of the machine it runs on, and gives back: ports on loopback, pinned programs."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from collections.abc import Collection
from pathlib import Path

_PORTS = range(10_000, 32_000)
"""Below what Linux gives to connections (net.ipv4.ip_local_port_range starts at 32768)."""
_ATTEMPTS = 1000


class NoPort(OSError):
    """There is no free TCP port on the loopback address."""


def free_port(wanted: int = 0, *, taken: Collection[int] = ()) -> int:
    """Return the wanted port when nobody listens there, else one that nobody is given by chance.

    The system picks ports of connections and of listeners that name none from a range of its own.
    A port below that range stays free while the daemon it was chosen for starts, or starts again.
    """
    if wanted and wanted not in taken and _is_free(wanted):
        return wanted
    for _ in range(_ATTEMPTS):
        port = secrets.choice(_PORTS)
        if port not in taken and _is_free(port):
            return port
    raise NoPort("no free TCP port on the loopback address")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def remove_pins(folder: Path) -> None:
    """Unpin everything of one agent; programs and maps go when nothing holds them any more."""
    for directory, _, files in os.walk(folder, topdown=False):
        for file in files:
            Path(directory, file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
