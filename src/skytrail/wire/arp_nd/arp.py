"""ARP for IPv4 over Ethernet (RFC 826)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from skytrail.net import Mac
from skytrail.wire.errors import DecodeError

ARP_REQUEST = 1
ARP_REPLY = 2
_MESSAGE_BYTES = 28
_FIXED_HEADER = bytes.fromhex("000108000604")
_RFC = "RFC 826"


@dataclass(frozen=True, slots=True)
class ArpMessage:
    """A request or reply; ``operation`` may be any 16-bit number."""

    operation: int
    sender_mac: Mac
    sender_address: IPv4Address
    target_mac: Mac
    target_address: IPv4Address

    def encode(self) -> bytes:
        return (
            _FIXED_HEADER
            + self.operation.to_bytes(2)
            + self.sender_mac.packed
            + self.sender_address.packed
            + self.target_mac.packed
            + self.target_address.packed
        )


def decode_arp(message: bytes) -> ArpMessage:
    """Decode; Ethernet padding behind the message is ignored."""
    if len(message) < _MESSAGE_BYTES:
        raise DecodeError("ARP message is cut short", len(message), _RFC)
    if message[:6] != _FIXED_HEADER:
        raise DecodeError("ARP is not for IPv4 over Ethernet", 0, _RFC)
    return ArpMessage(
        operation=int.from_bytes(message[6:8]),
        sender_mac=Mac(message[8:14]),
        sender_address=IPv4Address(message[14:18]),
        target_mac=Mac(message[18:24]),
        target_address=IPv4Address(message[24:28]),
    )
