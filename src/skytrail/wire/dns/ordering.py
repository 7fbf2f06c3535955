"""In which order the records of an answer are given; aliases stay in front of what they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from skytrail.wire.dns.message import RecordType, ResourceRecord

ORDER_DEFAULT = "random"
Shuffle: TypeAlias = Callable[[list[ResourceRecord]], None]
"""Bring a list into random order, in place."""


def arranged(
    answers: Iterable[ResourceRecord],
    asked_type: int,
    order: str,
    *,
    turn: int,
    shuffle: Shuffle,
) -> list[ResourceRecord]:
    """Return the records ``fixed``, ``random`` or ``round-robin``: that one begins with ``turn``."""
    aliases: list[ResourceRecord] = []
    rest: list[ResourceRecord] = []
    for each in answers:
        is_alias = each.record_type == RecordType.CNAME and asked_type != RecordType.CNAME
        (aliases if is_alias else rest).append(each)
    if order == "random":
        shuffle(rest)
    elif order == "round-robin" and rest:
        begin = turn % len(rest)
        rest = rest[begin:] + rest[:begin]
    return aliases + rest
