"""One edit of the schema reaches everything that is generated, and stale files are noticed."""

import shutil
from pathlib import Path

import pytest
import yaml

from skytrail.model.base import Compound
from skytrail.model.generate.__main__ import main
from skytrail.model.generate.build import build_catalog, class_name
from skytrail.model.generate.identifiers import capitalised
from skytrail.model.generate.java import java_name
from skytrail.model.generate.names import type_names
from skytrail.model.generate.outputs import (
    CLIENT,
    CODE,
    GO,
    JAVA,
    REFERENCE,
    generated_files,
    stale_files,
)
from skytrail.model.generate.python_text import literal, wrapped
from skytrail.model.meta import SCHEMA_DIRECTORY, load_schema
from skytrail.model.openapi import openapi_document

ROOT = Path(__file__).parents[3]


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


def openapi_schemas(schema):
    document = openapi_document(build_catalog(load_schema(schema)), version="1")
    return document["components"]["schemas"], document["paths"]


def test_committed_files_are_fresh():
    assert stale_files(generated_files(SCHEMA_DIRECTORY), ROOT) == []


def test_added_property_reaches_struct_catalog_bindings_openapi_and_docs(schema):
    field = {"type": "integer", "description": "Seconds a test of this field may take."}
    edit(
        schema,
        "qos",
        lambda c: c["objects"]["qos-queue"]["properties"].update(patience_s=field),
    )

    files = generated_files(schema)
    schemas, _ = openapi_schemas(schema)

    assert "    patience_s: int | None = None\n" in files[f"{CODE}/objects.py"]
    assert "    patience_s: int | None\n" in files[f"{CLIENT}/changes.py"]
    assert "    patience_s: int | Comparison[int] | None\n" in files[f"{CLIENT}/filters.py"]
    java = files[f"{JAVA}/skytrail/model/QosQueue.java"]
    assert (
        "    /** Seconds a test of this field may take. */\n    public Long patienceS() {" in java
    )
    assert "    public QosQueue patienceS(Long value) {" in java
    go = files[f"{GO}/generated_qos.go"]
    assert '\tPatienceS *int64 `json:"patience_s,omitempty"`\n' in go
    assert 'name="patience_s"' in files[f"{CODE}/catalog_qos.py"]
    assert "| `patience_s` | integer |" in files[f"{REFERENCE}/qos.md"]
    assert schemas["QosQueue"]["properties"]["patience_s"] == {
        "type": "integer",
        "description": "Seconds a test of this field may take.",
    }


def test_added_field_of_a_complex_type_reaches_a_usable_struct(schema):
    field = {"type": "string", "list": True, "description": "Names that a test has added."}
    edit(
        schema,
        "foundation",
        lambda c: c["types"]["SubnetType"]["fields"].update(nicknames=field),
    )

    namespace = {"__name__": "generated_under_test"}
    exec(generated_files(schema)[f"{CODE}/types.py"], namespace)
    value = namespace["SubnetType"](nicknames=("a",))

    assert isinstance(value, Compound)
    assert value.nicknames == ("a",)


def test_added_object_type_reaches_rest_paths_back_references_and_command_line(schema):
    entry = {
        "description": "A wind that blows over networks, for a test.",
        "short": ["wd"],
        "parents": {"project": {}},
        "references": {"virtual-network": {"description": "Networks the wind blows over."}},
    }
    edit(schema, "networking", lambda c: c["objects"].update({"trade-wind": entry}))

    files = generated_files(schema)
    schemas, paths = openapi_schemas(schema)
    catalog = build_catalog(load_schema(schema))

    assert "class TradeWind(ConfigObject" in files[f"{CODE}/objects.py"]
    for module, resources in (("blocking_api", "Resources"), ("async_api", "AsyncResources")):
        returned = f") -> {resources}[TradeWind, TradeWindChanges, TradeWindFilters]:"
        assert returned in files[f"{CLIENT}/{module}.py"]
    assert "public Resources<TradeWind> tradeWinds() {" in files[f"{JAVA}/skytrail/Api.java"]
    assert "TradeWinds() Resources[TradeWind] {" in files[f"{GO}/generated_api.go"]
    assert {"/trade-winds", "/trade-wind/{uuid}"} <= set(paths)
    assert "trade_wind_back_refs" in schemas["VirtualNetworkRead"]["allOf"][1]["properties"]
    assert catalog.objects["project"].children["trade_winds"].type == "trade-wind"
    assert catalog.objects["trade-wind"].fq_name_lengths == (3,)
    assert type_names(catalog)["wd"] == "trade-wind"
    assert "## trade-wind" in files[f"{REFERENCE}/networking.md"]


@pytest.mark.parametrize("name", ["patienceS", "patience_S"])
def test_fields_that_other_languages_cannot_tell_apart_are_an_error(schema, name):
    field = {"type": "integer", "description": "Seconds a test of this field may take."}
    edit(
        schema,
        "qos",
        lambda c: c["objects"]["qos-queue"]["properties"].update(
            {"patience_s": field, name: field}
        ),
    )

    with pytest.raises(ValueError, match="both called"):
        generated_files(schema)


@pytest.mark.parametrize(
    ("wire_name", "java", "go"),
    [
        ("virtual_network_properties", "virtualNetworkProperties", "VirtualNetworkProperties"),
        ("virtual_DNS_data", "virtualDNSData", "VirtualDNSData"),
        ("dscpListIPv4", "dscpListIPv4", "DscpListIPv4"),
        ("LANSegmentList", "lanSegmentList", "LANSegmentList"),
        ("static", "static_", "Static"),
        ("type_", "type", "Type"),
        ("virtual-DNSs", "virtualDNSs", "VirtualDNSs"),
    ],
)
def test_wire_names_become_identifiers(wire_name, java, go):
    assert (java_name(wire_name), capitalised(wire_name)) == (java, go)


def test_short_name_of_two_types_is_an_error(schema):
    edit(schema, "qos", lambda c: c["objects"]["qos-queue"].update(short=["vn"]))

    with pytest.raises(ValueError, match="'vn'"):
        generated_files(schema)


def test_types_that_contain_each_other_are_an_error(schema):
    field = {"type": "SubnetListType", "description": "Closes the circle of containment."}
    edit(schema, "foundation", lambda c: c["types"]["SubnetType"]["fields"].update(inner=field))

    with pytest.raises(ValueError, match="contain each other"):
        generated_files(schema)


def test_check_names_stale_files_and_writing_cures_them(schema, tmp_path, capsys):
    root = tmp_path / "root"
    arguments = ["--schema", str(schema), "--root", str(root)]
    assert main(arguments) == 0
    assert main([*arguments, "--check"]) == 0
    (root / CODE / "objects.py").write_text("edited by hand")
    (root / CODE / "leftover.py").write_text("")
    (root / REFERENCE / "qos.md").unlink()

    assert main([*arguments, "--check"]) == 1
    named = capsys.readouterr().err
    assert main(arguments) == 0

    assert f"stale: {CODE}/objects.py" in named
    assert f"stale: {CODE}/leftover.py" in named
    assert f"stale: {REFERENCE}/qos.md" in named
    assert main([*arguments, "--check"]) == 0
    assert not (root / CODE / "leftover.py").exists()


def test_wrong_schema_ends_with_status_two(schema, capsys):
    (schema / "qos.yaml").write_text("family: qos\n")

    assert main(["--schema", str(schema), "--check"]) == 2
    assert "qos.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("virtual-DNS-record", "VirtualDnsRecord"),
        ("bgp-as-a-service", "BgpAsAService"),
        ("bgpvpn", "Bgpvpn"),
    ],
)
def test_class_names_are_capitalised_parts(type_name, expected):
    assert class_name(type_name) == expected


@pytest.mark.parametrize("text", ["a b  c" * 30, "x" * 250, 'say "hi" it\'s', "tail space "])
def test_wrapped_text_joins_to_itself_within_the_width(text):
    parts = wrapped(text, 40)

    assert "".join(parts) == text
    assert max(map(len, parts)) <= 40


@pytest.mark.parametrize(
    "value", [1, True, None, "it's", 'a "b"', ("a",), ("a", "b"), {"k": ("v",)}, {}, ()]
)
def test_literals_evaluate_to_the_value(value):
    assert eval(literal(value)) == value
