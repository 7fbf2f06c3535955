"""Routes of multicast VPNs, as section 4 of the RFC draws them: no other decoder here reads types 1 to 4."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from skytrail.net import RouteDistinguisher
from skytrail.testing.bgp import INTERNAL, MANDATORY, mp_reach, update_body
from skytrail.wire.bgp import BgpError, BgpFamily, MvpnNlri, decode_update, encode_nlri

RD = RouteDistinguisher.parse("64512:7")
SOURCE, GROUP, ROUTER = map(IPv4Address, ("10.1.1.3", "239.1.2.3", "192.0.2.1"))
SOURCE6, GROUP6 = IPv6Address("2001:db8::3"), IPv6Address("ff0e::1")
RD_BYTES = b"\0\0\xfc\0\0\0\0\7"
SOURCE_BYTES, GROUP_BYTES = b"\x20\x0a\1\1\3", b"\x20\xef\1\2\3"
ROUTER_BYTES, AS_BYTES = b"\xc0\0\2\1", b"\0\0\xfc\0"
ANSWERED = b"\3\x16" + RD_BYTES + SOURCE_BYTES + GROUP_BYTES + ROUTER_BYTES
EXAMPLES = {
    "4.1 intra-AS I-PMSI": (
        MvpnNlri(1, RD, originator=ROUTER),
        b"\1\x0c" + RD_BYTES + ROUTER_BYTES,
    ),
    "4.2 inter-AS I-PMSI": (MvpnNlri(2, RD, 64512), b"\2\x0c" + RD_BYTES + AS_BYTES),
    "4.3 S-PMSI": (MvpnNlri(3, RD, None, SOURCE, GROUP, ROUTER), ANSWERED),
    "4.3 S-PMSI of IPv6": (
        MvpnNlri(3, RD, None, SOURCE6, GROUP6, ROUTER),
        b"\3\x2e" + RD_BYTES + b"\x80" + SOURCE6.packed + b"\x80" + GROUP6.packed + ROUTER_BYTES,
    ),
    "4.4 leaf": (
        MvpnNlri(4, route_key=ANSWERED, originator=ROUTER),
        b"\4\x1c" + ANSWERED + ROUTER_BYTES,
    ),
    "4.5 source active": (
        MvpnNlri(5, RD, None, SOURCE, GROUP),
        b"\5\x12" + RD_BYTES + SOURCE_BYTES + GROUP_BYTES,
    ),
    "4.6 shared tree join": (
        MvpnNlri(6, RD, 64512, SOURCE, GROUP),
        b"\6\x16" + RD_BYTES + AS_BYTES + SOURCE_BYTES + GROUP_BYTES,
    ),
    "4.6 source tree join": (
        MvpnNlri(7, RD, 64512, SOURCE, GROUP),
        b"\7\x16" + RD_BYTES + AS_BYTES + SOURCE_BYTES + GROUP_BYTES,
    ),
}


def decode(wire):
    reach = mp_reach(BgpFamily.MVPN, ROUTER.packed, wire)
    return decode_update(update_body(reach + MANDATORY), INTERNAL)


@pytest.mark.parametrize(("route", "wire"), EXAMPLES.values(), ids=list(EXAMPLES))
def test_routes_have_the_bytes_their_rfc_draws(route, wire):
    assert encode_nlri(BgpFamily.MVPN, route) == wire
    assert decode(wire).reach[0].nlri == (route,)


@pytest.mark.parametrize("wire", [wire for _, wire in EXAMPLES.values()], ids=list(EXAMPLES))
def test_a_route_cut_off_resets_the_session(wire):
    with pytest.raises(BgpError) as raised:
        decode(wire[:-1])

    assert (raised.value.code, raised.value.subcode) == (3, 9)
