"""The way of overlay flows through switches: what samples and links say together."""

from __future__ import annotations

import pytest

from skytrail.analytics.query_request import Match, QueryRequest, QueryUnusable, UnknownField
from skytrail.analytics.underlay_map import flows_request, tunnels_of, underlay_request
from skytrail.analytics.underlay_path import Link, Seen, answer, links_of, seen_of, way

FABRIC = [
    Link("leaf1", "h1", "et1", "eth0"), Link("leaf1", "spine1", "et8", "et1"),
    Link("leaf1", "spine2", "et9", "et1"), Link("spine1", "leaf2", "et2", "et8"),
    Link("leaf2", "spine2", "et9", "et2"), Link("leaf2", "h2", "et1", "eth0"),
    Link("leaf1", "h3", "et2", "eth0"), Link("leaf2", "h3", "et2", "eth1"),
]  # fmt: skip
TUNNEL = ("192.0.2.1", "192.0.2.2")


def asked(**members):
    return QueryRequest(
        table="OverlayToUnderlayFlowMap", start_time="now-10m", end_time="now",
        **{"select_fields": ["u_prouter"], **members},
    )  # fmt: skip


def test_way_goes_by_the_switches_that_saw_the_flow():
    assert way(FABRIC, "h1", "h2", ["spine2"]) == ["h1", "leaf1", "spine2", "leaf2", "h2"]
    assert way(FABRIC, "h1", "h2", ["spine1"]) == ["h1", "leaf1", "spine1", "leaf2", "h2"]


def test_no_way_goes_through_a_host():
    """h3 is cabled to both leaves, which would be shorter than a spine."""
    links = [link for link in FABRIC if "spine" not in link.source + link.destination]

    assert way(links, "h1", "h2", []) == []


def test_answer_joins_evidence_and_links():
    rows = [
        {"name": "192.0.2.11", "Source": "leaf1", "flow.pifindex": "1", "flow.oifindex": "9",
         "flow.inner_sip": "10.1.0.3", "SUM(flow.packets)": 100.0, "SUM(flow.bytes)": 9000.0},
        {"name": "192.0.2.12", "Source": "spine2", "flow.pifindex": "1", "flow.oifindex": "0",
         "flow.inner_sip": "", "SUM(flow.packets)": 10, "SUM(flow.bytes)": 900},
    ]  # fmt: skip

    found = answer(FABRIC, ("h1", "h2"), TUNNEL, seen_of(rows))

    assert found["path"] == ["h1", "leaf1", "spine2", "leaf2", "h2"]
    assert (found["found_by"], found["is_ordered"]) == ("flow", True)
    nodes = {node["id"]: node for node in found["nodes"]}
    assert nodes["h2"] == {"id": "h2", "kind": "host", "seen": None, "address": "192.0.2.2"}
    assert nodes["leaf1"]["seen"] == {
        "by": "flow", "address": "192.0.2.11", "packets": 100, "bytes": 9000,
        "input_interfaces": [1], "output_interfaces": [9],
    }  # fmt: skip
    assert (nodes["spine2"]["seen"]["by"], nodes["leaf2"]["seen"]) == ("tunnel", None)
    assert found["links"][0] == {
        "from": "h1", "to": "leaf1", "from_interface": "eth0", "to_interface": "et1",
    }  # fmt: skip


def test_without_links_switches_are_named_in_no_order():
    found = answer([], ("h1", "h2"), TUNNEL, {"leaf1": Seen("leaf1", "192.0.2.11")})

    assert (found["path"], found["is_ordered"], found["found_by"]) == (["leaf1"], False, "tunnel")


def test_without_samples_links_alone_tell_a_way():
    found = answer(FABRIC, ("h1", "h2"), TUNNEL, {})

    assert found["found_by"] == "topology"
    assert len(found["path"]) == 5


def test_links_that_make_no_sense_are_passed_over():
    tables = [
        ("leaf1", {"link_table": [7, {"remote_system_name": ""}, {"remote_system_name": "h1"}]})
    ]

    assert links_of([*tables, ("leaf2", {}), ("leaf3", {"link_table": "x"})]) == [
        Link("leaf1", "h1")
    ]


def test_overlay_columns_choose_flows_and_what_is_inside_tunnels():
    request = asked(where=[[Match("o_sip", "10.1.0.3"), Match("o_dport", 53)]])

    assert flows_request(request).where == [[Match("sourceip", "10.1.0.3"), Match("dport", 53)]]
    tunnel = [Match("flow.sip", "192.0.2.1"), Match("flow.dip", "192.0.2.2")]
    assert underlay_request(request, [TUNNEL]).where == [
        [*tunnel, Match("flow.inner_sip", "10.1.0.3"), Match("flow.inner_dport", "53")],
        [*tunnel, Match("flow.inner_sip", "")],
    ]


def test_flows_that_stay_on_their_host_have_no_tunnel_and_no_rows():
    rows = [
        {"vrouter_ip": "192.0.2.1", "other_vrouter_ip": ""},
        {"vrouter_ip": "192.0.2.1", "other_vrouter_ip": "192.0.2.2"},
        {"vrouter_ip": "192.0.2.1", "other_vrouter_ip": "192.0.2.2"},
    ]

    assert tunnels_of(rows) == [TUNNEL]
    assert Match("flow.sip", "") in underlay_request(asked(), []).where[0]


@pytest.mark.parametrize(
    "members",
    [{"select_fields": ["o_sip"]}, {"where": [[Match("u_sip", "x")]]}, {"sort_fields": ["T"]}],
)
def test_column_that_is_not_of_its_side_is_refused(members):
    def both(request):
        return flows_request(request), underlay_request(request, [TUNNEL])

    with pytest.raises(UnknownField):
        both(asked(**members))


def test_flows_of_too_many_tunnels_are_refused():
    tunnels = [("192.0.2.1", f"192.0.2.{number}") for number in range(2, 40)]

    with pytest.raises(QueryUnusable, match="38 tunnels"):
        underlay_request(asked(), tunnels)
