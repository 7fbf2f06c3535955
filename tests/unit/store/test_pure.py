"""The pure parts of the store: keys, transaction builder, choice of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.store import key_space
from skytrail.store.allocate import LowestFree, first_gap
from skytrail.store.plugin import Compare, Delete, Put
from skytrail.store.transaction import ConflictingIntent, Transaction

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, min_size=1, max_size=4))
def test_different_names_have_different_keys(one, other):
    same = key_space.name_key("t", one) == key_space.name_key("t", other)

    assert same == (one == other)


@given(NAMES, st.integers(0, 2**64 - 1))
def test_allocation_key_tells_pool_and_number(pool, number):
    key = key_space.allocation_key(pool, number)

    assert key_space.split_allocation_key(key) == (pool, number)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_allocation_keys_sort_by_number(one, other):
    keys = [key_space.allocation_key("p", number) for number in (one, other)]

    assert (keys[0] < keys[1]) == (one < other)


@given(st.text(max_size=6), st.text(max_size=6))
def test_prefix_end_bounds_exactly_the_keys_of_the_prefix(prefix, key):
    end = key_space.prefix_end(prefix)

    assert key.startswith(prefix) == (key >= prefix and (end is None or key < end))


@pytest.mark.parametrize("key", ["/o/t/u/x", "/f/t/u", "o/t/u", "/o/t", ""])
def test_other_keys_are_not_object_keys(key):
    with pytest.raises(ValueError, match="not an object key"):
        key_space.split_object_key(key)


@given(st.integers(0, 20), st.integers(0, 20), st.sets(st.integers(0, 25)))
def test_first_gap_is_the_lowest_number_not_taken(low, high, taken):
    wanted = next((number for number in range(low, high + 1) if number not in taken), None)

    assert first_gap(low, high, sorted(n for n in taken if n >= low)) == wanted


def test_hint_goes_back_to_a_freed_number():
    hints = LowestFree()
    hints.taken_below("p", 1, 10)
    hints.freed("p", 4)
    hints.freed("p", 7)
    hints.freed("other", 2)

    assert hints.start("p", 1) == 4
    assert hints.start("p", 2) == 2


def test_transaction_keeps_the_last_operation_of_a_key():
    change = Transaction()
    change.create("/a", b"1")
    change.put("/a", b"2")
    change.put("/b", b"3")
    change.delete("/b")

    assert change.compares == (Compare("/a", 0),)
    assert change.operations == (Put("/a", b"2"), Delete("/b"))
    assert len(change) == 2


def test_contradicting_expectations_are_refused():
    change = Transaction()
    change.expect("/a", 3)
    change.expect("/a", 3)

    with pytest.raises(ConflictingIntent, match="3 and 0"):
        change.expect_absent("/a")
