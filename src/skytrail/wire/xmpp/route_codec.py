"""Routes as the XML ``entry`` both directions share.

The item's ``id`` and the publish ``node`` name a route in text form; inside stands the ``nlri``,
which is what counts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Network, ip_address, ip_interface
from typing import TypeVar

from skytrail.net import BROADCAST_MAC, IpAddress, IpPrefix, Label, Mac, Vni, hashed_network
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.messages import (
    EnetKey,
    Family,
    NextHop,
    Route,
    RouteAttributes,
    RouteKey,
    family_of,
)
from skytrail.wire.xmpp.xml import XmlElement, children_by_name, escape, local_name

T = TypeVar("T")

NEXT_HOPS_MAX = 64
_LIST_MAX = 256
_WORDS_MAX = 32
_WORD_LENGTH_MAX = 64
NAME_LENGTH_MAX = 4096
"""Colon-joined names: twice what the API lets a name have, since an instance repeats its network's.
What one agent publishes is sent to many: without these bounds one could outgrow their stanzas."""
LABEL_MAX = (1 << 24) - 1  # 20 bits for MPLS, 24 when the field carries a VNI
_U32_MAX = (1 << 32) - 1
_REPLICATES = "<assisted-replication-supported>true</assisted-replication-supported>"
_REPLICATION_LEAF = "<edge-replication-not-supported>true</edge-replication-not-supported>"
_NO_ADDRESS = IPv4Network("0.0.0.0/32")
_NLRI_HEAD = {
    Family.INET: "<nlri><af>1</af><safi>1</safi>",
    Family.INET6: "<nlri><af>2</af><safi>1</safi>",
    Family.ENET: "<nlri><af>25</af><safi>242</safi>",
}


def key_text(key: RouteKey) -> str:
    """Return the item id: ``10.1.1.3/32`` or ``02:..:07,10.1.1.3/32`` (``TAG-MAC,IP`` if tagged).

    A MAC without an address is written with ``0.0.0.0/32``; behind who wants a group's copies
    follow the group and the source, if any.
    """
    if isinstance(key, EnetKey):
        tag = f"{key.ethernet_tag}-" if key.ethernet_tag else ""
        listened = ""
        if key.group is not None:
            listened = (
                f",{key.group},{_NO_ADDRESS.network_address if key.source is None else key.source}"
            )
        return f"{tag}{key.mac},{key.address or _NO_ADDRESS}{listened}"
    return str(key)


def parse_key(family: Family, text: str) -> RouteKey:
    """Inverse of :func:`key_text`; ``DecodeError`` when the text is no key of ``family``."""
    try:
        if family is Family.ENET:
            head, address, group, source = (*text.split(",", 3), "", "", "")[:4]
            tag, dash, mac = head.rpartition("-")
            return enet_key(
                Mac.parse(mac),
                _enet_address(address),
                bounded_number(tag, _U32_MAX) if dash else 0,
                (group, source),
            )
        key = hashed_network(_unscoped(text), strict=False)
    except ValueError as error:
        raise DecodeError(f"bad route key {text[:80]!r}: {error}") from error
    if family_of(key) is not family:
        raise DecodeError(f"route key {text[:80]!r} is not of family {family.value}")
    return key


def encode_item(route: Route) -> str:
    """Return the ``<item id=...>`` element of a route."""
    return f'<item id="{key_text(route.key)}">{encode_entry(route)}</item>'


def encode_entry(route: Route) -> str:
    """Return the ``<entry>`` element of a route."""
    attributes = route.attributes
    mobility = (
        f"<mobility><seqno>{attributes.sequence_number}</seqno><sticky>true</sticky></mobility>"
        if attributes.sticky
        else ""
    )
    return (
        f"<entry>{encode_nlri(route.key, attributes.multicast_flags)}<next-hops>"
        + "".join([_encode_next_hop(next_hop) for next_hop in route.next_hops])
        + f"</next-hops><version>1</version><sequence-number>{attributes.sequence_number}"
        f"</sequence-number>{mobility}"
        + _encode_list("security-group", attributes.security_groups)
        + _encode_list("community-tag", attributes.communities, _WORDS_MAX)
        + f"<local-preference>{attributes.local_preference}</local-preference>"
        f"<med>{attributes.med}</med>"
        + _encode_load_balance(attributes)
        + (
            f"<sub-protocol>{escape(attributes.sub_protocol)}</sub-protocol>"
            if attributes.sub_protocol
            else ""
        )
        + ("<etree-leaf>true</etree-leaf>" if attributes.etree_leaf else "")
        + (_REPLICATES if attributes.replicates else "")
        + (_REPLICATION_LEAF if attributes.replication_leaf else "")
        + "</entry>"
    )


def encode_nlri(key: RouteKey, flags: int = 0) -> str:
    """Return the ``<nlri>`` of a route."""
    head = _NLRI_HEAD[family_of(key)]
    if isinstance(key, EnetKey):
        listened = f"<flags>{flags}</flags>" if flags else ""
        if key.group is not None:
            source = _NO_ADDRESS.network_address if key.source is None else key.source
            listened = f"<source>{source}</source><group>{key.group}</group>{listened}"
        return (
            f"{head}<ethernet-tag>{key.ethernet_tag}</ethernet-tag><mac>{key.mac}</mac>"
            f"<address>{key.address or _NO_ADDRESS}</address>{listened}</nlri>"
        )
    return f"{head}<address>{key}</address></nlri>"


def _encode_next_hop(next_hop: NextHop) -> str:
    mac = f"<mac>{next_hop.mac}</mac>" if next_hop.mac else ""
    l3_label = f"<l3-label>{next_hop.l3_label}</l3-label>" if next_hop.l3_label else ""
    encapsulations = encode_encapsulations(next_hop.encapsulations)
    return (
        f"<next-hop><af>{1 if next_hop.address.version == 4 else 2}</af>"
        f"<address>{next_hop.address}</address>{mac}<label>{next_hop.label}</label>{l3_label}"
        f"<vni>{next_hop.vni}</vni>{encapsulations}"
        f"<virtual-network>{escape(next_hop.virtual_network)}</virtual-network>"
        f"{_encode_list('tag', next_hop.tags)}</next-hop>"
    )


def encode_encapsulations(names: tuple[str, ...]) -> str:
    """Return the list of a next hop; old readers take the element as always present."""
    return _encode_list("tunnel-encapsulation", names, _WORDS_MAX) or "<tunnel-encapsulation-list/>"


def decode_encapsulations(element: XmlElement) -> tuple[str, ...]:
    """Inverse of :func:`encode_encapsulations`; raises ``DecodeError``."""
    return _decode_list(element, _encapsulation, _WORDS_MAX)


def _encode_list(
    name: str, values: tuple[str, ...] | tuple[int, ...], count_max: int = _LIST_MAX
) -> str:
    """What a reader would refuse is left out: one route must not cost it its session.

    Routes of BGP peers may have any number of communities, groups and tags.
    """
    if not values:
        return ""
    elements = "".join([f"<{name}>{escape(str(value))}</{name}>" for value in values[:count_max]])
    return f"<{name}-list>{elements}</{name}-list>"


def _encode_load_balance(attributes: RouteAttributes) -> str:
    if not attributes.load_balance_fields and not attributes.load_balance_decision:
        return ""
    fields = "".join(
        [
            f"<load-balance-field>{escape(name)}</load-balance-field>"
            for name in attributes.load_balance_fields
        ]
    )
    decision = escape(attributes.load_balance_decision)
    return (
        f"<load-balance><load-balance-fields>{fields}</load-balance-fields>"
        f"<load-balance-decision>{decision}</load-balance-decision></load-balance>"
    )


def bounded_number(text: str | None, maximum: int) -> int:
    """Return a decimal number in 0..maximum; ``DecodeError`` otherwise. Missing text means 0."""
    if not text:
        return 0
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isdigit() or len(stripped) > len(str(maximum)):
        raise DecodeError(f"{text[:40]!r} is not a number in 0..{maximum}")
    number = int(stripped)
    if number > maximum:
        raise DecodeError(f"{number} is not in 0..{maximum}")
    return number


def decode_entry(entry: XmlElement, family: Family) -> Route:
    """Return the route of an ``<entry>``; ``DecodeError`` unless its nlri is of ``family``."""
    parts = children_by_name(entry)
    if "nlri" not in parts:
        raise DecodeError("entry without nlri")
    key = _decode_nlri(parts["nlri"], family)
    hops = list(parts["next-hops"]) if "next-hops" in parts else []
    if not 0 < len(hops) <= NEXT_HOPS_MAX:
        raise DecodeError(f"{len(hops)} next hops, expected 1..{NEXT_HOPS_MAX}")
    attributes = decode_attributes(parts, _flags(parts["nlri"]))
    return Route(key, tuple([decode_next_hop(hop) for hop in hops]), attributes)


def decode_nlri_of(entry: XmlElement, family: Family) -> RouteKey:
    """Return only the key: a withdrawn entry needs no next hops."""
    for child in entry:
        if local_name(child) == "nlri":
            return _decode_nlri(child, family)
    raise DecodeError("entry without nlri")


def _decode_nlri(nlri: XmlElement, family: Family) -> RouteKey:
    texts = {local_name(child): child.text or "" for child in nlri}
    if f"{texts.get('af', '')}/{texts.get('safi', '')}" != family.value:
        raise DecodeError(f"nlri is not of family {family.value}")
    address = texts.get("address", "")
    try:
        if family is not Family.ENET:
            return parse_key(family, address)
        listened = texts.get("group", ""), texts.get("source", "")
        return enet_key_of(texts.get("ethernet-tag"), texts.get("mac", ""), address, listened)
    except ValueError as error:
        raise DecodeError(f"bad nlri: {error}") from error


def enet_key_of(
    tag: str | None, mac: str, address: str, listened: tuple[str, str] = ("", "")
) -> EnetKey:
    """Return the key of an nlri by its texts; raises ``DecodeError`` and ``ValueError``."""
    number = bounded_number(tag, _U32_MAX)
    return enet_key(Mac.parse(mac), _enet_address(address), number, listened)


def enet_key(mac: Mac, address: IpPrefix | None, tag: int, listened: tuple[str, str]) -> EnetKey:
    """Return a key with (group, source) as texts; raises ``ValueError``."""
    if not listened[0]:
        return EnetKey(mac, address, tag)
    group, source = (ip_address(_unscoped(each)) if each else None for each in listened)
    assert group is not None
    if source is not None and not int(source):
        source = None
    if address is None:
        raise ValueError("nobody wants copies of the group")
    if problem := listening_problem(group, source):
        raise ValueError(problem)
    return EnetKey(BROADCAST_MAC, address, tag, group, source)


def listening_problem(group: IpAddress, source: IpAddress | None) -> str:
    """Tell why nobody can listen to this; empty when somebody can."""
    if not group.is_multicast and int(group):
        return f"{group} is no multicast group"
    if source is not None and (source.is_multicast or source.version != group.version):
        return f"{source} is no source of {group}"
    return "" if int(group) or source is None else f"{source} without a group"


def _enet_address(text: str) -> IpPrefix | None:
    """Raises ``ValueError``. Every form of "no address" reads as None."""
    if not text:
        return None
    # The length may be the subnet's; the key is the host.
    host = ip_interface(_unscoped(text)).ip
    return hashed_network(str(host)) if int(host) else None


def decode_next_hop(element: XmlElement) -> NextHop:
    """Raises ``DecodeError``."""
    texts: dict[str, str] = {}
    encapsulations: tuple[str, ...] = ()
    tags: tuple[int, ...] = ()
    for child in element:
        name = local_name(child)
        if name == "tunnel-encapsulation-list":
            encapsulations = decode_encapsulations(child)
        elif name == "tag-list":
            tags = _decode_list(child, _u32)
        else:
            texts[name] = child.text or ""
    try:
        address = parse_address(texts.get("address", "").strip())
        mac = Mac.parse(texts["mac"].strip()) if texts.get("mac") else None
    except ValueError as error:
        raise DecodeError(f"bad next hop: {error}") from error
    return NextHop(
        address=address,
        label=Label(bounded_number(texts.get("label"), LABEL_MAX)),
        vni=Vni(bounded_number(texts.get("vni"), LABEL_MAX)),
        l3_label=Label(bounded_number(texts.get("l3-label"), LABEL_MAX)),
        mac=mac,
        encapsulations=encapsulations,
        virtual_network=bounded_name(texts.get("virtual-network", "")),
        tags=tags,
    )


@lru_cache(maxsize=4096)
def parse_address(text: str) -> IpAddress:
    """Share the few addresses that all routes of a host name; raises ``ValueError``."""
    return ip_address(_unscoped(text))


def _unscoped(text: str) -> str:
    """Raises ``ValueError`` for a zone (RFC 4007 section 11): it has meaning on one host only, and
    Python takes any text for it, which would then stand unescaped in what we send.
    """
    if "%" in text:
        raise ValueError("an address with a zone cannot be routed")
    return text


def _flags(nlri: XmlElement) -> int:
    for child in nlri:
        if local_name(child) == "flags":
            return bounded_number(child.text, _U32_MAX)
    return 0


def _u32(text: str) -> int:
    return bounded_number(text, _U32_MAX)


def bounded_name(text: str) -> str:
    """Return a colon-joined name as it stands; ``DecodeError`` when no name is that long."""
    if len(text) > NAME_LENGTH_MAX:
        raise DecodeError(f"{text[:40]!r}... is longer than {NAME_LENGTH_MAX} characters")
    return text


def _word(text: str | None) -> str:
    if not text:
        return ""
    if len(text) > _WORD_LENGTH_MAX:
        raise DecodeError(f"{text[:40]!r}... is longer than {_WORD_LENGTH_MAX} characters")
    return text


def _encapsulation(text: str) -> str:
    return _word(text.strip())


def _decode_list(
    element: XmlElement, convert: Callable[[str], T], count_max: int = _LIST_MAX
) -> tuple[T, ...]:
    if len(element) > count_max:
        raise DecodeError(f"{local_name(element)} holds more than {count_max} elements")
    return tuple([convert(child.text or "") for child in element])


def decode_attributes(parts: dict[str, XmlElement], flags: int = 0) -> RouteAttributes:
    """Return what an entry's parts say of all next hops; ``flags`` are its nlri's."""

    def text(name: str) -> str:
        element = parts.get(name)
        return "" if element is None else element.text or ""

    def strings(name: str) -> tuple[str, ...]:
        return _decode_list(parts[name], _word, _WORDS_MAX) if name in parts else ()

    mobility = children_by_name(parts["mobility"]) if "mobility" in parts else {}
    sequence = mobility["seqno"].text if "seqno" in mobility else text("sequence-number")
    balance = children_by_name(parts["load-balance"]) if "load-balance" in parts else {}
    fields = balance.get("load-balance-fields")
    decision = balance.get("load-balance-decision")
    groups = parts.get("security-group-list")
    preference = text("local-preference")
    return RouteAttributes(
        sequence_number=bounded_number(sequence, _U32_MAX),
        sticky="sticky" in mobility and mobility["sticky"].text == "true",
        # RFC 4271 section 5.1.5 has no default; 100 is what every implementation takes.
        local_preference=bounded_number(preference, _U32_MAX) if preference else 100,
        med=bounded_number(text("med"), _U32_MAX),
        security_groups=() if groups is None else _decode_list(groups, _u32),
        communities=strings("community-tag-list"),
        load_balance_fields=() if fields is None else _decode_list(fields, _word, _WORDS_MAX),
        load_balance_decision="" if decision is None else _word(decision.text),
        sub_protocol=_word(text("sub-protocol")),
        etree_leaf=text("etree-leaf") == "true",
        multicast_flags=flags,
        replicates=text("assisted-replication-supported") == "true",
        replication_leaf=text("edge-replication-not-supported") == "true",
    )
