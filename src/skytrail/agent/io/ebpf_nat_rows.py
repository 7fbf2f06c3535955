"""Rows of translations to kernel map entries and back; as ``ebpf_rows`` in everything."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent import abi
from skytrail.agent.io.ebpf_rows import Entry, u32
from skytrail.agent.tables import (
    FloatingPortRow,
    FloatingRow,
    IdentityId,
    LinkServiceRow,
    NextHopId,
    PolicyId,
    PortPoolRow,
    VifId,
    VrfId,
)

_OUTSIDE, _INSIDE = 0, 1
_IPV6 = 6
_RANGE = struct.Struct("=HH")
_ADDRESS_BYTES = 16
_LINK_LOCAL6 = 0xFE
"""What IPv6 link-local addresses begin with, and no IPv4 one does."""


def _padded(address: IPv4Address | IPv6Address) -> bytes:
    """IPv4 uses the first word of four."""
    return address.packed.ljust(_ADDRESS_BYTES, b"\x00")


def _address(raw: bytes, family: int) -> IPv4Address | IPv6Address:
    return IPv6Address(raw) if family == _IPV6 else IPv4Address(raw[:4])


def floating_entry(row: FloatingRow) -> Entry:
    if row.place >= abi.FLOATING_PLACES_MAX:
        raise ValueError(
            f"vif {row.vif_id} has a floating address at place {row.place}, at most "
            f"{abi.FLOATING_PLACES_MAX} fit"
        )
    flags = (
        (abi.FloatingFlags.INWARD if row.is_inward else 0)
        | (abi.FloatingFlags.OUTWARD if row.is_outward else 0)
        | (abi.FloatingFlags.PORTS if row.has_ports else 0)
    )
    value = abi.Floating(
        outside=_padded(row.outside),
        inside=_padded(row.inside),
        vrf=row.vrf_id,
        identity=row.identity,
        policy_egress=row.policy_egress,
        policy_ingress=row.policy_ingress,
        flags=flags,
        family=row.outside.version,
    )
    return abi.FloatingKey(vif=row.vif_id, place=row.place).pack(), value.pack()


def floating_row(key: bytes, raw: bytes) -> FloatingRow:
    where, value = abi.FloatingKey.unpack(key), abi.Floating.unpack(raw)
    return FloatingRow(
        vif_id=VifId(where.vif),
        place=where.place,
        outside=_address(value.outside, value.family),
        inside=_address(value.inside, value.family),
        vrf_id=VrfId(value.vrf),
        identity=IdentityId(value.identity),
        policy_egress=PolicyId(value.policy_egress),
        policy_ingress=PolicyId(value.policy_ingress),
        is_inward=bool(value.flags & abi.FloatingFlags.INWARD),
        is_outward=bool(value.flags & abi.FloatingFlags.OUTWARD),
        has_ports=bool(value.flags & abi.FloatingFlags.PORTS),
    )


def floating_port_entry(row: FloatingPortRow) -> Entry:
    key = abi.FloatingPortKey(
        vif=row.vif_id,
        outside=_padded(row.outside),
        port=row.port.to_bytes(2, "big"),
        protocol=row.protocol,
        side=_INSIDE if row.is_inside else _OUTSIDE,
        family=row.outside.version,
    )
    return key.pack(), row.to_port.to_bytes(2, "big")


def floating_port_row(key: bytes, raw: bytes) -> FloatingPortRow:
    where = abi.FloatingPortKey.unpack(key)
    return FloatingPortRow(
        vif_id=VifId(where.vif),
        outside=_address(where.outside, where.family),
        protocol=where.protocol,
        port=int.from_bytes(where.port, "big"),
        is_inside=where.side == _INSIDE,
        to_port=int.from_bytes(raw[:2], "big"),
    )


def link_service_entry(row: LinkServiceRow) -> Entry:
    if len(row.targets) > abi.LINK_SERVICE_TARGETS_MAX:
        raise ValueError(
            f"the service at {row.address} has {len(row.targets)} targets, at most "
            f"{abi.LINK_SERVICE_TARGETS_MAX} are possible"
        )
    key = abi.LinkServiceKey(address=_padded(row.address), port=row.port.to_bytes(2, "big"))
    targets = b"".join(map(_padded, row.targets))
    value = abi.LinkService(
        target=targets.ljust(_ADDRESS_BYTES * abi.LINK_SERVICE_TARGETS_MAX, b"\x00"),
        used=len(row.targets),
        nexthop=row.nexthop_id,
        port=row.to_port.to_bytes(2, "big"),
        is_agents=int(row.is_agents),
    )
    return key.pack(), value.pack()


def link_service_row(key: bytes, raw: bytes) -> LinkServiceRow:
    where, value = abi.LinkServiceKey.unpack(key), abi.LinkService.unpack(raw)
    family = _IPV6 if where.address[0] == _LINK_LOCAL6 else 4
    return LinkServiceRow(
        address=_address(where.address, family),
        port=int.from_bytes(where.port, "big"),
        targets=tuple(
            [
                _address(value.target[at : at + _ADDRESS_BYTES], family)
                for at in range(0, _ADDRESS_BYTES * value.used, _ADDRESS_BYTES)
            ]
        ),
        to_port=int.from_bytes(value.port, "big"),
        nexthop_id=NextHopId(value.nexthop),
        is_agents=bool(value.is_agents),
    )


def port_pool_entry(row: PortPoolRow) -> Entry:
    if len(row.ranges) > abi.PORT_RANGES_MAX:
        raise ValueError(
            f"the pool of protocol {row.protocol} has {len(row.ranges)} ranges, at most "
            f"{abi.PORT_RANGES_MAX} are possible"
        )
    # A range of no ports: the datapath computes the size of each.
    nothing = _RANGE.pack(1, 0) * (abi.PORT_RANGES_MAX - len(row.ranges))
    value = abi.PortPool(
        used=len(row.ranges),
        size=sum(last - first + 1 for first, last in row.ranges),
        range=b"".join(_RANGE.pack(*each) for each in row.ranges) + nothing,
    )
    return u32(row.protocol), value.pack()


def port_pool_row(protocol: int, raw: bytes) -> PortPoolRow:
    value = abi.PortPool.unpack(raw)
    used = value.range[: _RANGE.size * value.used]
    return PortPoolRow(protocol, tuple([(a, b) for a, b in _RANGE.iter_unpack(used)]))
