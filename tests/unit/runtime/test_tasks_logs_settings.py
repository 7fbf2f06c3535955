"""Supervision, logging and settings."""

import asyncio
import io
import json
import logging
import os
import random
import signal

import msgspec
import pytest
import structlog

from skytrail.runtime import logs, settings, tasks
from skytrail.runtime.backoff import Backoff


class FakeClock:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def wall(self):
        return self.seconds


@pytest.fixture
def log_stream():
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def test_failing_task_is_restarted_with_growing_delays_until_it_returns():
    delays, runs = [], []

    async def unit():
        runs.append(len(runs))
        if len(runs) < 4:
            raise OSError("no luck")

    async def sleep(seconds):
        delays.append(seconds)

    asyncio.run(
        tasks.supervise(
            "unit", unit, backoff=Backoff(rng=random.Random(3)), clock=FakeClock(), sleep=sleep
        )
    )

    assert len(runs) == 4
    assert 0.05 <= delays[0] <= 0.1 <= delays[1] <= 0.2 <= delays[2] <= 0.4


def test_long_run_makes_the_next_delay_short_again():
    clock, delays = FakeClock(), []

    async def unit():
        if len(delays) == 5:
            return
        if len(delays) == 4:
            clock.seconds += tasks.STABLE_AFTER_S
        raise OSError("no luck")

    async def sleep(seconds):
        delays.append(seconds)

    asyncio.run(tasks.supervise("unit", unit, clock=clock, sleep=sleep))

    assert delays[4] <= 0.1 < delays[3]


def test_cancellation_is_not_a_failure():
    async def scenario():
        unit = asyncio.create_task(tasks.supervise("unit", asyncio.Event().wait))
        await asyncio.sleep(0)
        unit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await unit

    asyncio.run(scenario())


def test_backoff_stays_within_its_bounds_for_ever():
    backoff = Backoff(first_s=0.1, maximum_s=3.0)

    delays = [backoff.next_delay_s() for _ in range(2000)]

    assert all(0.05 <= delay <= 3.0 for delay in delays)
    assert min(delays[10:]) >= 1.5


def test_signal_stops_a_daemon_with_status_zero_after_its_clean_up():
    cleaned = []

    async def main():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    assert tasks.run_until_signal(main) == 0
    assert cleaned == [True]


def test_failed_daemon_has_status_one_and_says_the_first_cause(capsys):
    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail():
        raise OSError("cannot listen")

    assert tasks.run_until_signal(main) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith(": cannot listen")


def test_lines_of_processes_that_share_an_output_do_not_run_together():
    written = []

    class Shared(io.StringIO):
        def write(self, text):
            written.append(text)
            return super().write(text)

    logs.configure(stream=Shared())
    structlog.get_logger().warning("said", what="a line\nof two")

    assert len(written) == 1
    assert written[0].endswith("\n")


def test_mistake_of_an_operator_is_one_line_without_traceback(capsys, log_stream):
    logs.configure(stream=log_stream)

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())

    async def fail():
        raise LookupError("the store was moved")

    assert tasks.run_until_signal(main, final=(LookupError,)) == tasks.FINAL
    (line,) = (log_stream.getvalue() + capsys.readouterr().err).splitlines()
    assert line.endswith(": the store was moved")


def test_defect_beside_an_expected_failure_is_told_with_its_traceback(capsys, log_stream):
    logs.configure(stream=log_stream)

    async def main():
        raise ExceptionGroup("both", [OSError("gone"), KeyError("defect")])

    assert tasks.run_until_signal(main) == 1
    assert "Traceback" in log_stream.getvalue()
    assert "KeyError: 'defect'" in capsys.readouterr().err


def test_same_failure_again_and_again_shows_one_traceback(log_stream):
    logs.configure(stream=log_stream)
    runs = []

    async def unit():
        runs.append(1)
        if len(runs) < 6:
            raise KeyError("defect")

    async def sleep(seconds):
        pass

    asyncio.run(tasks.supervise("unit", unit, sleep=sleep, clock=FakeClock()))

    assert log_stream.getvalue().count("task_restarting") == 5
    assert log_stream.getvalue().count("Traceback") == 1


def test_tracebacks_never_show_variables(log_stream):
    logs.configure(stream=log_stream)

    def fail(words):
        raise ValueError("broken")

    try:
        fail("correct horse " + "battery staple")
    except ValueError:
        structlog.get_logger().exception("task_failed")

    assert "ValueError: broken" in log_stream.getvalue()
    assert "horse battery" not in log_stream.getvalue()


def test_json_logs_are_one_object_per_line_without_secrets(log_stream):
    logs.configure("info", json=True, stream=log_stream)

    structlog.get_logger().info("session_established", peer="a", auth_token="t0ps3cret")
    structlog.get_logger().debug("unseen")

    (line,) = log_stream.getvalue().splitlines()
    event = json.loads(line)
    assert (event["event"], event["peer"], event["level"]) == ("session_established", "a", "info")
    assert event["auth_token"] == logs.MASK


def test_exceptions_are_part_of_their_one_line(log_stream):
    logs.configure("info", json=True, stream=log_stream)

    try:
        raise OSError("broken")
    except OSError:
        structlog.get_logger().exception("task_failed")

    (line,) = log_stream.getvalue().splitlines()
    assert "OSError: broken" in json.loads(line)["exception"]


def test_unknown_log_level_is_refused():
    with pytest.raises(ValueError, match="loud"):
        logs.configure("loud")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    port: int = 8082
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()


def test_later_sources_win_field_by_field(tmp_path):
    file = tmp_path / "x.toml"
    file.write_text('port = 1\nhost = "file"\nnames = ["a"]\n')

    loaded = settings.load(
        Settings,
        file=file,
        environment={"SKYTRAIL_PORT": "2", "SKYTRAIL_HOST": "env"},
        overrides={"port": None, "host": "line"},
    )

    assert loaded == Settings(port=2, host="line", names=("a",))


@pytest.mark.parametrize(
    ("text", "claim"),
    [("prot = 1", "unknown setting prot"), ("port = [", "cannot read"), ('port = "x"', "port")],
)
def test_wrong_settings_file_is_named_with_its_reason(tmp_path, text, claim):
    file = tmp_path / "x.toml"
    file.write_text(text)

    with pytest.raises(settings.SettingsInvalid, match=claim):
        settings.load(Settings, file=file)
