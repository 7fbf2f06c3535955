"""sFlow version 5: samples of packets and counters of interfaces, as switches send them over UDP.

Source: sFlow.org, "sFlow Version 5", July 2004.
"""

from skytrail.wire.sflow.datagram import (
    COUNTER_WIDTHS,
    CounterSample,
    FlowSample,
    SflowDatagram,
    decode_datagram,
)

__all__ = ["COUNTER_WIDTHS", "CounterSample", "FlowSample", "SflowDatagram", "decode_datagram"]
