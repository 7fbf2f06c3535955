import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skytrail.cli.documents import (
    DocumentInvalid,
    changes,
    check,
    contains,
    in_order,
    merged,
    read_documents,
    written,
)
from skytrail.cli.values import prune


def one(text):
    (document,) = read_documents(text, "file")
    return document


def test_short_forms_become_the_api_form():
    document = one(
        """
        type: vn
        fq_name: default-domain:demo:red
        network_policy_refs: [default-domain:demo:p]
        network_ipam_refs:
          - {to: "default-domain:demo:ipam", attr: {ipam_subnets: [{subnet: 10.1.1.7/24}]}}
        """
    )

    subnet = {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}
    assert document.wire() == {
        "fq_name": ["default-domain", "demo", "red"],
        "parent_type": "project",
        "network_policy_refs": [{"to": ["default-domain", "demo", "p"]}],
        "network_ipam_refs": [
            {
                "to": ["default-domain", "demo", "ipam"],
                "attr": {"ipam_subnets": [{"subnet": subnet}]},
            }
        ],
    }


def test_api_form_and_lists_of_documents_are_read():
    found = read_documents('[{"virtual-network": {"fq_name": ["d", "p", "n"], "mtu": 1400}}]', "f")

    assert [(each.kind.name, each.fields) for each in found] == [("virtual-network", {"mtu": 1400})]


def test_what_the_server_fills_is_not_part_of_a_document():
    document = one(
        "{type: vn, fq_name: 'd:p:n', uuid: u, href: h, id_perms: {}, perms2: {}, name: n,"
        " virtual_machine_interface_back_refs: [], routing_instances: []}"
    )

    assert document.fields == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("just text", "expected an object"),
        ("{fq_name: a, mtu: 1}", "no type"),
        ("{type: vnn, fq_name: a}", "Did you mean"),
        ("{type: vn, mtu: 1}", "no fq_name"),
        ("{type: vn, fq_name: 'a:b:c', network_policy_refs: [{attr: {}}]}", "has no `to`"),
        (
            "{type: vn, fq_name: 'a:b:c', network_ipam_refs: [{to: x, attr: {subnet: nonsense}}]}",
            "not a subnet",
        ),
        ("{unclosed: [", "file"),
    ],
)
def test_bad_documents_are_refused_with_place_and_reason(text, reason):
    with pytest.raises(DocumentInvalid, match=reason):
        read_documents(text, "file")


def test_all_problems_of_a_document_are_named_at_once():
    document = one("{type: vn, fq_name: 'a:b:c', mtuu: 1, mtu: 99999, is_shared: maybe}")

    with pytest.raises(DocumentInvalid) as caught:
        check(document)

    text = str(caught.value)
    assert "Did you mean mtu?" in text
    assert "between 0 and 9216" in text
    assert "is_shared" in text


def test_parents_and_targets_come_first_whatever_the_order():
    documents = [
        one("{type: vmi, fq_name: 'd:p:port', virtual_network_refs: ['d:p:red']}"),
        one("{type: vn, fq_name: 'd:p:red', network_policy_refs: ['d:p:np']}"),
        one("{type: np, fq_name: 'd:p:np'}"),
        one("{type: project, fq_name: 'd:p'}"),
    ]

    found = [each.kind.name for each in in_order(documents)]

    assert found.index("project") < found.index("network-policy") < found.index("virtual-network")
    assert found[-1] == "virtual-machine-interface"


def test_circle_of_references_is_refused():
    documents = [
        one("{type: vn, fq_name: 'd:p:a', virtual_network_refs: ['d:p:b']}"),
        one("{type: vn, fq_name: 'd:p:b', virtual_network_refs: ['d:p:a']}"),
    ]

    with pytest.raises(DocumentInvalid, match="d:p:a -> d:p:b -> d:p:a"):
        in_order(documents)


def test_object_given_twice_is_refused():
    with pytest.raises(DocumentInvalid, match="twice"):
        in_order([one("{type: vn, fq_name: 'd:p:a'}")] * 2)


STORED = {
    "mtu": 1400,
    "network_ipam_refs": [
        {
            "to": ["d", "p", "ipam"],
            "uuid": "u",
            "href": "h",
            "attr": {
                "ipam_subnets": [
                    {
                        "subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24},
                        "subnet_uuid": "s",
                        "default_gateway": "10.1.1.254",
                    }
                ]
            },
        }
    ],
}


def network(subnets, mtu=1400):
    return one(
        f"{{type: vn, fq_name: 'd:p:n', mtu: {mtu}, network_ipam_refs:"
        f" [{{to: 'd:p:ipam', attr: {{ipam_subnets: {subnets}}}}}]}}"
    )


def test_same_contents_are_no_change_whatever_the_server_filled_in():
    assert changes(network("[{subnet: 10.1.1.0/24}]"), STORED) == {}


def test_only_differing_fields_are_sent():
    assert changes(network("[{subnet: 10.1.1.0/24}]", mtu=1500), STORED) == {"mtu": 1500}


def test_added_subnet_keeps_what_the_server_filled_into_the_other():
    found = changes(network("[{subnet: 10.1.1.0/24}, {subnet: 10.2.0.0/16}]"), STORED)

    first, second = found["network_ipam_refs"][0]["attr"]["ipam_subnets"]
    assert first["subnet_uuid"] == "s"
    assert second == {"subnet": {"ip_prefix": "10.2.0.0", "ip_prefix_len": 16}}


def test_changed_prefix_does_not_inherit_the_old_ones_identity():
    found = changes(network("[{subnet: 10.9.0.0/16}]"), STORED)

    assert found["network_ipam_refs"][0]["attr"]["ipam_subnets"] == [
        {"subnet": {"ip_prefix": "10.9.0.0", "ip_prefix_len": 16}}
    ]


def test_cleared_references_are_a_change():
    document = one("{type: vn, fq_name: 'd:p:n', network_ipam_refs: []}")

    assert changes(document, STORED) == {"network_ipam_refs": []}


def test_written_object_reads_as_no_change():
    stored = {"fq_name": ["d", "p", "n"], "uuid": "u", "display_name": "n", **STORED}
    kind = one("{type: vn, fq_name: 'd:p:n'}").kind

    document = read_documents(repr(written(kind, stored)), "again")[0]

    assert changes(document, stored) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xy", max_size=2), inner),
    max_leaves=8,
)


@given(json_values)
@example([{"": "", "x": False}, {"": ""}])
def test_value_contains_itself_and_merges_to_itself(value):
    assert contains(value, value)
    assert prune(merged(value, value)) == prune(value)


@given(json_values, json_values)
def test_merged_value_contains_what_was_wanted(wanted, stored):
    assert contains(merged(wanted, stored), wanted)


def test_a_copy_leaves_the_numbers_to_the_server():
    text = "{type: vn, fq_name: 'd:p:a', virtual_network_network_id: 5, display_name: a}"
    (document,) = read_documents(text, "file")

    assert document.without_server_values().fields == {"display_name": "a"}


@pytest.mark.parametrize(
    ("text", "parent"),
    [
        ("{type: security-logging-object, fq_name: 'default-domain:red:audit'}", "project"),
        ("{type: qos-config, fq_name: 'default-domain:red:gold'}", "project"),
        (
            "{type: qos-config, fq_name: 'default-global-system-config:default-global-qos-config:gold'}",
            "global-qos-config",
        ),
        (
            "{type: qos-queue, fq_name: 'default-global-system-config:default-global-qos-config:1'}",
            "global-qos-config",
        ),
    ],
)
def test_parent_of_several_possible_ones_is_the_one_the_name_speaks_of(text, parent):
    assert one(text).wire()["parent_type"] == parent
