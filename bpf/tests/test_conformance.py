"""The kernel's datapath passes the suite of the agent's seam (``testing/datapath_cases.py``)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import frames
import pytest
from conftest import LOOPBACK_IFINDEX, TC_REDIRECT, Box, Outcome, as_frame, clear

from skytrail.agent.plugin import Datapath
from skytrail.agent.tables import VifId
from skytrail.agent.trace import TracePacket
from skytrail.net import Mac
from skytrail.testing.datapath_cases import (
    CASES,
    FAR_HOST,
    HOST,
    PEER,
    SENDER,
    SENDER_MAC,
    Case,
    Fate,
)

pytestmark = pytest.mark.root
ENCAPSULATIONS = {(frames.GRE, 0): "MPLS_GRE", (frames.UDP, 4789): "VXLAN"}


class KernelSubject:
    ifindex = LOOPBACK_IFINDEX

    def __init__(self, box: Box) -> None:
        self._box = box
        self.datapath: Datapath = box.datapath

    def send(self, packet: TracePacket) -> Fate:
        frame = as_frame(_ip(packet), packet.destination_mac, SENDER_MAC)
        return self._run(lambda: self._box.workload(frame))

    def arrive(self, kind: str, number: int, packet: TracePacket) -> Fate:
        inner, tunnel = _ip(packet), "udp"
        if kind == "vxlan":
            inner, tunnel = as_frame(inner, packet.destination_mac, Mac(bytes(6))), "vxlan"
        outer = frames.encode_tunnel(tunnel, str(FAR_HOST), str(HOST), number, inner)
        frame = frames.ethernet(bytes(6), bytes(6), 0x0800, outer)
        return self._run(lambda: self._box.underlay(frame))

    def later(self, seconds: float) -> float:
        return time.monotonic() + seconds

    def _run(self, run) -> Fate:  # type: ignore[no-untyped-def]
        before, punted = self._delivered(), len(self._box.punts)
        outcome: Outcome = run()
        if outcome.drops:
            (reason,) = outcome.drops
            return Fate(dropped=reason)
        if len(self._box.punts) > punted:
            return Fate(punted=True)
        for vif_id, count in self._delivered().items():
            if count > before[vif_id]:
                return Fate(delivered=vif_id)
        assert outcome.verdict == TC_REDIRECT
        sent = frames.decode_tunnel(outcome.frame)
        kind = ENCAPSULATIONS.get((sent.protocol, sent.destination_port), "MPLS_UDP")
        return Fate(sent=(str(sent.destination), kind, sent.label))

    def _delivered(self) -> dict[VifId, int]:
        counted = self.datapath.delivered((SENDER, PEER))
        return {vif_id: each.packets for vif_id, each in counted.items()}


def _ip(packet: TracePacket) -> bytes:
    payload = frames.udp(packet.source_port, packet.destination_port, bytes(8))
    return frames.ip(str(packet.source), str(packet.destination), packet.protocol, payload)


@pytest.fixture
def subject(session_box: Box) -> Iterator[KernelSubject]:
    clear(session_box)
    session_box.datapath.captures().drain(lambda _: None, 10_000)
    yield KernelSubject(session_box)
    clear(session_box)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_kernel_datapath(subject: KernelSubject, case: Case) -> None:
    case(subject)
