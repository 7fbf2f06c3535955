"""UVEs: what several generators say, merged, filtered and shown."""

from __future__ import annotations

import pytest

from skytrail.analytics import uve_json
from skytrail.analytics.collector import Collector
from skytrail.analytics.generators import GRACE_S
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.uve import UveTables
from skytrail.analytics.uve_filter import FilterUnusable, UveFilter, filter_of
from skytrail.analytics.uve_stream import UveChanges
from skytrail.analytics.uve_types import TABLES, plural, singular
from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh import ClientHello, Field, Struct, StructMap
from skytrail.wire.telemetry import Uve

VNS = "ObjectVNTable"
H1, H2 = "h1:Compute:agent:0", "h2:Compute:agent:0"


def change(generator, sequence=1, *, key="red", struct="Agent", rules=None, **fields):
    uve = Uve(
        table=VNS, key=key, struct=struct, sequence=sequence, fields=fields, rules=rules or {}
    )
    return change_of(generator, uve)


def deleted(generator, sequence=9, key="red", struct="Agent"):
    uve = Uve(table=VNS, key=key, struct=struct, sequence=sequence, is_deleted=True)
    return change_of(generator, uve)


def tables(*changes):
    held = UveTables()
    for each in changes:
        assert held.apply(each, 0.0)
    return held


def shown(held, key="red", chosen=None):
    entity = held.get(VNS, key)
    return uve_json.flat((chosen or UveFilter()).part_of(entity)) if entity else None


def test_fields_that_are_not_named_again_stay():
    held = tables(change(H1, 1, acl=1, name="x"), change(H1, 2, acl=2))

    assert shown(held) == {"Agent": {"acl": 2, "name": "x"}}


def test_sums_add_up_over_generators():
    rules = {"bytes": "sum"}

    held = tables(change(H1, rules=rules, bytes=5), change(H2, rules=rules, bytes=7))

    assert shown(held) == {"Agent": {"bytes": 12}}


def test_unions_hold_every_element_once():
    rules = {"vms": "union"}

    held = tables(change(H1, rules=rules, vms=["a", "b"]), change(H2, rules=rules, vms=["b", "c"]))

    assert shown(held) == {"Agent": {"vms": ["a", "b", "c"]}}


def test_structs_that_are_appended_add_up_by_their_list_key():
    def said(count):
        key = Field("string", "peer1", "", {"aggtype": "listkey"})
        row = Struct("Stats", {"other": key, "bytes": Field("u64", count)})
        return {"Agent": {f"h{count}": {"stats": Field("list", [row], "struct", APPEND)}}}

    both = {"Agent": said(2)["Agent"] | said(3)["Agent"]}

    assert uve_json.flat(both) == {"Agent": {"stats": [{"other": "peer1", "bytes": 5}]}}


APPEND = {"aggtype": "append"}


def test_values_all_agree_on_stand_alone_when_flat_and_others_with_who_says_so():
    agreed = tables(change(H1, acl=1), change(H2, acl=1))
    disputed = tables(change(H1, acl=1), change(H2, acl=2))

    assert shown(agreed) == {"Agent": {"acl": 1}}
    assert shown(disputed) == {"Agent": {"acl": [[1, H1], [2, H2]]}}


def test_typed_form_says_type_and_rule_of_every_value():
    held = tables(change(H1, rules={"bytes": "sum"}, bytes=5, names=["a"], inner={"up": True}))
    entity = held.get(VNS, "red")

    assert uve_json.typed(UveFilter().part_of(entity)) == {
        "Agent": {
            "bytes": {"@type": "u64", "@aggtype": "sum", "#text": "5"},
            "names": [
                [
                    {
                        "@type": "list",
                        "list": {"@type": "string", "@size": "1", "element": ["a"]},
                    },
                    H1,
                ]
            ],
            "inner": [
                [
                    {"@type": "struct", "inner": {"up": {"@type": "bool", "#text": "true"}}},
                    H1,
                ]
            ],
        }
    }


def test_typed_form_of_a_map_keyed_by_structs_has_keys_and_values_by_name():
    entries = tuple(
        (Struct("Port", {"port": Field("u16", port)}), Struct("Info", {"n": Field("i64", port)}))
        for port in (80, 81)
    )

    assert uve_json.typed_field(Field("map", StructMap(entries), "struct"))["map"] == {
        "@key": "struct",
        "@value": "struct",
        "@size": "2",
        "Port": [{"port": {"@type": "u16", "#text": str(port)}} for port in (80, 81)],
        "Info": [{"n": {"@type": "i64", "#text": str(port)}} for port in (80, 81)],
    }


def test_entity_is_gone_when_the_last_generator_takes_it_back():
    held = tables(change(H1, acl=1), change(H2, acl=2), deleted(H1))
    assert shown(held) == {"Agent": {"acl": 2}}

    held.apply(deleted(H2), 0.0)

    assert shown(held) is None
    assert held.keys_count == 0
    assert held.tables() == []


def test_everything_of_a_generator_can_be_taken_back():
    held = tables(change(H1, acl=1), change(H1, 2, key="blue", acl=1), change(H2, acl=2))

    assert sorted(place[1] for place in held.forget(H1)) == ["blue", "red"]
    assert held.keys(VNS) == ["red"]


def test_beyond_the_limit_new_entities_are_refused_and_known_ones_go_on():
    held = UveTables(keys_count_max=1)
    assert held.apply(change(H1, acl=1), 0.0)

    assert not held.apply(change(H1, 2, key="blue", acl=1), 0.0)
    assert held.apply(change(H1, 3, acl=2), 0.0)
    assert (held.refused_count, held.keys_count) == (1, 1)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (UveFilter(source="h2"), {"Agent": {"acl": 2}}),
        (UveFilter(module=("Compute", "agent", "0"), source="h1"), {"Agent": {"acl": 1, "n": 3}}),
        (UveFilter(parts=(("Agent", "n"),)), {"Agent": {"n": 3}}),
        (UveFilter(parts=(("Other", ""),)), {}),
        (UveFilter(module=("Control", "agent", "0")), {}),
    ],
)
def test_filters_choose_generators_and_parts(chosen, expected):
    held = tables(change(H1, acl=1, n=3), change(H2, acl=2))

    assert shown(held, chosen=chosen) == expected


def test_keys_are_chosen_by_name_or_by_beginning():
    chosen = filter_of({"kfilt": ["red", "blu*"]})

    assert [key for key in ("red", "blue", "redder", "green") if chosen.has_key(key)] == [
        "red",
        "blue",
    ]


def test_alarms_are_chosen_by_acknowledgement():
    alarms = [{"type": "a", "ack": True}, {"type": "b", "ack": False}]
    held = tables(change(H1, struct="UVEAlarms", alarms=alarms))

    open_ones = shown(held, chosen=filter_of({"ackfilt": ["false"]}))

    assert open_ones == {"UVEAlarms": {"alarms": [{"type": "b", "ack": False}]}}


@pytest.mark.parametrize("said", [{"mfilt": ["a:b"]}, {"cfilt": [":x"]}, {"ackfilt": ["yes"]}])
def test_filter_that_makes_no_sense_is_refused(said):
    with pytest.raises(FilterUnusable):
        filter_of(said)


def test_every_type_is_found_by_its_plural():
    assert all(singular(plural(word)) == word for word in TABLES)
    assert singular("networks") is None


def test_follower_gets_each_struct_once_at_its_latest_change():
    changes = UveChanges()
    for name in ("a", "b", "a"):
        changes.note(("t", name, "s"))

    first, position = changes.after(0)
    changes.note(("t", "c", "s"))

    assert [place[1] for place in first] == ["b", "a"]
    assert [place[1] for place in changes.after(position)[0]] == ["c"]


def test_follower_too_far_behind_is_told_to_start_over():
    changes = UveChanges(count_max=2)
    for name in ("a", "b", "c"):
        changes.note(("t", name, "s"))

    assert changes.after(0) is None
    assert changes.after(1) is not None


def hello(pid=1):
    return ClientHello("h1", "agent", "Compute", "0", pid=pid)


def test_generator_that_comes_back_is_told_what_is_known_of_it():
    collector = Collector()
    collector.session_up(hello(), 0.0, address="", protocol="")
    collector.apply(change(H1, 5, acl=1), 0.0)
    collector.session_down(H1, 1.0)

    newest = collector.session_up(hello(), 2.0, address="", protocol="")

    assert newest == {"Agent": 5}
    assert shown(collector.uves) == {"Agent": {"acl": 1}}


def test_new_process_starts_from_nothing():
    collector = Collector()
    collector.session_up(hello(), 0.0, address="", protocol="")
    collector.apply(change(H1, 5, acl=1), 0.0)

    assert collector.session_up(hello(pid=2), 2.0, address="", protocol="") == {}
    assert shown(collector.uves) is None


def test_what_a_generator_said_goes_when_it_stays_away():
    collector = Collector()
    collector.session_up(hello(), 0.0, address="", protocol="")
    collector.apply(change(H1, 5, acl=1), 0.0)
    collector.session_down(H1, 1.0)

    collector.tick(GRACE_S)
    assert shown(collector.uves)
    collector.tick(GRACE_S + 2.0)

    assert shown(collector.uves) is None
    assert len(collector.generators) == 0


@pytest.mark.parametrize(
    "fields",
    [{"x": None}, {"x": float("nan")}, {"x": 1 << 70}, {"x": [1, "a"]}, {"x": {1: 2}}, {"x": b""}],
)
def test_value_that_no_uve_can_have_is_an_error(fields):
    with pytest.raises(DecodeError):
        change(H1, **fields)
