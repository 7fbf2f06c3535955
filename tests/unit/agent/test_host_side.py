"""The host's side where the kernel has no IPv6: services at IPv4 addresses do not suffer from it."""

import asyncio
from dataclasses import replace
from ipaddress import ip_address

import pytest

from skytrail.agent.fabric_config import NOTHING_SET, LinkService
from skytrail.agent.io import host_network
from skytrail.agent.io.host_network import HostNetwork
from skytrail.agent.io.host_side import speaks_ipv6
from skytrail.agent.io.netlink import Link
from skytrail.net import GATEWAY_MAC

SERVICES = tuple(
    LinkService(at, ip_address(at), 80, (ip_address("127.0.0.1"),), "", 9000)
    for at in ("169.254.1.1", "fe80::1:1")
)


def test_a_kernel_without_ipv6_is_known_by_its_settings(tmp_path):
    assert not speaks_ipv6(tmp_path)
    (tmp_path / "ipv6").mkdir()
    assert speaks_ipv6(tmp_path)


@pytest.mark.parametrize("speaks", [True, False])
def test_the_host_s_side_is_made_with_the_ip_versions_that_the_kernel_has(monkeypatch, speaks):
    made = []

    def ensure(**asked):
        made.append(asked)
        return Link("skytrail-vrf", 7, GATEWAY_MAC, 1500)

    monkeypatch.setattr(host_network, "ensure_host_side", ensure)
    monkeypatch.setattr(host_network, "speaks_ipv6", lambda: speaks)
    monkeypatch.setattr(host_network, "reserve_ports", lambda _: None)

    async def look():
        changed = asyncio.Event()
        network = HostNetwork(lambda _: None, None, changed.set)
        network.follow(replace(NOTHING_SET, services=SERVICES), ip_address("192.0.2.1"))
        task = asyncio.create_task(network.run())
        await changed.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return network.side

    side = asyncio.run(look())

    assert made == [{"is_apart": False, "has_ipv6": speaks}]
    assert side is not None
    assert (side.ifindex, side.has_ipv6) == (7, speaks)


@pytest.mark.parametrize("name", ["192.0.2.9", "2001:db8::9"])
def test_a_name_means_addresses_of_either_ip_version_and_keeps_them_while_nobody_answers(name):
    network = HostNetwork(lambda _: None, None, lambda: None)

    async def resolve():
        found = await network._resolve(name)
        network.names = {"a..b": found}  # No resolver can be asked that.
        return found, await network._resolve("a..b")

    assert asyncio.run(resolve()) == ((ip_address(name),), (ip_address(name),))
