"""The documentation page of the server, made from the model and the descriptions of the calls."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from skytrail.api.schema import Schema, collection_name
from skytrail.model.catalog_types import ObjectType
from skytrail.model.openapi_actions import Action

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
    "padding:.2em .8em .2em 0;border-bottom:1px solid #ddd}code{white-space:nowrap}"
)


def page(schema: Schema, actions: Iterable[Action]) -> str:
    """Return the page as HTML."""
    types = "".join(_type_row(each) for each in schema.resources.values())
    calls = "".join(_action_row(each) for each in actions)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Configuration API'
        f"</title><style>{_STYLE}</style></head><body><h1>Configuration API</h1>"
        "<p>Every type has <code>GET</code> and <code>POST</code> on its collection, and "
        "<code>GET</code>, <code>PUT</code> and <code>DELETE</code> on <code>/type/uuid</code>. "
        'Fields, bodies and replies: <a href="/openapi.json">openapi.json</a>.</p>'
        "<h2>Types</h2><table><tr><th>Collection</th><th>Below</th><th>What it is</th></tr>"
        f"{types}</table>"
        "<h2>Calls</h2><table><tr><th>Method</th><th>Path</th><th>What it does</th></tr>"
        f"{calls}</table></body></html>"
    )


def _type_row(resource: ObjectType) -> str:
    parents = ", ".join(resource.parents) or "nothing"
    path = f"/{collection_name(resource)}"
    return (
        f'<tr id="{escape(resource.name)}"><td><code>{escape(path)}</code></td>'
        f"<td>{escape(parents)}</td><td>{escape(resource.description)}</td></tr>"
    )


def _action_row(action: Action) -> str:
    return (
        f"<tr><td>{escape(action.method)}</td><td><code>{escape(action.path)}</code></td>"
        f"<td>{escape(action.summary)}</td></tr>"
    )
