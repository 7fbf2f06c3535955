"""``skytrail create``: one object from the command line."""

from __future__ import annotations

import click
import yaml

from skytrail.cli import conditions, output
from skytrail.cli.choices import complete_type
from skytrail.cli.conditions import wait_options
from skytrail.cli.documents import Document, DocumentInvalid, check, read_documents
from skytrail.cli.help_text import examples
from skytrail.cli.lookup import find_uuid
from skytrail.cli.names import FqName, did_you_mean, own_name, resolve_type, split_name
from skytrail.cli.session import Refused, Session, api_options, opened
from skytrail.cli.values import Json, items, mapping
from skytrail.client import ApiError
from skytrail.model.catalog import CATALOG, ObjectType

CONFLICT = 409


class _Create(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "unexpected extra argument" in error.message:
                text = f"{error.message}. Properties are given as --set FIELD=VALUE."
                raise click.UsageError(text, ctx) from error
            raise


@click.command(
    cls=_Create,
    epilog=examples(
        "skytrail create project default-domain:demo",
        "skytrail create vn demo:red --ref ipam=default-network-ipam='"
        "{ipam_subnets: [{subnet: 10.1.1.0/24}]}'",
        "skytrail create vdns zone --set virtual_DNS_data.domain_name=demo.example",
        "skytrail create vmi default-domain:demo:port-1 --ref vn=demo:red --ref sg=demo:web",
        "skytrail create iip ip-1 --ref vn=demo:red --ref vmi=demo:port-1",
    ),
)
@click.argument("type_name", metavar="TYPE", shell_complete=complete_type)
@click.argument("name", metavar="NAME")
@click.option(
    "--set",
    "settings",
    metavar="FIELD[.FIELD...]=VALUE",
    multiple=True,
    help="A property; the value is YAML; repeatable.",
)
@click.option(
    "--ref",
    "links",
    metavar="TYPE=NAME[=ATTR]",
    multiple=True,
    help="A reference, its attribute as YAML; repeatable.",
)
@click.option("--parent-type", metavar="TYPE", help="Needed only when several fit the name.")
@click.option("--dry-run", is_flag=True, help="Print the object, create nothing.")
@wait_options
@click.option("--json", "as_json", is_flag=True, help="Print the created object as JSON.")
@api_options
def create(
    type_name: str,
    name: str,
    settings: tuple[str, ...],
    links: tuple[str, ...],
    parent_type: str | None,
    *,
    dry_run: bool,
    wait: str | None,
    as_json: bool,
) -> None:
    """Create one object of a TYPE.

    A NAME shorter than the type's full names gets the default project in front (SKYTRAIL_PROJECT).
    For more than a few fields write a file and use `skytrail apply`.
    """
    with opened(writes=not dry_run) as session:
        kind = resolve_type(type_name)
        content: Json = {}
        for setting in settings:
            _set(content, setting, kind)
        for link in links:
            _link(session, content, link, kind)
        fq_name = own_name(split_name(name, kind), kind, session.project)
        document = _document(kind, fq_name, content, parent_type)
        if dry_run:
            output.print_yaml([{"type": kind.name, **document.wire()}])
            return
        _create(session, document, as_json=as_json)
        if wait:
            conditions.wait(session, [(kind.name, document.fq_name)], until=wait)


def _create(session: Session, document: Document, *, as_json: bool) -> None:
    kind = document.kind.name
    try:
        uuid = session.client.create(kind, document.wire())
    except ApiError as error:
        if error.status == CONFLICT and "already exists" in error.text:
            raise Refused(
                f"{error.text}\nChange it with `skytrail edit {kind} {':'.join(document.fq_name)}`"
                " or `skytrail apply`."
            ) from error
        raise
    if as_json:
        output.print_json(output.clean(session.client.read(kind, uuid)))
    else:
        click.echo(f"{document.title} created ({uuid})")


def _document(
    kind: ObjectType, fq_name: FqName, content: Json, parent_type: str | None
) -> Document:
    given: Json = {"type": kind.name, "fq_name": list(fq_name), **content}
    if parent_type is not None:
        given["parent_type"] = resolve_type(parent_type).name
    try:
        (document,) = read_documents(yaml.safe_dump(given), "command line")
        check(document)
    except DocumentInvalid as error:
        raise click.UsageError(str(error)) from error
    return document


def _set(content: Json, setting: str, kind: ObjectType) -> None:
    path, separator, value = setting.partition("=")
    if not separator:
        raise click.UsageError(f"--set {setting!r} is not FIELD=VALUE")
    names = path.split(".")
    if names[0] in kind.references:
        target = kind.references[names[0]].target
        word = (*CATALOG.objects[target].short_names, target)[0]
        raise click.UsageError(f"{names[0]} is a reference: use --ref {word}=NAME (repeatable).")
    if names[0] not in kind.properties:
        raise click.UsageError(
            f"{kind.name} has no property {names[0]!r}.{did_you_mean(names[0], kind.properties)}"
        )
    place = content
    for name in names[:-1]:
        inner = place.setdefault(name, {})
        if not isinstance(inner, dict):
            raise click.UsageError(f"--set {setting!r}: {name} has a value already")
        place = mapping(inner)
    place[names[-1]] = _value(value, setting)


def _link(session: Session, content: Json, text: str, kind: ObjectType) -> None:
    word, separator, rest = text.partition("=")
    if not separator:
        raise click.UsageError(f"--ref {text!r} is not TYPE=NAME")
    target = resolve_type(word)
    fields = [name for name, each in kind.references.items() if each.target == target.name]
    if not fields:
        targets = ", ".join(sorted({each.target for each in kind.references.values()}))
        raise click.UsageError(
            f"A {kind.name} does not refer to a {target.name}, but to: {targets}"
        )
    name, _, attr = rest.partition("=")
    uuid = find_uuid(session, CATALOG.objects[target.name], name)
    found = session.client.read(target.name, uuid, fields=("display_name",))
    reference: Json = {"to": items(found.get("fq_name"))}
    if attr:
        reference["attr"] = _value(attr, text)
    listed = content.setdefault(fields[0], [])
    items(listed).append(reference)


def _value(text: str, whole: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise click.UsageError(f"{whole!r}: the value is not YAML: {error}") from error
