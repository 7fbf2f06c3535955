"""Which analytics node is asked, and what of a question is refused."""

from __future__ import annotations

import json
import socket
import threading

import click
import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.cli.alarms import _under_parents, alarms
from skytrail.cli.analytics import _print_entity
from skytrail.cli.analytics_gaps import lines
from skytrail.cli.analytics_node import (
    DEFAULT_URL,
    VARIABLE,
    Analytics,
    NodePlace,
    NotKnown,
    node_places,
)
from skytrail.cli.analytics_tables import full_network_name, stats
from skytrail.cli.place import API_VARIABLE, SOCKET_VARIABLE
from skytrail.cli.session import Refused
from skytrail.lab import state
from skytrail.lab.labs import VARIABLE as LAB_VARIABLE
from skytrail.lab.state import LabState

TABLE = "StatTable.UveVirtualNetworkAgent.vn_stats"


@pytest.fixture(autouse=True)
def labs(tmp_path, monkeypatch):
    """Return what writes the state of labs, name=port of the node, in a folder of their own."""
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    monkeypatch.setenv("SKYTRAIL_CONFIG", str(tmp_path / "config.toml"))
    for variable in (VARIABLE, LAB_VARIABLE, API_VARIABLE, SOCKET_VARIABLE, "SKYTRAIL_PROJECT"):
        monkeypatch.delenv(variable, raising=False)

    def write(**ports: int) -> None:
        for name, port in ports.items():
            state.write(
                LabState(
                    name=name, source="t", topology_text="", api_port=8082, analytics_port=port
                )
            )

    return write


class Told(Analytics):
    """A node that answers from a dictionary of paths."""

    def __init__(self, answers):
        self.answers = answers

    def call(self, method, path, body=None):
        return self.answers[path]


def test_gaps_are_said_with_their_time_place_and_reason():
    gap = {"T": 0, "Until": 90_000_000, "Source": "h1", "Kind": "all", "Reason": "node_was_down"}

    (line,) = lines([{**gap, "Count": 0}])
    assert line.endswith("1970-01-01 00:00:00 to 1970-01-01 00:01:30, h1: node was down")
    assert lines([{**gap, "Count": 7}])[0].endswith("node was down, 7 lost")
    assert lines([gap] * 7)[-1] == "... and 2 gaps before; GapTable has them all"
    assert "\x1b" not in lines([{**gap, "Source": "\x1b[2J"}])[0]


def networks(*names):
    return Told({"/analytics/uves/virtual-networks": [{"name": each} for each in names]})


def test_without_labs_the_controller_of_this_machine_is_asked(labs, capsys) -> None:
    labs(plain=0)

    assert node_places(None, None) == [NodePlace(DEFAULT_URL)]
    assert not capsys.readouterr().err


def test_the_only_lab_with_a_node_is_asked_and_named(labs, capsys) -> None:
    labs(plain=0, demo=9001)

    assert node_places(None, None) == [NodePlace("http://127.0.0.1:9001")]
    assert "lab demo" in capsys.readouterr().err


def test_a_lab_that_cannot_be_read_is_named_and_passed(labs, tmp_path, capsys) -> None:
    labs(demo=9001, broken=9002)
    (tmp_path / "broken" / "lab.json").write_text("{")

    assert node_places(None, None) == [NodePlace("http://127.0.0.1:9001")]
    assert "lab broken cannot be read" in capsys.readouterr().err
    with pytest.raises(Refused, match="lab broken cannot be read"):
        node_places(None, "broken")


def test_several_labs_with_nodes_are_named_and_none_is_asked(labs) -> None:
    labs(east=9001, west=9002, plain=0)

    with pytest.raises(Refused, match=r"east, west; choose one: --lab NAME or SKYTRAIL_LAB=NAME"):
        node_places(None, None)


def test_a_chosen_lab_is_asked_without_a_word(labs, monkeypatch, capsys) -> None:
    labs(east=9001, west=9002)
    monkeypatch.setenv(LAB_VARIABLE, "west")

    assert node_places(None, None) == [NodePlace("http://127.0.0.1:9002")]
    assert node_places(None, "east") == [NodePlace("http://127.0.0.1:9001")]
    assert not capsys.readouterr().err


def test_an_option_wins_over_variables(labs, monkeypatch) -> None:
    labs(east=9001)
    monkeypatch.setenv(VARIABLE, "http://192.0.2.1:8081")
    monkeypatch.setenv(LAB_VARIABLE, "west")

    assert node_places("http://192.0.2.2", None) == [NodePlace("http://192.0.2.2")]
    assert node_places(None, "east") == [NodePlace("http://127.0.0.1:9001")]
    assert node_places(None, None) == [NodePlace("http://192.0.2.1:8081")]


def test_an_api_that_is_named_passes_questions_on(labs, monkeypatch, tmp_path) -> None:
    labs(east=9001)
    (tmp_path / "config.toml").write_text('api = "https://controller:8082"\n')

    assert node_places(None, None) == [NodePlace("https://controller:8082", is_api=True)]
    assert node_places(None, "east") == [NodePlace("http://127.0.0.1:9001")]
    monkeypatch.setenv(LAB_VARIABLE, "east")
    assert node_places(None, None) == [NodePlace("http://127.0.0.1:9001")]
    monkeypatch.setenv(API_VARIABLE, "http://192.0.2.9:8082")
    assert node_places(None, None) == [NodePlace("http://192.0.2.9:8082", is_api=True)]
    monkeypatch.setenv(VARIABLE, "http://192.0.2.1, https://192.0.2.2")
    assert node_places(None, None) == [
        NodePlace("http://192.0.2.1"),
        NodePlace("https://192.0.2.2"),
    ]


@pytest.mark.parametrize(
    ("path", "passed"),
    [
        ("/analytics/query", "/api/v1/analytics/query"),
        ("/analytics/uves/vrouter/*?flat", "/api/v1/analytics/uves/vrouter/*?flat"),
        ("/api/v1/introspect/routes", "/api/v1/analytics/introspect/routes"),
        ("/api/v1/alarms/dry-run", "/api/v1/analytics/alarms/dry-run"),
    ],
)
def test_paths_of_a_node_are_below_one_of_the_api(path, passed) -> None:
    assert NodePlace("http://x", is_api=True).path(path) == passed
    assert NodePlace("http://x").path(path) == path


def test_two_places_at_once_are_wrong_usage(labs) -> None:
    labs(east=9001)

    with pytest.raises(click.UsageError):
        node_places("http://192.0.2.2", "east")


@pytest.mark.parametrize(
    ("name", "said"), [("gone", "no lab 'gone'"), ("plain", "analytics: true")]
)
def test_a_lab_without_a_node_is_refused(labs, monkeypatch, name, said) -> None:
    labs(plain=0, east=9001)

    with pytest.raises(Refused, match=said):
        node_places(None, name)
    monkeypatch.setenv(LAB_VARIABLE, name)
    with pytest.raises(Refused, match=said):
        node_places(None, None)


@pytest.mark.parametrize("command", ["uve", "logs", "sessions", "stats", "alarms"])
def test_every_command_refuses_to_guess_a_lab(labs, command) -> None:
    labs(east=9001, west=9002)

    result = CliRunner().invoke(main, [command])

    assert result.exit_code == 1
    assert "east, west" in result.output


def test_an_action_nobody_tells_is_wrong_usage() -> None:
    result = CliRunner().invoke(main, ["sessions", "--action", "drop"])

    assert result.exit_code == 2
    assert "pass" in result.output
    assert "deny" in result.output


def test_a_full_name_is_taken_as_it_is() -> None:
    assert full_network_name(Told({}), "default-domain:red:gone") == "default-domain:red:gone"


@pytest.mark.parametrize("written", ["red:front", "front"])
def test_a_short_name_is_completed(written) -> None:
    node = networks("default-domain:red:front", "default-domain:red:back")

    assert full_network_name(node, written) == "default-domain:red:front"


def test_a_name_of_the_project_wins(monkeypatch) -> None:
    node = networks("default-domain:blue:front", "default-domain:red:front")
    monkeypatch.setenv("SKYTRAIL_PROJECT", "red")

    assert full_network_name(node, "front") == "default-domain:red:front"


def test_a_name_that_fits_several_is_refused_with_them() -> None:
    node = networks("default-domain:blue:front", "default-domain:red:front")

    with pytest.raises(Refused) as refused:
        full_network_name(node, "front")

    assert "default-domain:blue:front" in refused.value.message
    assert "default-domain:red:front" in refused.value.message


def test_a_name_that_fits_none_is_refused_with_the_full_form() -> None:
    with pytest.raises(Refused, match=r"Did you mean red:front\?(.|\n)*DOMAIN:PROJECT:NAME"):
        full_network_name(networks("default-domain:red:front"), "red:frnt")


@pytest.fixture
def tables(monkeypatch):
    columns = [("T", "int"), ("vn_stats.in_bytes", "double"), ("Source", "string")]
    answers = {
        "/analytics/tables": [{"name": TABLE, "type": "STAT"}],
        f"/analytics/table/{TABLE}/schema": {
            "columns": [{"name": name, "datatype": kind} for name, kind in columns]
        },
    }
    monkeypatch.setattr("skytrail.cli.analytics_tables.opened_node", lambda *_: Told(answers))


@pytest.mark.usefixtures("tables")
def test_hint_for_a_table_adds_up_a_number() -> None:
    result = CliRunner().invoke(stats, [TABLE])

    assert result.exit_code == 0
    assert f"stats {TABLE} --select 'name,SUM(vn_stats.in_bytes)'" in result.output


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("more", [[], ["--select", "name"]])
def test_table_that_nobody_has_told_is_refused(more) -> None:
    result = CliRunner().invoke(stats, ["StatTable.nope", *more])

    assert result.exit_code == 1
    assert "`skytrail stats` lists" in result.output


def test_alarms_that_follow_stand_below_what_they_follow_from() -> None:
    parent = {"type": "vrouter", "name": "h1", "rule": "s:node-status"}
    child = {"type": "xmpp-peer", "name": "c1:h1", "rule": "s:close", "parent": parent}
    other = {"type": "vrouter", "name": "h2", "rule": "s:full"}
    lost = {**child, "name": "c1:h9", "parent": {**parent, "name": "h9"}}

    assert _under_parents([other, child, lost, parent]) == [other, parent, child, lost]


RULE = """
type: alarm
fq_name: default-global-system-config:much-traffic
alarm_severity: 2
uve_keys: {uve_key: [virtual-network]}
alarm_rules: {or_list: [{and_list: [{operand1: A.b, operation: '>', operand2: {json_value: '5'}, variables: []}]}]}
"""
SPAN = {
    "type": "virtual-network", "name": "a:b:c", "raised_us": 60_000_000, "cleared_us": 90_000_000,
    "matched": {"or_list": [{"and_list": [
        {"condition": {"operand1": "A.b"}, "match": [{"json_operand1_value": "7"}]}
    ]}]},
}  # fmt: skip
FOUND = {
    "alarms": [SPAN, {**SPAN, "is_from_before": True, "cleared_us": None}], "alarms_count": 2,
    "entities_count": 1, "steps_count": 4, "cut_count": 0, "every_s": 60.0,
}  # fmt: skip


@pytest.fixture
def asked(monkeypatch):
    """Return what a dry run asks the node, which found two alarms."""
    bodies = []

    class Node(Told):
        def call(self, method, path, body=None):
            bodies.append((path, body))
            return super().call(method, path, body)

    answers = {"/api/v1/alarms/dry-run": FOUND, "/analytics/query": {"value": []}}
    monkeypatch.setattr("skytrail.cli.alarms.opened_node", lambda *_: Node(answers))
    return bodies


@pytest.mark.parametrize(
    ("kept", "said"), [([], "nothing is kept of alarms of vrouter:h1"), ([{"page": "a"}], "")]
)
def test_alarms_of_which_nothing_is_kept_are_told_as_such(monkeypatch, kept, said) -> None:
    node = Told({"/api/v1/alarms/vrouter/h1/collected": {"collected": kept}})
    monkeypatch.setattr("skytrail.cli.alarms.opened_node", lambda *_: node)

    result = CliRunner().invoke(alarms, ["--collected", "vrouter:h1"])

    assert json.loads(result.stdout) == kept
    assert result.stderr.strip() == said


def test_dry_run_sends_the_rule_of_a_file_and_shows_spans(asked, tmp_path) -> None:
    (tmp_path / "rule.yaml").write_text(RULE)

    result = CliRunner().invoke(alarms, ["dry-run", str(tmp_path / "rule.yaml"), "--since", "1d"])

    assert result.exit_code == 0, result.output
    path, body = asked[0]
    assert (path, body["last"]) == ("/api/v1/alarms/dry-run", "1d")
    assert body["rule"]["uve_keys"] == {"uve_key": ["virtual-network"]}
    first, second = result.output.splitlines()[1:3]
    assert first.split()[:4] == ["1970-01-01", "00:01:00", "1970-01-01", "00:01:30"]
    assert "A.b=7" in first
    assert second.startswith("before 1970")
    assert "2 alarms in the last 1d" in result.output


@pytest.mark.parametrize(
    ("given", "name"),
    [("mine", "default-global-system-config:mine"), ("d:red:mine", "d:red:mine")],
)
def test_dry_run_names_a_rule_in_force(asked, given, name) -> None:
    result = CliRunner().invoke(alarms, ["dry-run", given, "--entity", "d:red:*", "--json"])

    assert result.exit_code == 0, result.output
    assert asked[0][1] == {"last": "2h", "name": name, "entity": "d:red:*"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["dry-run", "none.yaml"], "No file"),
        (["dry-run", "mine", "--since", "soon"], "no time"),
        (["--json", "dry-run", "mine"], "behind"),
    ],
)
def test_dry_run_that_makes_no_sense_is_refused(asked, arguments, word) -> None:
    result = CliRunner().invoke(alarms, arguments)

    assert result.exit_code == 2
    assert word in result.output
    assert asked == []


def test_file_without_one_rule_is_refused(asked, tmp_path) -> None:
    (tmp_path / "two.yaml").write_text(f"{RULE}---{RULE}")

    result = CliRunner().invoke(alarms, ["dry-run", str(tmp_path / "two.yaml")])

    assert result.exit_code == 2
    assert "2 objects of type alarm" in result.output
    assert asked == []


def test_an_entity_is_shown_struct_by_struct_with_values_in_full(capsys) -> None:
    ports = [f"default-domain:red:web{number}" for number in range(20)]
    fields = {"UveVirtualNetworkAgent": {"interface_list": ports, "in_tpkts": 4}}

    _print_entity({"name": "default-domain:red:front", "value": fields})

    name, struct, *rows = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert (name, struct) == ("default-domain:red:front", "  UveVirtualNetworkAgent")
    assert rows[0].startswith("    interface_list") and rows[-1].split() == ["in_tpkts", "4"]
    shown = "".join(row[len("    interface_list ") :].strip() for row in rows[:-1])
    assert all(port in shown for port in ports)


def test_a_node_that_speaks_tls_is_told_as_such() -> None:
    def hang_up(server: socket.socket) -> None:
        peer, _ = server.accept()
        peer.recv(1000)
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        result = CliRunner().invoke(main, ["uve", "--analytics", url])
        thread.join()

    assert result.exit_code == 3
    assert f"--analytics https{url[4:]}" in result.output


class OfTypes(Told):
    """A node that knows some types."""

    def call(self, method, path, body=None):
        if path not in self.answers:
            raise NotKnown(f"No type of UVE is called so: {path} (404)")
        return self.answers[path]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["virtual-networks"], 0, "d:red:front"),
        (["virtual-network"], 0, "d:red:front"),
        (["vrouter"], 0, "nobody says anything of any vrouter"),
        (["vruoter"], 1, "Did you mean vrouter"),
        (["vrouters", "compute1"], 1, "Did you mean two-tenants-compute1?"),
    ],
)
def test_types_and_names_are_found_as_people_write_them(monkeypatch, words, code, said) -> None:
    told = {"value": [{"name": "d:red:front", "value": {"S": {"a": 1}}}]}
    answers = {
        "/analytics/uves/virtual-network/*?flat": told,
        "/analytics/uves/vrouter/*?flat": {"value": []},
        "/analytics/uves/vrouter/compute1?flat": {},
        "/analytics/uves/vrouters?flat": [{"name": "two-tenants-compute1"}],
    }
    monkeypatch.setattr("skytrail.cli.analytics.opened_node", lambda *_: OfTypes(answers))

    result = CliRunner().invoke(main, ["uve", *words])

    assert result.exit_code == code, result.output
    assert said in result.output
