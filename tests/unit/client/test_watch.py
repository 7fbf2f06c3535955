"""The watch against a scripted server: order, resume, compaction, bounds."""

import asyncio
import random

import msgspec
import pytest

from skytrail.client import (
    ApiClient,
    ApiError,
    AsyncApiClient,
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
)
from skytrail.client.watch_events import LineBuffer, LineInvalid, decode_line
from skytrail.runtime.asgi import StreamResponse, text_reply
from skytrail.runtime.backoff import Backoff

BEGIN = {"kind": "snapshot_begin", "revision": 4}
END = {"kind": "snapshot_end", "revision": 4}


def put(revision, uuid="u1"):
    return {
        "kind": "put",
        "type": "project",
        "uuid": uuid,
        "revision": revision,
        "object": {"uuid": uuid},
    }


def done(revision):
    return {"kind": "revision_end", "revision": revision}


def lines(*events):
    return [msgspec.json.encode(event) + b"\n" for event in events]


@pytest.fixture(params=["blocking", "asyncio"])
def watch(request, with_api):
    """Take ``count`` events with either client; delays are noted, not waited for."""

    def run(count, *, from_revision=None, delays=None):
        waits = [] if delays is None else delays
        backoff = Backoff(maximum_s=5.0, rng=random.Random(1))

        def blocking(path):
            with ApiClient(unix_socket=path, sleep=waits.append) as client:
                events = client.watch(["project", "tag"], from_revision, backoff=backoff)
                taken = [next(events) for _ in range(count)]
                events.close()
                return taken

        async def scenario(path):
            if request.param == "blocking":
                return await asyncio.to_thread(blocking, path)
            return await _taken(path, count, from_revision, waits, backoff)

        return with_api(scenario)

    return run


async def _taken(path, count, from_revision, waits, backoff):
    async def sleep(seconds):
        waits.append(seconds)
        await asyncio.sleep(0)

    async with AsyncApiClient(unix_socket=path, sleep=sleep) as client:
        events = client.watch(["project", "tag"], from_revision, backoff=backoff)
        taken = [await anext(events) for _ in range(count)]
        assert client.watching
        await events.aclose()
        assert not client.watching
        return taken


def test_snapshot_then_changes_come_as_typed_events(api, watch):
    delete = {
        "kind": "delete",
        "type": "project",
        "uuid": "u1",
        "fq_name": ["d", "p"],
        "revision": 5,
    }
    api.streams = [lines(BEGIN, put(3), END, delete, done(5))]

    events = watch(5)

    assert events == [
        SnapshotBegin(4),
        ObjectPut("project", "u1", 3, {"uuid": "u1"}),
        SnapshotEnd(4),
        ObjectDelete("project", "u1", ("d", "p"), 5),
        RevisionEnd(5),
    ]
    assert api.requests[0].query["types"] == "project,tag"
    assert api.asked_revisions[0] is None


def test_reconnect_resumes_after_the_last_complete_revision(api, watch):
    api.streams = [
        lines(BEGIN, END, put(5), done(5), put(6)),
        lines(put(6), done(6)),
    ]

    events = watch(7)

    assert api.asked_revisions == [None, "6"]
    assert events[4:] == [ObjectPut("project", "u1", 6, {"uuid": "u1"})] * 2 + [RevisionEnd(6)]


def test_unfinished_snapshot_is_asked_for_anew(api, watch):
    api.streams = [lines(BEGIN, put(1)), lines(BEGIN, put(1), END)]

    events = watch(5)

    assert api.asked_revisions == [None, None]
    assert [type(event) for event in events].count(SnapshotBegin) == 2


def test_bookmark_moves_the_resume_point_and_is_not_shown(api, watch):
    api.streams = [lines({"kind": "bookmark", "revision": 90}), lines(done(91))]

    assert watch(1, from_revision=5) == [RevisionEnd(91)]
    assert api.asked_revisions == ["5", "91"]


def test_position_is_told_with_the_history_it_stands_on(api, watch):
    first = {"kind": "bookmark", "revision": 90, "history": "0a1b"}
    api.streams = [lines(first), lines(done(91) | {"history": "2c3d"}), lines(done(92))]

    watch(2, from_revision=5)

    assert [each.query.get("history") for each in api.requests] == [None, "0a1b", "2c3d"]


def test_gone_position_leads_to_a_snapshot(api, watch):
    api.streams = [text_reply("compacted", 410), lines(BEGIN, END)]

    assert watch(2, from_revision=5) == [SnapshotBegin(4), SnapshotEnd(4)]
    assert api.asked_revisions == ["5", None]


def test_server_errors_are_retried_with_growing_delays(api, watch):
    api.streams = [text_reply("later", 503), text_reply("oops", 500)] * 4 + [lines(BEGIN)]
    delays = []

    assert watch(1, delays=delays) == [SnapshotBegin(4)]
    assert len(delays) == 8
    assert delays[-1] > 2 * delays[0]
    assert max(delays) <= 5


def test_progress_makes_the_delay_short_again(api, watch):
    api.streams = [text_reply("later", 503)] * 6 + [lines(done(1)), lines(done(2))]
    delays = []

    watch(2, delays=delays)

    assert delays[-1] <= 0.1 < delays[-2]


def test_refusal_is_raised(api, watch):
    api.streams = [text_reply("Resource type 'x' not found", 404)]

    with pytest.raises(ApiError, match="not found"):
        watch(1)


@pytest.mark.parametrize("broken", [b"{\n", b"[]\n", b"\xff\n", b'{"kind":"put","revision":1}\n'])
def test_broken_line_is_a_reconnect(api, watch, broken):
    api.streams = [[*lines(BEGIN, END), broken], lines(done(5))]

    assert watch(3) == [SnapshotBegin(4), SnapshotEnd(4), RevisionEnd(5)]
    assert api.asked_revisions == [None, "5"]


def test_unknown_kinds_of_a_newer_server_are_skipped(api, watch):
    api.streams = [lines({"kind": "weather", "revision": 1}, done(5))]

    assert watch(1) == [RevisionEnd(5)]


def test_lines_arrive_whole_however_they_are_cut(api, watch):
    text = b"".join(lines(BEGIN, put(1, "\u2028é"), END))
    api.streams = [[text[index : index + 7] for index in range(0, len(text), 7)]]

    events = watch(3)

    assert events[1] == ObjectPut("project", "\u2028é", 1, {"uuid": "\u2028é"})


def test_slow_consumer_holds_back_the_server(api, with_api):
    produced = 0

    async def endless():
        nonlocal produced
        while True:
            produced += 1
            yield msgspec.json.encode({**put(produced), "object": {"x": "y" * 10_000}}) + b"\n"

    api.streams = [StreamResponse(endless())]

    async def scenario(path):
        async with AsyncApiClient(unix_socket=path) as client:
            events = client.watch(["project"])
            await anext(events)
            before = -1
            while before != produced:
                before = produced
                for _ in range(200):
                    await asyncio.sleep(0)
            await events.aclose()
            return produced

    assert with_api(scenario) < 500


def test_overlong_line_is_refused_before_it_is_whole():
    buffer = LineBuffer(10)

    assert buffer.add(b"123\n456") == [b"123"]
    with pytest.raises(LineInvalid, match="10 bytes"):
        buffer.add(b"78901234567")


def test_deep_nesting_is_an_invalid_line():
    with pytest.raises(LineInvalid):
        decode_line(b'{"kind":"put","revision":1,"object":' + b'{"a":' * 100_000)
