"""Every UPDATE we emit is read alike by os-ken and ExaBGP, which share no code with us or each other.

Routes and attributes are drawn with a fixed seed (many more with SKYTRAIL_NIGHTLY). Private families
and route types the others do not know are left out: nobody could judge them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path

import pytest

from skytrail.control.bgp_config import EXTENDED_NEXT_HOP
from skytrail.net import Mac, RouteDistinguisher, RouteTarget
from skytrail.testing.bgp import INTERNAL
from skytrail.wire.bgp import (
    Aggregator,
    AsSegment,
    AsSegmentKind,
    Attributes,
    BgpFamily,
    EthernetAutoDiscovery,
    EthernetSegment,
    InclusiveMulticast,
    IpPrefixRoute,
    LabelledNlri,
    LargeCommunity,
    MacIp,
    MvpnNlri,
    PmsiTunnel,
    RouteTargetNlri,
    VpnNlri,
    encode_update,
    encode_withdraw,
)
from skytrail.wire.bgp.attributes import DiscoveryEdge, ForwardingEdge, RawAttribute
from skytrail.wire.bgp.communities import (
    Encapsulation,
    Etree,
    HashField,
    LoadBalance,
    LocalSequenceNumber,
    MacMobility,
    MulticastFlags,
    OriginVn,
    RouteImport,
    RouterMac,
    SecurityGroup,
    SegmentImport,
    SegmentLabel,
    SiteOfOrigin,
    SourceAs,
    SubCluster,
    Tag,
)

PLACE = Path(__file__).parents[2] / "build/bgp-decoders/bin/python"
START = Path(__file__).with_name("bgp_decoders_start.py")
pytestmark = pytest.mark.skipif(not PLACE.exists(), reason="run packaging/setup.sh clients")
ROUNDS = 200 if os.environ.get("SKYTRAIL_NIGHTLY") else 20
FAMILIES = [family for family in BgpFamily if family is not BgpFamily.ERMVPN]
Ask = Callable[[bytes], dict]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    worker = subprocess.Popen(
        [PLACE, "-W", "ignore", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip

    def one(message: bytes) -> dict:
        worker.stdin.write(message.hex() + "\n")
        worker.stdin.flush()
        line = worker.stdout.readline()
        assert line, f"the decoders died of {message.hex()}"
        return json.loads(line)

    yield one
    worker.stdin.close()
    assert worker.wait(timeout=30) == 0
    worker.stdout.close()


class Draw:
    """Values at random, from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bits(self, count: int) -> int:
        return self.random.getrandbits(count)

    def maybe(self, value):
        return value if self.random.random() < 0.5 else None

    def v4(self) -> IPv4Address:
        return IPv4Address(self.random.randrange(0x0100_0000, 0x7F00_0000))

    def v6(self) -> IPv6Address:
        return IPv6Address(0x2001_0DB8 << 96 | self.bits(96))

    def net4(self) -> IPv4Network:
        # os-ken reads a labelled default route as one without a label, hence no length of 0.
        return IPv4Network((self.bits(32), self.random.randint(1, 32)), strict=False)

    def net6(self) -> IPv6Network:
        return IPv6Network((self.bits(128), self.random.randint(1, 128)), strict=False)

    def distinguisher(self) -> RouteDistinguisher:
        kind = self.random.randrange(3)
        # The middle bytes keep an AS number of type 2 from looking like one of type 0.
        return RouteDistinguisher(bytes((0, kind, 1)) + self.random.randbytes(5))

    def label(self) -> int:
        return self.random.choice((0, 3, 16, 0xFFFFF, self.bits(20)))

    def mac(self) -> Mac:
        return Mac(self.random.randbytes(6))

    def asn(self) -> int:
        return self.random.choice((1, 64512, 65535, 65536, 4_294_967_295))

    def route(self, family: BgpFamily):
        match family:
            case BgpFamily.INET:
                return self.net4()
            case BgpFamily.INET6:
                return self.net6()
            case BgpFamily.INET_LABELLED:
                return LabelledNlri(self.net4(), (self.label(),))
            case BgpFamily.INET6_LABELLED:
                return LabelledNlri(self.net6(), (self.label(),))
            case BgpFamily.INET_VPN:
                return VpnNlri(self.distinguisher(), self.net4(), (self.label(),))
            case BgpFamily.INET6_VPN:
                return VpnNlri(self.distinguisher(), self.net6(), (self.label(),))
            case BgpFamily.ROUTE_TARGET:
                target = RouteTarget.parse(f"target:64512:{self.bits(32)}").packed
                return RouteTargetNlri(self.asn(), target)
            case BgpFamily.MVPN:
                kind = self.random.choice((5, 6, 7))
                source_as = None if kind == 5 else self.asn()
                return MvpnNlri(kind, self.distinguisher(), source_as, self.v4(), self.v4())
            case _:
                return self.evpn()

    def evpn(self):
        distinguisher, tag = self.distinguisher(), self.bits(32)
        segment = b"\0" + self.random.randbytes(9)
        host = self.random.choice((self.v4, self.v6))
        match self.random.randint(1, 5):
            case 1:
                return EthernetAutoDiscovery(distinguisher, segment, tag, self.bits(24))
            case 2:
                address, label2 = self.maybe(host()), self.maybe(self.bits(24))
                return MacIp(
                    distinguisher, segment, tag, self.mac(), address, self.bits(24), label2
                )
            case 3:
                return InclusiveMulticast(distinguisher, tag, host())
            case 4:
                return EthernetSegment(distinguisher, segment, host())
            case _:
                is_v4 = host == self.v4
                prefix = self.net4() if is_v4 else self.net6()
                gateway = self.v4() if is_v4 else self.v6()
                return IpPrefixRoute(distinguisher, segment, tag, prefix, gateway, self.bits(24))

    def attributes(self) -> Attributes:
        number = self.bits(32)
        path = [AsSegment(AsSegmentKind.SEQUENCE, tuple(self.asn() for _ in range(3)))]
        if self.random.random() < 0.3:
            path.append(AsSegment(AsSegmentKind.SET, (7, 4_200_000_001)))
        communities = [
            RouteTarget.parse(f"target:64512:{number}").packed,
            RouteTarget.parse(f"target:192.0.2.1:{number & 0xFFFF}").packed,
            SecurityGroup(64512, number).packed,
            Tag(64512, number).packed,
            OriginVn(64512, number).packed,
            Encapsulation(2).packed,
            Encapsulation(13).packed,
            MacMobility(number, bool(number & 1)).packed,
            RouterMac(self.mac()).packed,
            LoadBalance(HashField(number & 0xF8), bool(number & 1)).packed,
            SubCluster(64512, number).packed,
            LocalSequenceNumber(number).packed,
            SegmentImport(self.mac()).packed,
            SegmentLabel(number & 0xFFFFF, bool(number & 1)).packed,
            Etree(bool(number & 1), number & 0xFFFFF).packed,
            MulticastFlags(number & 0xFFFF).packed,
            SiteOfOrigin(bytes((0, 3)) + self.random.randbytes(6)).packed,
            RouteImport(self.v4(), number & 0xFFFF).packed,
            SourceAs(number & 0xFFFF).packed,
        ]
        end = self.v4()
        return Attributes(
            origin=self.random.randrange(3),
            as_path=tuple(path[: self.random.randint(0, 2)]),
            med=self.maybe(number),
            local_preference=number,
            atomic_aggregate=bool(number & 2),
            aggregator=self.maybe(Aggregator(self.asn(), self.v4())),
            communities=tuple(self.bits(32) for _ in range(self.random.randint(0, 3))),
            large_communities=tuple(
                LargeCommunity(self.bits(32), each, each) for each in range(number & 3)
            ),
            extended_communities=tuple(self.random.sample(communities, number % 12)),
            originator=self.maybe(self.v4()),
            cluster_list=tuple(self.v4() for _ in range(number & 1)),
            pmsi=self.maybe(PmsiTunnel(0, 6, self.bits(24), end.packed)),
            edge_discovery=tuple(
                DiscoveryEdge(self.v4(), ((each, each + number % 99),))
                for each in range(number % 4)
            ),
            edge_forwarding=tuple(
                ForwardingEdge(self.v4(), each, self.v4(), number & 0xFFFFF)
                for each in range(number % 3)
            ),
            unknown=tuple(
                RawAttribute(0xE0, 200 + each, b"?" * each) for each in range(number % 3)
            ),
            origin_vn_path=tuple(OriginVn(64512, each).packed for each in range(number % 3)),
        )


def route_text(nlri, *, with_labels: bool = True) -> str:
    match nlri:
        case VpnNlri(distinguisher, prefix, labels):
            text = f"{distinguisher} {prefix}"
            return f"{text} {labels[0]}" if with_labels else text
        case LabelledNlri(prefix, labels):
            return f"{prefix} {labels[0]}" if with_labels else str(prefix)
        case RouteTargetNlri(asn, target):
            return f"{asn} {RouteTarget(target)}"
        case MvpnNlri(kind, distinguisher, source_as, source, group):
            parts = [kind, distinguisher, source_as, source, group]
            return " ".join(str(part) for part in parts if part is not None)
        case EthernetAutoDiscovery(distinguisher, segment, tag, label):
            return f"1 {distinguisher} {segment.hex()} {tag} {label}"
        case MacIp(distinguisher, segment, tag, mac, address, label):
            return f"2 {distinguisher} {segment.hex()} {tag} {mac} {address or '-'} {label}"
        case InclusiveMulticast(distinguisher, tag, originator):
            return f"3 {distinguisher} {tag} {originator}"
        case EthernetSegment(distinguisher, segment, originator):
            return f"4 {distinguisher} {segment.hex()} {originator}"
        case IpPrefixRoute(distinguisher, segment, tag, prefix, gateway, label):
            return f"5 {distinguisher} {segment.hex()} {tag} {prefix} {gateway} {label}"
        case _:
            return str(nlri)


def attribute_texts(attributes: Attributes) -> dict:
    """What both sides can say of attributes, by type code; absent ones are absent."""
    aggregator, pmsi = attributes.aggregator, attributes.pmsi
    values = {
        1: attributes.origin,
        2: [
            [int(each.kind), sorted(each.numbers) if each.kind == 1 else [*each.numbers]]
            for each in attributes.as_path
        ],
        4: attributes.med,
        5: attributes.local_preference,
        6: attributes.atomic_aggregate or None,
        7: aggregator and [aggregator.asn, str(aggregator.address)],
        8: sorted(attributes.communities) or None,
        9: attributes.originator and str(attributes.originator),
        10: [str(each) for each in attributes.cluster_list] or None,
        16: sorted(each.hex() for each in attributes.extended_communities) or None,
        22: pmsi and [pmsi.flags, pmsi.tunnel_type, pmsi.label, str(pmsi.address)],
        32: sorted(
            f"{each.administrator:08x}{each.data1:08x}{each.data2:08x}"
            for each in attributes.large_communities
        )
        or None,
        241: edges(attributes.edge_discovery),
        242: edges(attributes.edge_forwarding),
        243: b"".join(attributes.origin_vn_path).hex() or None,
        **{each.code: each.value.hex() for each in attributes.unknown},
    }
    return {str(code): value for code, value in values.items() if value is not None}


def edges(found: tuple[DiscoveryEdge | ForwardingEdge, ...]) -> str | None:
    """Attributes 241 and 242 in hexadecimal, laid out anew: to others they are bytes."""
    return "".join(map(edge, found)) or None


def edge(one: DiscoveryEdge | ForwardingEdge) -> str:
    match one:
        case DiscoveryEdge(address, labels):
            ranges = "".join(f"{first:08x}{last:08x}" for first, last in labels)
            return f"04{address.packed.hex()}{8 * len(labels):02x}{ranges}"
        case ForwardingEdge(inbound, label, outbound, out_label):
            return f"04{inbound.packed.hex()}{label:08x}{outbound.packed.hex()}{out_label:08x}"


def plain(address: str) -> str:
    read = ip_address(address)
    mapped = getattr(read, "ipv4_mapped", None)
    return str(mapped or read)


def normal(read: dict) -> dict:
    return {
        "reach": sorted([plain(hop), route] for hop, route in read["reach"]),
        "withdrawn": sorted(read["withdrawn"]),
        "attributes": read["attributes"],
    }


def judges(answer: dict, family: BgpFamily) -> list[str]:
    read = [name for name, value in answer.items() if value is not None]
    assert "exabgp" in read
    assert len(read) == 2 or family in {BgpFamily.ROUTE_TARGET, BgpFamily.MVPN}
    return read


@pytest.mark.parametrize("family", FAMILIES)
def test_every_advertisement_is_read_alike_by_others(ask: Ask, family: BgpFamily):
    for seed in range(ROUNDS):
        draw = Draw(seed)
        routes = [draw.route(family) for _ in range(draw.random.randint(1, 5))]
        attributes = draw.attributes()
        hop = draw.v6() if family is BgpFamily.INET6 else draw.v4()
        expected = {
            "reach": sorted([str(hop), route_text(route)] for route in routes),
            "withdrawn": [],
            "attributes": attribute_texts(attributes),
        }

        (message,) = encode_update(family, hop, attributes, routes, INTERNAL)
        answer = ask(message)

        for name in judges(answer, family):
            assert normal(answer[name]) == expected, f"{name}, seed {seed}"


EXTENDED = replace(INTERNAL, extended_next_hop=frozenset(EXTENDED_NEXT_HOP))
LABELLED_OR_VPN_6 = (BgpFamily.INET6_LABELLED, BgpFamily.INET6_VPN)


@pytest.mark.parametrize("family", [*EXTENDED_NEXT_HOP, *LABELLED_OR_VPN_6])
def test_next_hops_of_ipv6_are_read_alike_by_others(ask: Ask, family: BgpFamily):
    """Those of IPv4 routes (RFC 8950) by ExaBGP; os-ken takes four bytes of them for all."""
    for seed in range(ROUNDS):
        draw = Draw(seed)
        routes = [draw.route(family) for _ in range(draw.random.randint(1, 5))]
        hop = draw.v6()

        (message,) = encode_update(family, hop, draw.attributes(), routes, EXTENDED)
        answer = ask(message)

        for name in ("exabgp", "os-ken") if family in LABELLED_OR_VPN_6 else ("exabgp",):
            expected = sorted([str(hop), route_text(route)] for route in routes)
            assert normal(answer[name])["reach"] == expected, f"{name}, seed {seed}"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_withdrawal_is_read_alike_by_others(ask: Ask, family: BgpFamily):
    for seed in range(ROUNDS):
        draw = Draw(seed)
        routes = [draw.route(family) for _ in range(draw.random.randint(1, 5))]

        (message,) = encode_withdraw(family, routes, INTERNAL)
        answer = ask(message)

        for name in judges(answer, family):
            assert normal(answer[name]) == {
                "reach": [],
                "withdrawn": sorted(route_text(route, with_labels=False) for route in routes),
                "attributes": {},
            }, f"{name}, seed {seed}"
