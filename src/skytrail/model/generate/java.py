"""Generates the Java binding: a class per object and complex type, and the entry class.

Classes are typed views of JSON objects; how they read and set members is written by hand in
`bindings/java/src`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from skytrail.model.catalog_types import Catalog, ComplexType, Field, ObjectType, ReferenceField
from skytrail.model.generate.identifiers import camel_case, check_unique, comment_lines
from skytrail.model.generate.python_text import HEADER

_NOTE = f"// {HEADER}\n"
_WIDTH = 100
# What a description with a choice of values is followed by, when they are few enough to read.
_CHOICES_MAX = 12
_OF_EVERY_OBJECT = ("uuid", "fqName", "name", "parentType", "parentUuid", "tag")
# Words of the language, and methods that a class of the binding inherits.
_RESERVED_WORDS = """
    abstract assert boolean break byte case catch char class const continue default do double
    else enum extends final finally float for goto if implements import instanceof int interface
    long native new package private protected public return short static strictfp super switch
    synchronized this throw throws transient try void volatile while true false null var record
    yield getClass hashCode equals toString notify notifyAll wait clone finalize self json string
    flag number integer strings flags integers view views set
"""
_RESERVED = frozenset(_RESERVED_WORDS.split())
_READERS: Mapping[str, tuple[str, str]] = {
    "string": ("String", "string"),
    "boolean": ("Boolean", "flag"),
    "integer": ("Long", "integer"),
    "unsignedLong": ("BigInteger", "number"),
}
_IMPORTS: Mapping[str, str] = {
    "BigInteger": "java.math.BigInteger",
    "List<": "java.util.List",
    "Map<": "java.util.Map",
    "ConfigObject<": "skytrail.client.ConfigObject",
    "JsonView": "skytrail.client.JsonView",
    "Reference<": "skytrail.client.Reference",
    "NoAttribute": "skytrail.client.Reference.NoAttribute",
}


def java_files(catalog: Catalog) -> dict[str, str]:
    """Path below the source folder -> source."""
    classes = {entry.class_name: _object(entry, catalog) for entry in catalog.objects.values()}
    for name, entry in catalog.types.items():
        if name in classes:
            raise ValueError(f"an object type and a complex type are both called {name}")
        classes[name] = _complex_type(entry, catalog)
    return {
        "skytrail/Api.java": _api(catalog),
        **{f"skytrail/model/{name}.java": text for name, text in classes.items()},
    }


def java_name(wire_name: str) -> str:
    """The accessor's name; an underscore follows where Java has other plans for the word."""
    name = camel_case(wire_name)
    return f"{name}_" if name in _RESERVED else name


def _complex_type(entry: ComplexType, catalog: Catalog) -> str:
    check_unique(entry.name, entry.fields, java_name, taken=())
    body = (
        _javadoc(entry.description, 0)
        + f"public final class {entry.name} extends JsonView {{\n"
        + _constructors(entry.name)
        + "".join(_field(entry.name, field, catalog) for field in entry.fields.values())
        + "}\n"
    )
    return _file("skytrail.model", body)


def _object(entry: ObjectType, catalog: Catalog) -> str:
    name = entry.class_name
    members = [*entry.properties, *entry.references]
    check_unique(entry.name, members, java_name, taken=_OF_EVERY_OBJECT)
    body = (
        _javadoc(entry.description, 0)
        + f"public final class {name} extends ConfigObject<{name}> {{\n"
        + _javadoc("The name of the type in the API.", 4)
        + f'    public static final String TYPE = "{entry.name}";\n\n'
        + _constructors(name)
        + f"\n    @Override\n    protected {name} self() {{\n        return this;\n    }}\n"
        + "".join(_field(name, field, catalog) for field in entry.properties.values())
        + "".join(_reference(name, reference) for reference in entry.references.values())
        + "}\n"
    )
    return _file("skytrail.model", body)


def _constructors(name: str) -> str:
    return (
        f"    public {name}() {{}}\n\n"
        f"    public {name}(Map<String, Object> members) {{\n        super(members);\n    }}\n"
    )


def _field(owner: str, field: Field, catalog: Catalog) -> str:
    if field.is_compound:
        kind, reader, argument = field.type, "view", f", {field.type}::new"
    else:
        kind, reader = _READERS[_scalar(field, catalog)]
        argument = ""
    if field.is_list:
        kind, reader = f"List<{kind}>", f"{reader}s"
    text = field.description
    if 0 < len(field.enum) <= _CHOICES_MAX:
        text += f" One of: {', '.join(field.enum)}."
    return _accessors(owner, field.name, text, kind, f'{reader}("{field.name}"{argument})')


def _scalar(field: Field, catalog: Catalog) -> str:
    simple = catalog.simple_types.get(field.type)
    wire_base = simple.wire_base if simple else field.type
    return wire_base if wire_base in _READERS else field.base


def _reference(owner: str, reference: ReferenceField) -> str:
    attribute = reference.attr_type or "NoAttribute"
    reader = f'views("{reference.name}", Reference.reading({attribute}::new))'
    kind = f"List<Reference<{attribute}>>"
    return _accessors(owner, reference.name, reference.description, kind, reader)


def _accessors(owner: str, wire_name: str, text: str, kind: str, reader: str) -> str:
    name = java_name(wire_name)
    return (
        "\n"
        + _javadoc(text, 4)
        + f"    public {kind} {name}() {{\n        return {reader};\n    }}\n\n"
        + f"    public {owner} {name}({kind} value) {{\n"
        + f'        set("{wire_name}", value);\n        return this;\n    }}\n'
    )


def _api(catalog: Catalog) -> str:
    objects = list(catalog.objects.values())
    head = (
        "import skytrail.client.Connection;\nimport skytrail.client.NativeApi;\n"
        "import skytrail.client.Resources;\n"
        + "".join(f"import skytrail.model.{name};\n" for name in sorted(_class_names(objects)))
        + "\n/** Every object type by its collection. */\npublic final class Api extends NativeApi {\n"
        "    public Api(Connection connection) {\n        super(connection);\n    }\n"
    )
    return f"{_NOTE}package skytrail;\n\n" + head + "".join(_collection(o) for o in objects) + "}\n"


def _class_names(objects: Iterable[ObjectType]) -> list[str]:
    return [entry.class_name for entry in objects]


def _collection(entry: ObjectType) -> str:
    name = entry.class_name
    return (
        "\n"
        + _javadoc(entry.description, 4)
        + f"    public Resources<{name}> {java_name(entry.collection)}() {{\n"
        + f"        return new Resources<>(connection, {name}.TYPE, {name}::new);\n    }}\n"
    )


def _file(package: str, body: str) -> str:
    used = sorted(path for mark, path in _IMPORTS.items() if mark in body)
    imports = "".join(f"import {path};\n" for path in used)
    return f"{_NOTE}package {package};\n\n{imports}\n{body}"


def _javadoc(text: str, indent: int) -> str:
    pad = " " * indent
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = safe.replace("@", "&#64;").replace("*/", "*&#47;").replace("\\", "&#92;")
    if indent + len(safe) + 8 <= _WIDTH:
        return f"{pad}/** {safe} */\n"
    lines = comment_lines(safe, _WIDTH - indent - 3)
    return f"{pad}/**\n" + "".join(f"{pad} * {line}\n" for line in lines) + f"{pad} */\n"
