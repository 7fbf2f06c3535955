"""Devices: who is admitted, what is shed, what is kept of strangers."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from skytrail.analytics.configured import router_addresses
from skytrail.analytics.exporters import (
    EXPORTERS_COUNT_MAX,
    PER_S,
    PIECE_BYTES,
    REFUSED_COUNT_MAX,
    Exporters,
    canonical,
)

ROUTER = {
    "fq_name": ["default-global-system-config", "leaf1"],
    "physical_router_management_ip": "192.0.2.7",
    "physical_router_loopback_ip": "2001:DB8::7",
}


def admitted(exporters, address, count=1, now=0.0, size=100):
    return sum(exporters.admit("sflow", address, size, now) is not None for _ in range(count))


def test_only_this_machine_named_addresses_and_configured_routers_are_heard():
    exporters = Exporters([ip_network("198.51.100.0/24")])
    exporters.configure(router_addresses(ROUTER))

    heard = [
        address
        for address in ("127.0.0.1", "::1", "198.51.100.9", "192.0.2.7", "2001:db8::7", "192.0.2.8")
        if admitted(exporters, address)
    ]

    assert heard == ["127.0.0.1", "::1", "198.51.100.9", "192.0.2.7", "2001:db8::7"]
    assert exporters.dropped == {"exporter_unknown": 1}
    assert exporters.refused == {"192.0.2.8": 1}


def test_router_that_is_deleted_is_a_stranger_at_once():
    exporters = Exporters()
    exporters.configure(router_addresses(ROUTER))
    assert admitted(exporters, "192.0.2.7")

    exporters.configure({})

    assert not admitted(exporters, "192.0.2.7")


def test_router_is_called_by_its_name_once_it_is_configured():
    exporters = Exporters()
    exporter = exporters.known("syslog", "127.0.0.1", 0.0)
    assert exporter.shown == "127.0.0.1"

    exporters.configure({"127.0.0.1": "leaf1"})

    assert exporter.shown == "leaf1"


def test_flood_of_one_device_is_shed_and_leaves_others_room():
    exporters = Exporters()

    assert admitted(exporters, "127.0.0.1", 10 * PER_S) == 2 * PER_S
    assert admitted(exporters, "127.0.0.2", 10) == 10
    assert exporters.dropped == {"exporter_shed": 8 * PER_S}
    assert admitted(exporters, "127.0.0.1", 10 * PER_S, now=0.5) == PER_S / 2


def test_quiet_device_is_heard_while_others_flood_by_several_protocols():
    exporters = Exporters()
    heard = 0
    for tenth in range(100):
        now = tenth / 10
        for protocol in ("sflow", "syslog", "ipfix"):
            for _ in range(500):
                exporters.admit(protocol, "127.0.0.9", PIECE_BYTES, now)
        heard += admitted(exporters, "127.0.0.7", now=now)

    assert heard == 100


def test_work_that_is_charged_afterwards_is_paid_by_the_device_itself():
    exporters = Exporters()
    device = exporters.known("ipfix", "127.0.0.9", 0.0)
    device.bucket.charge(1_000_000)

    assert admitted(exporters, "127.0.0.7")
    assert exporters.admit("ipfix", "127.0.0.9", 100, 0.9) is None
    assert exporters.admit("ipfix", "127.0.0.9", 100, 1.1) is not None


def test_long_datagrams_count_by_their_length():
    exporters = Exporters()

    assert admitted(exporters, "127.0.0.1", 1000, size=10 * PIECE_BYTES) == 2 * PER_S / 10
    assert admitted(exporters, "127.0.0.2", 10 * PER_S, size=0) == 2 * PER_S


def test_strangers_and_devices_are_told_apart_up_to_a_bound():
    exporters = Exporters()
    for number in range(EXPORTERS_COUNT_MAX + 5):
        exporters.known("syslog", f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
        exporters.refuse(f"192.0.{number >> 8}.{number & 255}")

    assert len(list(exporters)) == EXPORTERS_COUNT_MAX
    assert exporters.dropped["too_many_exporters"] == 5
    assert len(exporters.refused) == REFUSED_COUNT_MAX


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_addresses_of_sockets_are_registered_in_one_form(host, address):
    assert canonical(host) == address
