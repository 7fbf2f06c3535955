"""Brokers that ``skytrail up`` is told go to the analytics node; what cannot be used keeps it from starting."""

from pathlib import Path

import pytest

from skytrail.daemons import up
from skytrail.lab.io.machine import free_port


def test_brokers_go_to_the_analytics_node_alone(tmp_path):
    settings = up.Settings(Path(tmp_path), 8082, 5269, "node", kafka="k1:9092,k2:9092")

    told = {each.name: each.arguments for each in up.commands(settings)}

    place = told["analytics"].index("--kafka")
    assert told["analytics"][place + 1] == "k1:9092,k2:9092"
    assert all("--kafka" not in line for name, line in told.items() if name != "analytics")


@pytest.mark.parametrize("text", ["k1", "k1:0", "/nowhere/kafka.toml"])
def test_brokers_that_cannot_be_used_are_named(tmp_path, capsys, text):
    with pytest.raises(SystemExit) as ended:
        up.main(["--data", str(tmp_path), "--kafka", text])

    assert ended.value.code == 2
    assert text in capsys.readouterr().err


def test_without_brokers_the_command_starts_as_before(tmp_path, monkeypatch):
    started = []

    async def note(settings):
        started.append(settings)

    monkeypatch.setattr(up, "serve", note)

    api, control, analytics = free_port(), free_port(), free_port()
    ports = ["--api-port", str(api), "--control-port", str(control)]
    ports += ["--analytics-port", str(analytics)]

    assert up.main(["--data", str(tmp_path), *ports]) == 0
    assert [each.kafka for each in started] == [""]
