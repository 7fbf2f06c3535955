"""A whole agent and a control node: what the agent says of its kernel, and what is believed of it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from skytrail.agent import control_sessions
from skytrail.agent.interface import PluggedPort
from skytrail.agent.io.settings import AgentSettings
from skytrail.agent.io.state import StateFolder
from skytrail.agent.service import AgentService
from skytrail.agent.tables import InterfaceKind
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.control.progress import Progress
from skytrail.runtime.clock import SystemClock
from skytrail.testing.control_plane import SYSTEM, build, routing_instance, virtual_router
from skytrail.testing.fake_datapath import FakeDatapath

PATIENCE_S = 30.0
NETWORK = ["default-domain", "p", "red"]
PORT = build(
    "virtual-machine-interface",
    ["default-domain", "p", "port"],
    parent="project",
    refs=[("virtual-machine", ["vm"], None), ("virtual-network", NETWORK, None)],
    fields={"virtual_machine_interface_mac_addresses": {"mac_address": ["02:00:00:00:00:01"]}},
)
OBJECTS = (
    build("global-system-config", [SYSTEM]),
    build("project", NETWORK[:-1], parent="domain"),
    build("virtual-network", NETWORK, parent="project"),
    build("virtual-machine", ["vm"]),
    routing_instance("red", both=[1]),
    virtual_router("host", ["vm"]),
    PORT,
)


class World:
    """Both ends on loopback; the loopback link stands in for a workload's."""

    def __init__(self, folder: Path) -> None:
        self.plane = ControlPlane()
        self.plane.config_replace(OBJECTS)
        self.commit()
        self.datapath = FakeDatapath()
        self.folder = folder
        plugged = PluggedPort(PORT.uuid, "", "lo", InterfaceKind.WORKLOAD_VETH)
        StateFolder(folder).save_ports([plugged])

    def commit(self) -> None:
        self.plane.commit(self.plane.revision + 1, SystemClock().now())

    def progress(self) -> Progress | None:
        peer = next(iter(self.plane.peers.values()), None)
        return None if peer is None else peer.progress

    def revision(self) -> int | None:
        progress = self.progress()
        return None if progress is None else progress.revision(self.plane.revision)

    def messages(self) -> int:
        """Sent to the agent, without the two ends that every session is told at some time."""
        peer = self.plane.peers["host"]
        return peer.counters.messages_out - peer.end_of_rib_sent - peer.end_of_config_sent

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.02)

    def run(self, scenario: Callable[[World], object]) -> None:
        async def serve() -> None:
            server = XmppServer(self.plane, SystemClock(), 90.0)
            listener = await server.listen("127.0.0.1", 0)
            settings = AgentSettings(
                name="host",
                controls=(("127.0.0.1", int(listener.sockets[0].getsockname()[1])),),
                underlay=("lo",),
                address=IPv4Address("127.0.0.1"),
                state=self.folder,
                plug_socket=self.folder / "plug",
            )
            agent = AgentService(settings, self.datapath)

            async def tick() -> None:
                while True:
                    await asyncio.sleep(0.1)
                    server.tick()

            tasks = [
                asyncio.ensure_future(agent.run(when_ready=lambda: None)),
                asyncio.ensure_future(tick()),
            ]
            try:
                await scenario(self)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                server.close()
                listener.close()

        asyncio.run(serve())


def test_kernel_that_refuses_is_reported_until_it_takes_everything(tmp_path) -> None:
    world = World(tmp_path)
    world.datapath.refuse = OSError(errno.ENOSPC, "No space left on device")

    async def scenario(_: World) -> None:
        await world.until(lambda: world.revision() == 0 and world.progress().problem)
        assert "No space left on device" in world.progress().problem
        world.datapath.refuse = None
        await world.until(lambda: world.revision() == world.plane.revision)
        assert world.progress().problem == ""

    world.run(scenario)


def test_port_that_lacks_something_is_reported_by_its_uuid(tmp_path) -> None:
    world = World(tmp_path)

    async def scenario(_: World) -> None:
        await world.until(lambda: world.revision() == world.plane.revision)
        await world.until(lambda: world.progress().troubles)
        (trouble,) = world.progress().troubles
        assert (trouble.uuid, trouble.reason) == (PORT.uuid, "no instance-ip has arrived")

    world.run(scenario)


def test_change_counts_as_soon_as_it_is_written_and_costs_two_messages(tmp_path) -> None:
    world = World(tmp_path)

    async def scenario(_: World) -> None:
        await world.until(lambda: world.revision() == world.plane.revision)
        sent = world.messages()
        world.plane.config_put(build("virtual-network", ["default-domain", "p", "blue"],
                                     parent="project"))  # fmt: skip
        world.commit()
        assert world.revision() == world.plane.revision

        world.plane.config_put(
            build("virtual-network", NETWORK, parent="project", fields={"mtu": 1400})
        )
        world.commit()
        assert world.revision() == world.plane.revision - 1
        await world.until(lambda: world.revision() == world.plane.revision)
        # The object and the mark; of the network that nobody here uses, nothing.
        assert world.messages() == sent + 2

    world.run(scenario)


def test_agent_leaves_interfaces_to_another_version_until_its_tables_are_whole(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(control_sessions, "STALE_SWEEP_DELAY_S", 0.2)
    world = World(tmp_path)
    loopback = socket.if_nametoindex("lo")
    world.datapath.before = {loopback}
    world.datapath.refuse = OSError(errno.ENOSPC, "No space left on device")

    async def scenario(_: World) -> None:
        await world.until(lambda: world.progress() and world.progress().problem)
        assert (world.datapath.attached, world.datapath.before) == (set(), {loopback})
        world.datapath.refuse = None
        await world.until(lambda: world.revision() == world.plane.revision)
        assert loopback in world.datapath.attached
        assert world.datapath.before == set()

    world.run(scenario)
