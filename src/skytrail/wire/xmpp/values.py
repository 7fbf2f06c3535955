"""Property values of the config channel: JSON shape to XML elements and back.

XML cannot tell a list of one element from the element, a number from its text, or an empty list
from nothing. The *normal form* is what survives the trip: text leaves, lists of two or more,
mappings of at least one. The reader applies its schema to get types back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from skytrail.wire.xmpp.messages import ConfigValue
from skytrail.wire.xmpp.xml import XmlElement, escape, local_name, representable

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")


def normal_form(value: Json) -> ConfigValue | None:
    """Return the normal form of a JSON value; None for null, empty lists and empty mappings.

    Keys that are no XML names are left out: no property of the data model has such a name.
    """
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return representable(value)
        case int() | float():
            return str(value)
        case Mapping():
            return _normal_mapping(value)
        case _:
            return _normal_list(value)


def _normal_mapping(value: Mapping[str, Json]) -> ConfigValue | None:
    parts: dict[str, ConfigValue] = {}
    for name, part in value.items():
        normal = normal_form(part)
        if normal is not None and _NAME.fullmatch(name):
            parts[name] = normal
    return parts or None


def _normal_list(value: Sequence[Json]) -> ConfigValue | None:
    # An element that is itself a list has no XML form of its own: its elements join the outer list.
    elements: list[ConfigValue] = []
    for element in value:
        normal = normal_form(element)
        if isinstance(normal, str | Mapping):
            elements.append(normal)
        elif normal is not None:
            elements.extend(normal)
    if not elements:
        return None
    return elements[0] if len(elements) == 1 else tuple(elements)


def encode_value(name: str, value: ConfigValue) -> str:
    """Return ``<name>...</name>`` (underscores become dashes), repeated for a list."""
    if isinstance(value, str):
        tag = name.replace("_", "-")
        return f"<{tag}>{escape(value)}</{tag}>"
    if isinstance(value, Mapping):
        tag = name.replace("_", "-")
        inner = "".join([encode_value(key, part) for key, part in value.items()])
        return f"<{tag}>{inner}</{tag}>"
    return "".join([encode_value(name, element) for element in value])


def decode_parts(element: XmlElement) -> dict[str, ConfigValue]:
    """Return the children of ``element`` as a mapping of JSON names to normal-form values."""
    parts: dict[str, ConfigValue] = {}
    lists: dict[str, list[ConfigValue]] = {}
    for child in element:
        name = local_name(child).replace("-", "_")
        value = decode_value(child)
        if name in lists:
            lists[name].append(value)
        elif name in parts:
            lists[name] = [parts[name], value]
        else:
            parts[name] = value
    for name, elements in lists.items():
        parts[name] = tuple(elements)
    return parts


def decode_value(element: XmlElement) -> ConfigValue:
    """Return the text of a leaf (empty text for an empty element) or its named parts."""
    if len(element):
        return decode_parts(element)
    return element.text or ""
