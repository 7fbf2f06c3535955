"""Objects keep their content between wire form and structs, whatever they contain."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.model.catalog import CATALOG
from skytrail.model.objects import ModelError, decode_object, encode_object
from skytrail.model.validate import (
    InvalidValue,
    check_properties,
    check_references,
    stored_properties,
)
from skytrail.testing.strategies import JSON_VALUES, TYPE_NAMES, config_objects, wire_objects


@given(wire_objects())
def test_encoding_a_decoded_object_gives_the_same_mapping(typed_wire):
    type_name, wire = typed_wire

    assert encode_object(decode_object(type_name, wire)) == wire


@given(wire_objects())
def test_decoding_from_json_text_equals_decoding_from_a_mapping(typed_wire):
    type_name, wire = typed_wire

    assert decode_object(type_name, json.dumps(wire).encode()) == decode_object(type_name, wire)


@given(config_objects())
def test_equal_objects_have_equal_hashes(config_object):
    again = decode_object(config_object.type_name, encode_object(config_object))

    assert again == config_object
    assert hash(again) == hash(config_object)


@given(wire_objects())
def test_objects_made_from_the_catalog_are_valid(typed_wire):
    type_name, wire = typed_wire

    assert check_properties(type_name, wire) == []
    assert check_references(type_name, wire) == []


def places(value, path=()):
    """Paths of everything below the top level of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


@given(wire_objects(), st.data())
def test_whatever_passes_validation_can_be_decoded(typed_wire, choice):
    type_name, wire = typed_wire
    outside = {"uuid", "fq_name", "parent_type", "parent_uuid"}
    inside = [path for path in places(wire) if path[0] not in outside]
    if inside:
        wire = replaced(wire, choice.draw(st.sampled_from(inside)), choice.draw(JSON_VALUES))

    if not check_properties(type_name, wire) and not check_references(type_name, wire):
        decode_object(type_name, wire)


@given(TYPE_NAMES, st.binary() | JSON_VALUES)
def test_decoding_anything_fails_with_the_model_error_only(type_name, wire):
    with suppress(ModelError):
        decode_object(type_name, wire)


@given(TYPE_NAMES, st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3), st.data())
def test_validation_of_anything_returns_violations_only(type_name, wire, choice):
    fields = sorted(decode_object(type_name, {"fq_name": ["a"]}).__struct_fields__)
    field = choice.draw(st.sampled_from(fields))
    wire = {**wire, field: choice.draw(JSON_VALUES)}

    for violation in (*check_properties(type_name, wire), *check_references(type_name, wire)):
        assert violation.path.split(".")[0] == field
        assert violation.text


@given(wire_objects(), st.data())
def test_stored_form_is_refused_exactly_when_checking_finds_something(typed_wire, choice):
    type_name, wire = typed_wire
    entry = CATALOG.objects[type_name]
    inside = [path for path in places(wire) if path[0] in entry.properties]
    if inside and choice.draw(st.booleans()):
        wire = replaced(wire, choice.draw(st.sampled_from(inside)), choice.draw(JSON_VALUES))
    violations = check_properties(type_name, wire)

    if violations:
        with pytest.raises(InvalidValue) as refused:
            stored_properties(entry, wire)
        assert refused.value.violation in violations
    else:
        stored = stored_properties(entry, wire)
        assert stored_properties(entry, stored) == stored
        assert decode_object(type_name, {**wire, **stored})


@given(wire_objects())
def test_valid_objects_are_in_stored_form_already(typed_wire):
    type_name, wire = typed_wire
    entry = CATALOG.objects[type_name]

    expected = {name: value for name, value in wire.items() if name in entry.properties}
    assert stored_properties(entry, wire) == expected
