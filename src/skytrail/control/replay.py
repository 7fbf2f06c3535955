"""What was said in a recorded session, message by message, and the routes that came of it. Pure.

Both directions are read by the decoders of the running node. Bytes they refuse are a row of their
own with the reason; what follows in that direction cannot be found any more and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from skytrail.control.nlri_text import nlri_text
from skytrail.wire.bgp import (
    AttributeCache,
    Attributes,
    BgpError,
    MessageFramer,
    MessageType,
    Negotiated,
    Nlri,
    Open,
    Update,
    communities,
    decode_notification,
    decode_open,
    decode_route_refresh,
    decode_update,
    negotiate,
)
from skytrail.wire.bgp.messages import EXTENDED_MESSAGE_BYTES_MAX
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import (
    ConfigDelete,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    ItemsEvent,
    Message,
    PublishRoute,
    Subscribe,
    Unsubscribe,
    WithdrawRoute,
)
from skytrail.wire.xmpp.codec import StanzaDecoder
from skytrail.wire.xmpp.route_codec import key_text
from skytrail.wire.xmpp.stream import Stanza, StreamFramer, StreamOpen

_NAMED_COUNT_MAX = 3
IN, OUT = "in", "out"


@dataclass(frozen=True, slots=True)
class Said:
    """One message; ``direction`` is as the recording node saw it."""

    time_s: float
    direction: str
    kind: str
    summary: str


@dataclass(frozen=True, slots=True)
class HeldRoute:
    """A route the peer had announced and not taken back at the end."""

    table: str
    destination: str
    next_hop: str
    attributes: str


class SessionReader(Protocol):
    def read(self, time_s: float, direction: str, data: bytes) -> Iterator[Said]: ...
    def routes(self) -> list[HeldRoute]: ...


def reader_of(protocol: str) -> SessionReader:
    """Return what reads a recording of this protocol (``bgp`` or ``xmpp``)."""
    return BgpReader() if protocol == "bgp" else XmppReader()


@dataclass(slots=True)
class _BgpSide:
    framer: MessageFramer = field(default_factory=MessageFramer)
    opening: Open | None = None
    is_lost: bool = False


class BgpReader:
    """Reads a BGP connection; each side's UPDATEs as its receiver had to."""

    def __init__(self) -> None:
        self._sides = {IN: _BgpSide(), OUT: _BgpSide()}
        self._negotiated: dict[str, Negotiated] = {}
        self._cache = AttributeCache()
        self._held: dict[object, tuple[str, str, Nlri, Attributes]] = {}

    def read(self, time_s: float, direction: str, data: bytes) -> Iterator[Said]:
        side = self._sides[direction]
        if side.is_lost:
            return
        side.framer.feed(data)
        try:
            while (message := side.framer.next_message()) is not None:
                yield Said(time_s, direction, message[0].name, self._summary(direction, *message))
        except BgpError as error:
            side.is_lost = True
            yield Said(time_s, direction, "unreadable", str(error))

    def routes(self) -> list[HeldRoute]:
        return [
            HeldRoute(family, nlri_text(nlri), next_hop, _attributes_text(attributes))
            for family, next_hop, nlri, attributes in self._held.values()
        ]

    def _summary(self, direction: str, kind: MessageType, body: bytes) -> str:
        match kind:
            case MessageType.OPEN:
                return self._opened(direction, decode_open(body))
            case MessageType.NOTIFICATION:
                said = decode_notification(body)
                return f"{said.code}/{said.subcode} {said.text}".strip()
            case MessageType.ROUTE_REFRESH:
                asked = decode_route_refresh(body, enhanced=True)
                return "" if asked is None else f"{asked.family.name} {asked.demarcation.name}"
            case MessageType.UPDATE:
                negotiated = self._negotiated.get(direction)
                if negotiated is None:
                    return "before both sides' OPEN: not read"
                return self._updated(direction, decode_update(body, negotiated, self._cache))
            case MessageType.KEEPALIVE:
                return ""

    def _opened(self, direction: str, opening: Open) -> str:
        side, other = self._sides[direction], self._sides[OUT if direction == IN else IN]
        side.opening = opening
        if opening.extended_message:
            other.framer.bytes_max = EXTENDED_MESSAGE_BYTES_MAX
        if other.opening is not None:
            self._negotiated[direction] = negotiate(other.opening, opening)
            other_way = OUT if direction == IN else IN
            self._negotiated[other_way] = negotiate(opening, other.opening)
        families = ", ".join(each.name.lower() for each in opening.families)
        return f"AS {opening.asn}, {opening.router_id}, hold {opening.hold_time_s} s, {families}"

    def _updated(self, direction: str, update: Update) -> str:
        parts: list[str] = []
        for gone in update.withdrawn:
            parts.append(f"withdraw {gone.family.name.lower()} {_named(gone.nlri)}")
            if direction == IN:
                for nlri in gone.nlri:
                    self._held.pop((gone.family, _key(nlri)), None)
        for reach in update.reach:
            parts.append(
                f"{reach.family.name.lower()} {_named(reach.nlri)} by {reach.next_hop}"
                f" {_attributes_text(update.attributes)}".rstrip()
            )
            if direction == IN:
                for nlri in reach.nlri:
                    held = (reach.family.name.lower(), str(reach.next_hop), nlri, update.attributes)
                    self._held[reach.family, _key(nlri)] = held
        if update.end_of_rib is not None:
            parts.append(f"end of RIB {update.end_of_rib.name.lower()}")
        parts += [f"problem: {problem}" for problem in update.problems]
        return "; ".join(parts)


@dataclass(slots=True)
class _XmppSide:
    framer: StreamFramer = field(default_factory=StreamFramer)
    decoder: StanzaDecoder = field(default_factory=StanzaDecoder)
    is_lost: bool = False


class XmppReader:
    """Reads the session of an agent."""

    def __init__(self) -> None:
        self._sides = {IN: _XmppSide(), OUT: _XmppSide()}
        self._held: dict[tuple[str, str], HeldRoute] = {}

    def read(self, time_s: float, direction: str, data: bytes) -> Iterator[Said]:
        side = self._sides[direction]
        if side.is_lost:
            return
        side.framer.feed(data)
        try:
            while (frame := side.framer.next_frame()) is not None:
                if isinstance(frame, StreamOpen):
                    yield Said(time_s, direction, "stream", f"{frame.sender} to {frame.receiver}")
                elif isinstance(frame, Stanza):
                    for message in side.decoder.decode(frame.content):
                        yield self._said(time_s, direction, message)
        except DecodeError as error:
            side.is_lost = True
            yield Said(time_s, direction, "unreadable", str(error))

    def routes(self) -> list[HeldRoute]:
        return list(self._held.values())

    def _said(self, time_s: float, direction: str, message: Message) -> Said:
        if direction == IN:
            match message:
                case PublishRoute(instance=instance, route=route):
                    name = instance, key_text(route.key)
                    hops = ", ".join(f"{hop.address} label {hop.label}" for hop in route.next_hops)
                    preference = f"preference {route.attributes.local_preference}"
                    self._held[name] = HeldRoute(*name, hops, preference)
                case WithdrawRoute(instance=instance, key=key):
                    self._held.pop((instance, key_text(key)), None)
                case _:
                    pass
        return Said(time_s, direction, type(message).__name__, _message_text(message))


def said_in(
    reader: SessionReader, chunks: Iterable[tuple[float, str, bytes]], until_s: float
) -> Iterator[Said]:
    """Yield the messages up to a time; ``chunks`` are (seconds, direction, bytes) in order."""
    for time_s, direction, data in chunks:
        if time_s > until_s:
            return
        yield from reader.read(time_s, direction, data)


def _key(nlri: Nlri) -> object:
    return getattr(nlri, "key", nlri)


def _named(nlri: Iterable[Nlri]) -> str:
    return _first_few([nlri_text(each) for each in nlri])


def _first_few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_COUNT_MAX
    shown = ", ".join(names[:_NAMED_COUNT_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def _attributes_text(attributes: Attributes) -> str:
    parts: list[str] = []
    if attributes.as_path:
        numbers = [str(n) for segment in attributes.as_path for n in segment.numbers]
        parts.append(f"path {' '.join(numbers)}")
    if attributes.local_preference is not None:
        parts.append(f"preference {attributes.local_preference}")
    parts += [communities.text_of(each) for each in attributes.extended_communities]
    return ", ".join(parts)


def _message_text(message: Message) -> str:
    match message:
        case Subscribe() | Unsubscribe():
            return message.instance
        case PublishRoute(instance=instance, route=route):
            return f"{instance} {key_text(route.key)}"
        case WithdrawRoute(instance=instance, key=key):
            return f"{instance} {key_text(key)}"
        case ItemsEvent(family=family, instance=instance, routes=routes, retracts=retracts):
            parts = [_first_few([key_text(route.key) for route in routes])] if routes else []
            parts += [f"retract {_first_few(list(map(key_text, retracts)))}"] if retracts else []
            return f"{family.name.lower()} {instance}: {'; '.join(parts)}"
        case ConfigSubscribe(key=key) | ConfigUnsubscribe(key=key):
            return f"{key.type_name} {key.name}"
        case ConfigUpdate(nodes=nodes, links=links):
            names = [f"{each.key.type_name} {each.key.name}" for each in nodes]
            return f"{_first_few(names)} ({len(links)} links)"
        case ConfigDelete(nodes=keys, links=links):
            return f"{_first_few([f'{k.type_name} {k.name}' for k in keys])} ({len(links)} links)"
        case _:
            return str(message).partition("(")[2].removesuffix(")")
