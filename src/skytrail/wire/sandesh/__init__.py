"""Sandesh: what generators of the original system tell a collector over TCP.

A connection carries text frames, each one message in XML (``framing``); a message is a header and
a tree of typed, annotated fields (``message``, ``codec``). A generator opens with a control
message, the collector answers with the newest sequence number it has for each type of UVE, and the
generator repeats what is newer (``control``): so that a change of collector loses nothing.
"""

from skytrail.wire.sandesh.codec import decode_message, encode_body, encode_message
from skytrail.wire.sandesh.control import (
    ClientHello,
    decode_client_hello,
    encode_client_hello,
    encode_server_hello,
)
from skytrail.wire.sandesh.framing import SandeshFramer, frame_of
from skytrail.wire.sandesh.message import (
    Field,
    Hint,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    StructMap,
    Value,
    plain,
)

__all__ = [
    "ClientHello",
    "Field",
    "Hint",
    "SandeshFramer",
    "SandeshHeader",
    "SandeshMessage",
    "SandeshType",
    "Struct",
    "StructMap",
    "Value",
    "decode_client_hello",
    "decode_message",
    "encode_body",
    "encode_client_hello",
    "encode_message",
    "encode_server_hello",
    "frame_of",
    "plain",
]
