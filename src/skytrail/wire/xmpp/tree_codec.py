"""Overlay trees in the agents' protocol (af 1, safi 241): what members offer and what they get.

A member's ``label`` is a block, written ``first-last``. What it gets names the label it receives by
(``source-label``) and its neighbours (``olist``).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from skytrail.net import IpAddress, Label
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.messages import JoinTree, TreeBranch, TreeEdge, TreeKey
from skytrail.wire.xmpp.route_codec import (
    NEXT_HOPS_MAX,
    bounded_number,
    decode_encapsulations,
    encode_encapsulations,
    parse_address,
)
from skytrail.wire.xmpp.xml import XmlElement, children_by_name, local_name

TREE_FAMILY = "1/241"
_LABEL_MAX = (1 << 20) - 1


def tree_key_text(key: TreeKey) -> str:
    """Return the item id: ``255.255.255.255,0.0.0.0``."""
    return f"{key.group},{key.source}"


def parse_tree_key(text: str) -> TreeKey:
    """Inverse of :func:`tree_key_text`; a source left out is zero. Raises ``DecodeError``."""
    group, _, source = text.partition(",")
    return TreeKey(_address(group), _address(source or "0.0.0.0"))


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text.strip())
    except ValueError as error:
        raise DecodeError(f"bad address of a tree {text[:40]!r}") from error


def _tunnel_end(text: str) -> IpAddress:
    try:
        return parse_address(text.strip())
    except ValueError as error:
        raise DecodeError(f"bad tunnel address of a tree {text[:40]!r}") from error


def encode_join(join: JoinTree) -> str:
    """Return the ``<entry>`` by which an agent becomes a member."""
    labels = f"{join.first_label}-{join.last_label}"
    hop = _encode_hop(join.address, labels, join.encapsulations)
    return f"<entry>{_nlri(join.key)}<next-hops>{hop}</next-hops></entry>"


def encode_left(key: TreeKey) -> str:
    """Return the ``<entry>`` of a withdrawal."""
    return f"<entry>{_nlri(key)}</entry>"


def encode_branch(branch: TreeBranch) -> str:
    """Return the ``<item>`` that tells a member its part of a tree."""
    hops = "".join(
        [_encode_hop(edge.address, str(edge.label), edge.encapsulations) for edge in branch.edges]
    )
    nlri = _nlri(branch.key, f"<source-label>{branch.label}</source-label>")
    entry = f"<entry>{nlri}<olist>{hops}</olist></entry>"
    return f'<item id="{tree_key_text(branch.key)}">{entry}</item>'


def _nlri(key: TreeKey, more: str = "") -> str:
    return (
        f"<nlri><af>1</af><safi>241</safi><group>{key.group}</group>"
        f"<source>{key.source}</source>{more}</nlri>"
    )


def _encode_hop(address: IpAddress, label: str, encapsulations: tuple[str, ...]) -> str:
    return (
        f"<next-hop><af>{1 if address.version == 4 else 2}</af><address>{address}</address><label>{label}</label>"
        f"{encode_encapsulations(encapsulations)}</next-hop>"
    )


def decode_join(entry: XmlElement, instance: str) -> JoinTree:
    """Return what a published ``<entry>`` says; raises ``DecodeError``."""
    parts = children_by_name(entry)
    hops = list(parts["next-hops"]) if "next-hops" in parts else []
    if len(hops) != 1:
        raise DecodeError(f"a member of a tree has {len(hops)} next hops, expected 1")
    address, label, encapsulations = _decode_hop(hops[0])
    first, dash, last = label.partition("-")
    first_label = bounded_number(first, _LABEL_MAX)
    last_label = bounded_number(last, _LABEL_MAX) if dash else first_label
    return JoinTree(
        instance,
        decode_tree_key(entry),
        address,
        Label(first_label),
        Label(last_label),
        encapsulations,
    )


def decode_tree_key(entry: XmlElement) -> TreeKey:
    """Return which tree an ``<entry>`` is about; raises ``DecodeError``."""
    return _key_of(_nlri_texts(entry))


def decode_branch(entry: XmlElement) -> TreeBranch:
    """Return a member's part of a tree; raises ``DecodeError``."""
    texts = _nlri_texts(entry)
    hops = list(_hops(entry))
    if len(hops) > NEXT_HOPS_MAX:
        raise DecodeError(f"{len(hops)} neighbours in a tree, expected at most {NEXT_HOPS_MAX}")
    return TreeBranch(
        _key_of(texts),
        Label(bounded_number(texts.get("source-label"), _LABEL_MAX)),
        tuple(
            TreeEdge(address, Label(bounded_number(label, _LABEL_MAX)), encapsulations)
            for address, label, encapsulations in map(_decode_hop, hops)
        ),
    )


def _hops(entry: XmlElement) -> Iterable[XmlElement]:
    for child in entry:
        if local_name(child) == "olist":
            yield from child


def _nlri_texts(entry: XmlElement) -> dict[str, str]:
    for child in entry:
        if local_name(child) == "nlri":
            texts = {local_name(part): part.text or "" for part in child}
            if f"{texts.get('af', '')}/{texts.get('safi', '')}" != TREE_FAMILY:
                raise DecodeError(f"nlri is not of family {TREE_FAMILY}")
            return texts
    raise DecodeError("entry without nlri")


def _key_of(texts: dict[str, str]) -> TreeKey:
    return TreeKey(_address(texts.get("group", "")), _address(texts.get("source") or "0.0.0.0"))


def _decode_hop(hop: XmlElement) -> tuple[IpAddress, str, tuple[str, ...]]:
    texts: dict[str, str] = {}
    encapsulations: tuple[str, ...] = ()
    for child in hop:
        if local_name(child) == "tunnel-encapsulation-list":
            encapsulations = decode_encapsulations(child)
        else:
            texts[local_name(child)] = child.text or ""
    return _tunnel_end(texts.get("address", "")), texts.get("label", "").strip(), encapsulations
