"""Two links into an IPv6 underlay: real packets, the kernel's routes, and a link that goes down."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from rig import Host, Rig, Workload, inside, run, underlay_address
from test_namespaces import loss_percent

from skytrail.agent.io.uplinks import Uplinks, link_of_flow
from skytrail.agent.tables import Encapsulation, InterfaceKind, InterfaceRow, NextHopRow, Row
from skytrail.agent.uplink import entropy_of
from skytrail.net import IpAddress

LINKS = ("under", "under2")
ROUTES = ("net.ipv6.fib_multipath_hash_policy", "net.ipv6.conf.all.ignore_routes_with_linkdown")
FLOWS = range(41000, 41032)
every_tunnel = pytest.mark.parametrize(
    "encapsulation", [each for each in Encapsulation if each is not Encapsulation.NATIVE]
)


def own(host: int) -> IPv6Address:
    """The tunnel address, which is on no link."""
    return IPv6Address(f"fd00:ff::{host}")


def second_link(host: int, end: int) -> IPv6Address:
    return IPv6Address(f"fd00:201:{host}::{end:x}")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def answered(host: Host, gateway: IpAddress) -> None:
    """Wait until a router answers."""
    command = f"nsenter --net=/run/netns/{host.namespace} ping -c1 -W1 {gateway}"
    assert any(" 0% packet loss" in run(command, check=False) for _ in range(30))


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workload 1 on host 1, 2 on host 2; each host has a link to either of two routers."""
    made = Rig(version=6)
    try:
        second = made.namespace("r2")
        run(f"nsenter --net=/run/netns/{second} sysctl -qw net.ipv6.conf.all.forwarding=1")
        for host in made.hosts:
            number, link = host.number, f"h{host.number}"
            made.add_workload(host)
            run(
                f"ip -n {host.namespace} link add under2 mtu {made.underlay_mtu} type veth "
                f"peer name {link} netns {second} mtu {made.underlay_mtu}"
            )
            run(f"ip -n {second} addr add {second_link(number, 0xFE)}/64 dev {link} nodad")
            run(f"ip -n {second} link set {link} up")
            run(f"ip -n {host.namespace} addr add {second_link(number, 1)}/64 dev under2 nodad")
            run(f"ip -n {host.namespace} link set under2 up")
            run(f"ip -n {host.namespace} addr add {own(number)}/128 dev lo")
            run(f"ip -n {made.router} route add {own(number)} via {underlay_address(6, number)}")
            run(f"ip -n {second} route add {own(number)} via {second_link(number, 1)}")
            for setting in ROUTES:
                run(f"nsenter --net=/run/netns/{host.namespace} sysctl -qw {setting}=1")
            run(
                f"ip -n {host.namespace} route add fd00:ff::/64 "
                f"nexthop via {underlay_address(6, number, 0xFE)} dev under "
                f"nexthop via {second_link(number, 0xFE)} dev under2"
            )
            with inside(host.namespace):
                uplinks = Uplinks(LINKS)
                uplinks.prepare(own(number))
            for gateway in (underlay_address(6, number, 0xFE), second_link(number, 0xFE)):
                answered(host, gateway)
        for router in (made.router, second):
            setting = "net.ipv6.conf.all.keep_addr_on_down=1"
            run(f"nsenter --net=/run/netns/{router} sysctl -qw {setting}")
        yield made
    finally:
        made.close()


def use(rig: Rig, encapsulation: Encapsulation) -> None:
    rig.encapsulation = dict.fromkeys((1, 2), encapsulation)
    rig.program()
    for host in rig.hosts:
        further = rig.ifindex(host.namespace, "under2")
        rows: list[Row] = []
        for row in rig.rows(host):
            if isinstance(row, InterfaceRow) and row.kind is InterfaceKind.UNDERLAY:
                at = own(host.number)
                rows.append(replace(row, tunnel_address6=at, further_links=(further,)))
            if isinstance(row, NextHopRow) and row.remote is not None:
                far = own(3 - host.number)
                rows.append(replace(row, local=own(host.number), remote=far, is_routed=True))
        host.datapath.apply(rows, [])
        with inside(host.namespace):
            host.datapath.attach(further)


def sent(host: Host) -> dict[str, int]:
    """Packets that each link has sent."""
    text = run(f"nsenter --net=/run/netns/{host.namespace} cat /proc/net/dev")
    found = {line.split(":")[0].strip(): line.split() for line in text.splitlines() if ":" in line}
    return {name: int(found[name][10]) for name in LINKS}


def say(workload: Workload, to: Workload, port: int, count: int) -> None:
    with inside(workload.namespace):
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with mouth:
        mouth.bind(("", port))
        for _ in range(count):
            mouth.sendto(b"which way", (str(to.address4), 9))


@every_tunnel
def test_packets_of_both_families_cross(rig: Rig, encapsulation: Encapsulation) -> None:
    use(rig, encapsulation)
    first, second = rig.workloads

    for address in (second.address4, second.address6):
        assert loss_percent(first, address) == 0


def test_flows_take_both_links_and_each_that_the_kernel_names(rig: Rig) -> None:
    use(rig, Encapsulation.MPLS_UDP)
    first, second = rig.workloads
    host, far, count = rig.hosts[0], (second.address4, 9), 50
    taken = set()
    for port in FLOWS:
        with inside(host.namespace):
            ifindex = link_of_flow(own(1), own(2), entropy_of((first.address4, port), far))
            told = socket.if_indextoname(ifindex)
        before = sent(host)
        say(first, second, port, count)
        grown = {name: now - before[name] for name, now in sent(host).items()}
        assert grown[told] >= count, (port, told, grown)
        taken.add(told)

    assert taken == set(LINKS)


@pytest.mark.parametrize("policy", [0, 1])
def test_flows_take_both_links_by_the_flow_label_as_well(rig: Rig, policy: int) -> None:
    use(rig, Encapsulation.MPLS_GRE)
    host, (first, second) = rig.hosts[0], rig.workloads
    setting = Path(f"/proc/sys/{ROUTES[0].replace('.', '/')}")
    with inside(host.namespace):
        setting.write_text(str(policy))
    try:
        before = sent(host)
        for port in FLOWS:
            say(first, second, port, 20)
        grown = [now - before[name] for name, now in sent(host).items()]
    finally:
        with inside(host.namespace):
            setting.write_text("1")

    assert min(grown) >= 100


@pytest.mark.parametrize("link", LINKS)
def test_a_link_without_carrier_is_left_at_once(rig: Rig, link: str) -> None:
    use(rig, Encapsulation.VXLAN)
    first, second = rig.workloads
    routers = [name for name in rig.namespaces if name.endswith(("r", "r2"))]
    router = routers[LINKS.index(link)]
    assert loss_percent(first, second.address4) == 0
    # Both hosts' links to it: routers of this test know no way by each other.
    for end in ("h1", "h2"):
        run(f"ip -n {router} link set {end} down")
    for host in rig.hosts:
        wait_for(
            lambda host=host: "linkdown" in run(f"ip -n {host.namespace} -6 route show dev {link}")
        )
    try:
        for identifier in range(1, 5):
            assert loss_percent(first, second.address4, f"-e {identifier}") == 0
    finally:
        for end in ("h1", "h2"):
            run(f"ip -n {router} link set {end} up")
        for host in rig.hosts:
            at = underlay_address(6, host.number, 0xFE)
            answered(host, at if link == LINKS[0] else second_link(host.number, 0xFE))
            far = (
                underlay_address(6, host.number)
                if link == LINKS[0]
                else second_link(host.number, 1)
            )
            run(f"ip -n {router} route replace {own(host.number)} via {far}")
