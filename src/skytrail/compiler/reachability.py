"""Which pairs of networks and groups a change of derived objects lets talk differently; pure.

For networks the answer is in the access list of the sending one and in the link between the two
routing instances: without the link nothing passes. For groups it is in their access lists alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from skytrail.compiler.derived import DerivedKey, FqName
from skytrail.compiler.emit import ACL, INSTANCE
from skytrail.compiler.intent import Intent
from skytrail.compiler.passes.security import EGRESS, INGRESS
from skytrail.model.generated.objects import AccessControlList, RoutingInstance
from skytrail.model.generated.types import AclRuleType, AddressType, PortType
from skytrail.model.objects import ConfigObject

Document = dict[str, object]
States = Mapping[DerivedKey, ConfigObject | None]

NOTHING: Final = ("nothing",)
EVERYTHING: Final = ("everything",)
_PROTOCOLS: Final = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmp6", "132": "sctp"}
_PORT_MAX: Final = 65535


def changed_pairs(intent: Intent, before: States, after: States) -> list[Document]:
    """Return the pairs whose allowed traffic differs, sorted; the intent is the state after."""
    networks: set[FqName] = set()
    groups: set[FqName] = set()
    for key in {*before, *after}:
        if key.type_name == INSTANCE and len(key.fq_name) > 1:
            networks.add(key.fq_name[:-1])
        elif key.type_name == ACL and key.fq_name[-1:] in {(INGRESS,), (EGRESS,)}:
            groups.add(key.fq_name)
        elif key.type_name == ACL:
            networks.add(key.fq_name[:-1])
    found: list[Document] = []
    for network in sorted(networks):
        was = _network_pairs(_Side(intent, before, touched=after), network)
        becomes = _network_pairs(_Side(intent, after, touched=before), network)
        found += _differing("network", network, was, becomes)
    for group in sorted(groups):
        was = _group_pairs(_Side(intent, before, touched=after), group)
        becomes = _group_pairs(_Side(intent, after, touched=before), group)
        found += _differing("security-group", group[:-1], was, becomes, group[-1] == INGRESS)
    return found


class _Side:
    """The derived objects before, or after: those that changed, else as they are."""

    def __init__(self, intent: Intent, states: States, touched: States) -> None:
        self._intent = intent
        self._states = states
        self._touched = touched

    def find(self, type_name: str, fq_name: FqName) -> ConfigObject | None:
        key = DerivedKey(type_name, fq_name)
        if key in self._states or key in self._touched:
            return self._states.get(key)
        return self._intent.find(type_name, fq_name)


def _differing(
    kind: str,
    name: FqName,
    was: Mapping[str, tuple[str, ...]],
    becomes: Mapping[str, tuple[str, ...]],
    inward: bool = False,
) -> list[Document]:
    own = ":".join(name)
    found: list[Document] = []
    for other in sorted({*was, *becomes}):
        old, new = was.get(other, NOTHING), becomes.get(other, NOTHING)
        if old != new:
            ends = (other, own) if inward else (own, other)
            found.append(
                {
                    "kind": kind,
                    "from": ends[0],
                    "to": ends[1],
                    "before": list(old),
                    "after": list(new),
                }
            )
    return found


def _network_pairs(side: _Side, network: FqName) -> dict[str, tuple[str, ...]]:
    """Return what a network may send, by receiving network."""
    own = ":".join(network)
    instance = side.find(INSTANCE, (*network, network[-1]))
    if not isinstance(instance, RoutingInstance):
        return {}
    peers = {":".join(reference.to[:-1]) for reference in instance.routing_instance_refs}
    access_list = side.find(ACL, (*network, network[-1]))
    is_list = isinstance(access_list, AccessControlList)
    entries = access_list.access_control_list_entries if is_list else None
    if entries is None:
        return {own: EVERYTHING, **dict.fromkeys(peers, EVERYTHING)}
    found: dict[str, tuple[str, ...]] = {}
    for receiver in (own, *sorted(peers)):
        texts = [_text(rule) for rule in entries.acl_rule if _concerns(rule, own, receiver)]
        found[receiver] = _in_short(texts)
    return found


def _in_short(texts: list[str]) -> tuple[str, ...]:
    """Return what of an ordered list still counts: nothing after an entry that fits all."""
    kept: list[str] = []
    for text in dict.fromkeys(texts):
        if text == "deny any":
            break
        if text == "pass any":
            kept.append(EVERYTHING[0])
            break
        kept.append(text)
    return tuple(kept) if any(not text.startswith("deny") for text in kept) else NOTHING


def _concerns(rule: AclRuleType, sender: str, receiver: str) -> bool:
    match = rule.match_condition
    if match is None:
        return True
    return _fits(match.src_address, sender) and _fits(match.dst_address, receiver)


def _fits(address: AddressType | None, network: str) -> bool:
    return address is None or address.virtual_network in {None, "any", network}


def _group_pairs(side: _Side, name: FqName) -> dict[str, tuple[str, ...]]:
    """Return what one direction of a group passes, by what the other side is."""
    found: dict[str, list[str]] = {}
    access_list = side.find(ACL, name)
    if not isinstance(access_list, AccessControlList):
        return {}
    entries = access_list.access_control_list_entries
    for rule in () if entries is None else entries.acl_rule:
        match = rule.match_condition
        if match is None:
            continue
        remote = match.src_address if name[-1] == INGRESS else match.dst_address
        found.setdefault(_address(remote), []).append(_text(rule))
    return {other: tuple(texts) for other, texts in found.items()}


def _address(address: AddressType | None) -> str:
    if address is None:
        return "any"
    if address.security_group:
        is_any = address.security_group == "-1"
        return "any" if is_any else f"security group {address.security_group}"
    subnets = [*([address.subnet] if address.subnet else []), *address.subnet_list]
    return ", ".join(f"{s.ip_prefix}/{s.ip_prefix_len}" for s in subnets) or "any"


def _text(rule: AclRuleType) -> str:
    """Return an entry in words: ``pass tcp port 80``."""
    match, actions = rule.match_condition, rule.action_list
    action = (actions.simple_action if actions else None) or "pass"
    if match is None:
        return f"{action} everything"
    protocol = match.protocol or "any"
    words = [action, _PROTOCOLS.get(protocol, protocol)]
    for label, ports in (("from port", match.src_port), ("port", match.dst_port)):
        text = _ports(ports)
        if text:
            words += [label, text]
    subnets = [
        _address(each) for each in (match.src_address, match.dst_address) if _has_subnet(each)
    ]
    return " ".join([*words, *(f"({each})" for each in subnets)])


def _has_subnet(address: AddressType | None) -> bool:
    return address is not None and (address.subnet is not None or bool(address.subnet_list))


def _ports(ports: PortType | None) -> str:
    if ports is None or ports.start_port in {None, -1}:
        return ""
    low, high = ports.start_port, ports.end_port
    if (low, high) == (0, _PORT_MAX):
        return ""
    return str(low) if low == high else f"{low}-{high}"
