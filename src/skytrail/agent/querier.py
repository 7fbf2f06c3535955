"""Asks the workloads of a host which multicast groups they listen to, and keeps what they say. Pure.

Every port that takes reports is asked when it becomes active, a little later once more, and then
at intervals: IPv4 from its gateway's address, IPv6 from the gateway's link-local one. What comes
in by way of a report is bounded for each port (``membership``); what is no report is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.interface import ActivePort, PortState
from skytrail.agent.membership import (
    LAST_RESPONSE_TIME_S,
    QUERY_INTERVAL_S,
    RESPONSE_TIME_S,
    ROBUSTNESS,
    Groups,
    Listening,
    PortMembership,
    Question,
)
from skytrail.agent.responders.dhcp6_ra import ROUTER_ADDRESS
from skytrail.agent.tables import GroupRow, NextHopId, NextHopRow
from skytrail.net import GATEWAY_MAC, IpAddress, Mac
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    EthernetFrame,
    IpPacket,
    decode_ethernet,
    decode_ip,
)
from skytrail.wire.igmp import decode_reports, encode_query

QUESTIONS_COUNT_MAX = 512
"""Of one port that are to be repeated: beyond them none are asked for a moment."""
STARTUP_INTERVAL_S = QUERY_INTERVAL_S / 4
_DIGITS = re.compile("[0-9]+")
_NOBODY = IPv4Address(0)


@dataclass(slots=True)
class _Port:
    membership: PortMembership = field(default_factory=PortMembership)
    next_query: float = 0.0
    queries: int = 0
    again: dict[Question, float] = field(default_factory=dict[Question, float])
    """Questions to repeat, with the time. None of them is asked anew before, whoever leaves."""

    def to_ask(self, questions: Iterable[Question], now: float) -> tuple[list[Question], int]:
        """Return what to ask now, and how many questions there is no room for."""
        fresh = [each for each in dict.fromkeys(questions) if each not in self.again]
        room = QUESTIONS_COUNT_MAX - len(self.again)
        asked = fresh[:room]
        self.again.update(dict.fromkeys(asked, now + LAST_RESPONSE_TIME_S))
        return asked, len(fresh) - len(asked)


class Querier:
    """One host's side of IGMP and MLD."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._ports: dict[str, _Port] = {}
        self._restored: dict[str, dict[IpAddress, Listening]] = {}

    def groups(self) -> dict[str, Groups]:
        """What each port that was asked listens to, or listened to before a restart."""
        asked = {uuid: port.membership.groups for uuid, port in self._ports.items()}
        return {**self._restored, **asked}

    def restore(self, rows: Iterable[GroupRow], owners: Mapping[NextHopId, str]) -> None:
        """Take over from the kernel what the ports listened to before a restart."""
        taken: dict[tuple[str, IpAddress], set[IpAddress | None]] = {}
        named: dict[IpAddress, set[IpAddress]] = {}
        for row in rows:
            if row.group is None:
                continue
            if row.source is not None:
                named.setdefault(row.group, set()).add(row.source)
            for nexthop, _ in row.members:
                if nexthop in owners:
                    taken.setdefault((owners[nexthop], row.group), set()).add(row.source)
        for (uuid, group), sources in taken.items():
            wanted = frozenset(source for source in sources if source is not None)
            listening = Listening(wanted=wanted)
            if None in sources:
                unwanted = frozenset(named.get(group, ())) - wanted
                listening = Listening(takes_all=True, unwanted=unwanted)
            self._restored.setdefault(uuid, {})[group] = listening

    def receive(self, active: ActivePort, frame: bytes, now: float) -> list[bytes]:
        """Take a report of a workload; return what to ask it because of that."""
        port = self._ports.get(active.port.uuid)
        if port is None or not active.port.takes_reports:
            self.counts["reports of ports that are not asked"] += 1
            return []
        try:
            packet = decode_ip(decode_ethernet(frame).payload)
            records = decode_reports(packet)
        except DecodeError as error:
            self.counts[_DIGITS.sub("N", f"malformed: {error.reason}")[:100]] += 1
            return []
        if not _is_its_own(active, packet):
            self.counts["reports with another's address"] += 1
            return []
        self.counts["reports"] += 1
        said = port.membership.receive(records, now, self.counts)
        self.counts["leaves put off"] += port.membership.is_held
        questions, beyond = port.to_ask(said, now)
        if beyond:
            self.counts["leaves beyond what is asked about"] += beyond
        return [_frame(_ask(active, question)) for question in questions]

    def tick(self, ports: Mapping[str, PortState], now: float) -> list[tuple[str, bytes]]:
        """Let time pass; return (interface, frame) of queries that are due."""
        asked = {
            uuid: state
            for uuid, state in ports.items()
            if isinstance(state, ActivePort)
            and state.port.takes_reports
            and state.plugged.tag is None
        }
        for uuid in self._ports.keys() - asked.keys():
            del self._ports[uuid]
        due: list[tuple[str, bytes]] = []
        for uuid, active in asked.items():
            port = self._ports.get(uuid)
            if port is None:
                port = self._ports[uuid] = _Port()
                port.membership.restore(self._restored.pop(uuid, {}), now)
            port.membership.tick(now)
            packets: list[bytes] = []
            if now >= port.next_query:
                port.queries += 1
                wait_s = QUERY_INTERVAL_S if port.queries >= ROBUSTNESS else STARTUP_INTERVAL_S
                port.next_query = now + wait_s
                packets += _general(active)
            for question in [each for each, at in port.again.items() if at <= now]:
                packets.append(_ask(active, question))
                del port.again[question]
            due += [(active.plugged.ifname, _frame(packet)) for packet in packets]
        return due


def owners_of(nexthops: Iterable[NextHopRow], ports: Mapping[int, str]) -> dict[NextHopId, str]:
    """Return the port of each next hop that delivers frames; ``ports`` by interface number."""
    return {
        row.nexthop_id: ports[row.vif_id] for row in nexthops if row.layer2 and row.vif_id in ports
    }


def _is_its_own(active: ActivePort, packet: IpPacket) -> bool:
    """Tell whether a report is sent from where the workload may send (its MAC was looked at)."""
    source, port = packet.source, active.port
    if not port.port_security or isinstance(source, IPv6Address) or source == _NOBODY:
        return True
    return source in port.addresses or any(source in p.prefix for p in port.address_pairs)


def _general(active: ActivePort) -> Iterator[bytes]:
    for version in (4, 6):
        if any(address.version == version for address in active.port.addresses):
            yield encode_query(
                _own(active, version), response_time_s=RESPONSE_TIME_S, interval_s=QUERY_INTERVAL_S
            )


def _ask(active: ActivePort, question: Question) -> bytes:
    return encode_query(
        _own(active, question.group.version),
        question.group,
        question.sources,
        response_time_s=LAST_RESPONSE_TIME_S,
        interval_s=QUERY_INTERVAL_S,
    )


def _own(active: ActivePort, version: int) -> IpAddress:
    """The querier's address; without a gateway nobody's, which is heard but elects nobody."""
    if version == 6:
        return ROUTER_ADDRESS
    for subnet in active.port.network.subnets:
        if isinstance(subnet.gateway, IPv4Address):
            return subnet.gateway
    return _NOBODY


def _frame(packet: bytes) -> bytes:
    """A packet to a group in a frame to the MAC of that group (RFC 1112, RFC 2464)."""
    group = decode_ip(packet).destination.packed
    if len(group) == 4:
        mac = Mac(bytes((1, 0, 0x5E, group[1] & 0x7F)) + group[2:])
        return EthernetFrame(mac, GATEWAY_MAC, ETHERTYPE_IPV4, packet).encode()
    return EthernetFrame(
        Mac(b"\x33\x33" + group[12:]), GATEWAY_MAC, ETHERTYPE_IPV6, packet
    ).encode()
