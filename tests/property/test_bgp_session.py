"""The BGP session over all sequences of events: no exception, no contradiction, no dead end."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from skytrail.testing.bgp import MANDATORY, TEN_SLASH_8, Pair, update_body
from skytrail.wire.bgp import (
    Accepted,
    AttemptFailed,
    BgpFamily,
    BgpSession,
    Cease,
    CloseConnection,
    Connect,
    Connected,
    ConnectFailed,
    Deliver,
    Disconnected,
    Down,
    Established,
    GracefulRestart,
    MessageType,
    Notification,
    Open,
    Received,
    RouteRefresh,
    SessionSettings,
    Start,
    State,
    Stop,
    Tick,
    Write,
    encode_keepalive,
    encode_notification,
    encode_open,
    encode_route_refresh,
)
from skytrail.wire.bgp.framing import framed

RESTART = GracefulRestart(120, notification=True, families=((BgpFamily.INET, True),))
SETTINGS = SessionSettings(64512, IPv4Address("192.0.2.5"), 64512)
PEER = Open(64512, 9, IPv4Address("192.0.2.2"))
CHUNKS = st.one_of(
    st.sampled_from(
        (
            encode_open(PEER),
            encode_open(replace(PEER, router_id=IPv4Address("192.0.2.9"), hold_time_s=0)),
            encode_open(replace(PEER, graceful_restart=RESTART)),
            encode_open(replace(PEER, asn=7)),
            encode_keepalive(),
            framed(MessageType.UPDATE, update_body(MANDATORY, TEN_SLASH_8)),
            framed(MessageType.UPDATE, update_body(b"", TEN_SLASH_8)),
            encode_route_refresh(RouteRefresh(BgpFamily.INET)),
            encode_notification(Notification(6, 2)),
        )
    ),
    st.binary(max_size=30),
)
NUMBERS = st.integers(1, 6)
EVENTS = st.one_of(
    st.just("accept"),
    st.builds(Start),
    st.builds(
        Stop,
        st.sampled_from((Cease.ADMINISTRATIVE_SHUTDOWN, Cease.MAX_PREFIXES)),
        restart_after_s=st.sampled_from((None, 0.0, 30.0)),
        graceful=st.booleans(),
    ),
    st.builds(Connected, NUMBERS),
    st.builds(ConnectFailed, NUMBERS),
    st.builds(Disconnected, NUMBERS),
    st.builds(Received, NUMBERS, CHUNKS),
    st.builds(Received, NUMBERS, CHUNKS),
    st.builds(Tick),
)
OPENED = [Received(1, encode_open(replace(PEER, graceful_restart=RESTART)))]
# Chance alone seldom gets past a handshake, so most histories begin somewhere behind or inside one.
BEGINNINGS = [
    [],
    [Start(), Connected(1)],
    [Start(), Connected(1), *OPENED],
    [Start(), Connected(1), *OPENED, Received(1, encode_keepalive())],
    [Start(), "accept", *OPENED, Received(1, encode_keepalive())],
    [Start(), Connected(1), *OPENED, "accept", Received(2, encode_open(PEER))],
]
HISTORY = st.builds(
    lambda beginning, rest: [*((event, 0.0) for event in beginning), *rest],
    st.sampled_from(BEGINNINGS),
    st.lists(st.tuples(EVENTS, st.sampled_from((0.0, 1.0, 4.0, 20.0))), max_size=40),
)
SETTINGS_DRAWN = st.builds(
    lambda passive, restart, hold: replace(
        SETTINGS, is_passive=passive, graceful_restart=restart, hold_time_s=hold
    ),
    st.booleans(),
    st.none() | st.just(RESTART),
    st.sampled_from((0, 9, 90)),
)


class Watcher:
    """What must hold of actions, whatever led to them."""

    def __init__(self) -> None:
        self.established: int | None = None
        self.closed: set[int] = set()
        self.known: set[int] = set()

    def begin(self, number: int) -> None:
        assert number not in self.known
        self.known.add(number)
        # Events drawn at random may have spoken of it before it was there.
        self.closed.discard(number)

    def see(self, action: object) -> None:
        match action:
            case Connect(number):
                self.begin(number)
            case Write(number):
                assert number not in self.closed
            case CloseConnection(number):
                self.closed.add(number)
            case Established(number):
                assert self.established is None
                assert number not in self.closed
                self.established = number
            case Deliver():
                assert self.established is not None
            case Down():
                assert self.established in self.closed
                self.established = None
            case AttemptFailed(number):
                assert number in self.closed
                assert number != self.established
            case _:
                raise AssertionError(action)


@given(SETTINGS_DRAWN, HISTORY)
def test_no_history_contradicts_itself(settings, history):
    session, watcher, now = BgpSession(settings), Watcher(), 0.0
    for event, pause in history:
        now += pause
        if event == "accept":
            number = session.new_connection()
            watcher.begin(number)
            event = Accepted(number)

        for action in session.step(event, now):
            watcher.see(action)

        assert (session.state is State.ESTABLISHED) == (watcher.established is not None)
        assert (session.negotiated is not None) == (watcher.established is not None)


@given(SETTINGS_DRAWN, HISTORY)
def test_a_tick_at_the_deadline_always_moves_the_deadline(settings, history):
    """Otherwise an owner that sleeps until then would spin."""
    session, now = BgpSession(settings), 0.0
    for event, pause in history:
        now += pause
        session.step(Accepted(session.new_connection()) if event == "accept" else event, now)
        due = session.next_deadline()
        if due <= now:
            session.step(Tick(), now)

            assert session.next_deadline() > now


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(("cut", "stop", "noise", "partition")),
        st.integers(0, 1),
        st.floats(0.0, 40.0),
        st.binary(min_size=1, max_size=40),
    ),
    max_size=6,
)


@given(FAULTS, st.booleans(), st.sampled_from((None, RESTART)))
def test_two_ends_find_back_together_after_any_faults(faults, both_dial, restart):
    pair = Pair(
        replace(SETTINGS, graceful_restart=restart),
        replace(
            SETTINGS,
            router_id=IPv4Address("192.0.2.2"),
            is_passive=not both_dial,
            graceful_restart=restart,
        ),
    )
    pair.start()
    for fault, end, pause, noise in faults:
        pair.advance(pause)
        match fault:
            case "cut":
                pair.cut()
            case "stop":
                pair.step(end, Stop(Cease.ADMINISTRATIVE_RESET, restart_after_s=pause))
            case "noise":
                for number in range(1, 5):
                    pair.step(end, Received(number, noise))
            case _:
                pair.is_reachable = False
                pair.cut()
                pair.advance(pause)
                pair.is_reachable = True

    # The longest pauses: idle hold doubles to two minutes, the hold timer is a minute and a half.
    pair.advance(600)

    assert [end.state for end in pair.ends] == [State.ESTABLISHED] * 2
    assert pair.ends[0].negotiated.peer_router_id == IPv4Address("192.0.2.2")
