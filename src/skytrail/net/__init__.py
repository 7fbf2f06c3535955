"""Value types every layer shares: addresses, route targets, labels, the prefix table.

Pure and dependency-free. IP prefixes and addresses are the standard library's ``ipaddress`` types.
"""

from skytrail.net.hashed_prefix import hashed_network
from skytrail.net.mac import BROADCAST_MAC, GATEWAY_MAC, Mac
from skytrail.net.numbers import Asn, Label, Vni
from skytrail.net.prefix_trie import IpAddress, IpPrefix, PrefixTrie
from skytrail.net.route_distinguisher import RouteDistinguisher
from skytrail.net.route_target import RouteTarget
from skytrail.net.tunnel_end import number_of, router_mac

__all__ = [
    "BROADCAST_MAC",
    "GATEWAY_MAC",
    "Asn",
    "IpAddress",
    "IpPrefix",
    "Label",
    "Mac",
    "PrefixTrie",
    "RouteDistinguisher",
    "RouteTarget",
    "Vni",
    "hashed_network",
    "number_of",
    "router_mac",
]
