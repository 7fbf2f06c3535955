"""Which traces a revision belongs to."""

from skytrail.client.traced_revisions import TRACES_COUNT_MAX, TracedRevisions
from skytrail.client.watch_events import RevisionEnd, decode_line
from skytrail.wire.spans import trace_of


def everything(_trace):
    return True


def trace(revision):
    return trace_of(revision, f"h{revision}")


def ended(revisions, revision, derived_from=None, *, is_mixed=False):
    return revisions.ended(RevisionEnd(revision, f"h{revision}", derived_from, is_mixed))


def test_what_is_derived_belongs_to_the_changes_since_it_was_derived_last():
    revisions = TracedRevisions(everything)

    assert ended(revisions, 5) == (trace(5),)
    assert ended(revisions, 6) == (trace(6),)
    assert ended(revisions, 7, 6) == (trace(5), trace(6))
    assert ended(revisions, 8) == (trace(8),)
    assert ended(revisions, 9, 8) == (trace(8),)


def test_second_part_of_what_is_derived_follows_the_first():
    revisions = TracedRevisions(everything)
    ended(revisions, 5)
    ended(revisions, 6, 5)

    assert ended(revisions, 7, 6) == (trace(5),)
    assert ended(revisions, 8, 5) == (trace(5),)


def test_change_after_the_derived_one_waits_for_the_next():
    revisions = TracedRevisions(everything)
    ended(revisions, 5)
    ended(revisions, 6)

    assert ended(revisions, 7, 5) == (trace(5),)
    assert ended(revisions, 8, 6) == (trace(6),)


def test_revision_of_the_compiler_and_others_belongs_to_both():
    revisions = TracedRevisions(everything)
    ended(revisions, 5)

    assert ended(revisions, 6, 5, is_mixed=True) == (trace(5), trace(6))
    assert ended(revisions, 7, 6) == (trace(6),)


def test_traces_that_nobody_wants_are_left_out():
    revisions = TracedRevisions(lambda each: each == trace(6))

    assert ended(revisions, 5) == ()
    assert ended(revisions, 6) == (trace(6),)
    assert ended(revisions, 7, 6) == (trace(6),)


def test_changes_that_nothing_is_derived_from_are_bounded():
    revisions = TracedRevisions(everything)
    for revision in range(1, 3 * TRACES_COUNT_MAX):
        ended(revisions, revision)

    assert len(ended(revisions, 1000, 999)) == TRACES_COUNT_MAX


def test_lines_of_older_servers_say_nothing_of_derivation():
    assert decode_line(b'{"kind":"revision_end","revision":3,"history":"x"}') == RevisionEnd(3)
    event = decode_line(
        b'{"kind":"revision_end","revision":3,"history":"x","derived_from":2,"mixed":true}'
    )
    assert (event.derived_from, event.is_mixed) == (2, True)
