"""The commands of docs/cluster.md for etcd, run as they stand on three nodes in namespaces."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.testing.controller import wait_until
from skytrail.testing.etcd import CONTROL, PROGRAM

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster.md"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or PROGRAM is None or CONTROL is None, reason="no root, etcd or etcdctl"
)


def block_with(text, where):
    """Return the one shell block that has the text, moved to the test's folder."""
    blocks = re.findall(r"^   ```sh\n(.*?)^   ```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [each for each in blocks if text in each]
    for old, new in where.items():
        found = found.replace(old, new)
    return found


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def nodes():
    """Namespaces with the document's addresses on one wire."""
    prefix = f"skt{secrets.token_hex(3)}"
    names = [f"{prefix}n{number}" for number in (1, 2, 3)]
    wire = f"{prefix}w"
    try:
        for name in (wire, *names):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", wire, "link", "add", "br0", "up", "type", "bridge")
        for number, name in enumerate(names, 1):
            link = f"ip -n {wire} link add p{number} type veth peer eth0 netns {name}"
            run(*link.split())
            run(*f"ip -n {wire} link set p{number} master br0 up".split())
            run(*f"ip -n {name} address add 192.0.2.1{number}/24 dev eth0".split())
            run(*f"ip -n {name} link set eth0 up".split())
        yield names
    finally:
        for name in (wire, *names):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture(scope="module")
def cluster(nodes, tmp_path_factory):
    """Return what is where; etcd runs, and has its users."""
    folder = tmp_path_factory.mktemp("etcd")
    where = {"/etc/etcd": f"{folder}/etc", "/var/lib/etcd": f"{folder}/var"}

    def shell(node, text):
        command = ["ip", "netns", "exec", node, "bash", "-euc", text]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    made = shell(nodes[0], block_with("openssl req -x509", where))
    assert made.returncode == 0, made.stderr
    running = []
    try:
        with (folder / "log").open("w") as log:
            for number, node in enumerate(nodes, 1):
                own = {"NAME=n1": f"NAME=n{number}"}
                own["ADDRESS=192.0.2.11"] = f"ADDRESS=192.0.2.1{number}"
                own["/var/lib/etcd/skytrail"] = f"{folder}/n{number}"
                text = block_with("etcd --name", {**own, **where})
                command = ["ip", "netns", "exec", node, "bash", "-euc"]
                command.append(text.replace("etcd --name", "exec etcd --name"))
                running.append(subprocess.Popen(command, stdout=log, stderr=log))
        health = block_with("etcdctl endpoint health", where)

        def healthy():
            told = shell(nodes[0], health)
            return (told.stdout + told.stderr).count("is healthy") == 3

        wait_until(healthy, f"three healthy members; see {folder}/log")
        made = shell(nodes[0], f"{health}\n{block_with('etcdctl user add', where)}")
        assert made.returncode == 0, made.stdout + made.stderr
        yield where
    finally:
        for each in running:
            each.kill()
            each.wait()


def api_line(node, where, name, tmp_path):
    (line,) = re.findall(r"`STORE=(etcd:[^`]*)`", DOCUMENT.read_text())
    folder = where["/etc/etcd"]
    for old, new in (
        ("/etc/skytrail/etcd-ca.pem", f"{folder}/ca.pem"),
        ("/etc/skytrail/etcd.pem", f"{folder}/{name}.pem"),
        ("/etc/skytrail/etcd.key", f"{folder}/{name}.key"),
        *((f"n{each}:", f"192.0.2.1{each}:") for each in (1, 2, 3)),
    ):
        line = line.replace(old, new)
    socket = tmp_path / "api.sock"
    options = ["--store", line, "--port", "0", "--socket", str(socket)]
    return [
        "ip",
        "netns",
        "exec",
        node,
        sys.executable,
        "-m",
        "skytrail.daemons.api",
        *options,
    ], socket


def test_an_api_with_the_users_certificate_works_on_the_cluster(nodes, cluster, tmp_path):
    command, socket = api_line(nodes[0], cluster, "skytrail", tmp_path)
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert " ready" in running.stdout.readline(), (tmp_path / "log").read_text()
        with ApiClient(unix_socket=str(socket)) as client:
            client.create("project", {"fq_name": ["default-domain", "p"], "parent_type": "domain"})
            assert client.name_to_id("project", ["default-domain", "p"])
    finally:
        running.terminate()
        running.wait()
        running.stdout.close()


def test_a_member_s_certificate_opens_nothing(nodes, cluster, tmp_path):
    command, _ = api_line(nodes[0], cluster, "n1", tmp_path)
    refused = subprocess.run(
        command, capture_output=True, text=True, check=False, env=dict(os.environ), timeout=60
    )
    assert refused.returncode != 0
    assert "does not know user" in refused.stderr or "permission" in refused.stderr.lower()
