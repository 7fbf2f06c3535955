"""What was put last is remembered, the oldest is forgotten."""

from __future__ import annotations

from skytrail.net.latest import Latest


def test_the_oldest_makes_place_for_the_newest():
    latest = Latest(2)

    forgotten = [latest.put(key, key.upper()) for key in "abc"]

    assert forgotten == [None, None, "a"]
    assert dict(latest) == {"b": "B", "c": "C"}


def test_what_is_put_again_is_the_newest_and_what_is_only_replaced_is_not():
    latest = Latest(2)
    latest.put("a", 1)
    latest.put("b", 2)
    latest.put("a", 3)
    latest["b"] = 4

    assert latest.put("c", 5) == "b"
    assert list(latest.items()) == [("a", 3), ("c", 5)]
