"""Frames from and to workloads: the datapath's punt ring in, one packet socket out."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from skytrail.agent.plugin import Datapath, Punt

PUNTS_AT_ONCE_COUNT = 32
"""Before everything else of the agent has its turn; the descriptor stays readable."""
_PACKET_OUTGOING_QUEUE_BYTES = 1 << 20


class PuntChannel:
    """Delivers punts to ``receive`` on the loop; ``reply`` sends frames out of an interface.

    A frame that cannot be sent (link gone, queue full) is dropped and counted.
    """

    def __init__(self, datapath: Datapath, receive: Callable[[Punt], None]) -> None:
        self._datapath = datapath
        self._receive = receive
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _PACKET_OUTGOING_QUEUE_BYTES)
        self._fd = -1
        self.sent = 0
        self.unsent = 0

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start delivering."""
        self._fd = self._datapath.open_punts(self._receive)
        loop.add_reader(self._fd, self._datapath.poll_punts, PUNTS_AT_ONCE_COUNT)
        # What was punted before anybody listened is still in the ring.
        self._datapath.poll_punts(PUNTS_AT_ONCE_COUNT)

    def reply(self, ifname: str, frame: bytes) -> None:
        """Send one frame towards the workload of an interface."""
        try:
            self._socket.sendto(frame, (ifname, 0))
        except OSError:
            self.unsent += 1
        else:
            self.sent += 1

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._fd >= 0:
            with contextlib.suppress(ValueError):
                loop.remove_reader(self._fd)
        self._socket.close()
