"""All checks of a host: which run, when each is due, and whose routes are withdrawn. Pure.

How a check starts (docs/adr/0189): as it was before the agent restarted, if that is known; as well,
at a port that forwarded before the check was attached, or of a BGP service; as failed, at a port
that is plugged with it, until the workload has answered once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from skytrail.agent.health.attempts import Way
from skytrail.agent.health.check import HealthCheck, Monitor, Scope
from skytrail.agent.health.run import NEVER, Run, Subject
from skytrail.agent.health.segment import question_in, turned, way_through
from skytrail.agent.health.standing import Standing
from skytrail.agent.interface import WELL, Failing, PluggedPort
from skytrail.agent.port_config import Port
from skytrail.net import IpAddress
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import decode_ethernet, decode_ip

CHECKS_PER_PORT_COUNT_MAX = 8
STARTS_PER_S_MAX = 2000
"""New questions of all checks together; those beyond wait for their turn."""
SECOND = "at the second address"
UNPROVEN = "the workload has not answered yet"
Frame = tuple[str, bytes]
"""The link to send it from, and what."""
CheckKey = tuple[str, str]
"""Uuid of the port, name of the check."""


@dataclass(frozen=True, slots=True)
class Change:
    """A check passed or failed where it had not before."""

    key: CheckKey
    is_up: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Inputs:
    plugged: PluggedPort
    port: Port


class HealthBoard:
    """What ``failing`` returns never changes afterwards."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._failing: dict[str, Failing] = {}
        self._told: Mapping[str, Failing] | None = None
        """What :attr:`failing` returned, unless it changed since."""
        self.late_count = 0
        """Questions that had to wait for their turn."""
        self.malformed_count = 0
        self._random = random
        self._runs: dict[str, dict[str, Run]] = {}
        """Port -> name of the check, with the address if it is of one -> run."""
        self._inputs: dict[str, _Inputs] = {}
        self._heap: list[tuple[float, int, Run]] = []
        self._pushed_count = 0
        self._next_start = 0.0
        self._restored: frozenset[str] = frozenset()
        self._failed_before: frozenset[CheckKey] = frozenset()
        self._changes: list[Change] = []

    @property
    def failing(self) -> Mapping[str, Failing]:
        """By uuid: ports of which routes are withdrawn."""
        if self._told is None:
            self._told = dict(self._failing)
        return self._told

    def restore(self, ports: Iterable[str], failed: Iterable[CheckKey]) -> None:
        """Say what was so before a restart: ports plugged then, and checks that had failed."""
        self._restored, self._failed_before = frozenset(ports), frozenset(failed)

    def follow(
        self, plugged: Mapping[str, PluggedPort], ports: Mapping[str, Port], now: float
    ) -> list[Frame]:
        """Take over ports and their checks as configured now; return what ended ones still say."""
        frames: list[Frame] = []
        for uuid in self._inputs.keys() - plugged.keys():
            del self._inputs[uuid]
            frames += self._end(uuid, list(self._runs.get(uuid, {})))
        for uuid, link in plugged.items():
            port = ports.get(uuid)
            known = self._inputs.get(uuid)
            if port is None:
                # It is inactive; what was known of it stays, should configuration come back.
                frames += self._end(uuid, list(self._runs.get(uuid, {})))
            elif known is None or known.port is not port or known.plugged is not link:
                was_forwarding = known is not None or uuid in self._restored
                self._inputs[uuid] = _Inputs(link, port)
                frames += self._update(uuid, now, was_forwarding=was_forwarding)
        return frames

    def receive(self, uuid: str, frame: bytes, now: float) -> list[Frame]:
        """Take a frame of a workload for the vRouter; return what is to be said to it."""
        runs = self._runs.get(uuid)
        if not runs:
            return []
        frames: list[Frame] = []
        try:
            packet = decode_ip(decode_ethernet(frame).payload)
            for run in runs.values():
                was_due = run.due
                sent, changed = run.receive(packet, now)
                frames += [(run.subject.ifname, each) for each in sent]
                self._after(run, was_due, changed=changed)
        except DecodeError:
            self.malformed_count += 1
        return frames

    def receive_tagged(self, uuid: str, vlan: int, frame: bytes, now: float) -> list[Frame]:
        """Take a frame that came out of a transparent service by a chain's VLAN: answer a question
        that was put in at the other side, or take the answer to one of ours.
        """
        inputs = self._inputs.get(uuid)
        tags = () if inputs is None else inputs.port.service_tags
        tag = next((each for each in tags if each.vlan == vlan), None)
        if inputs is None or tag is None:
            return []
        try:
            question = question_in(frame)
        except DecodeError:
            self.malformed_count += 1
            return []
        if question is None:
            return self.receive(uuid, frame, now)
        if any(run.asked(question.rest) for run in self._runs.get(uuid, {}).values()):
            # It came back where it was put in: the function has not passed it.
            return []
        return [(inputs.plugged.ifname, turned(question, tag))]

    @property
    def next_deadline(self) -> float:
        while self._heap and self._heap[0][0] != self._heap[0][2].due:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER

    def tick(self, now: float) -> list[Frame]:
        """Do what is due; return the frames to send."""
        frames: list[Frame] = []
        while self.next_deadline <= now:
            _, _, run = heapq.heappop(self._heap)
            if run.is_start and not run.has_turn:
                turn = max(self._next_start, now)
                self._next_start = turn + 1 / STARTS_PER_S_MAX
                if turn > now:
                    run.due, run.has_turn = turn, True
                    self.late_count += 1
                    self._push(run)
                    continue
            run.has_turn = False
            sent, changed = run.advance(now)
            frames += [(run.subject.ifname, each) for each in sent]
            self._after(run, NEVER, changed=changed)
        return frames

    def take_changes(self) -> list[Change]:
        """Return what passed or failed since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def failed_checks(self) -> list[CheckKey]:
        """Return the checks that have failed, for :meth:`restore`."""
        return sorted(
            (uuid, name)
            for uuid, runs in self._runs.items()
            for name, run in runs.items()
            if not (run.standing.is_up or run.problem or run.check.is_answered_only)
        )

    def runs(self) -> Iterator[tuple[str, Run]]:
        """Yield (uuid of the port, its check at work)."""
        for uuid, runs in sorted(self._runs.items()):
            for _, run in sorted(runs.items()):
                yield uuid, run

    # Inside.

    def _update(self, uuid: str, now: float, *, was_forwarding: bool) -> list[Frame]:
        """Take over the checks of one port."""
        inputs = self._inputs[uuid]
        checks = dict(_checks_of(inputs.port))
        known = self._runs.get(uuid, {})
        frames = self._end(uuid, [name for name in known if name not in checks])
        if not checks:
            return frames
        runs = self._runs.setdefault(uuid, {})
        for index, (name, (check, address)) in enumerate(sorted(checks.items())):
            subject = _subject(inputs, check, index, address)
            old = runs.get(name)
            if old is not None and (old.check, old.subject) == (check, subject):
                continue
            if old is not None:
                standing, old.due = old.standing, NEVER
                frames += [(old.subject.ifname, each) for each in old.close()]
            else:
                # A router that asks for BFD only when BGP is up would wait for us as we for it.
                is_up = was_forwarding or check.of_bgp_service
                is_up = is_up and not check.is_answered_only
                standing = self._start((uuid, name), now, is_up=is_up)
            runs[name] = run = Run(check, subject, standing, self._random, now)
            self._push(run)
        self._settle(uuid)
        return frames

    def _start(self, key: CheckKey, now: float, *, is_up: bool) -> Standing:
        if key in self._failed_before:
            self._failed_before -= {key}
            return Standing(is_up=False, since=now, reason="it had failed before the restart")
        return Standing(is_up=is_up, since=now, reason="" if is_up else UNPROVEN)

    def _end(self, uuid: str, names: Iterable[str]) -> list[Frame]:
        runs = self._runs.get(uuid, {})
        frames: list[Frame] = []
        for run in [runs.pop(name) for name in names]:
            run.due = NEVER
            frames += [(run.subject.ifname, each) for each in run.close()]
        self._settle(uuid)
        return frames

    def _after(self, run: Run, was_due: float, *, changed: bool) -> None:
        if run.due != was_due:
            self._push(run)
        if changed:
            standing = run.standing
            key = (run.subject.port, run.check.name)
            self._changes.append(Change(key, standing.is_up, standing.reason))
            self._settle(run.subject.port)

    def _push(self, run: Run) -> None:
        if run.due != NEVER:
            self._pushed_count += 1
            heapq.heappush(self._heap, (run.due, self._pushed_count, run))

    def _settle(self, uuid: str) -> None:
        runs = self._runs.get(uuid, {})
        if not runs:
            self._runs.pop(uuid, None)
        reasons: list[str] = []
        addresses: list[tuple[IpAddress, str]] = []
        workload = False
        for _, run in sorted(runs.items()):
            if run.standing.is_up or run.problem or run.check.is_answered_only:
                continue
            reason = f"health check {run.check.name}: {run.standing.reason}"
            if run.check.scope is Scope.ADDRESSES and run.subject.way is not None:
                address = run.subject.way.destination
                addresses.append((address, f"{reason} ({address})"))
            else:
                reasons.append(reason)
                # What is asked needs no route, so the other side may go as well.
                workload = workload or run.check.scope is not Scope.END_TO_END
        found = Failing(tuple(reasons), tuple(addresses), workload)
        if found != self._failing.pop(uuid, WELL):
            self._told = None
        if found != WELL:
            self._failing[uuid] = found


def _checks_of(port: Port) -> Iterator[tuple[str, tuple[HealthCheck, IpAddress | None]]]:
    """Yield what is run for a port: checks of addresses once for each that is its own."""
    for check in port.health_checks:
        if check.scope is not Scope.ADDRESSES:
            yield check.name, (check, None)
            if check.of_bgp_service and check.monitor is Monitor.BFD:
                # A daemon that runs BFD for one of its neighbours does so for the other one.
                yield f"{check.name} {SECOND}", (replace(check, is_answered_only=True), None)
            continue
        for address in port.addresses:
            if check.addresses is None or address in check.addresses:
                yield f"{check.name} {address}", (check, address)


def _subject(inputs: _Inputs, check: HealthCheck, index: int, address: IpAddress | None) -> Subject:
    port, ifname = inputs.port, inputs.plugged.ifname
    problem, way = "", None
    destination = address or check.target or next(iter(port.addresses), None)
    if index >= CHECKS_PER_PORT_COUNT_MAX:
        problem = f"only {CHECKS_PER_PORT_COUNT_MAX} checks of a port are run"
    elif check.scope is Scope.SEGMENT:
        if port.service_tags:
            way = way_through(port.service_tags[0])
        else:
            problem = "no chain leads through the port as through a transparent service's"
    elif destination is None:
        problem = "the port has no address yet"
    else:
        source = _source(port, destination, check)
        if source is None or source == destination:
            problem = f"there is no address of the vRouter to ask {destination} from"
        else:
            way = Way(source, destination, port.mac)
    return Subject(port.uuid, ifname, way, problem)


def _source(port: Port, destination: IpAddress, check: HealthCheck) -> IpAddress | None:
    """Return the vRouter's address towards the workload: of the subnet asked, or its own one.

    What is asked beyond the workload answers to an address of the service's network that is for
    nothing else.
    """
    if check.scope is Scope.END_TO_END:
        own = [each for each in port.check_addresses if each.version == destination.version]
        return own[0] if own else None
    for address in (destination, *port.addresses):
        if address.version != destination.version:
            continue
        subnet = port.network.subnet_of(address)
        if subnet is not None:
            ours = (subnet.service_address, subnet.gateway)
            if check.is_answered_only:
                return ours[0] if ours[0] != ours[1] else None
            if check.of_bgp_service:
                ours = ours[::-1]
            return ours[0] or ours[1]
    return None
