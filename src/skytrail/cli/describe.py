"""``skytrail describe``: everything about one object, for reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click

from skytrail.cli import output
from skytrail.cli.choices import complete_name, complete_type
from skytrail.cli.columns import prefix
from skytrail.cli.conditions import conditions_of
from skytrail.cli.conditions import lines as condition_lines
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import find
from skytrail.cli.names import resolve_type
from skytrail.cli.session import api_options, opened
from skytrail.cli.values import Json, items, mapping, member, prune, text
from skytrail.model.catalog import ObjectType

INDENT: Final = "  "
_HEAD: Final = ("uuid", "parent_type", "parent_uuid", "display_name")
_LATER: Final = frozenset(
    {"id_perms", "perms2", "annotations", "href", "parent_href", "fq_name", "name"}
)


@click.command(
    epilog=examples(
        "skytrail describe vn red",
        "skytrail describe sg default-domain:demo:web --json",
    )
)
@click.argument("type_name", metavar="TYPE", shell_complete=complete_type)
@click.argument(
    "names", metavar="NAME|UUID...", nargs=-1, required=True, shell_complete=complete_name
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, children and back references too."
)
@api_options
def describe(type_name: str, names: tuple[str, ...], *, as_json: bool) -> None:
    """Show everything about objects: properties, references, children, who refers to them."""
    with opened() as session:
        kind = resolve_type(type_name)
        found = [find(session, kind, name, relations=True) for name in names]
        if as_json:
            shown = [output.clean(item) for item in found]
            output.print_json(shown[0] if len(shown) == 1 else shown)
            return
        for number, item in enumerate(found):
            if number:
                click.echo()
            click.echo("\n".join(lines(kind, item)))
            told = conditions_of(session, kind.name, str(item["uuid"]))
            click.echo("\n".join(_section("Status", condition_lines(told))))


def lines(kind: ObjectType, item: Json) -> Iterator[str]:
    """Yield the description of an object, one line each."""
    yield f"{kind.name} {_joined(item.get('fq_name'))}"
    if kind.origin == "compiled":
        yield f"{INDENT}(derived by the compiler: it is put right when changed by hand)"
    for name in _HEAD:
        if item.get(name) is not None:
            yield f"{INDENT}{name}: {text(item[name])}"
    for field, label in (("created", "created"), ("last_modified", "changed")):
        if (moment := member(item, "id_perms", field)) is not None:
            yield f"{INDENT}{label}: {text(moment)}"
    yield from _section("Properties", _properties(kind, item))
    yield from _section("References", _relations(item, kind.references))
    yield from _section("Children", _relations(item, kind.children))
    yield from _section("Referred to by", _relations(item, kind.back_references))


def _section(title: str, body: Iterator[str]) -> Iterator[str]:
    found = list(body)
    if found:
        yield f"{title}:"
        yield from (INDENT + line for line in found)


def _properties(kind: ObjectType, item: Json) -> Iterator[str]:
    for name in kind.properties:
        value = prune(item.get(name))
        if value is not None and name not in {*_LATER, *_HEAD}:
            yield from nested(name, value)
    for pair in items(member(item, "annotations", "key_value_pair")):
        yield f"annotation {text(member(pair, 'key'))}: {text(member(pair, 'value'))}"


def nested(name: str, value: object) -> Iterator[str]:
    """Yield a value below its name, nested values indented; subnets as ADDRESS/LENGTH."""
    subnet = prefix(value)
    if subnet:
        yield f"{name}: {subnet}"
    elif isinstance(value, dict):
        yield f"{name}:"
        for key, each in mapping(value).items():
            yield from (INDENT + line for line in nested(key, each))
    elif isinstance(value, list):
        listed = items(value)
        if all(not isinstance(each, dict | list) for each in listed):
            yield f"{name}: {', '.join(text(each) for each in listed)}"
            return
        for number, each in enumerate(listed):
            yield from nested(f"{name}[{number}]", each)
    else:
        yield f"{name}: {text(value)}"


def _relations(item: Json, fields: object) -> Iterator[str]:
    for field in mapping(fields):
        listed = items(item.get(field))
        if not listed:
            continue
        yield f"{field}:"
        for each in listed:
            yield f"{INDENT}{_joined(member(each, 'to'))}"
            attr = prune(member(each, "attr"))
            if attr is not None:
                for key, value in mapping(attr).items():
                    yield from (INDENT * 2 + line for line in nested(key, value))


def _joined(value: object) -> str:
    return ":".join(text(part) for part in items(value))
