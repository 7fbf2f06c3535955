"""The unmodified Python client of the compatible API knows nothing that the catalog does not."""

import inspect

import pytest

from skytrail.model.catalog import CATALOG

resources = pytest.importorskip("vnc_api.gen.resource_common")
values = pytest.importorskip("vnc_api.gen.resource_xsd")

CLASSES = {
    cls.resource_type: cls
    for _, cls in inspect.getmembers(resources, inspect.isclass)
    if getattr(cls, "resource_type", None)
}


def test_client_has_only_known_object_types():
    # A client that is years older must still be understood; it lacks the newest types.
    assert set(CLASSES) - set(CATALOG.objects) == set()
    assert len(CLASSES) > 100


@pytest.mark.parametrize("object_type", sorted(CLASSES))
def test_client_sends_only_known_fields(object_type):
    cls, entry = CLASSES[object_type], CATALOG.objects[object_type]

    assert set(cls.prop_fields) <= set(entry.properties)
    assert set(cls.ref_fields) <= set(entry.references)
    assert set(cls.backref_fields) <= set(entry.back_references)
    assert set(cls.children_fields) <= set(entry.children)
    assert set(cls.parent_types) - {"config-root"} <= set(entry.parents)
    for name, (target, attr_type, weak, *_) in cls.ref_field_types.items():
        reference = entry.references[name]
        assert (target, attr_type) == (reference.target, reference.attr_type or "None")
        assert bool(weak) == reference.weak
    for name in cls.prop_list_fields:
        assert entry.properties[name].kind == "list"
    for name in cls.prop_map_fields:
        assert entry.properties[name].kind == "map"


def test_client_builds_only_known_fields_of_complex_types():
    known = {
        name: cls.attr_fields
        for name, cls in inspect.getmembers(values, inspect.isclass)
        if name in CATALOG.types
    }

    assert len(known) > 200
    for name, fields in known.items():
        assert set(fields) <= set(CATALOG.types[name].fields), name
