"""Commands under test see no lab, login or variable of this machine."""

import pytest


@pytest.fixture(autouse=True)
def nothing_of_this_machine(tmp_path_factory, monkeypatch) -> None:
    folder = tmp_path_factory.mktemp("cli")
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(folder / "labs"))
    monkeypatch.setenv("SKYTRAIL_CONFIG", str(folder / "config.toml"))
    for variable in ("SKYTRAIL_LAB", "SKYTRAIL_API", "SKYTRAIL_API_SOCKET"):
        monkeypatch.delenv(variable, raising=False)
