"""Copying a whole store: into a file, out of one, or from one back end to another.

A copy is the state at one revision. What belongs to running servers stays behind: the fence, marks,
guards. The target is closed while it is filled, so that no server starts on half of it, and keys are
put in the order in which they were created, because lists below a parent come in that order.

A file is gzip of lines: a head, one line for each key, and a tail with count and SHA-256 of all before.
"""

from __future__ import annotations

import hashlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from skytrail.store.plugin import ConfigStore, Delete, KeyValue, Operation, Put

FORMAT: Final = 1
CLOSED: Final = "/e/closed"
"""Says why no server may start on this store."""
FENCE: Final = "/e/server"
INCOMPLETE: Final = "it holds part of a copy that was interrupted; repeat the restore with --force"
PAGE: Final = 2000
CHUNK_KEYS: Final = 500
CHUNK_BYTES: Final = 512 * 1024
_LEFT_BEHIND: Final = ("/v/", "/e/mark/", FENCE, CLOSED)

Advance = Callable[[int], None]
"""Told how many more keys are done."""


class CopyRefused(Exception):
    """The copy was not begun, or is not what it should be; the text says what to do."""


class Head(msgspec.Struct, frozen=True, tag="head"):
    format: int
    revision: int


class Line(msgspec.Struct, frozen=True, tag="key"):
    key: str
    created: int
    value: bytes


class Tail(msgspec.Struct, frozen=True, tag="tail"):
    count: int
    sha256: str


async def items_of(store: ConfigStore, revision: int) -> AsyncIterator[KeyValue]:
    """Yield what of the store is worth copying, as it was at the revision, in key order."""
    start: str | None = None
    while True:
        page = await store.range("/", start=start, limit=PAGE, revision=revision)
        for item in page.items:
            if not item.key.startswith(_LEFT_BEHIND):
                yield item
        start = page.next_start
        if start is None:
            return


async def lines_of(store: ConfigStore, revision: int, advance: Advance) -> AsyncIterator[bytes]:
    """Yield the lines of a backup file."""
    digest, count = hashlib.sha256(), 0
    line = msgspec.json.encode(Head(FORMAT, revision)) + b"\n"
    digest.update(line)
    yield line
    async for item in items_of(store, revision):
        line = msgspec.json.encode(Line(item.key, item.create_revision, item.value)) + b"\n"
        digest.update(line)
        count += 1
        advance(1)
        yield line
    yield msgspec.json.encode(Tail(count, digest.hexdigest())) + b"\n"


def read_lines(lines: Iterable[bytes]) -> Iterator[Line]:
    """Yield the keys of a backup file; raises CopyRefused when it is not whole."""
    decoder = msgspec.json.Decoder(Head | Line | Tail)
    digest, count, tail = hashlib.sha256(), 0, None
    for number, raw in enumerate(lines):
        try:
            line: Head | Line | Tail = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CopyRefused(f"line {number + 1} of the backup is damaged: {error}") from error
        if (number == 0) != isinstance(line, Head) or tail is not None:
            raise CopyRefused("this is not a backup, or more than one in a row")
        match line:
            case Head(format=version):
                if version > FORMAT:
                    raise CopyRefused(f"the backup has format {version}: use a newer release")
            case Line():
                count += 1
                yield line
            case Tail():
                tail = line
                continue
        digest.update(raw)
    if tail is None:
        raise CopyRefused("the backup is cut off: its last line is missing")
    if (tail.count, tail.sha256) != (count, digest.hexdigest()):
        raise CopyRefused("the backup is damaged: its checksum does not fit")


async def digest_of(store: ConfigStore, revision: int) -> str:
    """Return a checksum of what a copy takes along."""
    digest = hashlib.sha256()
    async for item in items_of(store, revision):
        digest.update(msgspec.json.encode((item.key, item.value)))
    return digest.hexdigest()


def digest_of_lines(lines: Iterable[Line]) -> str:
    """Return what ``digest_of`` says of a store that holds these."""
    digest = hashlib.sha256()
    for line in sorted(lines, key=lambda each: each.key):
        digest.update(msgspec.json.encode((line.key, line.value)))
    return digest.hexdigest()


async def close_for_servers(store: ConfigStore, reason: str) -> int:
    """End the servers of a store and let none start; return the revision after their last write."""
    closing = (Put(FENCE, b"closed"), Put(CLOSED, reason.encode()))
    return (await store.transact((), closing)).revision


@asynccontextmanager
async def closed_while_moved(store: ConfigStore, target: str) -> AsyncGenerator[int]:
    """Close a store for good; yield the revision after the last write. A failure opens it again.

    Closed before it is read: a supervisor starts its server again at once, which would go on
    acknowledging writes that the copy does not have.
    """
    before = await store.get(CLOSED)
    revision = await close_for_servers(
        store, f"it is being moved to {target}; if that broke off, repeat it"
    )
    try:
        yield revision
    except BaseException:
        again = Delete(CLOSED) if before is None else Put(CLOSED, before.value)
        await store.transact((), (again,))
        raise
    await close_for_servers(store, f"its configuration was moved to {target}")


async def fill(
    store: ConfigStore, lines: Sequence[Line], advance: Advance, *, force: bool = False
) -> None:
    """Make the store hold exactly these keys; refuses one that holds others, unless forced.

    Raises CopyRefused, also when what was written does not read back the same.
    """
    present = [item.key async for item in items_of(store, await store.revision())]
    closed = await store.get(CLOSED)
    if (present or closed is not None) and not force:
        raise CopyRefused(
            f"the target holds {len(present)} keys already; --force replaces all of them"
        )
    await close_for_servers(store, INCOMPLETE)
    for chunk in _chunks([Delete(key) for key in present]):
        await store.transact((), chunk)
    ordered = sorted(lines, key=lambda line: line.created)
    for chunk in _chunks([Put(line.key, line.value) for line in ordered]):
        await store.transact((), chunk)
        advance(len(chunk))
    if await digest_of(store, await store.revision()) != digest_of_lines(lines):
        raise CopyRefused("the target does not hold what was written to it; look at its logs")
    await store.transact((), (Delete(CLOSED),))


def _chunks(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    chunk: list[Operation] = []
    size = 0
    for operation in operations:
        chunk.append(operation)
        size += len(operation.value) if isinstance(operation, Put) else 0
        if len(chunk) >= CHUNK_KEYS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
