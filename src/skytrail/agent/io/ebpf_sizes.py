"""Gives pinned tables other sizes: what they hold is copied before any program reads the new ones.

The agent alone writes these tables, and is only just starting: while it copies, nothing changes, and
the programs on the interfaces go on with the old table until they are swapped. A table is put aside by
its pin; one that is found aside belongs to a start that did not get to its end, and is the true one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skytrail.agent.io import bpf_syscall
from skytrail.agent.io.bpf_syscall import BpfMap
from skytrail.agent.table_sizes import FORGETFUL, SIZABLE

_ASIDE = "resized"


@dataclass(frozen=True, slots=True)
class Resizing:
    """What is to be copied, and what stays as it is."""

    base: Path
    entries: Mapping[str, int]
    """Size to load each table with."""
    outgrown: tuple[str, ...]
    kept: Mapping[str, int]
    """Tables that hold more than they were to: so many entries."""

    def give_up(self) -> None:
        """The new tables could not be made: the old ones are the true ones."""
        for name in self.outgrown:
            _take_back(self.base, name)

    def copy(self, maps: Mapping[str, BpfMap]) -> None:
        """Fill the new tables, and let go of the old."""
        for name in self.outgrown:
            aside, new = self.base / _ASIDE / name, maps[name]
            if name not in FORGETFUL:
                old = BpfMap(
                    name,
                    bpf_syscall.open_pin(aside),
                    key_bytes=new.key_bytes,
                    value_bytes=new.value_bytes,
                    entries=0,
                )
                try:
                    new.update_many(list(old.items()))
                finally:
                    old.close()
            aside.unlink()


def prepare(base: Path, sizes: Mapping[str, int]) -> Resizing:
    """Put tables aside whose size is another one now; without a size, each keeps what it has."""
    entries = dict(sizes)
    outgrown: list[str] = []
    kept: dict[str, int] = {}
    (base / _ASIDE).mkdir(exist_ok=True)
    for name in sorted(SIZABLE):
        if (base / _ASIDE / name).exists():
            _take_back(base, name)
        pin = base / name
        if not pin.exists():
            continue
        size, held = _look(pin)
        entries.setdefault(name, size)
        if entries[name] == size:
            continue
        if held > entries[name] and name not in FORGETFUL:
            kept[name], entries[name] = held, size
            continue
        pin.rename(base / _ASIDE / name)
        outgrown.append(name)
    return Resizing(base, entries, tuple(outgrown), kept)


def _take_back(base: Path, name: str) -> None:
    (base / name).unlink(missing_ok=True)
    (base / _ASIDE / name).rename(base / name)


def _look(pin: Path) -> tuple[int, int]:
    """Return a pinned table's size and how many entries it holds."""
    fd = bpf_syscall.open_pin(pin)
    description = bpf_syscall.object_description(fd)
    key_bytes, value_bytes, size = (
        int.from_bytes(description[place : place + 4], "little") for place in (8, 12, 16)
    )
    if pin.name in FORGETFUL:
        os.close(fd)
        return size, 0
    table = BpfMap(pin.name, fd, key_bytes=key_bytes, value_bytes=value_bytes, entries=size)
    try:
        return size, table.count()
    finally:
        table.close()
