"""What requests for UVEs say: filters, tables, types; and the links in their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, cast

from skytrail.analytics import uve_types
from skytrail.analytics.uve_filter import FilterUnusable, UveFilter, filter_of
from skytrail.runtime.asgi import HttpError, Request

FILTERS: Final = ("kfilt", "cfilt", "sfilt", "mfilt", "ackfilt")


def link(request: Request, path: str, name: str) -> dict[str, str]:
    """Return a link to a path of this server, as the client reaches it."""
    host = request.headers.get("host", "")
    return {"href": f"{request.scheme}://{host}{path}" if host else path, "name": name}


def no_type(word: str) -> HttpError:
    """Return the refusal of a type that there is not."""
    return HttpError(404, f"No type of UVE is called {word[:64]}; /analytics/uve-types lists them")


def tables_of(request: Request) -> frozenset[str]:
    """Return the tables a request wants (``tablefilt``), none for all; HttpError 400 for unknown ones."""
    text = request.query.get("tablefilt", "")
    words = [each for each in text.split(",") if each]
    tables = {uve_types.TABLES.get(each, each) for each in words}
    unknown = sorted(tables - uve_types.TYPES.keys())
    if unknown:
        raise HttpError(400, f"tablefilt={unknown[0][:64]} is neither a type nor a table of UVEs")
    return frozenset(tables)


def filter_of_query(request: Request) -> UveFilter:
    """Return the filters of an address; HttpError 400 for those that cannot be read."""
    said = {
        name: [part for text in request.query_all.get(name, ()) for part in text.split(",")]
        for name in FILTERS
    }
    return _usable(said)


def filter_of_body(request: Request) -> UveFilter:
    """Return the filters of a body; HttpError 400 for those that cannot be read."""
    body = request.json(dict[str, object])
    said: dict[str, list[str]] = {}
    for name, value in body.items():
        if name not in FILTERS:
            raise HttpError(400, f"{name[:64]} is no filter; there are {', '.join(FILTERS)}")
        said[name] = _texts(name, value)
    return _usable(said)


def _texts(name: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        texts = [each for each in cast("list[object]", value) if isinstance(each, str)]
        if len(texts) == len(cast("list[object]", value)):
            return texts
    raise HttpError(400, f"{name} is neither text nor a list of texts")


def _usable(said: Mapping[str, Iterable[str]]) -> UveFilter:
    try:
        return filter_of(said)
    except FilterUnusable as error:
        raise HttpError(400, str(error)) from error
