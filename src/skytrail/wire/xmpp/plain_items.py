"""Reads route events that stand exactly as :func:`encode_items` writes them, without a tree of XML.

An agent hears thousands of routes a second, and an element of XML for each of their thirty values
costs more than all that follows. What our control nodes write has one spelling: a pattern finds the
key and the next hops' numbers, and what many routes have in common (attributes; encapsulations and
network of a next hop) is parsed as XML once for each spelling.

Nothing is judged here. Whatever is spelled differently, is out of range or is no XML makes
:meth:`PlainItems.read` return None, and the reader of any XML says what is to be said.
"""

from __future__ import annotations

import re
from typing import TypeVar

from skytrail.net import Label, Mac, Vni
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.messages import (
    Family,
    ItemsEvent,
    NextHop,
    Route,
    RouteAttributes,
    RouteKey,
)
from skytrail.wire.xmpp.route_codec import (
    LABEL_MAX,
    NEXT_HOPS_MAX,
    decode_attributes,
    decode_next_hop,
    enet_key_of,
    parse_address,
    parse_key,
)
from skytrail.wire.xmpp.xml import StanzaParser, XmlElement, local_name

T = TypeVar("T")

SHARED_COUNT_MAX = 4096
"""Spellings remembered of each kind."""
SHARED_LENGTH_MAX = 1500
"""Characters of one. Also keeps it far from the parser's own limit of depth."""
_TEXT = "[ !#-%'-;=?-~]*"
"""Text or attribute that needs no escape and no normalisation: printable ASCII without " & < >."""
_NUMBER = "([0-9]{1,8})"
_HEAD = re.compile(
    f'<message from="{_TEXT}" to="{_TEXT}"><event xmlns="http://jabber.org/protocol/pubsub">'
    f'<items node="([0-9]+/[0-9]+)/({_TEXT})">'
)
_END = "</items></event></message>"
_NLRI = {
    Family.INET: f"<af>1</af><safi>1</safi><address>({_TEXT})</address>",
    Family.INET6: f"<af>2</af><safi>1</safi><address>({_TEXT})</address>",
    Family.ENET: f"<af>25</af><safi>242</safi><ethernet-tag>({_TEXT})</ethernet-tag>"
    f"<mac>({_TEXT})</mac><address>({_TEXT})</address>",
}
_ITEM = {
    family: re.compile(f'<item id="{_TEXT}"><entry><nlri>{nlri}</nlri><next-hops>')
    for family, nlri in _NLRI.items()
}
_HOP = re.compile(
    f"<next-hop><af>{_TEXT}</af><address>({_TEXT})</address>"
    "(?:<mac>((?:[0-9a-f]{2}:){5}[0-9a-f]{2})</mac>)?"
    f"<label>{_NUMBER}</label>(?:<l3-label>{_NUMBER}</l3-label>)?<vni>{_NUMBER}</vni>"
)
_RETRACT = re.compile(f'<retract id="({_TEXT})"/>')
_HOPS_END, _HOP_END, _ITEM_END = "</next-hops>", "</next-hop>", "</entry></item>"
_HOP_PARTS = {"tunnel-encapsulation-list", "virtual-network", "tag-list"}
_OF_ONE_ROUTE = {"nlri", "next-hops"}
_FAMILIES = {family.value: family for family in Family}


class _SpelledDifferentlyError(Exception):
    """It is for the reader of any XML."""


class PlainItems:
    """Reads the events of one direction of one connection; memory is bounded."""

    __slots__ = ("_attributes", "_hops", "_parser")

    def __init__(self, parser: StanzaParser) -> None:
        self._parser = parser
        self._attributes: dict[str, RouteAttributes] = {}
        self._hops: dict[str, NextHop] = {}

    def read(self, stanza: bytes) -> ItemsEvent | None:
        """Return the event, if it is one and spelled as ours are."""
        try:
            return self._event(stanza.decode())
        except (_SpelledDifferentlyError, DecodeError, ValueError):
            return None

    @property
    def remembered_count(self) -> int:
        """How many spellings are known."""
        return len(self._attributes) + len(self._hops)

    def _event(self, text: str) -> ItemsEvent:
        """Raises ``DecodeError`` and ``ValueError``, too, which say as little to our caller."""
        head = _HEAD.match(text)
        if head is None or "<!" in text or "<?" in text:
            raise _SpelledDifferentlyError
        family, instance = _FAMILIES.get(head[1]), head[2]
        if family is None:
            raise _SpelledDifferentlyError
        routes: list[Route] = []
        retracts: list[RouteKey] = []
        at = head.end()
        while not text.startswith(_END, at):
            if (retract := _RETRACT.match(text, at)) is not None:
                retracts.append(parse_key(family, retract[1]))
                at = retract.end()
            else:
                route, at = self._item(text, at, family)
                routes.append(route)
        if at + len(_END) != len(text):
            raise _SpelledDifferentlyError
        return ItemsEvent(family, instance, tuple(routes), tuple(retracts))

    def _item(self, text: str, at: int, family: Family) -> tuple[Route, int]:
        """Return the route that begins there, and where it ends."""
        item = _ITEM[family].match(text, at)
        if item is None:
            raise _SpelledDifferentlyError
        if family is Family.ENET:
            key: RouteKey = enet_key_of(item[1], item[2], item[3])
        else:
            key = parse_key(family, item[1])
        hops: list[NextHop] = []
        at = item.end()
        while not text.startswith(_HOPS_END, at):
            hop, at = self._next_hop(text, at)
            hops.append(hop)
        if not 0 < len(hops) <= NEXT_HOPS_MAX:
            raise _SpelledDifferentlyError
        at += len(_HOPS_END)
        end = _found(text, _ITEM_END, at)
        attributes = self._attributes.get(text[at:end])
        if attributes is None:
            attributes = self._read_attributes(text[at:end])
        return Route(key, tuple(hops), attributes), end + len(_ITEM_END)

    def _next_hop(self, text: str, at: int) -> tuple[NextHop, int]:
        found = _HOP.match(text, at)
        if found is None:
            raise _SpelledDifferentlyError
        address, mac, label, l3_label, vni = found.groups()
        end = _found(text, _HOP_END, found.end())
        rest = text[found.end() : end]
        shared = self._hops.get(rest)
        if shared is None:
            shared = self._read_hop(rest)
        numbers = int(label), int(vni), int(l3_label or 0)
        if max(numbers) > LABEL_MAX:
            raise _SpelledDifferentlyError
        hop = NextHop(
            parse_address(address),
            Label(numbers[0]),
            Vni(numbers[1]),
            Label(numbers[2]),
            Mac(bytes.fromhex(mac.replace(":", ""))) if mac else None,
            shared.encapsulations,
            shared.virtual_network,
            shared.tags,
        )
        return hop, end + len(_HOP_END)

    def _read_hop(self, rest: str) -> NextHop:
        """Return a next hop of which all counts that does not differ from route to route."""
        parts = self._parts("next-hop", rest)
        if not parts.keys() <= _HOP_PARTS:
            raise _SpelledDifferentlyError
        nowhere = "<address>0.0.0.0</address>"
        hop = decode_next_hop(self._parse(f"<next-hop>{nowhere}{rest}</next-hop>"))
        _remember(self._hops, rest, hop)
        return hop

    def _read_attributes(self, rest: str) -> RouteAttributes:
        parts = self._parts("entry", rest)
        if not parts.keys().isdisjoint(_OF_ONE_ROUTE):
            raise _SpelledDifferentlyError
        attributes = decode_attributes(parts)
        _remember(self._attributes, rest, attributes)
        return attributes

    def _parts(self, name: str, inside: str) -> dict[str, XmlElement]:
        return {local_name(part): part for part in self._parse(f"<{name}>{inside}</{name}>")}

    def _parse(self, text: str) -> XmlElement:
        if len(text) > SHARED_LENGTH_MAX:
            raise _SpelledDifferentlyError
        return self._parser.parse(text.encode())


def _found(text: str, what: str, at: int) -> int:
    end = text.find(what, at)
    if end < 0:
        raise _SpelledDifferentlyError
    return end


def _remember(shared: dict[str, T], text: str, value: T) -> None:
    if len(shared) >= SHARED_COUNT_MAX:
        shared.clear()
    shared[text] = value
