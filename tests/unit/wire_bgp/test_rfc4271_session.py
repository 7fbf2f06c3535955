"""The finite state machine of RFC 4271 section 8, and NOTIFICATIONs of sections 6.1, 6.2, 6.5, 6.6."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from skytrail.testing.bgp import MANDATORY, TEN_SLASH_8, Pair, messages_of, update_body
from skytrail.wire.bgp import (
    Accepted,
    AttemptFailed,
    BgpSession,
    Cease,
    CloseConnection,
    Connect,
    Connected,
    ConnectFailed,
    Deliver,
    Disconnected,
    Down,
    DownReason,
    ErrorCode,
    Established,
    MessageType,
    Notification,
    Open,
    Received,
    SessionSettings,
    Start,
    State,
    Stop,
    Tick,
    Write,
    decode_notification,
    encode_keepalive,
    encode_notification,
    encode_open,
)
from skytrail.wire.bgp.framing import framed

LEFT = SessionSettings(64512, IPv4Address("192.0.2.1"), 64512)
RIGHT = SessionSettings(64512, IPv4Address("192.0.2.2"), 64512, is_passive=True)
PEER_OPEN = Open(64512, 90, IPv4Address("192.0.2.2"))


def of_type(kind, actions):
    return [action for action in actions if isinstance(action, kind)]


def notifications(actions):
    return [
        decode_notification(body)
        for write in of_type(Write, actions)
        for kind, body in messages_of(write.chunk)
        if kind is MessageType.NOTIFICATION
    ]


def opened(settings=LEFT, peer=PEER_OPEN):
    """A session whose outgoing connection 1 is confirmed but not established."""
    session = BgpSession(settings)
    session.step(Start(), 0.0)
    session.step(Connected(1), 0.0)
    session.step(Received(1, encode_open(peer)), 0.0)
    return session


def established(settings=LEFT, peer=PEER_OPEN):
    session = opened(settings, peer)
    session.step(Received(1, encode_keepalive()), 0.0)
    assert session.state is State.ESTABLISHED
    return session


def test_two_ends_establish_and_agree():
    pair = Pair(LEFT, RIGHT)

    pair.start()
    pair.run()

    assert [end.state for end in pair.ends] == [State.ESTABLISHED] * 2
    (left,) = of_type(Established, pair.actions[0])
    (right,) = of_type(Established, pair.actions[1])
    assert left.negotiated.peer_router_id == RIGHT.router_id
    assert right.negotiated.peer_router_id == LEFT.router_id
    assert left.negotiated.families == right.negotiated.families


def test_an_active_session_dials_on_start_and_a_passive_one_waits():
    active, passive = BgpSession(LEFT), BgpSession(RIGHT)

    assert active.step(Start(), 0.0) == [Connect(1)]
    assert passive.step(Start(), 0.0) == []
    assert (active.state, passive.state) == (State.CONNECT, State.ACTIVE)
    assert passive.next_deadline() == float("inf")


def test_starting_twice_changes_nothing():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)

    assert session.step(Start(), 1.0) == []


def test_failed_attempts_are_repeated_after_growing_pauses_up_to_the_retry_time():
    session = BgpSession(replace(LEFT, connect_retry_s=30.0, connect_retry_first_s=1.0))
    (dial,) = session.step(Start(), 0.0)
    pauses = []
    now = 0.0
    for _ in range(8):
        session.step(ConnectFailed(dial.connection, "refused"), now)
        pauses.append(session.next_deadline() - now)
        now = session.next_deadline()
        (dial,) = of_type(Connect, session.step(Tick(), now))

    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_jitter_shortens_the_retry_timer():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)

    session.step(ConnectFailed(1), 10.0, jitter=0.75)

    assert session.next_deadline() == 10.75


def test_an_attempt_that_hangs_is_given_up_after_the_retry_time():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)

    actions = session.step(Tick(), 30.0)

    assert actions[0] == CloseConnection(1)
    assert of_type(AttemptFailed, actions)[0].reason is DownReason.TRANSPORT
    assert session.step(Connected(1), 30.5) == [CloseConnection(1)]


def test_keepalives_go_out_every_third_of_the_lower_hold_time():
    session = established(replace(LEFT, hold_time_s=90), replace(PEER_OPEN, hold_time_s=30))

    assert session.negotiated.hold_time_s == 30
    assert session.next_deadline() == 10
    assert session.step(Tick(), 10.0) == [Write(1, encode_keepalive())]
    assert session.next_deadline() == 20


def test_hold_time_zero_sets_no_timers():
    session = established(LEFT, replace(PEER_OPEN, hold_time_s=0))

    assert session.next_deadline() == float("inf")
    assert session.step(Tick(), 1e9) == []
    assert session.state is State.ESTABLISHED


def test_with_hold_time_zero_a_missing_keepalive_still_ends_the_attempt():
    session = opened(LEFT, replace(PEER_OPEN, hold_time_s=0))

    actions = session.step(Tick(), 15.0)

    assert of_type(AttemptFailed, actions)[0].reason is DownReason.OPEN_TIMER


def test_hold_timer_expiry_sends_notification_4_and_ends_the_session():
    session = established()

    actions = session.step(Tick(), 90.0)

    assert notifications(actions) == [Notification(ErrorCode.HOLD_TIMER, 0)]
    assert of_type(Down, actions)[0].reason is DownReason.HOLD_TIMER
    assert not of_type(Down, actions)[0].graceful


@pytest.mark.parametrize(
    "message", [encode_keepalive(), framed(MessageType.UPDATE, update_body(MANDATORY, TEN_SLASH_8))]
)
def test_keepalive_and_update_restart_the_hold_timer(message):
    session = established()

    session.step(Received(1, message), 80.0)
    late = session.step(Tick(), 120.0)

    assert not of_type(Down, late)
    assert of_type(Down, session.step(Tick(), 170.0))


def test_no_open_in_time_ends_the_attempt():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)
    session.step(Connected(1), 0.0)

    actions = session.step(Tick(), 15.0)

    assert notifications(actions) == [Notification(ErrorCode.HOLD_TIMER, 0)]
    assert of_type(AttemptFailed, actions)[0].reason is DownReason.OPEN_TIMER


def test_updates_are_delivered_in_order_whatever_the_chunks():
    session = established()
    first = framed(MessageType.UPDATE, update_body(MANDATORY, TEN_SLASH_8))
    second = framed(MessageType.UPDATE, update_body(withdrawn=TEN_SLASH_8))
    stream = first + encode_keepalive() + second

    actions = [
        action for byte in stream for action in session.step(Received(1, bytes((byte,))), 1.0)
    ]

    assert [bool(action.message.reach) for action in actions] == [True, False]


@pytest.mark.parametrize(
    ("stream", "code", "subcode", "data"),
    [
        (b"\0" * 19, 1, 1, b""),
        (b"\xff" * 16 + b"\x00\x12\x04", 1, 2, b"\x00\x12"),
        (b"\xff" * 16 + b"\x00\x14\x04\x00", 1, 2, b"\x00\x14"),
        (b"\xff" * 16 + b"\x10\x01\x02", 1, 2, b"\x10\x01"),
        (b"\xff" * 16 + b"\x00\x13\x09", 1, 3, b"\x09"),
    ],
    ids=["marker", "too short", "long keepalive", "too long", "type"],
)
def test_header_errors_are_answered_as_section_6_1_says(stream, code, subcode, data):
    session = established(replace(LEFT, extended_message=False))

    actions = session.step(Received(1, stream), 1.0)

    assert notifications(actions) == [Notification(code, subcode, data)]
    assert of_type(Down, actions)[0].reason is DownReason.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("peer", "subcode", "data"),
    [
        (replace(PEER_OPEN, version=3), 1, b"\x00\x04"),
        (replace(PEER_OPEN, asn=65000), 2, b""),
        (replace(PEER_OPEN, router_id=IPv4Address(0)), 3, b""),
        (replace(PEER_OPEN, router_id=LEFT.router_id), 3, b""),
        (replace(PEER_OPEN, hold_time_s=2), 6, b""),
        (replace(PEER_OPEN, unknown_families=((16388, 71),)), 7, b"\x01\x04\x00\x01\x00\x01"),
    ],
    ids=["version", "as", "no id", "our id", "hold time", "families"],
)
def test_open_errors_are_answered_as_section_6_2_says(peer, subcode, data):
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)
    session.step(Connected(1), 0.0)

    actions = session.step(Received(1, encode_open(peer)), 0.0)

    assert notifications(actions) == [Notification(ErrorCode.OPEN, subcode, data)]
    assert session.state is State.IDLE


def test_equal_router_ids_are_fine_across_autonomous_systems():
    """RFC 6286 section 2.1."""
    session = established(
        replace(LEFT, peer_as=65001), replace(PEER_OPEN, asn=65001, router_id=LEFT.router_id)
    )

    assert session.state is State.ESTABLISHED


def test_any_as_is_accepted_where_none_is_configured():
    session = established(replace(LEFT, peer_as=0), replace(PEER_OPEN, asn=4_200_000_001))

    assert session.negotiated.peer_as == 4_200_000_001


@pytest.mark.parametrize(
    ("make", "message", "subcode"),
    [
        (opened, framed(MessageType.UPDATE, update_body()), 2),
        (established, encode_open(PEER_OPEN), 3),
    ],
)
def test_messages_out_of_place_are_state_machine_errors(make, message, subcode):
    session = make()

    actions = session.step(Received(1, message), 1.0)

    assert notifications(actions)[0].code == ErrorCode.STATE_MACHINE
    assert notifications(actions)[0].subcode == subcode


def test_a_peer_out_of_step_is_dialled_again_at_once():
    """FRR loses its OPEN when both sides dial at once: its next attempt is good."""
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)
    session.step(Connected(1), 0.0)
    session.step(Received(1, encode_keepalive()), 0.0)

    actions = session.step(Tick(), LEFT.connect_retry_first_s)

    assert [type(action) for action in actions] == [Connect]


def test_an_update_before_the_open_is_a_state_machine_error():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)
    session.step(Connected(1), 0.0)

    actions = session.step(Received(1, framed(MessageType.UPDATE, update_body())), 0.0)

    assert (notifications(actions)[0].code, notifications(actions)[0].subcode) == (5, 1)


def test_protocol_errors_are_followed_by_growing_pauses():
    session = BgpSession(LEFT)
    (dial,) = session.step(Start(), 0.0)
    pauses = []
    now = 0.0
    for _ in range(6):
        session.step(Connected(dial.connection), now)
        session.step(Received(dial.connection, b"\0" * 19), now)
        pauses.append(session.next_deadline() - now)
        now = session.next_deadline()
        (dial,) = session.step(Tick(), now)

    assert pauses == [5, 10, 20, 40, 80, 120]


def test_while_pausing_the_peer_is_turned_away_politely():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)
    session.step(Connected(1), 0.0)
    session.step(Received(1, b"\0" * 19), 0.0)

    number = session.new_connection()
    actions = session.step(Accepted(number), 1.0)

    assert notifications(actions) == [Notification(ErrorCode.CEASE, Cease.CONNECTION_REJECTED)]
    assert CloseConnection(number) in actions


def test_nothing_after_the_error_in_one_chunk_is_read():
    session = established()
    good = framed(MessageType.UPDATE, update_body(MANDATORY, TEN_SLASH_8))

    actions = session.step(Received(1, good + b"\0" * 19 + good), 1.0)

    assert len(of_type(Deliver, actions)) == 1
    assert session.step(Received(1, good), 1.0) == []


def test_a_notification_from_the_peer_ends_the_session_without_an_answer():
    session = established()
    cease = Notification(ErrorCode.CEASE, Cease.ADMINISTRATIVE_SHUTDOWN, b"\x05night")

    actions = session.step(Received(1, encode_notification(cease)), 1.0)

    assert not of_type(Write, actions)
    (down,) = of_type(Down, actions)
    assert (down.reason, down.received, down.text) == (DownReason.NOTIFICATION, cease, "night")


def test_a_lost_transport_is_dialled_again_soon():
    session = established()

    actions = session.step(Disconnected(1, "reset by peer"), 50.0)

    assert of_type(Down, actions)[0].text == "reset by peer"
    assert session.next_deadline() == 51
    assert of_type(Connect, session.step(Tick(), 51.0))


def test_stop_ends_the_session_for_good_and_start_revives_it():
    pair = Pair(LEFT, RIGHT)
    pair.start()
    pair.run()

    pair.step(0, Stop())
    pair.run()
    pair.now = 1000.0
    pair.advance(1000)

    assert pair.ends[0].state is State.IDLE
    assert pair.ends[0].next_deadline() == float("inf")
    pair.step(0, Start())
    pair.run()
    assert pair.ends[0].state is State.ESTABLISHED


def test_stop_with_a_pause_comes_back_by_itself():
    session = established()

    session.step(Stop(Cease.MAX_PREFIXES, restart_after_s=60.0), 10.0)

    assert session.next_deadline() == 70
    assert session.step(Tick(), 70.0) == [Connect(2)]


def test_a_pause_does_not_start_a_session_that_is_down():
    session = BgpSession(LEFT)

    assert session.step(Stop(restart_after_s=1.0), 0.0) == []
    assert session.next_deadline() == float("inf")


def test_both_ends_dialling_at_once_leave_one_session():
    """Section 6.8: whichever connections cross, the one of the higher router id stays."""
    pair = Pair(LEFT, replace(RIGHT, is_passive=False))

    pair.start()
    pair.advance(60)

    assert [end.state for end in pair.ends] == [State.ESTABLISHED] * 2
    assert [len(of_type(Established, actions)) for actions in pair.actions] == [1, 1]
    assert not any(of_type(Down, actions) for actions in pair.actions)
    (left,) = of_type(Established, pair.actions[0])
    dialled = {action.connection for action in of_type(Connect, pair.actions[0])}
    assert left.connection not in dialled


@pytest.mark.parametrize("is_higher", [True, False])
def test_of_two_confirmed_connections_the_higher_router_id_keeps_its_own(is_higher):
    peer = replace(PEER_OPEN, router_id=IPv4Address("192.0.2.0" if is_higher else "192.0.2.9"))
    session = opened(LEFT, peer)
    number = session.new_connection()
    session.step(Accepted(number), 0.0)

    actions = session.step(Received(number, encode_open(peer)), 0.0)

    closed = number if is_higher else 1
    assert notifications(actions) == [Notification(ErrorCode.CEASE, Cease.COLLISION)]
    assert [action.connection for action in of_type(CloseConnection, actions)] == [closed]
    assert session.state is State.OPEN_CONFIRM


def test_an_established_session_is_not_replaced_by_a_second_connection():
    session = established()
    number = session.new_connection()
    session.step(Accepted(number), 1.0)

    actions = session.step(Received(number, encode_open(PEER_OPEN)), 1.0)

    assert CloseConnection(number) in actions
    assert not of_type(Down, actions)
    assert session.state is State.ESTABLISHED


def test_a_second_incoming_connection_replaces_a_first_that_never_spoke():
    session = BgpSession(RIGHT)
    session.step(Start(), 0.0)
    first, second = session.new_connection(), session.new_connection()
    session.step(Accepted(first), 0.0)

    actions = session.step(Accepted(second), 1.0)

    assert CloseConnection(first) in actions
    assert [write.connection for write in of_type(Write, actions)] == [second]


def test_an_outgoing_attempt_is_dropped_once_the_peer_got_through():
    session = BgpSession(LEFT)
    session.step(Start(), 0.0)
    number = session.new_connection()
    session.step(Accepted(number), 0.0)
    session.step(Received(number, encode_open(PEER_OPEN)), 0.0)

    actions = session.step(Received(number, encode_keepalive()), 0.0)

    assert CloseConnection(1) in actions
    assert of_type(Established, actions)[0].connection == number


def test_events_of_connections_nobody_knows_change_nothing():
    session = established()

    assert session.step(Received(99, b"\0" * 40), 1.0) == []
    assert session.step(Disconnected(99), 1.0) == []
    assert session.step(ConnectFailed(99), 1.0) == []
    assert session.state is State.ESTABLISHED


def test_hearing_of_a_connection_twice_does_not_begin_it_anew():
    session = established()

    assert session.step(Connected(1), 1.0) == []
    assert session.state is State.ESTABLISHED


@pytest.mark.parametrize("hold_time_s", [1, 2, 65536, -1])
def test_settings_refuse_hold_times_no_open_may_carry(hold_time_s):
    with pytest.raises(ValueError, match="hold time"):
        replace(LEFT, hold_time_s=hold_time_s)
