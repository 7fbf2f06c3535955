"""Rows that the store has not taken yet, on disk: what is here survives the end of the node, however it comes.

A bundle is a file with a check of its content, written whole and renamed; files are taken in the order of their numbers and deleted once the store has
them. A bundle that is read again after a restart has the tokens it had: the store takes each piece once. Without a folder
bundles are in memory, and nothing is kept before the store has it.

Beside it lie rows that are set aside (``.aside``), until it is known whether another node keeps them.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from skytrail.analytics.pieces import Bundle, Piece, Range

BYTES_MAX: Final = 1 << 30
"""On disk; beyond, rows wait in memory, which sheds."""
MEMORY_BYTES_MAX: Final = 128 << 20
_SUFFIX: Final = ".bundle"
_ASIDE: Final = ".aside"
_JUDGED: Final = "judged"
"""The number of the last bundle of which nothing has to be set aside any more."""
_CHECK: Final = struct.Struct("!4sI")
_MARK: Final = b"sky1"
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
        self._judged = 0
        self.aside: dict[int, tuple[int, list[Range]]] = {}
        """What is set aside: by the number of its bundle, its size and which messages it comes from."""
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
        content = _encoded(bundle)
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
        found = bundle if bundle is not None else _read(self._path(number))
        return msgspec.structs.replace(found, is_judged=True) if number <= self._judged else found

    def judged(self) -> None:
        """Note of the oldest bundle that nothing of it is to be set aside: it may go into the store."""
        number = self._waiting[0][0]
        if self._folder is not None:
            self._write(self._folder / _JUDGED, str(number).encode())
        self._judged = number

    def set_aside(self, bundle: Bundle, pieces: list[Piece]) -> None:
        """Have some pieces of the oldest bundle wait beside; ``bundle`` is what stays, in its place."""
        number, size, _ = self._waiting[0]
        aside = Bundle(pieces, {}, bundle.until_us)
        if self._folder is not None:
            content = _encoded(aside)
            self._write(self._path(number).with_suffix(_ASIDE), content)
            self._write(self._path(number), _encoded(bundle))
            self.aside[number] = len(content), aside.ranges()
        self._waiting[0] = number, size, None if self._folder else bundle

    def read_aside(self, number: int) -> Bundle:
        """Return what is set aside of a bundle; ``SpoolUnusable``."""
        return _read(self._path(number).with_suffix(_ASIDE))

    def aside_done(self, number: int) -> None:
        """Drop what was set aside: it is known what becomes of it."""
        self._path(number).with_suffix(_ASIDE).unlink(missing_ok=True)
        self.aside.pop(number, None)

    def done(self, bundle: Bundle) -> None:
        """Drop the oldest bundle: the store has it."""
        number, size, _ = self._waiting.popleft()
        self.bytes_count -= size
        if self._folder is None:
            return
        rest = Bundle([], bundle.positions, bundle.until_us, bundle.copied)
        self._write(self._folder / _SETTLED, _encoded(rest))
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
        for path in _numbered(folder, _SUFFIX):
            size = path.stat().st_size
            self._number = int(path.stem)
            self._waiting.append((self._number, size, None))
            self.bytes_count += size
        self.settled = self._newest(folder)
        with contextlib.suppress(OSError, ValueError):
            self._judged = int((folder / _JUDGED).read_bytes())
        self._number = max(self._number, self._judged)
        for path in _numbered(folder, _ASIDE):
            self._number = max(self._number, int(path.stem))
            self._load_aside(path)

    def _load_aside(self, path: Path) -> None:
        number = int(path.stem)
        with contextlib.suppress(SpoolUnusable):
            if self._path(number).exists() and not _read(self._path(number)).is_judged:
                # The bundle still has these rows: the end came before it was written without them.
                path.unlink()
                return
        try:
            self.aside[number] = path.stat().st_size, _read(path).ranges()
        except SpoolUnusable:
            path.rename(path.with_suffix(".unreadable"))

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


def _numbered(folder: Path, suffix: str) -> list[Path]:
    """Return files of ours, in the order of their numbers; others are left alone."""
    found = folder.glob(f"*{suffix}")
    return sorted(each for each in found if each.stem.isascii() and each.stem.isdigit())


def _encoded(bundle: Bundle) -> bytes:
    content = msgspec.msgpack.encode(bundle)
    return _CHECK.pack(_MARK, zlib.crc32(content)) + content


def _read(path: Path) -> Bundle:
    try:
        file = path.read_bytes()
        mark, check = _CHECK.unpack_from(file)
        content = file[_CHECK.size :]
        if mark != _MARK or check != zlib.crc32(content):
            raise SpoolUnusable(f"{path} is not as it was written")
        return msgspec.msgpack.decode(content, type=Bundle)
    except (OSError, struct.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SpoolUnusable(f"{path} is no bundle of rows: {error}") from error
