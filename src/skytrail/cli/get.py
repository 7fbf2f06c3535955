"""``skytrail get``: list objects or show some."""

from __future__ import annotations

import click
import yaml

from skytrail.cli import output
from skytrail.cli.choices import complete_name, complete_type
from skytrail.cli.columns import columns_of
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import find, find_parent, fq_name_of
from skytrail.cli.names import did_you_mean, resolve_type
from skytrail.cli.session import Session, api_options, opened
from skytrail.client.messages import JsonObject
from skytrail.model.catalog import ObjectType


@click.command(
    epilog=examples(
        "skytrail get vn",
        "skytrail get vn red -o yaml",
        "skytrail get vmi --parent demo --fields virtual_network_refs",
        "skytrail get instance-ip --filter instance_ip_address=10.1.1.3",
        "skytrail get sg --json | jq '.[].fq_name'",
    )
)
@click.argument("type_name", metavar="TYPE", shell_complete=complete_type)
@click.argument("names", metavar="[NAME|UUID]...", nargs=-1, shell_complete=complete_name)
@click.option(
    "-o", "--output", "style", type=click.Choice(output.FORMATS), help="Form of the result."
)
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.option("--fields", metavar="A,B", help="Only these properties and references.")
@click.option("--parent", metavar="NAME|UUID", help="Only children of this object.")
@click.option(
    "--filter", "filters", metavar="FIELD=VALUE", multiple=True, help="Only equal ones; repeatable."
)
@api_options
def get(
    type_name: str,
    names: tuple[str, ...],
    style: str | None,
    fields: str | None,
    parent: str | None,
    filters: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """List objects of a TYPE, or show the named ones.

    TYPE is a full or short name (virtual-network, vn). A NAME is a full name (default-domain:demo:red),
    its end when only one object has it (red), or a uuid.
    """
    with opened() as session:
        kind = resolve_type(type_name)
        asked = _fields(kind, fields)
        style = "json" if as_json else style or "table"
        if names:
            found = [find(session, kind, name) for name in names]
            found = [_only(item, asked) for item in found] if asked else found
        else:
            found = _listed(session, kind, asked, parent=parent, filters=filters, style=style)
        _print(kind, found, asked, style=style, alone=len(names) == 1)


def _listed(
    session: Session,
    kind: ObjectType,
    asked: tuple[str, ...],
    *,
    parent: str | None,
    filters: tuple[str, ...],
    style: str,
) -> list[JsonObject]:
    parent_uuid = None if parent is None else find_parent(session, kind, parent)
    needed = asked or (
        tuple(dict.fromkeys(f for column in columns_of(kind) for f in column.fields))
        if style == "table"
        else ()
    )
    found = session.client.list(
        kind.name,
        parent_uuid=parent_uuid,
        detail=not needed and style in {"json", "yaml"},
        fields=needed,
        filters=dict(_filter(kind, each) for each in filters),
    )
    return sorted(found, key=fq_name_of)


def _print(
    kind: ObjectType, found: list[JsonObject], asked: tuple[str, ...], *, style: str, alone: bool
) -> None:
    shown = [output.clean(item) for item in found]
    match style:
        case "json":
            output.print_json(shown[0] if alone else shown)
        case "yaml":
            output.print_yaml(
                [{"type": kind.name, **item} for item in shown if isinstance(item, dict)]
            )
        case "name":
            output.print_names(found)
        case _ if found:
            output.print_table(columns_of(kind, asked), found)
        case _:
            output.note(f"No {kind.name} found.")


def _fields(kind: ObjectType, text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    for name in names:
        _check_field(kind, name)
    return names


def _check_field(kind: ObjectType, name: str) -> None:
    known = {*kind.properties, *kind.references, *kind.children, *kind.back_references}
    if name not in known:
        raise click.UsageError(
            f"{kind.name} has no field {name!r}.{did_you_mean(name, known)}"
            f" `skytrail types {kind.name}` lists them."
        )


def _filter(kind: ObjectType, text: str) -> tuple[str, object]:
    name, separator, value = text.partition("=")
    if not separator:
        raise click.UsageError(f"--filter {text!r} is not FIELD=VALUE")
    _check_field(kind, name)
    wanted: object = yaml.safe_load(value.removeprefix("="))
    entry = kind.properties.get(name)
    if entry is not None and entry.base == "string":
        wanted = value.removeprefix("=")
    return name, wanted


def _only(item: JsonObject, fields: tuple[str, ...]) -> JsonObject:
    kept = ("uuid", "fq_name", *fields)
    return {name: item[name] for name in kept if name in item}
