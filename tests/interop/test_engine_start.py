"""The embedded engine's process starts quietly, and says what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from skytrail.analytics.io.engine_start import heard, tell

HIDDEN = (
    "for place in $(mount | grep cgroup | cut -d' ' -f3 | tac); do umount -l $place; done;"
    ' exec "$@"'
)


def started(folder, *options):
    """Start the daemon where no cgroup can be seen; return what it wrote once it is ready, and ended."""
    command = [sys.executable, "-m", "skytrail.daemons.history", "--data", str(folder / "data")]
    process = subprocess.Popen(
        [
            *("unshare", "--mount", "sh", "-c", HIDDEN, "sh"),
            *(*command, "--socket", str(folder / "s"), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    process.terminate()
    out, errors = process.communicate(timeout=30)
    return first + out, errors


def test_machine_without_cgroups_is_no_news_on_the_terminal(tmp_path):
    out, errors = started(tmp_path)

    assert " ready " in out
    assert "cgroups reader" not in out + errors
    assert "warning" not in out + errors
    assert not (tmp_path / "data" / "start.log").exists()

    shown = "".join(started(tmp_path, "--log-level", "debug"))
    assert shown.count("engine_without_cgroups") == 1
    assert "Cannot find cgroups v1 or v2 current memory file" in shown


def test_second_process_on_a_folder_is_told_why(tmp_path):
    command = [sys.executable, "-m", "skytrail.daemons.history", "--data", str(tmp_path / "data")]
    first = subprocess.Popen([*command, "--socket", str(tmp_path / "s")], stdout=subprocess.PIPE)
    try:
        assert b" ready " in first.stdout.readline()
        second = subprocess.run(
            [*command, "--socket", str(tmp_path / "t")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        first.kill()
        first.communicate()

    assert second.returncode != 0
    assert "lock" in (second.stdout + second.stderr).lower()


def test_what_is_said_amid_a_failure_is_shown(tmp_path, capfd):
    def fail():
        os.write(2, b"out of everything\n")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        heard(fail, tmp_path / "said")

    os.write(2, b"as ever\n")
    assert capfd.readouterr().err == "out of everything\nas ever\n"


def test_what_is_not_known_is_a_warning(tmp_path, capfd):
    trace = (
        "Cannot use cgroups reader: Code: 107. DB::Exception\n\n0. ? @ 0x1\n (version 26.5.1.1)\n"
    )
    made, said = heard(lambda: os.write(2, f"{trace}A disk is full\n".encode()), tmp_path / "said")
    tell(said)

    assert made == len(said)
    shown = capfd.readouterr()
    assert "A disk is full" in shown.out + shown.err
    assert "warning" in shown.out + shown.err
    assert "engine_said" in shown.out + shown.err
