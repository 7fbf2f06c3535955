"""Watch streams: the native one (resumable lines) and the compatible one (server-sent events)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import msgspec

from skytrail.api import feed, render
from skytrail.api.feed import Batch, Subscription
from skytrail.api.graph import Record
from skytrail.api.render import Shape
from skytrail.api.schema import Schema, collection_name
from skytrail.api.service import ConfigService
from skytrail.api.sight import SEES_ALL, Sight
from skytrail.model.catalog_types import ObjectType

BOOKMARK_S = 10.0
KEEP_ALIVE_S = 60.0
_CHUNK_BYTES = 64 * 1024


Standing: TypeAlias = Callable[[], Awaitable[bool]]
"""Tells whether the reader is still who it was; asked at every look, it decides how often to ask."""


async def may_go_on(sight: Sight, standing: Standing | None) -> bool:
    """Whether the reader may get what has come meanwhile."""
    return not sight.is_over(time.time()) and (standing is None or await standing())


@contextmanager
def subscribed(
    service: ConfigService,
) -> Generator[tuple[Subscription, asyncio.Event], None, None]:
    woken = asyncio.Event()
    subscription = service.feed.subscribe(woken.set)
    try:
        yield subscription, woken
    finally:
        service.feed.unsubscribe(subscription)


async def next_batches(
    subscription: Subscription, woken: asyncio.Event, timeout_s: float
) -> list[Batch]:
    """Return what has been published; empty after the timeout."""
    try:
        async with asyncio.timeout(timeout_s):
            await woken.wait()
    except TimeoutError:
        return []
    woken.clear()
    return subscription.take()


def _chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join parts to chunks worth a write, each made when asked for.

    A reader may have megabytes waiting and so may a thousand others: whoever leaves or does not
    read costs one chunk, not everything that was ready for it.
    """
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size > _CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


async def native(
    service: ConfigService,
    types: frozenset[str],
    position: tuple[int, str] | None,
    sight: Sight = SEES_ALL,
    fits: Callable[[Record], bool] | None = None,
    standing: Standing | None = None,
) -> AsyncIterator[bytes]:
    """Yield a snapshot or what is missing since the position, then everything that happens.

    Ends when the reader is too slow, or no longer who it was; the client resumes with the revision after the last
    ``revision_end``, ``snapshot_end`` or ``bookmark`` it saw, and the history named there: where
    that is not ours, the revision is another one, and a snapshot comes.
    """
    with subscribed(service) as (subscription, woken):
        # Taken in one step with the subscription: nothing is lost or sent twice in between.
        missed = None if position is None else service.feed.since(*position)
        revision, history = service.feed.revision, service.feed.history
        if missed is None:
            records = sight.select(
                [
                    record
                    for record in list(service.graph.records.values())
                    if not types or record.type_name in types
                ]
            )
            if fits is not None:
                records = [record for record in records if fits(record)]
            yield b'{"kind":"snapshot_begin","revision":%d}\n' % revision
            for chunk in _chunks(feed.put_line(record, record.mod_revision) for record in records):
                yield chunk
            yield feed.end_line("snapshot_end", revision, history)
        else:
            for batch in missed:
                yield feed.lines_of(sight.batch(batch), types, fits)
            if not missed:
                yield feed.end_line("bookmark", revision, history)
        while not (subscription.overrun or sight.is_over(time.time())):
            batches = await next_batches(subscription, woken, BOOKMARK_S)
            if not await may_go_on(sight, standing):
                return
            if batches:
                lines = (feed.lines_of(sight.batch(batch), types, fits) for batch in batches)
                for chunk in _chunks(lines):
                    yield chunk
                revision = batches[-1].revision
            else:
                known = service.feed
                yield feed.end_line("bookmark", known.revision, known.history)


async def server_sent(
    service: ConfigService,
    wanted: dict[str, frozenset[str] | None],
    base: str,
    sight: Sight = SEES_ALL,
    standing: Standing | None = None,
) -> AsyncIterator[bytes]:
    """Yield one init event per type, then creates, updates and deletes."""
    schema = service.schema
    with subscribed(service) as (subscription, woken):
        for type_name, fields in wanted.items():
            resource = schema.resources[type_name]
            for chunk in _chunks(_initial(service, resource, fields, base, sight)):
                yield chunk
        silent_s = 0.0
        while not (subscription.overrun or sight.is_over(time.time())):
            batches = await next_batches(subscription, woken, BOOKMARK_S)
            if not await may_go_on(sight, standing):
                break
            silent_s = 0.0 if batches else silent_s + BOOKMARK_S
            if silent_s >= KEEP_ALIVE_S:
                silent_s = 0.0
                yield b":\n\n"
            for batch in batches:
                seen = sight.batch(batch).events
                events = (_event(schema, service, e, wanted, base) for e in seen)
                chunk = b"".join(event for event in events if event)
                if chunk:
                    yield chunk
        yield b"event: stop\ndata: {}\n\n"


def _initial(
    service: ConfigService,
    resource: ObjectType,
    fields: frozenset[str] | None,
    base: str,
    sight: Sight,
) -> Iterator[bytes]:
    shape = Shape(fields=fields, back_references=False, children=False)
    records = sight.select(list(service.graph.of_type(resource.name)))
    yield b'event: init\ndata: {"%s":[' % collection_name(resource).encode()
    for place, record in enumerate(records):
        body = render.render(service.schema, service.graph, record, shape, base)
        yield b'%s{"%s":%s}' % (b"," if place else b"", resource.name.encode(), body)
    yield b"]}\n\n"


def _event(
    schema: Schema,
    service: ConfigService,
    event: feed.Event,
    wanted: dict[str, frozenset[str] | None],
    base: str,
) -> bytes:
    if event.type_name not in wanted:
        return b""
    if event.kind == "delete":
        body = msgspec.json.encode({"uuid": event.record.uuid})
    else:
        shape = Shape(fields=wanted[event.type_name], back_references=False, children=False)
        body = render.render(schema, service.graph, event.record, shape, base)
    return b'event: %s\ndata: {"%s":%s}\n\n' % (
        event.kind.encode(),
        event.type_name.encode(),
        body,
    )
