"""DHCP by real clients, router advertisements, names: what a workload learns by itself."""

import ipaddress

import pytest

from skytrail.lab.io import guest, netns, workload

DOMAIN = "red.example"


@pytest.fixture
def run_in(lab):
    """Run a command in a workload and return its output."""

    def run(name, *command):
        return netns.run(lab.command_in(name, command))

    return run


def test_dhcp_client_gets_the_address_the_api_allocated(lab, members):
    known = lab.read_ports()
    for endpoint in lab.topology.endpoints:
        assert set(members[endpoint.name].addresses) == set(known[endpoint.port].addresses)


def test_dhcp_hands_out_gateway_dns_domain_and_a_mtu_that_fits_the_tunnel(lab):
    lease = workload.wait_lease(lab.paths.endpoint("red-web1"), timeout_s=1)

    assert lease.router == "10.1.1.1"
    assert lease.dns == "10.1.1.2"
    assert lease.domain == DOMAIN
    assert int(lease.mtu) <= lab.plan.mtu_bytes - 50
    assert int(lease.lease_s) > 0


def test_dhcpv6_client_gets_the_address_the_api_allocated(lab):
    lease = workload.wait_lease6(lab.paths.endpoint("red-web1"), timeout_s=1)

    assert ipaddress.ip_interface(lease.address).ip in ipaddress.ip_network("fd10:1:1::/64")


def test_router_advertisement_gives_the_ipv6_default_route(run_in):
    routes = run_in("red-web1", "ip", "-6", "route", "show", "default")

    assert "via fe80::200:5eff:fe00:100 dev eth0 proto ra" in routes


def test_workload_learns_its_host_name_file_without_touching_the_machines(run_in):
    assert "nameserver 10.1.1.2" in run_in("red-web1", "cat", "/etc/resolv.conf")
    assert run_in("red-web1", "hostname").strip() == "red-web1"


@pytest.mark.parametrize(("database", "version"), [("ahostsv4", 4), ("ahostsv6", 6)])
def test_names_of_machines_resolve_to_both_families(run_in, members, database, version):
    answer = run_in("red-web1", "getent", database, f"web2.{DOMAIN}")

    assert answer.split()[0] == str(members["red-web2"].address(version=version))


def test_short_names_are_completed_by_the_domain_that_dhcp_gave(run_in, members):
    answer = run_in("red-web1", "getent", "ahostsv4", "web2")

    assert answer.split()[0] == str(members["red-web2"].address(version=4))


def test_addresses_resolve_back_to_names(run_in, members):
    address = str(members["red-web2"].address(version=4))

    assert f"web2.{DOMAIN}" in run_in("red-web1", "getent", "hosts", address)


def test_unknown_name_is_answered_and_not_left_to_time_out(run_in):
    with pytest.raises(netns.NetworkError):
        run_in("red-web1", "timeout", "3", "getent", "ahostsv4", f"nobody.{DOMAIN}")


def test_another_tenant_cannot_resolve_the_names(lab, members):
    resolver = "import socket,sys; print(socket.getaddrinfo(sys.argv[1], None))"
    command = ["timeout", "20", "python3", "-c", resolver, f"web2.{DOMAIN}"]
    with pytest.raises(netns.NetworkError, match="gaierror"):
        netns.run(lab.command_in("blue-web1", command))


@pytest.mark.parametrize("gateway", ["10.1.1.1", "10.1.1.2"])
def test_vrouter_answers_ping_of_its_own_addresses(run_in, gateway):
    assert " 0% packet loss" in run_in("red-web1", "ping", "-c", "2", "-i", "0.1", gateway)


def test_virtual_machine_boots_gets_its_address_resolves_and_pings(lab):
    place = lab.guest_place("red-vm")

    lease = guest.wait_lease(place, timeout_s=30)

    assert lease.address.startswith("10.1.1.")
    assert guest.run(place, f"nslookup web1.{DOMAIN}").status == 0
    assert guest.run(place, f"ping -c 2 -W 2 web1.{DOMAIN}").status == 0
    assert guest.run(place, "hostname").output.strip() == "red-vm"
