"""MAC addresses that move: how often is too often, what is held, what a sticky one refuses."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.control.mac_moves import HELD_S
from skytrail.control.path import InstanceName
from skytrail.control.show import tables
from skytrail.model.config_object import ConfigObject
from skytrail.net import Label, Mac
from skytrail.testing.control_plane import (
    SYSTEM,
    Bench,
    build,
    instance_of,
    routing_instance,
)
from skytrail.wire.xmpp import (
    EnetKey,
    Family,
    NextHop,
    PublishRoute,
    Route,
    RouteAttributes,
    Subscribe,
    WithdrawRoute,
)

RED = instance_of("red")
MAC = Mac.parse("02:00:00:00:00:0a")
KEY = EnetKey(MAC, ip_network("10.1.1.3/32"))
HOSTS = {"compute1": "172.16.0.1", "compute2": "172.16.0.2"}


def network(**fields: object) -> ConfigObject:
    return build("virtual-network", ["default-domain", "p", "red"], fields=fields)


def bench(*objects: ConfigObject) -> Bench:
    made = Bench(routing_instance("red", both=[101]), *(objects or (network(),)))
    made.up(*HOSTS)
    for name in HOSTS:
        made.say(name, Subscribe(RED, 1))
    return made


def announce(made: Bench, host: str, sequence: int, *, sticky: bool = False) -> None:
    hop = NextHop(IPv4Address(HOSTS[host]), Label(16), encapsulations=("udp",))
    attributes = RouteAttributes(local_preference=200, sequence_number=sequence, sticky=sticky)
    made.say(host, PublishRoute(RED, Route(KEY, (hop,), attributes)))


def move(made: Bench, count: int, *, first: int = 1, pause_s: float = 1.0) -> None:
    """Let the MAC move, back and forth, with a number one higher each time."""
    for number in range(first, first + count):
        announce(made, f"compute{1 + number % 2}", number)
        made.wait(pause_s)


def used(made: Bench) -> str:
    rib = made.plane.replicator.vrfs[InstanceName(RED)].ribs[Family.ENET]
    best = rib.best(KEY)
    return str(best[0].next_hops[0].address) if best else ""


def shown(made: Bench, table: str = "duplicate_macs") -> list[dict[str, object]]:
    return [dict(row) for row in tables(made.plane, lambda: made.now)[table]()]


def test_the_fifth_move_in_three_minutes_is_one_too_many() -> None:
    made = bench()

    move(made, 4)
    assert shown(made) == []
    move(made, 1, first=5)

    (row,) = shown(made)
    assert (row["instance"], row["mac"], row["moves"]) == (RED, str(MAC), 5)
    assert row["held_at"] == ["172.16.0.2"]


def test_moves_that_are_far_apart_are_none_too_many() -> None:
    made = bench()

    move(made, 12, pause_s=60)

    assert shown(made) == []
    assert used(made) == "172.16.0.1"


def test_a_held_mac_stays_whatever_number_others_claim_it_with() -> None:
    made = bench()
    move(made, 5)
    held = used(made)

    announce(made, "compute1", 99)

    assert held == used(made) == "172.16.0.2"
    (row,) = (each for each in shown(made, "routes") if each["source"] == "compute1")
    assert row["why_not_best"] == "its MAC moved too often and is held elsewhere"
    # Neither is the held claim told to BGP peers.
    table = made.plane.replicator.vpn[Family.ENET]
    assert {path.source for path in table.paths() if path.is_tellable} == {"compute2"}


def test_a_mac_is_let_go_after_a_while_and_the_highest_number_has_it() -> None:
    made = bench()
    move(made, 5)
    announce(made, "compute1", 99)

    made.wait(HELD_S)

    assert shown(made) == []
    assert used(made) == "172.16.0.1"


def test_a_mac_that_leaves_where_it_is_held_is_let_go_at_once() -> None:
    made = bench()
    move(made, 5)
    announce(made, "compute1", 6)

    made.say("compute2", WithdrawRoute(RED, KEY))
    made.wait(1)

    assert shown(made) == []
    assert used(made) == "172.16.0.1"


def test_moves_between_two_looks_count_all() -> None:
    made = bench()
    announce(made, "compute1", 1)
    made.wait(1)

    announce(made, "compute1", 7)
    made.wait(1)

    assert [row["moves"] for row in shown(made)] == [7]


@pytest.mark.parametrize(
    ("control", "moves", "is_found", "is_held"),
    [
        ({"mac_move_limit": 2, "mac_move_time_window": 30, "mac_move_limit_action": "drop"}, 3, True, True),
        ({"mac_move_limit": 2, "mac_move_time_window": 30}, 3, True, False),
        ({"mac_move_limit": 8, "mac_move_time_window": 60, "mac_move_limit_action": "drop"}, 8, False, False),
        ({"mac_move_limit": 0, "mac_move_time_window": 60, "mac_move_limit_action": "drop"}, 9, False, False),
        ({"mac_move_limit": 2, "mac_move_time_window": 2, "mac_move_limit_action": "drop"}, 9, False, False),
    ],
    ids=["held", "shown only", "more allowed", "not watched", "a short window"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["network", "system"])
def test_limits_are_those_of_the_network_or_of_the_system(
    control: dict[str, object], moves: int, is_found: bool, is_held: bool, place: str
) -> None:
    fields: dict[str, object] = {"mac_move_control": control}
    if place == "network":
        # That of the system would find anything.
        strict: dict[str, object] = {
            "mac_move_control": {"mac_move_limit": 1, "mac_move_time_window": 60}
        }
        made = bench(network(**fields), build("global-system-config", [SYSTEM], fields=strict))
    else:
        made = bench(network(), build("global-system-config", [SYSTEM], fields=fields))

    move(made, moves)

    assert bool(shown(made)) == is_found
    assert any(row["held_at"] for row in shown(made)) == is_held


def test_a_sticky_mac_refuses_every_claim_that_is_not_sticky() -> None:
    made = bench()
    announce(made, "compute1", 0, sticky=True)

    for number in range(1, 9):
        announce(made, "compute2", number)
        made.wait(1)

    assert used(made) == "172.16.0.1"
    assert shown(made) == []
    (row,) = (each for each in shown(made, "routes") if each["source"] == "compute2")
    assert row["why_not_best"] == "not sticky"


def test_a_workload_with_a_sticky_mac_may_be_moved_to_another_host() -> None:
    made = bench()
    announce(made, "compute1", 0, sticky=True)

    announce(made, "compute2", 1, sticky=True)

    assert used(made) == "172.16.0.2"


def test_macs_that_no_longer_move_are_forgotten() -> None:
    made = bench()
    move(made, 4, pause_s=1)
    assert watched(made) == 1

    made.wait(181)

    assert watched(made) == 0
    assert used(made) == "172.16.0.1"


def watched(made: Bench) -> int:
    return len(made.plane.mac_moves._tracks)  # What must not grow is not shown.


def test_more_macs_than_can_be_watched_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skytrail.control.mac_moves.TRACKS_COUNT_MAX", 0)
    made = bench()

    move(made, 3)

    assert (watched(made), made.plane.mac_moves.unwatched_count) == (0, 3)
    assert shown(made) == []


def test_many_changes_are_looked_at_over_several_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skytrail.control.mac_moves.LOOKS_COUNT", 1)
    made = bench()
    hop = NextHop(IPv4Address(HOSTS["compute1"]), Label(16), encapsulations=("udp",))
    for last in range(1, 4):
        key = EnetKey(Mac(bytes((2, 0, 0, 0, 0, last))), None)
        made.say(
            "compute1",
            PublishRoute(RED, Route(key, (hop,), RouteAttributes(sequence_number=1))),
        )

    counts: list[int] = []
    for _ in range(4):
        made.wait(0.25)
        counts.append(watched(made))

    assert counts == [1, 2, 3, 3]
