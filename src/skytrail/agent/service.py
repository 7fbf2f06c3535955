"""The agent at work: joins the pure core with the kernel, the control nodes and the workloads.

```
 1x reconcile     <- wake (ports, config, routes, underlay)   -> worker: datapath.apply -> publish
 1-2x control     TCP session each, supervised                -> ControlSessions -> wake
 1x plug          Unix socket                                 -> ports -> wake, answers when applied
 1x introspect    Unix socket, HTTP
 1x underlay      <- remotes, link and neighbour changes      -> netlink worker -> wake
 1x upstream DNS  two UDP sockets
 1x balancers     <- copies of load balancers on this host     -> a process that outlives us, ports
 1x BGP relays    <- ports with signed or IPv6 sessions       -> a process that outlives us
 1x host network  <- configuration, names                    -> wake; serves metadata
 1x health checks <- due, frames of workloads                  -> frames to workloads, wake
 1x housekeeping  stale sweeps, saving, router advertisements, flow ageing, resync
 callbacks on the loop: punt ring readable, netlink changed
```
Everything runs on one loop; the datapath is called from one worker thread and netlink from
another. The wake event coalesces: however much changed, one recompute follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from random import shuffle
from secrets import randbits
from typing import TypeVar
from uuid import UUID

import structlog

from skytrail.agent import underlay6
from skytrail.agent.control_sessions import ControlSessions, Outgoing
from skytrail.agent.desired import Planner
from skytrail.agent.fabric import vif_of_host_side
from skytrail.agent.inputs import Inputs
from skytrail.agent.interface import ActivePort, PluggedPort, troubles
from skytrail.agent.io.balancers import Balancers
from skytrail.agent.io.bgp_relays import BgpRelays
from skytrail.agent.io.followed import Followed
from skytrail.agent.io.health import HealthChecks
from skytrail.agent.io.host_marks import install as install_host_marks
from skytrail.agent.io.host_network import HostNetwork
from skytrail.agent.io.mac_learner import MacLearner
from skytrail.agent.io.netlink import ChangeSignal, UnderlayResolver, link_index, read_link
from skytrail.agent.io.own_ports import plug_own, with_link
from skytrail.agent.io.plug_socket import (
    ListRequest,
    PlugRefused,
    PlugRequest,
    PlugServer,
    Request,
    UnplugRequest,
)
from skytrail.agent.io.punt import PuntChannel
from skytrail.agent.io.settings import AgentSettings
from skytrail.agent.io.source_nat import SourceNatLinks
from skytrail.agent.io.state import StateFolder
from skytrail.agent.io.uplink_queues import UplinkQueues
from skytrail.agent.io.uplinks import UnderlayMissing, Uplinks
from skytrail.agent.io.upstream_dns import UpstreamDns
from skytrail.agent.io.xmpp import ControlConnection
from skytrail.agent.label import Numbers, NumbersExhausted
from skytrail.agent.membership import Groups
from skytrail.agent.metadata import Asker, address_of_asker, owner_uuids
from skytrail.agent.mobility import CLAIM_TIME_S, announced, announced_by, claim
from skytrail.agent.nexthop import Underlay, UnderlayPath, known_paths
from skytrail.agent.outcome import Desired
from skytrail.agent.plugin import Datapath, Punt, PuntReason
from skytrail.agent.program_traces import ProgramTraces, Run
from skytrail.agent.qos import Marks
from skytrail.agent.querier import Querier, owners_of
from skytrail.agent.reconcile import Plan, Reconciler
from skytrail.agent.responders.dhcp6_ra import ADVERTISEMENT_INTERVAL_S
from skytrail.agent.responders.dispatch import Dispatcher
from skytrail.agent.responders.dns import DnsRequest, Zones
from skytrail.agent.sub_interfaces import on_the_link
from skytrail.agent.tables import (
    GroupRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    NextHopRow,
    Row,
    VifId,
)
from skytrail.agent.takeover import Takeover
from skytrail.agent.view import IncrementalView, View
from skytrail.net import IpAddress
from skytrail.runtime.clock import SystemClock
from skytrail.runtime.tasks import supervise
from skytrail.wire.xmpp import Message, RevisionMark

HOUSEKEEPING_INTERVAL_S = 0.5
AGEING_INTERVAL_S = 5.0
RESYNC_INTERVAL_S = 120.0
RECOMPUTE_INTERVAL_S = 1800.0
CONFIG_SAVE_INTERVAL_S = 2.0
UNDERLAY_REFRESH_S = 10.0
UNDERLAY_RETRY_S = 0.2
UPLINK_RETRY_S = 1.0
APPLY_RETRY_S = 1.0
PLUG_TIMEOUT_S = 10.0
PORTS_COUNT_MAX = 4096
_KINDS = {"veth": InterfaceKind.WORKLOAD_VETH, "tap": InterfaceKind.WORKLOAD_TAP}
_KIND_TEXTS = {**{kind: text for text, kind in _KINDS.items()}, InterfaceKind.SNAT: "snat"}
T = TypeVar("T")


def _addresses(hosts: Iterable[str]) -> Iterable[IpAddress]:
    """Yield the hosts that are given by address: others are no place to translate to."""
    for host in hosts:
        with suppress(ValueError):
            yield ip_address(host)


class AgentService:
    """One vRouter agent. ``run`` returns only by cancellation or a failure that needs a restart."""

    def __init__(self, settings: AgentSettings, datapath: Datapath) -> None:
        self.settings = settings
        self.datapath = datapath
        self.numbers = Numbers()
        self.planner = Planner(self.numbers)
        self.sessions = ControlSessions(settings.name)
        self.reconciler = Reconciler(datapath)
        self.dispatcher = Dispatcher(Zones(shuffle), partial(randbits, 32))
        self.desired = Desired()
        self.plugged: dict[str, PluggedPort] = {}
        self._claiming: dict[str, float] = {}
        """Freshly plugged ports, until when they claim their addresses from other hosts."""
        self.problem = ""
        """Why the last run did not reach the kernel; empty when it did."""
        tls = None if settings.tls is None else settings.tls.client()
        self.connections = [
            ControlConnection(settings.name, address, self, tls) for address in settings.controls
        ]
        self.upstream = UpstreamDns(settings.dns_forwarder, self._reply_dns)
        self._by_source = {connection.source: connection for connection in self.connections}
        self._state = StateFolder(settings.state)
        self._incremental = IncrementalView()
        self.host_network = HostNetwork(
            self._asker, settings.metadata_secret, self._host_network_changed
        )
        self.uplinks = Uplinks(settings.underlay)
        self._underlay = self._look_at_underlay({})
        self._punts = PuntChannel(datapath, self._punted)
        self._clock = SystemClock()
        self.health = HealthChecks(self._clock, self._state, self._punts.reply, self._changed)
        self.balancers = Balancers(settings.state, settings.certificates, self._changed)
        self._source_nat = SourceNatLinks()
        self.relays = BgpRelays(settings.state / "bgp-relay.sock")
        self.queues = {
            ifname: UplinkQueues(settings.uplink_mbps * 1000) for ifname in settings.underlay
        }
        self.host_marks = Followed[Marks](
            "host_marks", lambda marks: install_host_marks(settings.underlay, marks)
        )
        self.closing: list[Callable[[], None]] = []
        """Called before the datapath is closed, by whoever reads it on its own time."""
        self._datapath_worker = ThreadPoolExecutor(1, "datapath")
        self._netlink_worker = ThreadPoolExecutor(1, "netlink")
        self.querier = Querier()
        self.macs = MacLearner(self.planner, self._clock, self._changed, self._answer)
        self._groups: Mapping[str, Groups] = {}
        self._wake = asyncio.Event()
        self._underlay_wake = asyncio.Event()
        self._captured: frozenset[str] = frozenset()
        self._requested = 0
        self._applied = 0
        self._applied_changed = asyncio.Event()
        self._held = 0
        """Rows the last run wanted to delete, but may not yet."""
        self._saved_numbers = -1
        self._saved_config = -1
        self._adopting = False
        self._takeover = Takeover()
        self._check_due = False
        """The next recompute shall be a full one, and is compared with the incremental one."""
        self._datapath_free = asyncio.Lock()
        self._advertised: dict[str, float] = {}
        self.traces: ProgramTraces | None = None
        self._log = structlog.get_logger("skytrail.agent")

    async def run(self, *, when_ready: Callable[[], None]) -> None:
        """Adopt what the kernel and the state folder hold, then serve until cancelled."""
        loop = asyncio.get_running_loop()
        self.uplinks.prepare(self.settings.address)
        await self._restore()
        self._punts.open(loop)
        signal = ChangeSignal(self._network_changed)
        signal.open(loop)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reconcile_forever())
                group.create_task(self._resolve_forever())
                group.create_task(self._keep_house())
                group.create_task(supervise("upstream_dns", self.upstream.run))
                group.create_task(supervise("health_checks", self.health.run))
                group.create_task(supervise("bgp_relays", self.relays.run))
                group.create_task(supervise("balancers", self.balancers.run))
                for ifname, queues in self.queues.items():
                    group.create_task(supervise(f"uplink_queues {ifname}", queues.run))
                group.create_task(supervise("host_marks", self.host_marks.run))
                group.create_task(supervise("host_network", self.host_network.run))
                for connection in self.connections:
                    group.create_task(supervise(f"control {connection.source}", connection.run))
                plug = PlugServer(self.settings.plug_socket, self._plug_requested)
                group.create_task(plug.serve())
                self._changed()
                await self._wait_applied()
                when_ready()
        finally:
            signal.close(loop)
            self._punts.close(loop)
            self._datapath_worker.shutdown(wait=True)
            self._netlink_worker.shutdown(wait=True)
            for stop in self.closing:
                stop()
            self.datapath.close()

    async def in_datapath_thread(self, call: Callable[[], T]) -> T:
        """Run a datapath call where all of them run."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._datapath_worker, call)

    def unmet(self) -> list[str]:
        """Names of what is missing for full operation."""
        found: list[str] = []
        if not any(connection.is_established for connection in self.connections):
            found.append("control node")
        if not self.sessions.config_complete:
            found.append("configuration")
        if self.problem:
            found.append(f"datapath: {self.problem}")
        found += underlay6.unmet(self.view, self.desired.unreachable, self._underlay)
        return found + self.uplinks.unmet()

    @property
    def is_complete(self) -> bool:
        """What the kernel holds beyond the desired state may be deleted."""
        return not self._adopting or self.sessions.is_complete

    @property
    def underlay(self) -> Underlay:
        return self._underlay

    def set_captured(self, ports: frozenset[str]) -> None:
        """Have the datapath show the frames of these ports, and of no others."""
        if ports != self._captured:
            self._captured = ports
            self._changed()

    async def wait_applied(self) -> None:
        """Wait until what is known now is in the kernel."""
        await self._wait_applied()

    @property
    def view(self) -> View:
        return self._incremental.view

    # Control sessions: what io/xmpp calls.

    def session_established(self, source: str) -> None:
        self._log.info("session_established", peer=source)
        self._send(self.sessions.established(source, self._clock.now()))
        self._changed()

    def message_received(self, source: str, message: Message) -> None:
        self.sessions.received(source, message, self._clock.now())
        self._changed()

    def session_lost(self, source: str, reason: str) -> None:
        self._log.warning("session_lost", peer=source, reason=reason)
        self._send(self.sessions.lost(source, self._clock.now()))
        self._changed()

    def _send(self, outgoing: Iterable[Outgoing]) -> None:
        for source, message in outgoing:
            self._by_source[source].send(message)

    # Start.

    async def _restore(self) -> None:
        known = self._state.load_numbers(self.numbers)
        for port in self._state.load_ports():
            self.plugged[port.vmi_uuid] = with_link(port, read_link(port.ifname))
        self.health.restore(self.plugged)
        config = self._state.load_config()
        if config is not None:
            self.sessions.graph.update(config)
            self._saved_config = self.sessions.graph.version
        self._send(self.sessions.set_machines(p.vm_uuid for p in self.plugged.values()))
        for problem in self._state.problems:
            self._log.warning("state_unreadable", problem=problem)
        actual = await self.in_datapath_thread(self.reconciler.adopt)
        rows = sum(len(table) for table in actual.values())
        self._adopting = bool(rows) or self.reconciler.takes_over
        if rows and not known:
            self._reserve(actual)
        self._restore_groups(actual)
        self.macs.restore(actual, self.numbers)
        self._underlay = replace(self._underlay, paths=known_paths(actual))
        self._saved_numbers = self.numbers.changes
        self._log.info(
            "state_restored", ports=len(self.plugged), rows=rows, numbers=known,
            takes_over=self.reconciler.takes_over,
        )  # fmt: skip

    def _restore_groups(self, actual: dict[type[Row], dict[object, Row]]) -> None:
        """Nobody misses anything until its listeners have been asked again."""
        ports = {number: uuid for uuid, number in self.numbers.vif.items()}
        nexthops = (r for r in actual[NextHopRow].values() if isinstance(r, NextHopRow))
        groups = (r for r in actual[GroupRow].values() if isinstance(r, GroupRow))
        self.querier.restore(groups, owners_of(nexthops, ports))
        self._groups = self.querier.groups()

    def _reserve(self, actual: dict[type[Row], dict[object, Row]]) -> None:
        """The names of the kernel's numbers are lost: leave those numbers alone."""
        for row in (row for table in actual.values() for row in table.values()):
            match row:
                case InterfaceRow():
                    self.numbers.vif.reserve([row.vif_id])
                    self.numbers.vrf.reserve([row.vrf_id])
                    self.numbers.policy.reserve([row.policy_egress, row.policy_ingress])
                    self.numbers.identity.reserve([row.identity])
                case NextHopRow():
                    self.numbers.nexthop.reserve([row.nexthop_id])
                case LabelRow():
                    self.numbers.label.reserve([row.label])
                case _:
                    pass

    # Reconciliation.

    def _changed(self) -> int:
        """Something the desired state depends on changed; return the ticket of that change."""
        self._requested += 1
        self._wake.set()
        return self._requested

    async def _wait_applied(self) -> None:
        ticket = self._requested
        while self._applied < ticket:
            self._applied_changed.clear()
            await self._applied_changed.wait()

    async def _reconcile_forever(self) -> None:
        while True:
            await self._wake.wait()
            # Let everything that has already arrived be part of this run.
            await asyncio.sleep(0)
            self._wake.clear()
            ticket = self._requested
            try:
                async with self._datapath_free:
                    await self._reconcile()
            except (OSError, NumbersExhausted) as error:
                if not self.problem:
                    self._log.error("datapath_refused", error=str(error), exc_info=error)
                self.problem = str(error)
                await asyncio.sleep(APPLY_RETRY_S)
                self._wake.set()
                continue
            if self.desired.shortage and not self.problem:
                self._log.error("numbers_exhausted", error=self.desired.shortage)
            self.problem = self.desired.shortage
            if self.problem:
                asyncio.get_running_loop().call_later(APPLY_RETRY_S, self._wake.set)
            self._applied = ticket
            self._applied_changed.set()

    async def _reconcile(self) -> None:
        before, mark, since = self.desired, self.sessions.mark, self.sessions.mark_since
        desired = self._compute()
        self._save_numbers()
        complete = self.is_complete
        if complete and self.reconciler.takes_over:
            paths, now = self._underlay.paths, self._clock.now()
            complete = not self._takeover.waits(desired.remotes, paths, now)
        started = self._clock.now()
        done = await self.in_datapath_thread(
            lambda: self.reconciler.run(desired.rows, complete=complete, changes=desired.changes)
        )
        if complete and self._adopting and done.full is None:
            self._adopting = False
            self.numbers.clear_reserved()
            self._log.info("adoption_finished", deleted=len(done.deletes))
        self.desired, self._held = desired, done.held
        self._send(self.sessions.synchronise(desired.vrfs, desired.published, desired.changes))
        done.require_room()
        if mark is not None and not done.held and not self.reconciler.takes_over:
            if self.traces is not None and mark.traces:
                now = self._clock.now()
                run = Run(started, now, len(done.puts), len(done.deletes))
                self.traces.programmed(mark, since, run, now)
            self._report(mark)
        self._announce(before, desired, done)
        if complete:
            underlay = self._underlay
            self.balancers.follow(self.view, underlay.mtu4_bytes)
            for ifname, queues in self.queues.items():
                queues.follow(ifname, self.view.queues)
            if self.settings.underlay:
                self.host_marks.follow(self.view.host_marks)
            self.relays.follow(desired.ports.values(), underlay.controls, underlay.address)
        if desired.remotes != before.remotes:
            self._underlay_wake.set()

    def _report(self, reached: RevisionMark | None = None) -> None:
        """Tell the control node how far the kernel is, if it asks and there is news."""
        if not self.sessions.is_asked:
            return
        problem = self.problem if reached is None else self.desired.shortage
        if not problem and self._held:
            problem = f"{self._held} rows of before the restart wait for all routes to be back"
        found = {each.uuid: each for each in self.balancers.troubles()}
        found |= {
            each.uuid: each for each in underlay6.unserved(self.desired.ports, self._underlay)
        }
        found |= {each.uuid: each for each in troubles(self.desired.ports, self.view)}
        stand = self.balancers.standings()
        self._send(self.sessions.report(reached, problem, found.values(), stand))

    def _claim(self, view: View) -> None:
        """Let workloads that just came here win over where they were before."""
        now = self._clock.now()
        self._claiming = {uuid: end for uuid, end in self._claiming.items() if end > now}
        heard = (self.sessions.learnt, self._underlay.address)
        changed = list(claim(self._claiming, self.plugged, view, heard))
        for port in changed:
            self.plugged[port.vmi_uuid] = port
            self._log.info("port_moved_here", port=port.vmi_uuid, sequences=dict(port.sequences))
        if changed:
            # Before anybody hears of a number, it is on disk.
            self._state.save_ports(list(self.plugged.values()))

    def _announced(self, uuid: str, frame: bytes) -> None:
        """A workload has an address now that others have at other times."""
        address = announced_by(frame)
        heard = (self.sessions.learnt, self._underlay.address)
        changed = list(announced(uuid, address, self.plugged, self.view, heard))
        for port in changed:
            self.plugged[port.vmi_uuid] = port
        if changed:
            self._state.save_ports(list(self.plugged.values()))
            self._log.info("address_announced", port=uuid, address=str(address))
            self._changed()

    def _compute(self) -> Desired:
        view = self._incremental.update(self.sessions.graph)
        self._plug_own()
        self._claim(view)
        self.health.follow(self.plugged, view)
        fabric = view.fabric
        self.host_network.follow(
            fabric if self._underlay.address4 else fabric.apart(), self._underlay.address
        )
        inputs = Inputs(
            plugged=self.plugged,
            view=view,
            learnt=self.sessions.learnt,
            underlay=self._underlay,
            failing=self.balancers.failing(self.health.failing),
            captured=self._captured,
            names=self.host_network.names,
            groups=self._groups,
            macs=self.macs.learnt,
        )
        desired = self.planner.compute(inputs)
        if self._check_due:
            self._check_due = False
            again = self.planner.compute(inputs, full=True)
            if again.rows != desired.rows or again.published != desired.published:
                self._log.error("recompute_differs", ports=len(desired.ports))
            return again
        return desired

    def _plug_own(self) -> None:
        """Copies of load balancers, and addresses to leave by, come and go with configuration."""
        graph, plugged = self.sessions.graph, self.plugged
        if self.is_complete and plug_own(graph, plugged, self.balancers, self._source_nat):
            self._state.save_ports(list(plugged.values()))

    def _save_numbers(self) -> None:
        """Before the kernel or a control node hears of a number, it is on disk."""
        if self.numbers.changes != self._saved_numbers:
            self._state.save_numbers(self.numbers.save())
            self._saved_numbers = self.numbers.changes

    def _announce(self, before: Desired, desired: Desired, done: Plan) -> None:
        """Answer what just-activated ports asked before; log what changed."""
        if done.puts or done.deletes:
            self._log.debug(
                "rows_written", puts=len(done.puts), deletes=len(done.deletes), held=done.held
            )
        known = desired.changes.follow(before.changes.version)
        for uuid in desired.changes.ports if known else desired.ports:
            state, old = desired.ports.get(uuid), before.ports.get(uuid)
            vif_id = self.numbers.vif.find(uuid)
            if state is None or vif_id is None:
                continue
            was_active = isinstance(old, ActivePort)
            if isinstance(state, ActivePort):
                if not was_active:
                    self._log.info("port_active", port=uuid, ifname=state.plugged.ifname)
                    if uuid in self._claiming:
                        self._claiming[uuid] = self._clock.now() + CLAIM_TIME_S
                    self._activated(VifId(vif_id), state)
            elif was_active or old is None:
                self._log.info("port_inactive", port=uuid, reason=state.reason)

    def _activated(self, vif_id: VifId, state: ActivePort) -> None:
        servers = self.view.virtual_dns
        frames = self.dispatcher.port_activated(vif_id, state, servers, self._clock.now())
        for frame in frames:
            self._answer(state.plugged, frame)
        self._ask_listeners(self._clock.now())

    # Frames of workloads.

    def _punted(self, punt: Punt) -> None:
        state = self.desired.ports.get(self.desired.vifs.get(punt.vif_id, ""))
        if state is not None and state.plugged.tag is not None and state.plugged.is_chain:
            tag = state.plugged.tag
            if punt.reason is PuntReason.RECEIVE:
                parent = state.plugged.vmi_uuid.partition(".")[0]
                self.health.receive_tagged(parent, tag.vlan, punt.frame)
            return  # A wire asks for nothing, and would carry an answer to the wrong end.
        if punt.reason is PuntReason.RECEIVE and isinstance(state, ActivePort):
            self.health.receive(state.port.uuid, punt.frame)
        announces = punt.reason is PuntReason.ANNOUNCEMENT and not punt.is_to_learn
        if announces and isinstance(state, ActivePort):
            self._announced(state.port.uuid, punt.frame)
        if punt.reason is PuntReason.MEMBERSHIP and isinstance(state, ActivePort):
            self._reported(state, punt.frame)
        if isinstance(state, ActivePort):
            self.macs.punted(state, punt, self._underlay.address)
        answers = self.dispatcher.receive(punt, state, self.view.virtual_dns, self._clock.now())
        if state is not None:
            for frame in answers.frames:
                self._answer(state.plugged, frame)
        for forward in answers.forwards:
            self.upstream.forward(forward.request, forward.target)

    def _reported(self, active: ActivePort, frame: bytes) -> None:
        """A workload says which multicast groups it listens to."""
        for query in self.querier.receive(active, frame, self._clock.now()):
            self._punts.reply(active.plugged.ifname, query)
        self._groups_changed()

    def _ask_listeners(self, now: float) -> None:
        for ifname, query in self.querier.tick(self.desired.ports, now):
            self._punts.reply(ifname, query)
        self._groups_changed()

    def _groups_changed(self) -> None:
        groups = self.querier.groups()
        if groups != self._groups:
            self._groups = groups
            self._changed()

    def _reply_dns(self, request: DnsRequest, message: bytes) -> None:
        for frame in self.dispatcher.reply(request, message, self._clock.now()):
            self._send_to(request.vif_id, frame)

    def _send_to(self, vif_id: VifId, frame: bytes) -> None:
        state = self.desired.ports.get(self.desired.vifs.get(vif_id, ""))
        if isinstance(state, ActivePort):
            self._answer(state.plugged, frame)

    def _answer(self, plugged: PluggedPort, frame: bytes) -> None:
        self._punts.reply(plugged.ifname, on_the_link(plugged, frame))

    # Plug socket.

    async def _plug_requested(self, request: Request) -> dict[str, object]:
        match request:
            case ListRequest():
                return {"ports": [_port_row(port) for port in self.plugged.values()]}
            case PlugRequest():
                self._plug(request)
            case UnplugRequest():
                self.plugged.pop(_uuid(request.vmi_uuid), None)
        self._state.save_ports(list(self.plugged.values()))
        self._send(self.sessions.set_machines(p.vm_uuid for p in self.plugged.values()))
        self._changed()
        try:
            async with asyncio.timeout(PLUG_TIMEOUT_S):
                await self._wait_applied()
        except TimeoutError:
            raise PlugRefused(f"not applied in time: {self.problem or 'busy'}") from None
        return {}

    def _plug(self, request: PlugRequest) -> None:
        uuid = _uuid(request.vmi_uuid)
        if len(self.plugged) >= PORTS_COUNT_MAX and uuid not in self.plugged:
            raise PlugRefused(f"{PORTS_COUNT_MAX} ports are plugged already")
        if request.ifname in {"lo", *self.settings.underlay}:
            raise PlugRefused(f"{request.ifname} carries this host's own traffic")
        for other in self.plugged.values():
            if other.ifname == request.ifname and other.vmi_uuid != uuid:
                raise PlugRefused(f"{request.ifname} is plugged as port {other.vmi_uuid}")
        link = read_link(request.ifname)
        if link is None:
            raise PlugRefused(f"there is no link {request.ifname} in this network namespace")
        vm_uuid = _uuid(request.vm_uuid) if request.vm_uuid else ""
        known = self.plugged.get(uuid)
        self.macs.forget_port(uuid)
        if known is None:
            self._claiming[uuid] = float("inf")
        port = PluggedPort(
            uuid,
            vm_uuid,
            request.ifname,
            _KINDS[request.kind],
            sequences=known.sequences if known is not None else (),
        )
        self.plugged[uuid] = with_link(port, link)

    # Links and the underlay.

    def _network_changed(self) -> None:
        """Look again at every link we care about; cheap enough to do for any change."""
        changed = False
        for uuid, port in self.plugged.items():
            relay = self.relays.ifindex_of(port)
            if (link_index(port.ifname), relay) != (port.ifindex, port.relay_ifindex):
                linked = with_link(port, read_link(port.ifname))
                self.plugged[uuid] = replace(linked, relay_ifindex=relay)
                changed = True
        try:
            underlay = self._look_at_underlay(self._underlay.paths)
        except UnderlayMissing:
            underlay = self._underlay
        if underlay != self._underlay:
            self._underlay = underlay
            changed = True
        if changed:
            self._changed()
        self._underlay_wake.set()

    def _look_at_underlay(self, paths: Mapping[IpAddress, UnderlayPath]) -> Underlay:
        return replace(
            self.uplinks.look(self.settings.address, paths),
            controls=tuple(_addresses(host for host, _ in self.settings.controls)),
            priority_tags=self.settings.priority_tags,
            further_ends=self.settings.further_ends,
            takes_any_end=self.settings.takes_any_end,
            host=self.host_network.side,
        )

    def _host_network_changed(self) -> None:
        self._underlay = replace(self._underlay, host=self.host_network.side)
        self._changed()

    def _asker(self, address: IpAddress) -> Asker | None:
        """Return who uses a service of the host, by the address it does it from."""
        vif_id = vif_of_host_side(address)
        state = None
        if vif_id is not None:
            state = self.desired.ports.get(self.desired.vifs.get(vif_id, ""))
        if not isinstance(state, ActivePort):
            return None
        own = address_of_asker(state.port.addresses, address)
        machine, project = owner_uuids(self.sessions.graph, state.port.name)
        return Asker(str(own), machine or state.plugged.vm_uuid, project) if own else None

    async def _resolve_forever(self) -> None:
        loop = asyncio.get_running_loop()
        resolver = await loop.run_in_executor(self._netlink_worker, UnderlayResolver)
        try:
            while True:
                wait_s = await self._resolve(loop, resolver)
                self._underlay_wake.clear()
                try:
                    async with asyncio.timeout(wait_s):
                        await self._underlay_wake.wait()
                except TimeoutError:
                    continue
        finally:
            self._netlink_worker.submit(resolver.close)

    async def _resolve(self, loop: asyncio.AbstractEventLoop, resolver: UnderlayResolver) -> float:
        """Resolve once; return when to look again at the latest."""
        remotes = self.desired.remotes
        if not remotes:
            return UNDERLAY_REFRESH_S
        macs = self.uplinks.macs
        paths = await loop.run_in_executor(
            self._netlink_worker, lambda: resolver.resolve(sorted(remotes), macs.get)
        )
        # A neighbour that is being confirmed again must not interrupt forwarding meanwhile.
        for remote, path in paths.items():
            old = self._underlay.paths.get(remote)
            if path.destination_mac is None and old is not None:
                paths[remote] = replace(path, destination_mac=old.destination_mac)
        if paths != self._underlay.paths:
            self._underlay = replace(self._underlay, paths=paths)
            self._changed()
        pending = any(path.destination_mac is None for path in paths.values())
        if pending or len(paths) < len(remotes):
            return UNDERLAY_RETRY_S
        return UPLINK_RETRY_S if resolver.waits else UNDERLAY_REFRESH_S

    # Housekeeping.

    async def _keep_house(self) -> None:
        next_ageing = next_resync = next_save = self._clock.now()
        next_resync += RESYNC_INTERVAL_S
        next_recompute = next_ageing + RECOMPUTE_INTERVAL_S
        while True:
            await asyncio.sleep(HOUSEKEEPING_INTERVAL_S)
            now = self._clock.now()
            if self.sessions.tick(now) or (self._adopting and self.is_complete):
                self._changed()
            if now >= next_save:
                next_save = now + CONFIG_SAVE_INTERVAL_S
                self._save_config()
            self._advertise_routers(now)
            for vif_id, frame in self.dispatcher.streams.tick(now):
                self._send_to(vif_id, frame)
            self._ask_listeners(now)
            if self.is_complete:
                self.macs.follow(self.desired, self.view, self._underlay.address)
            self._report()
            if now >= next_ageing:
                next_ageing = now + AGEING_INTERVAL_S
                if self.is_complete:
                    # Certificates may have come.
                    self.balancers.follow(self.view, self._underlay.mtu4_bytes)
                await self._datapath_chore("flow_ageing", partial(self.datapath.age_flows, now))
                await self._datapath_chore("macs_seen", partial(self.macs.look, self.datapath))
            if now >= next_resync:
                next_resync = now + RESYNC_INTERVAL_S
                await self._resync()
            if now >= next_recompute:
                next_recompute = now + RECOMPUTE_INTERVAL_S
                self._check_due = True
                self._changed()

    async def _resync(self) -> None:
        async with self._datapath_free:
            desired, complete = self.desired, self.is_complete
            drift = await self._datapath_chore(
                "resync", lambda: self.reconciler.resync(desired.rows, complete=complete)
            )
        if drift:
            self._log.warning("kernel_drifted", rows=drift)

    async def _datapath_chore(self, name: str, call: Callable[[], int]) -> int:
        try:
            return await self.in_datapath_thread(call)
        except OSError as error:
            self._log.warning("datapath_chore_failed", chore=name, error=str(error))
            return 0

    def _save_config(self) -> None:
        graph = self.sessions.graph
        if self.sessions.config_complete and graph.version != self._saved_config:
            nodes, links = graph.snapshot()
            self._state.save_config(list(nodes), list(links))
            self._saved_config = graph.version

    def _advertise_routers(self, now: float) -> None:
        """Repeat router advertisements well within their lifetime."""
        for uuid, state in self.desired.ports.items():
            if not isinstance(state, ActivePort) or now < self._advertised.get(uuid, 0.0):
                continue
            self._advertised[uuid] = now + ADVERTISEMENT_INTERVAL_S
            for frame in self.dispatcher.advertise(state, self.view.virtual_dns):
                self._answer(state.plugged, frame)
        for uuid in self._advertised.keys() - self.desired.ports.keys():
            del self._advertised[uuid]


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise PlugRefused(f"{text[:60]!r} is not a uuid") from None


def _port_row(port: PluggedPort) -> dict[str, object]:
    return {
        "vmi_uuid": port.vmi_uuid,
        "vm_uuid": port.vm_uuid,
        "ifname": port.ifname,
        "kind": _KIND_TEXTS[port.kind],
        "ifindex": port.ifindex,
    }
