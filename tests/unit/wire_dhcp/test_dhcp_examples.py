"""DHCP against bytes written down independently of the codec."""

from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.net import Mac
from skytrail.wire.dhcp import (
    DhcpMessage,
    DhcpMessageType,
    DhcpOption,
    decode_dhcp,
    decode_dhcp6,
    duid_of_mac,
    encode_classless_routes,
    encode_domain_list,
)
from skytrail.wire.errors import DecodeError

MAC = Mac.parse("02:00:00:00:00:01")


def discover(*options):
    head = bytes.fromhex("01010600 3903f326 0000 8000") + bytes(16) + MAC.packed + bytes(202)
    return head + bytes.fromhex("63825363") + b"".join(options) + b"\xff"


def test_discover_as_a_client_sends_it():
    message = decode_dhcp(discover(b"\x35\x01\x01", b"\x00\x00", b"\x37\x03\x01\x03\x06"))

    assert message.message_type is DhcpMessageType.DISCOVER
    assert (message.transaction_id, message.flags) == (0x3903F326, 0x8000)
    assert message.options[DhcpOption.PARAMETER_LIST] == b"\1\3\6"


def test_reply_begins_with_the_fixed_fields_and_the_message_type():
    reply = DhcpMessage(
        operation=2,
        transaction_id=0x01020304,
        client_mac=MAC,
        your_address=IPv4Address("10.0.0.5"),
        options={DhcpOption.SUBNET_MASK: b"\xff\xff\xff\0", DhcpOption.MESSAGE_TYPE: b"\2"},
    )

    encoded = reply.encode()

    assert encoded[:8].hex() == "0201060001020304"
    assert encoded[16:20] == bytes((10, 0, 0, 5))
    assert encoded[236:252].hex() == "638253633501020104ffffff00ff0000"
    assert len(encoded) == 300


def test_option_repeated_is_one_long_value():
    assert decode_dhcp(discover(b"\x0c\x01a", b"\x0c\x01b")).options[12] == b"ab"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "cut short"),
        (discover()[:239], "cut short"),
        (discover().replace(b"\x63\x82\x53\x63", b"\0\0\0\0"), "magic cookie"),
        (discover(b"\x0c\xff"), "leaves the message"),
        (b"\1\6" + discover()[2:], "not Ethernet"),
    ],
)
def test_malformed_message_is_named(message, reason):
    with pytest.raises(DecodeError, match=reason):
        decode_dhcp(message)


def test_classless_routes_carry_only_significant_octets():
    # The example of RFC 3442: 10.0.0.0/8 via 10.0.0.1 and 10.27.129.0/24 via 10.27.129.1.
    routes = [
        (ip_network("10.0.0.0/8"), IPv4Address("10.0.0.1")),
        (ip_network("10.27.129.0/24"), IPv4Address("10.27.129.1")),
    ]

    assert encode_classless_routes(routes).hex() == "080a0a000001180a1b810a1b8101"


def test_dhcp6_solicit_and_duid():
    message = decode_dhcp6(bytes.fromhex("01a1b2c3 0001000a 00030001 020000000001 00080002 0000"))

    assert (message.message_type, message.transaction_id) == (1, 0xA1B2C3)
    assert message.first(1) == duid_of_mac(MAC)


def test_domain_list_is_uncompressed():
    assert encode_domain_list(["a.bc", "d"]) == b"\1a\2bc\0\1d\0"


def test_relayed_message_from_a_workload_is_refused():
    with pytest.raises(DecodeError, match="relay"):
        decode_dhcp6(bytes((12, 0, 0, 0)) + bytes(40))
