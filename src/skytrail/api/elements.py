"""Edits list and map properties by element, the way the compatible API's calls name elements."""

from __future__ import annotations

from skytrail.api import documents
from skytrail.api.documents import Document, is_document
from skytrail.api.refusal import bad_request
from skytrail.model.catalog_types import ObjectType, Property
from skytrail.model.validate import (
    InvalidValue,
    has_illegal_characters,
    shown,
    stored_element,
)


def collection_of(resource: ObjectType, name: str) -> Property:
    """Return a list or map property; refuse others as the wire contract words it."""
    prop = resource.properties.get(name)
    if prop is None or prop.kind == "simple":
        raise bad_request(f'{shown(name)} neither "ListProperty" nor "MapProperty"')
    return prop


def elements_of(body: Document, prop: Property) -> list[object]:
    """Return a copy of the elements of a list or map property."""
    return list(documents.as_list(documents.section(body, prop.name).get(prop.wrapper_field)))


def positions_of(
    body: Document, prop: Property, kept: dict[str, list[str]]
) -> list[tuple[object, str]]:
    """Return (element, position) pairs; the position of a map element is its key."""
    elements = elements_of(body, prop)
    if prop.kind == "map":
        return [(item, _key_of(prop, item)) for item in elements]
    positions = kept.get(prop.name)
    if positions is None or len(positions) != len(elements):
        return [(item, str(index)) for index, item in enumerate(elements)]
    return list(zip(elements, positions, strict=True))


def _key_of(prop: Property, element: object) -> str:
    if not is_document(element):
        return ""
    key = element.get(prop.map_key)
    return "" if key is None else str(key)


def edit_collection(
    prop: Property,
    pairs: list[tuple[object, str]],
    update: Document,
    *,
    fresh_position: str,
) -> list[tuple[object, str]]:
    """Return the pairs after one element operation; refuse what makes no sense."""
    operation = documents.text(update, "operation") or ""
    position = update.get("position")
    place = None if position is None else str(position)
    verb = operation.lower()
    allowed = ("add", "modify", "delete") if prop.kind == "list" else ("set", "delete")
    if verb not in allowed:
        raise bad_request(
            f"Unsupported operation {shown(operation)} in request {_without_value(update)}"
        )
    if verb == "delete":
        if place is None:
            raise bad_request(f"position is needed in request {_without_value(update)}")
        return [pair for pair in pairs if pair[1] != place]
    element = _checked_element(prop, update.get("value"))
    if verb == "set":
        place = _key_of(prop, element)
    elif verb == "modify" and place is None:
        raise bad_request(f"position is needed in request {_without_value(update)}")
    place = place or fresh_position
    if has_illegal_characters(place):
        raise bad_request("position has illegal xml characters")
    if any(pair[1] == place for pair in pairs):
        return [(element, place) if pair[1] == place else pair for pair in pairs]
    return [*pairs, (element, place)]


def _without_value(update: Document) -> str:
    """Return an operation as error texts show it: the element may hold a secret."""
    return shown({name: part for name, part in update.items() if name != "value"})


def _checked_element(prop: Property, value: object) -> object:
    try:
        return stored_element(prop, value)
    except InvalidValue as invalid:
        raise bad_request(f"Bad property in prop-collection-update: {invalid}") from None
