from ipaddress import ip_network

import pytest

from skytrail.net import hashed_network

TEXTS = ("0.0.0.0/0", "10.1.0.0/16", "10.1.1.3/32", "::/0", "fd00:1::/64", "::ffff:1.2.3.4/128")


@pytest.mark.parametrize("text", TEXTS)
def test_plain_networks_are_equal_and_found_under_each_other(text):
    hashed, plain = hashed_network(text), ip_network(text)

    assert hashed == plain
    assert plain == hashed
    assert hash(hashed) == hash(plain)
    assert {hashed: 1}[plain] == {plain: 1}[hashed] == 1
    assert (str(hashed), hashed.version) == (str(plain), plain.version)


def test_other_prefixes_differ_and_are_ordered_as_plain_ones():
    made = [hashed_network(text) for text in TEXTS if ":" not in text]

    assert len(set(made)) == len(made)
    assert hashed_network("10.0.0.0/8") != hashed_network("10.0.0.0/9")
    assert hashed_network("0.0.0.0/0") != hashed_network("::/0")
    assert sorted(made) == sorted(ip_network(str(each)) for each in made)


def test_bytes_and_length_make_a_prefix():
    assert hashed_network((bytes((10, 1, 0, 0)), 16)) == ip_network("10.1.0.0/16")
    assert hashed_network((bytes(16), 0)) == ip_network("::/0")


def test_host_bits_are_cut_only_when_that_is_asked_for():
    assert hashed_network("10.1.1.3/24", strict=False) == ip_network("10.1.1.0/24")
    with pytest.raises(ValueError, match="host bits"):
        hashed_network("10.1.1.3/24")


@pytest.mark.parametrize("text", ["", "10.1.1/24", "10.1.1.3/33", "fd00::1/129", "x:y"])
def test_what_is_no_prefix_is_a_value_error(text):
    with pytest.raises(ValueError, match="does not appear to be"):
        hashed_network(text)
