"""Health checks of a host's ports: what is asked when, what follows, and how a check starts."""

from __future__ import annotations

import itertools
import random
from ipaddress import ip_address, ip_network

import pytest

from skytrail.agent.health.board import STARTS_PER_S_MAX, HealthBoard
from skytrail.agent.health.standing import HOLD_S
from skytrail.agent.interface import Failing
from skytrail.agent.tables import BridgeRow, InetRouteRow, SourceRow
from skytrail.agent.trace import DELIVERED, DROPPED, TracePacket
from skytrail.agent.view import build_view
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.bfd import BfdPacket, BfdState, decode_bfd, encode_bfd
from skytrail.wire.frame import (
    ETHERTYPE_IPV4,
    ETHERTYPE_IPV6,
    PROTOCOL_UDP,
    EthernetFrame,
    IpPacket,
    TcpFlag,
    TcpSegment,
    UdpDatagram,
    decode_ethernet,
    decode_ip,
    decode_tcp,
    decode_udp,
)
from skytrail.wire.icmp import IcmpMessage, decode_icmp
from skytrail.wire.xmpp import ConfigDelete

A = uuid_of("a")
CHECK = f"{PROJECT}:check"
PING = {
    "enabled": True,
    "health_check_type": "link-local",
    "monitor_type": "PING",
    "delay": 2,
    "timeout": 1,
    "max_retries": 2,
    "url_path": "local-ip",
}


class World:
    """One host with a port "a" (and others), the board, and workloads that answer or not."""

    def __init__(self, addresses=("10.1.1.3", "fd00:1::3"), ports=("a",), **properties):
        self.config = ConfigBuilder()
        red = self.config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
        self.ports = {}
        for index, name in enumerate(ports):
            own = addresses if name == "a" else [f"10.1.1.{10 + index}"]
            self.ports[name] = self.config.port(name, red, own)
        self.host = AgentHost()
        self.now = 0.0
        self.board = HealthBoard(random.Random(7).random)
        self.answers = True
        self.asked = []
        """When questions went out."""
        self.host.connect()
        if properties:
            self.check(**properties)

    def check(self, *ports, name="check", **properties):
        node = self.config.node(
            "service-health-check",
            f"{PROJECT}:{name}",
            service_health_check_properties={**PING, **properties},
        )
        for port in ports or ("a",):
            self.config.link(self.ports[port], node)

    def plug(self, *names):
        for name in names or self.ports:
            self.host.plug(name, 10 + len(self.host.plugged))
        self.follow()

    def follow(self):
        self.host.configure(self.config.update())
        self.host.compute()
        self.send(self.board.follow(self.host.plugged, self.host.view.ports, self.now))

    def send(self, frames):
        for _, frame in frames:
            self.asked.append(self.now)
            reply = self.answers and echo(frame)
            if reply:
                self.send(self.board.receive(A, reply, self.now))

    def run(self, seconds):
        """Let time pass, as far as something is due."""
        end = self.now + seconds
        while self.board.next_deadline <= end:
            self.now = self.board.next_deadline
            self.send(self.board.tick(self.now))
        self.now = end

    @property
    def is_up(self):
        return A not in self.board.failing


def answer_frame(frame, payload, protocol, **more):
    """What the workload sends back for a frame, with another payload."""
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    back = IpPacket(packet.destination, packet.source, protocol, payload, **more)
    kind = ETHERTYPE_IPV6 if packet.source.version == 6 else ETHERTYPE_IPV4
    return EthernetFrame(ethernet.source, ethernet.destination, kind, back.encode()).encode()


def echo(frame):
    packet = decode_ip(decode_ethernet(frame).payload)
    if packet.protocol not in {1, 58}:
        return b""
    asked = decode_icmp(packet.payload)
    reply = IcmpMessage({8: 0, 128: 129}[asked.icmp_type], 0, asked.rest, asked.payload)
    message = reply.encode(packet.destination, packet.source)
    return answer_frame(frame, message, packet.protocol)


def plugged_world(**properties):
    """A port that forwarded before the check came, so that it starts well."""
    world = World()
    world.plug()
    world.check(**properties)
    world.follow()
    return world


def test_question_goes_to_the_ports_first_address_from_the_service_address():
    world = plugged_world()
    frames = []
    world.send = frames.extend

    world.run(2)

    ifname, frame = frames[0]
    ethernet = decode_ethernet(frame)
    packet = decode_ip(ethernet.payload)
    assert ifname == "tap-a"
    assert (ethernet.source, ethernet.destination) == (GATEWAY_MAC, world.host.active("a").port.mac)
    assert (str(packet.source), str(packet.destination)) == ("10.1.1.2", "10.1.1.3")


def test_ipv6_address_is_asked_from_the_ipv6_service_address():
    world = plugged_world(url_path="fd00:1::3")
    frames = []
    world.send = frames.extend

    world.run(2)

    packet = decode_ip(decode_ethernet(frames[0][1]).payload)
    assert (str(packet.source), str(packet.destination)) == ("fd00:1::2", "fd00:1::3")
    assert decode_icmp(packet.payload).icmp_type == 128


@pytest.mark.parametrize("target", ["local-ip", "fd00:1::3"])
def test_as_many_failures_in_a_row_as_configured_withdraw_and_one_answer_brings_back(target):
    world = plugged_world(max_retries=3, delay=2, timeout=1, url_path=target)
    world.run(10)
    assert world.is_up

    world.answers = False
    world.run(2 * 2)
    assert world.is_up, "two failures are not three"
    world.run(2 + 1)
    assert not world.is_up
    assert "no answer to ping within 1 s" in world.board.failing[A].reasons[0]

    world.answers = True
    world.run(2)
    assert world.is_up


def test_a_single_failure_between_answers_is_forgotten():
    world = plugged_world(max_retries=2)
    world.run(4)

    for _ in range(4):
        world.answers = False
        world.run(2)
        world.answers = True
        world.run(2)

    assert world.is_up


def test_check_attached_to_a_port_that_forwards_takes_nothing_away_before_it_failed():
    world = World()
    world.plug()
    world.answers = False
    world.check(max_retries=2)

    world.follow()

    assert world.is_up
    world.run(5)
    assert not world.is_up


def test_port_plugged_with_a_check_is_not_led_to_before_it_answered():
    world = World(monitor_type="PING")

    world.plug()

    assert "has not answered yet" in world.board.failing[A].reasons[0]
    world.run(1)
    assert world.is_up


def test_restart_keeps_what_was_failed_and_what_was_well():
    world = World(ports=("a", "b"))
    world.check("a", "b")
    world.board.restore([A, uuid_of("b")], [(A, CHECK)])
    world.answers = False

    world.plug()

    assert world.board.failing.keys() == {A}
    assert world.board.failed_checks() == [(A, CHECK)]


def test_what_failed_before_a_restart_counts_once():
    world = World(monitor_type="PING")
    world.board.restore([A], [(A, CHECK)])
    world.plug()
    world.run(2)
    assert world.is_up

    world.check(enabled=False)
    world.follow()
    world.check(enabled=True)
    world.follow()

    assert world.is_up


def test_check_that_is_turned_off_gives_the_routes_back():
    world = plugged_world()
    world.answers = False
    world.run(6)
    assert not world.is_up

    world.check(enabled=False)
    world.follow()

    assert world.is_up
    assert world.board.next_deadline == float("inf")


def test_port_that_is_unplugged_is_asked_no_more():
    world = plugged_world()
    world.answers = False
    world.run(6)

    world.host.plugged.clear()
    world.board.follow({}, world.host.view.ports, world.now)

    assert world.is_up
    assert world.board.next_deadline == float("inf")


def test_changed_times_of_a_failed_check_do_not_make_it_well():
    world = plugged_world()
    world.answers = False
    world.run(6)

    world.check(delay=1)
    world.follow()

    assert not world.is_up


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"health_check_type": "segment"}, "transparent"),
        ({"health_check_type": "vn-ips"}, "vn-ips"),
        ({"url_path": "web.example"}, "neither an address"),
        ({"monitor_type": "HTTP", "url_path": "https://local-ip/"}, "http://"),
        ({"monitor_type": "HTTP", "expected_codes": "2xx"}, "expected_codes"),
        ({"delay": 0}, "delay"),
        ({"url_path": "192.0.2.99", "monitor_type": "SCRIPT"}, "SCRIPT"),
        ({"url_path": "10.1.1.2"}, "from"),
    ],
)
def test_check_that_cannot_be_run_says_why_and_takes_nothing_away(properties, text):
    world = plugged_world(**properties)

    world.run(10)

    (_, run) = next(world.board.runs())
    assert text in run.detail
    assert world.is_up
    assert world.asked == []


def test_ports_whose_checks_begin_together_are_not_asked_together():
    world = World(ports=tuple(f"p{index}" for index in range(40)))
    world.check(*world.ports)
    world.plug()
    world.answers = False

    world.run(2)

    assert len(set(world.asked)) > 35
    assert max(world.asked) - min(world.asked) > 0.8


def test_more_questions_than_may_start_at_once_wait_for_their_turn():
    world = World(ports=tuple(f"p{index}" for index in range(60)))
    world.check(*world.ports, delay=0, delayUsecs=1000)
    world.board._random = lambda: 0.0
    world.answers = False
    world.plug()

    world.board.tick(0.0)
    first = world.board.late_count
    world.run(0.1)

    assert first == 59
    gaps = sorted(world.asked)
    assert all(late - early >= 0.9 / STARTS_PER_S_MAX for early, late in itertools.pairwise(gaps))


def test_workload_that_flaps_has_to_stay_well_before_it_is_led_to():
    world = plugged_world(max_retries=1, delay=1, timeout=0, timeoutUsecs=500_000)
    for _ in range(3):
        world.answers = False
        world.run(3)
        assert not world.is_up
        world.answers = True
        world.run(2)
    assert not world.is_up, "the third failure within two minutes is held"

    (_, run) = next(world.board.runs())
    assert "flaps" in run.detail
    world.run(HOLD_S)
    assert world.is_up


# HTTP.


class WebServer:
    """The workload's end of a TCP connection, segment by segment."""

    def __init__(self, world):
        self.world = world
        self.requests = []
        self.script = lambda _: [b"HTTP/1.1 200 OK\r\n\r\nbody"]
        self.refuses = False
        self.resets = 0

    def __call__(self, frames):
        for _, frame in frames:
            packet = decode_ip(decode_ethernet(frame).payload)
            for flags, sequence, ack, payload in self.answer(decode_tcp(packet.payload)):
                segment = TcpSegment(80, self.port, sequence, ack, flags, payload)
                message = segment.encode(packet.destination, packet.source)
                back = answer_frame(frame, message, 6)
                self(self.world.board.receive(A, back, self.world.now))

    def answer(self, segment):
        self.port = segment.source_port
        if segment.flags & TcpFlag.RST:
            self.resets += 1
        elif segment.flags & TcpFlag.SYN:
            after = (segment.sequence + 1) & 0xFFFFFFFF
            if self.refuses:
                yield TcpFlag.RST | TcpFlag.ACK, 0, after, b""
            else:
                yield TcpFlag.SYN | TcpFlag.ACK, 0xFFFFFFFF, after, b""
        elif segment.payload:
            self.requests.append(segment.payload)
            ack = (segment.sequence + len(segment.payload)) & 0xFFFFFFFF
            at = 0
            for part in self.script(segment.payload):
                flags = TcpFlag.ACK if part else TcpFlag.ACK | TcpFlag.FIN
                yield flags, at, ack, part
                at += len(part)


def http_world(**properties):
    world = plugged_world(monitor_type="HTTP", **properties)
    world.send = server = WebServer(world)
    return world, server


def last_failure(world):
    (_, run) = next(world.board.runs())
    return run.last_failure


def test_http_status_that_is_expected_is_well_and_the_connection_is_reset():
    world, server = http_world(url_path="http://local-ip/ready?full=1", http_method="HEAD")

    world.run(2)

    assert world.is_up
    lines = server.requests[0].decode().split("\r\n")
    assert lines[:2] == ["HEAD /ready?full=1 HTTP/1.1", "Host: 10.1.1.3:80"]
    assert server.resets == len(server.requests) >= 1


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b"HTTP/1.0 503 Busy\r\n"], "HTTP status 503"),
        ([b"HTT", b"P/1.1 40", b"4 Not"], "HTTP status 404"),
        ([b"SSH-2.0-OpenSSH_9"], "not HTTP/1"),
        ([b"HTTP/1.", b""], "ended before"),
    ],
)
def test_anything_else_is_a_failure_that_is_told(parts, reason):
    world, server = http_world(max_retries=1)
    server.script = lambda _: parts

    world.run(2)

    assert not world.is_up
    assert reason in last_failure(world)


def test_status_codes_may_be_ranges():
    world, server = http_world(expected_codes="200, 301-302")
    server.script = lambda _: [b"HTTP/1.1 302 Found\r\n"]

    world.run(2)
    assert world.is_up

    server.script = lambda _: [b"HTTP/1.1 204 No Content\r\n"]
    world.run(6)
    assert not world.is_up


def test_refused_connection_fails_at_once_and_silence_after_the_timeout():
    world, server = http_world(max_retries=1, timeout=1)
    server.refuses = True
    world.run(1)
    assert "refuses" in last_failure(world)

    world.send = lambda _: None
    world.run(5)
    assert "no connection" in last_failure(world)


def test_lost_request_is_said_again():
    world, server = http_world(timeout=3)
    lost = []

    def lossy(frames):
        for ifname, frame in frames:
            if len(lost) < 2:
                lost.append(frame)
            else:
                server([(ifname, frame)])

    world.send = lossy
    world.run(4)

    assert len(lost) == 2
    assert world.is_up
    assert server.requests


def test_reset_with_a_wrong_number_does_not_end_the_question():
    world, server = http_world(max_retries=1, timeout=2)
    server.script = lambda _: []
    frames = []

    def seen(sent):
        frames.extend(frame for _, frame in sent)
        server(sent)

    world.send = seen
    world.run(1)
    asked = decode_ip(decode_ethernet(frames[-1]).payload)
    segment = TcpSegment(80, server.port, 77777, 0, TcpFlag.RST)
    forged = answer_frame(frames[-1], segment.encode(asked.destination, asked.source), 6)

    world.board.receive(A, forged, world.now)

    assert decode_tcp(asked.payload).payload, "the question was asked"
    assert world.is_up


# BFD.


class BfdPeer:
    """The workload's end, as fast as it is told."""

    def __init__(self, world, *, hops=255):
        self.world, self.hops = world, hops
        self.state, self.seen = BfdState.DOWN, []
        self.silent = False

    def __call__(self, frames):
        for _, frame in frames:
            packet = decode_ip(decode_ethernet(frame).payload)
            control = decode_bfd(decode_udp(packet.payload).payload)
            self.seen.append((packet, control))
            if not self.silent:
                self.say(frame, control)

    def say(self, frame, control):
        following = {BfdState.DOWN: BfdState.INIT}.get(control.state, BfdState.UP)
        answer = BfdPacket(
            following, 9, control.my_discriminator, 3, 100_000, 100_000, final=control.poll
        )
        packet = decode_ip(decode_ethernet(frame).payload)
        datagram = UdpDatagram(50000, 3784, encode_bfd(answer))
        message = datagram.encode(packet.destination, packet.source)
        back = answer_frame(frame, message, PROTOCOL_UDP, hop_limit=self.hops)
        self(self.world.board.receive(A, back, self.world.now))


BFD = {
    "monitor_type": "BFD",
    "delay": 0,
    "delayUsecs": 300_000,
    "timeout": 0,
    "timeoutUsecs": 200_000,
    "max_retries": 3,
}


def bfd_world(**more):
    world = World(**BFD)
    world.send = peer = BfdPeer(world, **more)
    world.plug()
    return world, peer


def test_bfd_session_brings_up_and_its_silence_withdraws_within_the_detection_time():
    world, peer = bfd_world()
    assert not world.is_up
    world.run(3)
    assert world.is_up
    packet, control = peer.seen[-1]
    assert (packet.hop_limit, str(packet.destination)) == (255, "10.1.1.3")
    assert (control.desired_min_tx_us, control.required_min_rx_us) == (300_000, 200_000)
    assert control.multiplier == 3

    peer.silent = True
    world.run(3 * 0.2 + 0.31)

    assert not world.is_up
    assert "BFD session lost" in world.board.failing[A].reasons[0]


def test_bfd_packets_from_further_away_do_not_count():
    world, _ = bfd_world(hops=254)

    world.run(10)

    assert not world.is_up
    assert "no BFD session" in last_failure(world)


def test_bfd_session_that_ends_tells_the_workload():
    world, peer = bfd_world()
    world.run(3)

    world.check(enabled=False)
    world.follow()

    assert peer.seen[-1][1].state is BfdState.ADMIN_DOWN
    assert world.is_up


def test_bgp_services_checks_are_asked_from_the_gateway_and_wait_for_nobody():
    world = World()
    service = world.config.node("bgp-as-a-service", f"{PROJECT}:web")
    check = world.config.node(
        "service-health-check", CHECK, service_health_check_properties={**PING, **BFD}
    )
    world.config.link(service, world.ports["a"])
    world.config.link(service, check)
    peer = BfdPeer(world)
    world.send = peer

    world.plug()

    assert world.is_up, "BGP may have to come first"
    world.run(3)
    assert {str(packet.source) for packet, _ in peer.seen} == {"10.1.1.1"}
    first = BfdPacket(BfdState.DOWN, 9, 0, 3, 100_000, 100_000)
    message = UdpDatagram(50000, 3784, encode_bfd(first))
    asked = IpPacket(
        ip_address("10.1.1.3"),
        ip_address("10.1.1.2"),
        PROTOCOL_UDP,
        message.encode(ip_address("10.1.1.3"), ip_address("10.1.1.2")),
        hop_limit=255,
    )
    port = world.host.active("a").port
    frame = EthernetFrame(GATEWAY_MAC, port.mac, ETHERTYPE_IPV4, asked.encode())
    world.send(world.board.receive(A, frame.encode(), world.now))
    world.run(3)
    assert str(peer.seen[-1][0].source) in {"10.1.1.1", "10.1.1.2"}
    states = {run.check.is_answered_only: run.standing.is_up for _, run in world.board.runs()}
    assert states == {False: True, True: True}, "the second neighbour is answered when it asks"
    peer.silent = True
    world.run(2)
    assert not world.is_up


@pytest.mark.parametrize(
    "frame", [b"", b"\0" * 14, b"\0" * 14 + b"\x45" * 60, b"\0" * 14 + b"\x60" * 20]
)
def test_frames_that_cannot_be_read_are_counted(frame):
    world = plugged_world()

    assert world.board.receive(A, frame, 0.0) == []
    assert world.board.malformed_count == 1
    assert world.board.receive("nobody", frame, 0.0) == []


# Along a way, and addresses of a network.


def test_way_through_a_workload_is_asked_from_the_services_own_address():
    world = World()
    probe = world.config.node(
        "instance-ip",
        uuid_of("probe"),
        instance_ip_address="10.1.1.77",
        service_health_check_ip=True,
    )
    world.config.link(probe, world.ports["a"])
    world.check(health_check_type="end-to-end", url_path="10.2.0.3", max_retries=2)
    frames = []
    world.send = lambda sent: frames.extend(frame for _, frame in sent)
    world.plug()

    world.run(1)

    packet = decode_ip(decode_ethernet(frames[0]).payload)
    assert (str(packet.source), str(packet.destination)) == ("10.1.1.77", "10.2.0.3")
    rows = world.host.compute().rows
    received = {row.prefix: row.nexthop_id for row in rows[InetRouteRow].values()}
    assert received[ip_network("10.1.1.77")] == received[ip_network("10.1.1.1")], "comes back here"
    world.board.receive(A, echo(frames[0]), world.now)
    assert world.is_up


@pytest.mark.parametrize(
    ("properties", "text"),
    [({"url_path": "10.2.0.3"}, "from"), ({"url_path": "local-ip"}, "url_path")],
)
def test_way_that_has_no_ends_is_not_asked(properties, text):
    world = plugged_world(health_check_type="end-to-end", **properties)

    (_, run) = next(world.board.runs())

    assert text in run.detail
    assert world.is_up


def network_world(**properties):
    world = World(addresses=("10.1.1.3", "10.1.1.4", "fd00:1::3"))
    network = next(key for key in world.config.nodes if key.type_name == "virtual-network")
    shape = {**PING, **BFD, "health_check_type": "vn-ip-list", **properties}
    check = world.config.node("service-health-check", CHECK, service_health_check_properties=shape)
    world.config.link(network, check)
    world.send = BfdPeer(world)
    return world, check, network


def test_addresses_of_a_network_fail_one_by_one():
    world, _, _ = network_world(target_ip_list={"ip_address": ["10.1.1.4", "10.1.1.99"]})
    world.plug()
    assert [str(address) for address, _ in world.board.failing[A].addresses] == ["10.1.1.4"]
    assert world.board.failing[A].port == ()
    world.run(3)
    assert world.is_up

    world.send.silent = True
    world.run(2)

    (failing,) = [world.board.failing[A]]
    assert [str(address) for address, _ in failing.addresses] == ["10.1.1.4"]
    world.host.failing = dict(world.board.failing)
    prefixes = {str(key) for (_, key) in world.host.compute().published}
    assert "10.1.1.4/32" not in prefixes
    assert {"10.1.1.3/32", "fd00:1::3/128"} <= prefixes


def test_all_addresses_of_a_network_are_asked_until_it_has_no_check():
    world, check, network = network_world(target_ip_all=True)
    world.plug()
    world.run(3)
    assert len(list(world.board.runs())) == 3

    graph = world.host.sessions.graph
    graph.delete(ConfigDelete(links=(world.config.links.pop((network, check)),)))
    world.host.compute()
    world.board.follow(world.host.plugged, world.host.view.ports, world.now)

    assert list(world.board.runs()) == []
    assert build_view(graph).ports == world.host.view.ports


# What follows on the host.


def failing_host():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    config.port("b", red, ["10.1.1.4"])
    made = AgentHost()
    for index, name in enumerate("ab"):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def sent(made, name, source, destination):
    packet = TracePacket(ip_address(source), ip_address(destination), 6, 40000, 80)
    return made.datapath.send(made.vif(name), packet)


def test_failing_port_has_no_routes_but_may_send_and_be_asked():
    made = failing_host()
    whole = {str(key) for (_, key) in made.desired.published}
    assert sent(made, "b", "10.1.1.4", "10.1.1.3").outcome == DELIVERED

    made.failing = {A: Failing(("health check x: y",))}
    made.reconcile()

    assert sent(made, "b", "10.1.1.4", "10.1.1.3").drop_reason == "NO_ROUTE"
    assert sent(made, "a", "10.1.1.3", "10.1.1.4").outcome == DELIVERED
    left = {str(key) for (_, key) in made.desired.published}
    assert {key for key in whole - left if "10.1.1.3" in key or "fd00:1::3" in key} == whole - left
    assert len(whole - left) == 4, "address and MAC routes of both families"
    routes = {row.prefix for row in made.datapath.rows[InetRouteRow].values()}
    assert ip_network("10.1.1.3") not in routes
    assert made.active("a").port.mac not in {
        row.mac for row in made.datapath.rows[BridgeRow].values()
    }
    assert ip_network("10.1.1.3") in {row.prefix for row in made.datapath.rows[SourceRow].values()}

    made.failing = {}
    made.reconcile()
    assert {str(key) for (_, key) in made.desired.published} == whole
    assert sent(made, "b", "10.1.1.4", "10.1.1.3").outcome == DELIVERED


def test_failing_port_leads_to_whoever_else_has_the_address():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("a", red, ["10.1.1.9"])
    config.port("b", red, ["10.1.1.9"])
    config.port("c", red, ["10.1.1.5"])
    made = AgentHost()
    for index, name in enumerate("abc"):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()

    made.failing = {A: Failing(("x",))}
    made.reconcile()
    trace = sent(made, "c", "10.1.1.5", "10.1.1.9")
    assert (trace.outcome, trace.vif_id) == (DELIVERED, made.vif("b"))

    made.failing = {A: Failing(("x",)), uuid_of("b"): Failing(("x",))}
    made.reconcile()
    assert sent(made, "c", "10.1.1.5", "10.1.1.9").outcome == DROPPED
