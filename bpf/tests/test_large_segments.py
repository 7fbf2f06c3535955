"""TCP in segments larger than a packet, of either family in tunnels over either, and on one host.

What goes lost of them is sent again in small ones, so that all arrives, slowly: whole and right is
not enough. How fast it is depends on the machine, and is not asked.
"""

from __future__ import annotations

import hashlib
import random
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from rig import Rig, Workload, inside

from skytrail.agent.tables import Encapsulation

pytestmark = pytest.mark.root

DATA = random.Random(61).randbytes(1 << 20) * 4
TOTAL_RETRANSMITTED, SEGMENTS_SENT = 100, 156
"""Where struct tcp_info has them."""
LOST_MOST = 0.12
"""Full queues of a slow machine lose up to 0.04. Where all large ones were lost, it was 0.22 to 0.24."""

every_tunnel = pytest.mark.parametrize(
    "encapsulation", [each for each in Encapsulation if each is not Encapsulation.NATIVE]
)
every_family = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(scope="module", params=[4, 6])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Over an underlay of either family; workloads 1 and 3 on host 1, 2 on host 2."""
    made = Rig(version=request.param)
    try:
        for host in (made.hosts[0], made.hosts[1], made.hosts[0]):
            made.add_workload(host)
        yield made
    finally:
        made.close()


def lost_share(client: Workload, server: Workload, family: int) -> float:
    """The part of its segments that the client sent again; all of them have arrived unspoilt."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    address = str(server.address4 if family == 4 else server.address6)
    with inside(server.namespace):
        listener = socket.socket(kind)
    with inside(client.namespace):
        sender = socket.socket(kind)
    with listener, sender:
        for each in (listener, sender):
            each.settimeout(60)
        listener.bind(("", 0))
        listener.listen()
        sender.connect((address, listener.getsockname()[1]))
        receiver, _ = listener.accept()
        receiver.settimeout(60)

        def send() -> None:
            sender.sendall(DATA)
            sender.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=send)
        sending.start()
        digest = hashlib.sha256()
        with receiver:
            while part := receiver.recv(1 << 16):
                digest.update(part)
        sending.join()
        info = sender.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SEGMENTS_SENT + 4)
    assert digest.digest() == hashlib.sha256(DATA).digest()
    again, sent = (
        struct.unpack_from("=I", info, at)[0] for at in (TOTAL_RETRANSMITTED, SEGMENTS_SENT)
    )
    return again / sent


@every_tunnel
@every_family
def test_they_cross_between_hosts_without_loss(
    rig: Rig, family: int, encapsulation: Encapsulation
) -> None:
    rig.encapsulation = dict.fromkeys((1, 2), encapsulation)
    rig.program()
    first, second, _ = rig.workloads

    assert lost_share(first, second, family) < LOST_MOST
    assert lost_share(second, first, family) < LOST_MOST


@every_family
def test_they_cross_a_host_without_loss(rig: Rig, family: int) -> None:
    rig.program()
    first, _, third = rig.workloads

    assert lost_share(first, third, family) < LOST_MOST
