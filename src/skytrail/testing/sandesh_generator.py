"""A process that speaks Sandesh to a collector over TCP, as the original system's do."""

from __future__ import annotations

import socket
import time
from typing import Final

from skytrail.testing.sandesh_flows import flow_message
from skytrail.testing.sandesh_sessions import session_message
from skytrail.wire.sandesh import (
    ClientHello,
    Field,
    SandeshFramer,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    encode_client_hello,
    encode_message,
    frame_of,
)
from skytrail.wire.sandesh.control import control_header

MODULE: Final = "contrail-control"
PATIENCE_S: Final = 30.0
_DAY_S: Final = 86_400
_PID: Final = 5


class Generator:
    """Says who it is and waits to be admitted; then tells what it is asked to."""

    def __init__(self, port: int, module: str = MODULE) -> None:
        self.module, self.sequence = module, 0
        self.stream = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        header = control_header("h1", module, "Control", "0")
        hello = ClientHello("h1", module, "Control", "0", pid=_PID)
        self.stream.sendall(frame_of(encode_client_hello(hello, header)))
        framer = SandeshFramer()
        while framer.next_frame() is None:
            framer.feed(self.stream.recv(65536))

    def log(
        self, name: str = "PeerEvent", level: int = 4, days_ago: int = 0, **fields: str
    ) -> None:
        """Tell a numbered log about an object: about a peer, where field ``peer`` names one."""
        self.sequence += 1
        header = SandeshHeader(
            "h1", self.module, "Control", "0", _us(days_ago), self.sequence,
            SandeshType.OBJECT, level=level, category="BGP",
        )  # fmt: skip
        typed = {key: Field("string", text) for key, text in fields.items()}
        if "peer" in typed:
            typed["peer"] = Field("string", fields["peer"], "", {"key": "ObjectBgpPeer"})
        self.send(SandeshMessage(header, name, typed))

    def flows(self, *flows: Struct) -> None:
        """Tell flows in one message."""
        header = self._header(SandeshType.FLOW)
        self.send(flow_message(header, flows[0] if len(flows) == 1 else flows))

    def sessions(self, *endpoints: Struct, days_ago: int = 0) -> None:
        """Tell sessions in one message."""
        self.send(session_message(self._header(SandeshType.SESSION, days_ago), endpoints))

    def send(self, message: SandeshMessage) -> None:
        self.stream.sendall(frame_of(encode_message(message)))

    def _header(self, kind: SandeshType, days_ago: int = 0) -> SandeshHeader:
        return SandeshHeader("h1", self.module, "Control", "0", _us(days_ago), type=kind)


def _us(days_ago: int) -> int:
    return round((time.time() - _DAY_S * days_ago) * 1e6)
