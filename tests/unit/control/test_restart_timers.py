"""Times for which routes outlive a session, from the system's configuration."""

from __future__ import annotations

import pytest

from skytrail.control.limits import Limits
from skytrail.control.restart_timers import RestartTimers
from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import (
    SYSTEM,
    Bench,
    bgp_router,
    build,
    inet_route,
    instance_of,
    routing_instance,
)
from skytrail.wire.xmpp import ItemsEvent, PublishRoute, Subscribe

RED = instance_of("red")


def system(**parameters: object) -> ConfigObject:
    fields: dict[str, object] = {"graceful_restart_parameters": parameters} if parameters else {}
    return build("global-system-config", [SYSTEM], fields=fields)


def bench(*objects: ConfigObject) -> Bench:
    """Two agents in one network, the second one told of the first one's route."""
    made = Bench(
        routing_instance("red", both=[101]),
        bgp_router("control1", "10.0.0.1"),
        *objects,
        limits=Limits(restart_time_s=60),
        node="control1",
    )
    made.up("compute1", "compute2")
    for name in ("compute1", "compute2"):
        made.say(name, Subscribe(RED, 1))
    made.say("compute1", PublishRoute(RED, inet_route("10.1.1.3/32")))
    made.hear("compute2")
    return made


def retracts(made: Bench) -> int:
    heard = [each for each in made.hear("compute2") if isinstance(each, ItemsEvent)]
    return sum(len(each.retracts) for each in heard)


@pytest.mark.parametrize(
    ("parameters", "kept_s"),
    [
        ({}, 60),
        ({"enable": True, "restart_time": 20}, 20),
        ({"enable": True, "restart_time": 20, "xmpp_helper_enable": True}, 20),
        ({"enable": True, "restart_time": 20, "xmpp_helper_enable": False}, 0),
        ({"enable": False, "restart_time": 20}, 0),
    ],
    ids=["nothing said", "a time", "helping", "not helping", "not enabled"],
)
def test_routes_of_a_lost_agent_stay_as_long_as_configuration_says(
    parameters: dict[str, object], kept_s: float
) -> None:
    made = bench(system(**parameters))

    made.down("compute1")

    if kept_s:
        made.wait(kept_s - 1)
        assert retracts(made) == 0
    made.wait(2)
    assert retracts(made) == 1


def test_times_follow_the_configuration_and_go_back_to_the_nodes_own() -> None:
    made = bench(system(enable=True, restart_time=20, end_of_rib_timeout=7))
    assert (made.plane.limits.restart_time_s, made.plane.limits.end_of_rib_wait_s) == (20, 7)

    made.put(system())

    assert made.plane.limits == Limits(restart_time_s=60)


@pytest.mark.parametrize(
    ("parameters", "timers"),
    [
        ({}, RestartTimers()),
        (
            {
                "enable": True,
                "restart_time": 100,
                "long_lived_restart_time": 3600,
                "end_of_rib_timeout": 30,
                "bgp_helper_enable": False,
            },
            RestartTimers(100, 3600, 3600, 30, keeps_peers_routes=False),
        ),
        (
            {"enable": False, "bgp_helper_enable": True},
            RestartTimers(is_offered=False, keeps_peers_routes=False, keeps_agents_routes=False),
        ),
    ],
    ids=["nothing said", "everything said", "not enabled"],
)
def test_bgp_speaks_with_the_times_of_the_configuration(
    parameters: dict[str, object], timers: RestartTimers
) -> None:
    speaker = bench(system(**parameters)).plane.bgp.config.speaker

    assert speaker is not None
    assert speaker.timers == timers
