"""Gathers what :mod:`skytrail.agent.uves` tells: counters of the kernel, sessions, drops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from skytrail.agent.interface import ActivePort
from skytrail.agent.io.table_use import TableUsage
from skytrail.agent.plugin import Delivered
from skytrail.agent.service import AgentService
from skytrail.agent.tables import VifId
from skytrail.agent.traffic_totals import LinkCounters, PortTraffic, TrafficTotals
from skytrail.agent.uves import VROUTERS, HostState, uves
from skytrail.runtime.telemetry import usage_of_this_process
from skytrail.wire.telemetry import Uve, node_status

MODULE = "contrail-vrouter-agent"
NODE_TYPE = "Compute"
_LINKS = Path("/proc/self/net/dev")
_NOTHING = Delivered()


async def uves_of(service: AgentService, usage: TableUsage, traffic: TrafficTotals) -> list[Uve]:
    """Return all that a host tells; ``traffic`` is kept from one call to the next."""
    vifs = dict(service.desired.vifs)

    def counted() -> tuple[Mapping[VifId, Delivered], Mapping[str, int]]:
        return service.datapath.delivered(vifs), service.datapath.drop_counts()

    delivered, drops = await service.in_datapath_thread(counted)
    given = {uuid: delivered.get(vif_id, Delivered()) for vif_id, uuid in vifs.items()}
    sent = _links()
    counters = {
        uuid: _counters(given.get(uuid, Delivered()), sent.get(state.plugged.ifname, _NOTHING))
        for uuid, state in service.desired.ports.items()
    }
    traffic.look(
        {
            uuid: PortTraffic(
                state.plugged.ifname,
                state.port.network.name if isinstance(state, ActivePort) else None,
                counters[uuid],
            )
            for uuid, state in service.desired.ports.items()
        }
    )
    return list(_uves(service, counters, drops, usage, traffic))


def totals_from_now() -> TrafficTotals:
    return TrafficTotals(_links())


def _links() -> dict[str, Delivered]:
    return link_counters(_LINKS.read_text(encoding="ascii", errors="replace"))


def _counters(given: Delivered, sent: Delivered) -> LinkCounters:
    return LinkCounters(given.packets, given.bytes, sent.packets, sent.bytes)


def _uves(
    service: AgentService,
    counters: Mapping[str, LinkCounters],
    drops: Mapping[str, int],
    usage: TableUsage,
    traffic: TrafficTotals,
) -> Iterator[Uve]:
    name = service.settings.name
    sessions = [connection.row() for connection in service.connections]
    host = HostState(
        name=name,
        address=str(service.settings.address),
        sessions=sessions,
        counters=counters,
        drops=drops,
        tables_high=sorted(usage.watch.high),
        tables_full=sorted(usage.watch.full),
        flow_limited=[service.desired.vifs.get(each, "") for each in usage.refused.now],
        balancers=list(service.balancers.counted()),
        out_of_ports=[service.desired.vifs.get(each, "") for each in usage.exhausted.now],
        traffic=traffic,
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


def link_counters(text: str) -> dict[str, Delivered]:
    """Read from ``/proc/net/dev`` what links received: what their workloads sent."""
    found: dict[str, Delivered] = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        numbers = rest.split()
        if len(numbers) >= 2:
            found[name.strip()] = Delivered(packets=int(numbers[1]), bytes=int(numbers[0]))
    return found
