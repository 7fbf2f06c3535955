"""Prefixes that keep their hash are the standard library's in all else."""

from __future__ import annotations

import pickle
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from skytrail.net import hashed_network

BYTES = st.tuples(st.binary(min_size=4, max_size=4), st.integers(-1, 33)) | st.tuples(
    st.binary(min_size=16, max_size=16), st.integers(-1, 129)
)
OCTETS = st.sampled_from(["0", "1", "9", "10", "127", "255", "256", "00", "01", "", " 1", "١", "x"])
LENGTHS = st.sampled_from(
    ["", "/0", "/8", "/31", "/32", "/33", "/08", "/", "/255.0.0.0", "/x", "/8/8"]
)
TEXTS = st.tuples(st.lists(OCTETS, max_size=5).map(".".join), LENGTHS).map("".join)
ADDRESSES6 = st.ip_addresses(v=6).map(str) | st.sampled_from(
    ["::", "fd00::1", "::ffff:1.2.3.4", "1::2::3", "g::"]
)
TEXTS6 = st.tuples(ADDRESSES6, st.integers(-1, 130).map(str)).map("/".join)


def outcome(make: object, address: object, *, strict: bool) -> object:
    assert callable(make)
    try:
        return make(address, strict=strict)
    except ValueError as error:
        return type(error), str(error)


@given(BYTES | TEXTS | TEXTS6, st.booleans())
def test_they_are_made_of_the_same_and_mean_the_same(
    address: str | tuple[bytes, int], strict: bool
) -> None:
    plain = outcome(ip_network, address, strict=strict)
    hashed = outcome(hashed_network, address, strict=strict)

    assert hashed == plain
    if isinstance(plain, IPv4Network | IPv6Network):
        assert isinstance(hashed, IPv4Network | IPv6Network)
        assert hash(hashed) == hash(plain)
        assert facts(hashed) == facts(plain)
        assert facts(pickle.loads(pickle.dumps(hashed))) == facts(plain)


def facts(network: IPv4Network | IPv6Network) -> object:
    return (
        str(network),
        network.with_netmask,
        network.network_address,
        network.broadcast_address,
        network.netmask,
        network.hostmask,
        network.num_addresses,
        list(islice(network.hosts(), 3)),
        next(network.subnets()),
        network.supernet(),
        network.is_multicast,
    )
