import pytest

from skytrail.cli.names import (
    UnknownType,
    full_names,
    is_uuid,
    own_name,
    read_project,
    resolve_type,
    split_name,
)
from skytrail.model.catalog import CATALOG

PROJECT = ("default-domain", "demo")
NETWORK = CATALOG.objects["virtual-network"]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("vn", "virtual-network"),
        ("vns", "virtual-network"),
        ("VN", "virtual-network"),
        ("virtual_network", "virtual-network"),
        ("virtual-networks", "virtual-network"),
        ("VirtualNetwork", "virtual-network"),
        ("network-policies", "network-policy"),
        ("network-policys", "network-policy"),
        ("virtual-dns", "virtual-DNS"),
        ("vmi", "virtual-machine-interface"),
        ("iip", "instance-ip"),
        ("sg", "security-group"),
        ("np", "network-policy"),
        ("ipam", "network-ipam"),
        ("node", "node"),
        ("port", "port"),
    ],
)
def test_types_are_found_by_every_usual_spelling(word, name):
    assert resolve_type(word).name == name


def test_every_type_and_short_name_resolves_to_itself():
    for name, kind in CATALOG.objects.items():
        assert resolve_type(name) is kind
        assert all(resolve_type(short) is kind for short in kind.short_names)


def test_unknown_type_suggests_near_ones():
    with pytest.raises(UnknownType, match="Did you mean virtual-network"):
        resolve_type("virtual-netwrk")


def test_part_of_a_name_is_suggested_too():
    with pytest.raises(UnknownType, match="loadbalancer-healthmonitor"):
        resolve_type("healthmon")


def test_route_target_names_keep_their_colons():
    kind = CATALOG.objects["route-target"]

    assert split_name("target:64512:7", kind) == ("target:64512:7",)


def test_short_names_get_the_default_project_in_front():
    assert full_names(("red",), NETWORK, PROJECT) == [(*PROJECT, "red")]
    assert full_names(("other", "red"), NETWORK, PROJECT) == [("default-domain", "other", "red")]
    assert full_names(("d", "p", "red"), NETWORK, PROJECT) == [("d", "p", "red")]


def test_new_object_with_a_short_name_belongs_to_the_project_whatever_else_could_be_its_parent():
    port = CATALOG.objects["virtual-machine-interface"]

    assert own_name(("port",), port, PROJECT) == (*PROJECT, "port")
    assert own_name(("machine", "port"), port, PROJECT) == ("machine", "port")
    assert own_name(("role=web",), CATALOG.objects["tag"], PROJECT) == ("role=web",)
    assert own_name(("p",), CATALOG.objects["project"], PROJECT) == ("default-domain", "p")


def test_project_of_the_environment_may_leave_the_domain_out():
    assert read_project(None) == ("default-domain", "default-project")
    assert read_project("demo") == PROJECT
    assert read_project("corp:demo") == ("corp", "demo")


def test_only_whole_uuids_are_uuids():
    assert is_uuid("7d4b1c5e-55a1-4f36-8f0e-8f8f3b5d0001")
    assert not is_uuid("7d4b1c5e55a14f368f0e8f8f3b5d0001")
    assert not is_uuid("red")
