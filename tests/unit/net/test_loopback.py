"""Who listens on these is heard by nobody else's machine."""

from __future__ import annotations

import pytest

from skytrail.net.loopback import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.8.7", "::1"])
def test_names_and_addresses_of_this_machine_alone(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "localhost.example.net", "127.0.0.1.example"],
)
def test_what_others_can_reach_or_name(host):
    assert not is_loopback(host)
