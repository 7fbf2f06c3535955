"""Numbers over time: what of a message or a UVE's change becomes a row of statistics."""

from __future__ import annotations

import pytest

from skytrail.analytics.collector import Collector
from skytrail.analytics.statistics import ATTRIBUTES_COUNT_MAX, rows_of_message
from skytrail.analytics.telemetry import change_of
from skytrail.wire.sandesh import Field, SandeshHeader, SandeshMessage, SandeshType, Struct
from skytrail.wire.telemetry import Statistic, Uve

AT_US = 1_790_000_000_000_000
TRAFFIC = Statistic(name="if_stats", counters=["in_bytes", "out_bytes"])


def told(*versions, statistic=TRAFFIC, generator="h1:Compute:agent:0"):
    """Return the rows of a UVE that was told so, one version after the other."""
    collector = Collector()
    for number, fields in enumerate(versions):
        uve = Uve(
            table="ObjectVMITable", key="a:b:port", struct="UveVMInterfaceAgent", fields=fields
        )
        collector.apply(change_of(generator, uve), 0.0, [statistic], AT_US + number)
    return collector.statistics.take()


def test_growth_of_counters_is_kept_from_the_second_word_on():
    rows = told({"in_bytes": 100, "out_bytes": 5}, {"in_bytes": 130, "out_bytes": 5})

    assert rows == [
        {
            "T": AT_US + 1,
            "Table": "StatTable.UveVMInterfaceAgent.if_stats",
            "name": "a:b:port",
            "Source": "h1",
            "texts": {},
            "numbers": {"if_stats.in_bytes": 30.0, "if_stats.out_bytes": 0.0},
        }
    ]


def test_counter_that_began_again_counts_from_zero():
    rows = told({"in_bytes": 100}, {"in_bytes": 7})

    assert rows[0]["numbers"] == {"if_stats.in_bytes": 7.0}


def test_reasons_that_come_up_later_grow_from_nothing():
    drops = Statistic(name="drops", counters=["drops"])

    rows = told({"drops": {"ttl": 1}}, {"drops": {"ttl": 4, "policy": 2}}, statistic=drops)

    assert rows[0]["numbers"] == {"drops.ttl": 3.0, "drops.policy": 2.0}


def test_counters_of_a_map_of_structs_grow_each_by_itself():
    ports = Statistic(name="ports", counters=["ports"], gauges=["ports.speed"])
    one = {"et0": {"name": "et0", "bytes": 10, "speed": 40}}
    other = {"et0": {"name": "et0", "bytes": 12, "speed": 10}, "et1": {"bytes": 7}}

    rows = told({"ports": one}, {"ports": other}, {"ports": other | one}, statistic=ports)

    assert [(row["texts"], row["numbers"]) for row in rows] == [
        ({"ports.__key": "et0", "ports.name": "et0"}, {"ports.bytes": 2.0, "ports.speed": 10.0}),
        ({"ports.__key": "et1"}, {"ports.bytes": 7.0}),
        ({"ports.__key": "et0", "ports.name": "et0"}, {"ports.bytes": 10.0, "ports.speed": 40.0}),
        ({"ports.__key": "et1"}, {"ports.bytes": 0.0}),
    ]


def test_gauges_are_kept_as_they_are_and_maps_by_key():
    usage = Statistic(name="usage", gauges=["usage"])

    rows = told({"usage": {"agent": {"rss": 5}, "control": {"rss": 9}}}, statistic=usage)

    assert [(row["texts"], row["numbers"]) for row in rows] == [
        ({"usage.__key": "agent"}, {"usage.rss": 5.0}),
        ({"usage.__key": "control"}, {"usage.rss": 9.0}),
    ]


def message(value, note="tags", kind="list"):
    fields = {
        "name": Field("string", "vm-1", "", {"key": "ObjectVMTable"}),
        "cpu_stats": Field(kind, value, "struct", {note: ".vm"}),
    }
    header = SandeshHeader("h1", "agent", "Compute", "0", timestamp_us=AT_US, type=SandeshType.UVE)
    data = Field("struct", Struct("VirtualMachineStats", fields))
    return SandeshMessage(header, "VirtualMachineStatsTrace", {"data": data})


def sample(**members):
    kinds = {int: "u64", float: "double", str: "string", bool: "bool"}
    return Struct("VmCpu", {k: Field(kinds[type(v)], v) for k, v in members.items()})


def test_list_that_a_generator_marks_is_a_row_for_each_element():
    rows = list(rows_of_message(message([sample(vm="one", rss=5), sample(vm="two", rss=6.5)])))

    assert [row["Table"] for row in rows] == ["StatTable.VirtualMachineStats.cpu_stats"] * 2
    assert [row["name"] for row in rows] == ["vm-1"] * 2
    assert [row["texts"] for row in rows] == [{"cpu_stats.vm": "one"}, {"cpu_stats.vm": "two"}]
    assert [row["numbers"] for row in rows] == [{"cpu_stats.rss": 5.0}, {"cpu_stats.rss": 6.5}]


def test_list_without_the_mark_is_no_statistic():
    assert not list(rows_of_message(message([sample(rss=5)], note="other")))


@pytest.mark.parametrize("name", ["a b", "x`", "x'", "é"])
def test_names_that_no_query_could_have_are_left_out(name):
    rows = list(rows_of_message(message([sample(**{name: 1, "rss": 5})])))

    assert rows[0]["numbers"] == {"cpu_stats.rss": 5.0}


def test_row_is_bounded():
    many = {f"n{number}": number for number in range(2 * ATTRIBUTES_COUNT_MAX)}

    rows = list(rows_of_message(message([sample(**many)])))

    assert len(rows[0]["numbers"]) == ATTRIBUTES_COUNT_MAX
