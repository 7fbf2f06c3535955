"""Access lists as the controller compiled them, read from configuration.

A rule that cannot be read never allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skytrail.agent.config_values import (
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    number_of,
    prefix_of,
    text_of,
)
from skytrail.agent.mirror import Copied, UnusableMirror, read_mirror_to
from skytrail.agent.tables import IpNetwork
from skytrail.net.decimal_text import decimal
from skytrail.wire.xmpp import ConfigNode, ConfigValue

PortRange = tuple[int, int]
PORTS_ALL: PortRange = (0, 65535)
_U32_MAX = (1 << 32) - 1
_PROTOCOL_NAMES = {
    "icmp": 1,
    "tcp": 6,
    "udp": 17,
    "icmp6": 58,
    "icmpv6": 58,
    "ipv6-icmp": 58,
    "sctp": 132,
}


@dataclass(frozen=True, slots=True)
class Selector:
    """One side of a rule; nothing set = any."""

    network: str = ""
    group: int = 0
    tags: tuple[int, ...] = ()
    """All of them, in order, are among the end's."""
    prefixes: tuple[IpNetwork, ...] = ()
    never: bool = False
    """True for a side that could not be read or names nothing: it matches no packet."""

    @property
    def is_any(self) -> bool:
        return not (self.network or self.group or self.tags or self.prefixes or self.never)


@dataclass(frozen=True, slots=True)
class AclRule:
    """One access list entry as compiled by the controller."""

    uuid: str
    allow: bool
    protocol: int | None
    """None = every protocol."""
    version: int | None
    """4, 6 or None = both."""
    source: Selector
    destination: Selector
    source_ports: PortRange
    destination_ports: PortRange
    instance: str = ""
    """Routing instance in which the way on is looked up (a service chain's); empty: the port's."""
    qos: str = ""
    """QoS configuration that marks what it lets pass; empty: the port's."""
    copied: Copied | None = None
    """Who gets copies of what it lets pass."""
    notes: str = ""
    """``log`` and ``alert``, and what of it cannot be done."""


@dataclass(frozen=True, slots=True)
class AccessList:
    name: str
    rules: tuple[AclRule, ...]


def joined(name: str, lists: list[AccessList]) -> AccessList | None:
    """A network's static and dynamic lists are evaluated one behind the other."""
    if not lists:
        return None
    if len(lists) == 1:
        return lists[0]
    return AccessList(name, tuple(rule for entry in lists for rule in entry.rules))


def read_access_list(node: ConfigNode) -> AccessList:
    entries = mapping_of(node.properties.get("access_control_list_entries"))
    rules = [
        _rule(mapping_of(entry), index)
        for index, entry in enumerate(list_of(entries.get("acl_rule")))
    ]
    return AccessList(node.key.name, tuple(rules))


def _rule(entry: Mapping[str, ConfigValue], index: int) -> AclRule:
    condition = mapping_of(entry.get("match_condition"))
    actions = mapping_of(entry.get("action_list"))
    action = text_of(actions.get("simple_action")) or "pass"
    protocol, readable = protocol_of(text_of(condition.get("protocol")))
    source = _selector(mapping_of(condition.get("src_address")))
    if not readable:
        # An unreadable allow rule allows nothing; an unreadable deny rule denies everything.
        source = Selector(never=True) if action == "pass" else source
    destination = _selector(mapping_of(condition.get("dst_address")))
    copied, note = copies_of_rule(actions, source, destination)
    notes = [name for name in ("log", "alert") if flag_of(actions.get(name))]
    return AclRule(
        uuid=text_of(entry.get("rule_uuid")) or f"#{index}",
        allow=action == "pass",
        protocol=protocol,
        version={"IPv4": 4, "IPv6": 6}.get(text_of(condition.get("ethertype"))),
        source=source,
        destination=destination,
        source_ports=ports_of(condition.get("src_port")),
        destination_ports=ports_of(condition.get("dst_port")),
        instance=text_of(actions.get("assign_routing_instance")),
        qos=text_of(actions.get("qos_action")),
        copied=copied,
        notes=" ".join((*notes, note)).strip(),
    )


def copies_of_rule(
    actions: Mapping[str, ConfigValue], source: Selector, destination: Selector
) -> tuple[Copied | None, str]:
    """Return who gets copies of what a rule lets pass, or why nobody does."""
    mirror_to = mapping_of(actions.get("mirror_to"))
    if not mirror_to:
        return None, ""
    try:
        to = read_mirror_to(mirror_to)
    except UnusableMirror as refused:
        return None, f"nothing is mirrored: {refused}"
    return Copied(to, source.network, destination.network), ""


def protocol_of(text: str) -> tuple[int | None, bool]:
    """Return (protocol number or None for any, whether the text could be read)."""
    name = text.strip().lower()
    if name in {"", "any"}:
        return None, True
    number = decimal(name, 0, 255)
    if number is None:
        number = _PROTOCOL_NAMES.get(name)
    return number, number is not None


def ports_of(value: ConfigValue | None) -> PortRange:
    parts = mapping_of(value)
    start, end = number_of(parts.get("start_port")), number_of(parts.get("end_port"))
    low = 0 if start is None or start < 0 else start
    high = 65535 if end is None or end < 0 else end
    return low, min(high, 65535)


def _selector(parts: Mapping[str, ConfigValue]) -> Selector:
    prefixes = [prefix_of(entry) for entry in list_of(parts.get("subnet_list"))]
    prefixes += [prefix_of(entry) for entry in list_of(parts.get("subnet"))]
    network = text_of(parts.get("virtual_network"))
    group = text_of(parts.get("security_group"))
    if prefixes:
        known = tuple(sorted({p for p in prefixes if p is not None}, key=prefix_order))
        # "any network" beside a subnet adds nothing to it.
        named = "" if network == "any" else network
        return Selector(network=named, prefixes=known, never=not known)
    if group and group not in {"any", "local", "-1"}:
        number = bounded_of(group, _U32_MAX)
        return Selector(group=number, never=not number)
    if network and network != "any":
        return Selector(network=network)
    return Selector()


def prefix_order(prefix: IpNetwork) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen
