"""Structural violations carry the compatible API's texts and the exact place."""

import pytest

from skytrail.model.catalog import CATALOG
from skytrail.model.validate import (
    InvalidValue,
    check_element,
    check_properties,
    check_property,
    check_reference_attr,
    check_references,
    stored_attribute,
    stored_element,
    stored_properties,
    unknown_keys,
)

VN = "virtual-network"


def texts(violations):
    return [violation.text for violation in violations]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("mtu", "many", "Error validating property mtu: integer value expected instead of many"),
        ("mtu", True, "Error validating property mtu: integer value expected instead of True"),
        ("mtu", 1.5, "Error validating property mtu: integer value expected instead of 1.5"),
        ("mtu", 9217, "Error validating property mtu: value must be between 0 and 9216"),
        ("mtu", "9217", "Error validating property mtu: value must be between 0 and 9216"),
        (
            "fabric_snat",
            "yes",
            "Error validating property fabric_snat: true/false expected instead of yes",
        ),
        (
            "display_name",
            5,
            "Error validating property display_name: string value expected instead of 5",
        ),
        (
            "virtual_network_category",
            "big",
            (
                "Error validating property virtual_network_category: value must be one of "
                "['infra', 'tenant', 'internal', 'routed']"
            ),
        ),
        (
            "virtual_network_properties",
            {"colour": "red"},
            (
                "Error validating property virtual_network_properties value {'colour': 'red'} "
                "class VirtualNetworkType does not have field colour"
            ),
        ),
        (
            "route_target_list",
            {"route_target": "target:1:1"},
            (
                "Error validating property route_target_list value {'route_target': 'target:1:1'} "
                "Field route_target must be a list. Received value: target:1:1"
            ),
        ),
        (
            "route_target_list",
            ["target:1:1"],
            (
                "Error validating property route_target_list value ['target:1:1'] "
                "class RouteTargetList expects an object instead of ['target:1:1']"
            ),
        ),
    ],
)
def test_wrong_property_value_is_told_in_the_known_text(name, value, expected):
    assert texts(check_properties(VN, {name: value})) == [expected]


@pytest.mark.parametrize(
    "value",
    [
        {"mtu": None},
        {"mtu": 0},
        {"mtu": "1500"},
        {"virtual_network_category": ""},
        {"route_target_list": []},
        {"route_target_list": {}},
        {"route_target_list": {"route_target": []}},
        {"route_target_list": {"route_target": None}},
        {
            "virtual_network_properties": {
                "mirror_destination": [],
                "vxlan_network_identifier": None,
            }
        },
    ],
)
def test_absent_values_and_numbers_as_text_are_accepted(value):
    assert check_properties(VN, value) == []


def test_path_leads_to_the_place_in_nested_lists():
    rules = {"policy_rule": [{}, {"src_ports": [{"start_port": 1}, {"start_port": 70000}]}]}

    (violation,) = check_property("network-policy", "network_policy_entries", rules)

    assert violation.path == "network_policy_entries.policy_rule.1.src_ports.1.start_port"
    assert violation.text.endswith("start_port: value must be between -1 and 65535")


def test_all_violations_are_reported_in_schema_order():
    found = check_properties(VN, {"mtu": "x", "fabric_snat": 1, "is_shared": 0})

    assert [violation.path for violation in found] == ["fabric_snat", "is_shared", "mtu"]


def test_interface_kind_must_match_its_pattern():
    wrong = {"service_interface_type": "middle"}
    right = {"service_interface_type": "other12"}

    assert (
        check_property("virtual-machine-interface", "virtual_machine_interface_properties", right)
        == []
    )
    assert (
        len(
            check_property(
                "virtual-machine-interface", "virtual_machine_interface_properties", wrong
            )
        )
        == 1
    )


def test_reference_attribute_is_checked_by_its_type():
    attr = {"ipam_subnets": [{"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": "long"}}]}

    (violation,) = check_reference_attr(VN, "network_ipam_refs", attr)

    assert violation.path == "network_ipam_refs.ipam_subnets.0.subnet.ip_prefix_len"
    assert violation.text.startswith("Error validating reference network_ipam_refs value {")


@pytest.mark.parametrize("attr", [None, {}, "anything"])
def test_attribute_of_a_reference_without_one_is_ignored(attr):
    assert check_reference_attr(VN, "route_table_refs", attr) == []


@pytest.mark.parametrize(
    "item", [3, {}, {"to": "a:b"}, {"to": [1]}, {"to": []}, {"uuid": 5}, {"to": ["a"], "uuid": 5}]
)
def test_item_that_names_no_target_is_a_violation(item):
    (violation,) = check_references(VN, {"network_policy_refs": [{"to": ["a"]}, item]})

    assert violation.path == "network_policy_refs.1"
    assert violation.text == f"Error validating reference network_policy_refs value {item}"


def test_references_that_are_no_list_are_a_violation():
    (violation,) = check_references(VN, {"network_policy_refs": {"to": ["a"]}})

    assert "network_policy_refs must be a list" in violation.text


def test_element_of_a_list_property_is_checked_alone():
    pair = {"key": "host_id", "value": "n1"}

    assert (
        check_element("virtual-machine-interface", "virtual_machine_interface_bindings", pair) == []
    )
    (violation,) = check_element(
        "virtual-machine-interface", "virtual_machine_interface_bindings", {"keys": 1}
    )
    assert violation.text.endswith("class KeyValuePair does not have field keys")


def test_element_of_a_simple_property_is_a_key_error():
    with pytest.raises(KeyError):
        check_element(VN, "mtu", 1)


def test_unknown_keys_are_named_and_what_reads_return_is_known():
    body = {
        "fq_name": ["a"],
        "uuid": None,
        "href": "h",
        "mtu": 1,
        "network_ipam_refs": [],
        "routing_instances": [],
        "virtual_machine_interface_back_refs": [],
        "tag_refs": [],
        "speed": 1,
        "colour": 2,
    }

    assert unknown_keys(VN, body) == ["colour", "speed"]


def test_hostile_values_do_not_blow_up_the_text():
    (violation,) = check_properties(VN, {"mtu": "9" * 100_000})

    assert len(violation.text) < 1000


@pytest.mark.parametrize("text", ["a\x00b", "\x1f", "\ufffe", "\ud800"])
def test_text_that_xml_cannot_carry_is_a_violation(text):
    assert texts(check_properties(VN, {"display_name": text})) == [
        "Error validating property display_name: value has illegal xml characters"
    ]


def test_stored_form_has_numbers_for_their_text_and_nothing_that_was_not_given():
    given = {
        "mtu": "1500",
        "fabric_snat": None,
        "route_target_list": {"route_target": ["target:1:1", None]},
        "import_route_target_list": [],
        "virtual_network_properties": {
            "vxlan_network_identifier": "7",
            "rpf": None,
            "mirror_destination": [],
        },
        "colour": "red",
    }

    assert stored_properties(CATALOG.objects[VN], given) == {
        "mtu": 1500,
        "fabric_snat": None,
        "route_target_list": {"route_target": ["target:1:1"]},
        "import_route_target_list": None,
        "virtual_network_properties": {"vxlan_network_identifier": 7},
    }


def test_stored_form_is_refused_with_the_first_violation_in_the_order_of_the_body():
    with pytest.raises(InvalidValue) as refused:
        stored_properties(CATALOG.objects[VN], {"mtu": "x", "fabric_snat": 1})

    assert refused.value.violation.path == "mtu"
    assert str(refused.value) == (
        "Error validating property mtu: integer value expected instead of x"
    )


def test_stored_form_of_an_element_and_of_an_attribute():
    bindings = CATALOG.objects["virtual-machine-interface"].properties[
        "virtual_machine_interface_bindings"
    ]
    policy = CATALOG.objects[VN].references["network_policy_refs"]
    table = CATALOG.objects[VN].references["route_table_refs"]

    assert stored_element(bindings, {"key": "k", "value": None}) == {"key": "k"}
    assert stored_attribute(policy, {"sequence": {"major": "1"}}) == {"sequence": {"major": 1}}
    assert stored_attribute(policy, None) is None
    assert stored_attribute(table, {"any": 1}) is None
    with pytest.raises(InvalidValue, match="class KeyValuePair expects an object"):
        stored_element(bindings, None)
    with pytest.raises(InvalidValue, match=r"^Error validating reference network_policy_refs "):
        stored_attribute(policy, {"sequence": {"major": "x"}})
