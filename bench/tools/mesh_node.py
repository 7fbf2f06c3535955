"""One of several control nodes for the bench: agents, BGP to the others, no API.

    mesh_node.py NUMBER COUNT SHAPE BGP_PORT XMPP_PORT NETWORKS AGENTS

Node NUMBER of COUNT listens on 127.77.0.NUMBER. SHAPE is ``mesh``, or ``reflectors``: the first two
reflect for all others. On SIGUSR1 it prints, as JSON, the VPN paths it holds and the longest its
loop was busy in one go since the last time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from ipaddress import IPv4Address

import uvloop
from bench.tools.reflector import TICK_S, Heart

from skytrail.control.io.bgp import BgpServer
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.limits import Limits
from skytrail.control.plane import ControlPlane
from skytrail.model.config_object import ConfigObject
from skytrail.runtime import logs
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.garbage import ShortCollections
from skytrail.testing.control_plane import bgp_router, routing_instance, virtual_router

HOLD_TIME_S = 900.0
REFLECTORS = (1, 2)
DEFERRAL_TIME_S = 1.0


def address_of(number: int) -> str:
    return f"127.77.0.{number}"


def peers_of(number: int, count: int, shape: str) -> list[int]:
    """Return the nodes of higher numbers that a node speaks with."""
    return [
        other
        for other in range(number + 1, count + 1)
        if shape == "mesh" or number in REFLECTORS or other in REFLECTORS
    ]


def routers(count: int, shape: str, port: int) -> list[ConfigObject]:
    found: list[ConfigObject] = []
    for number in range(1, count + 1):
        reflects = shape == "reflectors" and number in REFLECTORS
        peers = [(f"node{other}", {}) for other in peers_of(number, count, shape)]
        address = address_of(number)
        cluster_id = int(IPv4Address(address)) if reflects else None
        found.append(
            bgp_router(f"node{number}", address, peers=peers, port=port, cluster_id=cluster_id)
        )
    return found


async def serve(
    number: int, count: int, shape: str, bgp_port: int, xmpp_port: int, networks: int, agents: int
) -> None:
    clock = SystemClock()
    plane = ControlPlane(Limits(deferral_time_s=DEFERRAL_TIME_S), f"node{number}")
    server = XmppServer(plane, clock, HOLD_TIME_S)
    bgp = BgpServer(plane.bgp, clock, server.schedule_flush, restart_time_s=60)
    server.on_flush = bgp.flush
    plane.config_replace(
        [
            *routers(count, shape, bgp_port),
            routing_instance("shared", both=[1]),
            *(routing_instance(f"n{each}", both=[2 + each]) for each in range(networks)),
            *(virtual_router(f"agent-{each}") for each in range(agents)),
        ]
    )
    plane.commit(1, clock.now())
    await server.listen(address_of(number), xmpp_port)
    await bgp.listen([address_of(number)], bgp_port)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    heart = Heart()

    def tell() -> None:
        paths = sum(map(len, plane.replicator.vpn.values()))
        up = sum(peer.is_up for peer in plane.bgp.peers.values())
        block_ms, heart.longest_s = 1000 * heart.longest_s, 0.0
        print(json.dumps({"paths": paths, "peers": up, "block_ms": block_ms}), flush=True)

    loop.add_signal_handler(signal.SIGUSR1, tell)
    collections = ShortCollections()
    beating = asyncio.create_task(heart.beat(ended))
    print("ready", flush=True)
    while not ended.is_set():
        server.tick()
        bgp.tick()
        collections.tidy()
        await asyncio.wait({loop.create_task(ended.wait())}, timeout=TICK_S)
    await beating
    bgp.close()


def main() -> None:
    number, count, shape, *numbers = sys.argv[1:]
    logs.configure(level="warning", json=False)
    uvloop.run(serve(int(number), int(count), shape, *map(int, numbers)))


if __name__ == "__main__":
    main()
