"""The bindings compile, and one example in three languages prints the same against a real API.

Java and Go need their compilers; where one is missing, its test says so and is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from skytrail.testing.controller import running_controller

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "clients"
EXPECTED = """\
created example with gateway 10.9.0.254
created again: conflict
read default-domain:default-project:example with mtu 1400
listed example
changed mtu to none, shared to true
watch tells of example
deleted, not found any more
"""

EXPECTED_CHANGES = """\
planned, would derive: routing-instance
committed: changed, created
accepted: true
listed page by page: second, first
counted: 2
history: mtu from 1400 to 9000
a revision before: 1400
reverted: 1400
overtaken: /operations/0
change set: changed, deleted
watch resumes: first with mtu 9000
watch resumes: second with mtu 9000
"""
PROGRAMS = pytest.mark.parametrize(
    ("program", "expected"), [("networks", EXPECTED), ("changes", EXPECTED_CHANGES)]
)

needs_java = pytest.mark.skipif(shutil.which("javac") is None, reason="javac is not installed")
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running_controller(tmp_path_factory.mktemp("bindings")) as controller:
        yield controller.api_url


@pytest.fixture(scope="module")
def java_classes(tmp_path_factory):
    """Compiles the whole binding and the example; a warning is a failure."""
    folder = tmp_path_factory.mktemp("classes")
    sources = [*(ROOT / "bindings" / "java").rglob("*.java"), *(EXAMPLES / "java").glob("*.java")]
    quick = ("-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC")
    run("javac", *quick, "--release", "17", "-Xlint:all", "-Werror", "-d", folder, *sources)
    return folder


@pytest.fixture(scope="module")
def go_environment():
    """Nothing is downloaded; what is built is kept, because the standard library takes longest."""
    folder = ROOT / "build" / "go"
    return {
        **os.environ,
        "GOCACHE": str(folder / "cache"),
        "GOPATH": str(folder / "path"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@PROGRAMS
def test_python_example_runs(url, program, expected):
    assert run(sys.executable, EXAMPLES / "python" / f"{program}.py", url) == expected


@needs_java
@PROGRAMS
def test_java_binding_compiles_without_warnings_and_its_example_runs(
    url, java_classes, program, expected
):
    assert run("java", "-cp", java_classes, program.capitalize(), url) == expected


@needs_java
@pytest.mark.parametrize("name", ["JsonTest", "ConnectionTest"])
def test_java_runtime_keeps_its_promises(java_classes, name):
    assert run("java", "-cp", java_classes, f"skytrail.client.{name}") == "all hold\n"


@needs_go
def test_go_binding_is_formatted_vetted_and_passes_its_tests(go_environment):
    binding = ROOT / "bindings" / "go"

    assert run("gofmt", "-l", binding, EXAMPLES / "go") == ""
    run("go", "vet", "./...", cwd=binding, env=go_environment)
    run("go", "test", "./...", cwd=binding, env=go_environment)


@needs_go
@PROGRAMS
def test_go_example_runs(url, go_environment, program, expected):
    folder = EXAMPLES / "go"

    assert run("go", "run", f"./{program}", url, cwd=folder, env=go_environment) == expected
