"""Expressions of routing policies: as the usual matcher has it, whatever the expression."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skytrail.control.community_expression import Expression, ExpressionInvalid

ALPHABET = "a1:-"
ATOMS = st.sampled_from(
    ["a", "1", ":", ".", r"\d", r"\D", r"\w", r"\.", "[a1]", "[^a]", "[a-c-]", r"[\d:]", "^", "$"]
)
REPEATS = st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "{,2}"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{}){}".format, inner, inner, REPEATS),
        st.builds("({}){}".format, inner, REPEATS),
    )


PATTERNS = st.recursive(st.builds("({}){}".format, ATOMS, REPEATS) | ATOMS, _grown, max_leaves=6)


@given(PATTERNS, st.text(ALPHABET, max_size=6))
def test_a_text_matches_as_it_does_in_the_usual_matcher(pattern: str, text: str) -> None:
    assert Expression(pattern).matches(text) == bool(re.fullmatch(pattern, text))


@given(st.text(r"a1\^$.|?*+()[]{},-:dDwWsSbB", max_size=14))
@example(r"[\D-1]")
@example(r"[\d-]")
@settings(max_examples=300)
@pytest.mark.filterwarnings(
    "ignore:Possible (nested set|set)::"
)  # of re: as taken, today's meaning
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    try:
        Expression(pattern).matches("a:1")
    except ExpressionInvalid:
        return
    # Whatever is taken means the same elsewhere.
    assert bool(re.fullmatch(pattern, "a:1")) == Expression(pattern).matches("a:1")
