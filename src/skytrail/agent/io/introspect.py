"""The agent's pages: its tables, ``/introspect/explain`` for ``skytrail trace`` and ``/introspect/probe``.

Pages that read the kernel (flows, drops, difference, explain) run in the datapath's thread; the
generic ones read the agent's own values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from socket import if_indextoname

from skytrail.agent import introspect as tables
from skytrail.agent import tunnel_ends
from skytrail.agent.interface import ActivePort
from skytrail.agent.introspect import ExplainRefused, RuleBook
from skytrail.agent.io.capture import CapturePages
from skytrail.agent.io.packet_probe import ProbePage
from skytrail.agent.io.session_log import SessionLogPages
from skytrail.agent.io.table_use import TableUsage
from skytrail.agent.io.uplinks import link_of_flow
from skytrail.agent.lookup import Tables
from skytrail.agent.plugin import FlowEnds, FlowRecord
from skytrail.agent.service import AgentService
from skytrail.agent.tables import ROW_TYPES, TunnelEndRow, VifId
from skytrail.agent.trace import TraceStep
from skytrail.agent.underlay6 import out_of_reach
from skytrail.agent.workload_bgp import without_keys
from skytrail.runtime.asgi import AsgiApp, HttpError, Request, Response, Router, json_reply
from skytrail.runtime.introspection import Introspection, Page, Sliced
from skytrail.runtime.metrics import Sample
from skytrail.runtime.server import listen_unix, serve
from skytrail.runtime.traces import Traces

Row = Mapping[str, object]


class AgentPages:
    """Binds the pages to one agent."""

    def __init__(
        self, agent: AgentService, usage: TableUsage, traces: Traces | None = None
    ) -> None:
        self._traces = traces
        self._agent = agent
        self._usage = usage
        self.session_log = SessionLogPages(agent)
        self._captures = CapturePages(agent)
        self._probe = ProbePage(agent, self._captures)
        self._book = RuleBook(agent.numbers, agent.planner.policies)
        self._kernel_pages: dict[str, Callable[[], list[Row]]] = {
            "flows": self._flows,
            "drops": self._drops,
            "queues": lambda: [
                {"link": ifname, **row}
                for ifname, queues in agent.queues.items()
                for row in queues.rows()
            ],
            "mirrors": self._mirrors,
            "difference": self._difference,
        }

    async def serve(self, path: Path) -> None:
        """Serve until cancelled."""
        router = self.router()
        self._captures.add_routes(router)
        self.session_log.add_routes(router)
        await serve(AsgiApp(router), [listen_unix(path)])

    def router(self) -> Router:
        """Return a router that serves the tables alone."""
        router = Router()
        for name in self._kernel_pages:
            router.add("GET", f"/introspect/{name}", self._kernel_page)
        router.add("GET", "/introspect/explain", self._explain)
        router.add("GET", "/introspect/probe", self._probe.answer)
        router.add("GET", "/introspect/tables", self._table_use)
        introspection = Introspection(self._own_pages(), self._agent.unmet, self._metrics)
        introspection.add_routes(router)
        return router

    def _own_pages(self) -> dict[str, Callable[[], Iterable[object]]]:
        agent = self._agent
        return {
            "interfaces": lambda: tables.interface_rows(agent.desired),
            "vrfs": lambda: tables.vrf_rows(agent.desired),
            "groups": lambda: tables.group_rows(agent.desired),
            "routes": Sliced(
                lambda: tables.route_rows(agent.desired, agent.numbers),
                {"vrf": lambda name: tables.route_rows(agent.desired, agent.numbers, name)},
            ),
            "nexthops": Sliced(lambda: tables.nexthop_rows(agent.desired, agent.numbers)),
            "labels": lambda: tables.label_rows(agent.desired, agent.numbers),
            "policy": lambda: tables.policy_rows(agent.desired),
            "rules": lambda: tables.rule_rows(agent.desired, self._book),
            "identities": lambda: tables.identity_rows(agent.desired),
            "verdicts": lambda: [
                row
                for kind in ROW_TYPES
                for row in agent.desired.rows[kind].values()
                if kind.__name__ in {"VerdictRow", "SourcePortRow"}
            ],
            "sessions": self._sessions,
            "macs": agent.macs.rows,
            "learnt_addresses": agent.macs.address_rows,
            "learnt": agent.sessions.learnt.statistics,
            "config": lambda: without_keys(agent.sessions.graph.nodes()),
            "config-links": agent.sessions.graph.links,
            "dns": self._dns,
            "punts": self._punts,
            "logging": self.session_log.objects.rows,
            "health": agent.health.rows,
            "bgp_relays": agent.relays.rows,
            "load_balancers": agent.balancers.rows,
            "underlay": self._underlay,
            "uplinks": agent.uplinks.states,
            "status": self._status,
            # Listed here, served by the routes above, which go first.
            **dict.fromkeys([*self._kernel_pages, "explain", "probe", "tables"], lambda: ()),
        }

    async def _kernel_page(self, request: Request) -> Response:
        name = request.segments[-1]
        return _chosen(
            request, name, await self._agent.in_datapath_thread(self._kernel_pages[name])
        )

    async def _table_use(self, request: Request) -> Response:
        return _chosen(request, "tables", await self._usage.rows())

    async def _explain(self, request: Request) -> Response:
        agent = self._agent
        query = {key: value for key, value in request.query.items() if key != "limit"}

        def installed() -> Tables:
            return Tables(row for kind in ROW_TYPES for row in agent.datapath.dump(kind))

        rows = await agent.in_datapath_thread(installed)
        try:
            found = tables.explain_query(rows, agent.desired, self._book, query)
        except ExplainRefused as error:
            raise HttpError(400, str(error)) from error
        rows_found = [self._with_uplink(found)]
        return json_reply({"table": "explain", "rows": rows_found, "total": 1})

    def _with_uplink(self, row: Row) -> Row:
        """Add which of several links a flow's tunnel packets take, as the kernel says now."""
        port = row["outer_source_port"]
        steps = row["steps"]
        if not port or not isinstance(port, int) or not isinstance(steps, tuple):
            return row
        local, remote = self._agent.settings.address, ip_address(str(row["remote"]))
        try:
            ifindex = link_of_flow(local, remote, port)
            name = if_indextoname(ifindex) if ifindex else "no route"
        except OSError as error:
            name = f"unknown: {error.strerror or error}"
        question = f"{local} to {remote}, outer source port {port}"
        return {**row, "uplink": name, "steps": (*steps, TraceStep("uplink", question, name))}

    def _flows(self) -> list[Row]:
        agent = self._agent
        return [self._flow_row(agent, flow) for flow in agent.datapath.flows()]

    def _flow_row(self, agent: AgentService, flow: FlowRecord) -> Row:
        uuid = agent.desired.vifs.get(flow.vif_id, "")
        state = agent.desired.ports.get(uuid)
        return {
            "vif_id": flow.vif_id,
            "vmi_uuid": uuid,
            "vrf": state.port.network.vrf if isinstance(state, ActivePort) else "",
            "source": str(flow.folded[0] if flow.folded else flow.source),
            "destination": str(flow.folded[1] if flow.folded else flow.destination),
            "protocol": flow.protocol,
            "source_port": flow.source_port,
            "destination_port": flow.destination_port,
            "is_reverse": flow.is_reverse,
            "allowed": flow.allowed,
            "drop_reason": flow.drop_reason or "",
            "rule_id": flow.rule_id,
            "rule": self._book.name(flow.rule_id),
            "nexthop_id": flow.nexthop_id,
            "nexthop": agent.numbers.nexthop.name(flow.nexthop_id) or "",
            "label": flow.label,
            "packets": flow.packets,
            "bytes": flow.bytes,
            "age_s": round(flow.age_s, 3),
            "leaves_as": _ends_text(flow.leaves_as),
        }

    def _drops(self) -> list[Row]:
        """Totals under vif 0, then each interface's own."""
        agent = self._agent
        rows: list[Row] = [
            {"vif_id": 0, "vmi_uuid": "", "reason": reason, "packets": count}
            for reason, count in sorted(agent.datapath.drop_counts().items())
            if count
        ]
        for vif_id, counts in sorted(agent.datapath.interface_drop_counts().items()):
            uuid = agent.desired.vifs.get(VifId(vif_id), "")
            rows += [
                {"vif_id": vif_id, "vmi_uuid": uuid, "reason": reason, "packets": count}
                for reason, count in sorted(counts.items())
                if count
            ]
        return rows

    def _mirrors(self) -> list[Row]:
        return list(tables.mirror_rows(self._agent.desired, self._agent.datapath.mirror_counts()))

    def _difference(self) -> list[Row]:
        agent = self._agent
        actual: dict[type, dict[object, object]] = {
            kind: {row.key: row for row in agent.datapath.dump(kind)} for kind in ROW_TYPES
        }
        return list(tables.comparison_rows(agent.desired.rows, actual))

    def _sessions(self) -> Iterable[Row]:
        details = {str(row["source"]): row for row in self._agent.sessions.rows()}
        for connection in self._agent.connections:
            yield {**connection.row(), **details.get(connection.source, {})}

    def _dns(self) -> Iterable[object]:
        return self._agent.view.virtual_dns.values()

    def _punts(self) -> Iterable[Row]:
        agent = self._agent
        counts = {**agent.dispatcher.counts, "waiting": agent.dispatcher.waiting_count}
        counts |= {f"listeners {k}": v for k, v in agent.querier.counts.items()}
        counts |= {f"learning {k}": v for k, v in agent.macs.counts().items()}
        counts |= {f"dns {k}": v for k, v in agent.upstream.forwarder.statistics().items()}
        counts |= {f"relay {k}": v for k, v in agent.host_network.relay.statistics.items()}
        for name, count in sorted(counts.items()):
            yield {"event": name, "count": count}

    def _underlay(self) -> Iterable[Row]:
        underlay = self._agent.underlay
        for remote in sorted(self._agent.desired.remotes):
            path = underlay.paths.get(remote)
            yield {
                "remote": str(remote),
                "out_ifindex": path.out_ifindex if path else 0,
                "destination_mac": str(path.destination_mac or "") if path else "",
                "problem": "" if path and path.destination_mac else "not resolved",
            }
        for remote in sorted(self._agent.desired.unreachable):
            problem = "".join(out_of_reach((remote,), underlay))
            yield {
                "remote": str(remote),
                "out_ifindex": 0,
                "destination_mac": "",
                "problem": problem,
            }

    def _status(self) -> Iterable[Row]:
        agent = self._agent
        statistics = agent.reconciler.statistics
        yield {
            "name": agent.settings.name,
            "address": str(agent.settings.address),
            "underlay": ",".join(agent.settings.underlay),
            "underlay_mtu_bytes": agent.underlay.mtu_bytes,
            "tunnels_from": tunnel_ends.described(
                agent.view.tunnel_ends,
                agent.underlay,
                len(agent.desired.rows.get(TunnelEndRow, ())),
            ),
            "ports": len(agent.plugged),
            "config_source": agent.sessions.config_source,
            "config_complete": agent.sessions.config_complete,
            "complete": agent.is_complete,
            "problem": agent.problem,
            "queues_problem": "; ".join(filter(None, (q.problem for q in agent.queues.values()))),
            "host_marks_problem": agent.host_marks.problem,
            "runs": statistics.runs,
            "puts": statistics.puts,
            "deletes": statistics.deletes,
            "held": statistics.held,
            "failures": statistics.failures,
            "drift": statistics.drift,
            "last_error": statistics.last_error,
        }

    def _metrics(self) -> Iterable[Sample]:
        agent = self._agent
        statistics = agent.reconciler.statistics
        yield from () if self._traces is None else self._traces.samples()
        yield Sample("agent_ports", float(len(agent.plugged)))
        yield Sample("agent_reconcile_runs_total", float(statistics.runs))
        yield Sample("agent_rows_put_total", float(statistics.puts))
        yield Sample("agent_rows_deleted_total", float(statistics.deletes))
        yield Sample("agent_datapath_failures_total", float(statistics.failures))
        yield Sample("agent_rows_drifted_total", float(statistics.drift))
        sessions = sum(connection.is_established for connection in agent.connections)
        yield Sample("agent_control_sessions", float(sessions))
        yield from agent.health.samples()
        yield from self.session_log.samples()
        yield from self._usage.samples()


def _chosen(request: Request, name: str, rows: Iterable[Row]) -> Response:
    """Answer those rows that the query asks for."""
    page = Page(name, request.query)
    for row in rows:
        page.add(row)
    return page.reply()


def _ends_text(ends: FlowEnds | None) -> str:
    """What translated packets leave with; empty when nothing is translated."""
    if ends is None:
        return ""
    ways = ((ends.source, ends.source_port), (ends.destination, ends.destination_port))
    return " > ".join(
        f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        for address, port in ways
    )
