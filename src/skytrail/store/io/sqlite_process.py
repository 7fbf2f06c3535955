"""A writer of the SQLite file in a process of its own: the server's interpreter is left alone.

    server: jobs as they come --frames--> [socket pair] --> whatever is there is one group
    server: outcomes of a group <--one frame-- [socket pair] <-- COMMIT (fsync)

A frame is its length in four bytes and a msgpack document. The process knows nothing but the file,
so it may be killed at any moment: jobs under way fail as "not known whether", and the next job starts
another one. It ends when its socket does, after the commit it is in.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, cast

import msgspec

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.processes import die_with_parent
from skytrail.store.io.feed import Feed
from skytrail.store.io.sqlite_jobs import Done, Failed, Job, Outcome
from skytrail.store.io.sqlite_session import GROUP_JOBS_MAX, Session
from skytrail.store.io.sqlite_writer import Pending
from skytrail.store.plugin import StoreUnavailable

SILENCE_S: Final = 30.0
"""A child that was given jobs and says nothing for so long is killed; another one carries on."""
END_S: Final = 5.0
"""So long a child may take to finish when the store is closed, and again to be gone."""
_MODULE: Final = "skytrail.store.io.sqlite_process"
_LENGTH: Final = struct.Struct("!I")
_READ_BYTES: Final = 1 << 20
_ENCODER: Final = msgspec.msgpack.Encoder()
_JOBS: Final = msgspec.msgpack.Decoder(Job)
_OUTCOMES: Final = msgspec.msgpack.Decoder(list[Outcome])
_Waiting = tuple[Job, "asyncio.Future[Done]"]


class Frames:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are complete now."""
        self._buffer += data
        found: list[bytes] = []
        place = 0
        while len(self._buffer) - place >= _LENGTH.size:
            end = place + _LENGTH.size + _LENGTH.unpack_from(self._buffer, place)[0]
            if end > len(self._buffer):
                break
            found.append(bytes(memoryview(self._buffer)[place + _LENGTH.size : end]))
            place = end
        del self._buffer[:place]
        return found


def frame(document: object) -> bytes:
    """Return the frame of a document."""
    body = _ENCODER.encode(document)
    return _LENGTH.pack(len(body)) + body


class Process(Protocol):
    """The child that writes, as far as it is waited for."""

    pid: int

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


Spawn = Callable[[socket.socket, Path, str], Process]
"""Starts a child on its end of the socket pair."""


def spawn(end: socket.socket, path: Path, boot: str) -> Process:
    """Start a child process; OSError when the system will not."""
    # In a session of its own: what a terminal sends to the server ends the server, then this.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE, str(end.fileno()), str(path), boot],
        pass_fds=(end.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


class ProcessWriter:
    """A writer in a child process, which is started again when it is needed and gone."""

    def __init__(self, path: Path, boot: str, feed: Feed, spawn: Spawn) -> None:
        self._path = path
        self._boot = boot
        self._spawn = spawn
        self._pending = Pending(feed)
        self._loop = asyncio.get_running_loop()
        self._channel: _Channel | None = None
        self._starting = asyncio.Lock()
        self._backoff = Backoff(first_s=0.05, maximum_s=2.0)
        self._not_before = 0.0
        self._closed = False

    @classmethod
    async def start(cls, path: Path, boot: str, feed: Feed, spawn: Spawn = spawn) -> ProcessWriter:
        """Return a writer whose child is being started, ahead of the first job."""
        writer = cls(path, boot, feed, spawn)
        await writer._open_channel()
        return writer

    async def submit(self, job: Job) -> Done:
        async with self._pending.places:
            channel = self._channel
            if channel is None or channel.is_lost:
                channel = await self._open_channel()
            future: asyncio.Future[Done] = self._loop.create_future()
            channel.send(job, future)
            done = await future
            self._backoff.reset()
            return done

    async def close(self) -> None:
        async with self._starting:
            self._closed = True
            if self._channel is not None:
                await self._channel.end()
                self._channel = None

    async def _open_channel(self) -> _Channel:
        async with self._starting:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            former = self._channel
            if former is not None and not former.is_lost:
                return former
            if former is not None:
                self._channel = None
                await former.end()
            if self._loop.time() < self._not_before:
                raise StoreUnavailable("the store's writer ended; another is started in a moment")
            self._not_before = self._loop.time() + self._backoff.next_delay_s()
            self._channel = await self._start_child()
            return self._channel

    async def _start_child(self) -> _Channel:
        ours, theirs = socket.socketpair()
        try:
            process = self._spawn(theirs, self._path, self._boot)
        except OSError as error:
            ours.close()
            text = f"the store's writer cannot be started: {error.strerror}"
            raise StoreUnavailable(text) from error
        finally:
            theirs.close()
        channel = _Channel(process, self._pending)
        await self._loop.create_unix_connection(lambda: channel, sock=ours)
        return channel


class _Channel(asyncio.Protocol):
    """Jobs to one child and their outcomes back, in order."""

    def __init__(self, process: Process, pending: Pending) -> None:
        self._process = process
        self.is_lost = False
        self._pending = pending
        self._waiting: deque[_Waiting] = deque()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, job: Job, future: asyncio.Future[Done]) -> None:
        try:
            encoded = frame(job)
        except (ValueError, OverflowError, struct.error) as error:
            raise ValueError(f"the store cannot keep this: {error}") from error
        self._waiting.append((job, future))
        self._idle.clear()
        if self._alarm is None:
            self._watch()
        if self._transport is not None:
            self._transport.write(encoded)

    def data_received(self, data: bytes) -> None:
        for each in self._frames.feed(data):
            outcomes = _OUTCOMES.decode(each)
            group = [self._waiting.popleft() for _ in outcomes]
            self._pending.deliver(group, outcomes)
        self._watch()
        if not self._waiting:
            self._idle.set()

    def _watch(self) -> None:
        """Give the child its time from now, while anything is expected of it."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._waiting:
            loop = asyncio.get_running_loop()
            self._alarm = loop.call_later(SILENCE_S, self._process.kill)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        group = list(self._waiting)
        self._waiting.clear()
        self._idle.set()
        failure = Failed("the store's writer ended while it wrote; whether it did is not known")
        self._pending.deliver(group, [failure] * len(group))

    async def end(self) -> None:
        """Let the child finish what it was given and end; kill it when it takes too long."""
        try:
            async with asyncio.timeout(END_S):
                await self._idle.wait()
        except TimeoutError:
            self._process.kill()
            await self._idle.wait()
        if self._transport is not None:
            self._transport.close()
        try:
            await asyncio.to_thread(self._process.wait, END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()


def serve(connection: socket.socket, path: Path, boot: str) -> None:
    """Carry out groups of jobs on a file until the other end is closed."""
    session, frames = Session(path, boot), Frames()
    try:
        while data := connection.recv(_READ_BYTES):
            jobs = [_JOBS.decode(each) for each in frames.feed(data)]
            for place in range(0, len(jobs), GROUP_JOBS_MAX):
                outcomes = session.run_group(jobs[place : place + GROUP_JOBS_MAX])
                connection.sendall(frame(outcomes))
    except (BrokenPipeError, ConnectionResetError):
        return  # The server is gone: nobody is left to tell.
    finally:
        session.close()


def main(arguments: list[str]) -> int:
    """Serve the socket with this descriptor number for this file."""
    descriptor, path, boot = arguments
    # Its socket tells it as well, but not while it hangs.
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        # A service manager signals a whole group; the server ends first, then this.
        signal.signal(number, signal.SIG_IGN)
    gc.disable()  # Nothing here makes cycles, and nothing of a group stays.
    with socket.socket(fileno=int(descriptor)) as connection:
        serve(connection, Path(path), boot)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
