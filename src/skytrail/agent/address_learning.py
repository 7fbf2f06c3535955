r"""Which addresses are behind the ports of a host, beside the ports' own, and which MAC has each. Pure.

```
 ARP or ND of an address that is not known --learn--> a port has it --silent for its age--> asked
                         ^                                |                                  |  |
                         +--- answers, or speaks ---------+----------------------------------+  |
                                     forgotten <--others have it-- or no answer to three questions
```
What is configured counts more than what is learnt, as with MACs (``mac_learning``): a learnt address
is told with a lower preference than any port's, so whoever hears of it can tell. Whoever speaks last
has it, by a sequence number one above what is heard (RFC 7432 section 15), if it moves not too often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from skytrail.agent.fib import LearntRoute
from skytrail.agent.interface import LearntAddress
from skytrail.agent.learnt_moves import LearntMoves
from skytrail.agent.mac_config import MacLearning
from skytrail.agent.mac_learning import (
    HOST_COUNT_MAX,
    WhoHas,
    is_elsewhere,
    is_nobodys,
    is_of_port,
    loses,
)
from skytrail.agent.mobility import SEQUENCE_MAX
from skytrail.agent.port_config import Port
from skytrail.net import IpAddress, Mac

QUESTIONS_COUNT = 3
QUESTION_INTERVAL_S = 1.0
QUESTIONS_AT_ONCE_MAX = 256
"""The rest is asked at the next look."""
Claim = tuple[IpAddress, Mac]


@dataclass(frozen=True, slots=True)
class AddressOwners:
    """Who has an address, as far as the desired state knows."""

    is_port_here: bool = False
    """It is configured at a port of this host, or the vRouter's."""
    route: LearntRoute | None = None


@dataclass(frozen=True, slots=True)
class World:
    """Whom else there is."""

    who_has: Callable[[str, IpAddress], AddressOwners]
    who_has_mac: WhoHas
    own: IpAddress
    """Our tunnel address."""


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody is to be asked whether it still has an address."""

    port: str
    address: IpAddress
    mac: Mac


@dataclass(slots=True)
class _Entry:
    mac: Mac
    sequence: int
    seen_at: float
    asked_at: float = float("-inf")
    asked_count: int = 0


@dataclass(slots=True)
class _PortAddresses:
    vrf: str
    learning: MacLearning
    entries: dict[IpAddress, _Entry] = field(default_factory=dict[IpAddress, _Entry])


class AddressTable:
    """The addresses learnt by one host. ``learnt`` is replaced when it changes, never changed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.learnt: Mapping[str, tuple[LearntAddress, ...]] = {}
        self._ports: dict[str, _PortAddresses] = {}
        self._where: dict[tuple[str, IpAddress], str] = {}
        self._moves = LearntMoves[tuple[str, IpAddress]]()
        """To and within this host."""
        self._changed: set[str] = set()

    def restore(self, claims: Mapping[str, Collection[Claim]]) -> None:
        """Take for granted what was known before a restart, until its ports are active and it is asked."""
        self.learnt = {
            uuid: tuple([LearntAddress(address, mac, 0) for address, mac in known])
            for uuid, known in claims.items()
        }

    def learn(self, port: Port, claim: Claim, now: float, world: World) -> None:
        """A port said by ARP or ND that a MAC behind it has an address."""
        (address, mac), learning = claim, port.address_learning
        if learning is None:
            return
        state = self._port_addresses(port, learning, now)
        known = state.entries.get(address)
        if known is not None and known.mac == mac:
            known.seen_at, known.asked_count = now, 0
            return
        found = world.who_has(state.vrf, address)
        route = found.route if found.route and is_elsewhere(found.route, world.own) else None
        refusal = _refusal(port, claim, found, route) or self._refused_mac(
            state.vrf, mac, port, world
        )
        if refusal:
            self.counts[refusal] += 1
            return
        slot = (state.vrf, address)
        before = self._where.get(slot)
        if (before is not None or route is not None) and not self._may_move(slot, learning, now):
            return
        if known is None and len(state.entries) >= learning.limit_count:
            self.counts["addresses beyond the limit of a port"] += 1
            return
        if before is None and len(self._where) >= HOST_COUNT_MAX:
            self.counts["addresses beyond what the host has room for"] += 1
            return
        heard = [*_elsewhere(state.vrf, mac, world), *([route] if route else [])]
        sequence = max((each.sequence_number + 1 for each in heard), default=0)
        if before is not None:
            # Others need not hear of a move within the host, but of another MAC.
            sequence = max(sequence, self._ports[before].entries[address].sequence)
            self._forget(before, address)
        state.entries[address] = _Entry(mac, min(sequence, SEQUENCE_MAX), now)
        self._where[slot] = port.uuid
        self._changed.add(port.uuid)

    @staticmethod
    def _refused_mac(vrf: str, mac: Mac, port: Port, world: World) -> str:
        if mac == port.mac:
            return ""
        is_here = world.who_has_mac(vrf, mac).is_port_here
        is_ports = is_here or any(map(is_of_port, _elsewhere(vrf, mac, world)))
        return "addresses at MACs of other ports" if is_ports else ""

    def _may_move(self, slot: tuple[str, IpAddress], learning: MacLearning, now: float) -> bool:
        if self._moves.is_held(slot, now):
            self.counts["addresses that are held"] += 1
            return False
        if not self._moves.is_too_many(slot, learning, now):
            return True
        self.counts["addresses that moved too often"] += 1
        self._moves.hold(slot, now)
        return False

    def _port_addresses(self, port: Port, learning: MacLearning, now: float) -> _PortAddresses:
        state = self._ports.get(port.uuid)
        if state is not None and state.vrf == port.network.vrf:
            state.learning = learning
            return state
        restored = () if state is not None else self.learnt.get(port.uuid, ())
        if state is not None:
            self.forget_port(port.uuid)
        state = self._ports[port.uuid] = _PortAddresses(port.network.vrf, learning)
        for each in restored:
            slot = (state.vrf, each.address)
            if slot not in self._where:
                # To be asked at once: it may have gone meanwhile.
                seen_at = now - learning.age_s
                state.entries[each.address] = _Entry(each.mac, each.sequence, seen_at)
                self._where[slot] = port.uuid
        self._changed.add(port.uuid)
        return state

    def forget_port(self, uuid: str) -> None:
        """A port is gone, or plugged anew: it begins with nothing."""
        state = self._ports.pop(uuid, None)
        if state is not None:
            for address in state.entries:
                self._where.pop((state.vrf, address), None)
        if state is not None or uuid in self.learnt:
            self._changed.add(uuid)

    def _forget(self, uuid: str, address: IpAddress) -> None:
        state = self._ports[uuid]
        del state.entries[address]
        self._where.pop((state.vrf, address), None)
        self._changed.add(uuid)

    def follow(self, ports: Mapping[str, Port], now: float, world: World) -> None:
        """Take over what changed of the ports, and of what others have; ``ports`` that are plugged."""
        for uuid in set(self._ports) | set(self.learnt):
            port = ports.get(uuid)
            if port is None:
                continue
            learning = port.address_learning
            if learning is None:
                self.forget_port(uuid)
                continue
            state = self._port_addresses(port, learning, now)
            for address, entry in list(state.entries.items()):
                found = world.who_has(state.vrf, address)
                elsewhere = [found.route] if found.route else []
                if (
                    found.is_port_here
                    or not _is_inside(port, address)
                    or loses(entry.sequence, elsewhere, world.own)
                    or self._refused_mac(state.vrf, entry.mac, port, world)
                ):
                    self._forget(uuid, address)
            for address in list(state.entries)[learning.limit_count :]:
                self._forget(uuid, address)
        self._moves.release(now)
        self._moves.forget_others(self._where)

    def due(self, now: float) -> list[Question]:
        """Return who is to be asked now; forget who gave no answer."""
        questions: list[Question] = []
        for uuid, state in self._ports.items():
            age_s = state.learning.age_s
            for address, entry in list(state.entries.items()) if age_s else ():
                if now - entry.seen_at < age_s or now - entry.asked_at < QUESTION_INTERVAL_S:
                    continue
                if entry.asked_count >= QUESTIONS_COUNT:
                    self._forget(uuid, address)
                elif len(questions) < QUESTIONS_AT_ONCE_MAX:
                    entry.asked_at, entry.asked_count = now, entry.asked_count + 1
                    questions.append(Question(uuid, address, entry.mac))
        return questions

    def settle(self) -> bool:
        """Renew ``learnt``; tell whether it changed."""
        if not self._changed:
            return False
        learnt = dict(self.learnt)
        for uuid in self._changed:
            state = self._ports.get(uuid)
            if state is None or not state.entries:
                learnt.pop(uuid, None)
            else:
                learnt[uuid] = tuple(
                    [LearntAddress(a, e.mac, e.sequence) for a, e in state.entries.items()]
                )
        self._changed.clear()
        self.learnt = learnt
        return True

    def rows(self, now: float) -> Iterator[Mapping[str, object]]:
        """Yield what is learnt, for introspection."""
        for uuid, state in self._ports.items():
            for address, entry in state.entries.items():
                yield {
                    "vrf": state.vrf,
                    "address": str(address),
                    "mac": str(entry.mac),
                    "port": uuid,
                    "sequence": entry.sequence,
                    "silent_s": round(now - entry.seen_at, 1),
                    "asked": entry.asked_count,
                    "held": self._moves.is_held((state.vrf, address), now),
                }


def _elsewhere(vrf: str, mac: Mac, world: World) -> list[LearntRoute]:
    routes = world.who_has_mac(vrf, mac).routes
    return [each for each in routes if is_elsewhere(each, world.own)]


def _refusal(port: Port, claim: Claim, found: AddressOwners, route: LearntRoute | None) -> str:
    """Return why an address is not to be learnt; empty: nothing is against it."""
    address, mac = claim
    if is_nobodys(mac):
        return "addresses at MACs that nobody may have"
    if not _is_inside(port, address):
        return "addresses outside the network"
    if found.is_port_here or (route is not None and is_of_port(route)):
        return "addresses of ports"
    return ""


def _is_inside(port: Port, address: IpAddress) -> bool:
    """Whether a machine of the network may have an address."""
    subnet = port.network.subnet_of(address)
    if subnet is None or address in {subnet.gateway, subnet.service_address}:
        return False
    prefix = subnet.prefix
    ends = {prefix.network_address, prefix.broadcast_address}
    return address not in ends or prefix.num_addresses <= len(ends)
