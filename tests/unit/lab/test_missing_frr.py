"""A lab that needs FRR says so before anything is created."""

import pytest

from skytrail.lab import service
from skytrail.lab.io import frr
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError

BASE = "name: needs\nhosts: [h1]\n"
PARTS = {
    "gw1": "gateways: [{name: gw1, network: 'd:p:n', outside: 198.51.100.0/24}]\n",
    "pe2": "routers: [{name: pe2, host: h1, port: 'd:p:r', behind: 10.0.0.0/8, autonomous_system: 65010}]\n",
    "underlay": "underlay: {switch: {autonomous_system: 65100, outside: 192.0.2.0/24}}\n",
}


@pytest.fixture
def without_frr(monkeypatch, tmp_path):
    """A machine where FRR was never installed; this one may have it."""
    monkeypatch.setattr(frr, "PROGRAMS", tmp_path / "usr-lib-frr")
    monkeypatch.setattr(service.os, "geteuid", lambda: 0)
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path / "labs"))
    return tmp_path


@pytest.mark.parametrize("name", PARTS)
def test_what_needs_frr_is_named_with_what_to_do(without_frr, name):
    file = without_frr / "topology.yaml"
    file.write_text(BASE + PARTS[name])

    with pytest.raises(LabError, match=r"packaging/setup\.sh packages") as refused:
        Lab.create(file)

    assert str(refused.value).startswith(f"{name} of {file} need FRR")
    assert not (without_frr / "labs").exists()


def test_routers_with_static_routes_need_none(without_frr):
    file = without_frr / "topology.yaml"
    file.write_text(BASE + "routers: [{name: r, host: h1, port: 'd:p:r', behind: 10.0.0.0/8}]\n")

    assert Lab.create(file, name="needsnone").name == "needsnone"
