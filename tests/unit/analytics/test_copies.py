"""Of rows that two nodes have one copy stays."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.analytics.copies import KEPT_US, Copies, common, given_up
from skytrail.analytics.pieces import Copied, Position, Range

NOW_US = 10 * KEPT_US


def talking(retold=0, heard=0):
    copies = Copies()
    copies.is_wanted = True
    copies.begin("h1", 7, retold, heard, NOW_US)
    return copies


def hear(copies, *numbers):
    for number in numbers:
        copies.hear("h1", number)


def rows(first, last, run=7):
    return [Range("h1", run, first, last)]


def test_what_a_process_confirms_is_not_doubtful():
    copies = talking()
    hear(copies, 1, 2, 3)

    copies.confirm("h1", 2)

    assert copies.may_confirm(rows(1, 3))
    assert copies.doubtful(rows(1, 2)) == []
    assert copies.doubtful(rows(1, 3)) == rows(3, 3)
    copies.confirm("h1", 9)
    assert copies.doubtful(rows(1, 3)) == rows(3, 3)
    assert copies.doubtful(rows(1, 3, run=8)) == []


def test_what_was_not_confirmed_on_its_connection_stays_doubtful():
    copies = talking()
    hear(copies, 1, 2, 3)
    copies.confirm("h1", 1)

    copies.begin("h1", 7, 0, 3, NOW_US)
    hear(copies, 4)
    copies.confirm("h1", 4)

    assert not copies.may_confirm(rows(1, 4))
    assert copies.doubtful(rows(1, 4)) == rows(2, 3)
    copies.taken(NOW_US)
    copies.passed()
    assert copies.doubtful(rows(1, 4)) == []


def test_nobody_confirms_to_the_next_process_of_a_node():
    copies = talking()
    hear(copies, 1, 2, 3)
    copies.confirm("h1", 2)
    left = copies.taken(NOW_US)

    after = Copies()
    after.resume(left, {"h1": Position(7, 3)}, 1)

    assert after.doubtful(rows(1, 3)) == rows(3, 3)
    assert not after.may_confirm(rows(1, 3))


def test_what_is_told_again_is_known_as_kept_with_its_bundle():
    copies = talking(retold=5, heard=2)
    hear(copies, 3, 4)

    assert copies.is_retelling("h1", 7)
    assert copies.kept(rows(1, 9), []) == []
    copies.taken(NOW_US)
    hear(copies, 5, 6)
    assert not copies.is_retelling("h1", 7)
    copies.taken(NOW_US)

    assert copies.kept(rows(1, 9), []) == [Range("h1", 7, 3, 4), Range("h1", 7, 5, 5)]
    assert copies.kept(rows(1, 9), rows(4, 5)) == rows(3, 3)
    copies.forget(rows(3, 3))
    copies.keep(rows(8, 9), NOW_US)
    assert copies.kept(rows(3, 9), rows(5, 5)) == [
        Range("h1", 7, 4, 4),
        Range("h1", 7, 8, 9),
    ]
    copies.taken(NOW_US + KEPT_US)
    assert copies.kept(rows(1, 9), []) == []


def test_nothing_is_noted_where_there_are_no_other_nodes():
    copies = Copies()
    copies.begin("h1", 7, 5, 0, NOW_US)
    hear(copies, 1)

    assert copies.told("h1", 1) is None
    assert copies.taken(NOW_US) == Copied({}, [], [])


KINDS = st.sampled_from(["kept", "aside", "none"])


@settings(max_examples=300)
@given(st.lists(st.tuples(KINDS, KINDS), min_size=1, max_size=12))
def test_of_each_row_that_two_nodes_have_one_copy_stays(places):
    """Whatever each has kept or set aside, and whoever asks first."""
    asked = rows(1, len(places))

    def having(node, kind):
        return [Range("h1", 7, n, n) for n, place in enumerate(places, 1) if place[node] == kind]

    def gives_up(node):
        other = 1 - node
        names = ("a", "b")
        left = given_up(
            asked, names[node], names[other], having(other, "kept"), having(other, "aside")
        )
        return {each.first for each in common(left, having(node, "aside"))}

    for number, place in enumerate(places, 1):
        copies = sum(
            kind == "kept" or (kind == "aside" and number not in gives_up(node))
            for node, kind in enumerate(place)
        )
        # Two that are in stores already are beyond it; what is set aside never makes a second, and is never lost.
        assert copies == max(place.count("kept"), any(kind != "none" for kind in place))
