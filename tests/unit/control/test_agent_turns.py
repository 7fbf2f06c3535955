"""Agents' sockets: nobody waits for one who says much, nor for a thousand who go at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from skytrail.control.io.xmpp import INPUT_BYTES, LOST_COUNT_MAX, AgentConnection, XmppServer
from skytrail.control.plane import ControlPlane
from skytrail.testing.control_plane import inet_route, instance_of, routing_instance
from skytrail.wire.xmpp import (
    Connected,
    Message,
    PublishRoute,
    Received,
    Session,
    Subscribe,
    Write,
    client_settings,
)
from skytrail.wire.xmpp.codec import CONTROL_JID, encode

RED = instance_of("red")
ROUTES_COUNT = 100


class StillClock:
    def now(self) -> float:
        return 1.0


class TurnedByHand(XmppServer):
    """The real server; its loop turns when a test says so."""

    def __init__(self) -> None:
        plane = ControlPlane()
        plane.config_replace([routing_instance("red", both=[1])])
        plane.commit(1, 0.0)
        super().__init__(plane, StillClock(), 90.0)
        self.soon: deque[Callable[[], None]] = deque()

    def schedule_flush(self) -> None: ...

    def call_soon(self, action: Callable[[], None]) -> None:
        self.soon.append(action)

    def turn(self) -> None:
        for _ in range(len(self.soon)):
            self.soon.popleft()()

    def routes_count(self, name: str) -> int:
        return self.plane.peers[name].routes_count  # type: ignore[index]


class Line:
    """A transport, and the agent at its other end."""

    def __init__(self, server: TurnedByHand, name: str) -> None:
        self.name = name
        self.is_reading = True
        self._agent = Session(client_settings(name))
        self.connection = AgentConnection(server)
        self.connection.connection_made(self)  # type: ignore[arg-type]
        for action in self._agent.step(Connected(), 0.0):
            assert isinstance(action, Write)
            self.connection.data_received(action.chunk)
        while server.soon:
            server.turn()

    def say(self, *messages: Message) -> bytes:
        said = b"".join(encode(each, sender=self.name, receiver=CONTROL_JID) for each in messages)
        self.connection.data_received(said)
        return said

    def write(self, chunk: bytes) -> None:
        self._agent.step(Received(chunk), 0.0)

    def writelines(self, chunks: list[bytes]) -> None:
        self.write(b"".join(chunks))

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> object: ...


@pytest.fixture
def server() -> TurnedByHand:
    return TurnedByHand()


def many() -> list[Message]:
    return [PublishRoute(RED, inet_route(f"10.1.1.{each}/32")) for each in range(ROUTES_COUNT)]


def test_much_input_of_one_agent_is_acted_on_over_several_turns(server: TurnedByHand) -> None:
    line = Line(server, "a")
    line.say(Subscribe(RED, 1))

    said = line.say(*many())
    counts = [server.routes_count("a")]
    while server.soon:
        assert not line.is_reading
        server.turn()
        counts.append(server.routes_count("a"))

    assert 0 < counts[0] < ROUTES_COUNT == counts[-1]
    assert len(counts) >= len(said) / INPUT_BYTES
    assert line.is_reading


def test_others_have_their_turn_meanwhile(server: TurnedByHand) -> None:
    busy, other = Line(server, "busy"), Line(server, "other")
    for line in (busy, other):
        line.say(Subscribe(RED, 1))
        while server.soon:
            server.turn()

    busy.say(*many())
    other.say(PublishRoute(RED, inet_route("10.2.2.2/32")))
    server.turn()
    server.turn()

    assert server.routes_count("other") == 1
    assert server.routes_count("busy") < ROUTES_COUNT


def test_lost_connections_are_followed_some_in_each_turn(server: TurnedByHand) -> None:
    lines = [Line(server, f"a{each}") for each in range(LOST_COUNT_MAX + 1)]

    for line in lines:
        line.connection.connection_lost(None)
    server.turn()
    left = [line.name for line in lines if line.name in server.by_name]
    server.turn()

    assert left == [lines[-1].name]
    assert not server.by_name


def test_input_that_waited_is_dropped_with_its_connection(server: TurnedByHand) -> None:
    line = Line(server, "a")
    line.say(Subscribe(RED, 1))
    line.say(*many())
    before = server.routes_count("a")

    line.connection.connection_lost(None)
    while server.soon:
        server.turn()

    assert server.routes_count("a") == before
    assert not server.connections
