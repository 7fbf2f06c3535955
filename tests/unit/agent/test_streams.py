"""Streams of captures and of the session log: who may have how many, and that all is given back."""

import asyncio
import errno
import os
from types import SimpleNamespace

import pytest

from skytrail.agent.io.capture import CapturePages
from skytrail.agent.io.session_log import SessionLogPages
from skytrail.agent.label import Numbers
from skytrail.agent.outcome import Desired
from skytrail.agent.session_batch import SessionEvent
from skytrail.runtime.asgi import HttpError, Request
from skytrail.testing.session_records import batch_of


class Source:
    """A datapath's end of captures and sessions that has nothing to tell."""

    def __init__(self, fd):
        self.fd = fd
        self.on: set[int] = set()
        self.wanted = False
        self.events: list[SessionEvent] = []
        self.lost = 0

    def start(self, slot, _filter):
        self.on.add(slot)

    def stop(self, slot):
        self.on.discard(slot)

    def want(self, *, wanted):
        self.wanted = wanted

    def drain(self, _most):
        events, self.events = self.events, []
        return batch_of(events)

    def counts(self, _slot=0):
        return 0, self.lost


class Agent:
    def __init__(self, fd):
        self.source = Source(fd)
        self.datapath = SimpleNamespace(captures=lambda: self.source, sessions=lambda: self.source)
        self.plugged, self.desired, self.numbers = {}, Desired(), Numbers()
        self.captured = frozenset()
        self.closing = []

    def set_captured(self, ports):
        self.captured = ports

    async def wait_applied(self):
        pass


def ask(**query):
    return Request("GET", "/", (), {name: (text,) for name, text in query.items()}, {})


@pytest.fixture
def agent():
    near, far = os.pipe()
    yield Agent(near)
    os.close(near)
    os.close(far)


def test_fifth_capture_is_refused_until_one_ends(agent):
    async def run():
        pages = CapturePages(agent)
        streams = [(await pages._capture(ask())).chunks for _ in range(4)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(HttpError) as refused:
            await pages._capture(ask())
        await streams[2].aclose()
        again = (await pages._capture(ask())).chunks
        await anext(again)
        on = set(agent.source.on)
        for stream in (*streams, again):
            await stream.aclose()
        return refused.value.status, on

    assert asyncio.run(run()) == (409, {0, 1, 2, 3})
    assert agent.source.on == set()


def test_capture_that_never_began_takes_nothing(agent):
    async def run():
        pages = CapturePages(agent)
        for _ in range(9):
            await (await pages._capture(ask())).chunks.aclose()

    asyncio.run(run())

    assert agent.source.on == set()


def test_question_that_is_wrong_is_400(agent):
    with pytest.raises(HttpError) as refused:
        asyncio.run(CapturePages(agent)._capture(ask(proto="tpc")))

    assert (refused.value.status, "proto=tpc" in refused.value.text) == (400, True)


def test_sessions_are_told_only_while_somebody_reads(agent):
    async def run():
        pages = SessionLogPages(agent)
        stream = (await pages._open(ask())).chunks
        before = agent.source.wanted
        first = await anext(stream)
        during = agent.source.wanted
        await stream.aclose()
        return before, first, during, agent.source.wanted

    assert asyncio.run(run()) == (False, b'{"kind":"start"}\n', True, False)


def test_a_datapath_that_closes_is_asked_nothing_more(agent, monkeypatch):
    """Neither on time, nor for metrics, nor by somebody who begins to read."""
    monkeypatch.setattr("skytrail.agent.io.session_log.INTERVAL_S", 0.0)

    def closed(*_):
        raise OSError(errno.EBADF, "closed")

    async def run():
        problems = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: problems.append(told))
        pages = SessionLogPages(agent)
        stream = (await pages._open(ask())).chunks
        await anext(stream)
        for stop in agent.closing:
            stop()
        agent.source.drain = agent.source.counts = closed
        late = (await pages._open(ask())).chunks
        await anext(late)
        for _ in range(10):
            await asyncio.sleep(0)
        samples = list(pages.samples())
        for each in (stream, late):
            await each.aclose()
        return problems, samples

    assert asyncio.run(run()) == ([], [])


def test_loss_is_told_where_it_happened(agent):
    async def run():
        stream = (await SessionLogPages(agent)._open(ask())).chunks
        await anext(stream)
        agent.source.lost = 7
        line = await anext(stream)
        await stream.aclose()
        return line

    assert asyncio.run(run()) == b'{"kind":"lost","count":7}\n'


@pytest.mark.parametrize(("query", "text"), [({"vm": "x"}, "vm is not"), ({"vmi": "x"}, "vmi=x")])
def test_log_question_that_is_wrong_is_400(agent, query, text):
    with pytest.raises(HttpError) as refused:
        asyncio.run(SessionLogPages(agent)._open(ask(**query)))

    assert (refused.value.status, text in refused.value.text) == (400, True)
