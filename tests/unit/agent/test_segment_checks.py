"""Checks through transparent services: put in at one side, turned round at the other."""

from __future__ import annotations

import random

from skytrail.agent.health.board import HealthBoard
from skytrail.agent.tables import InetRouteRow
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of

SEGMENT = {
    "enabled": True,
    "health_check_type": "segment",
    "monitor_type": "PING",
    "delay": 2,
    "timeout": 1,
    "max_retries": 2,
}


class Wire:
    """A transparent service with both ports on one host; frames cross it while ``passes``."""

    def __init__(self):
        self.config = ConfigBuilder()
        self.host, self.now, self.passes, self.echoes = AgentHost(), 0.0, True, False
        self.board = HealthBoard(random.Random(7).random)
        copy = self.config.node("port-tuple", f"{PROJECT}:wire:copy")
        node = self.config.node(
            "service-health-check",
            f"{PROJECT}:through",
            service_health_check_properties=SEGMENT,
        )
        for index, side in enumerate(("left", "right")):
            network = self.config.network(side, 5 + index, [subnet(f"10.{index + 1}.0.0/24")])
            port = self.config.port(side, network, [f"10.{index + 1}.0.9"])
            properties = {"service_interface_type": side}
            known = self.config.nodes[port].properties
            self.config.node(
                port.type_name,
                port.name,
                **{**known, "virtual_machine_interface_properties": properties},
            )
            self.config.link(port, copy)
            chain = f"{PROJECT}:{side}:service-{uuid_of('chain')}-wire"
            instance = self.config.node("routing-instance", chain)
            here, there = ("02:00:00:00:00:01", "02:00:00:00:00:02")[:: 1 - 2 * index]
            tag = {"vlan_tag": 17, "src_mac": here, "dst_mac": there}
            self.config.link(
                port, instance, {**tag, "service_chain_address": f"10.{index + 1}.0.8"}
            )
            if side == "left":
                self.config.link(port, node)
        for index, side in enumerate(("left", "right")):
            self.host.plug(side, 10 + index)
        self.host.connect()
        self.host.configure(self.config.update())
        self.host.reconcile()
        self.send(self.board.follow(self.host.plugged, self.host.view.ports, 0.0))

    def send(self, frames):
        """Carry what goes in at one side to the other, as the datapath hands it over there."""
        sides = {self.host.plugged[uuid_of(each)].ifname: each for each in ("left", "right")}
        for ifname, frame in frames:
            assert frame[12:16] == bytes.fromhex("81000011")
            side = sides[ifname]
            out = side if self.echoes else {"left": "right", "right": "left"}[side]
            if self.passes:
                untagged = frame[:12] + frame[16:]
                found = self.board.receive_tagged(uuid_of(out), 17, untagged, self.now)
                self.send(found)

    def run(self, seconds):
        end = self.now + seconds
        while self.board.next_deadline <= end:
            self.now = self.board.next_deadline
            self.send(self.board.tick(self.now))
        self.now = end

    @property
    def is_up(self):
        return uuid_of("left") not in self.board.failing


def test_question_crosses_a_transparent_service_and_its_answer_comes_back():
    wire = Wire()
    assert not wire.is_up, "it has no routes until it has passed one"

    wire.run(3)
    assert wire.is_up

    wire.passes = False
    wire.run(6)
    assert not wire.is_up
    assert wire.board.failing[uuid_of("left")].workload, "the other side goes as well"

    wire.passes = True
    wire.run(3)
    assert wire.is_up


def test_service_that_throws_questions_back_has_not_passed_them():
    wire = Wire()
    wire.echoes = True

    wire.run(6)

    assert not wire.is_up


def test_both_ends_of_a_question_are_the_vrouter_s_in_the_chain_alone():
    wire = Wire()
    rows = wire.host.datapath.rows[InetRouteRow].values()

    ends = {(row.vrf_id, str(row.prefix)) for row in rows if str(row.prefix).startswith("169.254.")}

    chained = {number for name, number in wire.host.desired.vrfs.items() if ":service-" in name}
    assert len(chained) == 2
    assert {vrf for vrf, _ in ends} == chained
    assert {prefix for _, prefix in ends} == {"169.254.79.1/32", "169.254.79.2/32"}
