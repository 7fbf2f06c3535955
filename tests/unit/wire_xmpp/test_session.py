"""The session state machine, two ends joined by nothing but their actions."""

from __future__ import annotations

import pytest

from skytrail.wire.xmpp import (
    Close,
    CloseReason,
    CloseRequested,
    Connected,
    Deliver,
    Disconnected,
    EndOfRib,
    Established,
    Received,
    Send,
    Session,
    State,
    Subscribe,
    Tick,
    Write,
    client_settings,
    server_settings,
)
from skytrail.wire.xmpp.codec import CONTROL_JID
from skytrail.wire.xmpp.session import KEEPALIVE, OPEN_TIME_S, Action


def written(actions: list[Action]) -> bytes:
    return b"".join(action.chunk for action in actions if isinstance(action, Write))


def established() -> tuple[Session, Session]:
    client, server = Session(client_settings("compute-7")), Session(server_settings())
    assert server.step(Connected(), 0.0) == []
    answer = server.step(Received(written(client.step(Connected(), 0.0))), 0.0)
    client.step(Received(written(answer)), 0.0)
    assert client.state is State.ESTABLISHED
    assert server.state is State.ESTABLISHED
    return client, server


def test_opening_tells_each_end_the_other_s_name() -> None:
    client, server = established()

    assert server.peer == "compute-7"
    assert client.peer == CONTROL_JID


def test_client_speaks_first_and_server_answers() -> None:
    client, server = Session(client_settings("compute-7")), Session(server_settings())
    server.step(Connected(), 0.0)

    answer = server.step(Received(written(client.step(Connected(), 0.0))), 0.0)

    assert isinstance(answer[0], Write)
    assert answer[1] == Established("compute-7")
    assert client.step(Received(written(answer)), 0.0) == [Established(CONTROL_JID)]


def test_messages_cross_in_both_directions() -> None:
    client, server = established()
    subscribe = Subscribe("a:b:c:c", 3)

    assert server.step(Received(written(client.step(Send(subscribe), 1.0))), 1.0) == [
        Deliver(subscribe)
    ]
    assert client.step(Received(written(server.step(Send(EndOfRib()), 1.0))), 1.0) == [
        Deliver(EndOfRib())
    ]


def test_sending_before_the_session_stands_is_ignored() -> None:
    client = Session(client_settings("compute-7"))
    client.step(Connected(), 0.0)

    assert client.step(Send(EndOfRib()), 0.0) == []


def test_keepalive_goes_out_at_a_third_of_the_hold_time() -> None:
    client, _ = established()

    assert client.next_deadline() == 30.0
    assert client.step(Tick(), 29.9) == []
    assert client.step(Tick(), 30.0) == [Write(KEEPALIVE)]
    assert client.next_deadline() == 60.0


def test_keepalive_of_the_peer_holds_the_session() -> None:
    client, _ = established()
    client.step(Received(KEEPALIVE), 80.0)

    client.step(Tick(), 91.0)

    assert client.state is State.ESTABLISHED


def test_hold_timer_expiry_closes_with_goodbye() -> None:
    client, _ = established()

    actions = client.step(Tick(), 90.0)

    assert actions == [
        Write(b"</stream:stream>"),
        Close(CloseReason.HOLD_TIMER, "nothing heard in time"),
    ]
    assert client.step(Tick(), 91.0) == []


def test_silent_caller_is_closed_after_the_open_time() -> None:
    server = Session(server_settings())
    server.step(Connected(), 0.0)

    assert server.step(Tick(), OPEN_TIME_S) == [
        Close(CloseReason.OPEN_TIMER, "nothing heard in time")
    ]


def test_trickled_header_does_not_extend_the_open_time() -> None:
    server = Session(server_settings())
    server.step(Connected(), 0.0)
    server.step(Received(b"<stream"), OPEN_TIME_S - 1)

    assert server.step(Tick(), OPEN_TIME_S)[-1] == Close(
        CloseReason.OPEN_TIMER, "nothing heard in time"
    )


def test_bad_input_closes_after_delivering_what_came_before() -> None:
    client, server = established()
    good = written(client.step(Send(Subscribe("a:b:c:c", 3)), 1.0))

    actions = server.step(Received(good + b"<iq><!ENTITY"), 1.0)
    actions += server.step(Received(b"></iq>"), 1.0)

    assert actions[0] == Deliver(Subscribe("a:b:c:c", 3))
    assert isinstance(actions[-1], Close)
    assert actions[-1].reason is CloseReason.BAD_INPUT


@pytest.mark.parametrize("sender", [b"", b" from='/dns'"])
def test_nameless_peer_is_refused(sender: bytes) -> None:
    server = Session(server_settings())
    server.step(Connected(), 0.0)

    header = b"<stream:stream xmlns:stream='s' to='x'%s>" % sender
    (close,) = server.step(Received(header), 0.0)

    assert isinstance(close, Close)
    assert close.reason is CloseReason.BAD_INPUT


def test_stream_end_of_the_peer_is_answered() -> None:
    client, server = established()

    actions = server.step(Received(written(client.step(CloseRequested(), 5.0))), 5.0)

    assert actions == [Write(b"</stream:stream>"), Close(CloseReason.PEER_CLOSED, "")]


def test_transport_loss_is_reported_once() -> None:
    client, _ = established()

    assert client.step(Disconnected(), 1.0) == [Close(CloseReason.DISCONNECTED, "")]
    assert client.step(Disconnected(), 1.0) == []
    assert client.step(Received(b"<iq/>"), 1.0) == []


def test_server_takes_no_stanza_that_would_outgrow_its_receivers() -> None:
    server = Session(server_settings())
    server.step(Connected(), 0.0)
    server.step(Received(b"<stream:stream xmlns:stream='s' from='a' to='x'>"), 0.0)

    actions = server.step(Received(b"<iq>" + b"x" * (128 * 1024)), 0.0)

    assert isinstance(actions[-1], Close)
    assert "longer than 131072 bytes" in actions[-1].text
