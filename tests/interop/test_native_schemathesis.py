"""Schemathesis against the API's own description: no 500, and replies as described.

Every run takes another few types, by the date (SKYTRAIL_FUZZ_DAY repeats a run); `make fuzz` and
`make nightly` take all of them.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from skytrail.api import home
from skytrail.model.catalog import CATALOG

ALL = sorted(CATALOG.objects)
NIGHTLY = "SKYTRAIL_NIGHTLY" in os.environ
EXAMPLES = 12
TYPES_PER_RUN = 5


def types_of_run() -> list[str]:
    """All types at night, else one that matters most and those whose turn it is."""
    if NIGHTLY:
        return ALL
    today = dt.datetime.now(dt.UTC).date().toordinal()
    day = int(os.environ.get("SKYTRAIL_FUZZ_DAY", today))
    turn = [ALL[(day * TYPES_PER_RUN + place) % len(ALL)] for place in range(TYPES_PER_RUN)]
    return list(dict.fromkeys(["virtual-network", *turn]))


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("api")
    command = [sys.executable, "-m", "skytrail.daemons.api", "--data", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        words = process.stdout.readline().decode().split()
        port = next(word.partition("=")[2] for word in words if word.startswith("port="))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def described(address: str, wanted) -> list:
    """Operations of the description whose path is wanted."""
    document = httpx.get(f"{address}/openapi.json", timeout=30).json()
    document["paths"] = {path: item for path, item in document["paths"].items() if wanted(path)}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=address)
    return [result.ok() for result in schema.get_all_operations()]


def exercise(operations: list) -> None:
    checks = (not_a_server_error, response_schema_conformance, status_code_conformance)
    for operation in operations:

        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.seed(7)
        @hypothesis.given(case=operation.as_strategy())
        def holds(case) -> None:
            case.call_and_validate(checks=checks, timeout=20)

        holds()


@pytest.mark.parametrize("name", types_of_run())
def test_objects_of_a_type_hold_to_the_description(address, name) -> None:
    operations = described(address, lambda path: path.split("/")[1:4] == ["api", "v1", name])

    assert len(operations) >= 9
    exercise(operations)


@pytest.mark.parametrize("name", types_of_run())
def test_compatible_calls_of_a_type_hold_to_the_description(address, name) -> None:
    paths = {name, f"{name}s"}
    operations = described(address, lambda path: path.split("/")[1] in paths)

    assert len(operations) >= 5
    exercise(operations)


def test_calls_beside_the_objects_hold_to_the_description(address) -> None:
    calls = {
        "plan", "transaction", "history", "change-sets", "status", "schemas", "snapshot",
        "elections", "whoami", "explain-access", "allocate", "free", "search",
    }  # fmt: skip
    operations = described(
        address, lambda path: path.split("/")[1:3] == ["api", "v1"] and path.split("/")[3] in calls
    )

    assert len(operations) >= 24
    exercise(operations)


def test_actions_of_the_compatible_api_hold_to_the_description(address) -> None:
    # A stream never ends; a mode that asks who is there would end the run.
    left_out = {"watch", "aaa-mode"}
    names = {path.partition("/")[0] for _, path, _ in home.ACTIONS} - left_out - {"virtual-network"}
    operations = described(address, lambda path: path.split("/")[1] in names)

    assert len(operations) >= 20
    exercise(operations)
