"""The schema has exactly the names and the structure that existing clients speak."""

import json
import re
from pathlib import Path

import pytest

from skytrail.model.catalog import CATALOG

ROOT = Path(__file__).parents[3]
FACTS = ROOT / "tests/data/vnc-model-facts.json"
# Where an engineer may keep the complete model beside the checkout.
FULL = ROOT.parent / "shared/spec/vnc-model.json"
# Three fields name types that are described nowhere; on the wire they are plain text.
UNDESCRIBED = {"ProtocolStateType", "TagType", "IpPrefixType"}
# The model file gives the XML name; clients send the JSON name (see test_client_agreement).
RENAMED = {("PortInfoType", "type_"): "type"}
PRESENCE = {None: "optional", "true": "required"}


def facts_of_full_model(full):
    """The committed form of the full model: names and structure, no prose."""
    return {
        "objects": {name: _object(entry, full) for name, entry in full["object_types"].items()},
        "types": {
            name: {field["name"]: _field(field) for field in entry["fields"]}
            for name, entry in full["complex_types"].items()
        },
        "simple_types": {name: _simple(entry) for name, entry in full["simple_types"].items()},
    }


def facts_of_catalog():
    return {
        "objects": {name: _catalog_object(entry) for name, entry in CATALOG.objects.items()},
        "types": {
            name: {
                RENAMED.get((name, field.name), field.name): _catalog_field(field)
                for field in entry.fields.values()
            }
            for name, entry in CATALOG.types.items()
        },
        "simple_types": {
            name: _without_empty(
                {
                    "base": entry.wire_base,
                    "enum": list(entry.enum),
                    "range": [entry.minimum, entry.maximum] if entry.minimum is not None else None,
                    "pattern": entry.pattern,
                }
            )
            for name, entry in CATALOG.simple_types.items()
        },
    }


def _object(entry, full):
    parents = {}
    for parent in entry["parents"]:
        link = next(
            (
                c
                for c in full["object_types"][parent["type"]]["children"]
                if c["field"] == entry["json_name"] + "s"
            ),
            {"link": f"{parent['type']}-{_name(entry)}", "presence": "optional", "ops": "CRUD"},
        )
        parents[parent["type"]] = [link["link"], parent["derived"], link["presence"], link["ops"]]
    return {
        "json_name": entry["json_name"],
        "collection": entry["collection_uri"],
        "fq_name_lengths": entry.get("fq_name_lengths", []),
        "parents": parents,
        "children": {c["field"]: [c["type"], c["derived"]] for c in entry["children"]},
        "references": {
            r["field"]: [
                r["type"],
                r["attr_type"] or "",
                r["derived"],
                r["link"],
                r["presence"],
                r["ops"],
            ]
            for r in (*entry["refs"], *({**r, "attr_type": None} for r in full["common_refs"]))
        },
        "back_references": {
            b["field"]: [b["type"], b["attr_type"] or "", b["derived"]] for b in entry["back_refs"]
        },
        "properties": {
            p["name"]: _property(p) for p in (*entry["properties"], *full["common_properties"])
        },
    }


def _name(entry):
    return entry["collection_uri"].removeprefix("/").removesuffix("s")


def _property(entry):
    facts = [entry["kind"], _type(entry), entry["presence"], entry["ops"], _default(entry)]
    if entry["kind"] == "simple":
        return facts
    element = "string" if entry["element_type"] in UNDESCRIBED else entry["element_type"]
    return [*facts, entry["wrapper_field"], element, entry.get("map_key", "")]


def _field(entry):
    presence = PRESENCE.get(entry.get("required"), entry.get("required"))
    ops = "".join(letter for letter in "CRUD" if letter in entry.get("ops", "CRUD"))
    facts = [_type(entry), entry["list"], presence, ops, _default(entry)]
    return [*facts, entry["maxOccurs"]] if "maxOccurs" in entry else facts


def _type(entry):
    return "string" if entry["type"] in UNDESCRIBED else entry["type"]


def _default(entry):
    return str(entry["default"]) if "default" in entry else None


def _simple(entry):
    bounds = [entry["minInclusive"], entry["maxInclusive"]] if "minInclusive" in entry else None
    return _without_empty(
        {
            # A union of a number and its hexadecimal text travels as text.
            "base": "string" if entry["base"] == "union" else entry["base"],
            "enum": entry.get("enum"),
            "range": bounds,
            "pattern": re.sub(r"\s+", "", "|".join(entry.get("pattern", []))),
        }
    )


def _without_empty(entry):
    return {key: value for key, value in entry.items() if value}


def _catalog_object(entry):
    return {
        "json_name": entry.json_name,
        "collection": f"/{entry.collection}",
        "fq_name_lengths": list(entry.fq_name_lengths),
        "parents": {
            p.type: [p.link, p.weak, p.presence, p.operations] for p in entry.parents.values()
        },
        "children": {c.name: [c.type, c.weak] for c in entry.children.values()},
        "references": {
            r.name: [r.target, r.attr_type, r.weak, r.link, r.presence, r.operations]
            for r in entry.references.values()
        },
        "back_references": {
            b.name: [b.source, b.attr_type, b.weak] for b in entry.back_references.values()
        },
        "properties": {p.name: _catalog_property(p) for p in entry.properties.values()},
    }


def _catalog_property(entry):
    facts = [entry.kind, entry.type, entry.presence, entry.operations, _text(entry.default)]
    wrapper = [entry.wrapper_field, entry.element_type, entry.map_key]
    return facts + wrapper if entry.kind != "simple" else facts


def _catalog_field(field):
    facts = [field.type, field.is_list, field.presence, field.operations, _text(field.default)]
    return [*facts, field.max_items] if field.max_items is not None else facts


def _text(default):
    if isinstance(default, bool):
        return str(default).lower()
    return None if default is None else str(default)


def _without_tag_of_tag(facts):
    """Tags may carry tags, so `tag` refers to itself; the full model forgot that back reference."""
    facts["objects"]["tag"]["back_references"].pop("tag_back_refs", None)
    return facts


def test_schema_equals_committed_facts():
    expected = json.loads(FACTS.read_text())

    assert _without_tag_of_tag(facts_of_catalog()) == expected


@pytest.mark.skipif(not FULL.exists(), reason="the full model is kept outside of the repository")
def test_committed_facts_equal_full_model():
    full = json.loads(FULL.read_text())

    assert json.loads(FACTS.read_text()) == facts_of_full_model(full)


def test_schema_covers_the_known_number_of_types():
    counts = (len(CATALOG.objects), len(CATALOG.types), len(CATALOG.simple_types))

    assert counts == (126, 229, 140)
