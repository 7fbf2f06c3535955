import pytest

from skytrail.cli.complete import Names, with_own_names
from skytrail.cli.documents import DocumentInvalid, read_documents
from skytrail.cli.lookup import only_fitting
from skytrail.cli.names import full_names
from skytrail.cli.session import Refused
from skytrail.model.catalog import CATALOG

PROJECT = ("default-domain", "demo")
STORED = {
    ("default-domain", "default-project", "default-network-ipam"),
    ("default-domain", "demo"),
    ("default-domain", "demo", "stored"),
}


def documents(text):
    return with_own_names(read_documents(text, "file"), PROJECT)


def look_up(kind, written, planned):
    known = STORED | set(planned)
    whole = [name for name in full_names(written, kind, PROJECT) if name in known]
    return whole[0] if whole else only_fitting(kind, written, known)


def completed(text, find=look_up):
    found = documents(text)
    names = Names(found, find)
    return [names.complete(each) for each in found]


def target(document, field):
    return tuple(document.fields[field][0]["to"])


def test_short_reference_means_the_only_object_that_ends_so_and_keeps_its_attribute():
    (network,) = completed(
        "{type: vn, fq_name: 'default-domain:demo:red', network_ipam_refs:"
        " [{to: default-network-ipam, attr: {ipam_subnets: [{subnet: 10.1.1.0/24}]}}]}"
    )

    whole = ("default-domain", "default-project", "default-network-ipam")
    assert target(network, "network_ipam_refs") == whole
    assert network.fields["network_ipam_refs"][0]["attr"]["ipam_subnets"]


def test_short_names_mean_the_default_project_first():
    network, policy = completed(
        "[{type: vn, fq_name: red, network_policy_refs: [web]}, {type: np, fq_name: web}]"
    )

    assert network.fq_name == (*PROJECT, "red")
    assert (network.parent_type, policy.parent_type) == ("project", "project")
    assert target(network, "network_policy_refs") == policy.fq_name


def test_target_that_nobody_has_is_refused():
    with pytest.raises(Refused, match="No network-policy 'webb'"):
        completed("{type: vn, fq_name: red, network_policy_refs: [webb]}")


def test_missing_parent_is_refused_even_when_its_name_is_another_ones_end():
    with pytest.raises(Refused, match="No project 'default-domain:other'"):
        completed("{type: vn, fq_name: 'default-domain:other:red'}")
    with pytest.raises(DocumentInvalid, match="parent d:p does not exist"):
        completed("{type: vn, fq_name: 'd:p:red'}", find=lambda *_: ("x", "d", "p"))


def test_routing_instance_of_a_planned_network_comes_by_itself():
    _, port = completed(
        "[{type: vn, fq_name: red},"
        " {type: vmi, fq_name: port, routing_instance_refs: ['default-domain:demo:red:red']}]"
    )

    assert target(port, "routing_instance_refs") == (*PROJECT, "red", "red")
    with pytest.raises(Refused):
        completed("{type: vmi, fq_name: p, routing_instance_refs: ['default-domain:demo:red:red']}")


def test_each_name_is_looked_up_once():
    asked = []

    def find(kind, written, planned):
        asked.append(written)
        return look_up(kind, written, planned)

    completed(
        "[{type: vn, fq_name: a, network_policy_refs: [stored]},"
        " {type: vn, fq_name: b, network_policy_refs: [stored]}]",
        find,
    )

    assert sorted(asked) == [("default-domain", "demo"), ("stored",)]


def test_several_objects_with_one_end_are_listed():
    names = {("d", "p", "red"), ("d", "q", "red")}

    with pytest.raises(Refused, match=r"d:p:red\n  d:q:red"):
        only_fitting(CATALOG.objects["virtual-network"], ("red",), names)
