"""A schema file that breaks the meta-schema is refused with the file and the entry."""

import shutil

import pytest
import yaml

from skytrail.model.meta import SCHEMA_DIRECTORY, SchemaError, load_schema


@pytest.fixture
def schema(tmp_path):
    copy = tmp_path / "schema"
    shutil.copytree(SCHEMA_DIRECTORY, copy)
    return copy


def edit(schema, family, change):
    path = schema / f"{family}.yaml"
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def refused(schema, *parts):
    with pytest.raises(SchemaError) as caught:
        load_schema(schema)
    for part in parts:
        assert part in str(caught.value)


def test_unknown_key_of_a_property_is_an_error(schema):
    edit(
        schema,
        "networking",
        lambda c: c["objects"]["virtual-network"]["properties"]["mtu"].update(rnage=[0, 1]),
    )

    refused(schema, "networking.yaml", "objects.virtual-network.properties.mtu", "rnage")


def test_unknown_key_of_an_object_is_an_error(schema):
    edit(schema, "networking", lambda c: c["objects"]["virtual-network"].update(parent=["x"]))

    refused(schema, "networking.yaml: objects.virtual-network", "`parent`")


def test_unknown_key_of_a_file_is_an_error(schema):
    edit(schema, "qos", lambda c: c.update(object={}))

    refused(schema, "qos.yaml", "`object`")


def test_wrong_value_of_an_enumerated_key_is_an_error(schema):
    edit(
        schema,
        "qos",
        lambda c: c["objects"]["qos-queue"]["properties"]["min_bandwidth"].update(
            presence="always"
        ),
    )

    refused(schema, "qos.yaml: objects.qos-queue.properties.min_bandwidth", "always")


def test_missing_description_is_an_error(schema):
    edit(schema, "bgp", lambda c: c["objects"]["bgpvpn"].pop("description"))

    refused(schema, "bgp.yaml: objects.bgpvpn", "description")


def test_description_that_says_nothing_is_an_error(schema):
    edit(
        schema,
        "foundation",
        lambda c: c["types"]["SubnetType"]["fields"]["ip_prefix"].update(description="prefix"),
    )

    refused(schema, "types.SubnetType.fields.ip_prefix", "description")


def test_unknown_type_of_a_property_is_an_error(schema):
    edit(
        schema,
        "qos",
        lambda c: c["objects"]["qos-queue"]["properties"]["min_bandwidth"].update(type="int"),
    )

    refused(schema, "qos.yaml: objects.qos-queue.properties.min_bandwidth", "'int'")


def test_unknown_target_of_a_reference_is_an_error(schema):
    edit(
        schema,
        "qos",
        lambda c: c["objects"]["qos-queue"].update(
            references={"virtual-netwrok": {"description": "a network with a typing error"}}
        ),
    )

    refused(schema, "qos.yaml: objects.qos-queue.references.virtual-netwrok")


def test_map_without_key_is_an_error(schema):
    edit(
        schema,
        "qos",
        lambda c: c["objects"]["qos-config"]["properties"]["dscp_entries"].pop("key"),
    )

    refused(schema, "qos.yaml: objects.qos-config.properties.dscp_entries", "key")


def test_list_property_of_a_type_that_is_no_wrapper_is_an_error(schema):
    edit(
        schema,
        "networking",
        lambda c: c["objects"]["virtual-network"]["properties"]["route_target_list"].update(
            type="PermType2"
        ),
    )

    refused(schema, "route_target_list", "PermType2")


def test_key_given_twice_is_an_error(schema):
    path = schema / "qos.yaml"
    path.write_text(path.read_text() + "\nfamily: qos\n")

    refused(schema, "qos.yaml", "'family'", "twice")


def test_type_described_in_two_files_is_an_error(schema):
    qos = yaml.safe_load((schema / "qos.yaml").read_text())
    edit(schema, "bgp", lambda c: c["objects"].update({"qos-queue": qos["objects"]["qos-queue"]}))

    refused(schema, "qos.yaml: objects.qos-queue", "already")


def test_file_that_is_not_yaml_is_an_error(schema):
    (schema / "qos.yaml").write_text("family: [unclosed")

    refused(schema, "qos.yaml")


def test_family_must_have_the_name_of_its_file(schema):
    (schema / "qos.yaml").rename(schema / "quality.yaml")

    refused(schema, "quality.yaml", "'qos'")
