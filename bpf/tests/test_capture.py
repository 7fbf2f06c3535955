"""Captures: what the datapath hands over, and that a real reader understands the file."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import frames
import pytest
from conftest import (
    OWN,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_VIF,
    REMOTE,
    VIF,
    Box,
    as_frame,
    interface_row,
)

from skytrail.agent import abi
from skytrail.agent.capture import Captured, CaptureFile, CaptureFilter, Point
from skytrail.agent.outcome import Desired


class Captures:
    """Slot 0 of a datapath, and what came out of it."""

    def __init__(self, box: Box) -> None:
        self._slots = box.datapath.captures()
        self.seen: list[Captured] = []

    def start(self, **asked: object) -> None:
        self._slots.start(0, CaptureFilter(**asked))

    def take(self) -> list[Captured]:
        self._slots.drain(self.seen.append, 1 << 20)
        return self.seen

    def counts(self) -> tuple[int, int]:
        return self._slots.counts(0)

    def close(self) -> None:
        self._slots.drain(self.seen.append, 1 << 20)
        self._slots.stop_all()


@pytest.fixture
def captures(box: Box) -> Iterator[Captures]:
    box.apply(replace(interface_row(), is_watched=True))
    box.apply(replace(interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2), is_watched=True))
    made = Captures(box)
    made.close()
    made.seen.clear()
    yield made
    made.close()


def exchange(box: Box, family: int = 4) -> tuple[bytes, bytes]:
    """A packet out and its answer in; returns both frames as the workload knows them."""
    sent = as_frame(
        frames.ip(OWN[family], REMOTE[family], frames.UDP, frames.udp(1000, 80, b"out"))
    )
    answer = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(80, 1000, b"in"))
    assert box.workload(sent).forwarded
    arrived = box.receive(answer)
    assert arrived.forwarded
    return sent, arrived.frame


@pytest.mark.parametrize("family", [4, 6])
def test_flow_is_captured_both_ways_and_others_are_not(
    box: Box, captures: Captures, family: int
) -> None:
    ends = {"source": ip_address(OWN[family]), "destination": ip_address(REMOTE[family])}
    captures.start(**ends, protocol=17, source_port=1000, destination_port=80)

    sent, arrived = exchange(box, family)
    box.send(frames.udp(1001, 80), frames.UDP, family=family)
    box.send(frames.udp(1000, 80), frames.UDP, family=family, to=PEER[family])
    box.workload(frames.ethernet(b"\xff" * 6, b"\2" * 6, 0x88B5, b"other"))

    seen = captures.take()
    assert [(each.point, each.frame) for each in seen] == [
        (Point.SENT, sent),
        (Point.DELIVERED, arrived),
    ]
    assert {each.vif_id for each in seen} == {VIF}
    assert all(abs(each.time_ns / 1e9 - time.time()) < 60 for each in seen)
    assert captures.counts() == (2, 0)


def test_drops_are_captured_with_their_reason(box: Box, captures: Captures) -> None:
    box.apply(interface_row(egress=3))
    captures.start(points=Point.DROPPED)

    denied = as_frame(frames.ip(OWN[4], REMOTE[4], frames.UDP, frames.udp(1, 2)))
    broken = as_frame(frames.ipv4(OWN[4], REMOTE[4], 17, frames.udp(1, 2), header_checksum=7))
    box.workload(denied)
    box.workload(broken)

    assert [(each.reason, each.frame) for each in captures.take()] == [
        ("POLICY", denied),
        ("CHECKSUM", broken),
    ]


def test_drops_are_chosen_by_reason(box: Box, captures: Captures) -> None:
    box.apply(interface_row(egress=3))
    captures.start(points=Point.DROPPED, reason="SPOOFED_ADDRESS")

    box.send(frames.udp(1, 2), frames.UDP)
    box.send(frames.udp(1, 2), frames.UDP, source="10.1.1.99")

    assert [each.reason for each in captures.take()] == ["SPOOFED_ADDRESS"]


@pytest.mark.parametrize("kind", ["udp", "gre"])
def test_drop_of_the_underlay_is_found_by_the_packet_inside(
    box: Box, captures: Captures, kind: str
) -> None:
    box.apply(interface_row(ingress=3))
    captures.start(points=Point.DROPPED, source=ip_address(REMOTE[4]), destination_port=9)

    for port in (9, 10):
        packet = frames.ipv4(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, port))
        assert box.receive(packet, kind=kind).drops == {"POLICY": 1}

    assert [each.reason for each in captures.take()] == ["POLICY"]


def test_frame_is_cut_to_the_snap_length(box: Box, captures: Captures) -> None:
    captures.start(points=Point.SENT, snap_bytes=40)

    sent, _ = exchange(box)

    (seen,) = captures.take()
    assert (sent[:40], len(sent)) == (seen.frame, seen.original_bytes)


def test_frames_of_one_interface_alone(box: Box, captures: Captures) -> None:
    captures.start(vif_id=PEER_VIF)

    box.send(frames.udp(1, 2), frames.UDP, to=PEER[4], destination_mac=PEER_MAC)

    assert [(each.vif_id, each.point) for each in captures.take()] == [(PEER_VIF, Point.DELIVERED)]


def test_nothing_is_captured_once_it_is_off(box: Box, captures: Captures) -> None:
    captures.start()
    captures.close()

    exchange(box)

    assert captures.take() == []


def test_ring_that_nobody_reads_loses_and_counts_and_forwards_on(
    box: Box, captures: Captures
) -> None:
    captures.start(points=Point.SENT)
    frame = as_frame(frames.ip(OWN[4], REMOTE[4], frames.UDP, frames.udp(1, 2, bytes(1300))))

    drops = [box.workload(frame).drops for _ in range(2000)]

    matched, lost = captures.counts()
    assert drops == [{}] * 2000
    assert (matched, lost) == (2000, 2000 - len(captures.take()))
    assert lost > 0


def test_tcpdump_reads_the_file(box: Box, captures: Captures, tmp_path: Path) -> None:
    box.apply(replace(interface_row(egress=3), is_watched=True))
    captures.start()
    box.send(frames.udp(1000, 80, b"data"), frames.UDP)
    file = CaptureFile(abi.CAPTURE_FRAME_BYTES_MAX)
    parts = [*file.begin(VIF, Desired())]
    for each in captures.take():
        parts += file.parts(each, Desired())
    parts += file.end(time.time_ns(), received=2, dropped=0)
    path = tmp_path / "made.pcapng"
    path.write_bytes(b"".join(parts))

    done = subprocess.run(
        ["tcpdump", "-nr", path], capture_output=True, text=True, check=True, timeout=20
    )

    lines = done.stdout.splitlines()
    assert len(lines) == 2  # Sent, and dropped.
    assert all(f"{OWN[4]}.1000 > {REMOTE[4]}.80: UDP, length 4" in line for line in lines)


def test_tcpdump_reads_a_file_that_was_ended_before_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "empty.pcapng"
    path.write_bytes(b"".join(CaptureFile(abi.CAPTURE_FRAME_BYTES_MAX).begin(VIF, Desired())))

    done = subprocess.run(
        ["tcpdump", "-nr", path], capture_output=True, text=True, check=False, timeout=20
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
