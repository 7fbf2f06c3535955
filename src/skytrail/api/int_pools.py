"""Integer pools that clients make for themselves: named ranges whose numbers have owners.

A pool's bounds are kept beside its numbers, as two numbers of a pool of their own, so that they are
written and read with them; nothing else has to be stored.
"""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import View
from skytrail.api.refusal import Refused, bad_request, conflict, not_found
from skytrail.model.validate import has_illegal_characters, shown

_NAME_LENGTH_MAX = 256
_NUMBER_MAX = (1 << 63) - 1
_LOW, _HIGH, _BOTH = "low", "high", "low and high"
_OWNER = "int/"
"""Before an owner's name, so that no object's uuid is meant by it."""


def create(change: Change, request: Document) -> None:
    """Make a pool; the same one again is no error."""
    name = _name(request)
    low, high = _number(request, "start"), _number(request, "end")
    if low > high:
        raise bad_request(f"start {low} is after end {high}")
    present = bounds(change.view, name)
    if present == (low, high):
        return
    if present is not None:
        raise conflict(f"Pool {shown(name)} already exists with {present[0]}..{present[1]}")
    numbers, place = change.view.numbers, _bounds_pool(name)
    numbers.take(place, low, _BOTH if low == high else _LOW)
    if low != high:
        numbers.take(place, high, _HIGH)


def delete(change: Change, request: Document) -> None:
    """Drop a pool and every number taken from it."""
    name = _name(request)
    _existing(change.view, name)
    for pool in (_bounds_pool(name), _pool(name)):
        for value, _ in list(change.view.numbers.pool(pool)):
            change.view.numbers.release(pool, value)


def allocate(change: Change, request: Document) -> int:
    """Give the asked number, or the next free one, to an owner."""
    name = _name(request)
    low, high = _existing(change.view, name)
    owner = _OWNER + _owner(request)
    numbers = change.view.numbers
    if request.get("value") is None:
        taken = numbers.take_first(_pool(name), ((low, high),), owner)
        if taken is None:
            raise conflict(f"Pool {shown(name)} has no number left in {low}..{high}")
        return taken
    value = _number(request, "value")
    if not low <= value <= high:
        raise bad_request(f"{value} is outside {low}..{high} of pool {shown(name)}")
    if not numbers.take(_pool(name), value, owner):
        raise conflict(f"{value} of pool {shown(name)} is allocated to another owner")
    return value


def free(change: Change, request: Document) -> None:
    """Take a number back; one that is free stays so."""
    name = _name(request)
    _existing(change.view, name)
    change.view.numbers.release(_pool(name), _number(request, "value"))


def owner_of(view: View, request: Document) -> str | None:
    """Return who has a number, None when it is free."""
    name = _name(request)
    _existing(view, name)
    owner = view.numbers.owner(_pool(name), _number(request, "value"))
    return None if owner is None else owner.removeprefix(_OWNER)


def bounds(view: View, name: str) -> tuple[int, int] | None:
    """Return first and last number of a pool, None when there is no such pool."""
    ends = {owner: value for value, owner in view.numbers.pool(_bounds_pool(name))}
    if _BOTH in ends:
        return ends[_BOTH], ends[_BOTH]
    return (ends[_LOW], ends[_HIGH]) if ends else None


def _existing(view: View, name: str) -> tuple[int, int]:
    found = bounds(view, name)
    if found is None:
        raise not_found(f"Pool {shown(name)} not found")
    return found


def _pool(name: str) -> str:
    return f"int/{name}"


def _bounds_pool(name: str) -> str:
    return f"int-bounds/{name}"


def _name(request: Document) -> str:
    name = documents.text(request, "pool")
    if not name or len(name) > _NAME_LENGTH_MAX or has_illegal_characters(name):
        raise bad_request(f"pool must be a name of 1 to {_NAME_LENGTH_MAX} characters")
    return name


def _owner(request: Document) -> str:
    owner = request.get("owner")
    text = "" if owner is None else owner
    if not isinstance(text, str) or len(text) > _NAME_LENGTH_MAX or has_illegal_characters(text):
        raise bad_request(f"owner must be a text of at most {_NAME_LENGTH_MAX} characters")
    return text


def _number(request: Document, name: str) -> int:
    """Return a number, which in a query is decimal text."""
    value = request.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _NUMBER_MAX:
        raise _bad_number(name, value)
    return value


def _bad_number(name: str, value: object) -> Refused:
    return bad_request(f"{name} must be an integer from 0 to {_NUMBER_MAX}, got {shown(value)}")
