"""The compact stream by which Skytrail's own processes tell the analytics node of themselves.

    process --Hello------------------------> collector
    process <-Known: newest number per struct-
    process --Uve, Log, Sessions, Lost ...-->
    process <-Kept: up to which number------- as soon as they cannot be lost any more
    process --Confirmed: that it heard so---> where the collector wants to know
    process <-Ask: a page it shows of itself--
    process --Answer, in parts-------------->

Frames are four bytes of length (big-endian) and one message in MessagePack. As with Sandesh, what
the collector has of a process already is not said again after a lost connection. Logs, sessions and
losses are numbered together: a process repeats those of which it does not know that they are kept.
"""

from skytrail.wire.telemetry.codec import (
    FRAME_BYTES_MAX,
    HELLO_BYTES_MAX,
    TelemetryFramer,
    decode,
    encode,
    kind_of,
)
from skytrail.wire.telemetry.entities import node_status
from skytrail.wire.telemetry.messages import (
    Answer,
    Ask,
    Confirmed,
    Hello,
    Kept,
    Known,
    Log,
    Lost,
    Message,
    Statistic,
    Uve,
)
from skytrail.wire.telemetry.sessions import Sessions, Texts

__all__ = [
    "FRAME_BYTES_MAX",
    "HELLO_BYTES_MAX",
    "Answer",
    "Ask",
    "Confirmed",
    "Hello",
    "Kept",
    "Known",
    "Log",
    "Lost",
    "Message",
    "Sessions",
    "Statistic",
    "TelemetryFramer",
    "Texts",
    "Uve",
    "decode",
    "encode",
    "kind_of",
    "node_status",
]
