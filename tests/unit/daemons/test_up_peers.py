"""Nodes that ``skytrail up`` is told of go to its analytics; what cannot be asked or named keeps it from starting."""

from __future__ import annotations

import pytest

from skytrail.daemons import up

PEER, HERE = "--analytics-peer", "unix:/run/other/analytics.sock"


def test_name_and_places_go_to_the_analytics_node(tmp_path):
    places = (HERE, "http://127.0.0.1:8091")
    settings = up.Settings(tmp_path, 8082, 5269, "second", analytics_peers=places)

    told = {each.name: each.arguments for each in up.commands(settings)}

    words = told["analytics"]
    assert [words[at + 1] for at, word in enumerate(words) if word == "--peer"] == list(places)
    assert all("--peer" not in line for name, line in told.items() if name != "analytics")
    for name in ("control", "analytics"):
        assert told[name][told[name].index("--name") + 1] == "second"


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        ([PEER, "http://192.0.2.1:8081"], ["another machine is asked over https"]),
        ([PEER, "https://admin:secret@node2:8081"], ["holds no name or password"]),
        ([PEER, "https://n2:8081"], ["no account", "unix:DATA/analytics.sock", "docs/cluster.md"]),
        (["--secure", PEER, "http://127.0.0.1:8081"], ["unix:DATA/analytics.sock"]),
        (["--no-history", PEER, HERE], ["needs history"]),
        (["--analytics-port", "0", PEER, HERE], ["--analytics-port 0"]),
        (["--name", "a:b"], ["--name", "'a:b' is no name of a node"]),
        (["--name", ""], ["'' is no name of a node"]),
    ],
)
def test_what_cannot_be_asked_or_named_is_refused(tmp_path, capsys, options, reasons):
    with pytest.raises(SystemExit) as ended:
        up.main(["--data", str(tmp_path / "data"), *options])

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert [reason for reason in reasons if reason not in said] == []
    assert "secret" not in said
    assert not (tmp_path / "data").exists()
