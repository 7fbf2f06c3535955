"""Runs in build/bgp-decoders: reads one UPDATE in hexadecimal a line, answers what others read in it.

The answer is one line of JSON for each: {"os-ken": {...}, "exabgp": {...}}, in terms of the wire that
both sides of the comparison can produce; ``null`` where an implementation cannot read the family.
"""

from __future__ import annotations

import json
import sys

from exabgp.bgp.message import Update
from exabgp.bgp.message.action import Action
from exabgp.bgp.message.direction import Direction
from exabgp.bgp.message.open.capability.negotiated import Negotiated
from exabgp.bgp.message.update.nlri import NLRI
from exabgp.environment import getenv
from exabgp.logger import log
from os_ken.lib.packet import bgp

ROUTE_TARGET, MVPN = (1, 132), (1, 5)
# What os-ken 4.2 cannot read: it takes the length of a membership for part of its AS number.
UNREAD_BY_OS_KEN = {ROUTE_TARGET, MVPN}


def main() -> None:
    log.init(getenv())
    negotiated = Negotiated({"capability": {"aigp": False}})
    negotiated.asn4 = True
    negotiated.families = NLRI.known_families()
    for line in sys.stdin:
        message = bytes.fromhex(line)
        # Otherwise it looks for the next hops of RFC 8950 in families that have none.
        negotiated.nexthop = has_extended_next_hop(message)
        answer = {"os-ken": os_ken(message), "exabgp": exabgp(message, negotiated)}
        print(json.dumps(answer), flush=True)


def has_extended_next_hop(message: bytes) -> bool:
    """Whether IPv4 routes of MP_REACH_NLRI have a next hop longer than an IPv4 one of the family."""
    attributes = message[23:]
    at = 4 if attributes[:1] and attributes[0] & 0x10 else 3
    is_reach = len(attributes) > at + 3 and attributes[1] == 14
    return is_reach and attributes[at : at + 2] == b"\0\1" and attributes[at + 3] > 12


def os_ken(message: bytes) -> dict | None:
    if os_ken_family(message) in UNREAD_BY_OS_KEN:
        return None
    update = bgp.BGPMessage.parser(message)[0]
    reach, withdrawn, attributes = [], [], {}
    hop = None
    for attribute in update.path_attributes:
        match attribute.type:
            case 14:
                hop = attribute.next_hop
                reach += [[hop, os_ken_route(each)] for each in attribute.nlri]
            case 15:
                withdrawn += [os_ken_route(each, False) for each in attribute.withdrawn_routes]
            case 3:
                hop = attribute.value
            case _:
                attributes[attribute.type] = os_ken_attribute(attribute)
    reach += [[hop, f"{each.addr}/{each.length}"] for each in update.nlri]
    withdrawn += [f"{each.addr}/{each.length}" for each in update.withdrawn_routes]
    return {"reach": reach, "withdrawn": withdrawn, "attributes": attributes}


def os_ken_family(message: bytes) -> tuple[int, int]:
    """AFI and SAFI of the first attribute, which is where we put MP_REACH and MP_UNREACH."""
    attributes = message[23:]
    at = 4 if attributes[:1] and attributes[0] & 0x10 else 3
    if len(attributes) < at + 3 or attributes[1] not in {14, 15}:
        return 1, 1
    return int.from_bytes(attributes[at : at + 2], "big"), attributes[at + 2]


def os_ken_route(nlri: object, with_labels: bool = True) -> str:
    kind = type(nlri).__name__
    if kind.startswith("Evpn"):
        return os_ken_evpn(nlri)
    if "VPN" in kind:
        labels, distinguisher, address = nlri.addr
        length = nlri.length - 64 - 24 * len(labels)
        text = f"{distinguisher.admin}:{distinguisher.assigned} {address}/{length}"
    elif kind.startswith("Labelled"):
        labels, address = nlri.addr
        text = f"{address}/{nlri.length - 24 * len(labels)}"
    else:
        return f"{nlri.addr}/{nlri.length}"
    return f"{text} {labels[0]}" if with_labels else text


def os_ken_evpn(nlri: object) -> str:
    parts = [nlri.type, nlri.route_dist]
    if nlri.type in {1, 2, 4, 5}:
        parts.append(nlri.esi.serialize().hex())
    if nlri.type != 4:
        parts.append(nlri.ethernet_tag_id)
    match nlri.type:
        case 1:
            parts.append(nlri.vni)
        case 2:
            parts += [nlri.mac_addr, nlri.ip_addr or "-", nlri.vni]
        case 3 | 4:
            parts.append(nlri.ip_addr)
        case 5:
            parts += [nlri.ip_prefix, nlri.gw_ip_addr, nlri.vni]
    return " ".join(map(str, parts))


def os_ken_attribute(attribute: object) -> object:
    match attribute.type:
        case 1 | 4 | 5 | 9 | 10:
            return attribute.value
        case 2:
            # It keeps sequences as lists and sets as sets.
            return [
                [1 if isinstance(each, set) else 2, sorted(each) if isinstance(each, set) else each]
                for each in attribute.value
            ]
        case 6:
            return True
        case 7:
            return [attribute.as_number, attribute.addr]
        case 8:
            return sorted(attribute.communities)
        case 16:
            return sorted(bytes(each.serialize()).hex() for each in attribute.communities)
        case 22:
            end = attribute.tunnel_id.tunnel_endpoint_ip
            return [attribute.pmsi_flags, attribute.tunnel_type, attribute.vni, end]
        case 32:
            chunk = bytes(attribute.value)
            return sorted(chunk[at : at + 12].hex() for at in range(0, len(chunk), 12))
        case _:
            return bytes(attribute.value).hex()


def exabgp(message: bytes, negotiated: Negotiated) -> dict:
    update = Update.unpack_message(message[19:], Direction.IN, negotiated)
    reach, withdrawn = [], []
    for nlri in update.nlris:
        if nlri.action == Action.ANNOUNCE:
            reach.append([str(nlri.nexthop), exabgp_route(nlri)])
        else:
            withdrawn.append(exabgp_route(nlri, False))
    attributes = {
        int(code): exabgp_attribute(int(code), value)
        for code, value in update.attributes.items()
        if int(code) != 3
    }
    if reach:
        # It leaves an empty path out.
        attributes.setdefault(2, [])
    return {"reach": reach, "withdrawn": withdrawn, "attributes": attributes}


def exabgp_route(nlri: object, with_labels: bool = True) -> str:
    read = json.loads(nlri.json())
    if "route-target" in read:
        return f"{read['origin']} {read['route-target']}"
    if "code" in read:
        return exabgp_typed(read, nlri.safi == 5)
    text = " ".join(read[name] for name in ("rd", "nlri") if name in read)
    return f"{text} {read['label'][0][0]}" if "label" in read and with_labels else text


def exabgp_typed(read: dict, is_mvpn: bool) -> str:
    parts = [read["code"], read["rd"]]
    if is_mvpn:
        parts += [read[name] for name in ("source-as", "source", "group") if name in read]
        return " ".join(map(str, parts))
    if "esi" in read:
        parts.append("00" * 10 if read["esi"] == "-" else read["esi"].replace(":", ""))
    if "ethernet-tag" in read:
        parts.append(read["ethernet-tag"])
    match read["code"]:
        case 2:
            parts += [read["mac"], read.get("ip", "-")]
        case 3 | 4:
            parts.append(read["ip"])
        case 5:
            parts += [f"{read['ip']}/{read['iplen']}", read["gateway"]]
    if "label" in read:
        parts.append(read["label"][0][1])
    return " ".join(map(str, parts)).lower()


def exabgp_attribute(code: int, value: object) -> object:
    match code:
        case 1:
            return value.origin
        case 2:
            kinds = {"SET": 1, "SEQUENCE": 2}
            return [
                [
                    kinds[type(each).__name__],
                    sorted(each) if type(each).__name__ == "SET" else [*each],
                ]
                for each in value.aspath
            ]
        case 4:
            return value.med
        case 5:
            return value.localpref
        case 6:
            return True
        case 7:
            return [int(value.asn), str(value.speaker)]
        case 8:
            return sorted(int.from_bytes(each.community, "big") for each in value.communities)
        case 9:
            return str(value)
        case 10:
            return [str(each) for each in value.clusters]
        case 16:
            return sorted(each.community.hex() for each in value.communities)
        case 22:
            return [value.flags, value.TUNNEL_TYPE, value.raw_label, str(value).rpartition(":")[2]]
        case 32:
            return sorted(each.large_community.hex() for each in value.communities)
        case _:
            return bytes(value.data).hex()


main()
