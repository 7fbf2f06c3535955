"""Objects written by people: read, completed, put in order, compared with stored ones; pure.

A document names its type and its object, then the fields as the API has them::

    type: virtual-network
    fq_name: default-domain:demo:red          # or a list
    network_ipam_refs:
      - to: default-domain:demo:ipam          # a reference without attr may be a plain name
        attr: {ipam_subnets: [{subnet: 10.1.1.0/24}]}

The API's own form ``{"virtual-network": {...}}`` is read too, and lists of documents.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_interface
from typing import Final

import yaml

from skytrail.cli.names import FqName, UnknownType, did_you_mean, resolve_type, split_name
from skytrail.cli.values import Json, items, mapping, prune
from skytrail.model.catalog import CATALOG, ObjectType
from skytrail.model.validate import check_properties, check_references, unknown_keys
from skytrail.model.violation_text import Plain, plain

SERVER_FIELDS: Final = frozenset(
    {"uuid", "href", "parent_href", "parent_uuid", "id_perms", "perms2", "name"}
)
"""What the server fills; a document may carry it (output of ``get``) without meaning a change."""
_SYSTEM: Final = "default-global-system-config"
_GLOBAL: Final = "global-"
_KIND_KEYS: Final = ("type", "kind")


class DocumentInvalid(Exception):
    """A document cannot be used; the text says which, where and why."""


@dataclass(frozen=True, slots=True)
class Document:
    kind: ObjectType
    fq_name: FqName
    fields: Json
    """Properties and references to set, in wire form."""
    parent_type: str | None
    source: str
    uuid: str | None = None
    """What the document says; it counts where an object is made and nothing has this uuid yet."""

    @property
    def title(self) -> str:
        return f"{self.kind.name} {':'.join(self.fq_name)}"

    def wire(self) -> Json:
        """Return the body that creates the object."""
        parent: Json = {} if self.parent_type is None else {"parent_type": self.parent_type}
        return {"fq_name": list(self.fq_name), **parent, **self.fields}

    def renamed(self, fq_name: FqName) -> Document:
        """Return the same document for another name, with the parent's type it tells."""
        if fq_name == self.fq_name:
            return self
        parent_type = _parent_type(None, self.kind, fq_name)
        return replace(self, fq_name=fq_name, parent_type=parent_type)

    def without_server_values(self) -> Document:
        """Leave out numbers the server chose for the object this document is a copy of."""
        chosen = {
            name
            for name, each in self.kind.properties.items()
            if each.presence == "system-only" and not each.is_compound
        }
        kept = {name: each for name, each in self.fields.items() if name not in chosen}
        return replace(self, fields=kept)


def read_documents(text: str, source: str) -> list[Document]:
    """Read YAML or JSON text (which is YAML); DocumentInvalid names place and reason."""
    try:
        loaded: list[object] = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise DocumentInvalid(f"{source}: {error}") from error
    flat = [each for top in loaded for each in (items(top) if isinstance(top, list) else [top])]
    return [
        document
        for number, each in enumerate(flat, 1)
        if each is not None
        for document in [_read(each, f"{source} document {number}")]
    ]


def written(kind: ObjectType, item: Json) -> Json:
    """Return what a user may change of a stored object, as a document that can be read again."""
    document: Json = {"type": kind.name, "fq_name": _joined(item.get("fq_name"))}
    for name in kind.properties:
        if name in item and name not in SERVER_FIELDS:
            document[name] = item[name]
    for name in kind.references:
        listed = [mapping(each) for each in items(item.get(name))]
        if listed:
            document[name] = [
                {"to": _joined(each.get("to"))}
                | ({} if prune(each.get("attr")) is None else {"attr": each["attr"]})
                for each in listed
            ]
    return document


def check(document: Document) -> None:
    """Raise DocumentInvalid for anything the model does not allow, naming all of it."""
    kind = document.kind
    known = [*kind.properties, *kind.references]
    problems = [
        f"no field {name!r}.{did_you_mean(name, known)}"
        for name in unknown_keys(kind.name, document.fields)
    ]
    found = [
        *check_properties(kind.name, document.fields),
        *check_references(kind.name, document.fields),
    ]
    problems += [_problem(plain(each)) for each in found]
    if problems:
        listed = "\n  ".join(problems)
        raise DocumentInvalid(f"{document.source}: {document.title}:\n  {listed}")


def _problem(found: Plain) -> str:
    place = "/".join(found.keys)
    if found.unknown is None:
        return f"{place}: {found.text}"
    # The last key is the wrong name itself where the model's walk got as far.
    inside = "/".join(found.keys[:-1] if found.keys[-1] == found.unknown else found.keys)
    return f"{inside}: no field {found.unknown!r}.{did_you_mean(found.unknown, found.known)}"


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Return documents so that parents and targets come before what needs them.

    DocumentInvalid when they refer to each other in a circle, or name one object twice.
    """
    by_key: dict[tuple[str, FqName], Document] = {}
    for document in documents:
        key = (document.kind.name, document.fq_name)
        if key in by_key:
            raise DocumentInvalid(f"{document.source}: {document.title} is given twice")
        by_key[key] = document
    graph = {
        key: [n for n in _needs(each) if n in by_key and n != key] for key, each in by_key.items()
    }
    try:
        return [by_key[key] for key in graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        circle = " -> ".join(":".join(key[1]) for key in error.args[1])
        raise DocumentInvalid(
            f"These objects refer to each other: {circle}; apply one without the reference first"
        ) from error


def changes(document: Document, stored: Json) -> Json:
    """Return the fields of a document that differ from the stored object, ready to be sent.

    What the server filled into nested values (uuids of rules and subnets, gateways) is kept; it
    neither counts as a difference nor gets lost.
    """
    return {
        name: merged(wanted, stored.get(name))
        for name, wanted in document.fields.items()
        if not contains(stored.get(name), wanted)
    }


def contains(stored: object, wanted: object) -> bool:
    """Whether a stored value says everything the wanted one says; lists must be as long."""
    wanted = prune(wanted)
    if wanted is None:
        return prune(stored) is None
    if isinstance(wanted, dict):
        found = mapping(stored)
        return isinstance(stored, dict) and all(
            contains(found.get(key), value) for key, value in mapping(wanted).items()
        )
    if isinstance(wanted, list):
        listed = items(prune(stored))
        wishes = items(wanted)
        if len(listed) != len(wishes):
            return False
        if all(isinstance(each, dict) and "to" in each for each in wishes):
            return _same_references(listed, wishes)
        return all(contains(*pair) for pair in zip(listed, wishes, strict=True))
    return stored == wanted or str(stored) == str(wanted)


def merged(wanted: object, stored: object) -> object:
    """Return the wanted value with what the server had filled into its unchanged parts."""
    if isinstance(wanted, dict) and isinstance(stored, dict):
        old = mapping(stored)
        return {key: merged(value, old.get(key)) for key, value in mapping(wanted).items()}
    if isinstance(wanted, list):
        return [_with_filled(each, items(stored)) for each in items(wanted)]
    return wanted


def _with_filled(wanted: object, stored: list[object]) -> object:
    """Take over the stored element that says all of it, or is about the same thing."""
    if wanted in stored:
        return wanted
    for each in stored:
        if contains(each, wanted):
            return each
    for identity in ("subnet", "to"):
        wish = mapping(wanted).get(identity)
        for each in stored:
            if wish is not None and contains(mapping(each).get(identity), wish):
                return {**mapping(each), **mapping(merged(wanted, each))}
    return wanted


def _same_references(stored: list[object], wanted: list[object]) -> bool:
    by_name = {tuple(items(mapping(each).get("to"))): mapping(each) for each in stored}
    for each in wanted:
        wish = mapping(each)
        found = by_name.get(tuple(items(wish.get("to"))))
        if found is None or ("attr" in wish and not contains(found.get("attr"), wish["attr"])):
            return False
    return True


def _read(value: object, source: str) -> Document:
    if not isinstance(value, dict):
        raise DocumentInvalid(f"{source}: expected an object with its type, found {value!r:.60}")
    content = dict(mapping(value))
    word = next((content.pop(key) for key in _KIND_KEYS if key in content), None)
    if word is None and len(content) == 1:
        # The API's own form: the type is the only key.
        word, inner = next(iter(content.items()))
        content = dict(mapping(inner))
    if not isinstance(word, str):
        raise DocumentInvalid(f"{source}: no type; write `type: virtual-network`, for example")
    try:
        kind = resolve_type(word)
    except UnknownType as error:
        raise DocumentInvalid(f"{source}: {error}") from error
    fq_name = _fq_name(content, kind, source)
    parent = content.pop("parent_type", None)
    fields = {name: each for name, each in content.items() if name not in SERVER_FIELDS}
    for name in [*kind.children, *kind.back_references]:
        fields.pop(name, None)
    for name, reference in kind.references.items():
        if name in fields:
            fields[name] = list(
                _references(fields[name], CATALOG.objects[reference.target], source)
            )
    whole = {name: expand_subnets(each) for name, each in fields.items()}
    parent_type = _parent_type(parent, kind, fq_name)
    uuid = content.get("uuid")
    return Document(kind, fq_name, whole, parent_type, source, None if uuid is None else str(uuid))


def _fq_name(content: Json, kind: ObjectType, source: str) -> FqName:
    named = content.pop("name", None)
    value = content.pop("fq_name", None)
    value = named if value is None else value
    if isinstance(value, str):
        return split_name(value, kind)
    if isinstance(value, list) and value:
        return tuple(str(part) for part in items(value))
    raise DocumentInvalid(f"{source}: no fq_name; write `fq_name: default-domain:demo:NAME`")


def _parent_type(given: object, kind: ObjectType, fq_name: FqName) -> str | None:
    """Return the parent's type; of several allowed ones the one with names one shorter."""
    if isinstance(given, str) and given:
        return resolve_type(given).name
    fitting = [
        name
        for name in kind.parent_types
        if len(fq_name) - 1 in CATALOG.objects[name].fq_name_lengths
    ]
    if len(fq_name) == 1 or not fitting:
        return None
    # Names of what is global begin alike; nobody else's do.
    is_global = fq_name[0] == _SYSTEM
    among = [name for name in fitting if name.startswith(_GLOBAL) == is_global]
    return (among or fitting)[0]


def _references(value: object, target: ObjectType, source: str) -> Iterator[Json]:
    for each in items(value) if isinstance(value, list) else [value]:
        reference: Json = {"to": each} if isinstance(each, str) else dict(mapping(each))
        to = reference.get("to")
        if isinstance(to, str):
            reference["to"] = list(split_name(to, target))
        elif not isinstance(to, list):
            raise DocumentInvalid(f"{source}: a reference to a {target.name} has no `to`")
        yield {key: item for key, item in reference.items() if key in {"to", "attr"}}


def expand_subnets(value: object) -> object:
    """Write subnets given as ADDRESS/LENGTH out in the API's two fields, at every depth."""
    if isinstance(value, dict):
        return {
            key: _subnet(each)
            if key in {"subnet", "cidr"} and isinstance(each, str)
            else expand_subnets(each)
            for key, each in mapping(value).items()
        }
    if isinstance(value, list):
        return [expand_subnets(each) for each in items(value)]
    return value


def _subnet(text: str) -> object:
    try:
        network = ip_interface(text).network
    except ValueError as error:
        raise DocumentInvalid(f"{text!r} is not a subnet: {error}") from error
    return {"ip_prefix": str(network.network_address), "ip_prefix_len": network.prefixlen}


def _joined(value: object) -> str:
    return ":".join(str(part) for part in items(value))


def _needs(document: Document) -> Iterator[tuple[str, FqName]]:
    if document.parent_type is not None:
        yield (document.parent_type, document.fq_name[:-1])
    for name, reference in document.kind.references.items():
        for each in items(document.fields.get(name)):
            yield (reference.target, tuple(str(part) for part in items(mapping(each).get("to"))))
