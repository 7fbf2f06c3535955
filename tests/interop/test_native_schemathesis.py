"""Schemathesis against the native API's own description: no 500, and replies as described."""

from __future__ import annotations

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

EXAMPLES = 12
TYPES = ("virtual-network", "network-policy", "instance-ip", "tag", "security-group")


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


@pytest.mark.parametrize("name", TYPES)
def test_objects_of_a_type_hold_to_the_description(address, name) -> None:
    operations = described(address, lambda path: path.startswith(f"/api/v1/{name}"))

    assert len(operations) >= 9
    exercise(operations)


def test_calls_beside_the_objects_hold_to_the_description(address) -> None:
    calls = {"plan", "transaction", "history", "change-sets", "status", "schemas", "snapshot"}
    operations = described(
        address, lambda path: path.split("/")[1:3] == ["api", "v1"] and path.split("/")[3] in calls
    )

    assert len(operations) >= 7
    exercise(operations)
