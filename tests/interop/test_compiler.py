"""The compiler process against a real API: what is derived arrives, and survives kill -9."""

import itertools

import pytest

from skytrail.client import ApiError, ApiUnavailable
from skytrail.runtime.introspection import read_table
from skytrail.testing.controller import running_controller, wait_until

PROJECT = ["default-domain", "default-project"]
_numbers = itertools.count(1)


@pytest.fixture
def controller(tmp_path):
    with running_controller(tmp_path) as found:
        yield found


def create_network(api, name, **fields):
    wire = {"fq_name": [*PROJECT, name], "parent_type": "project", **fields}
    return api.create("virtual-network", wire)


def instance(api, name):
    return api.read_by_name("routing-instance", [*PROJECT, name, name])


def targets(api, name):
    found = instance(api, name).get("route_target_refs", [])
    return sorted(each["to"][0] for each in found)


def quiet(controller):
    """Whether the compiler has compiled and written all it knows of."""
    with controller.client() as api:
        (row,) = read_table(controller.compiler_socket, "revision")
        reply = api.transaction([])
    return row["pending"] == 0 and row["seen"] is not None and row["seen"] >= reply.revision - 1


def unique_targets(api):
    owned = {}
    for each in api.list("routing-instance", detail=True):
        for reference in each.get("route_target_refs", []):
            owned.setdefault(reference["to"][0], []).append(":".join(each["fq_name"]))
    assert all(len(names) == 1 for names in owned.values()), owned
    return owned


def test_network_gets_its_target_and_deleting_it_removes_the_target(controller):
    with controller.client() as api:
        uuid = create_network(api, "red")
        wait_until(lambda: targets(api, "red"), "route target")
        (target,) = targets(api, "red")

        api.delete("virtual-network", uuid)

        known = lambda: [each["fq_name"][0] for each in api.list("route-target")]  # noqa: E731
        wait_until(lambda: target not in known(), "removal of the route target")


def test_policy_on_both_networks_joins_them_and_detaching_parts_them(controller):
    with controller.client() as api:
        rule = {
            "direction": "<>",
            "protocol": "any",
            "src_addresses": [{"virtual_network": "any"}],
            "dst_addresses": [{"virtual_network": "any"}],
            "src_ports": [{"start_port": -1, "end_port": -1}],
            "dst_ports": [{"start_port": -1, "end_port": -1}],
            "action_list": {"simple_action": "pass"},
        }
        api.create(
            "network-policy",
            {
                "fq_name": [*PROJECT, "open"],
                "parent_type": "project",
                "network_policy_entries": {"policy_rule": [rule]},
            },
        )
        attached = [{"to": [*PROJECT, "open"], "attr": {"sequence": {"major": 0, "minor": 0}}}]
        create_network(api, "red", network_policy_refs=attached)
        blue = create_network(api, "blue", network_policy_refs=attached)

        def joined(name):
            found = instance(api, name).get("routing_instance_refs", [])
            return [each["to"][-1] for each in found]

        wait_until(lambda: (joined("red"), joined("blue")) == (["blue"], ["red"]), "joining")
        assert api.read_by_name("access-control-list", [*PROJECT, "red", "red"])

        api.update("virtual-network", blue, {"network_policy_refs": []})

        wait_until(lambda: joined("red") == joined("blue") == [], "parting")
        with pytest.raises(ApiError, match="not found"):
            api.name_to_id("access-control-list", [*PROJECT, "blue", "blue"])


def test_killed_compiler_loses_nothing_and_rewrites_nothing(controller):
    with controller.client() as api:
        for number in range(30):
            create_network(api, f"n{number}")
            if number % 10 == 5:
                controller.kill("compiler")
                create_network(api, f"m{number}")
                controller.start_compiler()
        wait_until(lambda: quiet(controller), "compiling everything")
        before = unique_targets(api)
        assert len(before) >= 33

        controller.kill("compiler")
        controller.start_compiler()
        wait_until(lambda: quiet(controller), "compiling again")

        assert unique_targets(api) == before
        (row,) = read_table(controller.compiler_socket, "revision")
        assert row["transactions"] == 0


def test_compiler_resumes_after_the_api_was_killed(controller):
    with controller.client() as api:
        create_network(api, "red")
        wait_until(lambda: targets(api, "red"), "route target")
    controller.kill("api")
    controller.start_api()
    with controller.client() as api:
        create_network(api, "blue")

        wait_until(lambda: targets(api, "blue"), "route target after the restart")

        assert len(unique_targets(api)) >= 2


def test_compiler_may_start_before_the_api(controller):
    controller.kill("compiler")
    controller.kill("api")
    controller.start_compiler()
    with controller.client() as api, pytest.raises(ApiUnavailable):
        api.list("project")
    controller.start_api()
    with controller.client() as api:
        create_network(api, "red")

        wait_until(lambda: targets(api, "red"), "route target")


def test_hand_edit_of_a_derived_object_is_put_right(controller):
    with controller.client() as api:
        create_network(api, "red")
        wait_until(lambda: targets(api, "red"), "route target")
        kept = targets(api, "red")

        api.update("routing-instance", instance(api, "red")["uuid"], {"route_target_refs": []})

        wait_until(lambda: targets(api, "red"), "repair")
        assert targets(api, "red") == kept


def test_two_compilers_at_once_end_in_the_same_state_without_refusals(controller):
    second = controller.folder / "second.sock"
    controller.start_compiler(name="second", socket=second)
    with controller.client() as api:
        for number in range(40):
            create_network(api, f"n{number}")

        wait_until(lambda: all(targets(api, f"n{n}") for n in range(40)), "route targets")
        wait_until(lambda: quiet(controller), "compiling everything")

        unique_targets(api)
        wait_until(lambda: read_table(second, "refused") == [], "no refusals in the second")
        wait_until(
            lambda: read_table(controller.compiler_socket, "refused") == [],
            "no refusals in the first",
        )
    logs = controller.log("compiler") + controller.log("second")
    assert "derived_write_refused" not in logs
