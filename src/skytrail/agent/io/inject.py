"""Puts one frame into a link as if its workload had sent it, whatever the workload is: a veth, a tap, a machine.

A program of five instructions is run once by the kernel, with the frame as its packet; it hands a clone to the link's
ingress, where it meets what every frame of the workload meets. Nothing stays behind.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from skytrail.agent.io import bpf_syscall

_PROG_LOAD, _PROG_TEST_RUN = 5, 10
_SCHED_CLS = 3
_CLONE_REDIRECT = 13
_INGRESS = 1
_CB_OFFSET = 48
"""Of ``cb[0]`` in ``struct __sk_buff``: the link's number, as test runs may set it."""
_CONTEXT_BYTES = 68
_CODE: Final = b"".join(
    struct.pack("<BBhi", code, registers, offset, value)
    for code, registers, offset, value in (
        (0x61, 0x12, _CB_OFFSET, 0),  # r2 = skb->cb[0]
        (0xB7, 0x03, 0, _INGRESS),  # r3 = BPF_F_INGRESS
        (0x85, 0x00, 0, _CLONE_REDIRECT),  # r0 = bpf_clone_redirect(skb, r2, r3)
        (0x95, 0x00, 0, 0),  # return r0
    )
)
_RETVAL = slice(4, 8)
"""``test.retval`` of ``union bpf_attr``."""


def send_as_workload(ifindex: int, frame: bytes) -> None:
    """Have a frame come in by a link of this network namespace; ``OSError`` when the kernel does not."""
    program = _load()
    try:
        data = ctypes.create_string_buffer(frame, len(frame))
        context = ctypes.create_string_buffer(
            bytes(_CB_OFFSET) + struct.pack("=I", ifindex), _CONTEXT_BYTES
        )
        attributes = struct.pack(
            "=IIIIQQIIIIQQ", program, 0, len(frame), 0, ctypes.addressof(data), 0, 1, 0,
            _CONTEXT_BYTES, 0, ctypes.addressof(context), 0,
        )  # fmt: skip
        _, after = bpf_syscall.bpf(_PROG_TEST_RUN, attributes)
        (result,) = struct.unpack("=i", after[_RETVAL])
        if result:
            raise OSError(-result, os.strerror(-result))
    finally:
        os.close(program)


def _load() -> int:
    instructions = ctypes.create_string_buffer(_CODE, len(_CODE))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQIIQII", _SCHED_CLS, len(_CODE) // 8, ctypes.addressof(instructions),
        ctypes.addressof(licence), 0, 0, 0, 0, 0,
    )  # fmt: skip
    return bpf_syscall.bpf(_PROG_LOAD, attributes)[0]
