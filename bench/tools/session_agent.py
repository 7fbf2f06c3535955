"""The part of an agent that tells sessions: ``session_agent.py RING_FD WANTED_FD COUNTERS_FD PORT PER_SECOND``.

A process of its own, with the names of a host of many ports, so that its processor time is its own: from the ring to
the analytics node at ``PORT``. Prints the kinds of sessions it knows as JSON, then counts as JSON for each line it is given.
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from skytrail.agent.config import ConfigGraph
from skytrail.agent.io.bpf_syscall import BpfMap, possible_cpu_count
from skytrail.agent.io.ebpf_sessions import SessionRecords
from skytrail.agent.io.session_export import SessionExport
from skytrail.agent.io.session_log import SessionLogPages
from skytrail.agent.io.settings import AgentSettings
from skytrail.agent.tables import VerdictRow
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.telemetry import (
    Collectors,
    SessionSource,
    Telemetry,
    hello_of_this_process,
)
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, rule, subnet

PORTS = 500
NETWORKS = 50


def _world() -> AgentHost:
    """A host whose ports are in many networks, each with an access list that lets all of them in."""
    config = ConfigBuilder()
    networks = [
        config.network(f"net{n}", 10 + n, [subnet(f"10.{n}.0.0/16")]) for n in range(NETWORKS)
    ]
    ends = [{"virtual_network": f"{PROJECT}:net{n}"} for n in range(NETWORKS)]
    for n, network in enumerate(networks):
        config.access_list(network, f"net{n}", [rule(ends[n], end) for end in ends])
    host = AgentHost()
    for n in range(PORTS):
        config.port(f"port{n}", networks[n % NETWORKS], [f"10.{n % NETWORKS}.1.{n // NETWORKS}"])
        host.plug(f"port{n}", 100 + n)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host


def _kinds(host: AgentHost) -> dict[str, Any]:
    desired = host.desired
    rows = desired.rows[VerdictRow].values()
    nexthops = [
        host.numbers.nexthop.number(f"tunnel:MPLS_UDP:l3:192.0.2.{n}") for n in range(10, 60)
    ]
    return {
        "vifs": [host.vif(f"port{n}") for n in range(PORTS)],
        "rules": sorted({row.rule_id for row in rows if isinstance(row, VerdictRow)}),
        "identities": sorted(key for key, each in desired.identities.items() if each.networks),
        "nexthops": nexthops,
    }


async def main() -> None:
    ring, wanted, counters, port, per_second = map(int, sys.argv[1:])
    host = _world()
    maps = {
        "sessions": BpfMap("sessions", ring, key_bytes=0, value_bytes=0, entries=4 << 20),
        "sessions_wanted": BpfMap("wanted", wanted, key_bytes=4, value_bytes=4, entries=1),
        "session_counters": BpfMap(
            "counters", counters, key_bytes=4, value_bytes=16 * possible_cpu_count(), entries=1
        ),
    }
    source = SessionRecords(maps)
    agent = cast(
        "Any",
        SimpleNamespace(
            numbers=host.numbers,
            desired=host.desired,
            sessions=SimpleNamespace(graph=ConfigGraph()),
            datapath=SimpleNamespace(sessions=lambda: source),
            closing=[],
        ),
    )
    settings = AgentSettings(
        name="h1",
        controls=(),
        underlay=(),
        address=ip_address("192.0.2.1"),
        state=Path(),
        plug_socket=Path(),
        sessions_per_second=per_second,
    )
    export = SessionExport(agent, settings, SystemClock())
    telemetry = Telemetry(
        hello_of_this_process("h1", "Compute", "agent"),
        _nothing,
        Collectors([("127.0.0.1", port)]),
        SystemClock(),
        sessions=SessionSource(export.take, export.lost, export.per_second),
    )
    telling = asyncio.create_task(telemetry.run())
    SessionLogPages(agent).tap(export.note)
    print(json.dumps(_kinds(host)), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        counts = dict(export.lost()) | {"unkept": telemetry.unkept_count}
        print(json.dumps(counts), flush=True)
    telling.cancel()


async def _nothing() -> list[Any]:
    return []


if __name__ == "__main__":
    asyncio.run(main())
