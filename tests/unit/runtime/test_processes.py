"""Child processes: ready line, restart, end with the parent."""

import asyncio
import os
import select
import signal
import subprocess
import sys

import pytest

from skytrail.runtime.backoff import Backoff
from skytrail.runtime.processes import Child, Command, ProcessFailed, keep_running, print_ready

TIME_LIMIT_S = 20
SERVE = "print('noise'); print('skytrail-x ready port=1', flush=True); import time; time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVE

PARENT = f"""
import asyncio, sys
from skytrail.runtime.processes import Child, Command

async def main():
    child = await Child.start(Command("x", (sys.executable, "-c", {SERVE!r})))
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def python(code, **options):
    return Command("x", (sys.executable, "-c", code), **options)


def run(scenario):
    async def limited():
        async with asyncio.timeout(TIME_LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


def test_start_waits_for_the_ready_line_and_stop_ends_it():
    async def scenario():
        child = await Child.start(python(SERVE))
        line, running = child.ready_line, child.running
        return line, running, await child.stop(), child.running

    assert run(scenario) == ("skytrail-x ready port=1", True, -signal.SIGTERM, False)


def test_child_that_ignores_the_request_is_killed_after_the_grace_time():
    async def scenario():
        child = await Child.start(python(STUBBORN))
        return await child.stop(grace_s=0.05)

    assert run(scenario) == -signal.SIGKILL


def test_child_that_ends_before_it_is_ready_is_one_error_with_its_status():
    with pytest.raises(ProcessFailed, match="status 3"):
        run(lambda: Child.start(python("raise SystemExit(3)")))


def test_child_that_never_gets_ready_is_stopped():
    command = python("import time; time.sleep(60)", ready_timeout_s=0.3)

    with pytest.raises(ProcessFailed, match="not ready within"):
        run(lambda: Child.start(command))


def test_missing_program_is_named():
    with pytest.raises(ProcessFailed, match="/nonexistent"):
        run(lambda: Child.start(Command("x", ("/nonexistent",))))


def test_killed_child_is_started_again_until_cancelled():
    async def scenario():
        started: asyncio.Queue[Child] = asyncio.Queue()
        keeper = asyncio.create_task(
            keep_running(
                python(SERVE), when_ready=started.put_nowait, backoff=Backoff(first_s=0.01)
            )
        )
        first = await started.get()
        first.kill()
        second = await started.get()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        return first.pid != second.pid, first.running, second.running

    assert run(scenario) == (True, False, False)


def test_child_dies_with_a_killed_parent():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        child_pid = int(parent.stdout.readline())
        descriptor = os.pidfd_open(child_pid)
        parent.kill()
        ended = wait_end(descriptor)

    assert ended


def wait_end(descriptor):
    try:
        return bool(select.select([descriptor], [], [], TIME_LIMIT_S)[0])
    finally:
        os.close(descriptor)


def test_ready_line_has_its_fixed_form(capsys):
    print_ready("api", port=8082, socket="/run/x")

    assert capsys.readouterr().out == "skytrail-api ready port=8082 socket=/run/x\n"
