"""The datapath says what its tables hold and take, and counts what is there."""

import frames
from conftest import TUNNEL_NEXTHOP, route_row

from skytrail.agent.tables import InetRouteRow


def by_name(box):
    return {use.name: use for use in box.datapath.table_uses()}


def test_every_map_tells_its_memory_and_its_size(box):
    uses = by_name(box)

    assert uses.keys() == box.datapath._maps.keys()
    assert all(use.entries_max > 0 for use in uses.values())
    assert uses["flows4"].bytes > uses["flows4"].entries_max * 64
    assert sum(use.bytes for use in uses.values()) > 50_000_000


def test_counts_are_those_of_a_walk_through_the_entries(box):
    rows = [route_row(f"10.{n >> 8}.{n & 255}.0/24", TUNNEL_NEXTHOP) for n in range(9000)]
    before = by_name(box)["routes4"].entries
    box.apply(*rows)

    uses = by_name(box)

    there = {str(row.prefix) for row in box.datapath.dump(InetRouteRow) if row.prefix.version == 4}
    assert uses["routes4"].entries == len(there) >= before + 8990
    for name in ("bridges", "vnis", "sources4", "routes6", "floods", "interface_drops"):
        assert uses[name].entries == len(list(box.datapath._maps[name].items())), name
    assert uses["sources6"].entries == 2


def test_flows_are_counted_in_pairs_against_the_size_of_the_table(box):
    before = by_name(box)["flow_pairs"].entries
    box.send(frames.udp(1000, 53, b"x"), 17)
    box.send(frames.udp(1001, 53, b"x"), 17)

    uses = by_name(box)

    assert uses["flow_pairs"].entries == before + 2
    assert uses["flow_pairs"].entries_max == 4096
    assert (uses["flows4"].entries, uses["labels"].entries) == (None, None)
