import pytest

from skytrail.cli.columns import columns_of, short_value
from skytrail.cli.describe import lines
from skytrail.model.catalog import CATALOG


def row(type_name, item):
    columns = columns_of(CATALOG.objects[type_name])
    return {column.title: column.cell(item) for column in columns}


@pytest.mark.parametrize("type_name", sorted(CATALOG.objects))
def test_every_type_has_columns_that_stand_an_empty_object(type_name):
    kind = CATALOG.objects[type_name]
    columns = columns_of(kind)

    cells = [column.cell({"fq_name": ["x"], "uuid": "u"}) for column in columns]

    assert cells[0] == "x"
    assert all(field in {*kind.properties, *kind.references} for c in columns for field in c.fields)


def test_network_row_shows_subnets_and_policies():
    item = {
        "fq_name": ["d", "p", "red"],
        "virtual_network_network_id": 7,
        "network_policy_refs": [{"to": ["d", "p", "np"], "uuid": "u", "attr": {}}],
        "network_ipam_refs": [
            {
                "to": ["d", "p", "i"],
                "attr": {
                    "ipam_subnets": [{"subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24}}]
                },
            }
        ],
    }

    assert row("virtual-network", item) == {
        "NAME": "d:p:red",
        "ID": "7",
        "SUBNETS": "10.1.1.0/24",
        "POLICIES": "np",
        "ROUTE TARGETS": "",
    }


def test_projects_show_what_tells_them_apart_and_nothing_hardly_anybody_sets():
    item = {
        "fq_name": ["d", "p"],
        "display_name": "P",
        "id_perms": {"created": "2026-01-02T03:04:05", "enable": True},
        "application_policy_set_refs": [{"to": ["d", "p", "default-application-policy-set"]}],
    }

    shown = {"NAME": "d:p", "DISPLAY NAME": "P", "CREATED": "2026-01-02T03:04:05"}
    assert row("project", item) == shown
    assert set(row("route-target", {"fq_name": ["target:1:2"]})) == {"NAME"}


def test_one_way_route_targets_are_marked():
    item = {
        "fq_name": ["d", "p", "n", "n"],
        "route_target_refs": [
            {"to": ["target:1:1"], "attr": {}},
            {"to": ["target:1:2"], "attr": {"import_export": "import"}},
        ],
    }

    assert row("routing-instance", item)["ROUTE TARGETS"] == "target:1:1, target:1:2 (in)"


def test_long_lists_are_cut_and_counted():
    assert short_value([1, 2, 3, 4, 5, 6]) == "1, 2, 3, 4 +2 more"


def test_description_shows_references_with_attributes_and_marks_derived_objects():
    item = {
        "fq_name": ["d", "p", "n", "n"],
        "uuid": "u",
        "routing_instance_is_default": True,
        "route_target_refs": [{"to": ["target:1:2"], "attr": {"import_export": "import"}}],
    }

    text = "\n".join(lines(CATALOG.objects["routing-instance"], item))

    assert "derived by the compiler" in text
    assert "routing_instance_is_default: yes" in text
    assert "import_export: import" in text
