"""Which alarms follow from another one: a dead node's ports, peers and sessions. Pure.

```
 vrouter h1: node-status  <--  h1's own other alarms, alarms of its ports and machines,
 (the parent)                  of its XMPP sessions, of control nodes that miss h1 and nobody else
```
An alarm may come before its parent, which takes a while to be sure: while a node is suspected (its processes are not
connected), what may follow from it is held back from people. When the node is found dead they hear of that, once; when it was
not, of what was held back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from skytrail.analytics.alarms import Entity, Transition

NODE_STATUS: Final = "default-global-system-config:system-defined-node-status"
HELD_BACK_S: Final = 150.0
"""At most: longer than it takes to find a node dead (60 s for its processes to come back, 30 s of soaking)."""
SETTLES_S: Final = 60.0
"""After a node came back: what has not gone by then is told by itself."""
_HOSTS, _CONTROLS = "ObjectVRouter", "ObjectBgpRouter"
NODES: Final = frozenset(
    {_HOSTS, _CONTROLS, "ObjectConfigNode", "ObjectCollectorInfo", "ObjectDatabaseInfo"}
)
_PEERS: Final = {
    "default-global-system-config:system-defined-xmpp-connectivity": "ObjectXmppPeerInfo",
    "default-global-system-config:system-defined-bgp-connectivity": "ObjectBgpPeer",
}
"""Alarms of control nodes that count peers, and the table of these."""
_PEER_STRUCTS: Final = {
    "ObjectXmppPeerInfo": "XmppPeerInfoData",
    "ObjectBgpPeer": "BgpPeerInfoData",
}

State = Mapping[str, object]
"""Structs of an entity by name."""
AlarmId = tuple[Entity, str]
"""Entity and rule."""


class Facts:
    """What is known of entities; the callables read it as it is now."""

    def __init__(
        self,
        state: Callable[[Entity], State],
        keys: Callable[[str], Sequence[str]],
        is_dead: Callable[[Entity], bool],
        is_suspected: Callable[[Entity], bool],
    ) -> None:
        self.state = state
        self.keys = keys
        self.is_dead = is_dead
        """Its alarm of silence is raised."""
        self.is_suspected = is_suspected

    def parent(self, alarm: AlarmId, is_down: Callable[[Entity], bool]) -> Entity | None:
        """Return the node from whose being down an alarm follows."""
        entity, rule = alarm
        if rule == NODE_STATUS:
            return None
        peers = _PEERS.get(rule)
        if peers is not None and entity[0] == _CONTROLS:
            silent = list(self._silent_peers(entity[1], peers))
            dead = [next(filter(is_down, self.nodes(each)), None) for each in silent]
            if dead and all(each is not None and each != entity for each in dead):
                return dead[0]
        return next(filter(is_down, self.nodes(entity)), None)

    def nodes(self, entity: Entity) -> Iterator[Entity]:
        """Yield the nodes that an entity needs, the nearest first."""
        table, key = entity
        if table in NODES:
            yield entity
        elif table == "ObjectXmppPeerInfo":
            said = _struct(self.state(entity), "XmppPeerInfoData")
            yield _HOSTS, str(said.get("identifier", ""))
            yield _CONTROLS, key.partition(":")[0]
        elif table == "ObjectBgpPeer":
            yield _CONTROLS, key.rpartition(":")[2]
            yield _CONTROLS, key.partition(":")[0]
        else:
            for struct in self.state(entity).values():
                host = cast("State", struct).get("vrouter") if isinstance(struct, dict) else None
                if isinstance(host, str) and host:
                    yield _HOSTS, host

    def _silent_peers(self, control: str, table: str) -> Iterator[Entity]:
        for key in self.keys(table):
            if key.startswith(f"{control}:"):
                said = _struct(self.state((table, key)), _PEER_STRUCTS[table])
                if _struct(said, "state_info").get("state") != "Established":
                    yield table, key


@dataclass(frozen=True, slots=True)
class _Held:
    transition: Transition
    since: float
    settles_until: float = 0.0


class Correlation:
    """Decides which alarms people are told of by themselves."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._held: dict[AlarmId, _Held] = {}
        self._following: dict[AlarmId, Transition] = {}
        """Raised, and told with their parent only."""

    def offer(self, transition: Transition, now: float) -> Transition | None:
        """Take a change of an alarm; returns it if people hear of it now."""
        alarm = transition.entity, transition.alarm.rule.name
        if not transition.is_raised:
            was_held = self._held.pop(alarm, None) is not None
            was_following = self._following.pop(alarm, None) is not None
            return None if was_held or was_following else transition
        if self._facts.parent(alarm, self._facts.is_dead) is not None:
            self._following[alarm] = transition
        elif self._facts.parent(alarm, self._facts.is_suspected) is not None:
            self._held[alarm] = _Held(transition, now)
        else:
            return transition
        return None

    def tick(self, now: float) -> Iterator[Transition]:
        """Yield what is told after all; call about every second."""
        for alarm, transition in list(self._following.items()):
            if self._facts.parent(alarm, self._facts.is_dead) is None:
                del self._following[alarm]
                self._held[alarm] = _Held(transition, now, now + SETTLES_S)
        for alarm, held in list(self._held.items()):
            if self._facts.parent(alarm, self._facts.is_dead) is not None:
                self._following[alarm] = held.transition
            elif now < held.settles_until or (
                now - held.since < HELD_BACK_S
                and self._facts.parent(alarm, self._facts.is_suspected) is not None
            ):
                continue
            else:
                yield held.transition
            del self._held[alarm]


def _struct(state: State, name: str) -> State:
    found = state.get(name)
    return cast("State", found) if isinstance(found, dict) else {}
