"""Nodes, links and the end marker of the config channel as XML."""

from __future__ import annotations

from collections.abc import Iterable

from skytrail.wire.errors import DecodeError
from skytrail.wire.spans import read_header
from skytrail.wire.xmpp.messages import (
    BalancerStanding,
    ConfigDelete,
    ConfigKey,
    ConfigLink,
    ConfigNode,
    ConfigUpdate,
    EndOfConfig,
    PortTrouble,
    Programmed,
    RevisionMark,
)
from skytrail.wire.xmpp.route_codec import bounded_name, bounded_number
from skytrail.wire.xmpp.values import decode_parts, decode_value, encode_value
from skytrail.wire.xmpp.xml import XmlElement, escape, local_name

_GENERATION_MAX = (1 << 63) - 1
_TRACES_COUNT_MAX = 64
TROUBLES_COUNT_MAX = 64
"""Port troubles in one report."""
STANDINGS_COUNT_MAX = 2_048
"""Parts of load balancers, and balancers, in one report."""
_PREFERENCE_MAX = (1 << 32) - 1


def encode_update(update: ConfigUpdate) -> str:
    """Return the ``<update>`` element: nodes, then links."""
    return (
        "<update>"
        + "".join([encode_node(node) for node in update.nodes])
        + "".join([encode_link(link) for link in update.links])
        + "</update>"
    )


def encode_delete(delete: ConfigDelete) -> str:
    """Return the ``<delete>`` element: links, then node stubs."""
    return (
        "<delete>"
        + "".join([encode_link(link) for link in delete.links])
        + "".join([encode_stub(key) for key in delete.nodes])
        + "</delete>"
    )


def encode_stub(key: ConfigKey) -> str:
    """Return a node that only names its object."""
    return f'<node type="{escape(key.type_name)}"><name>{escape(key.name)}</name></node>'


def encode_node(node: ConfigNode) -> str:
    """Return a node with all its properties."""
    properties = "".join(
        [encode_value(name, value) for name, value in node.properties.items() if name != "name"]
    )
    return (
        f'<node type="{escape(node.key.type_name)}"><name>{escape(node.key.name)}</name>'
        f"{properties}</node>"
    )


def encode_link(link: ConfigLink) -> str:
    """Return a link: two stubs and the metadata that names the relation."""
    kind = escape(link.kind)
    metadata = (
        f'<metadata type="{kind}"/>'
        if link.value is None
        else f'<metadata type="{kind}">{encode_value("value", link.value)}</metadata>'
    )
    return f"<link>{encode_stub(link.left)}{encode_stub(link.right)}{metadata}</link>"


def encode_programmed(message: Programmed) -> str:
    """Return the element of an agent's answer to a mark."""
    ports = "".join(
        f'<port uuid="{escape(each.uuid)}">{escape(each.reason)}</port>'
        for each in message.troubles
    )
    problem = f"<problem>{escape(message.problem)}</problem>"
    balancers = "".join(_encode_standing(each) for each in message.balancers)
    mark = "" if message.revision is None else f' revision="{message.revision}"'
    return f"<programmed{mark}>{problem}{ports}{balancers}</programmed>"


def _encode_standing(standing: BalancerStanding) -> str:
    parts = "".join(
        f'<part uuid="{escape(uuid)}">{escape(status)}</part>' for uuid, status in standing.parts
    )
    named = f'uuid="{escape(standing.uuid)}" preference="{standing.preference}"'
    return f"<balancer {named}>{parts}</balancer>"


def decode_config(
    element: XmlElement,
) -> Iterable[ConfigUpdate | ConfigDelete | EndOfConfig | RevisionMark | Programmed]:
    """Yield the blocks of a ``<config>`` element in order; unknown blocks are skipped."""
    for block in element:
        match local_name(block):
            case "update":
                nodes, links = _decode_block(block)
                yield ConfigUpdate(nodes, links)
            case "delete":
                nodes, links = _decode_block(block)
                yield ConfigDelete(links, tuple([node.key for node in nodes]))
            case "end-of-config":
                yield EndOfConfig(bounded_number(block.get("generation"), _GENERATION_MAX))
            case "revision-mark":
                yield _decode_mark(block)
            case "programmed":
                yield _decode_programmed(block)
            case _:
                pass


def _decode_mark(block: XmlElement) -> RevisionMark:
    """Read a mark; what is no context in its list is passed over (W3C Trace Context §3.2.2)."""
    revision = bounded_number(block.get("revision"), _GENERATION_MAX)
    named = (block.get("traces") or "").split()[:_TRACES_COUNT_MAX]
    found = map(read_header, named)
    return RevisionMark(revision, tuple(each for each in found if each is not None))


def _decode_programmed(block: XmlElement) -> Programmed:
    problem = ""
    troubles: list[PortTrouble] = []
    balancers: list[BalancerStanding] = []
    for child in block:
        match local_name(child):
            case "problem":
                problem = bounded_name(child.text or "")
            case "port":
                uuid, reason = bounded_name(child.get("uuid", "")), bounded_name(child.text or "")
                troubles.append(PortTrouble(uuid, reason))
            case "balancer":
                balancers.append(_decode_standing(child))
            case _:
                pass
    if len(troubles) > TROUBLES_COUNT_MAX:
        raise DecodeError(f"more than {TROUBLES_COUNT_MAX} ports in a report")
    if sum(1 + len(each.parts) for each in balancers) > STANDINGS_COUNT_MAX:
        raise DecodeError(f"more than {STANDINGS_COUNT_MAX} parts of load balancers in a report")
    mark = block.get("revision")
    revision = bounded_number(mark, _GENERATION_MAX) if mark else None
    return Programmed(revision, problem, tuple(troubles), tuple(balancers))


def _decode_standing(block: XmlElement) -> BalancerStanding:
    parts = tuple(
        [
            (bounded_name(child.get("uuid", "")), bounded_name(child.text or ""))
            for child in block
            if local_name(child) == "part"
        ]
    )
    preference = bounded_number(block.get("preference"), _PREFERENCE_MAX)
    return BalancerStanding(bounded_name(block.get("uuid", "")), preference, parts)


def _decode_block(
    block: XmlElement,
) -> tuple[tuple[ConfigNode, ...], tuple[ConfigLink, ...]]:
    nodes: list[ConfigNode] = []
    links: list[ConfigLink] = []
    for element in block:
        match local_name(element):
            case "node":
                nodes.append(_decode_node(element))
            case "link":
                links.append(_decode_link(element))
            case name:
                raise DecodeError(f"unexpected {name[:40]!r} in a config block")
    return tuple(nodes), tuple(links)


def _decode_node(element: XmlElement) -> ConfigNode:
    properties = decode_parts(element)
    name = properties.pop("name", "")
    type_name = element.get("type", "")
    if not isinstance(name, str) or not name or not type_name:
        raise DecodeError("config node without type or name")
    return ConfigNode(ConfigKey(type_name, name), properties)


def _decode_link(element: XmlElement) -> ConfigLink:
    ends: list[ConfigKey] = []
    metadata: XmlElement | None = None
    for child in element:
        match local_name(child):
            case "node":
                ends.append(_decode_node(child).key)
            case "metadata":
                metadata = child
            case name:
                raise DecodeError(f"unexpected {name[:40]!r} in a config link")
    if len(ends) != 2 or metadata is None:
        raise DecodeError("config link needs two nodes and metadata")
    values = [decode_value(child) for child in metadata if local_name(child) == "value"]
    return ConfigLink(ends[0], ends[1], metadata.get("type", ""), values[0] if values else None)
