"""What the tables say of daemons that do not answer and of ports that are gone."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from rich.console import Console

from skytrail.cli import status
from skytrail.lab import demo, health, show, vrouter
from skytrail.lab.state import LabError
from skytrail.lab.trace import Packet, TraceError
from skytrail.runtime.introspection import IntrospectionFailed

DROPS = [
    {"vif_id": 0, "vmi_uuid": "", "reason": "MULTICAST", "packets": 5},
    {"vif_id": 2, "vmi_uuid": "7d4b1c5e-55a1-4f36-8f0e-8f8f3b5d0001", "reason": "A", "packets": 1},
    {"vif_id": 9, "vmi_uuid": "", "reason": "B", "packets": 2},
]
RULE = "0a4b1c5e-55a1-4f36-8f0e-8f8f3b5d0009"
INTERFACES = [{"vmi_uuid": "7d4b1c5e-55a1-4f36-8f0e-8f8f3b5d0001", "name": "d:red:web1"}]

FLOWS = [
    {
        "protocol": 6,
        "rule": f"default-domain:red:a#{RULE} & security groups default-domain:red:s#none",
        "nexthop": "tunnel 198.18.2.2",
        "label": 21,
    },
    {
        "protocol": 1,
        "rule": "default-domain:red:a#b & security groups default-domain:red:s#none",
        "nexthop": f"interface {INTERFACES[0]['vmi_uuid']}",
        "label": 0,
    },
    {"protocol": 47, "rule": "", "nexthop": "", "label": 0},
]


class FakeLab:
    """A lab of two hosts whose processes and answers the test says."""

    name = "two"

    def __init__(self, alive=("api", "compiler", "h1", "h2")):
        self.alive = set(alive)
        self.topology = SimpleNamespace(analytics=False)
        self.plan = SimpleNamespace(
            gateways=[],
            nodes=[
                SimpleNamespace(name="h1", address="198.18.1.2"),
                SimpleNamespace(name="h2", address="198.18.2.2"),
            ],
            hosts=[
                SimpleNamespace(name="h1", address="198.18.1.2"),
                SimpleNamespace(name="h2", address="198.18.2.2"),
            ],
        )
        self.paths = SimpleNamespace(introspect_socket=lambda name: name, api_socket="api")
        self.processes = SimpleNamespace(
            identity=lambda name: name if name in self.alive else None,
            tail=lambda name: f"last words of {name}",
        )


@pytest.fixture(autouse=True)
def answers(monkeypatch):
    """Canned pages instead of sockets; the healths still to be told, in order."""
    healths = []
    tables = {"drops": DROPS, "interfaces": INTERFACES, "policy": [], "health": [], "flows": FLOWS}

    def page(_, name):
        if name == "/introspect":
            return msgspec.json.encode({"tables": sorted([*tables, "explain"])})
        unmet = healths.pop(0) if healths else []
        return msgspec.json.encode({"healthy": not unmet, "unmet": unmet})

    for module in (show, health):
        monkeypatch.setattr(module, "read_page", page)
    monkeypatch.setattr(show, "read_table", lambda _, name, **__: tables[name])
    monkeypatch.setattr(health.labs, "names", lambda: ["two"])
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(health, "time", clock)
    clock.monotonic = lambda: clock.now
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    return healths


def rendered(table):
    console = Console(width=150, record=True, file=StringIO())
    console.print(table.rendered())
    return console.export_text()


def test_a_dead_agent_does_not_hide_the_others_and_its_place_says_what_to_type():
    first, second = show.tables(FakeLab(alive=["h2"]), "drops", None)

    assert first.records() == [{"state": "dead; skytrail lab restart h1"}]
    assert len(second.rows) == len(DROPS)


def test_with_several_labs_the_command_names_the_lab(monkeypatch):
    monkeypatch.setattr(health.labs, "names", lambda: ["one", "two"])

    command = "skytrail lab restart h1 --lab two"
    assert health.process_health(FakeLab(alive=[]), "h1") == ("dead", command)


def test_a_silent_daemon_is_told_as_such(monkeypatch):
    def silent(*_):
        raise IntrospectionFailed("no answer")

    monkeypatch.setattr(show, "read_page", silent)

    (table,) = show.tables(FakeLab(), "drops", "h1")

    assert table.records() == [{"state": "silent: no answer"}]


def test_an_unknown_view_lists_the_known_ones_and_nothing_else():
    with pytest.raises(LabError) as caught:
        show.tables(FakeLab(), "nonsense", None)

    known = "drops, flows, health, interfaces, policy"
    assert str(caught.value) == f"No table nonsense; known tables: {known}"


def test_what_answers_questions_is_no_view():
    with pytest.raises(LabError, match="use the command `trace`"):
        show.tables(FakeLab(), "explain", None)


def test_flows_show_protocol_rule_and_way_in_words():
    (table,) = show.tables(FakeLab(), "flows", "h1")

    first, second, third = table.records()
    text = rendered(table)
    assert [row["protocol"] for row in (first, second, third)] == ["tcp", "icmp", 47]
    assert (first["nexthop"], first["label"]) == ("tunnel 198.18.2.2", 21)
    assert "red:a: b & security groups red:s: none" in text
    assert "interface web1" in text
    assert show.tables(FakeLab(), "flows", "h1", every_column=True)[0].records() == FLOWS


def test_interfaces_show_vlan_and_learnt_macs_though_the_first_port_is_not_active(monkeypatch):
    rows = [{"vif_id": None, "vlan": 0, "active": False}, {**INTERFACES[0], "vlan": 7}]
    rows[1] |= {"vif_id": 3, "active": True, "learnt_macs": 5}
    monkeypatch.setattr(show, "read_table", lambda *_, **__: rows)

    (table,) = show.tables(FakeLab(), "interfaces", "h1")

    _, second = table.records()
    assert (second["vlan"], second["learnt_macs"], second["name"]) == (7, 5, "d:red:web1")


@pytest.mark.parametrize("view", ["policy", "health"])
@pytest.mark.parametrize("every_column", [False, True])
def test_an_empty_table_says_so_under_its_title(view, every_column):
    (table,) = show.tables(FakeLab(), view, "h1", every_column=every_column)

    lines = [line.strip() for line in rendered(table).splitlines() if line.strip()]

    assert lines == [f"h1: {view}", "(empty)"]


def test_drops_name_ports_and_say_what_is_no_port():
    text = rendered(show.tables(FakeLab(), "drops", "h1")[0])

    assert [line.split()[:3] for line in text.splitlines() if "MULT" in line or " B " in line] == [
        ["0", "(whole", "host)"],
        ["9", "(unplugged)", "B"],
    ]
    assert "web1" in text
    assert "port" in text
    assert "vmi_uuid" not in text


def test_machines_get_the_rows_as_they_are():
    (table,) = show.tables(FakeLab(), "drops", "h1", every_column=True)

    assert table.records() == DROPS


def test_waiting_for_health_ends_when_nothing_is_missing(answers):
    answers += [["control node"], ["control node"], []]

    health.wait_healthy(FakeLab(), "h1", timeout_s=10)

    assert answers == []


def test_waiting_for_health_ends_in_time_and_says_what_is_missing(answers):
    answers += [["control node"]] * 1000

    with pytest.raises(LabError, match="h1 runs, but is waiting after 2 s: control node"):
        health.wait_healthy(FakeLab(), "h1", timeout_s=2)


def test_waiting_for_a_daemon_that_ended_again_shows_its_log():
    with pytest.raises(LabError, match="last words of h1"):
        health.wait_healthy(FakeLab(alive=[]), "h1")


def test_what_is_no_daemon_needs_no_health():
    health.wait_healthy(FakeLab(alive=[]), "web1.udhcpc")


def test_status_says_how_to_restart_a_dead_daemon_without_asking_it(monkeypatch):
    def unasked(*_):
        raise AssertionError("nobody is there to be asked")

    monkeypatch.setattr(status, "read_page", unasked)
    dead = status.Daemon("h1", "agent", Path("gone"), "skytrail lab restart h1")

    row = status._describe(dead)

    assert (row["state"], row["unmet"]) == ("dead", "skytrail lab restart h1")


def test_a_trace_that_needs_a_dead_agent_says_how_to_restart_it(monkeypatch):
    lab = FakeLab(alive=["h2"])
    lab.topology = SimpleNamespace(endpoints=[], outside_hosts={})
    monkeypatch.setattr(vrouter, "ports", lambda *_: [])

    with pytest.raises(TraceError, match="h1 is dead; skytrail lab restart h1"):
        vrouter.trace(lab, "web1", "web2", Packet())


def test_the_demo_wants_root_before_anything_else(monkeypatch, capsys):
    monkeypatch.setattr(demo.os, "geteuid", lambda: 1000)

    assert demo.main(["--topology", "/nonexistent"]) == 2
    assert "needs root" in capsys.readouterr().out


def test_table_that_is_too_wide_is_written_one_column_a_line():
    table = show.table_of("peers", [{f"column{n}": "x" * 30 for n in range(9)}])

    narrow, wide = ("\n".join(_lines(table.rendered(width), width)) for width in (80, 400))

    assert narrow.count("x" * 30) == wide.count("x" * 30) == 9, "no cell is folded"
    assert sum("column" in line for line in narrow.splitlines()) == 9
    assert sum("column" in line for line in wide.splitlines()) == 1


def _lines(renderable, width):
    console = Console(width=width, record=True, file=StringIO())
    console.print(renderable)
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("web\x1b[2J", "web\\x1b[2J"),
        ("a\u009bb", "a\\x9bb"),
        ("a\u202eb", "a\\u202eb"),
        ("Müller", "Müller"),
    ],
)
def test_no_name_steers_the_terminal(given, shown):
    table = show.table_of(f"peer {given} [/x]", [{"name": given}])

    text = "\n".join(_lines(table.rendered(80), 80))

    assert text.count(shown) == 2
    assert "[/x]" in text


def test_rows_are_chosen_by_column_and_by_network():
    assert show.conditions(("protocol=6", "rule=a=b"), "red:front") == {
        "protocol": "6",
        "rule": "a=b",
        "vrf": "default-domain:red:front:front",
    }
    assert show.conditions((), "d:red:front") == {"vrf": "d:red:front:front"}
    for where, network in ((("protocol",), None), (("limit=1",), None), ((), "front")):
        with pytest.raises(LabError, match="is not"):
            show.conditions(where, network)
