"""Differences are lossless, and merge patches do what RFC 7396 says."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from skytrail.api.differences import Difference, differences, merged, undone

leaves = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text("ab/~", max_size=2))
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(("a", "b", "c")), values, max_size=3)


@given(documents, documents)
def test_undoing_a_difference_gives_the_former_document(before, after) -> None:
    changes = differences(before, after)

    assert msgspec.json.encode(undone(after, changes), order="sorted") == msgspec.json.encode(
        before, order="sorted"
    )


@given(documents, documents)
def test_differences_survive_their_stored_form(before, after) -> None:
    changes = differences(before, after)

    stored = msgspec.json.encode(changes)

    assert msgspec.json.decode(stored, type=list[Difference]) == changes


def test_true_in_a_list_is_not_one() -> None:
    assert differences({"a": [[1]]}, {"a": [[True]]}) == [Difference(("a",), [[1]], [[True]])]


@given(documents)
def test_nothing_differs_from_itself(document) -> None:
    assert differences(document, msgspec.json.decode(msgspec.json.encode(document))) == []


def test_merge_patch_examples_of_the_rfc() -> None:
    cases = [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ]

    for target, patch, expected in cases:
        assert merged(target, patch) == expected
