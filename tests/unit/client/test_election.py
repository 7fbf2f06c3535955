"""A candidate leads by its own clock never longer than the API grants."""

import asyncio

from skytrail.client import ApiUnavailable, Candidate
from skytrail.client.errors import ApiError
from skytrail.client.messages import Standing


class Clock:
    time = 100.0

    def now(self):
        return self.time

    def wall(self):
        return self.time


class Office:
    """Answers in turn what the test scripts: leading or not, or a failure; then the run ends."""

    def __init__(self, clock, answers, *, takes_s=0.0):
        self.clock, self.answers, self.takes_s = clock, list(answers), takes_s
        self.asked, self.resigned = [], []

    async def stand(self, call):
        self.asked.append(call.body.get("lease"))
        if not self.answers:
            raise asyncio.CancelledError
        answer = self.answers.pop(0)
        self.clock.time += self.takes_s
        if isinstance(answer, Exception):
            raise answer
        return Standing(lease="mine", leading=answer, ttl_s=2.0)

    async def resign(self, name, lease):
        self.resigned.append((name, lease))


def changes(answers, *, takes_s=0.0):
    clock = Clock()
    office = Office(clock, answers, takes_s=takes_s)
    told = []

    async def sleep(seconds):
        clock.time += seconds

    candidate = Candidate(office, "compiler", told.append, clock=clock, sleep=sleep)

    async def run():
        try:
            await candidate.run()
        except asyncio.CancelledError:
            return

    asyncio.run(run())
    return told, office


def test_candidate_keeps_its_lease_leads_and_resigns_at_the_end():
    told, office = changes([False, False, True, True])

    assert told == [True, False]
    assert office.asked == [None, "mine", "mine", "mine", "mine"]
    assert office.resigned == [("compiler", "mine")]


def test_leader_outlasts_a_short_silence_and_gives_up_after_a_long_one():
    gone = ApiUnavailable("no answer")

    assert changes([True, gone, gone, True])[0] == [True, False]
    told, office = changes([True, gone, gone, gone, gone, gone, gone, True])
    assert told == [True, False, True, False]
    assert office.asked[-1] == "mine"


def test_refused_lease_is_given_up_at_once_for_a_new_one():
    told, office = changes([True, ApiError(410, "ran out"), False])

    assert told == [True, False]
    assert office.asked == [None, "mine", None, "mine"]


def test_answer_that_took_longer_than_the_lease_makes_no_leader():
    assert changes([True], takes_s=2.5)[0] == []
