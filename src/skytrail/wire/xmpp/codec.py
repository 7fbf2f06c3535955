"""Stanzas to messages and back.

A published route takes two adjacent stanzas: ``publish`` carries the entry, the ``collection``
after it says whether the route is added or removed and in which instance. ``StanzaDecoder``
remembers the first until the second arrives. Every error is a ``DecodeError``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp.config_codec import (
    decode_config,
    encode_delete,
    encode_programmed,
    encode_update,
)
from skytrail.wire.xmpp.dns_codec import (
    DNS_CHANNEL,
    decode_dns_channel,
    encode_dns_channel,
    iq_type,
)
from skytrail.wire.xmpp.messages import (
    ConfigDelete,
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    DnsReply,
    DnsRequest,
    EndOfConfig,
    EndOfRib,
    Family,
    IgnoredRoute,
    ItemsEvent,
    JoinTree,
    LeaveTree,
    Message,
    Programmed,
    PublishRoute,
    RevisionMark,
    Route,
    RouteKey,
    Subscribe,
    TreeBranch,
    TreeItems,
    TreeKey,
    Unsubscribe,
    WithdrawRoute,
    family_of,
)
from skytrail.wire.xmpp.plain_items import PlainItems
from skytrail.wire.xmpp.route_codec import (
    bounded_name,
    bounded_number,
    decode_entry,
    decode_nlri_of,
    encode_entry,
    encode_item,
    encode_nlri,
    key_text,
    parse_key,
)
from skytrail.wire.xmpp.tree_codec import (
    TREE_FAMILY,
    decode_branch,
    decode_join,
    decode_tree_key,
    encode_branch,
    encode_join,
    encode_left,
    parse_tree_key,
    tree_key_text,
)
from skytrail.wire.xmpp.xml import StanzaParser, XmlElement, escape, local_name

CONTROL_JID = "network-control@contrailsystems.com"
ROUTES_CHANNEL = "/bgp-peer"
CONFIG_CHANNEL = "/config"
ITEMS_COUNT_MAX = 32
"""Reachable items per message."""
RETRACTS_COUNT_MAX = 256
CONFIG_OBJECTS_COUNT_MAX = 16
"""Nodes plus links per config stanza."""
END_OF_RIB_NODE = "0/0/EndOfRib"
_INSTANCE_ID_MAX = 0xFFFF_FFFF
_FAMILIES = {family.value: family for family in Family}
_PUBSUB = '<pubsub xmlns="http://jabber.org/protocol/pubsub">'
_EVENT = '<event xmlns="http://jabber.org/protocol/pubsub">'


@dataclass(frozen=True, slots=True)
class _PendingPublish:
    node: str
    entry: XmlElement | None


class StanzaDecoder:
    """Decodes the stanzas of one direction of one connection, in order."""

    __slots__ = ("_parser", "_pending", "_plain")

    def __init__(self) -> None:
        self._parser = StanzaParser()
        self._plain = PlainItems(self._parser)
        self._pending: _PendingPublish | None = None

    def decode(self, stanza: bytes) -> list[Message]:
        """Return the messages a stanza completes, often none or one; raises ``DecodeError``."""
        plain = self._plain.read(stanza)
        if plain is not None:
            self._pending = None
            return [plain]
        element = self._parser.parse(stanza)
        pending, self._pending = self._pending, None
        match local_name(element):
            case "iq":
                return self._decode_iq(element, pending)
            case "message":
                return [
                    message
                    for event in element
                    if local_name(event) == "event"
                    for items in event
                    for message in _decode_items(items)
                ]
            case "features" | "presence":
                return []
            case name:
                raise DecodeError(f"unexpected stanza {name[:40]!r}")

    def _decode_iq(self, element: XmlElement, pending: _PendingPublish | None) -> list[Message]:
        kind = element.get("type", "")
        if kind not in {"set", ""}:
            # Only the DNS channel asks and answers: other results and errors answer nothing of ours.
            return [
                decode_dns_channel(child, is_result=kind == "result")
                for child in element
                if local_name(child) == "dns" and kind in {"get", "result"}
            ]
        messages: list[Message] = []
        for child in element:
            match local_name(child):
                case "pubsub":
                    is_config = element.get("to", "").endswith(CONFIG_CHANNEL)
                    messages += self._decode_pubsub(child, pending, is_config=is_config)
                case "config":
                    messages += decode_config(child)
                case "dns":
                    messages.append(decode_dns_channel(child, is_result=False))
                case name:
                    raise DecodeError(f"unexpected {name[:40]!r} in an iq")
        return messages

    def _decode_pubsub(
        self, pubsub: XmlElement, pending: _PendingPublish | None, *, is_config: bool
    ) -> list[Message]:
        if not len(pubsub):
            raise DecodeError("empty pubsub")
        action = next(iter(pubsub))
        node = bounded_name(action.get("node", ""))
        if not node:
            raise DecodeError(f"{local_name(action)[:40]} without node")
        match local_name(action):
            case "subscribe":
                return [_config_subscribe(node, pubsub) if is_config else _subscribe(node, pubsub)]
            case "unsubscribe":
                return [ConfigUnsubscribe(_config_key(node)) if is_config else Unsubscribe(node)]
            case "publish":
                return self._decode_publish(action, node)
            case "collection":
                return [_decode_collection(action, node, pending)]
            case name:
                raise DecodeError(f"unexpected pubsub action {name[:40]!r}")

    def _decode_publish(self, publish: XmlElement, node: str) -> list[Message]:
        if not len(publish):
            # An end-of-RIB may also be spelled as a publish that holds nothing.
            return [EndOfRib()]
        entries = [entry for item in publish for entry in item if local_name(entry) == "entry"]
        if len(entries) > 1:
            raise DecodeError("publish holds more than one entry")
        self._pending = _PendingPublish(node, entries[0] if entries else None)
        return []


def _subscribe(node: str, pubsub: XmlElement) -> Subscribe:
    instance_id, no_ribout = 0, False
    for option in _options(pubsub):
        match local_name(option):
            case "instance-id":
                instance_id = bounded_number(option.text, _INSTANCE_ID_MAX)
            case "no-ribout":
                no_ribout = option.text == "true"
            case _:
                pass
    return Subscribe(node, instance_id, no_ribout)


def _options(pubsub: XmlElement) -> Iterator[XmlElement]:
    for options in pubsub:
        if local_name(options) == "options":
            yield from options


def _config_key(node: str) -> ConfigKey:
    type_name, separator, name = node.partition(":")
    if not separator or not type_name or not name:
        raise DecodeError(f"{node[:80]!r} does not name a config object")
    return ConfigKey(type_name, name)


def _config_subscribe(node: str, pubsub: XmlElement) -> ConfigSubscribe:
    answers = any(
        local_name(option) == "answers-marks" and option.text == "true"
        for option in _options(pubsub)
    )
    return ConfigSubscribe(_config_key(node), answers)


def _split_node(node: str) -> tuple[str, str]:
    """Return (the text before the second slash, the text after it)."""
    af, _, rest = node.partition("/")
    safi, separator, rest = rest.partition("/")
    if not separator or not af.isdigit() or not safi.isdigit():
        raise DecodeError(f"{node[:80]!r} is not af/safi/...")
    return f"{af}/{safi}", rest


def _decode_collection(
    collection: XmlElement, instance: str, pending: _PendingPublish | None
) -> PublishRoute | WithdrawRoute | JoinTree | LeaveTree | IgnoredRoute:
    actions = list(collection)
    if len(actions) != 1:
        raise DecodeError("collection needs exactly one associate or dissociate")
    node, verb = actions[0].get("node", ""), local_name(actions[0])
    if verb not in {"associate", "dissociate"}:
        raise DecodeError(f"unexpected {verb[:40]!r} in a collection")
    if pending is None or pending.node != node:
        raise DecodeError("collection does not follow its publish")
    family_text, _ = _split_node(node)
    family = _FAMILIES.get(family_text)
    if family is None and family_text != TREE_FAMILY:
        return IgnoredRoute(instance, node)
    if pending.entry is None:
        raise DecodeError("publish without entry")
    if family is None:
        if verb == "associate":
            return decode_join(pending.entry, instance)
        return LeaveTree(instance, decode_tree_key(pending.entry))
    if verb == "associate":
        return PublishRoute(instance, decode_entry(pending.entry, family))
    return WithdrawRoute(instance, decode_nlri_of(pending.entry, family))


def _decode_items(items: XmlElement) -> list[Message]:
    if local_name(items) != "items":
        raise DecodeError("event without items")
    node = items.get("node", "")
    if node == END_OF_RIB_NODE:
        return [EndOfRib()]
    family_text, instance = _split_node(node)
    if family_text == TREE_FAMILY:
        return [_decode_tree_items(items, instance)]
    family = _FAMILIES.get(family_text)
    if family is None:
        return [IgnoredRoute(instance, node)]
    routes: list[Route] = []
    retracts: list[RouteKey] = []
    for element in items:
        match local_name(element):
            case "item":
                if len(element) != 1:
                    raise DecodeError("item needs exactly one entry")
                routes.append(decode_entry(next(iter(element)), family))
            case "retract":
                retracts.append(parse_key(family, element.get("id", "")))
            case name:
                raise DecodeError(f"unexpected {name[:40]!r} in items")
    return [ItemsEvent(family, instance, tuple(routes), tuple(retracts))]


def _decode_tree_items(items: XmlElement, instance: str) -> TreeItems:
    branches: list[TreeBranch] = []
    retracts: list[TreeKey] = []
    for element in items:
        match local_name(element):
            case "item":
                if len(element) != 1:
                    raise DecodeError("item needs exactly one entry")
                branches.append(decode_branch(next(iter(element))))
            case "retract":
                retracts.append(parse_tree_key(element.get("id", "")))
            case name:
                raise DecodeError(f"unexpected {name[:40]!r} in items")
    return TreeItems(instance, tuple(branches), tuple(retracts))


def encode(message: Message, *, sender: str, receiver: str, identifier: int = 0) -> bytes:
    """Return the stanza (two for publish and withdraw) of a message.

    ``sender`` and ``receiver`` are names without channel; ``identifier`` numbers the stanza.
    ``IgnoredRoute`` only exists for what was received and raises ``ValueError``.
    """
    match message:
        case ItemsEvent() | TreeItems() | EndOfRib():
            head = message_head(sender, receiver)
            return head + encode_event(message) + MESSAGE_TAIL
        case PublishRoute(instance, route):
            iq = _iq_head(sender, receiver + ROUTES_CHANNEL, identifier)
            return _encode_pair(iq, instance, _node(instance, route.key), encode_entry(route))
        case WithdrawRoute(instance, key):
            iq = _iq_head(sender, receiver + ROUTES_CHANNEL, identifier)
            node = _node(instance, key)
            return _encode_pair(iq, instance, node, _withdrawn_entry(key), withdrawn=True)
        case JoinTree(instance, key):
            iq = _iq_head(sender, receiver + ROUTES_CHANNEL, identifier)
            return _encode_pair(iq, instance, _tree_node(instance, key), encode_join(message))
        case LeaveTree(instance, key):
            iq = _iq_head(sender, receiver + ROUTES_CHANNEL, identifier)
            node = _tree_node(instance, key)
            return _encode_pair(iq, instance, node, encode_left(key), withdrawn=True)
        case IgnoredRoute():
            raise ValueError("an ignored route cannot be encoded")
        case Subscribe() | Unsubscribe() | ConfigSubscribe() | ConfigUnsubscribe():
            is_config = isinstance(message, ConfigSubscribe | ConfigUnsubscribe)
            channel = CONFIG_CHANNEL if is_config else ROUTES_CHANNEL
            iq = _iq_head(sender, receiver + channel, identifier)
            return f"{iq}{_PUBSUB}{_encode_subscription(message)}</pubsub></iq>".encode()
        case ConfigUpdate() | ConfigDelete() | EndOfConfig() | RevisionMark() | Programmed():
            return config_head(sender, receiver) + encode_config(message) + CONFIG_TAIL
        case DnsRequest() | DnsReply():
            iq = _iq_head(sender, receiver + DNS_CHANNEL, identifier, iq_type(message))
            return f"{iq}{encode_dns_channel(message)}</iq>".encode()


def _iq_head(sender: str, receiver: str, identifier: int, kind: str = "set") -> str:
    return f'<iq type="{kind}" from="{escape(sender)}" to="{escape(receiver)}" id="{identifier}">'


def _encode_subscription(
    message: Subscribe | Unsubscribe | ConfigSubscribe | ConfigUnsubscribe,
) -> str:
    match message:
        case Subscribe(instance, instance_id, no_ribout):
            silent = "<no-ribout>true</no-ribout>" if no_ribout else ""
            return (
                f'<subscribe node="{escape(instance)}"/><options>'
                f"<instance-id>{instance_id}</instance-id>{silent}</options>"
            )
        case Unsubscribe(instance):
            return f'<unsubscribe node="{escape(instance)}"/>'
        case ConfigSubscribe(key, answers):
            options = "<options><answers-marks>true</answers-marks></options>" if answers else ""
            return f'<subscribe node="{escape(f"{key.type_name}:{key.name}")}"/>{options}'
        case ConfigUnsubscribe(key):
            return f'<unsubscribe node="{escape(f"{key.type_name}:{key.name}")}"/>'


def _node(instance: str, key: RouteKey) -> str:
    family = family_of(key)
    # An enet node carries no instance: its readers take everything after af/safi as the key.
    middle = "" if family is Family.ENET else f"{escape(instance)}/"
    return f"{family.value}/{middle}{key_text(key)}"


def _tree_node(instance: str, key: TreeKey) -> str:
    return f"{TREE_FAMILY}/{escape(instance)}/{tree_key_text(key)}"


def _encode_pair(
    iq: str, instance: str, node: str, entry: str, *, withdrawn: bool = False
) -> bytes:
    verb = "dissociate" if withdrawn else "associate"
    return (
        f'{iq}{_PUBSUB}<publish node="{node}"><item>{entry}</item></publish></pubsub></iq>'
        f'{iq}{_PUBSUB}<collection node="{escape(instance)}"><{verb} node="{node}"/>'
        "</collection></pubsub></iq>"
    ).encode()


def _withdrawn_entry(key: RouteKey) -> str:
    # The reader of a withdraw looks at the nlri only, but expects the entry of a publish.
    return f"<entry>{encode_nlri(key)}</entry>"


MESSAGE_TAIL = b"</message>"
CONFIG_TAIL = b"</iq>"


def message_head(sender: str, receiver: str) -> bytes:
    """Return the per-peer head that precedes a shared :func:`encode_event` body."""
    return f'<message from="{escape(sender)}" to="{escape(receiver)}{ROUTES_CHANNEL}">'.encode()


def encode_event(message: ItemsEvent | TreeItems | EndOfRib) -> bytes:
    """Return the body of a route event, the same for every receiver."""
    match message:
        case EndOfRib():
            return f'{_EVENT}<items node="{END_OF_RIB_NODE}"></items></event>'.encode()
        case ItemsEvent(family, instance, routes, retracts):
            items = [encode_item(route).encode() for route in routes]
            items += [encode_retract(key) for key in retracts]
            return encode_items(family, instance, items)
        case TreeItems(instance, branches, retracts):
            parts = [encode_branch(branch) for branch in branches]
            parts += [f'<retract id="{tree_key_text(key)}"/>' for key in retracts]
            node = f"{TREE_FAMILY}/{escape(instance)}"
            return f'{_EVENT}<items node="{node}">{"".join(parts)}</items></event>'.encode()


def encode_retract(key: RouteKey) -> bytes:
    """Return the element that takes one route back."""
    return f'<retract id="{key_text(key)}"/>'.encode()


def encode_items(family: Family, instance: str, items: Iterable[bytes]) -> bytes:
    """Join encoded items or retracts of one table into an event body."""
    head = f'{_EVENT}<items node="{family.value}/{escape(instance)}">'.encode()
    return head + b"".join(items) + b"</items></event>"


def config_head(sender: str, receiver: str) -> bytes:
    """Return the per-peer head of a config stanza."""
    return (
        f'<iq type="set" from="{escape(sender)}" to="{escape(receiver)}{CONFIG_CHANNEL}">'
    ).encode()


def encode_config(
    message: ConfigUpdate | ConfigDelete | EndOfConfig | RevisionMark | Programmed,
) -> bytes:
    """Return the ``<config>`` body of one block."""
    match message:
        case ConfigUpdate():
            block = encode_update(message)
        case ConfigDelete():
            block = encode_delete(message)
        case EndOfConfig(generation):
            block = f'<end-of-config generation="{generation}"/>'
        case RevisionMark(revision, traces):
            named = f' traces="{" ".join(each.header() for each in traces)}"' if traces else ""
            block = f'<revision-mark revision="{revision}"{named}/>'
        case Programmed():
            block = encode_programmed(message)
    return f"<config>{block}</config>".encode()
