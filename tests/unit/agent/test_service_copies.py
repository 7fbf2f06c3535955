"""The sides of a copy of a service: chains are led to all of them or to none."""

from ipaddress import ip_network

import pytest

from skytrail.agent.interface import Failing, troubles
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of

SIDES = {"left": "10.1.0", "right": "10.2.0"}
LEFT, RIGHT = uuid_of("fw-left"), uuid_of("fw-right")


def service(*, one_machine=True, addresses=True):
    """A copy with two sides, each with an address of its own and one that copies share."""
    config = ConfigBuilder()
    copy = config.node("port-tuple", f"{PROJECT}:fw:one")
    machine = config.node("virtual-machine", uuid_of("vm-fw-right"), display_name="fw")
    for number, (side, prefix) in enumerate(SIDES.items()):
        network = config.network(side, 5 + number, [subnet(f"{prefix}.0/24")])
        wanted = [f"{prefix}.4"] if addresses or side == "right" else []
        key = config.port(f"fw-{side}", network, wanted)
        node = config.nodes[key]
        more = {
            "virtual_machine_interface_properties": {"service_interface_type": side},
            "vrf_assign_table": {"vrf_assign_rule": [{"routing_instance": chain_of(side)}]},
        }
        config.node(key.type_name, key.name, **{**node.properties, **more})
        config.link(key, copy)
        if one_machine:
            config.link(key, machine)
        if wanted:
            shared = {"instance_ip_address": f"{prefix}.9", "service_instance_ip": True}
            config.link(config.node("instance-ip", f"shared-{side}", **shared), key)
    made = AgentHost("192.0.2.1")
    for index, side in enumerate(SIDES):
        made.plug(f"fw-{side}", 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def chain_of(side):
    return f"{PROJECT}:{side}:service-{uuid_of('chain')}-fw"


def offered(made, failing=None):
    """Addresses published by a host with these plugs and failures."""
    made.failing = failing or {}
    desired = made.compute()
    keys = {key for _, key in desired.published}
    found = {f"{prefix}.{last}" for prefix in SIDES.values() for last in (4, 9)}
    return {each for each in found if ip_network(each) in keys}, desired


EVERYTHING = {"10.1.0.4", "10.1.0.9", "10.2.0.4", "10.2.0.9"}


def test_both_sides_plugged_offer_everything():
    assert offered(service())[0] == EVERYTHING


def test_side_left_alone_keeps_its_own_address_and_says_why_chains_pass_it_by():
    made = service()
    del made.plugged[LEFT]

    found, desired = offered(made)

    assert found == {"10.2.0.4"}
    (told,) = [each for each in troubles(desired.ports, made.view) if each.uuid == RIGHT]
    assert told.reason == (
        f"routes are withdrawn: {PROJECT}:fw-left, the other side of its copy: "
        "not plugged on this host"
    )


def test_side_is_led_to_again_when_the_other_one_is_back():
    made = service()
    left = made.plugged.pop(LEFT)
    offered(made)

    made.plugged[LEFT] = left

    assert offered(made)[0] == EVERYTHING


def test_side_on_a_machine_of_its_own_may_be_at_another_host():
    made = service(one_machine=False)
    del made.plugged[LEFT]

    assert offered(made)[0] == {"10.2.0.4", "10.2.0.9"}


def test_side_that_is_not_active_takes_the_other_one_along():
    assert offered(service(addresses=False))[0] == {"10.2.0.4"}


@pytest.mark.parametrize("one_machine", [True, False])
def test_side_that_does_not_answer_takes_the_other_one_along(one_machine):
    made = service(one_machine=one_machine)

    failing = {LEFT: Failing(("health check ping: no answer",), workload=True)}

    assert offered(made, failing)[0] == {"10.2.0.4"}


def test_check_that_fails_beyond_the_copy_leaves_its_answers_a_way_back():
    made = service()

    failing = {LEFT: Failing(("health check far: no answer",))}

    assert offered(made, failing)[0] == {"10.2.0.4", "10.2.0.9"}


def test_two_sides_that_both_fail_come_back_together():
    made = service()
    both = Failing(("health check ping: no answer",), workload=True)

    assert offered(made, {LEFT: both, RIGHT: both})[0] == set()
    assert offered(made)[0] == EVERYTHING
