"""Answers that are kept to be fetched: so many, and so much of them."""

from __future__ import annotations

from uuid import UUID

from skytrail.analytics.questions import CELLS_COUNT_MAX, Question, Questions

ROW = {"Source": "h1", "Level": 4}


def asked(questions: Questions, number: int) -> Question:
    made = Question(UUID(int=number), "{}", "MessageTable", 0.0, "now-1h", "now")
    questions.add(made, 0.0)
    return made


def answered(questions: Questions, number: int, cells_count: int) -> Question:
    made = asked(questions, number)
    made.rows = [ROW] * (cells_count // len(ROW))
    questions.make_room(made)
    return made


def test_oldest_answers_go_when_all_hold_too_many_cells():
    questions = Questions()
    running = asked(questions, 1)
    half = CELLS_COUNT_MAX // 2
    oldest, second, newest = (answered(questions, number, half) for number in (2, 3, 4))

    assert questions.all() == [running, second, newest]
    assert questions.get(oldest.id) is None


def test_newest_answer_is_kept_whatever_its_size():
    questions = Questions()
    answered(questions, 1, 10)
    large = answered(questions, 2, CELLS_COUNT_MAX + 2)

    assert questions.all() == [large]


def test_forgotten_question_is_not_there():
    questions = Questions()
    made = asked(questions, 1)

    questions.forget(made)

    assert questions.get(made.id) is None
