"""Untagged Ethernet II frames."""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.net import Mac
from skytrail.wire.errors import DecodeError

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
ETHERNET_HEADER_BYTES = 14


@dataclass(frozen=True, slots=True)
class EthernetFrame:
    """Header and payload; a tagged frame shows its tag protocol as the ether type."""

    destination: Mac
    source: Mac
    ether_type: int
    payload: bytes

    def encode(self) -> bytes:
        header = self.destination.packed + self.source.packed + self.ether_type.to_bytes(2)
        return header + self.payload


def decode_ethernet(frame: bytes) -> EthernetFrame:
    """Split the 14-byte header off ``frame``."""
    if len(frame) < ETHERNET_HEADER_BYTES:
        raise DecodeError("Ethernet header is cut short", len(frame), "IEEE 802.3")
    return EthernetFrame(
        destination=Mac(frame[0:6]),
        source=Mac(frame[6:12]),
        ether_type=int.from_bytes(frame[12:14]),
        payload=frame[ETHERNET_HEADER_BYTES:],
    )
