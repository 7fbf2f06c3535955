"""Configurations of FRR and BIRD as peers of our node, for what most tests need of them."""

from __future__ import annotations

from collections.abc import Sequence

from skytrail.testing.bgp_routers import BIRD, FRR, OURS

VPN, EVPN = "ipv4 vpn", "l2vpn evpn"
FRR_NETWORK = "20.1.1.0/24 rd 64512:7 label 700"
BIRD_ROUTE = '64512:8 20.2.2.0/24 via "lo" mpls 800'
TARGET = "64512:101"


def frr_config(
    *families: str,
    neighbour: Sequence[str] = (),
    process: Sequence[str] = (),
    network: str = "",
    end: Sequence[str] = (),
    asn: int = 64512,
    our_asn: int | str = 64512,
    address: str = FRR,
) -> str:
    """Return bgpd's configuration; VPN where no family is named.

    ``neighbour`` are settings of our session, ``process`` of all, ``end`` what follows. A ``network``
    is announced among the VPN routes, with a route target that our instances import.
    """
    ours = f" neighbor {OURS}"
    lines = [
        f"router bgp {asn}",
        f" bgp router-id {address}",
        " no bgp default ipv4-unicast",
        *(f" {line}" for line in process),
        f"{ours} remote-as {our_asn}",
        f"{ours} update-source {address}",
        f"{ours} timers connect 1",
        *(f"{ours} {line}" for line in neighbour),
    ]
    for family in families or (VPN,):
        lines += [f" address-family {family}", f" {ours} activate"]
        if family == VPN and network:
            lines += [f" {ours} route-map targets out", f"  network {network}"]
        lines.append(" exit-address-family")
    if network:
        lines += ["route-map targets permit 10", f" set extcommunity rt {TARGET}"]
    return "\n".join((*lines, *end, ""))


def bird_config(
    *options: str,
    channel: str = "",
    routes: Sequence[str] = (),
    multihop: str = "multihop",
    asn: int = 64512,
    our_asn: int = 64512,
) -> str:
    """Return BIRD's configuration for VPN routes.

    ``options`` are those of the session, ``channel`` of its routes. ``routes`` are announced with a
    route target that our instances import.
    """
    target = TARGET.replace(":", ", ")
    community = f"{{ bgp_ext_community.add((rt, {target})); }}"
    static = "".join(f"  route {route} {community};\n" for route in routes)
    if static:
        static = f"protocol static given {{\n  vpn4 {{ table v4; }};\n{static}}}\n"
    settings = "".join(f"  {option};\n" for option in options)
    return f"""
router id {BIRD};
vpn4 table v4;
protocol device {{}}
{static}protocol bgp ours {{
  local {BIRD} as {asn};
  neighbor {OURS} as {our_asn};
  {multihop};
  strict bind yes;
  connect retry time 1;
{settings}  vpn4 mpls {{ table v4; import all; export all; {channel}}};
}}
"""
