"""Real processes over TLS: the whole controller, the command line, the unmodified client."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from skytrail.client import Access, ApiClient, ApiError, ApiUnavailable
from skytrail.client.messages import Call
from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.testing.controller import Daemons, wait_until
from skytrail.testing.keystone import FakeKeystone
from skytrail.testing.served import served

PROJECT = ["default-domain", "default-project"]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """``skytrail up --secure``: its URL and data folder."""
    folder = tmp_path_factory.mktemp("secure")
    port, control = free_port(), free_port()
    arguments = ("--data", str(folder / "data"), "--secure")
    arguments += ("--api-port", str(port), "--control-port", str(control))
    arguments += ("--analytics-port", "0")
    with Daemons(folder) as daemons:
        assert daemons.start("up", *arguments)["api"] == f"https://127.0.0.1:{port}"
        yield f"https://127.0.0.1:{port}", folder / "data"


def cli(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SKYTRAIL_")}
    environment = {**kept, "SKYTRAIL_CONFIG": str(folder / "config.toml"), **variables}
    return subprocess.run(
        [sys.executable, "-m", "skytrail.cli", *arguments],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip


def test_the_first_start_makes_secrets_only_their_owner_reads(controller) -> None:
    _, data = controller
    folder = data / "security"

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("ca.key", "server.key", "admin-password", "api.toml"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_nobody_gets_in_without_logging_in_or_with_a_foreign_authority(controller) -> None:
    url, data = controller
    access = Access(ca_file=data / "security/ca.pem")
    with ApiClient(url, access=access) as client, pytest.raises(ApiError) as refusal:
        client.list("project")
    assert refusal.value.status == 401
    with ApiClient(url) as client, pytest.raises(ApiUnavailable):
        client.list("project")


def test_the_command_line_logs_in_and_works(controller, tmp_path) -> None:
    url, data = controller
    security = data / "security"
    told = cli(tmp_path, "get", "vn", "--api", url, "--ca", str(security / "ca.pem"))
    assert (told.returncode, "skytrail login" in told.stderr) == (1, True)

    logged_in = cli(
        tmp_path, "login", "admin", "--api", url, "--ca", str(security / "ca.pem"),
        "--password-file", str(security / "admin-password"),
    )  # fmt: skip
    assert logged_in.returncode == 0, logged_in.stderr
    assert stat.S_IMODE((tmp_path / "config.toml").stat().st_mode) == 0o600

    listed = cli(tmp_path, "get", "vn")
    assert listed.returncode == 0, listed.stderr
    assert "ip-fabric" in listed.stdout


def test_the_command_line_keeps_users(controller, tmp_path) -> None:
    _, data = controller
    socket_path = str(data / "api.sock")
    secret = tmp_path / "secret"
    secret.write_text("a long password\n")
    run = ("--api-socket", socket_path, "user")

    added = cli(
        tmp_path, *run, "add", "ann", "--role", "member", "--password-file", str(secret),
        "--project", ":".join(PROJECT),
    )  # fmt: skip
    assert added.returncode == 0, added.stderr
    listed = cli(tmp_path, *run, "list", "--json")
    assert {user["name"] for user in json.loads(listed.stdout)["users"]} == {"admin", "ann"}
    secret.write_text("a longer password\n")
    changed = cli(tmp_path, *run, "password", "ann", "--password-file", str(secret))
    assert changed.returncode == 0, changed.stderr
    assert cli(tmp_path, *run, "remove", "ann").returncode == 0
    assert "ann" not in cli(tmp_path, *run, "list").stdout


def test_the_compiler_and_the_control_node_work_over_tls(controller, tmp_path) -> None:
    url, data = controller
    security = data / "security"
    secret = tmp_path / "secret"
    secret.write_text("component password")
    with ApiClient(unix_socket=str(data / "api.sock")) as client:
        body = {"password": "component password", "roles": ["skytrail-system"]}
        client.call(Call("PUT", "/api/v1/users/component", body=body))
    identity = ("--api-ca", str(security / "ca.pem"), "--api-user", "component")
    identity += ("--api-password-file", str(secret))

    with Daemons(tmp_path) as daemons:
        daemons.start("compiler", "--api", url, "--socket", tmp_path / "c", *identity)
        daemons.start(
            "control", "--api-url", url, "--name", "x", "--listen", "127.0.0.1",
            "--port", "0", "--socket", tmp_path / "n", *identity,
        )  # fmt: skip
        for name in ("c", "n"):
            wait_until(lambda name=name: healthy(tmp_path / name), f"{name} to see the API")


def healthy(path: Path) -> bool:
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            return client.get("http://x/healthz").status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def api(folder: Path, *arguments: str) -> Iterator[str]:
    """An API server alone; gives its port."""
    fixed = ("--data", str(folder / "store"), "--port", "0", "--socket", str(folder / "api.sock"))
    with Daemons(folder) as daemons:
        yield daemons.start("api", *fixed, *arguments)["port"]


@pytest.fixture
def encrypted(tmp_path: Path) -> tuple[str, ...]:
    authority = Authority(tmp_path)
    files = tmp_path / "server.pem", tmp_path / "server.key"
    authority.issue(*files, "server", hosts=["localhost", "127.0.0.1"])
    return ("--tls-certificate", str(files[0]), "--tls-key", str(files[1]))


def use(client, vnc_api, name: str) -> None:
    """Create, read, list and delete a network with the unmodified client."""
    project = client.project_read(fq_name=PROJECT)
    network = vnc_api.VirtualNetwork(name, project)
    client.virtual_network_create(network)
    assert client.virtual_network_read(id=network.uuid).name == name
    listed = client.virtual_networks_list(parent_id=project.uuid)["virtual-networks"]
    assert network.uuid in {item["uuid"] for item in listed}
    client.virtual_network_delete(id=network.uuid)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS")
def test_the_unmodified_client_works_over_https(encrypted, tmp_path) -> None:
    vnc_api = pytest.importorskip("vnc_api.vnc_api")
    with api(tmp_path, *encrypted) as port:
        for how in ({"apicafile": str(tmp_path / "ca.pem")}, {"apiinsecure": True}):
            client = vnc_api.VncApi(
                api_server_host="localhost", api_server_port=port,
                api_server_use_ssl=True, auth_type="noauth", **how,
            )  # fmt: skip
            use(client, vnc_api, "over-https")


def test_the_unmodified_client_works_over_https_with_keystone(encrypted, tmp_path) -> None:
    vnc_api = pytest.importorskip("vnc_api.vnc_api")
    keystone = FakeKeystone()
    keystone.add("svc", "service pw", "service", "service")
    keystone.add("boss", "pw", "admin", "admin")
    ann = keystone.add("ann", "pw", "red", "member")
    (tmp_path / "password").write_text("service pw\n")
    with served(keystone.app) as url:
        settings = f"""
            authentication = ["keystone"]
            [keystone]
            url = "{url}/v3"
            user = "svc"
            password_file = "{tmp_path / "password"}"
        """
        (tmp_path / "security.toml").write_text(settings)
        with api(tmp_path, *encrypted, "--security", str(tmp_path / "security.toml")) as port:

            def client_of(user: str, project: str):
                return vnc_api.VncApi(
                    username=user, password="pw", tenant_name=project,
                    api_server_host="localhost", api_server_port=port,
                    api_server_use_ssl=True, apicafile=str(tmp_path / "ca.pem"),
                    auth_type="keystone", auth_url="/v3/auth/tokens",
                    auth_protocol="http", auth_host="127.0.0.1", auth_port=url.rpartition(":")[2], domain_name="Default",
                )  # fmt: skip

            boss = client_of("boss", "admin")
            use(boss, vnc_api, "by-boss")
            assert boss.get_aaa_mode() == {"aaa-mode": "rbac"}
            with pytest.raises(vnc_api.PermissionDenied):
                client_of("ann", "red").virtual_networks_list()
            rules = vnc_api.RbacRuleEntriesType(
                [vnc_api.RbacRuleType("*", None, [vnc_api.RbacPermType("member", "CRUD")])]
            )
            system = boss.global_system_config_read(fq_name=["default-global-system-config"])
            boss.api_access_list_create(
                vnc_api.ApiAccessList("members", system, api_access_list_entries=rules)
            )
            own = client_of("ann", "red")
            project = own.project_read(fq_name=["default-domain", "red"])
            assert project.uuid.replace("-", "") == keystone.project_id("red")
            network = vnc_api.VirtualNetwork("ann-net", project)
            own.virtual_network_create(network)
            assert [n["uuid"] for n in own.virtual_networks_list()["virtual-networks"]] == [
                network.uuid
            ]
            with pytest.raises(vnc_api.NoIdError):
                own.virtual_network_read(fq_name=[*PROJECT, "ip-fabric"])
            assert ann.name == "ann"
            # A token that ended is replaced by the client itself after our 401.
            keystone.revoke_all()
            own._auth_token = own._headers["X-AUTH-TOKEN"] = "stale"
            assert own.virtual_network_read(id=network.uuid).name == "ann-net"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "without authentication"),
        (("--tls-key", "x"), "given together"),
        (("--security", "/nonexistent"), "cannot read security settings"),
        (("--tls-client-ca", "x"), "needs --tls-certificate"),
    ],
)
def test_unsafe_or_broken_settings_do_not_start(tmp_path, arguments, said) -> None:
    command = [sys.executable, "-m", "skytrail.daemons.api", "--data", str(tmp_path), "--port", "0"]

    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("authentication = ['locl']", "authentication"),
        ("authentikation = ['local']", "authentikation"),
        ("authentication = ['keystone']", "[keystone] section"),
        (
            "authentication = ['oidc']\n[oidc]\nissuer='x'\naudience='y'\nalgorithms=['HS256']",
            "HS256",
        ),
        ("authentication = ['certificates']", "[[certificates]]"),
        ("token_lifetime_s = 1", "token_lifetime_s"),
    ],
)
def test_broken_security_settings_are_named(tmp_path, settings, said) -> None:
    (tmp_path / "s.toml").write_text(settings)
    command = [sys.executable, "-m", "skytrail.daemons.api", "--data", str(tmp_path), "--port", "0"]

    done = subprocess.run(
        [*command, "--security", str(tmp_path / "s.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
