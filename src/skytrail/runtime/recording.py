"""Recordings of sessions: every byte of both directions with its time, to be read and replayed.

A recording is a file of JSON lines, so that a cut off one is good up to its last whole line:

    {"format": 1, "protocol": "bgp", "node": "control1", "peer": "mx1", "began": 1790000000.0}
    {"t": 0.0021, "d": "in", "b": "<base64>"}

Times are seconds since ``began``, which is Unix time. Payloads are as before encryption, and hold
what the session holds: files are readable for their owner alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, Literal

import msgspec
import structlog

FORMAT: Final = 1
SUFFIX: Final = ".session"
BYTES_MAX: Final = 256 * 1024 * 1024
"""A recording ends when it has become this long."""
FILES_COUNT_MAX: Final = 1000
"""A process makes no more recordings than this: a flapping peer must not fill the folder."""
_BEGAN_MAX: Final = 253_402_300_799.0
"""The last second of the year 9999."""
_ELAPSED_MAX_S: Final = 1e9
_LINE_BYTES_MAX: Final = 16 * 1024 * 1024

Direction = Literal["in", "out"]
Protocol = Literal["bgp", "xmpp"]


class RecordingInvalid(Exception):
    """A file is not a recording; the text names it and the line."""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: Protocol
    node: str
    peer: str
    began: float
    format: int = FORMAT


class Chunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes as one call of the socket had them; ``in`` is what the node received."""

    time_s: float = msgspec.field(name="t")
    direction: Direction = msgspec.field(name="d")
    data: bytes = msgspec.field(name="b")


class Recorder:
    """Makes the recordings of one process in a folder."""

    def __init__(self, folder: Path, node: str) -> None:
        """Create the folder if there is none; ``OSError`` when that is impossible."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._node = node
        self._open: set[Recording] = set()
        self._count = 0
        self._log = structlog.get_logger("skytrail.recording")

    def start(self, protocol: Protocol, peer: str) -> Recording | None:
        """Begin a recording; None when there are too many, or the disk refuses."""
        self._count += 1
        if self._count > FILES_COUNT_MAX:
            if self._count == FILES_COUNT_MAX + 1:
                self._log.warning("recording_ends", why=f"{FILES_COUNT_MAX} files", peer=peer)
            return None
        began = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(began))
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", peer)[-80:]
        path = self.folder / f"{protocol}-{name}-{stamp}-{os.getpid()}-{self._count}{SUFFIX}"
        header = Header(protocol=protocol, node=self._node, peer=peer, began=began)
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            file = os.fdopen(descriptor, "wb")
        except OSError as error:
            self._log.warning("recording_failed", path=str(path), error=str(error))
            return None
        recording = Recording(self, file, header)
        self._open.add(recording)
        return recording

    def flush(self) -> None:
        """Hand what was noted to the kernel; call it now and then."""
        for recording in list(self._open):
            recording.flush()

    def ended(self, recording: Recording, error: OSError | None = None) -> None:
        """A recording takes no more; why, if not at its session's end."""
        self._open.discard(recording)
        if error is not None:
            self._log.warning("recording_failed", peer=recording.peer, error=str(error))


class Recording:
    """One session's file. A disk that fails ends the recording, never the session."""

    def __init__(self, owner: Recorder, file: IO[bytes], header: Header) -> None:
        self.peer = header.peer
        self._owner = owner
        self._file: IO[bytes] | None = file
        self._began = time.monotonic()
        self._length = 0
        self._write(msgspec.json.encode(header))

    def note(self, direction: Direction, *chunks: bytes) -> None:
        """Add bytes that were received or sent."""
        elapsed = round(time.monotonic() - self._began, 6)
        for chunk in chunks:
            self._write(msgspec.json.encode(Chunk(elapsed, direction, chunk)))
        if self._length >= BYTES_MAX:
            self.close()

    def flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        if self._file is not None:
            self.flush()
        file, self._file = self._file, None
        if file is not None:
            file.close()
            self._owner.ended(self)

    def _write(self, line: bytes) -> None:
        if self._file is None:
            return
        try:
            self._length += self._file.write(line + b"\n")
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Closing writes what is left, which fails again.
            with contextlib.suppress(OSError):
                file.close()
        self._owner.ended(self, error)


def read(path: Path) -> tuple[Header, Iterator[Chunk]]:
    """Open a recording. Raises RecordingInvalid or ``OSError``, also while it is gone through.

    A last line without its end is that of a process that was killed: left out.
    """
    file = path.open("rb")
    first = file.readline(_LINE_BYTES_MAX)
    try:
        header = msgspec.json.decode(first, type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        file.close()
        raise RecordingInvalid(f"{path} is not a recording of a session: {error}") from error
    if not 0 <= header.began <= _BEGAN_MAX:
        file.close()
        raise RecordingInvalid(f"{path} began at {header.began}, which is no time")
    if header.format != FORMAT:
        file.close()
        raise RecordingInvalid(
            f"{path} has format {header.format}, this release reads {FORMAT}; upgrade"
        )
    return header, _chunks(path, file)


def _chunks(path: Path, file: IO[bytes]) -> Iterator[Chunk]:
    decoder = msgspec.json.Decoder(Chunk)
    with file:
        number = 1
        while line := file.readline(_LINE_BYTES_MAX):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == _LINE_BYTES_MAX:
                    raise RecordingInvalid(f"{path} line {number} is too long")
                return
            try:
                chunk = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordingInvalid(f"{path} line {number}: {error}") from error
            if not 0 <= chunk.time_s <= _ELAPSED_MAX_S:
                raise RecordingInvalid(f"{path} line {number}: {chunk.time_s} is no time")
            yield chunk
