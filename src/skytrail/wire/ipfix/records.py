"""Records of flows out of the elements of IANA's IPFIX register that say what flowed where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from skytrail.wire.frame.beginning import FrameFlow, flow_of_frame, flow_of_packet

OCTETS: Final = (1, 85)
"""octetDeltaCount, octetTotalCount; the first that is there counts, as in all of these."""
PACKETS: Final = (2, 86)
PROTOCOL: Final = (4,)
SOURCE_PORT: Final = (7, 180, 182)
DESTINATION_PORT: Final = (11, 181, 183)
INGRESS: Final = (10,)
EGRESS: Final = (14,)
VLAN: Final = (58, 243)
SOURCE_4, SOURCE_6 = 8, 27
DESTINATION_4, DESTINATION_6 = 12, 28
NEXTHOP_4, NEXTHOP_6 = 15, 62
SAMPLING_INTERVAL: Final = (34, 50)
"""samplingInterval, samplerRandomInterval: one of so many packets."""
SAMPLING_PACKET_INTERVAL: Final = 305
SAMPLING_PACKET_SPACE: Final = 306
SAMPLER: Final = (302, 48)
"""selectorId, samplerId."""
FRAME_SECTIONS: Final = (315, 104)
"""dataLinkFrameSection, layer2packetSectionData."""
IP_SECTION: Final = 313

Values = Mapping[int, bytes]
"""By element of IANA's register."""


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """What an exporter counted of one flow; not yet multiplied by ``sampling_rate``."""

    flow: FrameFlow
    octets_count: int
    packets_count: int
    input_index: int
    output_index: int
    nexthop: str
    sampling_rate: int


def number_of(values: Values, elements: tuple[int, ...]) -> int:
    """Return the first of these elements that is there, however many octets it has (RFC 7011 section 6.2)."""
    for element in elements:
        if element in values:
            return int.from_bytes(values[element][-8:], "big")
    return 0


def rate_of(values: Values) -> int:
    """Return of how many packets one was looked at, 0 where that is not said."""
    taken = number_of(values, (SAMPLING_PACKET_INTERVAL,))
    if taken:
        return (taken + number_of(values, (SAMPLING_PACKET_SPACE,))) // taken
    return number_of(values, SAMPLING_INTERVAL)


def record_of(values: Values, sampling_rate: int) -> FlowRecord | None:
    """Return the flow, None when the record is of none."""
    flow = _sampled(values)
    octets, packets = number_of(values, OCTETS), number_of(values, PACKETS)
    if flow is None:
        source = _address(values, SOURCE_4, SOURCE_6)
        destination = _address(values, DESTINATION_4, DESTINATION_6)
        if not source and not destination:
            return None
        flow = FrameFlow(
            source,
            destination,
            number_of(values, PROTOCOL) & 0xFF,
            number_of(values, SOURCE_PORT) & 0xFFFF,
            number_of(values, DESTINATION_PORT) & 0xFFFF,
        )
    vlan = number_of(values, VLAN) & 0xFFF
    return FlowRecord(
        replace(flow, vlan=vlan) if vlan else flow,
        octets,
        packets,
        number_of(values, INGRESS) & 0xFFFFFFFF,
        number_of(values, EGRESS) & 0xFFFFFFFF,
        _address(values, NEXTHOP_4, NEXTHOP_6),
        sampling_rate,
    )


def _sampled(values: Values) -> FrameFlow | None:
    """Return the flow of a record that has the beginning of a packet (RFC 5477)."""
    for element in FRAME_SECTIONS:
        if element in values:
            return flow_of_frame(values[element])
    return flow_of_packet(values[IP_SECTION]) if IP_SECTION in values else None


def _address(values: Values, four: int, six: int) -> str:
    if len(values.get(four, b"")) == 4:
        return str(IPv4Address(values[four]))
    if len(values.get(six, b"")) == 16:
        return str(IPv6Address(values[six]))
    return ""
