"""What commands advise when the API does not answer as it should."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.cli.hints import advice_for, scheme_problem
from skytrail.cli.session import explain
from skytrail.client import ApiError

PORT = "7d4b1c5e-55a1-4f36-8f0e-8f8f3b5d0001"


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] x", "--ca"),
        ("[SSL: WRONG_VERSION_NUMBER] x", "write http://"),
        ("Server disconnected without sending a response.", "write https://"),
        ("the API cannot serve now: store not available (status 503)", "not ready"),
        ("the answer is not one of this API: x", "not this API"),
        ("Connection refused", "skytrail up"),
    ],
)
def test_advice_fits_the_failure(failure: str, said: str) -> None:
    assert said in advice_for(failure)


def test_an_address_without_scheme_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["get", "vn", "--api", "127.0.0.1:8082"])

    assert result.exit_code == 2
    assert "write http://127.0.0.1:8082" in result.output
    assert scheme_problem("https://a") is None


def test_without_a_terminal_a_password_comes_from_a_file() -> None:
    result = CliRunner().invoke(main, ["login", "ann"], env={"SKYTRAIL_API": "http://127.0.0.1:9"})

    assert result.exit_code == 2
    assert "--password-file" in result.output


def test_a_property_without_set_is_explained() -> None:
    result = CliRunner().invoke(main, ["create", "vn", "x", "mtu=abc"])

    assert "--set FIELD=VALUE" in result.output


@pytest.mark.parametrize(
    ("type_name", "setting", "option"),
    [
        ("bgpaas", "virtual_machine_interface_refs=[a]", "--ref vmi=NAME"),
        ("vn", "virtual_network_refs=[a]", "--ref vn=NAME"),
        ("vn", "routing_policy_refs.x=1", "--ref rp=NAME"),
    ],
)
def test_a_reference_given_as_a_property_is_explained(
    type_name: str, setting: str, option: str
) -> None:
    result = CliRunner().invoke(main, ["create", type_name, "x", "--set", setting])

    assert result.exit_code == 2
    assert f"is a reference: use {option}" in result.output


@pytest.mark.parametrize(
    ("kind", "said"),
    [("project", "SKYTRAIL_PROJECT=DOMAIN:PROJECT"), ("virtual-network", "get virtual-network")],
)
def test_a_parent_that_is_not_there_comes_with_a_next_step(kind: str, said: str) -> None:
    text = f"Parent ['default-domain', 'default-project'] type {kind} does not exist"

    assert said in explain(ApiError(400, text))


@pytest.mark.parametrize("command", [["trace"], ["host", "trace"]])
@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_a_trace_of_a_protocol_with_ports_wants_one(command: list[str], protocol: str) -> None:
    result = CliRunner().invoke(main, [*command, "a", "b", protocol])

    assert result.exit_code == 2
    assert f"Name a port, as in `skytrail {' '.join(command)} a b {protocol} 80`" in result.output


@pytest.mark.parametrize("command", [["show"], ["trace", "a", "b"], ["unplug", PORT]])
def test_a_host_without_an_agent_is_told_how_to_have_one(command: list[str], tmp_path) -> None:
    place = str(tmp_path / "agent.sock")

    result = CliRunner().invoke(main, ["host", *command, "--socket", place])

    assert result.exit_code == 1
    assert place in result.output
    assert "systemctl start skytrail-agent" in result.output


def test_taking_a_lab_down_needs_root(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (tmp_path / "one").mkdir()
    text = "name: one\nhosts: [h1]\n"
    lab = {"name": "one", "source": "one.yaml", "topology_text": text, "api_port": 9}
    (tmp_path / "one" / "lab.json").write_text(json.dumps(lab))

    result = CliRunner().invoke(main, ["lab", "down", "one"])

    assert result.exit_code == 1
    assert "a lab needs root" in result.output
    assert (tmp_path / "one" / "lab.json").exists()


def test_status_passes_labs_it_cannot_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "lab.json").write_text("{")

    result = CliRunner().invoke(main, ["status", "--api", "http://127.0.0.1:9"])

    assert result.exit_code == 3
    assert "lab broken cannot be read" in result.output


def test_status_asks_the_api_that_is_named() -> None:
    result = CliRunner().invoke(main, ["status", "--api", "http://127.0.0.1:9"])

    assert result.exit_code == 3
    assert "127.0.0.1:9" in result.output
