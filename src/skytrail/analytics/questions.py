"""Queries that are asked for now and fetched later, and what is known of each. Pure.

Answers are kept for ``KEPT_S``, and so many, of so many cells, at most: the oldest go first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from uuid import UUID

KEPT_S: Final = 300.0
COUNT_MAX: Final = 200
CELLS_COUNT_MAX: Final = 2_000_000
"""Of all answers that are kept; a cell needs some 100 bytes. The newest answer is kept whatever its size."""
RUNNING_COUNT_MAX: Final = 32

Rows = list[dict[str, object]]


@dataclass(slots=True)
class Question:
    """One query. ``rows`` are there once it is done, ``problem`` when it failed."""

    id: UUID
    text: str
    table: str
    asked_at: float
    start_time: int | str
    end_time: int | str
    rows: Rows | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """What the answer says beside its rows."""
    problem: str = ""
    status: int = 200

    @property
    def is_done(self) -> bool:
        return self.rows is not None or bool(self.problem)

    @property
    def cells_count(self) -> int:
        return len(self.rows) * len(self.rows[0]) if self.rows else 0


class Questions:
    """The questions of one node."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[UUID, Question] = OrderedDict()

    def all(self) -> list[Question]:
        return list(self._by_id.values())

    def get(self, question: UUID) -> Question | None:
        return self._by_id.get(question)

    def has_room(self) -> bool:
        """Tell whether another may be asked now."""
        return sum(not each.is_done for each in self._by_id.values()) < RUNNING_COUNT_MAX

    def add(self, question: Question, now: float) -> None:
        """Keep a question; old answers make room."""
        for each in list(self._by_id.values()):
            is_over = len(self._by_id) >= COUNT_MAX or now - each.asked_at > KEPT_S
            if each.is_done and is_over:
                del self._by_id[each.id]
        self._by_id[question.id] = question

    def forget(self, question: Question) -> None:
        """Nobody is going to ask for it again."""
        self._by_id.pop(question.id, None)

    def make_room(self, newest: Question) -> None:
        """Forget the oldest answers when all hold too many cells; ``newest`` has just got its own."""
        count = sum(each.cells_count for each in self._by_id.values())
        for each in list(self._by_id.values()):
            if count <= CELLS_COUNT_MAX:
                return
            if each.rows and each is not newest:
                count -= each.cells_count
                del self._by_id[each.id]
