"""How sessions end and come back: RFC 4724, 8538, 9003, 4486, 7313, 8654 in the machine."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from skytrail.testing.bgp import MANDATORY, Pair, messages_of, update_body
from skytrail.wire.bgp import (
    Accepted,
    BgpFamily,
    BgpSession,
    Cease,
    CloseConnection,
    Connect,
    Connected,
    Deliver,
    Demarcation,
    Disconnected,
    Down,
    DownReason,
    Established,
    GracefulRestart,
    MessageType,
    Notification,
    Received,
    RouteRefresh,
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
    encode_route_refresh,
    hard_reset,
    shutdown_notification,
)
from skytrail.wire.bgp.framing import framed

FAMILIES = (BgpFamily.INET, BgpFamily.INET_VPN)
RESTART = GracefulRestart(120, families=tuple((family, True) for family in FAMILIES))
NOTIFYING = replace(RESTART, notification=True)
LEFT = SessionSettings(64512, IPv4Address("192.0.2.1"), 64512, FAMILIES)
RIGHT = SessionSettings(64512, IPv4Address("192.0.2.2"), 64512, FAMILIES, is_passive=True)


def of_type(kind, actions):
    return [action for action in actions if isinstance(action, kind)]


def notifications(actions):
    return [
        decode_notification(body)
        for write in of_type(Write, actions)
        for kind, body in messages_of(write.chunk)
        if kind is MessageType.NOTIFICATION
    ]


def pair_with(left_restart, right_restart, **changes):
    pair = Pair(
        replace(LEFT, graceful_restart=left_restart, **changes),
        replace(RIGHT, graceful_restart=right_restart, **changes),
    )
    pair.start()
    pair.run()
    assert [end.state for end in pair.ends] == [State.ESTABLISHED] * 2
    return pair


def down_of(pair, end):
    (down,) = of_type(Down, pair.actions[end])
    return down


@pytest.mark.parametrize(
    ("left", "right", "graceful"), [(RESTART, RESTART, True), (RESTART, None, False)]
)
def test_a_lost_transport_is_graceful_when_both_sides_can_restart(left, right, graceful):
    """RFC 4724 section 4.2."""
    pair = pair_with(left, right)

    pair.cut()

    assert [down_of(pair, end).graceful for end in (0, 1)] == [graceful] * 2


def test_after_a_cut_the_session_comes_back_by_itself():
    pair = pair_with(RESTART, RESTART)

    pair.cut()
    pair.advance(5)

    assert [len(of_type(Established, actions)) for actions in pair.actions] == [2, 2]


def test_while_the_network_is_down_attempts_go_on_and_succeed_once_it_is_up():
    pair = pair_with(None, None)
    pair.is_reachable = False
    pair.cut()
    pair.advance(300)
    assert pair.ends[0].state is not State.ESTABLISHED

    pair.is_reachable = True
    pair.advance(61)

    assert pair.ends[0].state is State.ESTABLISHED


@pytest.mark.parametrize(
    ("left", "right", "graceful"),
    [(NOTIFYING, NOTIFYING, True), (NOTIFYING, RESTART, False), (RESTART, NOTIFYING, False)],
)
def test_a_notification_is_graceful_only_with_the_n_bit_of_both(left, right, graceful):
    """RFC 8538 section 4."""
    pair = pair_with(left, right)

    pair.step(0, Stop(Cease.ADMINISTRATIVE_RESET))
    pair.run()

    assert down_of(pair, 0).graceful == graceful
    assert down_of(pair, 1).graceful == graceful


def test_an_expired_hold_timer_is_graceful_with_the_n_bit():
    """RFC 8538 section 4."""
    pair = pair_with(NOTIFYING, NOTIFYING)

    pair.now = 90.0
    pair.step(0, Tick())

    assert down_of(pair, 0).reason is DownReason.HOLD_TIMER
    assert down_of(pair, 0).graceful


@pytest.mark.parametrize(
    "subcode", [Cease.ADMINISTRATIVE_SHUTDOWN, Cease.PEER_DECONFIGURED, Cease.MAX_PREFIXES]
)
def test_an_end_meant_for_good_is_a_hard_reset_with_the_reason_inside(subcode):
    """RFC 8538 section 3.1."""
    pair = pair_with(NOTIFYING, NOTIFYING)

    pair.step(0, Stop(subcode))
    pair.run()

    received = down_of(pair, 1).received
    assert (received.code, received.subcode) == (6, Cease.HARD_RESET)
    assert received.data == bytes((6, subcode))
    assert not down_of(pair, 1).graceful


def test_without_the_n_bit_there_are_no_hard_resets():
    pair = pair_with(RESTART, RESTART)

    pair.step(0, Stop())
    pair.run()

    assert down_of(pair, 1).received.subcode == Cease.ADMINISTRATIVE_SHUTDOWN


def test_a_graceful_stop_leaves_without_a_word_so_that_the_peer_keeps_the_routes():
    """RFC 4724 section 4.1: only a NOTIFICATION would make the peer drop them."""
    pair = pair_with(RESTART, RESTART)

    actions = pair.step(0, Stop(Cease.ADMINISTRATIVE_RESET, graceful=True))
    pair.run()

    assert notifications(actions) == []
    assert down_of(pair, 1).graceful


def test_a_graceful_stop_towards_a_peer_that_cannot_restart_says_so():
    pair = pair_with(None, None)

    actions = pair.step(0, Stop(Cease.ADMINISTRATIVE_RESET, graceful=True))

    assert notifications(actions)[0].subcode == Cease.ADMINISTRATIVE_RESET


def test_a_restarted_peer_replaces_the_session_that_still_looks_alive():
    """RFC 4724 section 5."""
    pair = pair_with(RESTART, RESTART)
    left = pair.ends[0]
    old = of_type(Established, pair.actions[0])[0].connection
    number = left.new_connection()
    left.step(Accepted(number), 10.0)

    actions = left.step(Received(number, encode_open(RIGHT.open())), 10.0)

    assert CloseConnection(old) in actions
    assert notifications(actions) == []
    (down,) = of_type(Down, actions)
    assert (down.reason, down.graceful) == (DownReason.RESTARTED, True)
    assert left.state is State.OPEN_CONFIRM


def test_a_connection_made_before_the_session_stood_is_a_collision_and_no_restart():
    """Both sides dialled at once: the peer has not restarted (RFC 4271 section 6.8)."""
    left = BgpSession(replace(LEFT, graceful_restart=RESTART))
    theirs = encode_open(replace(RIGHT, graceful_restart=RESTART).open())
    (dial,) = of_type(Connect, left.step(Start(), 0.0))
    left.step(Connected(dial.connection), 0.0)
    second = left.new_connection()
    left.step(Accepted(second), 0.0)
    left.step(Received(dial.connection, theirs), 0.0)
    assert of_type(Established, left.step(Received(dial.connection, encode_keepalive()), 0.0))

    actions = left.step(Received(second, theirs), 0.0)

    assert CloseConnection(second) in actions
    assert not of_type(Down, actions)
    assert left.state is State.ESTABLISHED


def test_an_unfinished_second_connection_disturbs_nobody():
    """RFC 4724 section 5: only its OPEN proves that the peer restarted."""
    pair = pair_with(RESTART, RESTART)
    left = pair.ends[0]
    number = left.new_connection()
    left.step(Accepted(number), 10.0)

    actions = left.step(Disconnected(number), 11.0)

    assert not of_type(Down, actions)
    assert left.state is State.ESTABLISHED


def test_shutdown_texts_are_sent_and_read():
    """RFC 9003."""
    pair = pair_with(None, None)

    pair.step(0, Stop(text="back at six"))
    pair.run()

    assert down_of(pair, 1).text == "back at six"


def test_shutdown_texts_are_cut_at_a_whole_character():
    text = "é" * 200

    sent = shutdown_notification(Cease.ADMINISTRATIVE_SHUTDOWN, text)

    assert sent.text == "é" * 127
    assert len(sent.data) == 255


@pytest.mark.parametrize("data", [b"", b"\xff", b"\x05abc"])
def test_shutdown_texts_with_a_wrong_length_are_no_text(data):
    assert Notification(6, 2, data).text == ""


def test_a_hard_reset_carries_the_notification_it_wraps():
    inner = Notification(4, 0, b"\1\2")

    assert hard_reset(inner) == Notification(6, 9, b"\4\0\1\2")


def test_an_oversized_notification_is_cut_to_what_every_peer_takes():
    assert len(encode_notification(Notification(3, 5, bytes(60000)))) == 4096


def test_refresh_requests_are_delivered_for_negotiated_families():
    """RFC 2918 section 4, RFC 7313 section 4.2."""
    pair = pair_with(None, None)
    number = of_type(Established, pair.actions[0])[0].connection
    begin = RouteRefresh(BgpFamily.INET_VPN, Demarcation.BEGIN)
    stream = encode_route_refresh(begin) + encode_route_refresh(RouteRefresh(BgpFamily.EVPN))

    actions = pair.ends[0].step(Received(number, stream), 1.0)

    assert actions == [Deliver(begin)]


def test_the_demarcation_means_nothing_without_enhanced_refresh():
    """RFC 2918 section 3: the byte is reserved."""
    pair = pair_with(None, None, enhanced_refresh=False)
    number = of_type(Established, pair.actions[0])[0].connection
    wire = encode_route_refresh(RouteRefresh(BgpFamily.INET, Demarcation.END))

    actions = pair.ends[0].step(Received(number, wire), 1.0)

    assert actions == [Deliver(RouteRefresh(BgpFamily.INET))]


def test_a_refresh_of_wrong_length_is_answered_with_its_own_error():
    """RFC 7313 section 5."""
    pair = pair_with(None, None)
    number = of_type(Established, pair.actions[0])[0].connection
    wrong = framed(MessageType.ROUTE_REFRESH, b"\0\1\0")

    actions = pair.ends[0].step(Received(number, wrong), 1.0)

    assert notifications(actions) == [Notification(7, 1, wrong)]


def test_an_unknown_demarcation_is_ignored():
    """RFC 7313 section 5."""
    pair = pair_with(None, None)
    number = of_type(Established, pair.actions[0])[0].connection
    odd = framed(MessageType.ROUTE_REFRESH, b"\0\1\x09\1")

    assert pair.ends[0].step(Received(number, odd), 1.0) == []


def test_long_messages_are_received_as_soon_as_we_offer_them():
    """RFC 8654 section 4: what we advertised binds us, whatever the peer can."""
    pair = Pair(LEFT, replace(RIGHT, extended_message=False))
    pair.start()
    pair.run()
    number = of_type(Established, pair.actions[0])[0].connection
    long = framed(MessageType.UPDATE, update_body(MANDATORY, b"\x20\x0a\0\0\1" * 1000))

    (delivered,) = pair.ends[0].step(Received(number, long), 1.0)

    assert len(delivered.message.reach[0].nlri) == 1000


def test_long_messages_end_the_session_where_we_did_not_offer_them():
    pair = pair_with(None, None, extended_message=False)
    number = of_type(Established, pair.actions[0])[0].connection
    long = framed(MessageType.UPDATE, bytes(5000))

    actions = pair.ends[0].step(Received(number, long), 1.0)

    assert notifications(actions) == [Notification(1, 2, len(long).to_bytes(2))]


def test_a_malformed_update_is_delivered_as_withdrawal_and_counted():
    pair = pair_with(None, None)
    number = of_type(Established, pair.actions[0])[0].connection
    bad = framed(MessageType.UPDATE, update_body(b"", b"\x08\x0a"))

    (delivered,) = pair.ends[0].step(Received(number, bad), 1.0)

    assert delivered.message.withdrawn
    assert pair.ends[0].statistics.treated_as_withdraw == 1
    assert pair.ends[0].state is State.ESTABLISHED
