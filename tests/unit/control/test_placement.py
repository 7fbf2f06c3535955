"""Which machines run where, as far as only the agents know."""

from __future__ import annotations

from skytrail.control.path import PeerName
from skytrail.control.placement import MACHINES_LENGTH_MAX, PARTS_COUNT, part_of
from skytrail.testing.control_plane import SYSTEM, Bench, build, virtual_router
from skytrail.wire.xmpp import ConfigKey, ConfigSubscribe, ConfigUnsubscribe

ROUTER = ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:a"))


def machine(name: str) -> ConfigKey:
    return ConfigKey("virtual-machine", name)


def started() -> Bench:
    bench = Bench(
        build("global-system-config", [SYSTEM]),
        virtual_router("a", ["known"]),
        build("virtual-machine", ["known"]),
    )
    bench.up("a")
    bench.say("a", ROUTER)
    return bench


def placed(bench: Bench) -> dict[str, tuple[tuple[str, ...], bool]]:
    parts = bench.plane.placements.reports(bench.plane.peers, bench.plane.config.graph)
    rows = [row for part in parts for row in part or ()]
    return {row["host"]: (row["machines"], row["held"]) for row in rows}


def test_machines_that_configuration_places_are_left_out() -> None:
    bench = started()
    bench.say("a", ConfigSubscribe(machine("known")), ConfigSubscribe(machine("plugged")))

    assert placed(bench) == {"a": (("plugged",), False)}

    bench.put(virtual_router("a"))
    assert placed(bench) == {"a": (("known", "plugged"), False)}


def test_machine_that_is_unplugged_is_taken_out() -> None:
    bench = started()
    bench.say("a", ConfigSubscribe(machine("one")), ConfigSubscribe(machine("two")))
    placed(bench)
    bench.say("a", ConfigUnsubscribe(machine("one")))

    assert placed(bench) == {"a": (("two",), False)}


def test_host_without_session_is_held_until_it_says_anew() -> None:
    bench = started()
    bench.say("a", ConfigSubscribe(machine("one")))
    bench.down("a")
    away = placed(bench)
    bench.up("a")
    silent = placed(bench)
    bench.say("a", ROUTER)

    assert away == silent == {"a": (("one",), True)}
    assert placed(bench) == {"a": ((), False)}


def test_host_that_is_deleted_is_held_no_longer() -> None:
    bench = started()
    bench.say("a", ConfigSubscribe(machine("one")))
    bench.down("a")
    placed(bench)

    bench.delete(virtual_router("a", ["known"]))

    assert placed(bench) == {}


def test_nothing_is_worked_out_again_while_nothing_changed() -> None:
    bench = started()
    plane = bench.plane
    bench.say("a", ConfigSubscribe(machine("one")))
    part = part_of(PeerName("a"))
    first = plane.placements.reports(plane.peers, plane.config.graph)[part]
    assert first

    bench.put(build("global-system-config", [SYSTEM]))

    assert plane.placements.reports(plane.peers, plane.config.graph)[part] is first


def test_host_that_names_very_much_keeps_no_other_host_out_of_the_report() -> None:
    bench = started()
    for number in range(3):
        bench.say("a", ConfigSubscribe(machine(f"{number}" * (MACHINES_LENGTH_MAX // 2 - 100))))

    ((machines, _),) = placed(bench).values()

    assert len(machines) == 2


def test_hosts_are_reported_in_parts_and_those_without_any_are_silent() -> None:
    bench = started()
    parts = bench.plane.placements.reports(bench.plane.peers, bench.plane.config.graph)

    assert len(parts) == PARTS_COUNT
    assert [bool(part) for part in parts].count(True) == 1
    assert all(
        part is None for number, part in enumerate(parts) if number != part_of(PeerName("a"))
    )
