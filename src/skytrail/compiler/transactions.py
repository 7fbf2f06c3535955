"""Cut a plan into transactions: as few as the bounds allow, never splitting what needs each other.

A group is a set of writes that only make sense together: an object that is created, its children
and the objects that then refer to it. Groups keep the plan's order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

import msgspec

from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Create, Delete, Write, as_operation, target_type

WRITES_COUNT_MAX: Final = 1_000
BYTES_MAX: Final = 900_000
"""Below the API's bound on a request body."""

Group = tuple[Write, ...]


def groups(writes: Sequence[Write]) -> list[Group]:
    """Join each created object with the writes that refer to it or live below it."""
    created = {write.key: index for index, write in enumerate(writes) if isinstance(write, Create)}
    leader = list(range(len(writes)))
    for index, write in enumerate(writes):
        for key in _needed_keys(write):
            if key in created:
                _join(leader, index, created[key])
    members: dict[int, list[Write]] = {}
    for index, write in enumerate(writes):
        members.setdefault(_root(leader, index), []).append(write)
    found = [tuple(group) for group in members.values()]
    # Deletions may need any of the updates before them.
    return sorted(found, key=lambda group: isinstance(group[0], Delete))


def transactions(found: Sequence[Group]) -> Iterator[list[Group]]:
    """Yield runs of groups that fit one transaction; a group over the bounds goes alone."""
    run: list[Group] = []
    count = size = 0
    for group in found:
        group_size = sum(len(msgspec.json.encode(as_operation(write))) for write in group)
        if run and (count + len(group) > WRITES_COUNT_MAX or size + group_size > BYTES_MAX):
            yield run
            run, count, size = [], 0, 0
        run.append(group)
        count += len(group)
        size += group_size
    if run:
        yield run


def keys(found: Sequence[Group]) -> list[DerivedKey]:
    return [write.key for group in found for write in group]


def _needed_keys(write: Write) -> Iterator[DerivedKey]:
    if isinstance(write, Delete):
        return
    parent_type = write.wire.get("parent_type")
    if isinstance(parent_type, str):
        yield DerivedKey(parent_type, write.key.fq_name[:-1])
    for name, value in write.wire.items():
        if name.endswith("_refs"):
            for reference in cast("list[dict[str, object]]", value):
                yield DerivedKey(target_type(name), tuple(cast("list[str]", reference["to"])))


def _root(leader: list[int], index: int) -> int:
    while leader[index] != index:
        leader[index] = leader[leader[index]]
        index = leader[index]
    return index


def _join(leader: list[int], first: int, second: int) -> None:
    low, high = sorted((_root(leader, first), _root(leader, second)))
    leader[high] = low
