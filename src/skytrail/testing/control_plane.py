"""Configuration builders and agent stand-ins for tests and benches of the control node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, ip_network
from uuid import NAMESPACE_OID, uuid5

from skytrail.control.limits import Limits
from skytrail.control.plane import ControlPlane
from skytrail.model.config_object import ConfigObject
from skytrail.model.objects import decode_object
from skytrail.net import Label
from skytrail.wire.xmpp import Message, NextHop, Route, RouteAttributes
from skytrail.wire.xmpp.codec import StanzaDecoder
from skytrail.wire.xmpp.session import client_settings
from skytrail.wire.xmpp.stream import Stanza, StreamFramer

SYSTEM = "default-global-system-config"
BGP_PLACE = ("default-domain", "default-project", "ip-fabric", "__default__")


def uuid_of(type_name: str, fq_name: Sequence[str]) -> str:
    """Return the uuid the builders give to an object."""
    return str(uuid5(NAMESPACE_OID, f"{type_name}/{':'.join(fq_name)}"))


def build(
    type_name: str,
    fq_name: Sequence[str],
    *,
    parent: str | None = None,
    refs: Iterable[tuple[str, Sequence[str], object]] = (),
    fields: dict[str, object] | None = None,
) -> ConfigObject:
    """Return a typed object. ``refs`` are (type, fq_name, attribute)."""
    wire: dict[str, object] = {
        "uuid": uuid_of(type_name, fq_name),
        "fq_name": list(fq_name),
        **(fields or {}),
    }
    if parent is not None:
        wire["parent_type"] = parent
        wire["parent_uuid"] = uuid_of(parent, fq_name[:-1])
    for target, name, attribute in refs:
        field = f"{target.replace('-', '_')}_refs"
        listed = wire.setdefault(field, [])
        if isinstance(listed, list):
            listed.append({"to": list(name), "uuid": uuid_of(target, name), "attr": attribute})
    return decode_object(type_name, wire)


def routing_instance(
    network: str,
    *,
    both: Sequence[int] = (),
    imports: Sequence[int] = (),
    exports: Sequence[int] = (),
    connected: Sequence[str] = (),
    name: str = "",
    fields: dict[str, object] | None = None,
) -> ConfigObject:
    """Return an instance of ``default-domain:p:<network>`` with targets by number.

    It is the default one without ``name``; instances connected to are named ``network`` or
    ``network:name``.
    """
    targets = [
        *((number, None) for number in both),
        *((number, "import") for number in imports),
        *((number, "export") for number in exports),
    ]
    return build(
        "routing-instance",
        instance_of(network, name).split(":"),
        parent="virtual-network",
        fields=fields,
        refs=[
            *(
                ("route-target", [f"target:64512:{number}"], {"import_export": direction})
                for number, direction in targets
            ),
            *(
                ("routing-instance", instance_of(*other.split(":")).split(":"), {})
                for other in connected
            ),
        ],
    )


def bgp_router(
    name: str,
    address: str,
    *,
    asn: int = 64512,
    peers: Iterable[tuple[str, object]] = (),
    notes: Mapping[str, str] | None = None,
    **parameters: object,
) -> ConfigObject:
    """Return a speaker; ``peers`` are (name, attributes of the session for both ends),
    ``notes`` its annotations.
    """
    refs = [
        (
            "bgp-router",
            (*BGP_PLACE, peer),
            {"session": [{"uuid": peer, "attributes": [attributes]}]},
        )
        for peer, attributes in peers
    ]
    settings = {"autonomous_system": asn, "address": address, **parameters}
    fields: dict[str, object] = {"bgp_router_parameters": settings}
    if notes is not None:
        pairs = [{"key": key, "value": value} for key, value in notes.items()]
        fields["annotations"] = {"key_value_pair": pairs}
    return build("bgp-router", (*BGP_PLACE, name), refs=refs, fields=fields)


def instance_of(network: str, name: str = "") -> str:
    """Return the name agents subscribe with."""
    return f"default-domain:p:{network}:{name or network}"


def virtual_router(name: str, machines: Sequence[str] = (), *, address: str = "") -> ConfigObject:
    """Return a host's virtual-router, its machines referred to by name."""
    return build(
        "virtual-router",
        [SYSTEM, name],
        parent="global-system-config",
        fields={"virtual_router_ip_address": address} if address else None,
        refs=[("virtual-machine", [machine], None) for machine in machines],
    )


def inet_route(
    prefix: str,
    router: str = "172.16.0.1",
    label: int = 16,
    *,
    attributes: RouteAttributes | None = None,
) -> Route:
    """Return a host or subnet route as an agent publishes it."""
    hop = NextHop(IPv4Address(router), Label(label), encapsulations=("udp", "gre"))
    return Route(ip_network(prefix), (hop,), attributes or RouteAttributes(local_preference=200))


class Bench:
    """A plane with sessions, and what each agent has received."""

    def __init__(
        self, *objects: ConfigObject, limits: Limits | None = None, node: str = ""
    ) -> None:
        self.plane = ControlPlane(limits, node)
        self.now = 100.0
        self.revision = 0
        if objects:
            self.plane.config_replace(objects)
        self.commit()

    def commit(self) -> None:
        self.revision += 1
        self.plane.commit(self.revision, self.now)

    def put(self, *objects: ConfigObject) -> None:
        for config_object in objects:
            self.plane.config_put(config_object)
        self.commit()

    def delete(self, *objects: ConfigObject) -> None:
        for config_object in objects:
            self.plane.config_delete(config_object.uuid)
        self.commit()

    def up(self, *names: str) -> None:
        for name in names:
            self.plane.session_up(name, "192.0.2.1", self.now)

    def down(self, name: str) -> None:
        self.plane.session_down(name, "test", self.now)

    def say(self, name: str, *messages: Message) -> None:
        for message in messages:
            self.plane.receive(name, message, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.plane.tick(self.now)

    def hear(self, name: str, bytes_max: int = 1 << 20) -> list[Message]:
        """Return what ``name`` receives now, about ``bytes_max`` of it."""
        self.plane.take_ready()
        framer = StreamFramer(client_settings(name).stanza_bytes_max)
        decoder = StanzaDecoder()
        framer.feed(b"<stream:stream xmlns:stream='s' from='a'>")
        framer.next_frame()
        framer.feed(b"".join(self.plane.collect(name, self.now, bytes_max)))
        while bytes_max > 1 and self.plane.has_more(name):
            framer.feed(b"".join(self.plane.collect(name, self.now, bytes_max)))
        messages: list[Message] = []
        while frame := framer.next_frame():
            if isinstance(frame, Stanza):
                messages += decoder.decode(frame.content)
        return messages
