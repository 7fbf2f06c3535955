"""Queues on a link of their own: made, changed in place, taken away; and packets find theirs."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import inside

from skytrail.agent.io.uplink_queues import counters, install
from skytrail.agent.queues import CLASS_FIRST, DEFAULT, HANDLE, QUEUE_FIRST, Queue

LINK_KBPS = 1_000_000
VOICE, BULK = 7, 9
TWO = [Queue(1, 20, 40, (VOICE,)), Queue(2, 10, 100, (BULK,))]
SO_PRIORITY = 12


@pytest.fixture
def link() -> Iterator[str]:
    """A link in a namespace that the test is in."""
    name = f"stq{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        with inside(name):
            # It would say things by itself.
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        for command in (
            "link add v0 type veth peer name v1",
            "link set v0 up",
            "link set v1 up",
            "addr add 192.0.2.1/24 dev v0",
            "neigh add 192.0.2.2 dev v0 lladdr 02:00:00:00:00:02",
        ):
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        with inside(name):
            yield "v0"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


def send(priority: int, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, SO_PRIORITY, priority)
        for _ in range(count):
            sender.sendto(b"x", ("192.0.2.2", 9))


def packets(link: str) -> dict[int, int]:
    return {minor: each["packets"] for minor, each in counters(link).items() if each["packets"]}


def classes(link: str) -> dict[int, str]:
    """Minor number -> the rest of its line."""
    text = subprocess.run(
        ["tc", "class", "show", "dev", link], check=True, capture_output=True, text=True
    ).stdout
    rows = (line.split(maxsplit=3) for line in text.splitlines())
    return {int(row[2].partition(":")[2], 16): row[3] for row in rows}


def test_packets_wait_in_the_queue_of_their_class(link: str) -> None:
    install(link, TWO, LINK_KBPS)

    send((HANDLE << 16) + CLASS_FIRST + VOICE, 5)
    send((HANDLE << 16) + CLASS_FIRST + 100, 2)
    send(0, 3)

    found = packets(link)
    # What has no queue of its own shares the rest; the counts of a queue are its classes'.
    assert (found[CLASS_FIRST + VOICE], found[QUEUE_FIRST + 1], found[DEFAULT]) == (5, 5, 5)
    assert CLASS_FIRST + BULK not in found


def test_changed_shares_hold_in_place_and_classes_move(link: str) -> None:
    install(link, TWO, LINK_KBPS)
    send((HANDLE << 16) + CLASS_FIRST + VOICE, 5)
    install(link, [Queue(1, 50, 60, (VOICE, BULK))], LINK_KBPS)

    found = classes(link)
    assert QUEUE_FIRST + 2 not in found
    assert f"parent {HANDLE:x}:{QUEUE_FIRST + 1:x} " in found[CLASS_FIRST + BULK] + " "
    assert "rate 500Mbit ceil 600Mbit" in found[QUEUE_FIRST + 1]
    assert packets(link)[CLASS_FIRST + VOICE] == 5


def test_what_somebody_else_put_there_stays(link: str) -> None:
    subprocess.run(["tc", "qdisc", "add", "dev", link, "root", "handle", "7:", "htb"], check=True)

    with pytest.raises(OSError, match="htb 7: that is not ours"):
        install(link, TWO, LINK_KBPS)
    install(link, [], LINK_KBPS)

    shown = subprocess.check_output(["tc", "qdisc", "show", "dev", link], text=True)
    assert "htb 7:" in shown


def test_without_queues_the_link_is_as_before(link: str) -> None:
    install(link, TWO, LINK_KBPS)
    install(link, [], LINK_KBPS)
    install(link, [], LINK_KBPS)

    assert classes(link) == {}
