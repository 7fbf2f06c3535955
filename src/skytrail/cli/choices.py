"""Shell completion of types and of live object names."""

from __future__ import annotations

from typing import Final

import click
import httpx
from click.shell_completion import CompletionItem

from skytrail.cli.lookup import fq_name_of
from skytrail.cli.names import UnknownType, is_uuid, resolve_type
from skytrail.cli.place import ServerUnclear
from skytrail.cli.session import new_client
from skytrail.client import AccessUnusable, ApiFailure
from skytrail.model.catalog import CATALOG

ANSWER_TIMEOUT_S: Final = 1.0
NAMES_COUNT_MAX: Final = 500


def complete_type(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer type names, and short names once one is typed in full."""
    wanted = incomplete.lower()
    found = [
        CompletionItem(name, help=kind.description.split(".")[0])
        for name, kind in sorted(CATALOG.objects.items())
        if name.lower().startswith(wanted)
    ]
    found += [
        CompletionItem(short, help=name)
        for name, kind in sorted(CATALOG.objects.items())
        for short in kind.short_names
        if wanted and short.startswith(wanted)
    ]
    return found


def complete_name(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Offer names of stored objects of the type given before; nothing when the API is away."""
    type_word = ctx.params.get("type_name")
    if not isinstance(type_word, str):
        return []
    try:
        kind = resolve_type(type_word)
        client = new_client(ctx)
    except (UnknownType, AccessUnusable, ServerUnclear, click.UsageError):
        return []
    with client:
        try:
            listed = client.list(kind.name)
        except (ApiFailure, httpx.HTTPError):
            return []
    names = sorted({":".join(fq_name_of(item)) for item in listed})
    ends = sorted({fq_name_of(item)[-1] for item in listed if fq_name_of(item)})
    offered = [each for each in names if each.startswith(incomplete)]
    if incomplete:
        offered += [each for each in ends if each.startswith(incomplete) and not is_uuid(each)]
    return [CompletionItem(each) for each in offered[:NAMES_COUNT_MAX]]
