from skytrail.client import ObjectDelete, ObjectPut, RevisionEnd, SnapshotBegin, SnapshotEnd
from skytrail.compiler.engine import Put, Remove
from skytrail.compiler.inbox import Changes, Inbox, Snapshot


def put(uuid, revision, name="a", **fields):
    return ObjectPut("route-target", uuid, revision, {"uuid": uuid, "fq_name": [name], **fields})


def fed(*events):
    inbox = Inbox()
    for event in events:
        inbox.add(event)
    return inbox


def test_half_a_transaction_is_not_handed_out():
    inbox = fed(SnapshotBegin(1), SnapshotEnd(1))
    inbox.take()

    inbox.add(put("u", 2))

    assert inbox.take() is None
    inbox.add(RevisionEnd(2))
    assert inbox.take().revision == 2


def test_changes_after_a_snapshot_are_part_of_it():
    inbox = fed(
        SnapshotBegin(1),
        put("u", 1),
        put("v", 1),
        SnapshotEnd(1),
        ObjectDelete("route-target", "u", ("a",), 2),
        put("w", 2),
        RevisionEnd(2),
    )

    batch = inbox.take()

    assert isinstance(batch, Snapshot)
    assert [item.uuid for item in batch.items] == ["v", "w"]
    assert batch.revision == 2


def test_waiting_changes_are_merged_to_the_latest():
    inbox = fed(SnapshotBegin(1), SnapshotEnd(1))
    inbox.take()
    for revision in range(2, 5):
        inbox.add(put("u", revision, name=f"n{revision}"))
        inbox.add(RevisionEnd(revision))

    batch = inbox.take()

    assert isinstance(batch, Changes)
    assert [change.item.fq_name for change in batch.changes] == [("n4",)]


def test_broken_snapshot_is_forgotten_when_a_new_one_begins():
    inbox = fed(SnapshotBegin(1), put("u", 1), SnapshotBegin(3), put("v", 3), SnapshotEnd(3))

    assert [item.uuid for item in inbox.take().items] == ["v"]


def test_unreadable_object_counts_as_absent_and_is_reported():
    inbox = fed(SnapshotBegin(1), SnapshotEnd(1))
    inbox.take()

    inbox.add(ObjectPut("route-target", "u", 2, {"uuid": 5, "fq_name": "x"}))
    inbox.add(RevisionEnd(2))

    assert inbox.take().changes == (Remove("route-target", "u"),)
    assert [each.reason for each in inbox.unreadable()] == ["unreadable_object"]
    inbox.add(put("u", 3))
    inbox.add(RevisionEnd(3))
    assert isinstance(inbox.take().changes[0], Put)
    assert inbox.unreadable() == []
