"""What is offered: the home page, the only discovery compatible clients have, and OpenAPI.

What is not listed is not offered.
"""

from __future__ import annotations

from skytrail.api import documentation, documents
from skytrail.api.documents import Document
from skytrail.api.schema import Schema, collection_name
from skytrail.model.openapi import openapi_document
from skytrail.model.openapi_actions import ACTIONS as DESCRIBED
from skytrail.model.openapi_native import native_paths, native_schemas

ACTIONS = (
    ("name-to-id", "fqname-to-id", "POST"),
    ("id-to-name", "id-to-fqname", "POST"),
    ("ref-update", "ref-update", "POST"),
    ("ref-relax-for-delete", "ref-relax-for-delete", "POST"),
    ("prop-collection-get", "prop-collection-get", "GET"),
    ("prop-collection-update", "prop-collection-update", "POST"),
    ("useragent-keyvalue", "useragent-kv", "POST"),
    ("list-bulk-collection", "list-bulk-collection", "POST"),
    ("chown", "chown", "POST"),
    ("chmod", "chmod", "POST"),
    ("set-tag", "set-tag", "POST"),
    ("security-policy-draft", "security-policy-draft", "POST"),
    ("int-pools", "int-pools", "POST"),
    ("int-pool", "int-pool", "POST"),
    ("obj-perms", "obj-perms", "GET"),
    ("aaa-mode", "aaa-mode", "PUT"),
    ("database-check", "db-check", "POST"),
    ("fetch-records", "fetch-records", "POST"),
    ("obj-cache", "obj-cache", "POST"),
    ("hbs-get", "hbs-get", "POST"),
    ("watch", "watch", "GET"),
    ("virtual-network-ip-alloc", "virtual-network/%s/ip-alloc", "POST"),
    ("virtual-network-ip-free", "virtual-network/%s/ip-free", "POST"),
    ("virtual-network-subnet-ip-count", "virtual-network/%s/subnet-ip-count", "POST"),
)
"""Name, path and method of what the server does."""

DOCUMENTATION = "documentation/index.html"

NOT_THERE = {
    "execute-job": "fabric jobs; no job runs here",
    "abort-job": "fabric jobs; no job runs here",
    "amqp-publish": "the message bus passage; there is no message bus, GET /watch tells changes",
    "amqp-request": "the message bus passage; there is no message bus, GET /watch tells changes",
    "start-profile": "profiling; GET /metrics has what is measured",
    "stop-profile": "profiling; GET /metrics has what is measured",
    "neutron": "the Neutron calls; the plug-in needs them, other clients use the calls of GET /",
}
"""First path segments of the original that this release answers with 501."""


def documentation_page(schema: Schema) -> str:
    """Return the HTML page about what is served."""
    served = (each for each in DESCRIBED if each.path.split("/")[1] not in NOT_THERE)
    return documentation.page(schema, served)


def description(schema: Schema) -> Document:
    """Return the OpenAPI document of what is served; what answers 501 is not in it."""
    absent = frozenset(each.name for each in DESCRIBED if each.path.split("/")[1] in NOT_THERE)
    document = openapi_document(schema.catalog, version="1", without=absent)
    documents.section(document, "paths").update(native_paths(schema.catalog))
    components = documents.section(document, "components")
    schemas = documents.section(components, "schemas")
    schemas.update(native_schemas(schemas, schema.catalog))
    for name in ("description", "creator"):
        # Every object carries these two, and as null when nobody gave them.
        documents.section(schemas, "IdPermsType", "properties", name)["type"] = ["string", "null"]
    return document


def page(schema: Schema, base: str) -> Document:
    """Return the page for a client that reached us at ``base``."""
    links = [
        _link("documentation", f"{base}/{DOCUMENTATION}", "documentation", "GET"),
        _link("root", f"{base}/config-root", "config-root", None),
    ]
    for resource in schema.resources.values():
        href = f"{base}/{collection_name(resource)}"
        links.append(_link("collection", href, resource.name, None))
    links += [_link("resource-base", f"{base}/{name}", name, None) for name in schema.resources]
    for name, path, method in ACTIONS:
        links.append(_link("action", f"{base}/{path}", name, method))
    return {"href": base, "links": links}


def _link(rel: str, href: str, name: str, method: str | None) -> Document:
    return {"link": {"rel": rel, "href": href, "name": name, "method": method}}
