"""The REST endpoints that are not about one object type: name, path, body and reply of each."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Shape = Mapping[str, object]

TEXT: Shape = {"type": "string"}
NUMBER: Shape = {"type": "integer"}
FLAG: Shape = {"type": "boolean"}
ANY: Shape = {}
TEXTS: Shape = {"type": "array", "items": {"type": "string"}}
MAPPING: Shape = {"type": "object", "additionalProperties": True}
MAPPINGS: Shape = {"type": "array", "items": MAPPING}


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint: `body` and `reply` are property schemas by name, `query` says if required.

    `problem` is the reply with status 503 where that is not one line of text.
    """

    name: str
    method: str
    path: str
    summary: str
    body: Shape = {}
    required: tuple[str, ...] = ()
    reply: Shape = {}
    problem: Shape = {}
    query: Mapping[str, bool] = {}
    media_type: str = "application/json"
    status: str = "200"
    """Of a success."""
    errors: tuple[str, ...] = ()
    """Statuses beyond those of every read or write."""


def post(name: str, path: str, summary: str, body: Shape, **more: object) -> Action:
    """Describe an endpoint that takes a body."""
    return msgspec.convert(
        {"name": name, "method": "POST", "path": path, "summary": summary, "body": body, **more},
        Action,
    )


def get(name: str, path: str, summary: str, **more: object) -> Action:
    """Describe an endpoint that only reads."""
    return msgspec.convert(
        {"name": name, "method": "GET", "path": path, "summary": summary, **more}, Action
    )


_REFERENCE_BODY: Shape = {
    "type": TEXT,
    "uuid": TEXT,
    "ref-type": TEXT,
    "ref-uuid": TEXT,
    "ref-fq-name": TEXTS,
    "operation": {"type": "string", "enum": ["ADD", "DELETE"]},
    "attr": ANY,
    "relax_ref_for_delete": FLAG,
}
_LIST_BODY: Shape = {
    "type": TEXT,
    "detail": FLAG,
    "count": FLAG,
    "shared": FLAG,
    "fields": TEXTS,
    "parent_id": TEXT,
    "parent_fq_name_str": TEXT,
    "parent_type": TEXT,
    "back_ref_id": TEXT,
    "obj_uuids": TEXT,
    "fq_names": TEXT,
    "filters": TEXT,
    "page_marker": TEXT,
    "page_limit": NUMBER,
}

_FINDING: Shape = {
    "type": "object",
    "required": ["kind", "type", "uuid", "detail"],
    "properties": {"kind": TEXT, "type": TEXT, "uuid": TEXT, "detail": TEXT},
}

ACTIONS: tuple[Action, ...] = (
    get(
        "home",
        "/",
        "Links to everything the server offers.",
        reply={"href": TEXT, "links": MAPPINGS},
    ),
    post(
        "name-to-id",
        "/fqname-to-id",
        "Find an object's uuid by type and name.",
        {"type": TEXT, "fq_name": TEXTS},
        required=("type", "fq_name"),
        reply={"uuid": TEXT},
    ),
    post(
        "id-to-name",
        "/id-to-fqname",
        "Find an object's type and name by uuid.",
        {"uuid": TEXT},
        required=("uuid",),
        reply={"type": TEXT, "fq_name": TEXTS},
    ),
    post(
        "ref-update",
        "/ref-update",
        "Add, replace or delete one reference.",
        _REFERENCE_BODY,
        required=("type", "uuid", "ref-type", "operation"),
        reply={"uuid": TEXT},
    ),
    post(
        "ref-relax-for-delete",
        "/ref-relax-for-delete",
        "Let a reference no longer block deletion of its target.",
        {"uuid": TEXT, "ref-uuid": TEXT},
        required=("uuid", "ref-uuid"),
        reply={"uuid": TEXT},
    ),
    get(
        "prop-collection-get",
        "/prop-collection-get",
        "Read elements of list and map properties with their positions.",
        query={"uuid": True, "fields": True, "position": False},
    ),
    post(
        "prop-collection-update",
        "/prop-collection-update",
        "Add, modify or delete elements of list and map properties.",
        {"uuid": TEXT, "updates": MAPPINGS},
        required=("uuid", "updates"),
    ),
    post(
        "list-bulk-collection",
        "/list-bulk-collection",
        "List with the parameters in the body, for long lists of uuids.",
        _LIST_BODY,
        required=("type",),
    ),
    post(
        "useragent-keyvalue",
        "/useragent-kv",
        "Store, retrieve or delete a client's own value under a key.",
        {"operation": TEXT, "key": TEXT, "value": ANY},
        required=("operation",),
        reply={"value": ANY},
    ),
    post(
        "virtual-network-ip-alloc",
        "/virtual-network/{uuid}/ip-alloc",
        "Take addresses out of a network's subnets without creating objects.",
        {"count": NUMBER, "subnet": TEXT, "family": TEXT},
        reply={"ip_addr": TEXTS},
    ),
    post(
        "virtual-network-ip-free",
        "/virtual-network/{uuid}/ip-free",
        "Give back addresses that were taken.",
        {"ip_addr": TEXTS},
        required=("ip_addr",),
    ),
    post(
        "virtual-network-subnet-ip-count",
        "/virtual-network/{uuid}/subnet-ip-count",
        "Count the addresses in use, per subnet.",
        {"subnet_list": TEXTS},
        required=("subnet_list",),
        reply={"ip_count_list": {"type": "array", "items": NUMBER}},
    ),
    post(
        "chown",
        "/chown",
        "Change an object's owner.",
        {"uuid": TEXT, "owner": TEXT},
        required=("uuid", "owner"),
    ),
    post(
        "chmod",
        "/chmod",
        "Change who may read, write and refer to an object.",
        {
            "uuid": TEXT,
            "owner": TEXT,
            "owner_access": NUMBER,
            "share": MAPPINGS,
            "global_access": NUMBER,
        },
        required=("uuid",),
    ),
    get(
        "obj-perms",
        "/obj-perms",
        "What the caller may do with an object.",
        query={"uuid": False},
        reply={
            "token_info": ANY,
            "is_cloud_admin_role": FLAG,
            "is_global_read_only_role": FLAG,
            "permissions": TEXT,
        },
    ),
    get("aaa-mode", "/aaa-mode", "How requests are authorised.", reply={"aaa-mode": TEXT}),
    Action(
        name="set-aaa-mode",
        method="PUT",
        path="/aaa-mode",
        summary="Change how requests are authorised.",
        body={"aaa-mode": {"type": "string", "enum": ["no-auth", "cloud-admin", "rbac"]}},
        required=("aaa-mode",),
        reply={"aaa-mode": TEXT},
    ),
    post(
        "set-tag",
        "/set-tag",
        "Set or remove an object's tags by type.",
        {"obj_type": TEXT, "obj_uuid": TEXT},
        required=("obj_type", "obj_uuid"),
    ),
    post(
        "security-policy-draft",
        "/security-policy-draft",
        "Commit or discard the draft of firewall objects.",
        {"scope_uuid": TEXT, "action": {"type": "string", "enum": ["commit", "discard"]}},
        required=("scope_uuid", "action"),
    ),
    post(
        "int-pools",
        "/int-pools",
        "Make a pool of integers.",
        {"pool": TEXT, "start": NUMBER, "end": NUMBER},
        required=("pool", "start", "end"),
    ),
    Action(
        name="delete-int-pools",
        method="DELETE",
        path="/int-pools",
        summary="Drop a pool, named in the body, and every number taken from it.",
        body={"pool": TEXT},
        required=("pool",),
    ),
    post(
        "int-pool",
        "/int-pool",
        "Give a number of a pool, the next free one unless asked for, to an owner.",
        {"pool": TEXT, "owner": TEXT, "value": NUMBER},
        required=("pool",),
        reply={"value": NUMBER},
    ),
    get(
        "int-pool-owner",
        "/int-pool",
        "Who has a number of a pool; null when it is free.",
        query={"pool": True, "value": True},
        reply={"owner": ANY},
    ),
    Action(
        name="delete-int-pool",
        method="DELETE",
        path="/int-pool",
        summary="Give a number of a pool, both named in the body, back.",
        body={"pool": TEXT, "value": NUMBER},
        required=("pool", "value"),
    ),
    get(
        "watch",
        "/watch",
        "Objects of some types, then their changes, as server-sent events.",
        query={"resource_type": True},
        media_type="text/event-stream",
    ),
    post(
        "database-check",
        "/db-check",
        "Whether what is stored is consistent in itself and the same as in memory.",
        {},
        reply={
            "results": {"type": "array", "items": _FINDING},
            "results_count": NUMBER,
            "revision": NUMBER,
            "checked": MAPPING,
        },
    ),
    post(
        "fetch-records",
        "/fetch-records",
        "Every object, each under its type's name; secrets are masked.",
        {},
        reply={"results": MAPPINGS},
    ),
    post("start-profile", "/start-profile", "Start profiling the server.", {}),
    post("stop-profile", "/stop-profile", "Stop profiling the server.", {}),
    get(
        "obj-cache",
        "/obj-cache",
        "Entries of the server's memory by uuid: those named, or the newest ones.",
        query={"uuids": False, "count": False},
    ),
    post(
        "obj-cache-by-body",
        "/obj-cache",
        "Entries of the server's memory by uuid: those named, or the newest ones.",
        {"uuids": TEXTS, "count": NUMBER},
    ),
    post(
        "execute-job",
        "/execute-job",
        "Start a fabric job from a job template.",
        {
            "job_template_fq_name": TEXTS,
            "job_template_id": TEXT,
            "input": MAPPING,
            "params": MAPPING,
        },
        reply={"job_execution_id": TEXT},
    ),
    post("abort-job", "/abort-job", "Stop running fabric jobs.", {"input": MAPPING}),
    post("amqp-publish", "/amqp-publish", "Publish a message on the bus.", MAPPING),
    post("amqp-request", "/amqp-request", "Publish a message and wait for the answer.", MAPPING),
    post(
        "hbs-get",
        "/hbs-get",
        "Read a host-based service by its name.",
        {"hbs_fq_name": TEXTS},
        required=("hbs_fq_name",),
        reply={"host-based-service": MAPPING},
    ),
    get(
        "documentation",
        "/documentation/index.html",
        "The server's documentation.",
        media_type="text/html",
    ),
)

_OPERATION: Shape = {
    "type": "object",
    "properties": {
        "op": {
            "type": "string",
            "enum": ["create", "update", "patch", "replace", "apply", "delete"],
        },
        "type": TEXT,
        "uuid": {"type": ["string", "null"], "description": "Needed by all but create and apply."},
        "name": {
            "type": ["string", "array", "null"],
            "items": {"type": "string"},
            "description": "Instead of the uuid: the names from the top down, or joined by colons.",
        },
        "if_match": {"type": ["string", "null"], "description": "Tags, one of which must match."},
        "if_none_match": {"type": ["string", "null"], "description": "`*`: must not exist."},
        "field_owner": {"type": ["string", "null"], "description": "Who applies."},
        "force": {"type": "boolean", "description": "Take over fields of other owners."},
        "cascade": {"type": "boolean", "description": "Delete what is in the way as well."},
        "object": {"type": ["object", "null"], "description": "Needed by all but delete."},
    },
    "required": ["op", "type"],
    "additionalProperties": False,
}
OPERATIONS: Shape = {"type": "array", "items": _OPERATION}
_HEALTH: Shape = {"healthy": FLAG, "unmet": TEXTS}

NATIVE: tuple[Action, ...] = (
    get(
        "native-watch",
        "/api/v1/watch",
        "Changes as JSON lines, from a revision on or after a snapshot; ends when read too slowly.",
        query=dict.fromkeys(
            ("types", "from_revision", "history", "filter", "tags", "labels", "parent"), False
        ),
        media_type="application/x-ndjson",
    ),
    post(
        "native-transaction",
        "/api/v1/transaction",
        "Apply several creates, updates and deletes together or not at all.",
        {
            "operations": OPERATIONS,
            "derived_from": {"type": ["integer", "null"]},
        },
        required=("operations",),
        reply={"revision": NUMBER, "results": MAPPINGS},
    ),
    post(
        "native-plan",
        "/api/v1/plan",
        "What a transaction would change: objects, what is derived, hosts, reachability.",
        {"operations": OPERATIONS},
        required=("operations",),
        reply={"revision": NUMBER, "changes": MAPPINGS, "hosts": MAPPINGS},
    ),
    get(
        "native-change-sets",
        "/api/v1/change-sets",
        "The change sets that are open.",
        reply={"change_sets": MAPPINGS},
    ),
    get(
        "native-history",
        "/api/v1/history",
        "Who changed what, newest first.",
        query=dict.fromkeys(
            ("object", "type", "by", "derived", "revision", "limit", "cursor"), False
        ),
        reply={"entries": MAPPINGS},
    ),
    get(
        "native-history-moment",
        "/api/v1/history/moment",
        "The revision that stood at a time, and when it was made.",
        query={"time": True},
        reply={"revision": NUMBER, "at": TEXT},
    ),
    get(
        "native-history-verify",
        "/api/v1/history/verify",
        "Whether the audit log's chain of hashes holds.",
        reply={"valid": FLAG, "fault": TEXT, "pages": NUMBER, "hash": TEXT},
    ),
    get(
        "native-snapshot",
        "/api/v1/snapshot",
        "All that people configured as of a revision, one JSON line per object.",
        query={"revision": False, "types": False},
        media_type="application/x-ndjson",
    ),
    get(
        "native-status",
        "/api/v1/status",
        "What compilers and control nodes report.",
        reply={"revision": NUMBER, "reports": MAPPINGS},
    ),
    get(
        "native-conditions",
        "/api/v1/conditions",
        "How far the last changes of up to 200 objects of a type have come.",
        query={"type": True, "uuids": True},
        reply={"revision": NUMBER, "items": MAPPINGS},
    ),
    get(
        "native-schemas",
        "/api/v1/schemas",
        "The types that have a JSON Schema, at /api/v1/schemas/<type>.",
        reply={"types": TEXTS},
    ),
    get("native-docs", "/api/v1/docs", "This description to browse.", media_type="text/html"),
    post(
        "native-allocate",
        "/api/v1/allocate",
        "Give an owner a number of a pool; the same one when asked again.",
        {"pool": TEXT, "owner": TEXT, "low": NUMBER, "high": NUMBER, "want": NUMBER},
        required=("pool", "owner", "low", "high"),
        reply={"value": NUMBER, "revision": NUMBER},
    ),
    post(
        "native-free",
        "/api/v1/free",
        "Give a number back to its pool.",
        {"pool": TEXT, "owner": TEXT, "value": NUMBER},
        required=("pool", "owner", "value"),
        reply={"revision": NUMBER},
    ),
    get(
        "healthz",
        "/healthz",
        "Whether the server can work, and what it misses.",
        reply=_HEALTH,
        problem=_HEALTH,
    ),
    get("metrics", "/metrics", "Counters for monitoring.", media_type="text/plain"),
    get("openapi", "/openapi.json", "This document.", reply={"openapi": TEXT}),
    get("tables", "/introspect", "Names of the server's own tables.", reply={"tables": TEXTS}),
    get(
        "introspect",
        "/introspect/{table}",
        "Rows of one of the server's own tables; a column as parameter keeps rows that match.",
        query={"limit": False},
        reply={"table": TEXT, "rows": MAPPINGS, "total": NUMBER},
    ),
)
