"""The conformance suite of the agent's datapath seam: what any back end must do, as cases.

A back end is proven by a test that gives each of ``CASES`` a fresh :class:`Subject`: rows go in by
the :class:`~skytrail.agent.plugin.Datapath` interface alone, packets by the subject, and what became of
them is asked of both. ``SENDER`` is plugged at ``Subject.ifindex``; ``PEER`` need not have a link.
A case that does not hold raises ``AssertionError``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Protocol

from skytrail.agent.capture import Captured, CaptureFilter, Point
from skytrail.agent.plugin import Datapath, FlowRecord
from skytrail.agent.session_batch import SessionKind
from skytrail.agent.share import choose, flow_hash, share_of
from skytrail.agent.tables import (
    ROW_TYPES,
    Action,
    BridgeRow,
    Encapsulation,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    Row,
    RuleId,
    SourceRow,
    VerdictRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.agent.trace import TracePacket
from skytrail.net import Mac

UNDERLAY, SENDER, PEER = VifId(1), VifId(11), VifId(12)
PEER_IFINDEX, UNDERLAY_IFINDEX = 7001, 7002
VRF, OTHER_VRF = VrfId(5), VrfId(6)
SENDER_HOP, PEER_HOP, GATEWAY_HOP, FAR_HOP, BRIDGE_HOP, SHARED_HOP = map(NextHopId, range(11, 17))
MEMBER_HOPS = (NextHopId(21), NextHopId(22), NextHopId(23))
SENDER_LABEL, FAR_LABEL, VNI, UNKNOWN_LABEL = 1011, 77, 5005, 4242
SENDER_MAC, PEER_MAC, FAR_MAC = (Mac(bytes((2, 0, 0, 0, 0, n))) for n in (10, 11, 12))
HOST, FAR_HOST = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
OWN, NEAR, FAR, GATE = "10.1.1.10", "10.1.1.11", "10.1.1.12", "10.1.1.1"
OWN6, NEAR6, FAR6 = "fd00:1::a", "fd00:1::b", "fd00:1::c"
OUT, IN = PolicyId(1), PolicyId(2)
FAR_CLASS, ANYWHERE = 1, 1
RULE = RuleId(7)
UDP, ICMP = 17, 1


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a packet: one of these is set."""

    delivered: VifId | None = None
    sent: tuple[str, str, int] | None = None
    """Remote tunnel end, encapsulation's name, label."""
    dropped: str = ""
    punted: bool = False


class Subject(Protocol):
    """A back end under test, empty."""

    datapath: Datapath
    ifindex: int
    """Of ``SENDER``."""

    def send(self, packet: TracePacket) -> Fate:
        """Have ``SENDER``'s workload send it."""
        ...

    def arrive(self, kind: str, number: int, packet: TracePacket) -> Fate:
        """Let it come from ``FAR_HOST`` under a label (``mpls``) or VNI (``vxlan``)."""
        ...

    def later(self, seconds: float) -> float:
        """Return what ``age_flows`` is told so long from now."""
        ...


Case = Callable[[Subject], None]


def packet(
    source: str, destination: str, port: int = 80, *, to: Mac = FAR_MAC, protocol: int = UDP
) -> TracePacket:
    return TracePacket(ip_address(source), ip_address(destination), protocol, 4000, port, to)


def interface(vif_id: VifId, ifindex: int, mac: Mac) -> InterfaceRow:
    return InterfaceRow(
        ifindex=ifindex,
        vif_id=vif_id,
        kind=InterfaceKind.WORKLOAD_VETH,
        vrf_id=VRF,
        mac=mac,
        mtu_bytes=1500,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=IdentityId(vif_id),
        antispoof=True,
    )


def tunnel(
    hop: NextHopId = FAR_HOP,
    remote: IPv4Address = FAR_HOST,
    encapsulation: Encapsulation = Encapsulation.MPLS_UDP,
) -> NextHopRow:
    return NextHopRow(
        hop,
        NextHopKind.TUNNEL,
        encapsulation=encapsulation,
        local=HOST,
        remote=remote,
        out_ifindex=UNDERLAY_IFINDEX,
        out_source_mac=Mac(bytes((2, 0, 0, 0, 1, 1))),
        out_destination_mac=Mac(bytes((2, 0, 0, 0, 1, 2))),
    )


def route(prefix: str, hop: NextHopId, label: int = 0, mac: Mac | None = None) -> InetRouteRow:
    return InetRouteRow(VRF, ip_network(prefix), hop, label, IdentityId(3), mac)


def world(subject: Subject) -> list[Row]:
    """Two workloads of one network here, a third behind a tunnel, their gateway. No policy."""
    rows: list[Row] = [
        replace(
            interface(UNDERLAY, UNDERLAY_IFINDEX, Mac(bytes((2, 0, 0, 0, 1, 1)))),
            kind=InterfaceKind.UNDERLAY,
            vrf_id=VrfId(0),
            antispoof=False,
            mtu_bytes=1600,
            tunnel_address=HOST,
        ),
        interface(SENDER, subject.ifindex, SENDER_MAC),
        interface(PEER, PEER_IFINDEX, PEER_MAC),
        NextHopRow(SENDER_HOP, NextHopKind.INTERFACE, vif_id=SENDER),
        NextHopRow(PEER_HOP, NextHopKind.INTERFACE, vif_id=PEER),
        NextHopRow(GATEWAY_HOP, NextHopKind.RECEIVE),
        NextHopRow(BRIDGE_HOP, NextHopKind.BRIDGE, vrf_id=VRF),
        tunnel(),
        LabelRow(SENDER_LABEL, SENDER_HOP),
        VniRow(VNI, BRIDGE_HOP),
        BridgeRow(VRF, SENDER_MAC, SENDER_HOP, 0, IdentityId(SENDER)),
        route(f"{GATE}/32", GATEWAY_HOP),
    ]
    for own, near, far, bits in ((OWN, NEAR, FAR, 32), (OWN6, NEAR6, FAR6, 128)):
        rows += [
            SourceRow(SENDER, ip_network(own), SENDER_MAC),
            SourceRow(PEER, ip_network(near), PEER_MAC),
            route(f"{own}/{bits}", SENDER_HOP, mac=SENDER_MAC),
            route(f"{near}/{bits}", PEER_HOP, mac=PEER_MAC),
            route(f"{far}/{bits}", FAR_HOP, FAR_LABEL, FAR_MAC),
        ]
    return rows


def policy(policy_id: PolicyId, action: Action, port: int = 80) -> list[Row]:
    """What the far end may be asked, or may ask, at one port; nothing else matches."""
    return [
        PolicyIdentityRow(policy_id, IdentityId(3), FAR_CLASS),
        PolicyPrefixRow(policy_id, ip_network("0.0.0.0/0"), ANYWHERE),
        VerdictRow(policy_id, FAR_CLASS, ANYWHERE, UDP, port, 16, action, RULE),
    ]


def guarded(subject: Subject, action: Action = Action.ALLOW) -> None:
    """The world with a policy for what the sender sends, and one that lets nothing in."""
    row = replace(
        interface(SENDER, subject.ifindex, SENDER_MAC), policy_egress=OUT, policy_ingress=IN
    )
    subject.datapath.apply([*world(subject), *policy(OUT, action), row], [])


def expect(found: object, wanted: object) -> None:
    if found != wanted:
        message = f"{found}, not {wanted}"
        raise AssertionError(message)


TO_FAR = Fate(sent=(str(FAR_HOST), "MPLS_UDP", FAR_LABEL))


def dump_returns_exactly_what_was_applied(subject: Subject) -> None:
    rows = [*world(subject), *policy(OUT, Action.ALLOW), shared((0, 1, 2))]
    subject.datapath.apply(rows, [])
    subject.datapath.apply(rows, [])
    found = [row for kind in ROW_TYPES for row in subject.datapath.dump(kind)]

    expect(len(found), len(rows))
    expect(set(found), set(rows))


def put_of_a_known_key_replaces_the_row(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    subject.datapath.apply([route(f"{FAR}/32", FAR_HOP, 78, FAR_MAC)], [])

    expect(subject.send(packet(OWN, FAR)), Fate(sent=(str(FAR_HOST), "MPLS_UDP", 78)))


def deleted_rows_are_gone_and_absent_ones_are_no_error(subject: Subject) -> None:
    rows = world(subject)
    subject.datapath.apply(rows, [])
    subject.datapath.apply([], rows[::-1])
    subject.datapath.apply([], [route(f"{FAR}/32", FAR_HOP), LabelRow(SENDER_LABEL, SENDER_HOP)])

    expect([row for kind in ROW_TYPES for row in subject.datapath.dump(kind)], [])


def workload_of_the_same_host_gets_the_packet(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    for source, destination in ((OWN, NEAR), (OWN6, NEAR6)):
        expect(subject.send(packet(source, destination, to=PEER_MAC)), Fate(delivered=PEER))

    expect(subject.datapath.delivered([PEER])[PEER].packets, 2)


def tunnel_has_the_routes_label_and_encapsulation(subject: Subject) -> None:
    for encapsulation in (Encapsulation.MPLS_UDP, Encapsulation.MPLS_GRE, Encapsulation.VXLAN):
        subject.datapath.apply([*world(subject), tunnel(encapsulation=encapsulation)], [])
        wanted = Fate(sent=(str(FAR_HOST), encapsulation.name, FAR_LABEL))
        expect(subject.send(packet(OWN, FAR)), wanted)
        expect(subject.send(packet(OWN6, FAR6)), wanted)


def unresolved_neighbour_drops_by_name(subject: Subject) -> None:
    unresolved = replace(tunnel(), out_destination_mac=None)
    subject.datapath.apply([*world(subject), unresolved], [])

    expect(subject.send(packet(OWN, FAR)), Fate(dropped="UNDERLAY_UNRESOLVED"))


def label_leads_to_its_workload(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])

    expect(subject.arrive("mpls", SENDER_LABEL, packet(FAR, OWN)), Fate(delivered=SENDER))
    expect(subject.arrive("mpls", SENDER_LABEL, packet(FAR6, OWN6)), Fate(delivered=SENDER))


def vni_leads_to_the_workload_with_the_mac(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    known = packet(FAR, OWN, to=SENDER_MAC)

    expect(subject.arrive("vxlan", VNI, known), Fate(delivered=SENDER))
    stranger = replace(known, destination_mac=Mac(bytes((2, 9, 9, 9, 9, 9))))
    expect(subject.arrive("vxlan", VNI, stranger), Fate(dropped="UNKNOWN_MAC"))


def unknown_label_and_vni_are_counted_drops(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    before = dict(subject.datapath.drop_counts())

    expect(subject.arrive("mpls", UNKNOWN_LABEL, packet(FAR, OWN)), Fate(dropped="LABEL_UNKNOWN"))
    expect(subject.arrive("vxlan", UNKNOWN_LABEL, packet(FAR, OWN)), Fate(dropped="VNI_UNKNOWN"))
    for reason in ("LABEL_UNKNOWN", "VNI_UNKNOWN"):
        expect(subject.datapath.drop_counts()[reason], before.get(reason, 0) + 1)


def longest_prefix_wins(subject: Subject) -> None:
    wide = route("10.0.0.0/8", FAR_HOP, 90)
    narrow = route("10.9.0.0/16", FAR_HOP, 91)
    subject.datapath.apply([*world(subject), wide, narrow], [])

    for address, label in (("10.9.1.1", 91), ("10.8.1.1", 90), (FAR, FAR_LABEL)):
        wanted = Fate(sent=(str(FAR_HOST), "MPLS_UDP", label))
        expect(subject.send(routed(address)), wanted)


def routed(address: str, port: int = 80) -> TracePacket:
    """To the gateway's MAC, as what is outside of the subnet is."""
    return TracePacket(ip_address(OWN), ip_address(address), UDP, 4000, port)


def no_route_is_a_drop_of_its_interface(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    before = subject.datapath.interface_drop_counts().get(SENDER, {}).get("NO_ROUTE", 0)

    expect(subject.send(routed("203.0.113.9")), Fate(dropped="NO_ROUTE"))
    expect(subject.datapath.interface_drop_counts()[SENDER]["NO_ROUTE"], before + 1)


def route_that_goes_stops_its_flows(subject: Subject) -> None:
    gone = route("10.9.0.0/16", FAR_HOP, 91)
    subject.datapath.apply([*world(subject), gone], [])
    expect(subject.send(routed("10.9.1.1")), Fate(sent=(str(FAR_HOST), "MPLS_UDP", 91)))
    subject.datapath.apply([], [gone])

    expect(subject.send(routed("10.9.1.1")), Fate(dropped="NO_ROUTE"))


def networks_do_not_see_each_other(subject: Subject) -> None:
    theirs = InetRouteRow(OTHER_VRF, ip_network("10.6.6.6"), FAR_HOP, 91, IdentityId(3))
    subject.datapath.apply([*world(subject), theirs], [])

    expect(subject.send(routed("10.6.6.6")), Fate(dropped="NO_ROUTE"))


def foreign_source_address_is_refused(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])

    expect(subject.send(packet("10.1.1.99", FAR)), Fate(dropped="SPOOFED_ADDRESS"))


def interface_in_no_network_forwards_nothing(subject: Subject) -> None:
    quarantined = replace(interface(SENDER, subject.ifindex, SENDER_MAC), vrf_id=VrfId(0))
    subject.datapath.apply([*world(subject), quarantined], [])

    if not subject.send(packet(OWN, FAR)).dropped:
        raise AssertionError("it was forwarded")


def gateway_gets_what_is_for_it(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])

    expect(subject.send(replace(routed(GATE), destination_port=9)), Fate(punted=True))


def what_no_verdict_allows_is_denied(subject: Subject) -> None:
    guarded(subject)

    expect(subject.send(packet(OWN, FAR)), TO_FAR)
    expect(subject.send(packet(OWN, FAR, port=81)), Fate(dropped="POLICY"))
    expect(subject.arrive("mpls", SENDER_LABEL, packet(FAR, OWN)), Fate(dropped="POLICY"))


def flow_names_the_rule_that_decided(subject: Subject) -> None:
    guarded(subject)
    for port in (80, 81):
        subject.send(packet(OWN, FAR, port=port))

    for port, allowed, rule in ((80, True, RULE), (81, False, 0)):
        flow = flow_to(subject, port)
        expect((flow.allowed, flow.rule_id, flow.is_reverse), (allowed, rule, False))
        expect(flow.drop_reason, None if allowed else "POLICY")


def flow_to(subject: Subject, port: int) -> FlowRecord:
    found = [
        flow
        for flow in subject.datapath.flows()
        if flow.destination_port == port and flow.vif_id == SENDER
    ]
    expect(len(found), 1)
    return found[0]


def answer(port: int = 80) -> TracePacket:
    return TracePacket(ip_address(FAR), ip_address(OWN), UDP, port, 4000, SENDER_MAC)


def answers_are_let_in_by_the_flow_alone(subject: Subject) -> None:
    guarded(subject)
    expect(subject.arrive("mpls", SENDER_LABEL, answer(82)), Fate(dropped="POLICY"))
    subject.send(packet(OWN, FAR))

    expect(subject.arrive("mpls", SENDER_LABEL, answer()), Fate(delivered=SENDER))


def changed_policy_decides_live_flows_again(subject: Subject) -> None:
    guarded(subject)
    expect(subject.send(packet(OWN, FAR)), TO_FAR)
    expect(subject.arrive("mpls", SENDER_LABEL, answer()), Fate(delivered=SENDER))
    subject.datapath.apply(policy(OUT, Action.DENY), [])
    expect(subject.send(packet(OWN, FAR)), Fate(dropped="POLICY"))
    expect(subject.arrive("mpls", SENDER_LABEL, answer()), Fate(dropped="POLICY"))
    subject.datapath.apply(policy(OUT, Action.ALLOW), [])

    expect(subject.send(packet(OWN, FAR)), TO_FAR)


def flow_counts_packets_of_each_direction(subject: Subject) -> None:
    guarded(subject)
    for _ in range(3):
        subject.send(packet(OWN, FAR))
    subject.arrive("mpls", SENDER_LABEL, answer())
    found = {flow.is_reverse: flow.packets for flow in subject.datapath.flows()}

    expect(found, {False: 3, True: 1})


def silent_flows_are_forgotten(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    subject.send(packet(OWN, FAR))
    subject.datapath.age_flows(subject.later(1.0))
    expect(len(list(subject.datapath.flows())), 2)
    if not subject.datapath.age_flows(subject.later(100_000.0)):
        raise AssertionError("nothing was forgotten")

    expect(list(subject.datapath.flows()), [])


def interface_that_goes_takes_its_flows(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    subject.send(packet(OWN, FAR))
    subject.datapath.apply([], [interface(SENDER, subject.ifindex, SENDER_MAC)])

    expect(list(subject.datapath.flows()), [])


def shared(members: tuple[int, ...]) -> NextHopRow:
    return NextHopRow(
        SHARED_HOP,
        NextHopKind.ECMP,
        members=tuple([(MEMBER_HOPS[n], 100 + n) for n in members]),
        shares=tuple([share_of(FAR_HOST + n, 100 + n) for n in members]),
    )


def member_of(subject: Subject, port: int) -> int:
    fate = subject.send(routed("10.9.1.1", port))
    if fate.sent is None:
        message = f"{fate}, not forwarded"
        raise AssertionError(message)
    return fate.sent[2] - 100


def sharing(subject: Subject, members: tuple[int, ...]) -> None:
    rows = [tunnel(hop, FAR_HOST + n) for n, hop in enumerate(MEMBER_HOPS)]
    way = route("10.9.0.0/16", SHARED_HOP)
    subject.datapath.apply([*world(subject), *rows, shared(members), way], [])


def every_host_chooses_the_same_member(subject: Subject) -> None:
    sharing(subject, (0, 1, 2))
    ends = (ip_address(OWN), 4000), ip_address("10.9.1.1")
    weights = shared((0, 1, 2)).shares
    wanted = [choose(weights, flow_hash((ends[0], (ends[1], port)), UDP)) for port in range(1, 31)]

    expect([member_of(subject, port) for port in range(1, 31)], wanted)


def flow_stays_with_its_member_while_that_is_one(subject: Subject) -> None:
    sharing(subject, (0, 1))
    before = [member_of(subject, port) for port in range(1, 31)]
    subject.datapath.apply([shared((0, 1, 2))], [])
    expect([member_of(subject, port) for port in range(1, 31)], before)
    subject.datapath.apply([shared((1, 2))], [])
    after = [member_of(subject, port) for port in range(1, 31)]

    expect([a for a, b in zip(after, before, strict=True) if b == 1], [1] * before.count(1))
    expect(0 in after, False)


def capture_gets_what_it_asks_for(subject: Subject) -> None:
    subject.datapath.apply([*world(subject), watched(subject)], [])
    source, seen = subject.datapath.captures(), list[Captured]()
    expect(source.fd >= 0, True)
    source.start(0, CaptureFilter(vif_id=SENDER, points=Point.SENT, destination_port=80))
    for port in (80, 81):
        subject.send(packet(OWN, FAR, port=port))
    source.drain(seen.append, 10)
    expect([(each.vif_id, each.point, each.slots) for each in seen], [(SENDER, Point.SENT, 1)])
    expect(source.counts(0), (1, 0))
    source.stop(0)
    subject.send(packet(OWN, FAR))

    expect(source.drain(seen.append, 10), 0)


def watched(subject: Subject) -> InterfaceRow:
    return replace(interface(SENDER, subject.ifindex, SENDER_MAC), is_watched=True)


def capture_of_drops_names_the_reason(subject: Subject) -> None:
    guarded(subject)
    source, seen = subject.datapath.captures(), list[Captured]()
    source.start(1, CaptureFilter(points=Point.DROPPED, reason="POLICY"))
    subject.send(packet(OWN, FAR, port=81))
    subject.send(packet("10.1.1.99", FAR))
    source.drain(seen.append, 10)
    source.stop(1)

    expect([(each.reason, each.slots) for each in seen], [("POLICY", 2)])


def capture_hands_over_no_more_than_asked(subject: Subject) -> None:
    subject.datapath.apply([*world(subject), watched(subject)], [])
    source, seen = subject.datapath.captures(), list[Captured]()
    source.start(0, CaptureFilter(points=Point.SENT))
    for port in range(1, 6):
        subject.send(packet(OWN, FAR, port=port))
    expect(source.drain(seen.append, 2), 2)
    expect(source.drain(seen.append, 10), 3)
    source.stop(0)

    expect(len(seen), 5)


def sessions_are_told_when_they_are_wanted(subject: Subject) -> None:
    subject.datapath.apply(world(subject), [])
    source = subject.datapath.sessions()
    subject.send(packet(OWN, FAR, port=79))
    source.want(wanted=True)
    subject.send(packet(OWN, FAR))
    source.want(wanted=False)
    subject.send(packet(OWN, FAR, port=81))
    seen = source.drain(10).events()

    expect(
        [(each.kind, each.vif_id, each.destination_port, each.is_opened_here) for each in seen],
        [(SessionKind.BEGIN, SENDER, 80, True)],
    )


def interface_without_a_row_is_not_attached(subject: Subject) -> None:
    try:
        subject.datapath.attach(PEER_IFINDEX + 100)
    except OSError:
        return
    raise AssertionError("attach did not refuse")


def nothing_of_another_version_is_carried(subject: Subject) -> None:
    expect(subject.datapath.carried_before(), frozenset())
    subject.datapath.retire_before()


CASES: tuple[Case, ...] = (
    dump_returns_exactly_what_was_applied,
    put_of_a_known_key_replaces_the_row,
    deleted_rows_are_gone_and_absent_ones_are_no_error,
    workload_of_the_same_host_gets_the_packet,
    tunnel_has_the_routes_label_and_encapsulation,
    unresolved_neighbour_drops_by_name,
    label_leads_to_its_workload,
    vni_leads_to_the_workload_with_the_mac,
    unknown_label_and_vni_are_counted_drops,
    longest_prefix_wins,
    no_route_is_a_drop_of_its_interface,
    route_that_goes_stops_its_flows,
    networks_do_not_see_each_other,
    foreign_source_address_is_refused,
    interface_in_no_network_forwards_nothing,
    gateway_gets_what_is_for_it,
    what_no_verdict_allows_is_denied,
    flow_names_the_rule_that_decided,
    answers_are_let_in_by_the_flow_alone,
    changed_policy_decides_live_flows_again,
    flow_counts_packets_of_each_direction,
    silent_flows_are_forgotten,
    interface_that_goes_takes_its_flows,
    every_host_chooses_the_same_member,
    flow_stays_with_its_member_while_that_is_one,
    capture_gets_what_it_asks_for,
    capture_of_drops_names_the_reason,
    capture_hands_over_no_more_than_asked,
    sessions_are_told_when_they_are_wanted,
    interface_without_a_row_is_not_attached,
    nothing_of_another_version_is_carried,
)
