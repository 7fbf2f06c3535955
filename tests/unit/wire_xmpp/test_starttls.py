"""Encryption of a stream: what must be said before, who may speak after."""

from __future__ import annotations

import pytest

from skytrail.wire.xmpp import (
    Close,
    CloseReason,
    Connected,
    Deliver,
    EndOfRib,
    Established,
    Received,
    Secured,
    SecuringFailed,
    Send,
    Session,
    StartTls,
    State,
    Tick,
    Write,
    client_settings,
    server_settings,
)
from skytrail.wire.xmpp.session import OPEN_TIME_S, Action

OPENING = b"<stream:stream from='compute-7' to='x' xmlns:stream='s'>"


def written(actions: list[Action]) -> bytes:
    return b"".join(action.chunk for action in actions if isinstance(action, Write))


def say(receiver: Session, chunk: bytes) -> list[Action]:
    return receiver.step(Received(chunk), 0.0)


def at_handshake() -> tuple[Session, Session]:
    """Both ends, each told by the other to begin the handshake."""
    client = Session(client_settings("compute-7", uses_tls=True))
    server = Session(server_settings(uses_tls=True))
    server.step(Connected(), 0.0)
    features = say(server, written(client.step(Connected(), 0.0)))
    request = say(client, written(features))
    proceed = say(server, written(request))
    assert proceed[-1] == StartTls()
    assert say(client, written(proceed)) == [StartTls()]
    return client, server


def negotiating_server() -> Session:
    server = Session(server_settings(uses_tls=True))
    server.step(Connected(), 0.0)
    assert b"<starttls" in written(say(server, OPENING))
    assert server.state is State.NEGOTIATING
    return server


def refusal(actions: list[Action]) -> Close:
    close = actions[-1]
    assert isinstance(close, Close)
    return close


def test_the_stream_begins_anew_under_tls_and_carries_messages() -> None:
    client, server = at_handshake()

    assert server.step(Secured(("compute-7",)), 0.0) == []
    answer = say(server, written(client.step(Secured(), 0.0)))
    assert answer[-1] == Established("compute-7")
    say(client, written(answer))
    assert client.state is State.ESTABLISHED
    assert say(client, written(server.step(Send(EndOfRib()), 0.0))) == [Deliver(EndOfRib())]


@pytest.mark.parametrize("names", [("compute-8",), (), ("compute-70", "Compute-7")])
def test_a_client_must_be_who_its_certificate_says(names: tuple[str, ...]) -> None:
    client, server = at_handshake()
    server.step(Secured(names), 0.0)

    close = refusal(say(server, written(client.step(Secured(), 0.0))))

    assert close.reason is CloseReason.REFUSED
    assert "compute-7" in close.text
    assert (names[0] if names else "nobody") in close.text


def test_nothing_but_the_request_for_tls_is_taken_before_it() -> None:
    stanza = b'<iq type="set"><pubsub><subscribe node="a:b:c:c"/></pubsub></iq>'

    close = refusal(say(negotiating_server(), stanza))

    assert close.reason is CloseReason.BAD_INPUT
    assert "TLS is required" in close.text


def test_what_is_said_in_the_clear_behind_the_request_ends_the_session() -> None:
    injected = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><iq type='set'>"

    actions = say(negotiating_server(), injected)

    assert refusal(actions).reason is CloseReason.BAD_INPUT
    assert StartTls() not in actions


def test_bytes_during_the_handshake_are_not_the_session_s() -> None:
    _, server = at_handshake()

    assert say(server, OPENING) == []
    assert server.state is State.SECURING


def test_a_client_with_tls_says_nothing_to_a_server_without() -> None:
    client = Session(client_settings("compute-7", uses_tls=True))
    server = Session(server_settings())
    server.step(Connected(), 0.0)
    client.step(Connected(), 0.0)
    assert say(client, written(say(server, OPENING))) == []

    assert written(client.step(Send(EndOfRib()), 0.0)) == b""
    close = refusal(client.step(Tick(), OPEN_TIME_S))
    assert "did not begin TLS" in close.text


def test_a_client_without_tls_is_told_why_it_is_alone() -> None:
    client = Session(client_settings("compute-7"))
    client.step(Connected(), 0.0)
    server = Session(server_settings(uses_tls=True))
    server.step(Connected(), 0.0)

    close = refusal(say(client, written(say(server, OPENING))))

    assert close.reason is CloseReason.REFUSED
    assert "requires TLS" in close.text


def test_a_failed_handshake_closes_with_its_reason() -> None:
    _, server = at_handshake()

    assert server.step(SecuringFailed("certificate verify failed"), 0.0) == [
        Close(CloseReason.REFUSED, "certificate verify failed")
    ]


def test_a_handshake_that_never_ends_is_closed_with_the_open_time() -> None:
    _, server = at_handshake()

    assert refusal(server.step(Tick(), OPEN_TIME_S)).reason is CloseReason.OPEN_TIMER


@pytest.mark.parametrize(
    "answer", [b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", b"<stream:features/>"]
)
def test_a_server_that_does_not_proceed_gets_nothing_from_a_client(answer: bytes) -> None:
    client = Session(client_settings("compute-7", uses_tls=True))
    client.step(Connected(), 0.0)
    say(client, b"<stream:stream from='control' to='x' xmlns:stream='s'>")

    actions = say(client, answer)

    assert isinstance(refusal(actions), Close)
    assert StartTls() not in actions
