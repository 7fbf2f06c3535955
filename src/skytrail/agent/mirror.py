r"""Copies of packets for analyzers: what is configured, and what is put in front of each copy.

```
 interface_mirror, mirror_to --> MirrorTo --> MirrorRow
   analyzer in a VRF          [Ethernet][IP][UDP][record header][metadata] frame        (routed)
   collector in the underlay  the same, or [Ethernet][IP][GRE] frame                    (fixed)
   VTEP given by hand         [Ethernet][IP][UDP][VXLAN] frame                          (fixed)
   MAC in a VRF, no header    frame                                                     (bridged)
```
Metadata are type, length, value, as Contrail's analyzers read them. Directions are the vRouter's:
ingress is what the workload sends. IP has the version of the analyzer's address, whatever the host's;
in the underlay the host's must be the same. Pure.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.config_values import (
    address_of,
    bounded_of,
    flag_of,
    mapping_of,
    text_of,
)
from skytrail.agent.tables import MirrorId, MirrorKind, MirrorRow, NextHopId, VrfId
from skytrail.net import GATEWAY_MAC, IpAddress, Mac
from skytrail.wire.xmpp import ConfigValue

ANALYZER_UDP_PORT = 8099
COPY_SOURCE_PORT = 8097
"""Of copies, as in ``bpf/include/mirror.h``: entropy of ordinary packets is above it."""
VXLAN_UDP_PORT = 4789
UNDERLAY_INSTANCES = frozenset(
    {
        "",
        "default-domain:default-project:ip-fabric:ip-fabric",
        "default-domain:default-project:ip-fabric:__default__",
    }
)
_U16_MAX = (1 << 16) - 1
_VNI_MAX = (1 << 24) - 1
_GRE_ETHERNET = 0x6558
_IPV4, _IPV6, _UDP, _GRE = 0x0800, 0x86DD, 17, 47
_HOP_LIMIT = 64
_NO_IPV4 = IPv4Address("192.0.0.8")
"""Whom packets of a host without IPv4 address come from (RFC 7600)."""
_IPV4_AS_IPV6 = int(IPv6Address("64:ff9b:1::"))
"""Where an IPv4 host is in IPv6 networks that are not the Internet's (RFC 8215)."""
_CAPTURE_HOST, _FLAGS, _SOURCE_NETWORK, _DESTINATION_NETWORK, _END = 1, 2, 3, 4, 255
_PASS, _MIRROR, _INGRESS = 1 << 5, 1 << 7, 1 << 30
_RECORD = bytes(16)
_NAME_BYTES_MAX = 120
"""Longer names of networks are cut: two of them fit into a header."""


@dataclass(frozen=True, slots=True)
class MirrorTo:
    """A usable ``mirror_to``."""

    analyzer: IpAddress | None = None
    instance: str = ""
    """Routing instance of the analyzer; empty: the underlay."""
    udp_port: int = ANALYZER_UDP_PORT
    mac: Mac | None = None
    """Of an analyzer that gets frames as they are."""
    form: str = "record"
    """``record``: UDP with record header and metadata; ``gre``, ``vxlan``, ``frame``: without."""
    vni: int = 0


@dataclass(frozen=True, slots=True)
class PortMirror:
    """What of a port's frames goes to an analyzer."""

    to: MirrorTo
    sent: bool
    delivered: bool


@dataclass(frozen=True, slots=True)
class Copied:
    """Copies for an analyzer and what is said about them: one mirror of the datapath."""

    to: MirrorTo
    source_network: str = ""
    destination_network: str = ""
    is_ingress: bool = False

    @property
    def name(self) -> str:
        """Names the content, also over restarts."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]


class UnusableMirror(Exception):
    """Copies cannot be made this way; the text says why and what would do."""


def read_mirror_to(entry: Mapping[str, ConfigValue]) -> MirrorTo:
    """Read a ``mirror_to``. Raises ``UnusableMirror``."""
    encapsulation = text_of(entry.get("encapsulation")).lower()
    instance = text_of(entry.get("routing_instance"))
    instance = "" if instance in UNDERLAY_INSTANCES else instance
    if text_of(entry.get("nh_mode")) == "static":
        return _static(mapping_of(entry.get("static_nh_header")))
    address = address_of(entry.get("analyzer_ip_address"))
    port = bounded_of(entry.get("udp_port"), _U16_MAX) or ANALYZER_UDP_PORT
    if encapsulation not in {"", "udp", "gre"}:
        raise UnusableMirror(f"encapsulation {encapsulation}: udp and gre are served")
    if not flag_of(entry.get("juniper_header"), default=True) and encapsulation != "gre":
        return _bridged(entry, instance)
    if address is None:
        name = text_of(entry.get("analyzer_name"))
        raise UnusableMirror(f"analyzer {name or 'without name'} has no address yet")
    form = "gre" if encapsulation == "gre" else "record"
    return MirrorTo(address, instance, port, form=form)


def _static(header: Mapping[str, ConfigValue]) -> MirrorTo:
    address = address_of(header.get("vtep_dst_ip_address"))
    vni = bounded_of(header.get("vni"), _VNI_MAX)
    if address is None or not vni:
        raise UnusableMirror("nh_mode static needs a vtep_dst_ip_address and a vni")
    return MirrorTo(address, udp_port=VXLAN_UDP_PORT, form="vxlan", vni=vni)


def _bridged(entry: Mapping[str, ConfigValue], instance: str) -> MirrorTo:
    try:
        mac = Mac.parse(text_of(entry.get("analyzer_mac_address")).strip())
    except ValueError:
        mac = None
    if mac is None or not instance:
        raise UnusableMirror(
            "juniper_header false needs analyzer_mac_address and routing_instance, "
            "nh_mode static, or encapsulation gre"
        )
    return MirrorTo(instance=instance, mac=mac, form="frame")


def read_port_mirror(value: ConfigValue | None) -> tuple[PortMirror | None, str]:
    """Read an ``interface_mirror``; with it, or instead, what is wrong or ignored."""
    entry = mapping_of(value)
    mirror_to = mapping_of(entry.get("mirror_to"))
    if not mirror_to:
        return None, ""
    direction = text_of(entry.get("traffic_direction")) or "both"
    try:
        to = read_mirror_to(mirror_to)
    except UnusableMirror as refused:
        return None, f"nothing is mirrored: {refused}"
    found = PortMirror(to, direction in {"ingress", "both"}, direction in {"egress", "both"})
    return found, ""


def copies_of_port(mirror: PortMirror, network: str) -> tuple[Copied | None, Copied | None]:
    """Return what is copied of what the port sends and of what is delivered to it."""
    sent = Copied(mirror.to, source_network=network, is_ingress=True)
    delivered = Copied(mirror.to, destination_network=network)
    return sent if mirror.sent else None, delivered if mirror.delivered else None


def mirror_row(
    copied: Copied,
    mirror_id: MirrorId,
    host: IpAddress,
    place: tuple[VrfId, NextHopId],
) -> MirrorRow:
    """Return the row; ``place`` is the analyzer's VRF and, of a fixed way, its next hop."""
    to, (vrf_id, nexthop_id) = copied.to, place
    if to.form == "frame":
        return MirrorRow(mirror_id, MirrorKind.BRIDGED, vrf_id=vrf_id, mac=to.mac)
    return MirrorRow(
        mirror_id=mirror_id,
        kind=MirrorKind.FIXED if nexthop_id else MirrorKind.ROUTED,
        vrf_id=vrf_id,
        analyzer=to.analyzer,
        nexthop_id=nexthop_id,
        header=_header(copied, host),
        is_udp=to.form != "gre",
        has_record=to.form == "record",
    )


def source_of(host: IpAddress, version: int) -> IpAddress:
    """Return whom copies come from: the host, or what stands for it in the other IP version."""
    if host.version == version:
        return host
    return _NO_IPV4 if version == 4 else IPv6Address(_IPV4_AS_IPV6 | int(host))


def _header(copied: Copied, host: IpAddress) -> bytes:
    to = copied.to
    target = to.analyzer or IPv4Address(0)
    protocol = _GRE if to.form == "gre" else _UDP
    if target.version == 4:
        kind, ip = _IPV4, struct.pack("!BBHIBBH", 0x45, 0, 0, 0, _HOP_LIMIT, protocol, 0)
    else:
        kind, ip = _IPV6, struct.pack("!IHBB", 6 << 28, 0, protocol, _HOP_LIMIT)
    ethernet = bytes(6) + GATEWAY_MAC.packed + struct.pack("!H", kind)
    ip += source_of(host, target.version).packed + target.packed
    if to.form == "gre":
        return ethernet + ip + struct.pack("!HH", 0, _GRE_ETHERNET)
    udp = struct.pack("!HHHH", COPY_SOURCE_PORT, to.udp_port, 0, 0)
    if to.form == "vxlan":
        return ethernet + ip + udp + struct.pack("!II", 8 << 24, to.vni << 8)
    return ethernet + ip + udp + _RECORD + b"".join(_metadata(copied, host))


def _metadata(copied: Copied, host: IpAddress) -> Iterator[bytes]:
    flags = _PASS | _MIRROR | (_INGRESS if copied.is_ingress else 0)
    yield _item(_CAPTURE_HOST, host.packed)
    yield _item(_FLAGS, struct.pack("!I", flags))
    if copied.source_network:
        yield _item(_SOURCE_NETWORK, copied.source_network.encode())
    if copied.destination_network:
        yield _item(_DESTINATION_NETWORK, copied.destination_network.encode())
    yield _item(_END, b"")


def _item(kind: int, value: bytes) -> bytes:
    kept = value[:_NAME_BYTES_MAX]
    return bytes((kind, len(kept))) + kept
