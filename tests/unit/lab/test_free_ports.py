"""Ports of labs: those of others, and those the system gives to connections, are not taken."""

import socket
from pathlib import Path

from skytrail.lab import state
from skytrail.lab.io.machine import free_port
from skytrail.lab.state import LabState


def test_wanted_port_is_taken_when_nobody_has_it():
    wanted = free_port()

    assert free_port(wanted) == wanted


def test_port_somebody_listens_at_or_says_is_his_is_not_chosen():
    with socket.create_server(("127.0.0.1", 0)) as rival:
        occupied = rival.getsockname()[1]
        assert free_port(occupied) != occupied
    said = free_port()
    assert free_port(said, taken={said}) != said


def test_chosen_port_is_none_that_the_system_gives_to_connections():
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    assert max(free_port() for _ in range(20)) < first


def test_lab_whose_daemons_are_down_keeps_its_ports(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    for name, ports in (("mine", (8082, 8081)), ("other", (9082, 9081))):
        state.write(
            LabState(
                name=name, source="", topology_text="", api_port=ports[0], analytics_port=ports[1]
            )
        )

    assert state.ports_taken(but_of="mine") == {9082, 9081}
    assert state.ports_taken(but_of="new") == {8082, 8081, 9082, 9081}
