"""The agent's side of load balancers: copies on this host are plugged like ports of workloads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import msgspec

from skytrail.agent.balancing.copies import (
    DEVICE_START,
    PROTOCOL,
    CopyHere,
    copy_specs,
    device_of,
    wanted_here,
)
from skytrail.agent.balancing.haproxy import Place
from skytrail.agent.balancing.standing import CountedCopy, standings
from skytrail.agent.config import ConfigGraph
from skytrail.agent.interface import WELL, Failing, PluggedPort, workload_mtu
from skytrail.agent.io.balancer_keeper import CopyState, KeeperReport, KeeperRequest
from skytrail.agent.io.companion import Companion
from skytrail.agent.tables import InterfaceKind
from skytrail.agent.view import View
from skytrail.net import IpAddress
from skytrail.wire.xmpp import BalancerStanding, PortTrouble


class Balancers:
    """Which copies run here, and how. ``changed`` is called when one runs, or does not any more."""

    def __init__(self, state: Path, certificates: Path, changed: Callable[[], object]) -> None:
        self._certificates = certificates
        self._changed = changed
        self._wanted: dict[str, CopyHere] = {}
        self._problems: dict[str, tuple[str, ...]] = {}
        self._preferences: dict[str, int] = {}
        """Local preference of copies' routes, as configured."""
        self._states: dict[str, CopyState] = {}
        self._unheard: set[str] = set()
        """Copies that cannot run yet: new ones, and those whose keeper has gone."""
        self._version = -1
        self._process = Companion(
            "skytrail.daemons.balancers",
            state / "balancers.sock",
            ("--folder", str(state / "balancers")),
            self.heard,
        )

    def run(self) -> Awaitable[None]:
        """Keep the keeper running as long as there are copies, until cancelled."""
        return self._process.run()

    def plugs(
        self, graph: ConfigGraph, plugged: Mapping[str, PluggedPort]
    ) -> tuple[list[PluggedPort], list[str]]:
        """Return the copies to plug as ports, and those to unplug."""
        if graph.version == self._version:
            return [], []
        self._version = graph.version
        # What somebody else plugged is a workload, whatever is said of its machine.
        self._wanted = {
            port: copy
            for port, copy in wanted_here(graph).items()
            if port not in plugged or plugged[port].ifname.startswith(DEVICE_START)
        }
        new = [
            PluggedPort(port, "", device_of(port), InterfaceKind.WORKLOAD_VETH)
            for port in self._wanted
            if port not in plugged
        ]
        old = [
            uuid
            for uuid, port in plugged.items()
            if port.ifname.startswith(DEVICE_START) and uuid not in self._wanted
        ]
        # Those of a former agent are not new: their keeper goes on, and is about to tell.
        self._unheard = {
            *(uuid for uuid in self._unheard if uuid in self._wanted),
            *(port.vmi_uuid for port in new),
        }
        return new, old

    def follow(self, view: View, underlay_mtu_bytes: int) -> None:
        """Have the keeper run what there is."""
        try:
            known = frozenset(each.name for each in self._certificates.iterdir())
        except OSError:
            known = frozenset[str]()

        def place(source: IpAddress) -> Place:
            return Place(source, self._certificates, known)

        found = list(
            copy_specs(
                self._wanted, view.ports, place, lambda port: workload_mtu(port, underlay_mtu_bytes)
            )
        )
        self._problems = {spec.port: problems for spec, problems in found}
        self._preferences = {
            uuid: view.ports[uuid].local_preference for uuid in self._wanted if uuid in view.ports
        }
        request = KeeperRequest(PROTOCOL, tuple(spec for spec, _ in found))
        self._process.tell(msgspec.json.encode(request), has_work=bool(found))

    def failing(self, others: Mapping[str, Failing]) -> Mapping[str, Failing]:
        """Return what fails, and with it the balancers' addresses whose HAProxy does not run.

        A copy's own address stays: HAProxy asks members from there whether they are well while it
        starts, and answers have to find it.
        """
        found = dict(others)
        for port, copy in self._wanted.items():
            state = self._states.get(port)
            if port not in self._unheard if state is None else state.is_running:
                continue
            problem = "" if state is None else state.problem
            reason = "HAProxy does not run" + (f": {problem}" if problem else "")
            known = found.get(port, WELL)
            address = (ip_address(copy.balancer.vip), reason)
            found[port] = replace(known, addresses=(*known.addresses, address))
        return found

    def troubles(self) -> Iterator[PortTrouble]:
        """Yield the copies that do not serve all they should, though HAProxy runs."""
        for port, problems in sorted(self._problems.items()):
            state = self._states.get(port)
            refused = (state.problem,) if state is not None and state.problem else ()
            if problems or refused:
                yield PortTrouble(port, "load balancer: " + "; ".join((*problems, *refused)))

    def counted(self) -> Iterator[CountedCopy]:
        """Yield the copies that run here, with how their parts stand and what HAProxy counts."""
        for port, copy in sorted(self._wanted.items()):
            state = self._states.get(port)
            if state is not None and state.is_running:
                found = standings(copy.balancer, state.parts)
                preference = self._preferences.get(port, 0)
                yield CountedCopy(copy.balancer, preference, found, state.parts)

    def standings(self) -> Iterator[BalancerStanding]:
        """Yield what control nodes are told of the copies that run here."""
        for each in self.counted():
            parts = tuple((uuid, standing.value) for uuid, standing in each.standings.items())
            yield BalancerStanding(each.balancer.uuid, each.preference, parts)

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Yield every copy on this host."""
        for port, copy in sorted(self._wanted.items()):
            state = self._states.get(port)
            problems = [*self._problems.get(port, ())]
            if state is not None and state.problem:
                problems.append(state.problem)
            yield {
                "vmi_uuid": port,
                "loadbalancer": copy.balancer.uuid,
                "vip": copy.balancer.vip,
                "listeners": [f"{e.protocol} {e.port}" for e in copy.balancer.listeners],
                "state": "starting" if state is None else "up" if state.is_running else "down",
                "starts": 0 if state is None else state.starts,
                "problem": "; ".join(problems),
            }

    def heard(self, line: bytes | None) -> None:
        """Take what the keeper says; None: it has gone."""
        before = self._running()
        if line is None:
            # HAProxy ends with its keeper.
            self._states.clear()
            self._unheard.update(self._wanted)
        else:
            copies = msgspec.json.decode(line, type=KeeperReport).copies
            self._states = {state.port: state for state in copies}
            self._unheard.difference_update(self._states)
        if self._running() != before:
            self._changed()

    def _running(self) -> dict[str, bool]:
        running = {port: state.is_running for port, state in self._states.items()}
        return dict.fromkeys(self._unheard, False) | running
