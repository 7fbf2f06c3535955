"""Names of DHCP options as users of Contrail-compatible systems write them, with code and form.

A number is always an option of DHCPv4; options of DHCPv6 have names of their own (``v6-...``), so one
list can hold both. Options that the vRouter answers by itself (leases, masks, who is who) cannot be
configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skytrail.wire.dhcp.option_text import RAW_FORMS, Form, encode_raw, encode_text

_V4: Mapping[Form, Mapping[str, int]] = {
    Form.ADDRESS: {
        "swap-server": 16,
        "router-solicitation-address": 32,
        "server-ip-address": 150,
    },
    Form.ADDRESSES: {
        "routers": 3,
        "time-servers": 4,
        "name-servers": 5,
        "domain-name-servers": 6,
        "log-servers": 7,
        "quote-servers": 8,
        "lpr-servers": 9,
        "impress-servers": 10,
        "resource-location-servers": 11,
        "nis-servers": 41,
        "ntp-servers": 42,
        "netbios-name-servers": 44,
        "netbios-dd-server": 45,
        "font-servers": 48,
        "x-display-manager": 49,
        "nisplus-servers": 65,
        "mobile-ip-home-agent": 68,
        "smtp-server": 69,
        "pop-server": 70,
        "nntp-server": 71,
        "www-server": 72,
        "finger-server": 73,
        "irc-server": 74,
        "streettalk-server": 75,
        "streettalk-directory-assistance-server": 76,
        "nds-servers": 85,
        "associated-ip": 92,
        "ldap-servers": 95,
        "netinfo-server-address": 112,
        "tftp-server": 128,
        "pana-agent": 136,
        "capwap-ac-v4": 138,
        "andsf-servers": 142,
        "tftp-server-address": 150,
    },
    Form.ADDRESS_PAIRS: {"policy-filter": 21, "static-routes": 33},
    Form.BYTE: {
        "default-ip-ttl": 23,
        "default-tcp-ttl": 37,
        "netbios-node-type": 46,
        "dhcp-state": 156,
        "data-source": 157,
    },
    Form.BYTE_ADDRESSES: {"slp-directory-agent": 78},
    Form.BYTE_TEXT: {"slp-service-scope": 79, "status-code": 151, "dhcp-vss": 221},
    Form.BYTES: {
        "nwip-suboptions": 63,
        "user-class": 77,
        "storage-ns": 83,
        "nds-tree-name": 86,
        "nds-context": 87,
        "bcms-controller-names": 88,
        "bcms-controller-address": 89,
        "dhcp-auth": 90,
        "interface-id": 94,
        "geoconf-civic": 99,
        "sip-servers": 120,
        "dhcp-ccc": 122,
        "dhcp-geoconf": 123,
        "vendor-class-identifier": 124,
        "vivso": 125,
        "lost-server": 137,
        "dhcp-mos": 139,
        "dhcp-fqdn-mos": 140,
        "sip-ua-config-domain": 141,
        "dhcp-geoloc": 144,
        "force-renew-nonce-cap": 145,
        "rdnss-selection": 146,
        "pcp-server": 158,
        "dhcp-6rd": 212,
        "dhcp-access-domain": 213,
        "subnet-allocation": 220,
    },
    Form.FLAG: {
        "ip-forwarding": 19,
        "non-local-source-routing": 20,
        "all-subnets-local": 27,
        "perform-mask-discovery": 29,
        "mask-supplier": 30,
        "router-discovery": 31,
        "trailer-encapsulation": 34,
        "ieee802-3-encapsulation": 36,
        "tcp-keepalive-garbage": 39,
        "auto-configure": 116,
    },
    Form.I32: {"time-offset": 2},
    Form.NAMES: {"domain-search": 119},
    Form.ROUTES: {"classless-static-routes": 121},
    Form.TEXT: {
        "host-name": 12,
        "merit-dump": 14,
        "domain-name": 15,
        "root-path": 17,
        "extension-path": 18,
        "nis-domain": 40,
        "vendor-encapsulated-options": 43,
        "netbios-scope": 47,
        "dhcp-message": 56,
        "class-id": 60,
        "nwip-domain": 62,
        "nisplus-domain": 64,
        "tftp-server-name": 66,
        "bootfile-name": 67,
        "machine-id": 97,
        "user-auth": 98,
        "ieee-1003-1-tz": 100,
        "ref-tz-db": 101,
        "netinfo-server-tag": 113,
        "default-url": 114,
        "pxe-vendor-specific-129": 129,
        "pxe-vendor-specific-130": 130,
        "pxe-vendor-specific-131": 131,
        "pxe-vendor-specific-132": 132,
        "pxe-vendor-specific-133": 133,
        "pxe-vendor-specific-134": 134,
        "pxe-vendor-specific-135": 135,
        "config-file": 209,
        "path-prefix": 210,
    },
    Form.U16: {
        "boot-size": 13,
        "max-dgram-reassembly": 22,
        "interface-mtu": 26,
        "system-architecture": 93,
    },
    Form.U16S: {"path-mtu-plateau-table": 25, "name-search": 117},
    Form.U32: {
        "path-mtu-aging-timeout": 24,
        "arp-cache-timeout": 35,
        "tcp-keepalive-interval": 38,
        "dhcp-lease-time": 51,
        "dhcp-renewal-time": 58,
        "dhcp-rebinding-time": 59,
        "dhcp-client-last-time": 91,
        "dhcp-base-time": 152,
        "dhcp-state-start-time": 153,
        "dhcp-query-start-time": 154,
        "dhcp-query-end-time": 155,
        "dhcp-pxe-magic": 208,
        "reboot-time": 211,
    },
}
_ALIASES4 = {
    "router": "routers",
    "dns-server": "domain-name-servers",
    "ntp-server": "ntp-servers",
    "hostname": "host-name",
    "mtu": "interface-mtu",
    "lease-time": "dhcp-lease-time",
    "boot-file-name": "bootfile-name",
    "classless-static-route": "classless-static-routes",
}
"""What other orchestrators call them."""
_V6: Mapping[Form, Mapping[str, int]] = {
    Form.ADDRESS6: {"v6-link-address": 80, "v6-s46-br": 90},
    Form.ADDRESSES6: {
        "v6-sip-server-addresses": 22,
        "v6-name-servers": 23,
        "v6-nis-servers": 27,
        "v6-nisp-servers": 28,
        "v6-sntp-servers": 31,
        "v6-bcms-server-a": 34,
        "v6-pana-agent": 40,
        "v6-capwap-ac": 52,
        "v6-pcp-server": 86,
        "v6-address-andsf": 143,
    },
    Form.BYTE: {"v6-preference": 7},
    Form.BYTES: {
        "v6-user-class": 15,
        "v6-vendor-class": 16,
        "v6-vendor-opts": 17,
        "v6-geoconf-civic": 36,
        "v6-remote-id": 37,
        "v6-subscriber-id": 38,
        "v6-address-mos": 54,
        "v6-fqdn-mos": 55,
        "v6-bootfile-param": 60,
        "v6-nii": 62,
        "v6-geolocation": 63,
        "v6-rdnss-selection": 74,
        "v6-addrsel": 84,
        "v6-dhcpv4-o-dhcpv6-server": 88,
        "v6-s46-cont-mape": 94,
        "v6-s46-cont-mapt": 95,
        "v6-s46-cont-lw": 96,
    },
    Form.NAME: {
        "v6-nis-domain-name": 29,
        "v6-nisp-domain-name": 30,
        "v6-lost": 51,
        "v6-access-domain": 57,
        "v6-aftr-name": 64,
        "v6-erp-local-domain-name": 65,
    },
    Form.NAMES: {
        "v6-sip-server-names": 21,
        "v6-domain-search": 24,
        "v6-bcms-server-d": 33,
        "v6-sip-ua-cs-list": 58,
    },
    Form.NTP6: {"v6-ntp-server": 56},
    Form.TEXT: {"v6-posix-timezone": 41, "v6-tzdb-timezone": 42, "v6-bootfile-url": 59},
    Form.U16S: {"v6-client-arch-type": 61},
    Form.U32: {"v6-info-refresh-time": 32, "v6-sol-max-rt": 82, "v6-inf-max-rt": 83},
}
_OWN4 = {
    0: "the end of options",
    1: "subnet mask",
    28: "broadcast address",
    50: "requested address",
    52: "option overload",
    53: "message type",
    54: "server identifier",
    55: "parameter request list",
    57: "maximum message size",
    61: "client identifier",
    80: "rapid commit",
    81: "client's name",
    82: "relay agent information",
    118: "subnet selection",
    255: "the end of options",
}
"""What only the protocol itself says."""


@dataclass(frozen=True, slots=True)
class ConfiguredOption:
    """An option to be sent: by which protocol, its code, its bytes."""

    version: int
    """4 or 6."""
    code: int
    value: bytes


@dataclass(frozen=True, slots=True)
class _Known:
    version: int
    code: int
    form: Form


_CODES4 = {code: form for form, names in _V4.items() for code in names.values()} | {
    249: Form.ROUTES,
    252: Form.TEXT,
    150: Form.ADDRESSES,
}
_NAMED = {
    **{name: _Known(4, code, form) for form, names in _V4.items() for name, code in names.items()},
    **{name: _Known(6, code, form) for form, names in _V6.items() for name, code in names.items()},
}
OPTION_NAMES = frozenset(_NAMED) | frozenset(_ALIASES4)


def configured_option(name: str, text: str, raw: str) -> ConfiguredOption:
    """Return the option a list entry asks for. ``ValueError`` says what to change.

    ``raw``, bytes in decimal notation, counts where the form has no structure of its own, and for
    numbers nobody has a form for.
    """
    known = _find(name.strip().lower())
    try:
        if known.form in RAW_FORMS and raw.strip():
            value = encode_raw(raw)
        else:
            value = encode_text(known.form, text)
    except ValueError as error:
        raise ValueError(f"value of option {name} {error}") from None
    if known.version == 4 and known.code == 51 and value == bytes(4):
        raise ValueError(f"value of option {name} must be at least 1: a lease has to last")
    return ConfiguredOption(known.version, known.code, value)


def _find(name: str) -> _Known:
    if name.isascii() and name.isdigit():
        code = int(name[:4])
        if code in _OWN4 or code > 255:
            why = _OWN4.get(code, "no option of DHCP")
            raise ValueError(f"option {name} cannot be configured: it is {why}")
        return _Known(4, code, _CODES4.get(code, Form.BYTES))
    known = _NAMED.get(_ALIASES4.get(name, name))
    if known is None:
        raise ValueError(
            f"option {name[:60]!r} is not known: name it as in docs/dhcp.md, or by its number"
        )
    return known
