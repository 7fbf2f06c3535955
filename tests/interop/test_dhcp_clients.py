"""Real DHCP clients take what the agent answers: udhcpc, dhclient (both families), systemd-networkd.

A client sits in a namespace at one end of a link; the agent's responders answer at the other end.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from skytrail.lab.io import netns
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.testing.responder_wire import responder_wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")

OPTIONS = {
    "ntp-servers": "10.1.1.201",
    "domain-search": "red.example blue.example",
    "dhcp-lease-time": "7200",
    "tftp-server-name": "10.1.1.202",
    "bootfile-name": "pxelinux.0",
    "v6-domain-search": "red.example",
    "v6-ntp-server": "fd00:1::7b",
    "v6-sntp-servers": "fd00:1::7c",
}
DUMP = """#!/bin/sh
env | grep -E '^(reason|ip|mask|router|dns|ntpsrv|search|domain|lease|staticroutes|boot_file|tftp|siaddr|mtu|new_.*)=' >>"$OUT"
[ -z "$new_ip6_address" ] || ip -6 address replace "$new_ip6_address/128" dev "$interface"
[ -z "$new_ip_address" ] || ip address replace "$new_ip_address/24" dev "$interface"
[ "$1" != bound ] || ip address replace "$ip/$mask" dev "$interface"
exit 0
"""


def make_port():
    config = ConfigBuilder()
    listed = [
        {"dhcp_option_name": name, "dhcp_option_value": text} for name, text in OPTIONS.items()
    ]
    manager = {"dhcp_option_list": {"dhcp_option": listed}}
    config.node("network-ipam", f"{PROJECT}:ipam", network_ipam_mgmt=manager)
    routes = {"route": [{"prefix": "10.8.0.0/16", "next_hop": "10.1.1.77"}]}
    red = config.network(
        "red", 5, [subnet("10.1.1.0/24", host_routes=routes), subnet("fd00:1::/64")]
    )
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host.active("a")


@pytest.fixture
def wire():
    with responder_wire(make_port()) as made:
        yield made


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script"
    path.write_text(DUMP)
    path.chmod(0o755)
    return path


def said(path):
    return dict(line.partition("=")[::2] for line in path.read_text().splitlines())


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program}")


@needs("udhcpc")
def test_udhcpc_takes_lease_routes_search_time_and_boot_file(wire, script, tmp_path):
    out = tmp_path / "out"
    wanted = [word for each in ("staticroutes", "search", "ntpsrv", "mtu") for word in ("-O", each)]

    printed = wire.run(
        *("udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", str(script), *wanted), OUT=str(out)
    )

    told = said(out)
    assert (told["ip"], told["mask"], told["lease"]) == ("10.1.1.3", "24", "7200"), printed
    assert told["staticroutes"] == "10.8.0.0/16 10.1.1.77 0.0.0.0/0 10.1.1.1"
    assert told["search"] == "red.example blue.example"
    assert told["ntpsrv"] == "10.1.1.201"
    assert (told["siaddr"], told["boot_file"]) == ("10.1.1.202", "pxelinux.0")
    assert int(told["mtu"]) == wire.port.mtu_bytes


@needs("dhclient")
def test_dhclient_takes_the_lease_and_gives_it_back(wire, script, tmp_path):
    out, leases = tmp_path / "out", tmp_path / "leases"
    common = ("-4", "-sf", str(script), "-lf", str(leases), "-pf", str(tmp_path / "pid"))
    cf = tmp_path / "conf"
    cf.write_text("request subnet-mask, routers, domain-search, ntp-servers;\n")

    wire.run("dhclient", "-1", *common, "-cf", str(cf), "-e", f"OUT={out}", "eth0")
    told = said(out)
    wire.run("dhclient", "-r", *common, "-cf", str(cf), "-e", f"OUT={out}", "eth0")

    assert told["new_ip_address"] == "10.1.1.3"
    assert told["new_routers"] == "10.1.1.1"
    assert told["new_ntp_servers"] == "10.1.1.201"
    assert told["new_domain_search"] == "red.example. blue.example."
    wire.serve(lambda: wire.dispatcher.counts["dhcp RELEASE"] == 1)


@needs("dhclient")
@pytest.mark.parametrize(
    ("mode", "address", "kind"),
    [("-N", "fd00:1::3", "REQUEST"), ("-S", None, "INFORMATION_REQUEST")],
)
def test_dhclient_of_ipv6_takes_address_and_settings(wire, script, tmp_path, mode, address, kind):
    out = tmp_path / "out"
    cf = tmp_path / "conf"
    cf.write_text("also request dhcp6.sntp-servers;\n")
    files = ("-sf", str(script), "-lf", str(tmp_path / "leases"), "-pf", str(tmp_path / "pid"))

    wire.run("dhclient", "-6", mode, "-1", *files, "-cf", str(cf), "-e", f"OUT={out}", "eth0")

    told = said(out)
    assert told.get("new_ip6_address") == address
    assert told["new_dhcp6_name_servers"] == "fd00:1::2"
    assert told["new_dhcp6_domain_search"] == "red.example."
    assert told["new_dhcp6_sntp_servers"] == "fd00:1::7c"
    assert wire.dispatcher.counts[f"dhcp6 {kind}"] >= 1
    wire.run("dhclient", "-6", "-x", *files, "-cf", str(cf), "-e", f"OUT={out}", "eth0")


NETWORKD = Path("/lib/systemd/systemd-networkd")
NETWORKD_START = (
    # Without udev, which it waits for unless /sys is read-only.
    "mount --bind /sys /sys && mount -o remount,bind,ro /sys && "
    "mount -t tmpfs none /run/systemd && mkdir -p /run/systemd/network /run/systemd/netif/leases "
    '/run/systemd/netif/links && printf "%s" "$1" >/run/systemd/network/eth0.network && '
    "chown -R systemd-network /run/systemd && (exec /lib/systemd/systemd-networkd) & "
    'while kill -0 $! && ! [ -e "$3" ]; do cat /run/systemd/netif/leases/* >"$2.new" 2>/dev/null; '
    'ip -6 address show dev eth0 >>"$2.new"; mv "$2.new" "$2"; sleep 0.1; done; kill $!; wait'
)
NETWORKD_SETTINGS = """[Match]
Name=eth0
[Network]
DHCP=yes
[DHCPv4]
UseMTU=yes
ClientIdentifier=mac
"""


@pytest.mark.skipif(not NETWORKD.exists(), reason="no systemd-networkd")
def test_networkd_takes_leases_of_both_families(wire, tmp_path):
    out, stop = tmp_path / "out", tmp_path / "stop"
    line = netns.inside(
        wire.near,
        [
            *("unshare", "--mount", "--propagation", "private", "--"),
            *("/bin/sh", "-c", NETWORKD_START, "sh", NETWORKD_SETTINGS, str(out), str(stop)),
        ],
    )

    def text():
        return out.read_text() if out.exists() else ""

    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wire.serve(lambda: "ADDRESS=10.1.1.3" in text() and "fd00:1::3/128" in text())
            told = text()
        finally:
            stop.touch()
            process.wait(timeout=5)

    assert "NTP=10.1.1.201" in told
    assert "10.8.0.0/16,10.1.1.77" in told
    assert "LIFETIME=7200" in told
