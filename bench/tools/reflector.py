"""Our control node as a route reflector for the bench: plane and BGP server, no API, no agents.

    reflector.py ADDRESS AS CLIENT...

On SIGUSR1, and when it is ended, it prints the longest its event loop was busy without a pause
since the last time, in milliseconds of CPU: a heart beats every few milliseconds, and what was used
between two beats was one block.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from ipaddress import IPv4Address

import structlog
import uvloop

from skytrail.control.io.bgp import BgpServer
from skytrail.control.io.xmpp import XmppServer
from skytrail.control.limits import Limits
from skytrail.control.plane import ControlPlane
from skytrail.runtime import logs
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.garbage import ShortCollections
from skytrail.testing.control_plane import bgp_router

NODE = "control1"
BEAT_S = 0.002
TICK_S = 0.25


async def serve(address: str, asn: int, clients: list[str]) -> None:
    clock = SystemClock()
    plane = ControlPlane(Limits(deferral_time_s=0.1), NODE)
    agents = XmppServer(plane, clock, 90)
    bgp = BgpServer(plane.bgp, clock, agents.schedule_flush, restart_time_s=60)
    agents.on_flush = bgp.flush
    peers = [(f"client{number}", {"passive": True}) for number in range(len(clients))]
    plane.config_replace(
        [
            bgp_router(NODE, address, asn=asn, peers=peers, cluster_id=int(IPv4Address(address))),
            *(
                bgp_router(name, client, asn=asn, router_type="router")
                for (name, _), client in zip(peers, clients, strict=True)
            ),
        ]
    )
    plane.commit(1, clock.now())
    await bgp.listen([address], 179)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    heart = Heart()
    loop.add_signal_handler(signal.SIGUSR1, heart.tell)
    collections = ShortCollections()
    beating = asyncio.create_task(heart.beat(ended))
    while not ended.is_set():
        agents.tick()
        bgp.tick()
        collections.tidy()
        await asyncio.wait({loop.create_task(ended.wait())}, timeout=TICK_S)
    await beating
    heart.tell()
    bgp.close()


class Heart:
    """Measures the most CPU time that passes between two turns of the loop."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def beat(self, ended: asyncio.Event) -> None:
        before = time.thread_time()
        while not ended.is_set():
            await asyncio.sleep(BEAT_S)
            now = time.thread_time()
            self.longest_s, before = max(self.longest_s, now - before), now

    def tell(self) -> None:
        print(f"{1000 * self.longest_s:.1f}", flush=True)
        self.longest_s = 0.0


def main() -> None:
    address, asn, *clients = sys.argv[1:]
    logs.configure(level="warning", json=False)
    structlog.get_logger("reflector")
    uvloop.run(serve(address, int(asn), clients))


if __name__ == "__main__":
    main()
