"""Print objects: tables for people, JSON and YAML for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click
import msgspec
import yaml
from rich.table import Table
from rich.text import Text

from skytrail.cli.columns import Column
from skytrail.cli.session import console
from skytrail.cli.values import Json, items, text
from skytrail.runtime.terminal import printable

FORMATS: Final = ("table", "json", "yaml", "name")
_SERVER_LINKS: Final = frozenset({"href", "parent_href"})


def print_json(value: object) -> None:
    """Print indented JSON with a final newline."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_yaml(documents: Sequence[object]) -> None:
    click.echo(to_yaml(documents), nl=False)


def to_yaml(documents: Sequence[object]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, width=100, allow_unicode=True)


def print_names(found: Sequence[Json]) -> None:
    for item in found:
        click.echo(":".join(text(part) for part in items(item.get("fq_name"))))


def print_table(columns: Sequence[Column], found: Sequence[Json]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.title, overflow="fold")
    for item in found:
        # Cells are data: Text, because a string like red:back:web would become markup or a picture.
        table.add_row(*(Text(printable(column.cell(item))) for column in columns))
    console().print(table)


def note(message: str) -> None:
    """Tell the person something that is not the result: to standard error."""
    click.echo(message, err=True)


def clean(value: object) -> object:
    """Return a value without the links only a browser needs, at every depth."""
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items() if key not in _SERVER_LINKS}
    if isinstance(value, list):
        return [clean(each) for each in value]
    return value


def is_terminal() -> bool:
    return sys.stdout.isatty()
