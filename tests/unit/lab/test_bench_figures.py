"""The lines benchmarks print: name, value, unit, and the ratio to a yardstick with its name."""

import json
import runpy
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
Figures = runpy.run_path(str(CHECKOUT / "bench" / "figures.py"))["Figures"]


@pytest.mark.parametrize(
    ("named", "line"),
    [
        ({}, "rate: 12 1/s"),
        ({"yardstick": 20.0}, "rate: 12 1/s (0.60 x yardstick)"),
        ({"yardstick": 20.0, "yardstick_name": "veth"}, "rate: 12 1/s (0.60 x veth)"),
    ],
)
def test_a_figure_says_what_its_ratio_is_to(tmp_path, capsys, named, line):
    figures = Figures("some", folder=tmp_path)

    figures.add("rate", 12.0, "1/s", **named)

    assert capsys.readouterr().out == f"{line}\n"
    (written,) = json.loads(figures.write().read_text())["figures"]
    assert written.get("yardstick") == named.get("yardstick")
