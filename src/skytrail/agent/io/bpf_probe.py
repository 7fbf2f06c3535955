"""What of BPF the running kernel has: asked of the kernel itself, nothing stays behind.

A helper is there when the verifier gets as far as to judge its arguments; a map kind when one can be
made; TCX when its programs can be listed; and the programs load when they were loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from skytrail.agent import abi
from skytrail.agent.io import bpf_syscall, libbpf
from skytrail.agent.io.ebpf import NO_SIZES, OBJECT

HELPERS = {
    "map_lookup_elem": 1, "map_update_elem": 2, "map_delete_elem": 3, "ktime_get_ns": 5,
    "get_smp_processor_id": 8, "skb_store_bytes": 9, "l3_csum_replace": 10, "l4_csum_replace": 11,
    "clone_redirect": 13, "skb_vlan_push": 18, "skb_vlan_pop": 19, "redirect": 23,
    "skb_load_bytes": 26, "csum_diff": 28, "skb_change_proto": 31,
    "skb_change_tail": 38, "skb_pull_data": 39, "csum_update": 40,
    "skb_change_head": 43, "skb_adjust_room": 50, "fib_lookup": 69, "map_push_elem": 87,
    "map_pop_elem": 88, "ringbuf_output": 130, "ringbuf_reserve": 131, "ringbuf_submit": 132,
    "ringbuf_discard": 133, "ringbuf_query": 134, "redirect_neigh": 152, "redirect_peer": 155,
    "for_each_map_elem": 164, "loop": 181, "ktime_get_tai_ns": 208,
}  # fmt: skip
"""What the programs call, by the kernel's numbers."""
_MAPS = {
    # Kind, key bytes, value bytes, flags.
    "hash map": (1, 4, 4, 1), "array": (2, 4, 4, 0), "per-CPU hash map": (5, 4, 8, 1),
    "per-CPU array": (6, 4, 8, 0), "LRU hash map": (9, 4, 4, 0), "LPM trie": (11, 8, 4, 1),
    "stack": (23, 0, 4, 0), "ring buffer": (27, 0, 0, 0),
}  # fmt: skip
_RING_BYTES = 4096
_MAP_CREATE, _PROG_LOAD, _PROG_GET_FD_BY_ID, _PROG_QUERY = 0, 5, 13, 16
_SCHED_CLS = 3
_LOG_BYTES = 65536
_PROGRAMS_MAX = 64
_INFO_NAME = slice(64, 80)
"""``name`` in the kernel's ``struct bpf_prog_info``."""
_PROBED_FLOWS = 1024


def missing_helpers() -> list[str]:
    """Names of helpers that programs at ingress cannot call here."""
    return [name for name, number in HELPERS.items() if not _has_helper(number)]


def _has_helper(number: int) -> bool:
    """Have the verifier judge a call with no arguments set: it refuses those, or the helper."""
    code = struct.pack("<BBhi", 0x85, 0, 0, number) + struct.pack("<BBhi", 0x95, 0, 0, 0)
    instructions = ctypes.create_string_buffer(code, len(code))
    licence = ctypes.create_string_buffer(b"GPL")
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attributes = struct.pack(
        "=IIQQIIQII", _SCHED_CLS, 2, ctypes.addressof(instructions), ctypes.addressof(licence),
        1, _LOG_BYTES, ctypes.addressof(log), 0, 0,
    )  # fmt: skip
    try:
        os.close(bpf_syscall.bpf(_PROG_LOAD, attributes)[0])
    except OSError as refused:
        if refused.errno == errno.EPERM:
            return False
        text = log.value.decode(errors="replace")
        unknown = ("invalid func", "unknown func", "cannot use helper")
        return bool(text) and not any(each in text for each in unknown)
    return True


def missing_maps() -> list[str]:
    """Kinds of maps that the kernel does not make."""
    missing: list[str] = []
    for name, (kind, key_bytes, value_bytes, flags) in _MAPS.items():
        entries = 1 if value_bytes else _RING_BYTES
        attributes = struct.pack("=IIIII", kind, key_bytes, value_bytes, entries, flags)
        try:
            os.close(bpf_syscall.bpf(_MAP_CREATE, attributes)[0])
        except OSError:
            missing.append(name)
    return missing


def tcx_programs(ifindex: int) -> list[str] | None:
    """Programs at a link's TCX ingress, in order; None when the kernel has no TCX."""
    ids = (ctypes.c_uint32 * _PROGRAMS_MAX)()
    attributes = struct.pack(
        "=IIIIQII", ifindex, bpf_syscall.TCX_INGRESS, 0, 0, ctypes.addressof(ids), _PROGRAMS_MAX, 0
    )
    try:
        _, after = bpf_syscall.bpf(_PROG_QUERY, attributes)
    except OSError as refused:
        # Nobody attached any yet: the kernel then says that there is no such list.
        return [] if refused.errno == errno.ENOENT else None
    count: int = struct.unpack_from("=I", after, 24)[0]
    return [program_name(number) for number in ids[:count]]


def program_name(number: int) -> str:
    """Name of a loaded program, as far as the kernel keeps it; its number when it is gone."""
    name = b""
    with contextlib.suppress(OSError):
        fd, _ = bpf_syscall.bpf(_PROG_GET_FD_BY_ID, struct.pack("=I", number))
        try:
            name = bpf_syscall.object_description(fd)[_INFO_NAME].rstrip(b"\0")
        finally:
            os.close(fd)
    return name.decode(errors="replace") or f"program {number}"


def load_programs(
    object_path: Path = OBJECT, *, sizes: Mapping[str, int] = NO_SIZES
) -> tuple[str, int]:
    """Load everything with a small flow table, other tables in the given sizes, and let it go.

    Returns why it failed, empty when it did not, and the kernel memory of tables other than flows'.
    """
    if not object_path.exists():
        return f"{object_path} is missing", 0
    cpu_count = bpf_syscall.possible_cpu_count()
    limits = abi.Limits(
        cpu_count=cpu_count,
        flow_pairs_max=_PROBED_FLOWS,
        flow_limit_default=_PROBED_FLOWS // 2,
        punt_tokens_max=1,
        punt_token_ns=1,
        port_parts=2,
        tai_offset_ns=0,
    )
    flows = {
        "flows4": _PROBED_FLOWS * 2,
        "flows6": _PROBED_FLOWS * 2,
        "flow_pairs": _PROBED_FLOWS,
        "flow_pairs_free": _PROBED_FLOWS,
        "flow_counters": _PROBED_FLOWS * cpu_count,
    }
    try:
        loaded = libbpf.load_object(
            object_path, pins=None, entries={**sizes, **flows}, constants=limits.pack()
        )
    except OSError as refused:
        return refused.strerror or str(refused), 0
    try:
        others = [each for name, each in loaded.maps.items() if name not in flows]
        return "", sum(bpf_syscall.map_bytes(each.fd) for each in others)
    finally:
        loaded.close()
