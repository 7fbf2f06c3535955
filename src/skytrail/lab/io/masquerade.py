"""Source address translation in a namespace by the kernel's nf_tables.

What ``nft`` would do with ``chain c { type nat hook postrouting priority srcnat; oifname "eth0"
masquerade; }`` in an ip and an ip6 table.
"""

from __future__ import annotations

import socket

from skytrail.lab.io import netns
from skytrail.runtime import nf_tables
from skytrail.runtime.nf_tables import Change

_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_PRIORITY_SOURCE_NAT = 100
_TABLE, _CHAIN = "hide", "out"


def hide_behind(namespace: str, ifname: str) -> None:
    """Let everything leave by the interface with the interface's own address."""
    hook = nf_tables.HOOK_POSTROUTING, _PRIORITY_SOURCE_NAT
    chain = nf_tables.base_chain(_TABLE, _CHAIN, "nat", hook)
    rule = nf_tables.rule(_TABLE, _CHAIN, [*nf_tables.leaves_by(ifname), ("masq", b"")])
    changes = [
        Change(family, kind, body)
        for family in _FAMILIES
        for kind, body in (
            (nf_tables.NEW_TABLE, nf_tables.text(1, _TABLE)),
            (nf_tables.NEW_CHAIN, chain),
            (nf_tables.NEW_RULE, rule),
        )
    ]
    protocol = nf_tables.NETLINK_NETFILTER
    with netns.open_socket(namespace, socket.AF_NETLINK, socket.SOCK_RAW, protocol) as to:
        try:
            nf_tables.commit(to, changes)
        except OSError as error:
            raise netns.NetworkError(str(error)) from error
