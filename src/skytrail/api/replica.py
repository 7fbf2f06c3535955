"""Applies what the store's watch tells to the graph: how n servers come to hold the same objects.

Every server, the one that wrote it included, learns of a commit this way, in the store's order.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from skytrail.api import feed, persistence
from skytrail.api.graph import NO_SIDE, Graph, Overlay, Record, Side
from skytrail.api.heads import HeadReader
from skytrail.store.key_space import split_object_key
from skytrail.store.plugin import Batch, Change, KeyValue


def apply(graph: Graph, heads: HeadReader, batch: Batch, history: str) -> feed.Batch:
    """Bring the graph to the batch's revision; return what watchers get to know."""
    plan = Overlay(graph)
    sides: dict[str, Side] = {}
    put: dict[str, Record] = {}
    derived: feed.Derived | None = None
    for change in batch.changes:
        key = change.key
        if key.startswith(persistence.OBJECTS):
            _object(plan, heads, change, batch.revision, put)
        elif key.startswith(persistence.SIDES):
            side = NO_SIDE if change.value is None else msgspec.json.decode(change.value, type=Side)
            sides[key[len(persistence.SIDES) :]] = side
        elif key.startswith(persistence.NUMBERS):
            _number(graph, plan, change, batch.revision)
        elif key.startswith(persistence.NOTES):
            note = None if change.value is None else change.value.decode()
            name = unquote(key[len(persistence.NOTES) :])
            plan.remember(name, note)
            if note is None:
                graph.note_revisions.pop(name, None)
            else:
                graph.note_revisions[name] = batch.revision
        elif key.startswith(persistence.GUARDS):
            if change.value is None:
                graph.guards.pop(key, None)
            else:
                graph.guards[key] = batch.revision
        elif key == persistence.DERIVED and change.value is not None:
            derived = persistence.read_derived(change.value)
    for uuid, record in put.items():
        _complete(graph.get(uuid), record, sides.get(uuid))
        plan.put(record)
    known = feed.batch_of(graph, plan, batch.revision, history, derived)
    graph.absorb(plan)
    return known


def _object(
    plan: Overlay, heads: HeadReader, change: Change, revision: int, put: dict[str, Record]
) -> None:
    type_name, uuid = split_object_key(change.key)
    if change.value is not None:
        item = KeyValue(change.key, change.value, revision, revision)
        put[uuid] = persistence.stored_record(heads, item)[0]
        return
    present = plan.get(uuid)
    if present is not None and present.type_name == type_name:
        plan.remove(uuid)


def _complete(previous: Record | None, record: Record, side: Side | None) -> None:
    """Give a new version what its key alone does not tell."""
    if previous is not None and previous.type_name == record.type_name:
        # Also when the uuid came back as another object: its keys are the same ones.
        record.create_revision = previous.create_revision
        record.side = previous.side
    if side is not None:
        record.side = side


def _number(graph: Graph, plan: Overlay, change: Change, revision: int) -> None:
    pool, value = persistence.split_number_key(change.key)
    if change.value is None:
        plan.numbers.release(pool, value)
        graph.numbers.revisions.pop((pool, value), None)
    else:
        plan.numbers.assign(pool, value, change.value.decode())
        graph.numbers.revisions[pool, value] = revision
