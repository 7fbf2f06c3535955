r"""Which MACs are behind the ports of a host, beside the ports' own. Pure.

```
 frame of an unknown MAC --learn--> a port has it --silent for its age, or others have it--> forgotten
                                        \--seen at another port--> that one has it, if it moves not too often
```
What is configured counts more than what is learnt: no port gets the MAC of another port, here or
elsewhere. A MAC that another host announces is claimed with a sequence number one above (RFC 7432
section 15), and given up once somebody else claims it with a higher one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from skytrail.agent.fib import LearntRoute
from skytrail.agent.interface import LearntMacs
from skytrail.agent.learnt_moves import LearntMoves
from skytrail.agent.mac_config import LEARNT_PREFERENCE, MacAction, MacLearning
from skytrail.agent.mobility import SEQUENCE_MAX
from skytrail.agent.port_config import Port
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import EnetKey

HOST_COUNT_MAX = 16384
"""MACs of all ports together: the datapath's table has twice as many places, for while they move."""
_NOBODY = Mac(bytes(6))
_ROUTERS = b"\x02\x5e"
"""How MACs of vRouters as routers begin."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Who has a MAC, as far as others say."""

    is_port_here: bool = False
    """A port of this host is configured with it."""
    routes: tuple[LearntRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What is worth a line of the log."""

    event: str
    port: str
    mac: Mac


WhoHas = Callable[[str, Mac], Owners]


@dataclass(slots=True)
class _Entry:
    sequence: int
    seen_at: float


@dataclass(slots=True)
class _PortMacs:
    vrf: str
    learning: MacLearning
    entries: dict[Mac, _Entry] = field(default_factory=dict[Mac, _Entry])
    is_over: bool = False
    """It sent from more than it may have."""
    moves_trouble: str = ""
    is_shut: bool = False

    def shown(self) -> LearntMacs:
        action, trouble = self.learning.limit_action, self.moves_trouble
        if self.is_over and action in {MacAction.ALARM, MacAction.SHUTDOWN}:
            trouble = f"sends from more than {self.learning.limit_count} MACs"
        return LearntMacs(
            tuple([(mac, entry.sequence) for mac, entry in self.entries.items()]),
            is_full=self.is_over and action is MacAction.DROP,
            is_shut=self.is_shut,
            trouble=f"shut down: {trouble}" if self.is_shut else trouble,
        )


class MacTable:
    """The MACs learnt by one host. ``learnt`` is replaced when it changes, never changed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.learnt: Mapping[str, LearntMacs] = {}
        self._ports: dict[str, _PortMacs] = {}
        self._where: dict[tuple[str, Mac], str] = {}
        self._moves = LearntMoves[tuple[str, Mac]]()
        self._news: list[News] = []
        self._changed: set[str] = set()

    def restore(self, macs: Mapping[str, Collection[Mac]]) -> None:
        """Take for granted what was known before a restart, until the ports are active again."""
        self.learnt = {
            uuid: LearntMacs(tuple([(mac, 0) for mac in known])) for uuid, known in macs.items()
        }

    def learn(self, port: Port, mac: Mac, now: float, owners: tuple[WhoHas, IpAddress]) -> None:
        """A port sends from a MAC; ``owners`` ends with our tunnel address."""
        if port.learning is None:
            return
        state = self._port_macs(port, port.learning, now)
        if state.is_shut or mac in state.entries:
            return
        if is_nobodys(mac):
            self.counts["MACs that nobody may have"] += 1
            return
        found = owners[0](state.vrf, mac)
        elsewhere = [each for each in found.routes if is_elsewhere(each, owners[1])]
        if found.is_port_here or mac == port.mac or any(map(is_of_port, elsewhere)):
            self.counts["MACs of other ports"] += 1
            return
        slot = (state.vrf, mac)
        before = self._where.get(slot)
        if before is not None and not self._may_move(slot, port.uuid, state, now):
            return
        if len(state.entries) >= state.learning.limit_count:
            self._exceeded(port.uuid, state, mac)
            return
        if before is None and len(self._where) >= HOST_COUNT_MAX:
            self.counts["MACs beyond what the host has room for"] += 1
            return
        sequence = max((each.sequence_number + 1 for each in elsewhere), default=0)
        if before is not None:
            # Others need not hear of a move within the host.
            sequence = max(sequence, self._ports[before].entries[mac].sequence)
            self._forget(before, mac)
        state.entries[mac] = _Entry(min(sequence, SEQUENCE_MAX), now)
        self._where[slot] = port.uuid
        self._changed.add(port.uuid)

    def _port_macs(self, port: Port, learning: MacLearning, now: float) -> _PortMacs:
        state = self._ports.get(port.uuid)
        if state is not None and state.vrf == port.network.vrf:
            return state
        if state is not None:
            self.forget_port(port.uuid)
        state = self._ports[port.uuid] = _PortMacs(port.network.vrf, learning)
        restored = self.learnt.get(port.uuid)
        for mac, sequence in restored.sequences if restored is not None else ():
            if (state.vrf, mac) not in self._where and mac != port.mac:
                state.entries[mac] = _Entry(sequence, now)
                self._where[state.vrf, mac] = port.uuid
        self._changed.add(port.uuid)
        return state

    def _may_move(self, slot: tuple[str, Mac], uuid: str, to: _PortMacs, now: float) -> bool:
        if self._moves.is_held(slot, now):
            self.counts["frames of MACs that are held"] += 1
            return False
        learning = to.learning
        if not self._moves.is_too_many(slot, learning, now):
            return True
        self.counts["MACs that moved too often"] += 1
        self._news.append(News("mac_moves_too_often", uuid, slot[1]))
        action = learning.moves_action
        if action is not MacAction.LOG:
            to.moves_trouble = f"{slot[1]} moves too often between it and another port"
            self._changed.add(uuid)
        if action is MacAction.SHUTDOWN:
            self._shut(uuid, to)
        if action in {MacAction.DROP, MacAction.SHUTDOWN}:
            self._moves.hold(slot, now)
            return False
        return True

    def _exceeded(self, uuid: str, state: _PortMacs, mac: Mac) -> None:
        self.counts["MACs beyond the limit of a port"] += 1
        if state.is_over:
            return
        state.is_over = True
        self._news.append(News("mac_limit_exceeded", uuid, mac))
        self._changed.add(uuid)
        if state.learning.limit_action is MacAction.SHUTDOWN:
            self._shut(uuid, state)

    def _shut(self, uuid: str, state: _PortMacs) -> None:
        state.is_shut = True
        for mac in list(state.entries):
            self._forget(uuid, mac)

    def forget_port(self, uuid: str) -> None:
        """A port is gone, or plugged anew: it begins with nothing, and is not shut down."""
        state = self._ports.pop(uuid, None)
        if state is not None:
            for mac in list(state.entries):
                self._where.pop((state.vrf, mac), None)
        if state is not None or uuid in self.learnt:
            self._changed.add(uuid)

    def _forget(self, uuid: str, mac: Mac) -> None:
        state = self._ports[uuid]
        del state.entries[mac]
        self._where.pop((state.vrf, mac), None)
        self._changed.add(uuid)
        if not state.is_shut:
            state.is_over = state.is_over and len(state.entries) >= state.learning.limit_count

    def follow(
        self, ports: Mapping[str, Port], now: float, owners: tuple[WhoHas, IpAddress]
    ) -> None:
        """Take over what changed of the ports, and of what others have; ``ports`` that are plugged."""
        for uuid in set(self._ports) | set(self.learnt):
            port = ports.get(uuid)
            if port is None:
                continue
            if port.learning is None:
                self.forget_port(uuid)
                continue
            state = self._port_macs(port, port.learning, now)
            if state.learning != port.learning:
                self._configured(uuid, state, port.learning)
            for mac, entry in list(state.entries.items()):
                found = owners[0](state.vrf, mac)
                if found.is_port_here or loses(entry.sequence, found.routes, owners[1]):
                    self._forget(uuid, mac)
        for slot in self._moves.release(now):
            for uuid, state in self._ports.items():
                if state.vrf == slot[0] and state.moves_trouble and not state.is_shut:
                    state.moves_trouble = ""
                    self._changed.add(uuid)
        self._moves.forget_others(self._where)

    def _configured(self, uuid: str, state: _PortMacs, learning: MacLearning) -> None:
        """Other limits: what was shut down may try again."""
        state.learning, state.is_shut, state.is_over, state.moves_trouble = (
            learning,
            False,
            False,
            "",
        )
        for mac in list(state.entries)[learning.limit_count :]:
            self._forget(uuid, mac)
        self._changed.add(uuid)

    def age(self, seen: Mapping[tuple[str, Mac], float], now: float) -> None:
        """Forget what was silent for too long; ``seen``: by port and MAC, when it last sent."""
        for uuid, state in self._ports.items():
            for mac, entry in list(state.entries.items()):
                entry.seen_at = max(entry.seen_at, seen.get((uuid, mac), 0.0))
                if state.learning.age_s and now - entry.seen_at >= state.learning.age_s:
                    self._forget(uuid, mac)

    def settle(self) -> bool:
        """Renew ``learnt``; tell whether it changed."""
        if not self._changed:
            return False
        learnt = dict(self.learnt)
        for uuid in self._changed:
            state = self._ports.get(uuid)
            if state is None:
                learnt.pop(uuid, None)
            else:
                learnt[uuid] = state.shown()
        self._changed.clear()
        self.learnt = learnt
        return True

    def take_news(self) -> list[News]:
        """Return what happened since the last call, for the log."""
        news, self._news = self._news, []
        return news

    def rows(self, now: float) -> Iterator[Mapping[str, object]]:
        """Yield what is learnt, for introspection."""
        for uuid, state in self._ports.items():
            for mac, entry in state.entries.items():
                yield {
                    "vrf": state.vrf,
                    "mac": str(mac),
                    "port": uuid,
                    "sequence": entry.sequence,
                    "silent_s": round(now - entry.seen_at, 1),
                    "held": self._moves.is_held((state.vrf, mac), now),
                }


def is_nobodys(mac: Mac) -> bool:
    """Whether a MAC can be nobody's behind a port: groups, vRouters, none at all."""
    return mac == _NOBODY or mac.is_group or mac.packed.startswith(_ROUTERS)


def is_elsewhere(route: LearntRoute, own: IpAddress) -> bool:
    """Whether a route leads to another host."""
    return any(hop.address != own for hop in route.next_hops)


def is_of_port(route: LearntRoute) -> bool:
    """Whether an address, or a MAC, is a port's: of MACs those announced with an address of a port,
    or as one that does not move.
    """
    if isinstance(route.key, EnetKey) and route.key.address is None:
        return route.sticky
    return route.sticky or route.local_preference > LEARNT_PREFERENCE


def _order(address: IpAddress) -> tuple[int, int]:
    """The same on every host, also between addresses of both IP versions."""
    return address.version, int(address)


def loses(sequence: int, routes: Iterable[LearntRoute], own: IpAddress) -> bool:
    """Whether others have what is learnt here. Of two that learnt it at once the lower address keeps it."""
    for route in routes:
        if not is_elsewhere(route, own):
            continue
        if is_of_port(route) or route.sequence_number > sequence:
            return True
        addresses = [_order(hop.address) for hop in route.next_hops]
        if route.sequence_number == sequence and min(addresses, default=_order(own)) < _order(own):
            return True
    return False
