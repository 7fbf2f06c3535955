"""A real packet after a trace: sent by the agent of its port, looked for by those of all hosts on its way.

```
 trace --> hosts of its legs --+--> /introspect/probe?token=         each in a thread of its own
                               `--> the sender's, with send=UUID     after a moment, when the others look
```
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from skytrail.api.documents import Document
from skytrail.api.io.path_trace import Question, Unreachable, Untraceable
from skytrail.daemons.traced_agents import Agents
from skytrail.lab.packet_probe import Hop, ProbeResult
from skytrail.lab.trace import TraceError, TraceResult
from skytrail.lab.wording import readable
from skytrail.runtime.introspection import IntrospectionFailed
from skytrail.wire.probe import NUMBERS, TOKEN_BYTES

SECONDS: Final = 3
HOSTS_COUNT_MAX: Final = 16
"""That look for one probe; chains of services pass some."""
_SOURCE_PORTS: Final = (40_000, 60_000)


def probe_source_port() -> int:
    """Return a port that hardly belongs to a connection the workload has."""
    return random.randrange(*_SOURCE_PORTS)


def checked_probe(question: Question) -> None:
    """Refuse what no probe can be made of."""
    if question.protocol not in NUMBERS:
        raise Untraceable(f"A probe is of {', '.join(NUMBERS)}; trace {question.protocol} without")


def probed(result: TraceResult, agents: Mapping[str, Agents], names: Mapping[str, str]) -> Document:
    """Send the packet of a trace and return where it was seen; ``Untraceable``, ``Unreachable``."""
    source, destination, packet = result.source, result.destination, result.packet
    if source.behind:
        raise Untraceable(f"{source.name} is behind a port: a probe is sent from a port")
    try:
        target = result.asked_address
    except TraceError as error:
        raise Untraceable(f"A probe is sent to an address: {error}") from error
    token = secrets.token_hex(TOKEN_BYTES)
    query = {"token": token, "proto": packet.protocol, "seconds": str(SECONDS)}
    query |= {"port": str(packet.port)} if packet.port else {}
    query |= {"version": str(target.version)}
    # A neighbour's own MAC within a network; the gateway's beyond.
    is_one = destination.mac and not destination.sharers
    on_link = is_one and destination.network == source.network
    sending = {
        **query, "send": source.uuid, "destination": str(target),
        "sport": str(packet.source_port), **({"mac": destination.mac} if on_link else {}),
    }  # fmt: skip
    way = [source.host, *(leg.host for leg in result.legs), destination.host]
    hosts = [name for name in dict.fromkeys(way) if name in agents][:HOSTS_COUNT_MAX]

    def look(host: str) -> list[dict[str, object]]:
        try:
            return agents[host].read(host, "probe", sending if host == source.host else query)
        except IntrospectionFailed as error:
            raise Unreachable(f"{host} does not probe: {error}") from error

    with ThreadPoolExecutor(len(hosts)) as threads:
        rows = dict(zip(hosts, threads.map(look, hosts), strict=True))
    seen = [(host, row) for host in hosts for row in rows[host]]
    # Clocks of hosts differ: the order of the way goes before that of time, unless it passes a host twice.
    if len(result.legs) != len({leg.host for leg in result.legs}):
        seen.sort(key=lambda each: int(str(each[1]["time_ns"])))
    hops = tuple(_hop(host, row) for host, row in seen)
    found = ProbeResult(hops, result)
    return {
        "agrees": found.agrees,
        "seen": found.seen,
        "summary": readable(found.summary()),
        "hops": [_shown(host, row, names) for host, row in seen],
    }


def _hop(host: str, row: Mapping[str, object]) -> Hop:
    point, reason = str(row["point"]), str(row["reason"])
    what = f"dropped: {reason}" if reason else point
    return Hop(host, str(row["port"] or row["ifname"]), what, int(str(row["time_ns"])))


def _shown(host: str, row: Mapping[str, object], names: Mapping[str, str]) -> Document:
    uuid = str(row["vmi_uuid"])
    return {
        "host": host,
        "point": row["point"],
        "drop_reason": row["reason"],
        "port": names.get(uuid, str(row["port"])),
        "link": row["ifname"],
        "vrf": row["vrf"],
        "time_ns": row["time_ns"],
    }
