"""Rules, packets and refusals in the words people use, from the agents' exact texts. Pure."""

from __future__ import annotations

import re

from skytrail.lab.trace import POLICY, TraceResult, without_uuids

NO_ROUTE = "NO_ROUTE"
NO_NEIGHBOUR = frozenset({"ARP_UNKNOWN", "ND_UNKNOWN"})
PROTOCOL_NAMES = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp6", "132": "sctp"}
"""By IP protocol number."""
_RULE_PORTS = re.compile(r"protocol (any|\d+)(.*?) ports (\d+)-(\d+)->(\d+)-(\d+)")
_PACKET_PORTS = re.compile(r"protocol (\d+) ports (\d+)->(\d+)")
_DEFAULT_VRF = re.compile(r"(?<=VRF )((?:\S+:)?)([^:\s]+):\2(?=[\s,]|$)")
"""A network's own, which has its name twice."""
_EVERY_PORT = ("0", "65535")


def readable(text: str) -> str:
    """Return a rule, a question or an answer with protocols and VRFs by their short names, and only
    the ports that matter.

    ``protocol 6 remote x ports 0-65535->80-80`` becomes ``tcp remote x port 80``.
    """
    text = _RULE_PORTS.sub(_rule, text)
    text = _PACKET_PORTS.sub(_packet, text).replace("default-domain:", "")
    return _DEFAULT_VRF.sub(r"\1\2", text)


def explained(result: TraceResult, counted: str) -> str:
    """Return why a packet does not arrive, in a sentence that does not repeat the counted reason."""
    reason, rule = result.last.drop_reason, result.deciding_rule
    if reason == POLICY and rule:
        name = without_uuids(rule.name)
        return f"{name}: {readable(rule.text)}" if rule.text else name
    if reason == NO_ROUTE:
        end = result.source if len(result.legs) == 1 else result.destination
        missing = f"no route in VRF {without_uuids(end.network)} to {result.asked_address}"
        if counted in NO_NEIGHBOUR:
            return f"{missing}; nobody answers ARP for an address that has no route"
        return missing
    if reason and result.last.steps:
        step = result.last.steps[-1]
        where = f"{step.stage} {readable(step.question)}: {readable(step.answer)}"
        return where if reason == counted else f"{reason}: {where}"
    return without_uuids(result.summary())


def _rule(found: re.Match[str]) -> str:
    protocol, between, *ports = found.groups()
    source = _ports("source port", ports[0], ports[1])
    return f"{_protocol(protocol)}{between}{source}{_ports('port', ports[2], ports[3])}"


def _packet(found: re.Match[str]) -> str:
    protocol, source, destination = found.groups()
    words = _protocol(protocol)
    for word, port in (("source port", source), ("port", destination)):
        words += f" {word} {port}" if port != "0" else ""
    return words


def _protocol(number: str) -> str:
    return "any protocol" if number == "any" else PROTOCOL_NAMES.get(number, f"protocol {number}")


def _ports(word: str, first: str, last: str) -> str:
    if (first, last) == _EVERY_PORT:
        return ""
    return f" {word} {first}" if first == last else f" {word}s {first}-{last}"
