"""The systemd units' own command lines, secured as the three-node layout says, on one machine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from skytrail.client import Access, ApiClient, ApiError
from skytrail.client.messages import Call
from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.testing.controller import wait_until
from skytrail.testing.etcd import CONTROL, PROGRAM, EtcdCluster, EtcdFiles

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
PROJECT = ["default-domain", "default-project"]
SECURITY = """
authentication = ["local", "certificates"]
[[certificates]]
subject = "component"
user = "component"
roles = ["skytrail-system"]
"""

pytestmark = pytest.mark.skipif(PROGRAM is None or CONTROL is None, reason="no etcd, no etcdctl")


def command_of(unit: str, settings: dict[str, str], run: Path) -> list[str]:
    """What systemd would run: ${X} stays one word, $X becomes words; our Python, our folder."""
    line = re.search(
        r"^ExecStart=(.*)$", (UNITS / f"skytrail-{unit}.service").read_text(), re.MULTILINE
    )
    assert line is not None
    words: list[str] = []
    for word in shlex.split(line[1]):
        if re.fullmatch(r"\$\w+", word):
            words += shlex.split(settings.get(word[1:], ""))
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda found: settings[found[1]], word))
    assert words[0] == "/opt/skytrail/bin/python"
    return [sys.executable, *(word.replace("/run/", f"{run}/") for word in words[1:])]


class Node:
    """The processes of one node."""

    def __init__(self, run: Path, stack: ExitStack) -> None:
        self.run, self._stack = run, stack

    def start(self, unit: str, settings: dict[str, str], *more: str) -> str:
        """Start a unit; return its ready line."""
        (self.run / f"skytrail-{unit}").mkdir(exist_ok=True)
        log = self._stack.enter_context((self.run / f"{unit}.log").open("a"))
        running = subprocess.Popen(
            [*command_of(unit, settings, self.run), *more],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        self._stack.callback(running.stdout.close)
        self._stack.callback(running.wait)
        self._stack.callback(running.terminate)
        ready = running.stdout.readline()
        assert " ready" in ready, (self.run / f"{unit}.log").read_text()
        return ready

    def log(self, unit: str) -> str:
        return (self.run / f"{unit}.log").read_text()

    def page(self, unit: str, path: str) -> httpx.Response:
        socket = self.run / f"skytrail-{unit}" / f"{unit}.sock"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
            return client.get(f"http://{unit}{path}")


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[Node]:
    with ExitStack() as stack:
        yield Node(tmp_path_factory.mktemp("node"), stack)


@pytest.fixture(scope="module")
def secured(node, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """An API over TLS with logins, on an etcd with TLS and users: its URL and its files."""
    etcd, own = tmp_path_factory.mktemp("etcd"), tmp_path_factory.mktemp("own")
    files = EtcdFiles(tmp_path_factory.mktemp("etcd-files"))
    authority = Authority(own)
    authority.issue(own / "api.pem", own / "api.key", "api", hosts=["127.0.0.1"])
    authority.issue(own / "component.pem", own / "component.key", "component")
    (own / "api.toml").write_text(SECURITY)
    (own / "etcd-password").write_text("etcd's own\n")
    with EtcdCluster(etcd, files=files) as cluster:
        cluster.enable_auth("skytrail", own / "etcd-password")
        store = f"etcd://{cluster.members[0].endpoint}?ca={files.ca}"
        store += f"&cert={files.client_certificate}&key={files.client_key}"
        store += f"&user=skytrail&password-file={own / 'etcd-password'}"
        options = f"--security {own}/api.toml --tls-certificate {own}/api.pem"
        options += f" --tls-key {own}/api.key --tls-client-ca {own}/ca.pem"
        settings = {"STORE": store, "HOST": "127.0.0.1", "PORT": "0", "OPTIONS": options}
        ready = node.start("api", settings)
        port = re.search(r"port=(\d+)", ready)
        assert port is not None
        with ApiClient(unix_socket=str(node.run / "skytrail-api" / "api.sock")) as root:
            for name, roles in (("admin", ["admin"]), ("component", ["skytrail-system"])):
                body = {"password": f"{name} password", "roles": roles}
                root.call(Call("PUT", f"/api/v1/users/{name}", body=body))
        yield f"https://127.0.0.1:{port[1]}", own


def token_of(url: str, own: Path, name: str) -> str:
    with ApiClient(url, access=Access(ca_file=own / "ca.pem")) as client:
        body = {"user": name, "password": f"{name} password"}
        return json.loads(client.call(Call("POST", "/api/v1/login", body=body)))["token"]


def compiled(client: ApiClient, network: str) -> bool:
    """Whether the network has a routing instance with a route target."""
    instances = client.list("routing-instance")
    uuids = [each["uuid"] for each in instances if each["fq_name"][-1] == network]
    return any(client.read("routing-instance", uuid).get("route_target_refs") for uuid in uuids)


def test_a_secured_cluster_compiles_a_port_and_hands_it_to_a_control_node(secured, node) -> None:
    url, own = secured
    (own / "token").write_text(token_of(url, own, "component"))
    by_token = f"--api-ca {own}/ca.pem --api-token-file {own}/token"
    by_certificate = f"--api-ca {own}/ca.pem --api-certificate {own}/component.pem"
    by_certificate += f" --api-key {own}/component.key"
    node.start("compiler", {"API": url, "OPTIONS": by_token})
    control = {"API": url, "OPTIONS": by_certificate, "NAME": "c1", "LISTEN": "127.0.0.1"}
    node.start("control", control, "--port", "0")

    access = Access(ca_file=own / "ca.pem", token=token_of(url, own, "admin"))
    with ApiClient(url, access=access) as client:
        network = [*PROJECT, "red"]
        client.create("virtual-network", {"fq_name": network, "parent_type": "project"})
        port = client.create(
            "virtual-machine-interface",
            {
                "fq_name": [*PROJECT, "port"],
                "parent_type": "project",
                "virtual_network_refs": [{"to": network}],
            },
        )

        wait_until(lambda: compiled(client, "red"), "the compiler's route target")
        found = client.read("virtual-machine-interface", port)
        assert found["routing_instance_refs"][0]["to"] == [*network, "red"]
    vrf = ":".join([*network, "red"])
    wait_until(
        lambda: vrf in node.page("control", "/introspect/instances").text, "the control node"
    )
    for unit in ("compiler", "control"):
        assert node.page(unit, "/healthz").status_code == 200


def test_a_component_with_a_wrong_token_reads_nothing_and_says_why(secured, node, tmp_path) -> None:
    url, own = secured
    (tmp_path / "token").write_text("skt_wrong")
    options = f"--api-ca {own}/ca.pem --api-token-file {tmp_path}/token"
    with ExitStack() as stack:
        other = Node(tmp_path, stack)
        other.start("compiler", {"API": url, "OPTIONS": options})
        wait_until(lambda: "401" in other.log("compiler"), "the refusal to be logged")
        assert other.page("compiler", "/healthz").status_code == 503
        assert "skt_wrong" not in other.log("compiler")


def test_nobody_works_there_without_an_identity(secured) -> None:
    url, own = secured
    with (
        ApiClient(url, access=Access(ca_file=own / "ca.pem")) as client,
        pytest.raises(ApiError) as refusal,
    ):
        client.list("virtual-network")
    assert refusal.value.status == 401


def test_no_secret_is_in_the_logs_of_the_processes(secured, node) -> None:
    _, own = secured
    secrets = ["etcd's own", "admin password", "component password"]
    secrets.append((own / "token").read_text())
    for unit in ("api", "compiler", "control"):
        assert [each for each in secrets if each in node.log(unit)] == []


def test_skytrail_up_secured_on_a_secured_etcd_compiles_a_port(tmp_path) -> None:
    """What an operator types: TLS and logins on both sides, nothing but options."""
    files = EtcdFiles(tmp_path / "files")
    for name in ("etcd", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "password").write_text("etcd's own\n")
    with EtcdCluster(tmp_path / "etcd", files=files, wants_certificate=False) as cluster:
        cluster.enable_auth("skytrail", tmp_path / "password")
        store = f"etcd://{cluster.members[0].endpoint}?ca={files.ca}"
        store += f"&user=skytrail&password-file={tmp_path / 'password'}"
        ports = [free_port(), free_port()]
        command = [
            sys.executable, "-m", "skytrail.daemons.up", "--data", str(tmp_path / "data"),
            "--store", store, "--secure", "--api-port", str(ports[0]),
            "--control-port", str(ports[1]), "--analytics-port", "0",
        ]  # fmt: skip
        with (tmp_path / "up.log").open("a") as log:
            running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            ready = running.stdout.readline()
            assert " ready" in ready, (tmp_path / "up.log").read_text()
            security = tmp_path / "data" / "security"
            access = Access(
                ca_file=security / "ca.pem",
                user="admin",
                password_file=security / "admin-password",
            )
            with ApiClient(f"https://127.0.0.1:{ports[0]}", access=access) as client:
                network = [*PROJECT, "red"]
                client.create("virtual-network", {"fq_name": network, "parent_type": "project"})
                wait_until(lambda: compiled(client, "red"), "the compiler's route target")
        finally:
            running.terminate()
            running.wait()
            running.stdout.close()
