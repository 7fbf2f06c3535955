"""Messages from and to XML.

    <SandeshHeader><Timestamp type="i64" identifier="2">…</Timestamp>…</SandeshHeader>
    <NodeStatusUVE type="sandesh"><data type="struct" identifier="1"><NodeStatus>
      <name type="string" identifier="1" key="ObjectVRouter">host1</name>
      <disks type="map" identifier="2"><map key="string" value="u64" size="1">
        <element>sda1</element><element>7</element></map></disks>
      <peers type="map" identifier="3"><map key="struct" value="i64" size="1">
        <Peer><ip type="ipaddr" identifier="1">192.0.2.1</ip></Peer><element>5</element></map></peers>
    </NodeStatus></data></NodeStatusUVE>

What a generator says is not trusted: nothing is expanded or loaded, depth and text are bounded by
libxml2, numbers by their types.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol, cast

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue] # compiled, without stubs

from skytrail.wire.errors import DecodeError
from skytrail.wire.sandesh.message import (
    INTEGER_TYPES,
    TEXT_TYPES,
    Field,
    Hint,
    SandeshHeader,
    SandeshMessage,
    SandeshType,
    Struct,
    StructMap,
    Value,
    plain,
)

_HEADER: Final = "SandeshHeader"
_OUTER: Final = b"<frame>"
_OUTER_END: Final = b"</frame>"
_OWN_ATTRIBUTES: Final = frozenset({"type", "identifier"})
_DIGITS_MAX: Final = 20
_DEPTH_MAX: Final = 32
_CONTAINERS: Final = {"list": "type", "set": "type", "map": "value"}
"""Container to the attribute with its elements' type."""


class _Element(Protocol):
    """What is used of an lxml element."""

    @property
    def tag(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    @property
    def attrib(self) -> Mapping[str, str]: ...
    def get(self, key: str, default: str = "") -> str: ...
    def __iter__(self) -> Iterator[_Element]: ...
    def __len__(self) -> int: ...


def decode_message(content: bytes) -> SandeshMessage:
    """Read what a frame holds; ``DecodeError`` for anything that is not one message."""
    header, body = _two_elements(content)
    if header.tag != _HEADER:
        raise DecodeError(f"the message begins with {header.tag[:64]}, not {_HEADER}")
    if body.get("type") != "sandesh":
        raise DecodeError(f"{body.tag[:64]} is not of type sandesh")
    return SandeshMessage(_header(header), body.tag, _fields(body, 0))


def _two_elements(content: bytes) -> tuple[_Element, _Element]:
    # Declarations could define entities; nothing of the protocol needs one.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"<?" in content:
        raise DecodeError("declarations and instructions are not allowed")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=False,
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        outer = cast("_Element", etree.fromstring(_OUTER + content + _OUTER_END, parser))
    except (etree.LxmlError, ValueError) as error:
        raise DecodeError(f"not well-formed XML: {error}") from error
    elements = list(outer)
    if len(elements) != 2:
        raise DecodeError(f"{len(elements)} elements in the place of a header and a message")
    return elements[0], elements[1]


def _header(element: _Element) -> SandeshHeader:
    said = {name: each.value for name, each in _fields(element, 0).items()}

    def text(name: str) -> str:
        value = said.get(name, "")
        return value if isinstance(value, str) else str(value)

    def number(name: str) -> int:
        value = said.get(name, 0)
        if not isinstance(value, int):
            raise DecodeError(f"header field {name} is not a number")
        return value

    try:
        kind = SandeshType(number("Type") or SandeshType.SYSTEM)
    except ValueError as error:
        raise DecodeError(f"type {number('Type')} of a message is unknown") from error
    header = SandeshHeader(
        source=text("Source"),
        module=text("Module"),
        node_type=text("NodeType"),
        instance_id=text("InstanceId"),
        timestamp_us=number("Timestamp"),
        sequence=number("SequenceNum"),
        type=kind,
        hints=Hint(number("Hints") & 7),
        level=number("Level"),
        category=text("Category"),
        namespace=text("Namespace"),
        context=text("Context"),
        version=number("VersionSig"),
        address=text("IPAddress"),
        pid=number("Pid"),
    )
    if not header.source or not header.module:
        raise DecodeError("the header does not say Source and Module")
    return header


def _fields(element: _Element, depth: int) -> dict[str, Field]:
    if depth > _DEPTH_MAX:
        raise DecodeError(f"nested deeper than {_DEPTH_MAX}")
    fields = {child.tag: _field(child, depth) for child in element}
    if len(fields) != len(element):
        raise DecodeError(f"{element.tag[:64]} has a field twice")
    return fields


def _field(element: _Element, depth: int) -> Field:
    kind = element.get("type")
    notes = {name: text for name, text in element.attrib.items() if name not in _OWN_ATTRIBUTES}
    if kind == "struct":
        return Field(kind, _struct(element, depth), "", notes)
    if kind in _CONTAINERS:
        if len(element) != 1:
            raise DecodeError(f"field {element.tag[:64]} does not hold one {kind}")
        inner = next(iter(element))
        return Field(kind, _container(inner, kind, depth), inner.get(_CONTAINERS[kind]), notes)
    return Field(kind, _scalar(element, kind), "", notes)


def _struct(element: _Element, depth: int) -> Struct:
    if len(element) != 1:
        raise DecodeError(f"field {element.tag[:64]} does not hold one struct")
    inner = next(iter(element))
    return Struct(inner.tag, _fields(inner, depth + 1))


def _container(element: _Element, kind: str, depth: int) -> Value:
    if element.tag != kind:
        raise DecodeError(f"{element.tag[:64]} where a {kind} should be")
    if depth > _DEPTH_MAX:
        raise DecodeError(f"nested deeper than {_DEPTH_MAX}")
    if kind == "map":
        return _map(element, depth)
    return [_item(each, element.get("type"), depth) for each in element]


def _map(element: _Element, depth: int) -> StructMap | dict[str, Value]:
    items = list(element)
    if len(items) % 2:
        raise DecodeError("a map with a key and no value")
    kind = element.get("value")
    values = (_item(value, kind, depth) for value in items[1::2])
    found: StructMap | dict[str, Value]
    if element.get("key") == "struct":
        keys = [Struct(key.tag, _fields(key, depth + 1)) for key in items[::2]]
        found = StructMap(tuple(zip(keys, values, strict=True)))
        different = len({repr(plain(key)) for key in keys})
    else:
        found = dict(zip(map(_key, items[::2]), values, strict=True))
        different = len(found)
    if different != len(items) // 2:
        raise DecodeError("a map with the same key twice")
    return found


def _key(element: _Element) -> str:
    if len(element):
        raise DecodeError(f"{element.tag[:64]}, which has fields, where a map's key is one value")
    return element.text or ""


def _item(element: _Element, kind: str, depth: int) -> Value:
    # Structs stand under their own name, everything else under <element>.
    if kind == "struct":
        return Struct(element.tag, _fields(element, depth + 1))
    if kind in _CONTAINERS:
        inner = next(iter(element), None) if element.tag == "element" else element
        if inner is None:
            raise DecodeError("an empty element in the place of a container")
        return _container(inner, kind, depth + 1)
    return _scalar(element, kind)


def _scalar(element: _Element, kind: str) -> Value:
    text = element.text or ""
    if len(element):
        raise DecodeError(f"field {element.tag[:64]} of type {kind[:16]} has fields")
    if kind in TEXT_TYPES:
        return text
    if kind == "bool":
        if text.strip() not in {"true", "false"}:
            raise DecodeError(f"field {element.tag[:64]}: {text[:16]!r} is not a bool")
        return text.strip() == "true"
    bounds = INTEGER_TYPES.get(kind)
    if bounds is not None:
        return _integer(element.tag, text.strip(), bounds)
    if kind == "double":
        return _double(element.tag, text.strip())
    raise DecodeError(f"field {element.tag[:64]} is of unknown type {kind[:16]!r}")


def _integer(name: str, text: str, bounds: tuple[int, int]) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise DecodeError(f"field {name[:64]}: {text[:24]!r} is not a number")
    number = int(text)
    if not bounds[0] <= number <= bounds[1]:
        raise DecodeError(f"field {name[:64]}: {number} is out of its type's range")
    return number


def _double(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise DecodeError(f"field {name[:64]}: {text[:24]!r} is not a number") from error
    # NaN and infinity have no form in JSON and spoil every sum they enter.
    if not math.isfinite(number):
        raise DecodeError(f"field {name[:64]}: {text[:24]!r} is not a finite number")
    return number


def encode_message(message: SandeshMessage) -> bytes:
    """Return what a frame holds (see :func:`~skytrail.wire.sandesh.framing.frame_of`)."""
    header = "".join(_encoded_header(message.header))
    return f"<{_HEADER}>{header}</{_HEADER}>{encode_body(message)}".encode()


def encode_body(message: SandeshMessage) -> str:
    """Return the message without its header."""
    name = message.name
    return f'<{name} type="sandesh">{_encoded_fields(message.fields)}</{name}>'


def _encoded_header(header: SandeshHeader) -> Iterable[str]:
    for identifier, (name, kind, value) in enumerate(
        (
            ("Namespace", "string", header.namespace),
            ("Timestamp", "i64", header.timestamp_us),
            ("Module", "string", header.module),
            ("Source", "string", header.source),
            ("Context", "string", header.context),
            ("SequenceNum", "i32", header.sequence),
            ("VersionSig", "i32", header.version),
            ("Type", "i32", int(header.type)),
            ("Hints", "i32", int(header.hints)),
            ("Level", "i32", header.level),
            ("Category", "string", header.category),
            ("NodeType", "string", header.node_type),
            ("InstanceId", "string", header.instance_id),
            ("IPAddress", "string", header.address),
            ("Pid", "i32", header.pid),
        ),
        1,
    ):
        yield f'<{name} type="{kind}" identifier="{identifier}">{_text(value)}</{name}>'


def _encoded_fields(fields: Mapping[str, Field]) -> str:
    parts: list[str] = []
    for identifier, (name, each) in enumerate(fields.items(), 1):
        notes = "".join(f' {key}="{_text(value)}"' for key, value in each.annotations.items())
        content = _encoded(each.value, each.type, each.element_type)
        parts.append(
            f'<{name} type="{each.type}" identifier="{identifier}"{notes}>{content}</{name}>'
        )
    return "".join(parts)


def _encoded(value: Value, kind: str, element_type: str) -> str:
    if isinstance(value, Struct):
        return f"<{value.name}>{_encoded_fields(value.fields)}</{value.name}>"
    if isinstance(value, list):
        items = "".join(_encoded_item(each, element_type) for each in value)
        return f'<{kind} type="{element_type}" size="{len(value)}">{items}</{kind}>'
    if isinstance(value, dict):
        members = cast("dict[str, Value]", value)
        items = "".join(
            f"<element>{_text(key)}</element>{_encoded_item(each, element_type)}"
            for key, each in members.items()
        )
        size = len(members)
        return f'<map key="string" value="{element_type}" size="{size}">{items}</map>'
    if isinstance(value, StructMap):
        items = "".join(
            f"{_encoded(key, 'struct', '')}{_encoded_item(each, element_type)}"
            for key, each in value.entries
        )
        size = len(value.entries)
        return f'<map key="struct" value="{element_type}" size="{size}">{items}</map>'
    return _text(value)


def _encoded_item(value: Value, element_type: str) -> str:
    if isinstance(value, Struct):
        return _encoded(value, "struct", "")
    return f"<element>{_encoded(value, element_type, '')}</element>"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    for character, entity in _ENTITIES.items():
        text = text.replace(character, entity)
    return text


_ENTITIES: Final = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&apos;",
    "\r": "&#13;",
}
