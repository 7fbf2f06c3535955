"""Routes of BGP as people read them."""

from __future__ import annotations

from skytrail.wire.bgp import (
    EthernetAutoDiscovery,
    EthernetSegment,
    InclusiveMulticast,
    IpPrefixRoute,
    LabelledNlri,
    MacIp,
    Nlri,
    SelectiveMulticast,
    VpnNlri,
)


def nlri_text(nlri: Nlri) -> str:
    """Return the route in the style of routers: type first, then what names it."""
    match nlri:
        case VpnNlri():
            return f"{nlri.distinguisher}:{nlri.prefix}"
        case LabelledNlri(prefix, labels):
            return f"{prefix} label {'/'.join(map(str, labels))}"
        case EthernetAutoDiscovery(distinguisher, segment, tag, label):
            return f"1:{distinguisher}:{segment.hex(':')}:{tag} label {label}"
        case MacIp(distinguisher=distinguisher, ethernet_tag=tag, mac=mac, address=address):
            return f"2:{distinguisher}:{tag}:{mac}:{address or ''}"
        case InclusiveMulticast(distinguisher, tag, originator):
            return f"3:{distinguisher}:{tag}:{originator}"
        case EthernetSegment(distinguisher, segment, originator):
            return f"4:{distinguisher}:{segment.hex(':')}:{originator}"
        case IpPrefixRoute(distinguisher=distinguisher, ethernet_tag=tag, prefix=prefix):
            return f"5:{distinguisher}:{tag}:{prefix}"
        case SelectiveMulticast(distinguisher, tag, source, group, originator):
            return f"6:{distinguisher}:{tag}:{source or '*'}:{group or '*'}:{originator}"
        case _:
            return str(nlri)
