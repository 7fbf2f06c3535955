"""A workload that opens flows without end takes its own share of the table, and nobody else's."""

import random
import socket
import time
from collections import Counter
from ipaddress import IPv4Address

import pytest

from skytrail.lab.io import netns
from skytrail.runtime.introspection import read_table

LIMIT, PACKETS, NEW = 2_000, 100_000, 200
UDP = 17


def datagram(source: IPv4Address, destination: IPv4Address, ports: tuple[int, int]) -> bytes:
    """An IPv4 header and a UDP header without checksum; the kernel fills in the header's."""
    udp = b"".join(number.to_bytes(2, "big") for number in (*ports, 8, 0))
    head = bytes((0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0)) + source.packed + destination.packed
    return head + udp


@pytest.fixture
def limited(lab, api, eventually):
    """Give red-web1 a small share; returns who has how many flows on its host."""
    uuid, socket_path = lab.attached("red-web1").uuid, lab.paths.introspect_socket("compute1")

    def set_limit(count):
        fields = {"virtual_machine_interface_properties": {"max_flows": count}}
        api.update("virtual-machine-interface", uuid, fields)

        def installed():
            rows = read_table(socket_path, "interfaces", where={"vmi_uuid": uuid})
            return [row for row in rows if row["flow_count_max"] == count]

        eventually(installed, f"the limit is {count}")

    set_limit(LIMIT)

    def owned():
        """How many flows each port of the host has, by name; all those of nobody under ``""``."""
        rows = read_table(socket_path, "flows", where={"is_reverse": "False"}, limit=100_000)
        names = {lab.attached(item.name).uuid: item.name for item in lab.plugged()}
        return Counter(names.get(row["vmi_uuid"], row["vmi_uuid"]) for row in rows)

    yield owned
    set_limit(0)


def arriving(lab, members):
    """How many of many new connections of blue-web1 reach blue-web2."""
    name, port = lab.plan.namespace_of("blue-web2"), 7777
    target = str(members["blue-web2"].address(version=4))
    with netns.open_socket(name, socket.AF_INET, socket.SOCK_DGRAM, 0) as listener:
        listener.bind(("", port))
        listener.settimeout(5.0)
        for _ in range(NEW):
            # Each from a port of its own: a flow of its own.
            place = lab.plan.namespace_of("blue-web1")
            with netns.open_socket(place, socket.AF_INET, socket.SOCK_DGRAM, 0) as sender:
                sender.sendto(b"new", (target, port))
        return sum(1 for _ in range(NEW) if listener.recv(64))


def test_flood_of_one_workload_leaves_established_and_new_flows_of_others(
    lab, members, ping, limited, drop_growth
):
    own = members["red-web1"].address(version=4)
    other = members["red-web2"].address(version=4)
    refused = drop_growth("red-web1")
    neighbours, mine = ping("blue-web1", "blue-web2"), ping("red-web1", "red-web2")
    rng = random.Random(5)
    place = lab.plan.namespace_of("red-web1")
    began = time.monotonic()

    with netns.open_socket(place, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as flood:
        for _ in range(PACKETS):
            ports = rng.randrange(1, 65536), rng.randrange(1, 65536)
            flood.sendto(datagram(own, other, ports), (str(other), 0))
    took_s = time.monotonic() - began
    arrived = arriving(lab, members)

    outcomes = {"neighbours": neighbours.stop(), "flooder's own": mine.stop()}
    drops, owned = refused(), limited()
    flows = owned["red-web1"]
    print(
        f"\n{PACKETS} packets of new flows in {took_s:.1f} s: {flows} flows made, dropped {drops};"
        f" {arrived} of {NEW} new flows of a neighbour arrived; established: "
        + ", ".join(f"{name} lost {o.lost} of {o.sent}" for name, o in outcomes.items())
    )
    assert arrived == NEW
    assert [each.lost for each in outcomes.values()] == [0, 0]
    # Flows that others began to it, while the lab came up, are of its share too.
    assert LIMIT - 100 <= flows <= LIMIT + 8, (owned, limited())
    assert drops.keys() <= {"FLOW_LIMIT", "SPOOFED_MAC"}
    assert drops["FLOW_LIMIT"] >= PACKETS - LIMIT - 200
