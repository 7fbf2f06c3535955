"""Loading an object file with libbpf.so.1, which knows ELF, BTF and relocations.

Everything after loading is done by :mod:`bpf_syscall`; the object is closed when its maps and
programs have been taken over.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skytrail.agent.io.bpf_syscall import BpfMap, possible_cpu_count

_PERCPU_MAP_TYPES = frozenset({5, 6, 10})


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """Maps by name and program file descriptors by function name."""

    maps: dict[str, BpfMap]
    programs: dict[str, int]

    def close(self) -> None:
        for bpf_map in self.maps.values():
            bpf_map.close()
        for fd in self.programs.values():
            os.close(fd)


class _Libbpf:
    """The few functions used, with their C types."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
        pointer = ctypes.c_void_p
        integer = ctypes.c_int
        self.open = _typed(library, "bpf_object__open_file", pointer, (ctypes.c_char_p, pointer))
        self.load = _typed(library, "bpf_object__load", integer, (pointer,))
        self.close = _typed(library, "bpf_object__close", None, (pointer,))
        self.next_map = _typed(library, "bpf_object__next_map", pointer, (pointer, pointer))
        self.map_name = _typed(library, "bpf_map__name", ctypes.c_char_p, (pointer,))
        self.map_fd = _typed(library, "bpf_map__fd", integer, (pointer,))
        self.map_type = _typed(library, "bpf_map__type", ctypes.c_uint, (pointer,))
        self.key_size = _typed(library, "bpf_map__key_size", ctypes.c_uint, (pointer,))
        self.value_size = _typed(library, "bpf_map__value_size", ctypes.c_uint, (pointer,))
        self.entries = _typed(library, "bpf_map__max_entries", ctypes.c_uint, (pointer,))
        self.set_entries = _typed(
            library, "bpf_map__set_max_entries", integer, (pointer, ctypes.c_uint)
        )
        self.set_pin = _typed(library, "bpf_map__set_pin_path", integer, (pointer, ctypes.c_char_p))
        self.initial = _typed(
            library,
            "bpf_map__initial_value",
            pointer,
            (pointer, ctypes.POINTER(ctypes.c_size_t)),
        )
        self.next_program = _typed(library, "bpf_object__next_program", pointer, (pointer, pointer))
        self.program_name = _typed(library, "bpf_program__name", ctypes.c_char_p, (pointer,))
        self.program_fd = _typed(library, "bpf_program__fd", integer, (pointer,))


def _typed(
    library: ctypes.CDLL, name: str, result: object, arguments: tuple[object, ...]
) -> Callable[..., int]:
    function = getattr(library, name)
    function.restype = result
    function.argtypes = list(arguments)
    return function


def load_object(
    path: Path,
    *,
    pins: Path | None,
    entries: Mapping[str, int],
    constants: bytes,
) -> LoadedObject:
    """Load an object, adopting the maps already pinned below ``pins`` and pinning the others.

    ``entries`` overrides map sizes; ``constants`` becomes the section ``.rodata.limits``.
    Raises ``OSError`` when the file, a pinned map's shape or the verifier refuses.
    """
    library = _Libbpf()
    handle = library.open(str(path).encode(), None)
    if not handle:
        raise OSError(ctypes.get_errno(), f"cannot open {path}")
    try:
        _prepare_maps(library, handle, pins, entries, constants)
        failure = library.load(handle)
        if failure:
            raise OSError(-failure, f"cannot load {path}: {os.strerror(-failure)}")
        return LoadedObject(_take_maps(library, handle), _take_programs(library, handle))
    finally:
        library.close(handle)


def _each(step: Callable[..., int], handle: int) -> list[int]:
    found: list[int] = []
    current = step(handle, None)
    while current:
        found.append(current)
        current = step(handle, current)
    return found


def _prepare_maps(
    library: _Libbpf, handle: int, pins: Path | None, entries: Mapping[str, int], constants: bytes
) -> None:
    for item in _each(library.next_map, handle):
        name = _text(library.map_name(item))
        if name.endswith(".rodata.limits"):
            size = ctypes.c_size_t()
            address = library.initial(item, ctypes.byref(size))
            ctypes.memmove(address, constants, min(len(constants), size.value))
            continue
        if "." in name:
            continue
        if name in entries:
            library.set_entries(item, entries[name])
        if pins is not None:
            library.set_pin(item, str(pins / name).encode())


def _take_maps(library: _Libbpf, handle: int) -> dict[str, BpfMap]:
    taken: dict[str, BpfMap] = {}
    for item in _each(library.next_map, handle):
        name = _text(library.map_name(item))
        if "." in name:
            continue
        value_bytes = library.value_size(item)
        if library.map_type(item) in _PERCPU_MAP_TYPES:
            value_bytes = (value_bytes + 7) // 8 * 8 * possible_cpu_count()
        taken[name] = BpfMap(
            name,
            os.dup(library.map_fd(item)),
            key_bytes=library.key_size(item),
            value_bytes=value_bytes,
            entries=library.entries(item),
        )
    return taken


def _take_programs(library: _Libbpf, handle: int) -> dict[str, int]:
    return {
        _text(library.program_name(item)): os.dup(library.program_fd(item))
        for item in _each(library.next_program, handle)
        if library.program_fd(item) >= 0
    }


def _text(name: object) -> str:
    if not isinstance(name, bytes):
        raise TypeError(f"libbpf returned {name!r} where a name was expected")
    return name.decode()
