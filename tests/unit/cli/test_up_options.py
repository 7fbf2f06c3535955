"""``skytrail up`` takes every option of the program that it becomes, and hands it on."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from skytrail.cli.up import up

# Of the program alone: what only whoever starts it by itself sets.
ONLY_OF_THE_PROGRAM = {"--help", "--log-level"}


def test_every_option_of_the_program_is_one_of_the_command() -> None:
    usage = subprocess.run(
        [sys.executable, "-m", "skytrail.daemons.up", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = (line.split()[0] for line in usage.splitlines() if line.startswith("  -"))
    of_program = {word.rstrip(",") for word in words} - {"-h"}
    of_command = {
        name for each in up.params if isinstance(each, click.Option) for name in each.opts
    }

    assert of_program - of_command <= ONLY_OF_THE_PROGRAM


def test_options_are_handed_on(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def note(_path: str, command: list[str]) -> None:
        started.append(command)

    monkeypatch.setattr(os, "execv", note)

    given = [
        "--data", str(tmp_path), "--name", "second", "--kafka", "k1:9092,k2:9092", "--snmp", "--telemetry-port", "0",
        "--device", "192.0.2.1", "--device", "198.51.100.0/24",
        "--analytics-peer", "unix:a.sock", "--analytics-peer", "http://127.0.0.1:8081",
    ]  # fmt: skip
    result = CliRunner().invoke(up, given)

    assert result.exit_code == 0
    [command] = started
    handed_on = command[command.index("skytrail.daemons.up") + 1 :]
    assert handed_on == [
        "--data", str(tmp_path), "--name", "second", "--api-port", "8082", "--control-port", "5269",
        "--analytics-port", "8081", "--sandesh-port", "0", "--syslog-port", "0", "--sflow-port", "0",
        "--ipfix-port", "0", "--device", "192.0.2.1", "--device", "198.51.100.0/24",
        "--telemetry-port", "0", "--kafka", "k1:9092,k2:9092", "--snmp",
        "--analytics-peer", "unix:a.sock", "--analytics-peer", "http://127.0.0.1:8081",
    ]  # fmt: skip
