"""The fixtures generated inside the client library create and delete every type it knows."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from skytrail.testing.api_server import running_api_server

CLIENTS = Path(__file__).parents[2] / "build/contrail-api-cli/bin/python"
DRIVER = Path(__file__).with_name("generated_fixtures.py")
TYPES_COUNT = 120


@pytest.mark.skipif(not CLIENTS.exists(), reason="run packaging/setup.sh clients")
def test_every_generated_fixture_sets_up_and_cleans_up(tmp_path: Path) -> None:
    with running_api_server(tmp_path) as server:
        run = subprocess.run(
            [CLIENTS, DRIVER, str(server.port)], capture_output=True, text=True, check=False
        )

    assert run.returncode == 0, run.stderr
    outcomes = json.loads(run.stdout)
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "ok"} == {}
    assert len(outcomes) == TYPES_COUNT
