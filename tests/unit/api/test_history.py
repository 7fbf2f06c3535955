"""How much of the past is kept: by number, by age, and never without bound."""

from __future__ import annotations

import pytest

from skytrail.api import history
from skytrail.api.history import History
from skytrail.store.plugin import Compacted, StoreUnavailable

DAY_S = 24 * 3600.0


def test_young_history_is_kept_whatever_its_length_up_to_the_bound() -> None:
    kept = History()

    assert kept.discardable(0.0, 5) is None
    assert kept.discardable(DAY_S - 1.0, 900_000) is None
    assert kept.discardable(DAY_S - 0.5, 1_000_007) == 7


def test_old_history_is_discarded_but_for_the_last_revisions() -> None:
    kept = History()
    kept.discardable(0.0, 30_000)

    assert kept.discardable(DAY_S, 50_000) == 30_000
    assert kept.discardable(2 * DAY_S, 50_001) == 40_001


def test_few_revisions_are_kept_whatever_their_age() -> None:
    kept = History()
    kept.discardable(0.0, 9_000)

    assert kept.discardable(10 * DAY_S, 10_000) is None


def test_what_has_been_discarded_is_not_asked_for_again() -> None:
    kept = History()
    kept.discardable(0.0, 30_000)
    kept.discarded(kept.discardable(DAY_S, 50_000) or 0)

    assert kept.discardable(DAY_S + 1.0, 50_000) is None


@pytest.fixture
def short_history(monkeypatch) -> None:
    monkeypatch.setattr(history, "KEPT_REVISIONS_MIN", 3)


def write(api, count: int) -> None:
    for number in range(count):
        api.create("route-target", fq_name=[f"target:1:{api.service.revision}{number}"])


def test_the_service_compacts_the_store_and_goes_on(api, short_history) -> None:
    write(api, 5)
    old = api.service.revision
    api.loop.run_until_complete(api.service.compact(0.0))
    write(api, 5)

    api.loop.run_until_complete(api.service.compact(DAY_S))

    with pytest.raises(Compacted):
        api.loop.run_until_complete(api.store.get("/e/server", old - 1))
    assert api.loop.run_until_complete(api.store.get("/e/server", old + 1)) is not None
    write(api, 1)
    again = api.restarted()
    assert len(again.service.graph.records) == len(api.service.graph.records)
    again.close()


def test_history_the_store_could_not_discard_is_discarded_later(
    api, short_history, monkeypatch
) -> None:
    async def refuse(revision: int) -> None:
        raise StoreUnavailable("disk full")

    write(api, 5)
    old = api.service.revision
    api.loop.run_until_complete(api.service.compact(0.0))
    write(api, 5)
    monkeypatch.setattr(api.store, "compact", refuse)
    api.loop.run_until_complete(api.service.compact(DAY_S))
    monkeypatch.undo()
    monkeypatch.setattr(history, "KEPT_REVISIONS_MIN", 3)

    api.loop.run_until_complete(api.service.compact(DAY_S + 1.0))

    with pytest.raises(Compacted):
        api.loop.run_until_complete(api.store.get("/e/server", old - 1))
