"""Gathers what :mod:`skytrail.agent.uves` tells: counters of the kernel, sessions, drops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from skytrail.agent.service import AgentService
from skytrail.agent.uves import VROUTERS, HostState, LinkCounters, uves
from skytrail.runtime.telemetry import usage_of_this_process
from skytrail.wire.telemetry import Uve, node_status

MODULE = "contrail-vrouter-agent"
NODE_TYPE = "Compute"
_LINKS = Path("/proc/self/net/dev")


async def uves_of(service: AgentService) -> list[Uve]:
    """Return all that a host tells."""
    drops = await service.in_datapath_thread(service.datapath.drop_counts)
    return list(_uves(service, drops))


def _uves(service: AgentService, drops: Mapping[str, int]) -> Iterator[Uve]:
    name = service.settings.name
    sessions = [connection.row() for connection in service.connections]
    host = HostState(
        name=name,
        address=str(service.settings.address),
        sessions=sessions,
        counters=link_counters(_LINKS.read_text(encoding="ascii", errors="replace")),
        drops=drops,
    )
    yield node_status(
        VROUTERS,
        name,
        MODULE,
        unmet=service.unmet(),
        connections=[
            {
                "type": "XMPP",
                "name": f"control-node:{row['source']}",
                "server_addrs": [row["source"]],
                "status": "Up" if row["state"] == "established" else "Down",
                "description": str(row["last_reason"]),
            }
            for row in sessions
        ],
        usage=usage_of_this_process(),
    )
    yield from uves(host, service.desired)


def link_counters(text: str) -> dict[str, LinkCounters]:
    """Read ``/proc/net/dev``: what the host's end receives is what the workload sends."""
    found: dict[str, LinkCounters] = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = rest.split()
        if len(numbers) >= 10:
            found[name.strip()] = LinkCounters(
                in_packets=int(numbers[9]),
                in_bytes=int(numbers[8]),
                out_packets=int(numbers[1]),
                out_bytes=int(numbers[0]),
            )
    return found
