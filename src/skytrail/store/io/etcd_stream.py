"""An etcd watch as batches: all changes of one revision together, revisions without gaps.

All keys are watched, ours or not, so that a gap in the revisions cannot occur and a reader that
waits for a revision gets there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from aetcd import rpc

from skytrail.store.io.etcd_members import Member, RevisionGone
from skytrail.store.plugin import Batch, Change, StoreUnavailable

OPEN_TIMEOUT_S: Final = 2.0
_ALL_KEYS: Final = b"\0"
_DELETED: Final = 1


@asynccontextmanager
async def watching(
    member: Member, first: int, origin: int
) -> AsyncGenerator[AsyncIterator[list[Batch]]]:
    """Watch from our revision ``first`` on; raises RevisionGone, StoreUnavailable, AioRpcError.

    ``origin`` is etcd's number of our revision 0.
    """
    done = asyncio.Event()

    async def requests() -> AsyncIterator[rpc.WatchRequest]:
        yield rpc.WatchRequest(
            create_request=rpc.WatchCreateRequest(
                key=_ALL_KEYS, range_end=_ALL_KEYS, start_revision=first + origin
            )
        )
        await done.wait()  # The stream lives as long as its requests.

    call = member.watch.Watch(requests(), metadata=member.metadata)
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            _checked(await call.read())
        yield _batches(call.read, first, origin)
    except TimeoutError:
        raise StoreUnavailable(f"etcd member {member.endpoint} opens no watch") from None
    finally:
        done.set()
        call.cancel()
        with suppress(asyncio.CancelledError, rpc.AioRpcError):
            await call.code()


async def _batches(
    read: Callable[[], Awaitable[object]], first: int, origin: int
) -> AsyncIterator[list[Batch]]:
    following = first
    while True:
        response = _checked(await read())
        batches: list[Batch] = []
        for revision, changes in _by_revision(response.events):
            batches += [Batch(missing, ()) for missing in range(following, revision - origin)]
            batches.append(Batch(revision - origin, tuple(changes)))
            following = revision - origin + 1
        if batches:
            yield batches


def _checked(response: object) -> rpc.WatchResponse:
    if not isinstance(response, rpc.WatchResponse):
        raise StoreUnavailable("the etcd member ended the watch")
    if response.compact_revision:
        raise RevisionGone(response.compact_revision)
    if response.canceled:
        raise StoreUnavailable(f"the etcd member ended the watch: {response.cancel_reason}")
    return response


def _by_revision(events: Sequence[rpc.Event]) -> list[tuple[int, list[Change]]]:
    found: list[tuple[int, list[Change]]] = []
    for event in events:
        revision = event.kv.mod_revision
        if not found or found[-1][0] != revision:
            found.append((revision, []))
        key = event.kv.key
        if key.startswith(b"/"):
            value = None if event.type == _DELETED else event.kv.value
            found[-1][1].append(Change(key.decode(), value))
    return found
