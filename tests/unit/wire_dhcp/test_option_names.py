"""Options as users write them, and the bytes that clients read."""

import pytest

from skytrail.wire.dhcp import ConfiguredOption, configured_option


@pytest.mark.parametrize(
    ("name", "text", "raw", "version", "code", "value"),
    [
        ("ntp-servers", "192.0.2.1 192.0.2.2", "", 4, 42, b"\xc0\0\2\1\xc0\0\2\2"),
        ("42", "192.0.2.1", "", 4, 42, b"\xc0\0\2\1"),
        ("domain-name", "red.example", "", 4, 15, b"red.example"),
        ("domain-search", "a.b c.d", "", 4, 119, b"\1a\1b\0\1c\1d\0"),
        ("interface-mtu", "1400", "", 4, 26, b"\x05\x78"),
        ("dhcp-lease-time", "3600", "", 4, 51, b"\0\0\x0e\x10"),
        ("time-offset", "-3600", "", 4, 2, b"\xff\xff\xf1\xf0"),
        ("time-offset", "3600", "", 4, 2, b"\0\0\x0e\x10"),
        ("ip-forwarding", "true", "", 4, 19, b"\1"),
        ("path-mtu-plateau-table", "1500 1492", "", 4, 25, b"\x05\xdc\x05\xd4"),
        ("slp-directory-agent", "1 10.0.0.1", "", 4, 78, b"\1\x0a\0\0\1"),
        ("slp-service-scope", "0 office", "", 4, 79, b"\0office"),
        ("classless-static-routes", "10.8.0.0/16 10.1.1.7", "", 4, 121, b"\x10\x0a\x08\x0a\1\1\7"),
        ("static-routes", "10.8.0.1 10.1.1.7", "", 4, 33, b"\x0a\x08\0\1\x0a\1\1\7"),
        ("bootfile-name", "pxelinux.0", "", 4, 67, b"pxelinux.0"),
        ("43", "ignored", "1 4 10 0 0 1", 4, 43, b"\1\4\x0a\0\0\1"),
        ("224", "", "222 173", 4, 224, b"\xde\xad"),
        ("224", "222 173", "", 4, 224, b"\xde\xad"),
        ("Routers", "10.1.1.9", "", 4, 3, b"\x0a\1\1\x09"),
        ("router", "10.1.1.9", "", 4, 3, b"\x0a\1\1\x09"),
        ("v6-name-servers", "fd00::1", "", 6, 23, b"\xfd" + bytes(14) + b"\1"),
        ("v6-domain-search", "a.b", "", 6, 24, b"\1a\1b\0"),
        ("v6-ntp-server", "t.x", "", 6, 56, b"\0\3\0\5\1t\1x\0"),
        ("v6-ntp-server", "fd00::1", "", 6, 56, b"\0\1\0\x10\xfd" + bytes(14) + b"\1"),
        ("v6-preference", "255", "", 6, 7, b"\xff"),
        ("v6-bootfile-url", "tftp://[fd00::1]/x", "", 6, 59, b"tftp://[fd00::1]/x"),
    ],
)
def test_option_is_sent_as_its_form_says(name, text, raw, version, code, value):
    assert configured_option(name, text, raw) == ConfiguredOption(version, code, value)


@pytest.mark.parametrize(
    ("name", "text", "raw", "says"),
    [
        ("colour", "blue", "", "not known"),
        ("53", "1", "", "message type"),
        ("subnet-mask", "255.0.0.0", "", "not known"),
        ("1", "255.0.0.0", "", "subnet mask"),
        ("0", "1", "", "end of options"),
        ("300", "1", "", "no option"),
        ("99999999999999999999", "1", "", "no option"),
        ("ntp-servers", "clock.example", "", "IPv4 address"),
        ("ntp-servers", "", "", "IPv4 addresses"),
        ("swap-server", "10.0.0.1 10.0.0.2", "", "an IPv4 address"),
        ("interface-mtu", "70000", "", "65535"),
        ("dhcp-lease-time", "0", "", "at least 1"),
        ("default-ip-ttl", "a", "", "255"),
        ("classless-static-routes", "10.8.0.0/16", "", "no gateway"),
        ("classless-static-routes", "x 10.0.0.1", "", "IPv4 prefix"),
        ("domain-name", "a\nb", "", "printable"),
        ("domain-search", "a..b", "", "domain name"),
        ("domain-search", "b\u00fccher.example", "", "domain name"),
        ("43", "", "256", "255"),
        ("v6-name-servers", "10.0.0.1", "", "IPv6 address"),
        ("v6-name-servers", "fe80::1%eth0", "", "zone"),
        ("v6-ntp-server", "fd00::x", "", "IPv6 address"),
        ("path-prefix", "x" * 2000, "", "at most"),
    ],
)
def test_option_that_cannot_be_sent_says_what_is_wrong(name, text, raw, says):
    with pytest.raises(ValueError, match=says):
        configured_option(name, text, raw)
