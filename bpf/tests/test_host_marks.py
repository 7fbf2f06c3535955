"""Marks of the host's own packets, on links of their own: seen on the wire and by the queues."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import inside

from skytrail.agent.io import host_marks, uplink_queues
from skytrail.agent.queues import CLASS_FIRST, Queue
from skytrail.agent.tables import QosMark

VOICE, BULK = QosMark(7, 46, 5, 6), QosMark(9, 10, 1, 0)
CS1, CS7 = 8, 56
QUEUES = [Queue(1, 20, 40, (7,))]
ONLY_CS1 = tuple(VOICE if dscp == CS1 else None for dscp in range(64))
ECT0 = 2
IPV6_TCLASS = 67
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, b"\x08\x00", b"\x86\xdd"
PEERS = {"uplink": ("192.0.2.2", "2001:db8:1::2"), "other": ("198.51.100.2", "2001:db8:2::2")}


@pytest.fixture
def host() -> Iterator[None]:
    """A namespace that the test is in, with links ``uplink`` and ``other``; their far ends end in ``-far``."""
    name = f"sth{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for link, peers in PEERS.items():
            commands = [
                f"link add {link} type veth peer name {link}-far",
                f"link set {link} up",
                f"link set {link}-far up",
            ]
            for peer, length in zip(peers, (24, 64), strict=True):
                own = f"{peer[:-1]}1/{length} dev {link}" + (" nodad" if ":" in peer else "")
                commands.append(f"addr add {own}")
                commands.append(f"neigh add {peer} dev {link} lladdr 02:00:00:00:00:02")
            for command in commands:
                subprocess.run(["ip", "-n", name, *command.split()], check=True)
        with inside(name):
            yield
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def tos_on_the_wire(dscp: int, link: str = "uplink", version: int = 4) -> int:
    """Return the DSCP and ECN bits of a packet of the host, seen by the other end of the link."""
    address = PEERS[link][version == 6]
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    level, option = (
        (socket.IPPROTO_IPV6, IPV6_TCLASS) if version == 6 else (socket.IPPROTO_IP, socket.IP_TOS)
    )
    payload = secrets.token_bytes(8)
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire,
        socket.socket(family, socket.SOCK_DGRAM) as sender,
    ):
        wire.bind((f"{link}-far", ETH_P_ALL))
        wire.settimeout(5)
        sender.setsockopt(level, option, dscp << 2 | ECT0)
        sender.sendto(payload, (address, 9))
        while not (frame := wire.recv(2048)).endswith(payload):
            pass
    if version == 6:
        assert frame[12:14] == ETH_P_IPV6
        return int.from_bytes(frame[14:16], "big") >> 4 & 0xFF
    assert frame[12:14] == ETH_P_IP
    words = sum(int.from_bytes(frame[at : at + 2], "big") for at in range(14, 34, 2))
    assert (words & 0xFFFF) + (words >> 16) == 0xFFFF, "the header's checksum"
    return frame[15]


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("version", [4, 6])
def test_packets_that_leave_by_the_uplink_get_the_dscp_of_their_class(version) -> None:
    host_marks.install(["uplink"], ONLY_CS1)

    assert tos_on_the_wire(CS1, version=version) == 46 << 2 | ECT0
    assert tos_on_the_wire(CS7, version=version) == CS7 << 2 | ECT0
    assert tos_on_the_wire(CS1, "other", version) == CS1 << 2 | ECT0


@pytest.mark.usefixtures("host")
def test_marks_change_in_place_and_go() -> None:
    host_marks.install(["uplink"], ())
    host_marks.install(["uplink"], ONLY_CS1)
    host_marks.install(
        ["uplink", "other"], tuple(VOICE if dscp == CS7 else BULK for dscp in range(64))
    )

    assert [tos_on_the_wire(dscp) >> 2 for dscp in (0, CS1, CS7)] == [10, 10, 46]
    assert tos_on_the_wire(0, "other", 6) >> 2 == 10

    host_marks.install(["uplink", "other"], ())

    assert [tos_on_the_wire(dscp) >> 2 for dscp in (0, CS1, CS7)] == [0, CS1, CS7]


@pytest.mark.usefixtures("host")
def test_what_the_kernel_refuses_leaves_the_marks_as_they_were() -> None:
    host_marks.install(["uplink"], ONLY_CS1)

    with pytest.raises(OSError, match="nf_tables refused"):
        host_marks.install(["a-name-longer-than-sixteen-bytes"], (BULK,) * 64)

    assert tos_on_the_wire(CS1) >> 2 == 46
    assert tos_on_the_wire(0) >> 2 == 0


@pytest.mark.usefixtures("host")
def test_marked_packets_of_the_host_wait_in_the_queue_of_their_class() -> None:
    uplink_queues.install("uplink", [Queue(1, 20, 40, (VOICE.class_id,))], 1_000_000)
    host_marks.install(["uplink"], ONLY_CS1)

    for dscp in (CS1, CS7, CS1):
        tos_on_the_wire(dscp)

    assert uplink_queues.counters("uplink")[CLASS_FIRST + VOICE.class_id]["packets"] == 2


def disciplines() -> dict[str, str]:
    """Link -> its root discipline's handle."""
    shown = subprocess.run(
        ["tc", "-j", "qdisc", "show"], check=True, capture_output=True, text=True
    ).stdout
    return {each["dev"]: each["handle"] for each in json.loads(shown) if each.get("root")}


def clean(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skytrail.cli", "host", "clean", "--socket", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("host")
def test_what_a_removed_agent_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    host_marks.install(["uplink"], ONLY_CS1)
    uplink_queues.install("uplink", QUEUES, 1_000_000)
    subprocess.run(
        ["tc", "qdisc", "add", "dev", "other", "root", "handle", "7:", "htb"], check=True
    )
    assert tos_on_the_wire(CS1) != CS1 << 2 | ECT0

    cleaned = clean(tmp_path / "nobody.sock")

    assert cleaned.returncode == 0, cleaned.stderr
    assert "uplink: queues removed" in cleaned.stdout
    assert tos_on_the_wire(CS1) == CS1 << 2 | ECT0
    assert disciplines().get("uplink") != "5150:"
    assert disciplines()["other"] == "7:"
    assert clean(tmp_path / "nobody.sock").returncode == 0


@pytest.mark.usefixtures("host")
def test_nothing_is_taken_away_from_an_agent_that_runs(tmp_path: Path) -> None:
    uplink_queues.install("uplink", QUEUES, 1_000_000)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(str(tmp_path / "agent.sock"))
        agent.listen(1)
        refused = clean(tmp_path / "agent.sock")

    assert refused.returncode == 1
    assert "an agent runs here" in refused.stderr
    assert disciplines()["uplink"] == "5150:"
