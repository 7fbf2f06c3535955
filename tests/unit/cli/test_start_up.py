"""Commands that only ask the API do not load what labs need: each would start a third slower."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["get", "apply", "describe", "plan", "login"])
def test_commands_for_the_api_load_no_lab(command: str) -> None:
    program = f"import sys, skytrail.cli.{command}; print(*sys.modules)"

    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    loaded = finished.stdout.split()
    assert f"skytrail.cli.{command}" in loaded
    assert [name for name in loaded if name.startswith(("skytrail.lab.io", "skytrail.lab.s"))] == []
