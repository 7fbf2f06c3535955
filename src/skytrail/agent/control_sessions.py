r"""What is said to and learnt from up to two control nodes, as a state machine without I/O.

```
 established --> subscribe instances, publish routes, end-of-RIB   (to every control node)
             \-> subscribe configuration                           (to one of them)
 lost        --> its routes are stale; configuration moves to another one
 end of config / end of RIB, then a hold-down --> stale objects and routes are swept
 mark of a revision --> answered when what came before it is in the kernel
```
Time comes in as seconds of a monotonic clock; messages to send come out as (source, message).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from skytrail.agent.config import ConfigGraph
from skytrail.agent.fib import LearntRoutes
from skytrail.agent.ledger import Changes, Published, PublishKey
from skytrail.agent.tables import VrfId
from skytrail.wire.xmpp import (
    BalancerStanding,
    ConfigDelete,
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    EndOfConfig,
    EndOfRib,
    ItemsEvent,
    JoinTree,
    LeaveTree,
    Message,
    PortTrouble,
    Programmed,
    PublishRoute,
    RevisionMark,
    RouteKey,
    Subscribe,
    TreeItems,
    TreeKey,
    Unsubscribe,
    WithdrawRoute,
)
from skytrail.wire.xmpp.config_codec import STANDINGS_COUNT_MAX, TROUBLES_COUNT_MAX

STALE_SWEEP_DELAY_S = 10.0
"""After an end-of-RIB. A control node that has just restarted says it has told everything it
knows, while other agents are still returning to it."""
END_OF_RIB_TIMEOUT_S = 60.0
END_OF_CONFIG_IDLE_S = 15.0
"""Control nodes that never say end-of-config: so much silence means the same."""
REASON_LENGTH_MAX = 200
"""Characters of a problem or trouble that are reported."""
Outgoing = tuple[str, Message]


@dataclass(slots=True)
class _Session:
    established_at: float
    subscribed: dict[str, VrfId] = field(default_factory=dict[str, VrfId])
    published: dict[PublishKey, Published] = field(default_factory=dict[PublishKey, Published])
    version: int | None = None
    """Of the desired state that was said last."""
    end_of_rib_sent: bool = False
    rib_ended_at: float | None = None


class ControlSessions:
    """Owns the configuration graph and the learnt routes."""

    def __init__(self, name: str) -> None:
        self.graph = ConfigGraph()
        self.learnt = LearntRoutes()
        self.config_source = ""
        """The control node that gives us configuration; empty = none."""
        self.config_complete = False
        """A control node has given a whole configuration since this process started."""
        self.mark: RevisionMark | None = None
        """The config source's mark that waits for its answer."""
        self.mark_since = 0.0
        """When the mark came: all that it speaks of had been handed over."""
        self.refused_sweeps = 0
        self._router = ConfigKey("virtual-router", f"default-global-system-config:{name}")
        self._machines: set[str] = set()
        self._sessions: dict[str, _Session] = {}
        self._config_heard_at = 0.0
        self._config_ended = False
        self._repeated = 0
        self._sweep_at: float | None = None
        self._told: tuple[str, tuple[PortTrouble, ...], tuple[BalancerStanding, ...]] | None = None
        """Problem, troubles and balancers as last reported; None while the config source sends no marks."""

    def established(self, source: str, now: float) -> list[Outgoing]:
        self._sessions[source] = _Session(established_at=now)
        self.learnt.session_up(source)
        return self._choose_config_source(now)

    def lost(self, source: str, now: float) -> list[Outgoing]:
        """The session ended; harmless when it never was established."""
        if self._sessions.pop(source, None) is None:
            return []
        self.learnt.session_down(source)
        if self.learnt.in_sync():
            self._plan_sweep(now)
        if source != self.config_source:
            return []
        self.config_source = ""
        self.mark = self._told = None
        return self._choose_config_source(now)

    def received(self, source: str, message: Message, now: float) -> None:
        """Take over one message; kinds an agent never gets are ignored."""
        session = self._sessions.get(source)
        if session is None:
            return
        match message:
            case ItemsEvent():
                if message.instance in session.subscribed:
                    self.learnt.apply(source, message)
            case TreeItems():
                if message.instance in session.subscribed:
                    self.learnt.branches.apply(source, message)
            case EndOfRib():
                self._rib_ended(source, session, now)
            case ConfigUpdate() | ConfigDelete() | EndOfConfig():
                if source == self.config_source:
                    self._config(message, now)
            case RevisionMark():
                if source == self.config_source:
                    self.mark, self.mark_since = message, now
                    self._told = self._told or ("", (), ())
            case _:
                pass

    def tick(self, now: float) -> bool:
        """Run what time brings; return whether anything was swept or completed."""
        changed = False
        for source, session in self._sessions.items():
            waited = now - session.established_at
            if session.rib_ended_at is None and waited >= END_OF_RIB_TIMEOUT_S:
                self._rib_ended(source, session, now)
        silent = now - self._config_heard_at >= END_OF_CONFIG_IDLE_S
        if self.config_source and not self._config_ended and self._repeated and silent:
            self._end_config()
            changed = True
        if self._sweep_at is not None and now >= self._sweep_at:
            self._sweep_at = None
            if self.learnt.in_sync():
                self.learnt.sweep_stale()
                changed = True
        return changed

    @property
    def is_complete(self) -> bool:
        """Configuration and routes are whole: what the kernel has beyond them may go."""
        return self.config_complete and self.learnt.in_sync() and self._sweep_at is None

    def set_machines(self, machines: Iterable[str]) -> list[Outgoing]:
        """Tell for which virtual machines configuration is wanted beside the router's own."""
        wanted = {machine for machine in machines if machine}
        added, removed = sorted(wanted - self._machines), sorted(self._machines - wanted)
        self._machines = wanted
        if not self.config_source:
            return []
        return [
            *((self.config_source, ConfigUnsubscribe(_machine(m))) for m in removed),
            *((self.config_source, ConfigSubscribe(_machine(m))) for m in added),
        ]

    def synchronise(
        self,
        vrfs: Mapping[str, VrfId],
        published: Mapping[PublishKey, Published],
        changes: Changes | None = None,
    ) -> list[Outgoing]:
        """Return what brings every control node to these subscriptions and routes.

        ``changes`` are the desired state's; who was told the one before needs only those.
        """
        outgoing: list[Outgoing] = []
        for source, session in self._sessions.items():
            known = changes is not None and changes.follow(session.version)
            keys = changes.published if changes is not None and known else None
            messages = _difference(session, vrfs, published, keys)
            session.version = changes.version if changes is not None else None
            outgoing += [(source, message) for message in messages]
            if self.config_complete and not session.end_of_rib_sent:
                session.end_of_rib_sent = True
                outgoing.append((source, EndOfRib()))
        for instance in self.learnt.instances() - vrfs.keys():
            self.learnt.forget_instance(instance)
        return outgoing

    @property
    def is_asked(self) -> bool:
        """The config source marks revisions, so it is told how far they came."""
        return self._told is not None

    def report(
        self,
        reached: RevisionMark | None,
        problem: str,
        troubles: Iterable[PortTrouble],
        balancers: Iterable[BalancerStanding] = (),
    ) -> list[Outgoing]:
        """Answer ``reached`` if it still waits; else tell the rest when it changed."""
        if self._told is None:
            return []
        kept = tuple(
            PortTrouble(each.uuid, each.reason[:REASON_LENGTH_MAX])
            for each in islice(troubles, TROUBLES_COUNT_MAX)
        )
        told = (problem[:REASON_LENGTH_MAX], kept, tuple(_fitting(balancers)))
        revision = None
        if reached is not None and reached is self.mark:
            revision, self.mark = reached.revision, None
        elif told == self._told:
            return []
        self._told = told
        return [(self.config_source, Programmed(revision, *told))]

    def rows(self) -> Iterable[Mapping[str, object]]:
        """One row per session, for introspection."""
        for source, session in sorted(self._sessions.items()):
            yield {
                "source": source,
                "config_source": source == self.config_source,
                "mark_waiting": self.mark.revision
                if self.mark and source == self.config_source
                else None,
                "subscribed": len(session.subscribed),
                "published": len(session.published),
                "end_of_rib_sent": session.end_of_rib_sent,
                "end_of_rib_received": session.rib_ended_at is not None,
            }

    def _choose_config_source(self, now: float) -> list[Outgoing]:
        """The session that is up longest gives configuration."""
        if self.config_source or not self._sessions:
            return []
        source = min(self._sessions, key=lambda name: self._sessions[name].established_at)
        self.config_source = source
        self._config_heard_at = now
        self._config_ended = False
        self._repeated = 0
        self.mark = self._told = None
        self.graph.begin_generation()
        machines = [ConfigSubscribe(_machine(machine)) for machine in sorted(self._machines)]
        first = ConfigSubscribe(self._router, answers_marks=True)
        return [(source, message) for message in (first, *machines)]

    def _config(self, message: ConfigUpdate | ConfigDelete | EndOfConfig, now: float) -> None:
        self._config_heard_at = now
        match message:
            case ConfigUpdate():
                self._repeated += len(message.nodes)
                self.graph.update(message)
            case ConfigDelete():
                self.graph.delete(message)
            case EndOfConfig():
                self._end_config()

    def _end_config(self) -> None:
        self._config_ended = True
        if not self._repeated and self.graph.statistics()["nodes"]:
            # A control node that knows nothing at all has lost its own source. Believing it
            # would stop every workload; real removals arrive as deletes.
            self.refused_sweeps += 1
            return
        self.graph.sweep()
        self.config_complete = True

    def _rib_ended(self, source: str, session: _Session, now: float) -> None:
        # Before the session's own time counts: it is others that may know all by now.
        self._plan_sweep(now)
        if session.rib_ended_at is None:
            session.rib_ended_at = now
        self.learnt.end_of_rib(source)

    def _plan_sweep(self, now: float) -> None:
        """Give other agents time to return to a control node that came back.

        Where another one has been whole for so long anyway, a planned sweep is not put off: else
        one that comes and goes would keep in use what the other one took back, for ever.
        """
        if self._sweep_at is None or not self._is_settled(now):
            self._sweep_at = now + STALE_SWEEP_DELAY_S

    def _is_settled(self, now: float) -> bool:
        """Some live control node told everything it knew long enough ago."""
        ended = (session.rib_ended_at for session in self._sessions.values())
        return any(at is not None and now - at >= STALE_SWEEP_DELAY_S for at in ended)


def _difference(
    session: _Session,
    vrfs: Mapping[str, VrfId],
    published: Mapping[PublishKey, Published],
    keys: Sequence[PublishKey] | None,
) -> list[Message]:
    """``keys``: where alone the routes may differ; None: anywhere."""
    messages: list[Message] = []
    said = session.published if keys is None else [k for k in keys if k in session.published]
    for key in [key for key in said if key not in published]:
        del session.published[key]
        messages.append(_taken_back(*key))
    for instance in [name for name in session.subscribed if vrfs.get(name) is None]:
        del session.subscribed[instance]
        messages.append(Unsubscribe(instance))
    for instance, vrf_id in vrfs.items():
        if instance not in session.subscribed:
            session.subscribed[instance] = vrf_id
            messages.append(Subscribe(instance, vrf_id))
    for key in published if keys is None else keys:
        item = published.get(key)
        if item is not None and session.published.get(key) != item:
            session.published[key] = item
            is_tree = isinstance(item, JoinTree)
            messages.append(item if is_tree else PublishRoute(key[0], item))
    return messages


def _taken_back(instance: str, key: RouteKey | TreeKey) -> Message:
    if isinstance(key, TreeKey):
        return LeaveTree(instance, key)
    return WithdrawRoute(instance, key)


def _fitting(balancers: Iterable[BalancerStanding]) -> Iterator[BalancerStanding]:
    """Yield as many as a report may hold; of the others nothing is told."""
    room = STANDINGS_COUNT_MAX
    for each in balancers:
        room -= 1 + len(each.parts)
        if room >= 0:
            yield each


def _machine(uuid: str) -> ConfigKey:
    return ConfigKey("virtual-machine", uuid)
