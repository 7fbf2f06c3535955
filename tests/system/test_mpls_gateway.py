"""A router with a real MPLS kernel as gateway: FRR in a virtual machine, L3VPN over GRE.

The guest is an edge router of a physical L3VPN: VRF `red` with a site behind it, VPNv4 with the control
node, labels switched by Linux, one GRE tunnel to each host. Slow: the machine is emulated.
"""

import contextlib
import os
import secrets
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from skytrail.lab import check, router_image
from skytrail.lab.io import guest, netns
from skytrail.lab.io.capture import Capture
from skytrail.lab.io.processes import Specification
from skytrail.lab.io.running import BGP_ROUTERS
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import Lab
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.net import Mac
from skytrail.runtime.introspection import read_table
from skytrail.wire.errors import DecodeError

EXAMPLE = Path(__file__).parents[2] / "examples" / "l3vpn"
ADDRESS, ROUTER_SIDE = "198.18.253.2", "198.18.253.1"
SITE, SITE_GATEWAY, SITE_PREFIX = "192.168.70.10", "192.168.70.1", "192.168.70.0/24"
PE = [*BGP_ROUTERS, "mpls-pe"]
TOPOLOGY = f"""
name: mpls
hosts: [compute1, compute2]
provision: {EXAMPLE / "provision.py"}
workloads:
  - {{name: app1, host: compute1, port: "default-domain:corp:app1"}}
  - {{name: app2, host: compute2, port: "default-domain:corp:app2"}}
"""
BGPD = """
router bgp 64512
 bgp router-id {address}
 no bgp default ipv4-unicast
 neighbor {controller} remote-as 64512
 neighbor {controller} timers connect 1
 address-family ipv4 vpn
  neighbor {controller} activate
  neighbor {controller} route-map GRE in
 exit-address-family
router bgp 64512 vrf red
 bgp router-id {address}
 address-family ipv4 unicast
  redistribute connected
  label vpn export auto
  rd vpn export {address}:10
  rt vpn both {target}
  export vpn
  import vpn
 exit-address-family
route-map GRE permit 10
 set l3vpn next-hop encapsulation gre
"""

# An emulated machine boots slowly where others work as well.
pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]


class Router:
    """The virtual machine, its links, and what it is told over its console."""

    def __init__(self, lab):
        self.lab = lab
        self.site = lab.scratch_namespace("mpls-site")
        self.underlay = lab.plan.router_namespace
        self.place = guest.GuestPlace(
            name="mpls-pe",
            host_namespace=self.underlay,
            ifname="pe0",
            mac=Mac.parse("02:70:00:00:00:01"),
            memory_mib=256,
            mtu_bytes=lab.plan.mtu_bytes,
            console=lab.paths.console_socket("mpls-pe"),
        )

    def boot(self):
        image = router_image.find()
        netns.create(self.site)
        ends = [self.place, replace(self.place, ifname="pe1", mtu_bytes=1500)]
        for end in ends:
            guest.create_tap(end)
        netns.configure(self.underlay, [f"address add {ROUTER_SIDE}/24 dev pe0"])
        place = self.place
        console = (
            f"socket,id=console,path={place.console},server=on,wait=off,logfile={place.transcript}"
        )
        command = [
            "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "max", "-nodefaults",
            "-no-user-config", "-no-reboot", "-display", "none", "-smp", "1",
            "-m", str(place.memory_mib), "-kernel", str(image.kernel),
            "-initrd", str(image.initramfs),
            "-append", "console=ttyS0 quiet panic=-1 skytrail.hostname=pe skytrail.dhcp=no",
            *("-chardev", console, "-serial", "chardev:console"),
        ]  # fmt: skip
        for number, end in enumerate(ends):
            device = f"virtio-net-pci,netdev=net{number},mac=02:70:00:00:00:0{number + 1},romfile="
            tap = f"tap,id=net{number},ifname={end.ifname},script=no,downscript=no"
            command += ["-netdev", tap, "-device", device]
        line = netns.inside(self.underlay, command)
        self.lab.processes.start(Specification(name=place.process, command=tuple(line)))
        self._wait_booted()
        # The machine has it open: it may move to where the site is.
        netns.configure(self.underlay, [f"link set pe1 netns {self.site}"])
        netns.configure(
            self.site,
            [
                f"address add {SITE}/24 dev pe1",
                "link set pe1 up",
                f"route add default via {SITE_GATEWAY}",
            ],
        )

    def _wait_booted(self):
        deadline = time.monotonic() + 90
        while "@skytrail ready" not in guest.tail(self.place, 50):
            assert time.monotonic() < deadline, guest.tail(self.place, 50)
            time.sleep(0.2)

    def configure(self, target):
        hosts = [str(node.address) for node in self.lab.plan.hosts]
        ip = "/usr/sbin/ip"
        commands = [
            "echo 1 >/proc/sys/net/ipv4/ip_forward",
            "echo 1000 >/proc/sys/net/mpls/platform_labels",
            f"{ip} address add {ADDRESS}/24 dev eth0",
            f"{ip} route add default via {ROUTER_SIDE}",
            f"{ip} link add red type vrf table 10",
            f"{ip} link set red up",
            f"{ip} link set eth1 master red up",
            f"{ip} address add {SITE_GATEWAY}/24 dev eth1",
        ]
        for number, host in enumerate(hosts):
            commands += [
                # Bound to the card: its own outer packets must not look at the route below.
                f"{ip} link add gre-{number} type gre local {ADDRESS} remote {host} dev eth0",
                f"{ip} link set gre-{number} up",
                f"echo 1 >/proc/sys/net/mpls/conf/gre-{number}/input",
                f"{ip} route add {host}/32 dev gre-{number}",
            ]
        controller = self.lab.plan.controllers[0].address
        bgpd = BGPD.format(address=ADDRESS, controller=controller, target=target)
        lines = "\\n".join(bgpd.splitlines())
        commands += [
            f"printf '{lines}\\n' >/etc/frr/bgpd.conf",
            ": >/etc/frr/zebra.conf",
            # FRR insists on knowing whom it runs as.
            "echo root:x:0:0:::/bin/sh >/etc/passwd",
            "printf 'root:x:0:\\nfrrvty:x:1:root\\n' >/etc/group",
        ]
        for command in commands:
            self.run(command)
        for daemon in ("zebra", "bgpd"):
            options = f"-u root -g root -P 0 --log file:/run/{daemon}.log -f /etc/frr/{daemon}.conf"
            files = f"--vty_socket /run/frr -z /run/frr/zserv.api -i /run/frr/{daemon}.pid"
            self.run(f"/usr/lib/frr/{daemon} -d {options} {files}")
            self.run(
                f"for i in $(seq 50); do [ -e /run/frr/{daemon}.vty ] && break; sleep 0.1; done"
            )

    def run(self, command):
        done = guest.run(self.place, command, timeout_s=60)
        assert done.status == 0, f"{command}: {done.output}"
        return done.output


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    router_image.find()
    file = tmp_path_factory.mktemp("mpls") / "topology.yaml"
    file.write_text(TOPOLOGY)
    created = Lab.create(file, name=f"stm{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


def target_of(lab):
    """The route target of the apps network, once the compiler made it."""
    name = ["default-domain", "corp", "apps", "apps"]
    with lab.api() as api:
        instance = api.read("routing-instance", api.name_to_id("routing-instance", name))
    return instance["route_target_refs"][0]["to"][0].removeprefix("target:")


@pytest.fixture(scope="module")
def router(lab):
    with lab.api() as api:
        api.create(
            "bgp-router",
            {
                "fq_name": PE,
                "parent_type": "routing-instance",
                "bgp_router_parameters": {
                    "vendor": "frr",
                    "router_type": "router",
                    "autonomous_system": 64512,
                    "address": ADDRESS,
                    "identifier": ADDRESS,
                },
            },
        )
    made = Router(lab)
    made.boot()
    made.configure(target_of(lab))
    deadline = time.monotonic() + 40
    while "encap mpls" not in made.run("/usr/sbin/ip route show table 10") or not site_hops(lab):
        if time.monotonic() > deadline:
            pytest.fail(made.run("/usr/sbin/ip route show table 10; tail -n 30 /run/*.log"))
        time.sleep(0.5)
    return made


def site_hops(lab):
    """How the control node leads to what is behind the router."""
    where = {"instance": "default-domain:corp:apps:apps", "prefix": SITE_PREFIX}
    rows = read_table(lab.paths.introspect_socket("control1"), "routes", where=where)
    return [hop for row in rows for hop in row["next_hops"]]


def tunnelled(frame, source, destination):
    with contextlib.suppress(DecodeError):
        packet = decode_tunnel(frame)
        inner = packet.inner_ip if packet else None
        if inner and (str(inner.source), str(inner.destination)) == (source, destination):
            return packet
    return None


def test_the_routers_kernel_leads_each_workload_into_a_tunnel_with_its_label(lab, router):
    routes = router.run("/usr/sbin/ip route show table 10")

    for name in ("app1", "app2"):
        address = str(check.members(lab)[name].address(version=4))
        line = next(line for line in routes.splitlines() if line.startswith(f"{address} "))
        assert "encap mpls" in line
        assert "dev gre-" in line


def test_the_routers_prefix_is_a_vpn_route_with_a_label_of_its_kernel(lab, router):
    (hop,) = site_hops(lab)

    assert hop["address"] == ADDRESS
    assert hop["encapsulations"] == ["gre"]
    labels = router.run("/usr/sbin/ip -f mpls route")
    assert any(line.startswith(f"{hop['label']} ") for line in labels.splitlines()), labels


@pytest.mark.parametrize("workload", ["app1", "app2"])
def test_the_site_and_workloads_reach_each_other_in_mpls_over_gre(lab, router, workload):
    address = str(check.members(lab)[workload].address(version=4))
    traffic = PingTraffic(lab.plan.namespace_of(workload), ip_address(SITE))
    label = site_hops(lab)[0]["label"]

    with traffic, Capture(lab.plan.router_namespace, "pe0") as capture:
        there = capture.wait_for(lambda frame: tunnelled(frame, address, SITE), 20)
        back = capture.wait_for(lambda frame: tunnelled(frame, SITE, address), 20)
        assert traffic.wait_replies(5, timeout_s=30)

    assert there
    assert back
    asked, answered = (decode_tunnel(each.frame) for each in (there, back))
    assert (asked.encapsulation, answered.encapsulation) == ("MPLSoGRE", "MPLSoGRE")
    assert asked.label == label
    assert str(answered.outer_source) == ADDRESS


def test_the_site_may_ask_first(lab, router):
    address = check.members(lab)["app2"].address(version=4)
    with PingTraffic(router.site, address) as traffic:
        assert traffic.wait_replies(5, timeout_s=30)
