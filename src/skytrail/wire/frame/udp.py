"""UDP datagrams (RFC 768)."""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.checksum import IpAddress, internet_checksum, pseudo_header
from skytrail.wire.frame.inet import PROTOCOL_UDP

UDP_HEADER_BYTES = 8
_RFC = "RFC 768"


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    """Ports and payload."""

    source_port: int
    destination_port: int
    payload: bytes

    def encode(self, source: IpAddress, destination: IpAddress) -> bytes:
        """Return the datagram with its checksum; a sum of 0 is sent as 0xffff."""
        length = UDP_HEADER_BYTES + len(self.payload)
        before = (
            self.source_port.to_bytes(2) + self.destination_port.to_bytes(2) + length.to_bytes(2)
        )
        pseudo = pseudo_header(source, destination, PROTOCOL_UDP, length)
        checksum = internet_checksum(pseudo, before, b"\0\0", self.payload) or 0xFFFF
        return before + checksum.to_bytes(2) + self.payload


def decode_udp(datagram: bytes) -> UdpDatagram:
    """Decode without verifying the checksum: frames of local workloads carry unfinished ones."""
    if len(datagram) < UDP_HEADER_BYTES:
        raise DecodeError("UDP header is cut short", len(datagram), _RFC)
    length = int.from_bytes(datagram[4:6])
    if length < UDP_HEADER_BYTES or length > len(datagram):
        raise DecodeError(f"UDP length {length} does not fit the packet", 4, _RFC)
    return UdpDatagram(
        source_port=int.from_bytes(datagram[0:2]),
        destination_port=int.from_bytes(datagram[2:4]),
        payload=datagram[UDP_HEADER_BYTES:length],
    )
