"""Collections stay short: what is old is set aside, and looked at only while it is little."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from skytrail.runtime import garbage
from skytrail.runtime.garbage import ShortCollections


class Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_outlived_a_collection_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    collections = ShortCollections()
    kept = [Ring() for _ in range(100)]

    gc.collect(0)
    collections.tidy()

    assert gc.get_freeze_count() > len(kept)
    assert gc.get_count()[1] == 1 or not gc.get_objects(generation=1)


def test_old_rings_are_found_while_there_are_few_old_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "FEW_COUNT", 10_000_000)
    monkeypatch.setattr(garbage, "WALKS_TICKS", 2)
    collections = ShortCollections()
    ring = Ring()
    lost = weakref.ref(ring)
    gc.collect(0)
    collections.tidy()

    del ring
    gc.collect(0)
    assert lost() is not None
    collections.tidy()

    assert lost() is None


def test_many_old_objects_are_never_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "FEW_COUNT", 100)
    monkeypatch.setattr(garbage, "WALKS_TICKS", 1)
    collections = ShortCollections()
    kept = [Ring() for _ in range(100)]
    gc.freeze()
    walked: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        walked.append(f"{phase} {info['generation']}")

    gc.callbacks.append(note)
    collections.tidy()
    gc.callbacks.remove(note)

    assert walked == []
    assert kept
