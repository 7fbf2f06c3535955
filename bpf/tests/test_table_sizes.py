"""Tables of other sizes keep what they hold."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping

import frames
import pytest
from conftest import OWN, REMOTE, VIF, VRF, Box, base_rows

from skytrail.agent.io import ebpf_sizes
from skytrail.agent.io.ebpf import EbpfDatapath
from skytrail.agent.tables import ROW_TYPES, BridgeRow, IdentityId, NextHopId, SourceRow
from skytrail.net import Mac


@pytest.fixture
def small() -> Iterator[Box]:
    """A datapath of this test alone, with rows and a flow."""
    made = Box(f"std{secrets.token_hex(3)}", 1024)
    made.apply(*base_rows())
    assert made.send(frames.udp(1, 2), frames.UDP).forwarded
    yield made
    made.close()


def again(box: Box, sizes: Mapping[str, int] | None = None) -> None:
    """Another run of the agent."""
    box.datapath.close()
    box.datapath = EbpfDatapath.open(box.name, sizes=sizes or {})
    box.datapath.open_punts(box.punts.append)


def held(box: Box) -> list[object]:
    return [sorted(map(repr, box.datapath.dump(kind))) for kind in ROW_TYPES]


def size(box: Box, name: str) -> int:
    return box.datapath._maps[name].max_entries


@pytest.mark.parametrize("count", [2048, 1_048_576])
def test_entries_and_flows_come_along(small: Box, count: int) -> None:
    before = held(small)
    sizes = dict.fromkeys(("routes4", "routes6", "bridges", "sources4", "verdicts"), count)

    again(small, sizes)

    assert {size(small, name) for name in sizes} == {count}
    assert held(small) == before
    # An answer: its flow is known, and so are the source and the route.
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(2, 1))
    assert small.receive(packet).forwarded
    assert small.send(frames.udp(7, 8), frames.UDP, family=6).forwarded
    assert not list((small.datapath._base / "resized").iterdir())


def test_size_stays_without_a_setting(small: Box) -> None:
    again(small, {"bridges": 4096})
    again(small)

    assert size(small, "bridges") == 4096


def test_table_that_holds_more_than_it_should_keeps_its_size(small: Box) -> None:
    macs = [Mac((0x02_0000_010000 + number).to_bytes(6, "big")) for number in range(1500)]
    small.apply(*[BridgeRow(VRF, mac, NextHopId(15), 0, IdentityId(3)) for mac in macs])
    before, count = size(small, "bridges"), len(small.datapath.dump(BridgeRow))

    again(small, {"bridges": 1024})

    assert small.datapath.kept_sizes == {"bridges": count}
    assert size(small, "bridges") == before
    assert len(small.datapath.dump(BridgeRow)) == count


def test_start_that_broke_off_while_copying_lost_nothing(small: Box) -> None:
    before, base = held(small), small.datapath._base
    small.datapath.close()
    started = ebpf_sizes.prepare(base, {"sources4": 2048, "routes4": 2048})
    assert set(started.outgrown) == {"routes4", "sources4"}
    # Of these, one was made anew already, and is empty.
    small.datapath = EbpfDatapath.open(small.name, sizes={"bridges": 2048})
    small.datapath.open_punts(small.punts.append)

    assert held(small) == before
    assert {row.vif_id for row in small.datapath.dump(SourceRow)} >= {VIF}


def test_tables_that_cannot_be_made_leave_the_old_ones(small: Box) -> None:
    before = held(small)

    small.datapath.close()

    with pytest.raises(OSError, match="cannot load"):
        # Beyond what the kernel can count.
        EbpfDatapath.open(small.name, sizes={"bridges": (1 << 32) - 1})
    small.datapath = EbpfDatapath.open(small.name)
    small.datapath.open_punts(small.punts.append)

    assert held(small) == before
