"""No request, however mad, is answered with a server error, and refused ones change nothing."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.model.catalog import CATALOG

PROJECT = ["default-domain", "default-project"]
TYPES = (
    "virtual-network", "virtual-machine-interface", "instance-ip", "network-ipam", "floating-ip",
    "security-group", "network-policy", "project", "tag", "tag-type", "routing-instance",
    "route-target", "virtual-DNS", "bgp-router", "logical-router", "qos-config", "firewall-rule",
    "firewall-policy", "application-policy-set", "service-group", "address-group", "virtual-router",
    "virtual-port-group", "bgp-as-a-service", "sub-cluster", "policy-management",
)  # fmt: skip

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["10.0.0.0", "10.0.0.1", "::1", "24", "v4", "v6", "any", "tcp", "default", "local", "-1"]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def mostly(good, mad):
    """Mostly the good strategy, and one time in twelve the mad one."""
    return st.integers(0, 11).flatmap(lambda dice: mad if dice == 0 else good)


def shaped(type_name: str, depth: int = 3):
    """Values that look like the complex type, with a wrong one here and there."""
    if depth == 0:
        return st.just({})
    fields = {}
    for name, field in CATALOG.types[type_name].fields.items():
        inner = shaped(field.type, depth - 1) if field.is_compound else scalar_for(field)
        fields[name] = st.lists(inner, max_size=2) if field.is_list else inner
    return mostly(st.fixed_dictionaries({}, optional=fields), values)


def scalar_for(field):
    if field.base == "integer":
        low = 0 if field.minimum is None else field.minimum
        high = 128 if field.maximum is None else field.maximum
        return mostly(st.integers(low, high), scalars)
    if field.base == "boolean":
        return mostly(st.booleans(), scalars)
    if field.enum:
        return mostly(st.sampled_from(field.enum), scalars)
    words = ["10.0.0.0", "10.0.0.9", "10.0.0.254", "::1", "any", "tcp", "local", "target:1:1", "x"]
    return mostly(st.sampled_from(words), scalars)


PARENTS = {
    "project": PROJECT,
    "domain": PROJECT[:1],
    "virtual-network": [*PROJECT, "fuzz"],
    "routing-instance": [*PROJECT, "fuzz", "fuzz"],
    "floating-ip-pool": [*PROJECT, "fuzz", "pool"],
    "global-qos-config": ["default-global-system-config", "default-global-qos-config"],
}
TARGETS = {
    "network-ipam": [*PROJECT, "default-network-ipam"],
    "virtual-network": [*PROJECT, "fuzz"],
    "routing-instance": [*PROJECT, "fuzz", "fuzz"],
    "security-group": [*PROJECT, "__no_rule__"],
    "project": PROJECT,
}


@st.composite
def bodies(draw):
    type_name = draw(st.sampled_from(TYPES))
    resource = CATALOG.objects[type_name]
    name = draw(mostly(st.uuids(version=4).map(str), st.text(max_size=6)))
    parents = [parent for parent in resource.parent_types if parent in PARENTS]
    body = {"fq_name": [name]}
    if parents:
        parent = draw(st.sampled_from(parents))
        body = {"fq_name": [*PARENTS[parent], name], "parent_type": parent}
    for name in draw(st.lists(st.sampled_from(sorted(resource.properties)), max_size=4)):
        entry = resource.properties[name]
        body[name] = draw(shaped(entry.type) if entry.is_compound else scalar_for(entry))
    known = [n for n, entry in resource.references.items() if entry.target in TARGETS]
    for name in draw(st.lists(st.sampled_from(known), max_size=3)) if known else ():
        entry = resource.references[name]
        attribute = draw(shaped(entry.attr_type)) if entry.attr_type else None
        good = [{"to": TARGETS[entry.target], "attr": attribute}]
        body[name] = draw(mostly(st.just(good), values))
    if draw(st.integers(0, 30)) == 0:
        body[draw(st.sampled_from(["fq_name", "uuid", "parent_type"]))] = draw(values)
    return type_name, body


many = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@many
@given(bodies(), bodies())
def test_no_create_or_update_body_causes_a_server_error(fuzzed, first, second) -> None:
    type_name, body = first
    before = fuzzed.service.revision

    reply = fuzzed.call("POST", f"/{type_name}s", {type_name: body})

    assert reply.status in {200, 400, 403, 404, 409, 412, 501}, reply.text
    if reply.status != 200:
        assert fuzzed.service.revision == before
        assert reply.text
        return
    uuid = reply.json[type_name]["uuid"]
    assert fuzzed.call("GET", f"/{type_name}/{uuid}").status == 200
    change = second[1] if second[0] == type_name else body
    assert fuzzed.call("PUT", f"/{type_name}/{uuid}", {type_name: change}).status < 500
    assert fuzzed.call("GET", f"/{type_name}s?detail=true").status == 200
    assert fuzzed.call("DELETE", f"/{type_name}/{uuid}").status in {200, 409}


@many
@given(
    st.sampled_from(
        [
            "fqname-to-id", "id-to-fqname", "ref-update", "ref-relax-for-delete",
            "prop-collection-update", "useragent-kv", "list-bulk-collection",
            "api/v1/transaction", "api/v1/allocate", "api/v1/free", "virtual-networks",
        ]
    ),
    st.dictionaries(
        st.sampled_from(
            [
                "type", "uuid", "ref-type", "ref-uuid", "ref-fq-name", "operation", "attr",
                "fq_name", "updates", "key", "value", "operations", "pool", "low", "high",
                "owner", "want", "obj_uuids", "filters", "parent_id", "page_marker", "fields",
                "page_limit", "detail", "virtual-network",
            ]
        ),
        values | st.sampled_from(["virtual-network", "ADD", "STORE", "a==1,b", "a==[1"]),
        max_size=6,
    )
    | values,
)  # fmt: skip
def test_no_action_body_causes_a_server_error(fuzzed, path: str, body) -> None:
    reply = fuzzed.call("POST", f"/{path}", body)

    assert reply.status in {200, 400, 403, 404, 409, 412}, reply.text


@many
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "replace")))
def test_arbitrary_bytes_are_a_bad_request(fuzzed, body: bytes) -> None:
    before = fuzzed.service.revision

    for path in ("/virtual-networks", "/fqname-to-id", "/api/v1/transaction"):
        assert fuzzed.call("POST", path, body).status in {400, 404}
    assert fuzzed.service.revision == before


@many
@given(
    st.sampled_from(
        ["/virtual-networks", "/virtual-network/", "/", "/watch", "/prop-collection-get"]
    ),
    st.text(max_size=20),
    st.dictionaries(
        st.sampled_from(["fields", "filters", "page_marker", "page_limit", "parent_id", "uuid"]),
        st.text(max_size=12),
    ),
)
def test_no_path_or_query_causes_a_server_error(fuzzed, path, tail, query) -> None:
    target = path if path == "/watch" else path + quote(tail)
    reply = fuzzed.call("GET", f"{target}?{urlencode(query)}")

    assert reply.status in {200, 400, 404, 405, 501}, reply.text


def test_deep_nesting_is_a_bad_request(api) -> None:
    deep = b'{"virtual-network":' * 50_000

    assert api.call("POST", "/virtual-networks", deep).status == 400
    nested = json.dumps("x")
    for _ in range(200):
        nested = f'{{"a":{nested}}}'
    body = b'{"virtual-network":{"fq_name":["a","b","c"],"annotations":' + nested.encode() + b"}}"
    assert api.call("POST", "/virtual-networks", body).status == 400


def test_a_huge_body_is_refused_unread(api) -> None:
    assert api.call("POST", "/virtual-networks", b" " * 1_100_000).status == 413


def test_a_wrong_content_type_is_refused(api) -> None:
    reply = api.call("POST", "/virtual-networks", b"{}", content_type="text/plain")

    assert reply.status == 415


HOSTILE = [
    b'{"virtual-network":{"fq_name":["default-domain","default-project","\\ud800"]}}',
    b'{"virtual-network":{"fq_name":["default-domain","default-project","x"],"mtu":1e999}}',
    b'{"virtual-network":{"fq_name":["default-domain","default-project","x"],"mtu":'
    + b"9" * 400
    + b"}}",
    b'{"virtual-network":{"fq_name":["default-domain","default-project","x"],"mtu":"'
    + b"9" * 5000
    + b'"}}',
    b'{"operation":"STORE","key":"\\ud800","value":"\\ud800"}',
    b'{"operation":"STORE","key":"k","value":"\\udc00"}',
    b'{"type":"virtual-network","fq_name":["\\ud800"]}',
    b'{"pool":"\\ud800","owner":"\\ud800","low":1,"high":2}',
    b'\xef\xbb\xbf{"virtual-network":{}}',
    b"[]",
    b"null",
    b'"x"',
    b"{}",
    b'{"virtual-network":null}',
    b'{"virtual-network":[]}',
    b'{"operations":[{"op":"create","type":"virtual-network","object":null}]}',
    b'{"operations":null}',
]


def test_hostile_bodies_are_refused(api) -> None:
    before = api.service.revision

    for body in HOSTILE:
        for path in (
            "virtual-networks", "fqname-to-id", "useragent-kv", "api/v1/transaction",
            "api/v1/allocate", "prop-collection-update", "ref-update", "list-bulk-collection",
        ):  # fmt: skip
            reply = api.call("POST", f"/{path}", body)
            assert 400 <= reply.status < 500, (path, body, reply.status)
    assert api.service.revision == before


def test_hostile_headers_and_paths_are_refused(api) -> None:
    assert api.call("GET", "/virtual-network/%00").status == 404
    assert api.call("GET", "/virtual-network/%ff%fe").status == 404
    assert api.call("GET", "/virtual-networks?fields=%ff").status == 200
    assert api.call("GET", "/" + "a/" * 5000).status == 404
    assert api.call("PUT", "/virtual-network/../../etc", b"{}").status in {404, 405}
    assert api.call("POST", "/virtual-networks", b"{}", content_length="-1").status == 400
    assert api.call("POST", "/virtual-networks", b"{}", content_length="99999999999").status == 413
