"""Which lab is meant when a command names none."""

from __future__ import annotations

import pytest

from skytrail.lab import labs, state
from skytrail.lab.state import LabError, LabState


@pytest.fixture
def up(tmp_path, monkeypatch):
    """Return what writes the state of labs, in a folder of their own."""
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    monkeypatch.delenv(labs.VARIABLE, raising=False)

    def write(*names: str) -> None:
        for name in names:
            state.write(LabState(name=name, source="t.yaml", topology_text="", api_port=8082))

    return write


def test_the_only_lab_is_meant(up) -> None:
    up("one")

    assert state.chosen_name() == "one"


def test_of_several_labs_the_variable_chooses(up, monkeypatch) -> None:
    up("one", "two")
    monkeypatch.setenv(labs.VARIABLE, "two")

    assert state.chosen_name() == "two"


def test_several_labs_are_named_with_how_to_choose(up) -> None:
    up("one", "two")

    with pytest.raises(LabError, match=r"one, two; choose one: --lab NAME or SKYTRAIL_LAB=NAME"):
        state.chosen_name()


def test_a_lab_that_is_not_up_is_not_replaced_by_the_one_that_is(up, monkeypatch) -> None:
    up("one")
    monkeypatch.setenv(labs.VARIABLE, "gone")

    with pytest.raises(LabError, match=r"'gone'.*SKYTRAIL_LAB.*one"):
        state.chosen_name()
