"""A workload's end of a VLAN, where the kernel has no such devices: tagged frames by a packet socket."""

from __future__ import annotations

import socket
import struct
import time
from types import TracebackType
from typing import Self

_SOL_PACKET, _PACKET_AUXDATA = 263, 8
_AUXDATA = struct.Struct("=IIIHHHH")
_VLAN_VALID = 0x10
_ETHERTYPE_ALL = 3
_FRAME_BYTES_MAX = 65535
_WAIT_S = 30.0


class VlanSocket:
    """Sends with a tag on a link of this network namespace, and hears what comes with it."""

    def __init__(self, ifname: str, vlan: int) -> None:
        self._vlan = vlan
        self._socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_ALL)
        )
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        self._socket.bind((ifname, _ETHERTYPE_ALL))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def send(self, frame: bytes, *vlans: int) -> None:
        """Send an untagged frame with the tag, or with others, outermost last."""
        for vlan in vlans or (self._vlan,):
            frame = frame[:12] + b"\x81\x00" + vlan.to_bytes(2) + frame[12:]
        self._socket.send(frame)

    def hear(self, wanted: bytes, wait_s: float = _WAIT_S) -> bytes:
        """Return the next frame with the tag that has these bytes in it; empty: none came."""
        deadline = time.monotonic() + wait_s
        while (left_s := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                frame, ancillary, _, address = self._socket.recvmsg(_FRAME_BYTES_MAX, 256)
            except TimeoutError:
                break
            tags = [_tag(data) for level, _, data in ancillary if level == _SOL_PACKET]
            outgoing = address[2] == socket.PACKET_OUTGOING
            if not outgoing and tags == [self._vlan] and wanted in frame:
                return frame
        return b""


def _tag(data: bytes) -> int:
    status, _, _, _, _, tci, _ = _AUXDATA.unpack(data[: _AUXDATA.size])
    return tci & 0xFFF if status & _VLAN_VALID else 0
