"""How full tables are becomes alarms, before anything is refused, and without flapping."""

import pytest

from skytrail.agent.outcome import Desired
from skytrail.agent.table_use import TableUse, TableWatch, rows, with_rows
from skytrail.agent.tables import LabelRow, NextHopId
from skytrail.agent.uves import HostState, uves


def use(name="routes4", entries: int | None = 0, *, most=1000, size=1):
    return TableUse(name, entries, most, size)


def watched(*entries, name="routes4"):
    watch = TableWatch()
    for each in entries:
        watch.update([use(name, each)])
    return bool(watch.high), bool(watch.full)


@pytest.mark.parametrize(
    ("entries", "limits"),
    [
        ((799,), (False, False)),
        ((800,), (True, False)),
        ((949,), (True, False)),
        ((950,), (True, True)),
        ((1000,), (True, True)),
    ],
)
def test_limits_are_told_at_four_fifths_and_at_nineteen_twentieths(entries, limits):
    assert watched(*entries) == limits


@pytest.mark.parametrize(
    ("entries", "limits"),
    [
        ((800, 751), (True, False)),
        ((800, 749), (False, False)),
        ((950, 901), (True, True)),
        ((950, 899), (True, False)),
        ((950, 0), (False, False)),
    ],
)
def test_a_table_at_a_mark_does_not_flap(entries, limits):
    assert watched(*entries) == limits


@pytest.mark.parametrize("name", ["fragments", "bgp_clients", "interface_drops"])
def test_tables_that_forget_the_oldest_may_be_full(name):
    assert watched(1000, name=name) == (False, False)


def test_what_does_not_fill_is_no_limit():
    assert watched(None) == (False, False)


def test_arrays_hold_as_many_as_there_are_rows():
    label = LabelRow(17, NextHopId(3))

    (found,) = with_rows([use("labels", None)], {LabelRow: {label.key: label}})

    assert found.entries == 1


def test_the_fullest_table_comes_first_and_says_its_state():
    uses = [use("a", 1, size=9), use("b", 960), use("c", 850), use("d", None, size=99)]
    watch = TableWatch()
    watch.update(uses)

    found = list(rows(uses, watch))

    assert [(row["table"], row["state"]) for row in found] == [
        ("b", "full"), ("c", "high"), ("a", ""), ("d", ""),
    ]  # fmt: skip
    assert found[0]["used_percent"] == 96.0
    assert found[3]["used_percent"] is None


@pytest.mark.parametrize(
    ("high", "full", "limits"),
    [((), (), (False, False)), (("routes4",), (), (True, False)), (("r",), ("r",), (True, True))],
)
def test_the_host_tells_analytics(high, full, limits):
    host = HostState("h1", "192.0.2.1", [], {}, {}, high, full)

    told = next(each for each in uves(host, Desired()) if each.struct == "VrouterAgent")

    assert (told.fields["res_limit"], told.fields["res_table_limit"]) == limits
    assert told.fields["tables_nearly_full"] == list(high)
