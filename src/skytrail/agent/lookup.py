"""Lookups over installed rows, exactly as the kernel does them: longest matches and fallbacks.

The fake datapath forwards with these, ``trace`` explains with these, and the policy property
tests hold them equal to the oracle. They read plain rows, from a plan or dumped from the kernel.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.fold import Folds
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    AgeingRow,
    BgpServiceRow,
    BridgeRow,
    FatFlowRow,
    FloatingPortRow,
    FloatingRow,
    FloodRow,
    FlowShareRow,
    FoldRow,
    GroupRow,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    LabelRow,
    LinkServiceRow,
    MirrorRow,
    NextHopId,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    PortMirrorRow,
    PortPoolRow,
    QosId,
    QosMapRow,
    RateRow,
    Row,
    RuleId,
    SeenMacRow,
    SourcePortRow,
    SourceRow,
    TunnelEndRow,
    VerdictRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.net import Mac, PrefixTrie

IpAddress = IPv4Address | IPv6Address
OWN_VRF = VrfId(0)
UNMARKED = QosId(0)
_PORT_BITS = 16


@dataclass(frozen=True, slots=True)
class Verdict:
    """What policy said and by which rows."""

    allow: bool
    rule_id: RuleId
    identity_class: int
    prefix_class: int
    row: VerdictRow | None
    """None = nothing matched, or policy is disabled."""
    source_row: SourcePortRow | None = None
    vrf_id: VrfId = OWN_VRF
    """Where the way on is looked up; 0 = in the interface's own VRF."""
    qos_id: QosId = UNMARKED
    """How packets are marked; 0 = as the interface's are."""


class Tables:
    """Every table indexed for its lookup. Built from rows in one pass; never changed after."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.interfaces: dict[int, InterfaceRow] = {}
        self.vifs: dict[VifId, InterfaceRow] = {}
        self.nexthops: dict[NextHopId, NextHopRow] = {}
        self.tunnel_ends: set[IpAddress] = set()
        self.labels: dict[int, LabelRow] = {}
        self.vnis: dict[int, VniRow] = {}
        self.bgp_services: dict[tuple[VifId, IPv4Address], BgpServiceRow] = {}
        self.floatings: defaultdict[VifId, dict[int, FloatingRow]] = defaultdict(dict)
        """Floating addresses of a port by place."""
        self.floating_ports: dict[tuple[VifId, IpAddress, int, int, bool], int] = {}
        self.rates: dict[tuple[VifId, bool], RateRow] = {}
        self.qos_maps: dict[QosId, QosMapRow] = {}
        self.link_services: dict[tuple[IpAddress, int], LinkServiceRow] = {}
        self.port_pools: dict[int, PortPoolRow] = {}
        self.floods: dict[VrfId, FloodRow] = {}
        self.folds = Folds()
        self.groups: dict[tuple[VrfId, IpAddress | None, IpAddress | None], GroupRow] = {}
        self.bridge: dict[tuple[VrfId, Mac], BridgeRow] = {}
        self._routes: defaultdict[VrfId, PrefixTrie[InetRouteRow]] = defaultdict(PrefixTrie)
        self._sources: defaultdict[VifId, PrefixTrie[SourceRow]] = defaultdict(PrefixTrie)
        self._prefixes: defaultdict[PolicyId, PrefixTrie[int]] = defaultdict(PrefixTrie)
        self._identities: dict[tuple[PolicyId, IdentityId], int] = {}
        self._verdicts: dict[tuple[int, ...], VerdictRow] = {}
        self._cells: dict[tuple[int, int, int], SourcePortRow] = {}
        for row in rows:
            self._index(row)

    def _index(self, row: Row) -> None:
        match row:
            case InterfaceRow():
                if row.tag is None:
                    self.interfaces[row.ifindex] = row
                self.vifs[row.vif_id] = row
            case SourceRow():
                self._sources[row.vif_id].insert(row.prefix, row)
            case NextHopRow():
                self.nexthops[row.nexthop_id] = row
            case InetRouteRow():
                self._routes[row.vrf_id].insert(row.prefix, row)
            case BridgeRow():
                self.bridge[row.key] = row
            case BgpServiceRow():
                self.bgp_services[row.key] = row
            case FloatingRow():
                self.floatings[row.vif_id][row.place] = row
            case FloatingPortRow():
                self.floating_ports[row.key] = row.to_port
            case TunnelEndRow():
                self.tunnel_ends.add(row.address)
            case FatFlowRow() | FoldRow():
                self.folds.add(row)
            case MirrorRow() | PortMirrorRow() | FlowShareRow() | SeenMacRow():
                pass  # No part of where a packet goes.
            case AgeingRow():
                pass  # No part of where a packet goes.
            case RateRow():
                self.rates[row.key] = row
            case QosMapRow():
                self.qos_maps[row.qos_id] = row
            case LinkServiceRow():
                self.link_services[row.key] = row
            case PortPoolRow():
                self.port_pools[row.protocol] = row
            case FloodRow():
                self.floods[row.vrf_id] = row
            case GroupRow():
                self.groups[row.key] = row
            case LabelRow():
                self.labels[row.label] = row
            case VniRow():
                self.vnis[row.vni] = row
            case PolicyIdentityRow():
                self._identities[row.key] = row.identity_class
            case PolicyPrefixRow():
                self._prefixes[row.policy_id].insert(row.prefix, row.prefix_class)
            case VerdictRow():
                self._verdicts[row.key] = row
            case SourcePortRow():
                self._cells[row.key] = row
            case MirrorRow() | PortMirrorRow():
                pass  # Copies change nothing of what happens to a packet.

    def route(self, vrf_id: VrfId, address: IpAddress) -> InetRouteRow | None:
        """Longest match in one VRF."""
        trie = self._routes.get(vrf_id)
        found = trie.longest_match(address) if trie else None
        return found[1] if found else None

    def source(self, vif_id: VifId, address: IpAddress) -> SourceRow | None:
        """The anti-spoofing entry that covers an address."""
        trie = self._sources.get(vif_id)
        found = trie.longest_match(address) if trie else None
        return found[1] if found else None

    def verdict(
        self,
        policy_id: PolicyId,
        remote: tuple[IdentityId, IpAddress],
        protocol: int,
        ports: tuple[int, int],
    ) -> Verdict:
        """Decide for (source port, destination port); policy 0 allows everything."""
        if not policy_id:
            return Verdict(True, RuleId(0), 0, 0, None)
        identity, address = remote
        identity_class = self._identities.get((policy_id, identity), 0)
        trie = self._prefixes.get(policy_id)
        covering = trie.longest_match(address) if trie else None
        prefix_class = covering[1] if covering else 0
        for chosen in (protocol, PROTOCOL_ANY):
            place = (policy_id, identity_class, prefix_class, chosen)
            row = self._longest_verdict(place, ports[1])
            if row is not None:
                break
        else:
            return Verdict(False, RuleId(0), identity_class, prefix_class, None)
        if not row.source_cell:
            allow = row.action is Action.ALLOW
            return Verdict(
                allow,
                row.rule_id,
                identity_class,
                prefix_class,
                row,
                vrf_id=row.vrf_id,
                qos_id=row.qos_id,
            )
        source = self._longest_cell(row.source_cell, ports[0])
        if source is None:
            return Verdict(False, RuleId(0), identity_class, prefix_class, row)
        allow = source.action is Action.ALLOW
        return Verdict(
            allow,
            source.rule_id,
            identity_class,
            prefix_class,
            row,
            source,
            source.vrf_id,
            source.qos_id,
        )

    def _longest_verdict(self, place: tuple[int, int, int, int], port: int) -> VerdictRow | None:
        for bits in range(_PORT_BITS, -1, -1):
            row = self._verdicts.get((*place, _block(port, bits), bits))
            if row is not None:
                return row
        return None

    def _longest_cell(self, cell: int, port: int) -> SourcePortRow | None:
        for bits in range(_PORT_BITS, -1, -1):
            row = self._cells.get((cell, _block(port, bits), bits))
            if row is not None:
                return row
        return None


def _block(port: int, bits: int) -> int:
    shift = _PORT_BITS - bits
    return port >> shift << shift
