"""One sFlow datagram: XDR, big-endian, everything a multiple of four bytes.

```
 version 5 | agent address | sub-agent | sequence | uptime | samples: (format, length, ...)
   flow sample:    source, rate, pool, drops, input, output, records: raw header, IP, switch, router
   counter sample: source, records: interface counters
```
A format that is not known has its length, and is passed over and counted, as the document wants.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Final

from skytrail.wire.errors import DecodeError
from skytrail.wire.frame.beginning import FrameFlow, flow_of_frame, flow_of_packet

SAMPLES_COUNT_MAX: Final = 256
RECORDS_COUNT_MAX: Final = 64
_VERSION: Final = 5
_RFC: Final = "sFlow version 5, section 5"
_WORD: Final = struct.Struct("!I")
_SWITCH_ITSELF: Final = 0x3FFFFFFF
"""As an interface: the packet comes from the switch, or goes to it."""
_ETHERNET_HEADER: Final = 1
_IP_HEADERS: Final = frozenset({11, 12})
"""Values of ``header_protocol``: IPv4, IPv6."""

_COUNTERS: Final = struct.Struct("!IIQIIQIIIIIIQIIIIII")
_COUNTER_NAMES: Final = (
    *("ifIndex", "ifType", "ifSpeed", "ifDirection", "ifStatus", "ifInOctets", "ifInUcastPkts"),
    *("ifInMulticastPkts", "ifInBroadcastPkts", "ifInDiscards", "ifInErrors", "ifInUnknownProtos"),
    *("ifOutOctets", "ifOutUcastPkts", "ifOutMulticastPkts", "ifOutBroadcastPkts"),
    *("ifOutDiscards", "ifOutErrors", "ifPromiscuousMode"),
)
COUNTER_WIDTHS: Final = MappingProxyType(
    {
        name: 64 if name.endswith("Octets") else 32
        for name in _COUNTER_NAMES
        if name.startswith(("ifIn", "ifOut")) and name != "ifIndex"
    }
)
"""Counters of an interface to their width in bits: they begin again at zero behind it."""


@dataclass(frozen=True, slots=True)
class FlowSample:
    """One sampled packet; it stands for ``sampling_rate`` of them."""

    sampling_rate: int
    input_index: int
    """0 when not known, or when the packet comes from the switch itself."""
    output_index: int
    """0 when dropped, not known, or for several interfaces."""
    frame_bytes: int
    """Of the whole packet on the wire."""
    flow: FrameFlow
    nexthop: str = ""
    """The router it is sent to, where the switch routes."""


@dataclass(frozen=True, slots=True)
class CounterSample:
    """Counters of one interface, by their names in the interfaces MIB."""

    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SflowDatagram:
    agent: str
    sub_agent: int
    sequence: int
    uptime_ms: int
    flows: tuple[FlowSample, ...]
    counters: tuple[CounterSample, ...]
    unknown_count: int
    """Samples of formats that are not known."""


class _Reader:
    """Reads words; everything beyond the end is a ``DecodeError``."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data, self._start, self.at = data, start, 0

    def word(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def words(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f"!{count}I", self.take(4 * count))

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self.at:
            raise DecodeError("it ends too early", self._start + self.at, _RFC)
        self.at += size
        return self._data[self.at - size : self.at]

    def opaque(self) -> bytes:
        size = self.word()
        taken = self.take(size)
        self.take(-size % 4)
        return taken

    def address(self) -> str:
        kind = self.word()
        if kind == 0:
            return ""
        if kind == 1:
            return str(IPv4Address(self.take(4)))
        if kind == 2:
            return str(IPv6Address(self.take(16)))
        raise DecodeError(f"address of type {kind}", self._start + self.at, _RFC)

    def piece(self) -> _Reader:
        """Return what reads the next length-prefixed structure alone."""
        size, start = self.word(), self._start + self.at
        return _Reader(self.take(size), start)


def decode_datagram(data: bytes) -> SflowDatagram:
    """Read a datagram; ``DecodeError`` when it is none."""
    reader = _Reader(data)
    version = reader.word()
    if version != _VERSION:
        raise DecodeError(f"version {version}, not {_VERSION}", 0, _RFC)
    agent = reader.address()
    sub_agent, sequence, uptime_ms, count = reader.words(4)
    if count > SAMPLES_COUNT_MAX:
        raise DecodeError(f"{count} samples", reader.at - 4, _RFC)
    flows: list[FlowSample] = []
    counters: list[CounterSample] = []
    unknown_count = 0
    for _ in range(count):
        kind, sample = reader.word(), reader.piece()
        if kind in {1, 3}:
            flows.append(_flow_sample(sample, is_expanded=kind == 3))
        elif kind in {2, 4}:
            counters += _counter_samples(sample, is_expanded=kind == 4)
        else:
            unknown_count += 1
    return SflowDatagram(
        agent, sub_agent, sequence, uptime_ms, tuple(flows), tuple(counters), unknown_count
    )


def _flow_sample(reader: _Reader, *, is_expanded: bool) -> FlowSample:
    reader.words(3 if is_expanded else 2)
    rate, _, _ = reader.words(3)
    if is_expanded:
        input_format, input_index, output_format, output_index = reader.words(4)
    else:
        # Two bits of each say what the rest is (section 5.3.1): 0 is an interface.
        (input_format, input_index), (output_format, output_index) = (
            (word >> 30, word & 0x3FFFFFFF) for word in reader.words(2)
        )
    state = _Packet()
    for _ in range(_records_count(reader)):
        kind, record = reader.word(), reader.piece()
        read = _FLOW_RECORDS.get(kind)
        if read is not None:
            read(state, record)
    return FlowSample(
        rate,
        input_index if input_format == 0 and input_index != _SWITCH_ITSELF else 0,
        output_index if output_format == 0 and output_index != _SWITCH_ITSELF else 0,
        state.frame_bytes,
        state.shown(),
        state.nexthop,
    )


def _records_count(reader: _Reader) -> int:
    count = reader.word()
    if count > RECORDS_COUNT_MAX:
        raise DecodeError(f"{count} records in one sample", 0, _RFC)
    return count


def _counter_samples(reader: _Reader, *, is_expanded: bool) -> list[CounterSample]:
    reader.words(3 if is_expanded else 2)
    found: list[CounterSample] = []
    for _ in range(_records_count(reader)):
        kind, record = reader.word(), reader.piece()
        if kind == 1:
            values = _COUNTERS.unpack(record.take(_COUNTERS.size))
            found.append(CounterSample(dict(zip(_COUNTER_NAMES, values, strict=True))))
    return found


class _Packet:
    """What the records of one flow sample say of its packet; the raw header before all others."""

    def __init__(self) -> None:
        self.frame_bytes = 0
        self.nexthop = ""
        self._raw: FrameFlow | None = None
        self._said: FrameFlow | None = None
        self._vlan = 0

    def shown(self) -> FrameFlow:
        flow = self._raw or self._said or FrameFlow()
        if flow.vlan or not self._vlan:
            return flow
        return FrameFlow(
            flow.source,
            flow.destination,
            flow.protocol,
            flow.source_port,
            flow.destination_port,
            self._vlan,
            flow.network_id,
            flow.inner,
        )

    def raw_header(self, record: _Reader) -> None:
        protocol, self.frame_bytes, _ = record.words(3)
        header = record.opaque()
        if protocol == _ETHERNET_HEADER:
            self._raw = flow_of_frame(header)
        elif protocol in _IP_HEADERS:
            self._raw = flow_of_packet(header)

    def ethernet(self, record: _Reader) -> None:
        self.frame_bytes = self.frame_bytes or record.word()

    def ipv4(self, record: _Reader) -> None:
        self._ip(record, 4)

    def ipv6(self, record: _Reader) -> None:
        self._ip(record, 16)

    def _ip(self, record: _Reader, size: int) -> None:
        length, protocol = record.words(2)
        make = IPv4Address if size == 4 else IPv6Address
        source, destination = (str(make(record.take(size))) for _ in range(2))
        source_port, destination_port = record.words(2)
        self.frame_bytes = self.frame_bytes or length
        self._said = FrameFlow(
            source, destination, protocol & 0xFF, source_port & 0xFFFF, destination_port & 0xFFFF
        )

    def switch(self, record: _Reader) -> None:
        self._vlan = record.words(4)[0] & 0xFFF

    def router(self, record: _Reader) -> None:
        self.nexthop = record.address()


_FLOW_RECORDS: Final[Mapping[int, Callable[[_Packet, _Reader], None]]] = MappingProxyType(
    {
        1: _Packet.raw_header,
        2: _Packet.ethernet,
        3: _Packet.ipv4,
        4: _Packet.ipv6,
        1001: _Packet.switch,
        1002: _Packet.router,
    }
)
"""Formats of flow records that are read."""
