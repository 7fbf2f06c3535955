"""Moved workloads (RFC 7432 section 7.7): the host that a port was plugged on last wins.

A port that is plugged claims its MAC and addresses over whoever announces them elsewhere: with a
mobility sequence number one above. It does so once, soon after the plug; afterwards its numbers
stay, also over restarts, and a later plug on yet another host claims over them in turn. So two hosts
never outbid each other for one port, whatever they hear.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network

from skytrail.agent.fib import LearntRoute, LearntRoutes
from skytrail.agent.interface import PluggedPort
from skytrail.agent.port_config import Port
from skytrail.agent.sub_interfaces import by_parent
from skytrail.agent.view import View
from skytrail.net import IpAddress
from skytrail.wire.xmpp import EnetKey, Family

CLAIM_TIME_S = 10.0
"""How long after its activation a port claims: routes of a VRF that was not here before come late."""
SEQUENCE_MAX = (1 << 32) - 1
_ETHERTYPE_OFFSET = 12
_ETHERTYPE_IPV6 = b"\x86\xdd"
_ARP_SENDER_OFFSET = 28
_ND_TARGET_OFFSET = 62


def claim(
    claiming: Iterable[str],
    plugged: Mapping[str, PluggedPort],
    view: View,
    heard: tuple[LearntRoutes, IpAddress],
) -> Iterator[PluggedPort]:
    """Yield ports that must announce higher numbers than they do; ``heard`` ends with our address."""
    subs = by_parent(view.ports)
    for uuid in claiming:
        port, known = view.ports.get(uuid), plugged.get(uuid)
        if port is None or known is None:
            continue
        numbers = dict(known.sequences)
        # Sub-interfaces move with the port whose link they share.
        for each in (port, *subs.get(uuid, ())):
            for address, number in _heard(each, *heard):
                # Once: two hosts with the same port plugged at the same time must not race.
                numbers.setdefault(address, min(number + 1, SEQUENCE_MAX))
        sequences = tuple(sorted(numbers.items()))
        if sequences != known.sequences:
            yield replace(known, sequences=sequences)


def announced(
    uuid: str,
    address: IPv4Address | IPv6Address,
    plugged: Mapping[str, PluggedPort],
    view: View,
    heard: tuple[LearntRoutes, IpAddress],
) -> Iterator[PluggedPort]:
    """Yield the ports that change because a workload says that it has an address now.

    Only an address of a pair that one has at a time. The last to say so wins, by a sequence number
    above what others announce; others here have it no more. Saying it again changes nothing.
    """
    port, known, text = view.ports.get(uuid), plugged.get(uuid), str(address)
    prefix = ip_network(address)
    if port is None or known is None:
        return
    if not any(pair.prefix == prefix and not pair.is_shared for pair in port.address_pairs):
        return
    vrf = port.network.vrf
    others = [each for each in plugged.values() if _has_in_turn(each, view, vrf, text)]
    others = [each for each in others if each is not known]
    family = Family.INET if address.version == 4 else Family.INET6
    learnt = heard[0].winner(vrf, family, prefix)
    numbers = [dict(each.sequences)[text] for each in others]
    if learnt is not None and _is_elsewhere(learnt, heard[1]):
        numbers.append(learnt.sequence_number)
    highest = max(numbers, default=0)
    own = dict(known.sequences)
    if own.get(text, 0) <= highest:
        own[text] = min(highest + 1, SEQUENCE_MAX)
        yield replace(known, sequences=tuple(sorted(own.items())))
    for each in others:
        kept = tuple([entry for entry in each.sequences if entry[0] != text])
        yield replace(each, sequences=kept)


def announced_by(frame: bytes) -> IPv4Address | IPv6Address:
    """Return the address that a frame announces: the datapath hands over whole gratuitous ARP, and
    unsolicited neighbour advertisements without extension headers.
    """
    if frame[_ETHERTYPE_OFFSET : _ETHERTYPE_OFFSET + 2] == _ETHERTYPE_IPV6:
        return IPv6Address(frame[_ND_TARGET_OFFSET : _ND_TARGET_OFFSET + 16])
    return IPv4Address(frame[_ARP_SENDER_OFFSET : _ARP_SENDER_OFFSET + 4])


def _has_in_turn(plugged: PluggedPort, view: View, vrf: str, text: str) -> bool:
    port = view.ports.get(plugged.vmi_uuid)
    if port is None or port.network.vrf != vrf or text not in dict(plugged.sequences):
        return False
    return text not in map(str, port.addresses)


def _heard(port: Port, learnt: LearntRoutes, own: IpAddress) -> Iterator[tuple[str, int]]:
    """Yield (address, number) of what is announced elsewhere with the port's own MAC."""
    vrf = port.network.vrf
    for address in port.addresses:
        prefix = ip_network(address)
        family = Family.INET if address.version == 4 else Family.INET6
        routes = (
            learnt.winner(vrf, family, prefix),
            learnt.winner(vrf, Family.ENET, EnetKey(port.mac, prefix)),
        )
        inet, layer2 = routes
        # An address that others have as well (another MAC) is shared, not moved.
        if inet is not None and _is_ours_elsewhere(inet, port, own):
            yield str(address), inet.sequence_number
        elif inet is None and layer2 is not None and _is_elsewhere(layer2, own):
            yield str(address), layer2.sequence_number


def _is_elsewhere(learnt: LearntRoute, own: IpAddress) -> bool:
    return any(hop.address != own for hop in learnt.next_hops)


def _is_ours_elsewhere(learnt: LearntRoute, port: Port, own: IpAddress) -> bool:
    others = [hop for hop in learnt.next_hops if hop.address != own]
    return bool(others) and all(hop.mac == port.mac for hop in others)
