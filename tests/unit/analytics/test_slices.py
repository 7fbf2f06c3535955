"""Long lists of JSON in slices: the same as at once, with turns for others between, or refused."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics.io import slices
from skytrail.analytics.io.slices import SLICE_BYTES, SlicesUnusable, items_of

ROWS = list[list[Any]]
NO_BOUND = 1 << 30


def decoded(content, kind=ROWS, between=b"],[", **bounds):
    return asyncio.run(
        items_of(msgspec.Raw(content), kind, between, **{"most": NO_BOUND, **bounds})
    )


def compact(value):
    return msgspec.json.encode(value)


def indented(rows):
    """Return rows as ClickHouse shows them."""
    return b"[" + b",\n\t\t".join(compact(row) for row in rows) + b"\n\t]"


TEXT = st.text(st.sampled_from('[],"\\ aé\n'), max_size=12)
CELL = st.recursive(
    TEXT | st.integers(-9, 9) | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


@given(st.lists(st.lists(CELL, max_size=4), max_size=12), st.integers(1, 40))
def test_rows_are_the_same_wherever_they_are_cut(rows, length):
    with mock.patch.object(slices, "SLICE_BYTES", length):
        assert decoded(compact(rows)) == rows
        assert decoded(indented(rows), between=b"],\n") == rows


@given(st.lists(TEXT, max_size=12), st.integers(1, 20))
def test_texts_are_the_same_wherever_they_are_cut(texts, length):
    with mock.patch.object(slices, "SLICE_BYTES", length):
        assert decoded(compact(texts), list[str], b'","') == texts


@given(st.text(st.sampled_from('[],"1 {}\\'), max_size=60).map(str.encode) | st.binary(max_size=40))
def test_whatever_it_is_it_is_what_it_would_be_at_once_or_refused(noise):
    with mock.patch.object(slices, "SLICE_BYTES", 4), suppress(SlicesUnusable):
        for content in (noise, b"[" + noise + b"]"):
            assert decoded(content) == json.loads(content)


def test_others_have_their_turn_between_slices():
    rows = [[number, "x" * 50] for number in range(120_000)]
    content = compact(rows)
    turns = 0

    async def run():
        nonlocal turns
        decoding = asyncio.create_task(items_of(msgspec.Raw(content), ROWS, b"],[", most=NO_BOUND))
        while not decoding.done():
            turns += 1
            await asyncio.sleep(0)
        return decoding.result()

    assert asyncio.run(run()) == rows
    assert turns >= len(content) // SLICE_BYTES > 5


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[[1],[2],[3]]", "more items than were asked for"),
        (compact([["x" * 100]] * 20_000), "more items than were asked for"),
        (compact([["x" * 3000]] * 1000).replace(b"]]", b"],[1"), "truncated|malformed|list"),
        (compact([["x" * (2 * SLICE_BYTES + 9)] + [1] * 9]), "an item of over 1 MiB"),
        (b'{"a":"%b"}' % (b"x" * SLICE_BYTES), "it is no list"),
        (b"[" + b"1," * SLICE_BYTES + b"1]", "an item of over 1 MiB"),
        (b"[[\xff]]", "utf-8|malformed"),
        (b"7", "Expected `array`"),
    ],
)
def test_what_is_no_such_list_is_refused(content, reason):
    with pytest.raises(SlicesUnusable, match=reason):
        decoded(content, most=2, item_bytes_max=SLICE_BYTES)
