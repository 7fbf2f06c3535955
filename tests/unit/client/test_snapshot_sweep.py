"""A snapshot is the whole: what it does not have is gone, however the one before ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skytrail.client import ObjectDelete, ObjectPut, RevisionEnd, SnapshotBegin, SnapshotEnd
from skytrail.client.snapshot_sweep import SnapshotSweep


def put(uuid):
    return ObjectPut("tag", uuid, 1, {})


def delete(uuid):
    return ObjectDelete("tag", uuid, ("t",), 1)


EVENTS = st.one_of(
    st.sampled_from("abcd").map(put),
    st.sampled_from("abcd").map(delete),
    st.sampled_from([SnapshotBegin(1), SnapshotEnd(1), RevisionEnd(1)]),
)


def test_what_a_later_snapshot_does_not_have_is_gone_once():
    sweep = SnapshotSweep()
    for event in (SnapshotBegin(1), put("a"), put("b"), SnapshotEnd(1), put("c")):
        assert sweep.note(event) == []

    for event in (SnapshotBegin(2), put("b")):
        assert sweep.note(event) == []
    assert sweep.is_open
    assert sweep.note(SnapshotEnd(2)) == ["a", "c"]
    assert not sweep.is_open
    assert [sweep.note(event) for event in (SnapshotBegin(3), put("b"), SnapshotEnd(3))][-1] == []


@given(st.lists(EVENTS))
def test_who_follows_knows_just_what_the_last_whole_snapshot_and_the_changes_since_have(events):
    sweep, followed = SnapshotSweep(), set()
    for event in [*events, SnapshotBegin(9), put("z"), SnapshotEnd(9)]:
        followed.difference_update(sweep.note(event))
        match event:
            case ObjectPut():
                followed.add(event.uuid)
            case ObjectDelete():
                followed.discard(event.uuid)
            case _:
                pass

    assert followed == {"z"}
