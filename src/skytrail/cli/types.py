"""``skytrail types``: what object types exist and what their fields mean."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from skytrail.cli import output
from skytrail.cli.choices import complete_type
from skytrail.cli.columns import Column
from skytrail.cli.help_text import examples
from skytrail.cli.names import UnknownType, did_you_mean, resolve_type
from skytrail.cli.values import Json, text
from skytrail.model.catalog import CATALOG, Field, ObjectType, Property


@click.command(
    epilog=examples(
        "skytrail types",
        "skytrail types vn",
        "skytrail types network-policy network_policy_entries",
    )
)
@click.argument("type_name", metavar="[TYPE]", required=False, shell_complete=complete_type)
@click.argument("field", metavar="[FIELD]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the metadata as JSON.")
def types(type_name: str | None, field: str | None, *, as_json: bool) -> None:
    """List object types, or explain one TYPE, or one FIELD of it down to the last value."""
    try:
        kind = None if type_name is None else resolve_type(type_name)
    except UnknownType as error:
        raise click.UsageError(str(error)) from error
    if kind is None:
        _list(as_json=as_json)
    elif as_json:
        output.print_json(kind if field is None else msgspec.to_builtins(_field(kind, field)))
    elif field is None:
        click.echo("\n".join(_explain(kind)))
    else:
        click.echo("\n".join(_explain_field(_field(kind, field), 0)))


def _list(*, as_json: bool) -> None:
    rows: list[Json] = [
        {
            "name": kind.name,
            "short": ", ".join(kind.short_names),
            "parents": ", ".join(kind.parents),
            "description": kind.description.split(". ")[0],
        }
        for _, kind in sorted(CATALOG.objects.items(), key=lambda pair: pair[0].lower())
    ]
    if as_json:
        output.print_json(rows)
        return
    output.print_table([_column(name) for name in rows[0]], rows)


def _column(name: str) -> Column:
    return Column(name.upper(), (), lambda row: text(row[name]))


def _explain(kind: ObjectType) -> Iterator[str]:
    short = f" ({', '.join(kind.short_names)})" if kind.short_names else ""
    yield f"{kind.name}{short}"
    yield f"  {kind.description}"
    yield f"  parents: {', '.join(kind.parents) or 'none'}"
    yield "Properties:"
    for name, each in kind.properties.items():
        yield f"  {name}: {_shape(each)}{_limits(each)}"
        if each.description:
            yield f"      {each.description}"
    if kind.references:
        yield "References:"
    for name, reference in kind.references.items():
        attr = f" with {reference.attr_type}" if reference.attr_type else ""
        yield f"  {name}: {reference.target}{attr}"
    if kind.children:
        yield f"Children: {', '.join(child.type for child in kind.children.values())}"


def _field(kind: ObjectType, name: str) -> Field:
    found = kind.properties.get(name)
    reference = kind.references.get(name)
    if found is None and reference is not None and reference.attr_type:
        return Field(name=name, type=reference.attr_type, base="compound", is_list=True)
    if found is None:
        known = [*kind.properties, *kind.references]
        raise click.UsageError(f"{kind.name} has no field {name!r}.{did_you_mean(name, known)}")
    return found


def _explain_field(field: Field, depth: int, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    yield f"{'  ' * depth}{field.name}: {_shape(field)}{_limits(field)}"
    if field.description:
        yield f"{'  ' * depth}    {field.description}"
    complex_type = CATALOG.types.get(field.type)
    if complex_type is not None and field.type not in seen:
        for each in complex_type.fields.values():
            yield from _explain_field(each, depth + 1, seen | {field.type})


def _shape(field: Field) -> str:
    """Return what is to be written there: lists and maps stand in an object of one member, by name."""
    name = field.type if field.is_compound else field.base
    if isinstance(field, Property) and field.wrapper_field:
        keyed = f" by {field.map_key}" if field.map_key else ""
        return f"{{{field.wrapper_field}: list of {field.element_type}{keyed}}}"
    return f"list of {name}" if field.is_list else name


def _limits(field: Field) -> str:
    parts: list[str] = []
    if field.enum:
        parts.append(f"one of {', '.join(field.enum)}")
    if field.minimum is not None and field.maximum is not None:
        parts.append(f"{field.minimum}..{field.maximum}")
    if field.default is not None:
        parts.append(f"default {text(field.default)}")
    if field.presence not in {"optional", "exclusive"}:
        parts.append(field.presence)
    return f"  [{'; '.join(parts)}]" if parts else ""
