"""What a network card says of itself, by the kernel's ethtool calls."""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_GET_DRIVER, _GET_STRINGS, _GET_SET_SIZE, _GET_FEATURES = 0x03, 0x1B, 0x37, 0x3A
_GET_SETTINGS, _SETTINGS_BYTES = 0x01, 44
_SPEED_UNKNOWN = frozenset({0, 0xFFFF, 0xFFFFFFFF})
_FEATURE_NAMES = 4
_NAME_BYTES = 32
_BLOCK_BYTES = 16
_IFNAME_BYTES = 16
_DRIVER_BYTES = 256


def driver(ifname: str) -> str:
    """Name of its driver; empty when it does not tell."""
    try:
        answer = _ask(ifname, struct.pack("=I", _GET_DRIVER), _DRIVER_BYTES)
    except OSError:
        return ""
    return _text(answer[4 : 4 + _NAME_BYTES])


def features(ifname: str) -> dict[str, bool] | None:
    """By name of a feature whether it is on, of those it can; None when it does not tell."""
    try:
        size = _ask(ifname, struct.pack("=IIQI", _GET_SET_SIZE, 0, 1 << _FEATURE_NAMES, 0), 24)
        count: int = struct.unpack_from("=I", size, 16)[0]
        asked = struct.pack("=III", _GET_STRINGS, _FEATURE_NAMES, count)
        strings = _ask(ifname, asked, 12 + count * _NAME_BYTES)
        blocks = (count + 31) // 32
        asked = struct.pack("=II", _GET_FEATURES, blocks)
        state = _ask(ifname, asked, 8 + blocks * _BLOCK_BYTES)
    except OSError:
        return None
    found: dict[str, bool] = {}
    for place in range(count):
        start = 12 + place * _NAME_BYTES
        name = _text(strings[start : start + _NAME_BYTES])
        block, bit = 8 + place // 32 * _BLOCK_BYTES, 1 << place % 32
        # Available, requested, active, never changed.
        available, _, active, _ = struct.unpack_from("=IIII", state, block)
        if name and (available | active) & bit:
            found[name] = bool(active & bit)
    return found


def speed_kbps(ifname: str) -> int:
    """Speed of its link; 0 when it does not know."""
    try:
        answer = _ask(ifname, struct.pack("=I", _GET_SETTINGS), _SETTINGS_BYTES)
    except OSError:
        return 0
    low, high = struct.unpack_from("=H", answer, 12)[0], struct.unpack_from("=H", answer, 28)[0]
    mbps: int = high << 16 | low
    return 0 if mbps in _SPEED_UNKNOWN else mbps * 1000


def _ask(ifname: str, command: bytes, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(command, size)
    name = ifname.encode()[: _IFNAME_BYTES - 1]
    request = struct.pack(f"={_IFNAME_BYTES}sQ16x", name, ctypes.addressof(buffer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, _SIOCETHTOOL, request)
    return buffer.raw


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")
