"""Probes every expectation of a topology and collects the evidence ``reachability`` judges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_interface

from skytrail.lab import show, vrouter
from skytrail.lab.io import guest
from skytrail.lab.io.probe import Probe, Prober
from skytrail.lab.io.router import has_route
from skytrail.lab.reachability import (
    Cell,
    Denial,
    Evidence,
    IpAddress,
    Member,
    judge,
    rounds,
)
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError
from skytrail.lab.topology import Expectation, Gateway, Guest, Switch
from skytrail.lab.vrouter import FiveTuple

REPLY_TIMEOUT_S = 3.0
DENIAL_TIMEOUT_S = 0.3
_COUNTER_TIMEOUT_S = 1.0
_POLL_S = 0.05
_GUEST_PAYLOAD_BYTES = 200
_PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58}


def members(lab: Lab) -> dict[str, Member]:
    """Every endpoint with the addresses its own DHCP client got, and every host outside."""
    known = {
        item.name: Member(
            name=item.name,
            network=lab.attached(item.name).network,
            addresses=tuple(
                ip_interface(text).ip for text in show.endpoint_addresses(lab, item.name)
            ),
            observed=not isinstance(item, Guest),
        )
        for item in lab.plugged()
    }
    for name in lab.topology.outside_hosts:
        place = lab.outside_place(name)
        known[name] = Member(name, (place.router, name), (place.address,), observed=True)
    return known


async def check(
    lab: Lab,
    expectations: Sequence[Expectation] | None = None,
    *,
    when_judged: Callable[[Cell], None] | None = None,
) -> list[Cell]:
    """Probe and judge; the topology's own expectations by default. In the order given."""
    wanted = list(lab.topology.expect if expectations is None else expectations)
    known = members(lab)
    guests = {item.name for item in lab.topology.guests}
    names = [*(item.name for item in lab.topology.workloads), *lab.topology.outside_hosts]
    namespaces = {name: lab.plan.namespace_of(name) for name in names}
    stated = (*lab.topology.expect, *wanted)
    allowed = {(item.source, item.destination) for item in stated if item.reply}
    judged: dict[int, Cell] = {}

    def conclude(expectation: Expectation, evidence: Evidence) -> None:
        cell = judge(expectation, evidence, known, allowed)
        judged[wanted.index(expectation)] = cell
        if when_judged:
            when_judged(cell)

    async with Prober(namespaces) as prober:
        checker = _Checker(lab, known, prober)
        replies = [item for item in wanted if item.reply and item.source not in guests]
        for expectation, evidence in zip(replies, await checker.replies(replies), strict=True):
            conclude(expectation, evidence)
        for expectation in wanted:
            if expectation.source in guests:
                conclude(expectation, await checker.from_guest(expectation))
        refused = [item for item in wanted if not item.reply and item.source not in guests]
        for batch in rounds(refused, known):
            found = await asyncio.gather(*(checker.denial(item) for item in batch))
            for expectation, evidence in zip(batch, found, strict=True):
                conclude(expectation, evidence)
    return [judged[number] for number in sorted(judged)]


class _Checker:
    """Sends probes and gathers what became of them."""

    def __init__(self, lab: Lab, known: Mapping[str, Member], prober: Prober) -> None:
        self._lab = lab
        self._known = known
        self._prober = prober
        self._guest_probes = 0

    async def replies(self, expectations: Sequence[Expectation]) -> list[Evidence]:
        """Probes that should be answered: all at once."""
        probes = [self._probe(expectation) for expectation in expectations]
        sightings = await self._prober.send_all(probes, timeout_s=REPLY_TIMEOUT_S)
        return [
            Evidence(
                replied=seen.replied,
                arrived=frozenset(seen.arrived),
                round_trip_s=seen.round_trip_s,
            )
            for seen in sightings
        ]

    async def denial(self, expectation: Expectation) -> Evidence:
        """A probe that should be refused: nothing else on its ports, so that counters tell why."""
        before = await asyncio.to_thread(self._counters, expectation)
        seen = await self._prober.send(self._probe(expectation), timeout_s=DENIAL_TIMEOUT_S)
        denial = None if seen.replied else await self._denial(expectation, before)
        return Evidence(replied=seen.replied, arrived=frozenset(seen.arrived), denial=denial)

    async def from_guest(self, expectation: Expectation) -> Evidence:
        """A ping out of a virtual machine; its size tells it from every other packet."""
        if expectation.protocol != "icmp":
            raise LabError(
                f"{expectation.source} is a guest: it can send icmp, not {expectation.protocol}"
            )
        before = {} if expectation.reply else self._counters(expectation)
        self._guest_probes += 1
        size = _GUEST_PAYLOAD_BYTES + self._guest_probes
        address = self._address(expectation.destination, expectation.protocol)
        place = self._lab.guest_place(expectation.source)
        command = f"ping -c 1 -W {2 if expectation.reply else 1} -s {size} {address}"
        with self._prober.watch_length(size) as arrived:
            finished = await asyncio.to_thread(guest.run, place, command)
            await asyncio.sleep(_POLL_S)  # Let the arrival be read as well.
        replied = finished.status == 0
        denial = None if replied else await self._denial(expectation, before)
        return Evidence(replied=replied, arrived=frozenset(arrived), denial=denial)

    def _probe(self, expectation: Expectation) -> Probe:
        return Probe(
            source=expectation.source,
            destination=expectation.destination,
            address=self._address(expectation.destination, expectation.protocol),
            protocol=expectation.protocol,
            port=expectation.port,
        )

    def _address(self, name: str, protocol: str) -> IpAddress:
        version = 6 if protocol == "icmp6" else 4
        address = self._known[name].address(version=version)
        if address is None:
            raise LabError(f"{name} got no IPv{version} address; {protocol} cannot be probed")
        return address

    def _counters(self, expectation: Expectation) -> dict[str, dict[str, int]]:
        """Drops of the ends' ports, by port; hosts outside have none, or their router's."""
        return {
            uuid: vrouter.port_drops(self._lab, host, uuid)
            for uuid, host in self._ports(expectation).items()
        }

    def _ports(self, expectation: Expectation) -> dict[str, str]:
        """Return the ends' ports, uuid to host."""
        found: dict[str, str] = {}
        for name in (expectation.source, expectation.destination):
            end = self._lab.topology.outside_hosts.get(name) or self._lab.topology.endpoint(name)
            if not isinstance(end, Gateway | Switch):
                found[self._lab.attached(end.name).uuid] = end.host
        return found

    async def _denial(
        self, expectation: Expectation, before: Mapping[str, Mapping[str, int]]
    ) -> Denial | None:
        """Why it was refused: the deny flow if one exists, else the counter that moved."""
        deadline = time.monotonic() + _COUNTER_TIMEOUT_S
        while True:
            denial = await asyncio.to_thread(self._find_denial, expectation, before)
            if denial or time.monotonic() > deadline:
                return denial
            await asyncio.sleep(_POLL_S)

    def _find_denial(
        self, expectation: Expectation, before: Mapping[str, Mapping[str, int]]
    ) -> Denial | None:
        source, destination = expectation.source, expectation.destination
        if source in self._lab.topology.outside_hosts:
            place = self._lab.outside_place(source)
            address = self._address(destination, expectation.protocol)
            if not has_route(place.router_namespace, address):
                return Denial("NO_ROUTE", place.router)
        ports = self._ports(expectation)
        five_tuple = FiveTuple(
            source=self._address(source, expectation.protocol),
            destination=self._address(destination, expectation.protocol),
            protocol=_PROTOCOL_NUMBERS[expectation.protocol],
            destination_port=expectation.port,
        )
        found = vrouter.flow_denial(self._lab, ports.values(), ports, five_tuple)
        if found:
            return found
        after = self._counters(expectation)
        for uuid, host in ports.items():
            moved = vrouter.growth(before.get(uuid, {}), after[uuid])
            if moved:
                return Denial(max(moved, key=lambda reason: moved[reason]), host)
        return None
