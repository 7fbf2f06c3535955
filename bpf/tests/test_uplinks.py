"""Several links into the underlay: one interface for all tables, and the kernel's routes for tunnels."""

from __future__ import annotations

from dataclasses import replace

import frames
from conftest import UNDERLAY_IFINDEX, Box, base_rows, tunnel_row

from skytrail.agent.tables import Encapsulation, InterfaceKind, InterfaceRow

SECOND_IFINDEX, HIGH_IFINDEX = 7003, 70_000


def underlay_row() -> InterfaceRow:
    return next(
        row
        for row in base_rows()
        if isinstance(row, InterfaceRow) and row.kind is InterfaceKind.UNDERLAY
    )


def test_rows_with_further_links_are_read_back_as_written_and_links_that_go_are_forgotten(
    box: Box,
) -> None:
    two = replace(underlay_row(), further_links=(SECOND_IFINDEX, HIGH_IFINDEX))

    box.apply(two)

    assert two in box.datapath.dump(InterfaceRow)
    assert box.datapath._tables.interface_at(HIGH_IFINDEX) == two
    box.apply(underlay_row())
    assert underlay_row() in box.datapath.dump(InterfaceRow)
    assert box.datapath._tables.interface_at(SECOND_IFINDEX) is None
    box.apply(two)
    box.apply(deletes=(two,))
    for ifindex in (UNDERLAY_IFINDEX, SECOND_IFINDEX, HIGH_IFINDEX):
        assert box.datapath._tables.interface_at(ifindex) is None


def test_a_routed_tunnel_goes_by_no_link_that_is_not_the_underlays(box: Box) -> None:
    """This machine's own routes lead elsewhere, or nowhere: a counted drop, not a leak."""
    box.apply(replace(tunnel_row(Encapsulation.MPLS_UDP), is_routed=True))

    assert box.send(frames.udp(1, 2), frames.UDP).drops == {"UNDERLAY_UNRESOLVED": 1}
