"""Asks agents how a packet goes: by the sockets that the API server was told of, all others by the analytics node.

--agent NAME=PATH ... --> SocketAgents -----.
--analytics PLACE     --> AnalyticsAgents --+--> AgentsWalk --> agents' /introspect/interfaces, /introspect/explain
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from skytrail.api.documents import Document
from skytrail.api.io.path_trace import Question, Unreachable, Untraceable
from skytrail.daemons.api_probe import checked_probe, probe_source_port, probed
from skytrail.daemons.traced_agents import Agents, AnalyticsNode, SocketAgents
from skytrail.lab import trace as tracing
from skytrail.lab.trace import (
    Endpoint,
    Explanation,
    Leg,
    Packet,
    PortRow,
    Query,
    ReadTable,
    TraceResult,
)
from skytrail.lab.wording import readable
from skytrail.runtime.introspection import IntrospectionFailed

_DROPPED = "dropped"


def agent_place(text: str) -> tuple[str, Path]:
    """Read ``NAME=PATH``, the name being that of the host's virtual-router."""
    name, separator, path = text.partition("=")
    if not (name and separator and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH of an agent's socket")
    return name, Path(path)


class AgentsWalk:
    """The walk over the agents of this machine, and over those the analytics node can ask."""

    def __init__(self, sockets: Mapping[str, Path], analytics: AnalyticsNode | None = None) -> None:
        self._local = SocketAgents(sockets)
        self._analytics = analytics

    def __call__(
        self, question: Question, hosts: Mapping[str, str], credentials: Mapping[str, str]
    ) -> Document:
        """Return the way as the API tells it; :class:`Untraceable`, :class:`Unreachable`."""
        return self._walked(question, hosts, credentials).record()

    def probe(
        self, question: Question, hosts: Mapping[str, str], credentials: Mapping[str, str]
    ) -> Document:
        """Return the way, and where a real packet was seen on it; errors as of the way."""
        checked_probe(question)
        question = replace(question, source_port=question.source_port or probe_source_port())
        walked = self._walked(question, hosts, credentials)
        return {**walked.record(), "probe": probed(walked.result, walked.agents, walked.names)}

    def _walked(
        self, question: Question, hosts: Mapping[str, str], credentials: Mapping[str, str]
    ) -> _Walked:
        ports, dead = self._local.interfaces()
        agents: dict[str, Agents] = dict.fromkeys(ports, self._local)
        if self._analytics is not None and not ports.keys() >= set(hosts.values()):
            remote = self._analytics.agents(credentials)
            others, silent = remote.interfaces()
            agents = {**dict.fromkeys(others, remote), **agents}
            ports, dead = {**others, **ports}, {**silent, **dead}
        for name in ports:
            dead.pop(name, None)
        if not ports:
            raise Unreachable("No agent answers: " + "; ".join(dead.values()))

        def read(host: str, table: str, where: Query) -> list[dict[str, object]]:
            try:
                return agents[host].read(host, table, where)
            except IntrospectionFailed as error:
                raise Unreachable(f"{host}: {error}") from error

        def ask(host: str, query: Query) -> Explanation:
            return msgspec.convert(read(host, "explain", query)[0], Explanation)

        asked = {address: name for address, name in hosts.items() if name in ports}
        network = question.network
        try:
            away = list(dead.values())
            find = partial(_find, ports=ports, dead=away, read=read)
            source = find(question.source, network=network)
            tracing.check_source(source)
            if not source.host:
                raise Untraceable(f"No port has {question.source}: a trace begins at a port")
            network = tracing.network_of_destination(question.destination, source, network)
            destination = find(
                question.destination, network=network, search=tracing.find_destination
            )
            packet = Packet(question.protocol, question.port, question.source_port)
            result = tracing.trace(source, destination, packet, ask=ask, host_of=asked)
        except tracing.TraceError as error:
            raise Untraceable(str(error)) from error
        names = {row.vmi_uuid: row.name for rows in ports.values() for row in rows}
        return _Walked(result, names, hosts, agents)


@dataclass(frozen=True, slots=True)
class _Walked:
    result: TraceResult
    names: Mapping[str, str]
    """Of ports, by uuid."""
    hosts: Mapping[str, str]
    agents: Mapping[str, Agents]
    """Of each host that can be asked."""

    def record(self) -> Document:
        return record(self.result, self.names, self.hosts)


def _find(
    text: str,
    *,
    ports: Mapping[str, Sequence[PortRow]],
    network: str | None,
    dead: list[str],
    read: ReadTable,
    search: Callable[..., Endpoint] = tracing.find,
) -> Endpoint:
    for host, rows in ports.items():
        for row in rows:
            if text == row.vmi_uuid and not row.active:
                raise Untraceable(f"Port {text} is on {host} and does not forward: {row.reason}")
    is_mac = tracing.as_mac(text) is not None
    try:
        return search(text, ports, known={}, network=network, read=read)
    except tracing.TraceError as error:
        if is_mac:
            raise
        hosts = ", ".join(sorted(ports))
        if isinstance(error, tracing.SeveralPorts):
            raise
        more = "".join(f"; {each}" for each in dead)
        raise Untraceable(f"Port {text} is on none of the hosts asked: {hosts}{more}") from error


def record(result: TraceResult, names: Mapping[str, str], hosts: Mapping[str, str]) -> Document:
    """Return the answer; ``names`` of ports by uuid, ``hosts`` by underlay address."""
    known = replace(result.destination, name=_name(result.destination, names))
    result = replace(result, destination=known, names=names)
    last = result.last
    is_delivered = result.delivered and last.outcome != tracing.LEFT
    verdict = "delivered" if is_delivered else _verdict(last)
    summary = tracing.without_uuids(result.summary())
    if not result.delivered and last.outcome == tracing.FORWARDED:
        where = hosts.get(last.remote)
        asked = f"host {where}, whose agent is not asked" if where else last.remote
        summary = f"leaves for {asked} ({last.encapsulation} {last.label})"
    return {
        "source": _end(result.source, names),
        "destination": _end(result.destination, names),
        "protocol": result.packet.protocol,
        "port": result.packet.port,
        "source_port": result.packet.source_port,
        "verdict": verdict,
        "summary": readable(summary),
        "services": list(result.services),
        "legs": [_leg(leg, names) for leg in result.legs],
    }


def _verdict(last: Explanation) -> str:
    if last.drop_reason:
        return _DROPPED
    return "elsewhere" if last.outcome == tracing.DELIVERED else "leaves"


def _name(end: Endpoint, names: Mapping[str, str]) -> str:
    return end.name if end.behind else names.get(end.uuid) or end.name


def _end(end: Endpoint, names: Mapping[str, str]) -> Document:
    return {
        "name": _name(end, names),
        "uuid": end.uuid,
        "host": end.host,
        "network": end.network,
        "mac": end.mac,
        "behind": end.behind,
        "addresses": [str(address) for address in end.addresses],
    }


def _leg(leg: Leg, names: Mapping[str, str]) -> Document:
    told = leg.explanation
    rule = told.deciding_rule
    service = told.service
    return {
        "host": leg.host,
        "outcome": told.outcome,
        "drop_reason": told.drop_reason,
        "port": names.get(told.vmi_uuid, told.vmi_uuid),
        "remote": told.remote,
        "encapsulation": told.encapsulation,
        "label": told.label,
        "leaves_as": dict(told.leaves_as),
        "service": service.copy if service else "",
        "deciding_rule": None
        if rule is None
        else {
            "name": tracing.without_uuids(rule.name),
            "id": rule.name,
            "text": readable(rule.text),
        },
        "steps": [
            {
                "stage": step.stage,
                "question": readable(step.question),
                "answer": readable(step.answer),
                "rule": tracing.without_uuids(step.rule),
            }
            for step in told.steps
        ],
    }
