"""Captures frames on any interface of a lab, without a capture program."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from skytrail.lab.io import netns

_ETH_P_ALL = 3
_SNAPSHOT_BYTES = 65535
_PCAP_MAGIC = 0xA1B2C3D4
_PCAP_ETHERNET = 1
_WAIT_MAX_S = 3600.0
"""select() refuses times its C type cannot hold; "for ever" is many such waits."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    time_s: float
    """Wall clock."""
    frame: bytes


class Capture:
    """Frames received and sent by one interface from the moment of creation."""

    def __init__(self, namespace: str, ifname: str) -> None:
        self._place = f"{ifname} in {namespace}"
        self._socket = netns.open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW)
        try:
            self._socket.bind((ifname, _ETH_P_ALL))
        except OSError as error:
            self._socket.close()
            raise netns.NetworkError(f"no capture on {self._place}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def frames(self, timeout_s: float) -> Iterator[CapturedFrame]:
        """Yield frames as they come until the time is up."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self._socket], [], [], min(left_s, _WAIT_MAX_S))
            if readable:
                yield CapturedFrame(time.time(), self._received())

    def _received(self) -> bytes:
        try:
            return self._socket.recv(_SNAPSHOT_BYTES)
        except OSError as error:
            raise netns.NetworkError(
                f"the capture on {self._place} ended: {error.strerror}; the interface, or the lab, "
                "was taken down"
            ) from error

    def wait_for(self, wanted: Callable[[bytes], bool], timeout_s: float) -> CapturedFrame | None:
        """Return the first frame that is wanted, None when the time is up."""
        return next((got for got in self.frames(timeout_s) if wanted(got.frame)), None)


def write_pcap(path: Path, frames: Iterator[CapturedFrame], count_max: int) -> int:
    """Write at most ``count_max`` frames to a pcap file; return how many."""
    count = 0
    with path.open("wb") as file:
        file.write(
            struct.pack("<IHHiIII", _PCAP_MAGIC, 2, 4, 0, 0, _SNAPSHOT_BYTES, _PCAP_ETHERNET)
        )
        for captured in frames:
            seconds, fraction = divmod(captured.time_s, 1)
            length = len(captured.frame)
            header = struct.pack("<IIII", int(seconds), int(fraction * 1e6), length, length)
            file.write(header + captured.frame)
            count += 1
            if count >= count_max:
                break
    return count
