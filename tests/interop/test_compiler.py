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


def subnet_of(prefix):
    return {"subnet": {"ip_prefix": prefix, "ip_prefix_len": 24}}


def create(api, kind, name, parent_type="project", **fields):
    parents = {"project": PROJECT, "domain": PROJECT[:1]}
    fq_name = [*parents.get(parent_type, []), name] if isinstance(name, str) else name
    return api.create(kind, {"fq_name": fq_name, "parent_type": parent_type, **fields})


def create_chain(api, mode):
    """Networks ``red`` and ``blue``, joined by a policy through service ``fw`` of one member."""
    service = ":".join([*PROJECT, "fw"])
    rule = {
        "direction": "<>",
        "protocol": "any",
        "src_addresses": [{"virtual_network": ":".join([*PROJECT, "red"])}],
        "dst_addresses": [{"virtual_network": ":".join([*PROJECT, "blue"])}],
        "src_ports": [{"start_port": -1, "end_port": -1}],
        "dst_ports": [{"start_port": -1, "end_port": -1}],
        "action_list": {"simple_action": "pass", "apply_service": [service]},
    }
    create(api, "network-policy", "chain", network_policy_entries={"policy_rule": [rule]})
    attached = [{"to": [*PROJECT, "chain"], "attr": {"sequence": {"major": 0, "minor": 0}}}]
    create(
        api,
        "service-template",
        "t",
        "domain",
        service_template_properties={"service_mode": mode, "service_type": "firewall"},
    )
    template = {"to": [PROJECT[0], "t"]}
    create(api, "service-instance", "fw", service_template_refs=[template])
    create(api, "port-tuple", [*PROJECT, "fw", "1"], "service-instance")
    for name, prefix, role in (("red", "10.1.0.0", "left"), ("blue", "10.2.0.0", "right")):
        ipam = {"to": [*PROJECT, "default-network-ipam"]}
        ipam["attr"] = {"ipam_subnets": [subnet_of(prefix)]}
        create_network(api, name, network_policy_refs=attached, network_ipam_refs=[ipam])
        create(
            api,
            "virtual-machine-interface",
            f"fw-{role}",
            virtual_network_refs=[{"to": [*PROJECT, name]}],
            port_tuple_refs=[{"to": [*PROJECT, "fw", "1"]}],
            virtual_machine_interface_properties={"service_interface_type": role},
        )


def chain_instance(api, network):
    for each in api.list("routing-instance", detail=True):
        if each["fq_name"][-2] == network and each["fq_name"][-1].startswith("service-"):
            return each
    return {}


def announced(api, network):
    info = chain_instance(api, network).get("service_chain_information") or {}
    return info.get("prefix")


@pytest.mark.parametrize("mode", ["in-network", "transparent"])
def test_service_chain_is_built_and_taken_down_through_the_api(controller, mode):
    with controller.client() as api:
        create_chain(api, mode)

        def built():
            both = (announced(api, "red"), announced(api, "blue"))
            found = [chain_instance(api, name) for name in ("red", "blue")]
            linked = [each.get("routing_instance_refs") for each in found]
            return both == (["10.2.0.0/24"], ["10.1.0.0/24"]) and all(linked)

        wait_until(built, "the chain")
        wait_until(lambda: quiet(controller), "compiling everything")
        assert read_table(controller.compiler_socket, "refused") == []
        assert read_table(controller.compiler_socket, "violations") == []
        port = api.read_by_name("virtual-machine-interface", [*PROJECT, "fw-left"])
        assert len(port["routing_instance_refs"]) == (2 if mode == "transparent" else 1)
        entry = api.read_by_name("access-control-list", [*PROJECT, "red", "red"])
        first = entry["access_control_list_entries"]["acl_rule"][0]["action_list"]
        assert first["assign_routing_instance"].endswith("_fw")

        uuid = api.name_to_id("network-policy", [*PROJECT, "chain"])
        api.update("network-policy", uuid, {"network_policy_entries": {"policy_rule": []}})

        wait_until(lambda: chain_instance(api, "red") == {}, "removal of the chain")
        wait_until(lambda: quiet(controller), "removing everything")
        assert read_table(controller.compiler_socket, "refused") == []
        unique_targets(api)
