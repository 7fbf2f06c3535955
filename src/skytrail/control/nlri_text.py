"""Routes of BGP as people read them."""

from __future__ import annotations

from skytrail.wire.bgp import (
    ErmvpnNlri,
    EthernetAutoDiscovery,
    EthernetSegment,
    InclusiveMulticast,
    IpPrefixRoute,
    LabelledNlri,
    MacIp,
    MvpnNlri,
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
        case ErmvpnNlri(kind, distinguisher, router_id, source, group):
            return f"{kind}:{distinguisher}:{router_id}:{source}:{group}"
        case MvpnNlri(kind=kind, route_key=route_key):
            parts = (nlri.distinguisher, nlri.source_as, nlri.source, nlri.group, nlri.originator)
            named = (str(part) for part in parts if part is not None)
            return ":".join((str(kind), *named, *((route_key.hex(),) if route_key else ())))
        case _:
            return str(nlri)
