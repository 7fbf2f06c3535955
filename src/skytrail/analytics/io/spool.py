"""Rows that the store has not taken yet, on disk: what is here survives the end of the node, however it comes.

A bundle is a file, written whole and renamed; files are taken in the order of their numbers and deleted once the store has
them. A bundle that is read again after a restart has the tokens it had: the store takes each piece once. Without a folder
bundles are in memory, and nothing is kept before the store has it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from skytrail.analytics.pieces import Bundle

BYTES_MAX: Final = 1 << 30
"""On disk; beyond, rows wait in memory, which sheds."""
MEMORY_BYTES_MAX: Final = 128 << 20
_SUFFIX: Final = ".bundle"
_SETTLED: Final = "settled"
"""What the last bundle that was taken says of how far everybody was heard."""


class SpoolUnusable(Exception):
    """The folder is not what this node left there."""


class Spool:
    """A queue of bundles. Its calls block for as long as a disk does."""

    def __init__(self, folder: Path | None = None, bytes_max: int = 0) -> None:
        self._folder = folder
        self._bytes_max = bytes_max or (MEMORY_BYTES_MAX if folder is None else BYTES_MAX)
        self._waiting: deque[tuple[int, int, Bundle | None]] = deque()
        """Number, size, and the bundle where it is in memory."""
        self._number = 0
        self.bytes_count = 0
        self.settled: Bundle | None = None
        """The newest that was here before this start; it says how far everybody was heard."""
        if folder is not None:
            self._load(folder)

    @property
    def is_durable(self) -> bool:
        return self._folder is not None

    @property
    def has_room(self) -> bool:
        return self.bytes_count < self._bytes_max

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, bundle: Bundle) -> None:
        """Keep a bundle behind the others; ``OSError`` when the disk does not take it."""
        content = msgspec.msgpack.encode(bundle)
        if self._folder is not None:
            self._write(self._path(self._number + 1), content)
        self._number += 1
        self._waiting.append((self._number, len(content), None if self._folder else bundle))
        self.bytes_count += len(content)

    def first(self) -> Bundle | None:
        """Return the oldest bundle; ``SpoolUnusable`` when its file is not what it was."""
        if not self._waiting:
            return None
        number, _, bundle = self._waiting[0]
        return bundle if bundle is not None else _read(self._path(number))

    def done(self, bundle: Bundle) -> None:
        """Drop the oldest bundle: the store has it."""
        number, size, _ = self._waiting.popleft()
        self.bytes_count -= size
        if self._folder is None:
            return
        rest = Bundle([], bundle.positions, bundle.until_us)
        self._write(self._folder / _SETTLED, msgspec.msgpack.encode(rest))
        self._path(number).unlink(missing_ok=True)

    def skip(self) -> None:
        """Put the oldest bundle aside, whose file cannot be read."""
        number, size, _ = self._waiting.popleft()
        self.bytes_count -= size
        path = self._path(number)
        if path.exists():
            path.rename(path.with_suffix(".unreadable"))

    def _load(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.new"):
            # Its bundle was never acknowledged.
            path.unlink()
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            size = path.stat().st_size
            self._number = int(path.stem)
            self._waiting.append((self._number, size, None))
            self.bytes_count += size
        self.settled = self._newest(folder)

    def _newest(self, folder: Path) -> Bundle | None:
        """Return the newest bundle that can be read; the others say themselves what is wrong with them."""
        for path in (*(self._path(n) for n, _, _ in reversed(self._waiting)), folder / _SETTLED):
            with contextlib.suppress(SpoolUnusable):
                return _read(path)
        return None

    def _path(self, number: int) -> Path:
        return (self._folder or Path()) / f"{number:016}{_SUFFIX}"

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)


def _read(path: Path) -> Bundle:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Bundle)
    except (OSError, msgspec.MsgspecError) as error:
        raise SpoolUnusable(f"{path} is no bundle of rows: {error}") from error
