from pathlib import Path

import pytest

from skytrail.agent.io import bpf_links
from skytrail.agent.io.bpf_links import expedited_rcu


@pytest.fixture
def knob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "rcu_expedited"
    monkeypatch.setattr(bpf_links, "RCU_EXPEDITED", path)
    return path


def refused_by_the_kernel(knob: Path) -> None:
    with expedited_rcu():
        raise OSError(f"refused while it was {knob.read_text()}")


def test_the_kernel_waits_shortly_inside_and_as_before_afterwards(knob: Path) -> None:
    knob.write_text("0\n")

    with pytest.raises(OSError, match="refused while it was 1"):
        refused_by_the_kernel(knob)

    assert knob.read_text() == "0"


def test_what_an_operator_turned_on_stays(knob: Path) -> None:
    knob.write_text("1\n")

    with expedited_rcu():
        pass

    assert knob.read_text() == "1\n"


def test_a_kernel_without_it_is_no_error(knob: Path) -> None:
    with expedited_rcu():
        entered = True

    assert entered
    assert not knob.exists()
