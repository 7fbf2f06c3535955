"""The bpf() system call: maps, links, object information and program runs.

Thin and typed: every function either succeeds or raises ``OSError`` with the kernel's errno.
Nothing here knows what the maps mean.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

_SYSCALL_NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
_ATTRIBUTE_BYTES = 152
_BATCH_COUNT = 8192
_READ_BYTES = 1 << 20
"""Of values at a time."""
_BUCKET_COUNT_MAX = 128
"""More entries in one bucket of a hash map are not to be expected: there are as many buckets as entries."""

MAP_LOOKUP = 1
MAP_UPDATE = 2
MAP_DELETE = 3
MAP_NEXT_KEY = 4
OBJ_PIN = 6
OBJ_GET = 7
PROG_TEST_RUN = 10
OBJ_GET_INFO = 15
MAP_LOOKUP_BATCH = 24
MAP_UPDATE_BATCH = 26
MAP_DELETE_BATCH = 27
LINK_CREATE = 28
LINK_UPDATE = 29

TCX_INGRESS = 46
"""Attach type BPF_TCX_INGRESS, Linux 6.6."""
LINK_TYPE_TCX = 11

_libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes | bytearray) -> tuple[int, bytes]:
    """Run one command; returns its result and the attributes as the kernel left them."""
    buffer = ctypes.create_string_buffer(bytes(attributes), _ATTRIBUTE_BYTES)
    result = _libc.syscall(_SYSCALL_NUMBER, command, buffer, _ATTRIBUTE_BYTES)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result, buffer.raw


def _address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


class BpfMap:
    """One map by file descriptor, which this object owns."""

    __slots__ = ("_key", "_value", "fd", "key_bytes", "max_entries", "name", "value_bytes")

    def __init__(
        self, name: str, fd: int, *, key_bytes: int, value_bytes: int, entries: int
    ) -> None:
        self.name = name
        self.fd = fd
        self.key_bytes = key_bytes
        self.value_bytes = value_bytes
        self.max_entries = entries
        self._key = ctypes.create_string_buffer(max(key_bytes, 1))
        self._value = ctypes.create_string_buffer(max(value_bytes, 1))

    def _element(self, key: bytes, flags: int = 0) -> bytes:
        self._key.raw = key
        return struct.pack(
            "=I4xQQQ",
            self.fd,
            _address(self._key) if self.key_bytes else 0,
            _address(self._value),
            flags,
        )

    def lookup(self, key: bytes) -> bytes | None:
        """Value of a key, None when absent."""
        try:
            bpf(MAP_LOOKUP, self._element(key))
        except OSError as failure:
            if failure.errno == errno.ENOENT:
                return None
            raise
        return self._value.raw

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """Insert or replace."""
        self._value.raw = value
        bpf(MAP_UPDATE, self._element(key, flags))

    def delete(self, key: bytes) -> bool:
        """False when there was nothing to delete."""
        self._key.raw = key
        try:
            bpf(MAP_DELETE, struct.pack("=I4xQ", self.fd, _address(self._key)))
        except OSError as failure:
            if failure.errno == errno.ENOENT:
                return False
            raise
        return True

    def update_many(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Insert or replace in batches; one system call per 8,192 entries."""
        for start in range(0, len(entries), _BATCH_COUNT):
            part = entries[start : start + _BATCH_COUNT]
            if len(part) == 1:
                self.update(*part[0])
                continue
            keys = ctypes.create_string_buffer(b"".join(key for key, _ in part))
            values = ctypes.create_string_buffer(b"".join(value for _, value in part))
            attributes = struct.pack(
                "=QQQQIIQQ", 0, 0, _address(keys), _address(values), len(part), self.fd, 0, 0
            )
            bpf(MAP_UPDATE_BATCH, attributes)

    def delete_many(self, keys: Sequence[bytes]) -> None:
        """Delete in order; absent keys are passed over."""
        done = 0
        while done < len(keys):
            part = keys[done : done + _BATCH_COUNT]
            done += self._delete_part(part)

    def _delete_part(self, part: Sequence[bytes]) -> int:
        buffer = ctypes.create_string_buffer(b"".join(part))
        attributes = struct.pack("=QQQQIIQQ", 0, 0, _address(buffer), 0, len(part), self.fd, 0, 0)
        block = ctypes.create_string_buffer(attributes, _ATTRIBUTE_BYTES)
        result = _libc.syscall(_SYSCALL_NUMBER, MAP_DELETE_BATCH, block, _ATTRIBUTE_BYTES)
        if result == 0:
            return len(part)
        number = ctypes.get_errno()
        if number != errno.ENOENT:
            raise OSError(number, os.strerror(number))
        deleted = struct.unpack_from("=I", block.raw, 32)[0]
        return int(deleted) + 1

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Every entry, by batches. A map that changes meanwhile may repeat or miss entries."""
        count = self._batch_count()
        # A hash batch ends at a bucket's end; its token is then a bucket number, not a key.
        token_bytes = max(self.key_bytes, 8)
        token_in = ctypes.create_string_buffer(token_bytes)
        token_out = ctypes.create_string_buffer(token_bytes)
        keys = ctypes.create_string_buffer(self.key_bytes * count)
        values = ctypes.create_string_buffer(self.value_bytes * count)
        first, last = True, False
        while not last:
            attributes = struct.pack(
                "=QQQQIIQQ",
                0 if first else _address(token_in),
                _address(token_out),
                _address(keys),
                _address(values),
                count,
                self.fd,
                0,
                0,
            )
            block = ctypes.create_string_buffer(attributes, _ATTRIBUTE_BYTES)
            result = _libc.syscall(_SYSCALL_NUMBER, MAP_LOOKUP_BATCH, block, _ATTRIBUTE_BYTES)
            if result < 0:
                number = ctypes.get_errno()
                if number != errno.ENOENT:
                    raise OSError(number, os.strerror(number))
                last = True
            found = int(struct.unpack_from("=I", block.raw, 32)[0])
            raw_keys = ctypes.string_at(keys, found * self.key_bytes)
            raw_values = ctypes.string_at(values, found * self.value_bytes)
            for index in range(found):
                yield (
                    raw_keys[index * self.key_bytes : (index + 1) * self.key_bytes],
                    raw_values[index * self.value_bytes : (index + 1) * self.value_bytes],
                )
            token_in.raw = token_out.raw
            first = False

    def _batch_count(self) -> int:
        """How many entries are read at a time: most maps hold few, and large buffers cost.

        Enough for any bucket of a hash map, whose entries the kernel gives together or not at all.
        """
        fitting = max(_READ_BYTES // max(self.value_bytes, 1), _BUCKET_COUNT_MAX)
        return max(min(_BATCH_COUNT, fitting, self.max_entries), 1)

    def count(self) -> int:
        """How many entries a hash map or trie has; walks it, in the kernel, by batches."""
        batch = self._batch_count()
        token_bytes = max(self.key_bytes, 8)
        token = ctypes.create_string_buffer(token_bytes)
        keys = ctypes.create_string_buffer(self.key_bytes * batch)
        values = ctypes.create_string_buffer(self.value_bytes * batch)
        total, first = 0, True
        while True:
            attributes = struct.pack(
                "=QQQQIIQQ", 0 if first else _address(token), _address(token), _address(keys),
                _address(values), batch, self.fd, 0, 0,
            )  # fmt: skip
            block = ctypes.create_string_buffer(attributes, _ATTRIBUTE_BYTES)
            result = _libc.syscall(_SYSCALL_NUMBER, MAP_LOOKUP_BATCH, block, _ATTRIBUTE_BYTES)
            if result < 0 and ctypes.get_errno() != errno.ENOENT:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            total += int(struct.unpack_from("=I", block.raw, 32)[0])
            if result < 0:
                return total
            first = False

    def close(self) -> None:
        os.close(self.fd)


def pin(fd: int, path: Path) -> None:
    """Give an object a name in a bpf file system; it lives while the name does."""
    text = ctypes.create_string_buffer(str(path).encode())
    bpf(OBJ_PIN, struct.pack("=QI", _address(text), fd))


def open_pin(path: Path) -> int:
    """File descriptor of a pinned object."""
    text = ctypes.create_string_buffer(str(path).encode())
    return bpf(OBJ_GET, struct.pack("=QI", _address(text), 0))[0]


def object_description(fd: int, size: int = 256) -> bytes:
    """The kernel's ``bpf_*_info`` of an object."""
    buffer = ctypes.create_string_buffer(size)
    bpf(OBJ_GET_INFO, struct.pack("=IIQ", fd, size, _address(buffer)))
    return buffer.raw


def map_bytes(fd: int) -> int:
    """Kernel memory of a map. Kernels before 6.4 tell what it would have if it were full."""
    for line in Path(f"/proc/self/fdinfo/{fd}").read_text(encoding="ascii").splitlines():
        name, _, number = line.partition(":")
        if name == "memlock":
            return int(number)
    return 0


def tcx_link_create(program_fd: int, ifindex: int) -> int:
    """Attach a program to an interface's ingress; returns the link."""
    attributes = struct.pack("=IIII", program_fd, ifindex, TCX_INGRESS, 0)
    return bpf(LINK_CREATE, attributes)[0]


def link_update(link_fd: int, program_fd: int) -> None:
    """Replace the program of a link atomically: no packet sees neither."""
    bpf(LINK_UPDATE, struct.pack("=III", link_fd, program_fd, 0))


def tcx_link_ifindex(link_fd: int) -> int:
    """Interface of a TCX link; 0 when the interface is gone."""
    described = object_description(link_fd)
    link_type = struct.unpack_from("=I", described)[0]
    if link_type != LINK_TYPE_TCX:
        raise OSError(errno.EINVAL, f"link of type {link_type} is not a TCX link")
    return int(struct.unpack_from("=I", described, 16)[0])


def run_on_frame(
    program_fd: int, frame: bytes, *, repeat: int = 1, context: bytes = b""
) -> tuple[int, bytes, int, bytes]:
    """Run a tc program on a frame: return value, resulting frame, nanoseconds a run, context."""
    data_in = ctypes.create_string_buffer(frame, len(frame))
    data_out = ctypes.create_string_buffer(len(frame) + 256)
    context_in = ctypes.create_string_buffer(context, max(len(context), 1))
    context_out = ctypes.create_string_buffer(max(len(context), 1))
    attributes = struct.pack(
        "=IIIIQQIIIIQQ",
        program_fd,
        0,
        len(frame),
        len(frame) + 256,
        _address(data_in),
        _address(data_out),
        repeat,
        0,
        len(context),
        len(context),
        _address(context_in) if context else 0,
        _address(context_out) if context else 0,
    )
    _, after = bpf(PROG_TEST_RUN, attributes)
    _, result, _, size, _, _, _, duration = struct.unpack_from("=IIIIQQII", after)
    signed = result - (1 << 32) if result >= 1 << 31 else result
    return signed, data_out.raw[:size], duration, context_out.raw[: len(context)]


def run_on_context(program_fd: int, context: bytes) -> int:
    """Run a raw tracepoint program on its arguments; returns what it returned."""
    buffer = ctypes.create_string_buffer(context, len(context))
    attributes = struct.pack(
        "=IIIIQQIIIIQQ", program_fd, 0, 0, 0, 0, 0, 0, 0, len(context), 0, _address(buffer), 0
    )
    _, after = bpf(PROG_TEST_RUN, attributes)
    return int(struct.unpack_from("=I", after, 4)[0])


def possible_cpu_count() -> int:
    """CPUs the kernel sizes per-CPU values for."""
    ranges = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(ranges.replace(",", "-").split("-")[-1]) + 1
