"""Both clients send the same requests and read the same replies."""

import asyncio
import inspect

import msgspec
import pytest

from skytrail.client import (
    ApiClient,
    ApiError,
    ApiUnavailable,
    AsyncApiClient,
    create_operation,
    delete_operation,
)
from skytrail.runtime.asgi import Response, json_reply, text_reply


@pytest.fixture(params=[ApiClient, AsyncApiClient])
def call(request, with_api):
    """Call a method of each client against the scripted API."""

    def run(method, *args, **kwargs):
        async def scenario(path):
            if request.param is ApiClient:
                with ApiClient(unix_socket=path, token="t0") as client:
                    return await asyncio.to_thread(getattr(client, method), *args, **kwargs)
            async with AsyncApiClient(unix_socket=path, token="t0") as client:
                return await getattr(client, method)(*args, **kwargs)

        return with_api(scenario)

    return run


def sent(api):
    """Return (method, path, query, decoded body) of the only request."""
    (request,) = api.requests
    body = msgspec.json.decode(request.body) if request.body else None
    return request.method, request.path, dict(request.query), body


def test_create_posts_the_wrapped_object_and_returns_its_uuid(api, call):
    api.reply = json_reply({"virtual-network": {"uuid": "u1", "name": "blue"}})

    uuid = call("create", "virtual-network", {"fq_name": ["d", "p", "blue"]})

    assert uuid == "u1"
    assert sent(api) == (
        "POST",
        "/virtual-networks",
        {},
        {"virtual-network": {"fq_name": ["d", "p", "blue"]}},
    )
    assert api.requests[0].headers["x-auth-token"] == "t0"
    assert api.requests[0].headers["content-type"] == "application/json"


def test_read_returns_the_object_without_relations_unless_asked(api, call):
    api.reply = json_reply({"virtual-DNS": {"uuid": "u1"}})

    assert call("read", "virtual-DNS", "u1", fields=["a", "b"]) == {"uuid": "u1"}
    assert sent(api) == (
        "GET",
        "/virtual-DNS/u1",
        {"fields": "a,b", "exclude_back_refs": "true", "exclude_children": "true"},
        None,
    )


def test_list_sends_anchor_filters_and_fields(api, call):
    api.reply = json_reply({"projects": [{"uuid": "u1", "fq_name": ["d", "p"]}]})

    found = call(
        "list", "project", parent_uuid="p1", filters={"is_shared": True, "n": "x"}, fields=["f"]
    )

    assert found == [{"uuid": "u1", "fq_name": ["d", "p"]}]
    assert sent(api)[1:3] == (
        "/projects",
        {"parent_id": "p1", "filters": 'is_shared==true,n=="x"', "fields": "f"},
    )


def test_detailed_list_is_unwrapped(api, call):
    api.reply = json_reply({"projects": [{"project": {"uuid": "u1"}}]})

    assert call("list", "project", detail=True) == [{"uuid": "u1"}]


def test_update_and_delete_accept_empty_replies(api, call):
    api.reply = Response(200)

    assert call("update", "project", "u1", {"display_name": "x"}) is None
    assert sent(api) == ("PUT", "/project/u1", {}, {"project": {"display_name": "x"}})
    api.requests.clear()
    assert call("delete", "project", "u1") is None
    assert sent(api) == ("DELETE", "/project/u1", {}, None)


def test_ref_update_names_the_target(api, call):
    api.reply = json_reply({"uuid": "u1"})

    call("ref_update", "virtual-network", "u1", ref_type="network-policy", ref_uuid="p1")

    body = sent(api)[3]
    assert (body["type"], body["uuid"], body["operation"]) == ("virtual-network", "u1", "ADD")
    assert (body["ref-type"], body["ref-uuid"]) == ("network-policy", "p1")


def test_transaction_returns_one_revision_and_each_uuid(api, call):
    api.reply = json_reply({"revision": 7, "results": [{"uuid": "a"}, {"uuid": "b"}]})
    operations = [create_operation("project", {"uuid": "a"}), delete_operation("project", "b")]

    reply = call("transaction", operations, 5)

    assert (reply.revision, [result.uuid for result in reply.results]) == (7, ["a", "b"])
    assert sent(api)[3] == {"operations": operations, "derived_from": 5}


def test_refusal_is_an_error_with_status_and_text(api, call):
    api.reply = text_reply("Delete when children still present: ['x']", 409)

    with pytest.raises(ApiError, match="children still present") as caught:
        call("delete", "project", "u1")
    assert caught.value.status == 409


def test_busy_server_is_unavailable_not_a_refusal(api, call):
    api.reply = text_reply("store closed", 503)

    with pytest.raises(ApiUnavailable, match="store closed"):
        call("read", "project", "u1")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"other":{}}', b"\xff", b'{"project":[1]}'])
def test_answer_of_something_else_is_unavailable(api, call, body):
    api.reply = Response(200, body)

    with pytest.raises(ApiUnavailable, match="answer"):
        call("read", "project", "u1")


def test_odd_names_stay_inside_their_path_segment(api, call):
    api.reply = json_reply({"a/b": {"uuid": "u"}})

    call("read", "a/b", "../x?y")

    assert api.requests[0].segments == ("a/b", "../x?y")


def test_nobody_listening_is_unavailable_with_the_place(tmp_path):
    place = str(tmp_path / "none")

    with ApiClient(unix_socket=place) as client, pytest.raises(ApiUnavailable, match=place):
        client.read("project", "u")


def test_both_clients_offer_the_same_calls():
    def calls(kind):
        return {
            name: tuple(inspect.signature(method).parameters)
            for name, method in vars(kind).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert calls(ApiClient) == calls(AsyncApiClient)
