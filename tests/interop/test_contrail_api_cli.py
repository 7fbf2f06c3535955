"""The unmodified contrail-api-cli 0.3.0 works: listing, reading, editing, linking, deleting."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from skytrail.testing.api_server import running_api_server

CLIENTS = Path(__file__).parents[2] / "build/contrail-api-cli/bin/python"
START = Path(__file__).with_name("contrail_api_cli_start.py")
PROJECT = "default-domain:default-project"
pytestmark = pytest.mark.skipif(not CLIENTS.exists(), reason="run packaging/setup.sh clients")
Cli = Callable[..., str]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_api_server(tmp_path_factory.mktemp("api")) as server:
        yield server.port


@pytest.fixture
def cli(port: int, tmp_path: Path) -> Cli:
    def run(*arguments: str, status: int = 0, **environment: str) -> str:
        command = [
            CLIENTS, "-W", "ignore", START, "--host", "127.0.0.1", "--port", str(port),
            "--config-dir", tmp_path / "conf", "--schema-version", "5.0", *arguments,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": "", **environment},
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    return run


@pytest.fixture
def made(port: int, cli: Cli, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Makes an object the way the command line does: from another one, in an editor."""

    def make(kind: str, **members: object) -> str:
        name = f"{kind}-of-{request.node.name}"
        body = {"fq_name": [*PROJECT.split(":"), name], "parent_type": "project", **members}
        call = urllib.request.Request(
            f"http://127.0.0.1:{port}/{kind}s",
            json.dumps({kind: body}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(call) as reply:
            assert reply.status == 200
        return f"{kind}/{PROJECT}:{name}"

    return make


def editor(folder: Path, before: str, after: str) -> str:
    """An editor that replaces one text and writes the file in place."""
    script = folder / "editor"
    script.write_text(
        "#!/usr/bin/env python3\n"
        "import sys\n"
        "text = open(sys.argv[1]).read()\n"
        f"changed = text.replace({before!r}, {after!r})\n"
        "assert changed != text\n"
        "open(sys.argv[1], 'w').write(changed)\n"
    )
    script.chmod(0o755)
    return str(script)


def test_ls_lists_types_and_objects(cli: Cli) -> None:
    types = cli("ls").split()
    lines = cli("ls", "-l", "virtual-network").splitlines()

    assert {"virtual-network", "virtual-DNS", "project"} <= set(types)
    assert all(re.match(r"virtual-network/[0-9a-f-]{36} +default-domain:", line) for line in lines)
    assert any(line.endswith(f"{PROJECT}:ip-fabric") for line in lines)
    assert len(cli("ls", "virtual-network").splitlines()) == len(lines)


def test_ls_finds_by_pattern_filter_and_parent(cli: Cli, made) -> None:
    path = made("virtual-network")
    name = path.rpartition(":")[2]

    assert name in cli("ls", "-l", f"virtual-network/*{name}")
    assert name in cli("ls", "-l", "-f", f"display_name={name}", "virtual-network")
    project = cli("ls", "-l", "project").split("/")[1][:36]
    assert name in cli("ls", "-l", "-P", project, "virtual-network")


def test_cat_prints_the_object(cli: Cli) -> None:
    read = json.loads(cli("cat", f"network-ipam/{PROJECT}:default-network-ipam"))

    assert read["fq_name"][-1] == "default-network-ipam"
    assert read["perms2"]["global_access"] == 5


def test_tree_shows_references_parents_and_back_references(cli: Cli, made) -> None:
    policy = made("network-policy")
    network = made("virtual-network", network_policy_refs=[{"to": policy.split("/")[1].split(":")}])

    assert policy.rpartition(":")[2] in cli("tree", network)
    assert network.rpartition(":")[2] in cli("tree", "-r", policy)
    assert "domain/" in cli("tree", "-p", network).splitlines()[-1]


def test_du_counts(cli: Cli, made) -> None:
    before = int(cli("du", "network-policy"))

    made("network-policy")

    assert int(cli("du", "network-policy")) == before + 1


def test_edit_changes_an_object(cli: Cli, made, tmp_path: Path) -> None:
    path = made("virtual-network", is_shared=False)
    program = editor(tmp_path, '"is_shared": false', '"is_shared": true')

    cli("edit", path, EDITOR=program)

    assert json.loads(cli("cat", path))["is_shared"] is True


def test_edit_makes_an_object_from_another(cli: Cli, made, tmp_path: Path) -> None:
    path = made("network-policy")
    name = path.rpartition(":")[2]

    cli("edit", "-t", path, EDITOR=editor(tmp_path, f'"{name}"', f'"{name}-2"'))

    assert json.loads(cli("cat", f"{path}-2"))["name"] == f"{name}-2"


def test_ln_links_and_unlinks(cli: Cli, made) -> None:
    network, policy = made("virtual-network"), made("network-policy")

    cli("ln", network, policy)
    linked = json.loads(cli("cat", network))["network_policy_refs"]
    cli("ln", "-r", network, policy)

    assert linked[0]["to"][-1] == policy.rpartition(":")[2]
    assert "network_policy_refs" not in json.loads(cli("cat", network))


def test_rm_refuses_what_is_referred_to_and_rm_r_takes_the_referrers_along(cli: Cli, made) -> None:
    policy = made("network-policy")
    network = made("virtual-network", network_policy_refs=[{"to": policy.split("/")[1].split(":")}])

    refused = cli("rm", "-f", policy, status=1)
    cli("rm", "-r", "-f", policy)

    assert "Delete when resource still referred: ['http://127.0.0.1" in refused
    for path in (policy, network):
        cli("cat", path, status=1)


def test_kv_keeps_notes(cli: Cli) -> None:
    cli("kv", "-a", "key", "value")

    assert json.loads(cli("kv", "-g", "key")) == [{"key": "key", "value": "value"}]
    assert {"key": "key", "value": "value"} in json.loads(cli("kv", "-l"))
    cli("kv", "-D", "key")
    assert "Unknown User-Agent key key" in cli("kv", "-g", "key", status=1)
