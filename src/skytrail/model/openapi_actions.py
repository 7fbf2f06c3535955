"""The REST endpoints that are not about one object type: name, path, body and reply of each."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Shape = Mapping[str, object]

_TEXT: Shape = {"type": "string"}
_NUMBER: Shape = {"type": "integer"}
_FLAG: Shape = {"type": "boolean"}
_ANY: Shape = {}
_TEXTS: Shape = {"type": "array", "items": {"type": "string"}}
_MAPPING: Shape = {"type": "object", "additionalProperties": True}
_MAPPINGS: Shape = {"type": "array", "items": _MAPPING}


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


def _post(name: str, path: str, summary: str, body: Shape, **more: object) -> Action:
    return msgspec.convert(
        {"name": name, "method": "POST", "path": path, "summary": summary, "body": body, **more},
        Action,
    )


def _get(name: str, path: str, summary: str, **more: object) -> Action:
    return msgspec.convert(
        {"name": name, "method": "GET", "path": path, "summary": summary, **more}, Action
    )


_REFERENCE_BODY: Shape = {
    "type": _TEXT,
    "uuid": _TEXT,
    "ref-type": _TEXT,
    "ref-uuid": _TEXT,
    "ref-fq-name": _TEXTS,
    "operation": {"type": "string", "enum": ["ADD", "DELETE"]},
    "attr": _ANY,
    "relax_ref_for_delete": _FLAG,
}
_LIST_BODY: Shape = {
    "type": _TEXT,
    "detail": _FLAG,
    "count": _FLAG,
    "shared": _FLAG,
    "fields": _TEXTS,
    "parent_id": _TEXT,
    "parent_fq_name_str": _TEXT,
    "parent_type": _TEXT,
    "back_ref_id": _TEXT,
    "obj_uuids": _TEXT,
    "fq_names": _TEXT,
    "filters": _TEXT,
    "page_marker": _TEXT,
    "page_limit": _NUMBER,
}

_FINDING: Shape = {
    "type": "object",
    "required": ["kind", "type", "uuid", "detail"],
    "properties": {"kind": _TEXT, "type": _TEXT, "uuid": _TEXT, "detail": _TEXT},
}

ACTIONS: tuple[Action, ...] = (
    _get(
        "home",
        "/",
        "Links to everything the server offers.",
        reply={"href": _TEXT, "links": _MAPPINGS},
    ),
    _post(
        "name-to-id",
        "/fqname-to-id",
        "Find an object's uuid by type and name.",
        {"type": _TEXT, "fq_name": _TEXTS},
        required=("type", "fq_name"),
        reply={"uuid": _TEXT},
    ),
    _post(
        "id-to-name",
        "/id-to-fqname",
        "Find an object's type and name by uuid.",
        {"uuid": _TEXT},
        required=("uuid",),
        reply={"type": _TEXT, "fq_name": _TEXTS},
    ),
    _post(
        "ref-update",
        "/ref-update",
        "Add, replace or delete one reference.",
        _REFERENCE_BODY,
        required=("type", "uuid", "ref-type", "operation"),
        reply={"uuid": _TEXT},
    ),
    _post(
        "ref-relax-for-delete",
        "/ref-relax-for-delete",
        "Let a reference no longer block deletion of its target.",
        {"uuid": _TEXT, "ref-uuid": _TEXT},
        required=("uuid", "ref-uuid"),
        reply={"uuid": _TEXT},
    ),
    _get(
        "prop-collection-get",
        "/prop-collection-get",
        "Read elements of list and map properties with their positions.",
        query={"uuid": True, "fields": True, "position": False},
    ),
    _post(
        "prop-collection-update",
        "/prop-collection-update",
        "Add, modify or delete elements of list and map properties.",
        {"uuid": _TEXT, "updates": _MAPPINGS},
        required=("uuid", "updates"),
    ),
    _post(
        "list-bulk-collection",
        "/list-bulk-collection",
        "List with the parameters in the body, for long lists of uuids.",
        _LIST_BODY,
        required=("type",),
    ),
    _post(
        "useragent-keyvalue",
        "/useragent-kv",
        "Store, retrieve or delete a client's own value under a key.",
        {"operation": _TEXT, "key": _TEXT, "value": _ANY},
        required=("operation",),
        reply={"value": _ANY},
    ),
    _post(
        "virtual-network-ip-alloc",
        "/virtual-network/{uuid}/ip-alloc",
        "Take addresses out of a network's subnets without creating objects.",
        {"count": _NUMBER, "subnet": _TEXT, "family": _TEXT},
        reply={"ip_addr": _TEXTS},
    ),
    _post(
        "virtual-network-ip-free",
        "/virtual-network/{uuid}/ip-free",
        "Give back addresses that were taken.",
        {"ip_addr": _TEXTS},
        required=("ip_addr",),
    ),
    _post(
        "virtual-network-subnet-ip-count",
        "/virtual-network/{uuid}/subnet-ip-count",
        "Count the addresses in use, per subnet.",
        {"subnet_list": _TEXTS},
        required=("subnet_list",),
        reply={"ip_count_list": {"type": "array", "items": _NUMBER}},
    ),
    _post(
        "chown",
        "/chown",
        "Change an object's owner.",
        {"uuid": _TEXT, "owner": _TEXT},
        required=("uuid", "owner"),
    ),
    _post(
        "chmod",
        "/chmod",
        "Change who may read, write and refer to an object.",
        {
            "uuid": _TEXT,
            "owner": _TEXT,
            "owner_access": _NUMBER,
            "share": _MAPPINGS,
            "global_access": _NUMBER,
        },
        required=("uuid",),
    ),
    _get(
        "obj-perms",
        "/obj-perms",
        "What the caller may do with an object.",
        query={"uuid": False},
        reply={
            "token_info": _ANY,
            "is_cloud_admin_role": _FLAG,
            "is_global_read_only_role": _FLAG,
            "permissions": _TEXT,
        },
    ),
    _get("aaa-mode", "/aaa-mode", "How requests are authorised.", reply={"aaa-mode": _TEXT}),
    Action(
        name="set-aaa-mode",
        method="PUT",
        path="/aaa-mode",
        summary="Change how requests are authorised.",
        body={"aaa-mode": {"type": "string", "enum": ["no-auth", "cloud-admin", "rbac"]}},
        required=("aaa-mode",),
        reply={"aaa-mode": _TEXT},
    ),
    _post(
        "set-tag",
        "/set-tag",
        "Set or remove an object's tags by type.",
        {"obj_type": _TEXT, "obj_uuid": _TEXT},
        required=("obj_type", "obj_uuid"),
    ),
    _post(
        "security-policy-draft",
        "/security-policy-draft",
        "Commit or discard the draft of firewall objects.",
        {"scope_uuid": _TEXT, "action": {"type": "string", "enum": ["commit", "discard"]}},
        required=("scope_uuid", "action"),
    ),
    _post(
        "int-pools",
        "/int-pools",
        "Make a pool of integers.",
        {"pool": _TEXT, "start": _NUMBER, "end": _NUMBER},
        required=("pool", "start", "end"),
    ),
    Action(
        name="delete-int-pools",
        method="DELETE",
        path="/int-pools",
        summary="Drop a pool, named in the body, and every number taken from it.",
        body={"pool": _TEXT},
        required=("pool",),
    ),
    _post(
        "int-pool",
        "/int-pool",
        "Give a number of a pool, the next free one unless asked for, to an owner.",
        {"pool": _TEXT, "owner": _TEXT, "value": _NUMBER},
        required=("pool",),
        reply={"value": _NUMBER},
    ),
    _get(
        "int-pool-owner",
        "/int-pool",
        "Who has a number of a pool; null when it is free.",
        query={"pool": True, "value": True},
        reply={"owner": _ANY},
    ),
    Action(
        name="delete-int-pool",
        method="DELETE",
        path="/int-pool",
        summary="Give a number of a pool, both named in the body, back.",
        body={"pool": _TEXT, "value": _NUMBER},
        required=("pool", "value"),
    ),
    _get(
        "watch",
        "/watch",
        "Objects of some types, then their changes, as server-sent events.",
        query={"resource_type": True},
        media_type="text/event-stream",
    ),
    _post(
        "database-check",
        "/db-check",
        "Whether what is stored is consistent in itself and the same as in memory.",
        {},
        reply={
            "results": {"type": "array", "items": _FINDING},
            "results_count": _NUMBER,
            "revision": _NUMBER,
            "checked": _MAPPING,
        },
    ),
    _post(
        "fetch-records",
        "/fetch-records",
        "Every object, each under its type's name; secrets are masked.",
        {},
        reply={"results": _MAPPINGS},
    ),
    _post("start-profile", "/start-profile", "Start profiling the server.", {}),
    _post("stop-profile", "/stop-profile", "Stop profiling the server.", {}),
    _get(
        "obj-cache",
        "/obj-cache",
        "Entries of the server's memory by uuid: those named, or the newest ones.",
        query={"uuids": False, "count": False},
    ),
    _post(
        "obj-cache-by-body",
        "/obj-cache",
        "Entries of the server's memory by uuid: those named, or the newest ones.",
        {"uuids": _TEXTS, "count": _NUMBER},
    ),
    _post(
        "execute-job",
        "/execute-job",
        "Start a fabric job from a job template.",
        {
            "job_template_fq_name": _TEXTS,
            "job_template_id": _TEXT,
            "input": _MAPPING,
            "params": _MAPPING,
        },
        reply={"job_execution_id": _TEXT},
    ),
    _post("abort-job", "/abort-job", "Stop running fabric jobs.", {"input": _MAPPING}),
    _post("amqp-publish", "/amqp-publish", "Publish a message on the bus.", _MAPPING),
    _post("amqp-request", "/amqp-request", "Publish a message and wait for the answer.", _MAPPING),
    _post(
        "hbs-get",
        "/hbs-get",
        "Read a host-based service by its name.",
        {"hbs_fq_name": _TEXTS},
        required=("hbs_fq_name",),
        reply={"host-based-service": _MAPPING},
    ),
    _get(
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
        "type": _TEXT,
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
_HEALTH: Shape = {"healthy": _FLAG, "unmet": _TEXTS}

NATIVE: tuple[Action, ...] = (
    _get(
        "native-watch",
        "/api/v1/watch",
        "Changes as JSON lines, from a revision on or after a snapshot; ends when read too slowly.",
        query={"types": False, "from_revision": False},
        media_type="application/x-ndjson",
    ),
    _post(
        "native-transaction",
        "/api/v1/transaction",
        "Apply several creates, updates and deletes together or not at all.",
        {
            "operations": {"type": "array", "items": _OPERATION},
            "derived_from": {"type": ["integer", "null"]},
        },
        required=("operations",),
        reply={"revision": _NUMBER, "results": _MAPPINGS},
    ),
    _post(
        "native-plan",
        "/api/v1/plan",
        "What a transaction would change: objects, what is derived, hosts, reachability.",
        {"operations": {"type": "array", "items": _OPERATION}},
        required=("operations",),
        reply={"revision": _NUMBER, "changes": _MAPPINGS, "hosts": _MAPPINGS},
    ),
    _get(
        "native-change-sets",
        "/api/v1/change-sets",
        "The change sets that are open.",
        reply={"change_sets": _MAPPINGS},
    ),
    _get(
        "native-history",
        "/api/v1/history",
        "Who changed what, newest first.",
        query=dict.fromkeys(("object", "type", "by", "derived", "limit", "cursor"), False),
        reply={"entries": _MAPPINGS},
    ),
    _get(
        "native-history-verify",
        "/api/v1/history/verify",
        "Whether the audit log's chain of hashes holds.",
        reply={"valid": _FLAG, "fault": _TEXT, "pages": _NUMBER, "hash": _TEXT},
    ),
    _get(
        "native-snapshot",
        "/api/v1/snapshot",
        "All that people configured as of a revision, one JSON line per object.",
        query={"revision": False, "types": False},
        media_type="application/x-ndjson",
    ),
    _get(
        "native-status",
        "/api/v1/status",
        "What compilers and control nodes report.",
        reply={"revision": _NUMBER, "reports": _MAPPINGS},
    ),
    _get(
        "native-schemas",
        "/api/v1/schemas",
        "The types that have a JSON Schema, at /api/v1/schemas/<type>.",
        reply={"types": _TEXTS},
    ),
    _get("native-docs", "/api/v1/docs", "This description to browse.", media_type="text/html"),
    _post(
        "native-allocate",
        "/api/v1/allocate",
        "Give an owner a number of a pool; the same one when asked again.",
        {"pool": _TEXT, "owner": _TEXT, "low": _NUMBER, "high": _NUMBER, "want": _NUMBER},
        required=("pool", "owner", "low", "high"),
        reply={"value": _NUMBER, "revision": _NUMBER},
    ),
    _post(
        "native-free",
        "/api/v1/free",
        "Give a number back to its pool.",
        {"pool": _TEXT, "owner": _TEXT, "value": _NUMBER},
        required=("pool", "owner", "value"),
        reply={"revision": _NUMBER},
    ),
    _get(
        "healthz",
        "/healthz",
        "Whether the server can work, and what it misses.",
        reply=_HEALTH,
        problem=_HEALTH,
    ),
    _get("metrics", "/metrics", "Counters for monitoring.", media_type="text/plain"),
    _get("openapi", "/openapi.json", "This document.", reply={"openapi": _TEXT}),
    _get("tables", "/introspect", "Names of the server's own tables.", reply={"tables": _TEXTS}),
    _get(
        "introspect",
        "/introspect/{table}",
        "Rows of one of the server's own tables; a column as parameter keeps rows that match.",
        query={"limit": False},
        reply={"table": _TEXT, "rows": _MAPPINGS, "total": _NUMBER},
    ),
)
