"""TCP segments (RFC 9293): header without options beside the maximum segment size, and payload."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.checksum import IpAddress, internet_checksum, pseudo_header
from skytrail.wire.frame.inet import PROTOCOL_TCP

TCP_HEADER_BYTES = 20
_RFC = "RFC 9293"
_MSS_OPTION = 2


class TcpFlag(enum.IntFlag):
    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16


@dataclass(frozen=True, slots=True)
class TcpSegment:
    """``segment_bytes_max`` is the option of a SYN; 0: none. Options of others are not kept."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: TcpFlag
    payload: bytes = b""
    window: int = 0xFFFF
    segment_bytes_max: int = 0

    def encode(self, source: IpAddress, destination: IpAddress) -> bytes:
        """Return the segment with its checksum."""
        options = b""
        if self.segment_bytes_max:
            options = bytes((_MSS_OPTION, 4)) + self.segment_bytes_max.to_bytes(2)
        header_bytes = TCP_HEADER_BYTES + len(options)
        before = (
            self.source_port.to_bytes(2)
            + self.destination_port.to_bytes(2)
            + self.sequence.to_bytes(4)
            + self.acknowledgement.to_bytes(4)
            + bytes((header_bytes // 4 << 4, self.flags))
            + self.window.to_bytes(2)
        )
        after = b"\0\0" + options + self.payload
        length = header_bytes + len(self.payload)
        pseudo = pseudo_header(source, destination, PROTOCOL_TCP, length)
        return before + internet_checksum(pseudo, before, b"\0\0", after).to_bytes(2) + after


def decode_tcp(segment: bytes) -> TcpSegment:
    """Decode without verifying the checksum: frames of local workloads carry unfinished ones."""
    if len(segment) < TCP_HEADER_BYTES:
        raise DecodeError("TCP header is cut short", len(segment), _RFC)
    header_bytes = (segment[12] >> 4) * 4
    if not TCP_HEADER_BYTES <= header_bytes <= len(segment):
        raise DecodeError(f"TCP header length {header_bytes} is impossible", 12, _RFC)
    return TcpSegment(
        source_port=int.from_bytes(segment[0:2]),
        destination_port=int.from_bytes(segment[2:4]),
        sequence=int.from_bytes(segment[4:8]),
        acknowledgement=int.from_bytes(segment[8:12]),
        flags=TcpFlag(segment[13] & 0x1F),
        payload=segment[header_bytes:],
        window=int.from_bytes(segment[14:16]),
    )
