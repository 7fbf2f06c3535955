"""What the web console needs beside objects: its files, the stream of changes, search, analytics."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from skytrail.api.caller import NOBODY_ASKED, Caller
from skytrail.api.io import events, search
from skytrail.api.io.analytics_passage import AnalyticsPassage
from skytrail.api.io.console import ConsoleFiles
from skytrail.api.io.http import HttpApi
from skytrail.api.security_settings import SecuritySettings
from skytrail.api.sight import Sight
from skytrail.runtime import server
from skytrail.runtime.asgi import AsgiApp, Request, Response, StreamResponse, json_reply
from skytrail.runtime.stream_limits import StreamLimits

from .security_server import Secured, basic
from .test_stream_identity import Stream

PROJECT = ["default-domain", "default-project"]
READER = Caller(user="eve", is_reader=True)
MEMBER = Caller(user="ann", project="2b7c3d1e-1111-4222-8333-444455556666", roles=frozenset({"x"}))


@pytest.fixture
def site(tmp_path):
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>shell")
    (tmp_path / "assets" / "app-1.js").write_text("script")
    (tmp_path / "assets" / "app-1.js.gz").write_bytes(gzip.compress(b"script"))
    (tmp_path / "secret.txt").write_text("of no type that is served")
    return tmp_path


@pytest.fixture
def served(api, site):
    api.app = HttpApi(api.service, also=[ConsoleFiles(site)])
    return api


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/o/virtual-network/x/edit"])
def test_every_page_of_the_console_is_its_shell(served, path) -> None:
    reply = served.call("GET", path)

    assert (reply.status, reply.text) == (200, "<!doctype html>shell")
    assert reply.headers["cache-control"] == "no-cache"


def test_the_page_may_ask_no_other_server(served) -> None:
    policy = served.call("GET", "/console/").headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy


def test_assets_are_kept_by_browsers_and_sent_packed(served) -> None:
    reply = served.call("GET", "/console/assets/app-1.js", accept_encoding="gzip, deflate")

    assert gzip.decompress(reply.body) == b"script"
    assert reply.headers["content-encoding"] == "gzip"
    assert "immutable" in reply.headers["cache-control"]


def test_what_a_browser_cannot_unpack_is_sent_as_it_is(served) -> None:
    reply = served.call("GET", "/console/assets/app-1.js", accept_encoding="gzip;q=0, zstd")

    assert reply.body == b"script"
    assert "content-encoding" not in reply.headers


def test_a_shell_the_browser_has_is_not_sent_again(served) -> None:
    tag = served.call("GET", "/console/").headers["etag"]

    reply = served.call("GET", "/console/", if_none_match=tag)

    assert (reply.status, reply.body) == (304, b"")


@pytest.mark.parametrize("path", ["/console/assets/old.js", "/console/assets/../index.html"])
def test_an_asset_that_is_not_there_is_no_shell(served, path) -> None:
    assert served.call("GET", path).status == 404


def test_nothing_but_what_a_page_is_made_of_is_served(served) -> None:
    assert "of no type" not in served.call("GET", "/console/secret.txt").text


def test_a_console_that_was_not_built_says_how_to_build_it(api, tmp_path) -> None:
    api.app = HttpApi(api.service, also=[ConsoleFiles(tmp_path / "none")])

    reply = api.call("GET", "/console/")

    assert reply.status == 404
    assert "make console" in reply.text


def test_strangers_get_the_console_to_log_in_and_nothing_else(api, site) -> None:
    secured = Secured(api, SecuritySettings(authentication=["local"]))
    secured.app = HttpApi(api.service, gate=secured.gate, also=[ConsoleFiles(site)])

    assert secured.call("GET", "/console/").status == 200
    assert secured.call("GET", "/console/assets/app-1.js").status == 200
    for closed in ("/api/v1/events", "/api/v1/search?q=a", "/api/v1/analytics/alarms"):
        assert secured.call("GET", closed).status == 401


# Search.


def found(api, text: str) -> list[str]:
    items = api.call("GET", f"/api/v1/search?q={text}").json["items"]
    return [item["fq_name"][-1] for item in items]


def network(api, name: str) -> str:
    reply = api.call("POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, name]})
    assert reply.status == 201
    return reply.json["uuid"]


def test_search_puts_whole_names_first_then_beginnings(api) -> None:
    for name in ("a-shop", "shop-floor", "shop"):
        network(api, name)

    names = list(dict.fromkeys(found(api, "SHOP")))

    assert names == ["shop", "shop-floor", "a-shop"]


def test_search_finds_uuids_and_parts_of_full_names(api) -> None:
    uuid = network(api, "green")

    assert found(api, uuid) == ["green"]
    assert "green" in found(api, "default-project:gre")


@pytest.mark.parametrize(
    "query",
    [
        "q=",
        "",
        "q=a&limit=0",
        "q=a&limit=x",
        "q=a&who=me",
        "q=a&limit=000000001000000",
        "q=a&limit=" + "0" * 8 + "1" * 5000,
    ],
)
def test_a_search_that_makes_no_sense_is_refused(api, query) -> None:
    assert api.call("GET", f"/api/v1/search?{query}").status == 400


def test_search_shows_nobody_what_he_does_not_see(api) -> None:
    secured = Secured(api, SecuritySettings(authentication=["local"]))
    secured.user("ann", roles=["member"])
    network(api, "hidden")

    reply = secured.call("GET", "/api/v1/search?q=hidden", x_auth_token=secured.login("ann"))

    assert (reply.status, reply.json) == (200, {"items": []})


def test_others_are_served_while_many_objects_are_looked_at(api, monkeypatch) -> None:
    for module_name, most in (("_NAMES_PER_TURN", 2), ("_LOOKS_PER_TURN", 1)):
        monkeypatch.setattr(search, module_name, most)
    network(api, "kept")

    async def search_and_look() -> tuple[bool, list[dict]]:
        asked = asyncio.create_task(api.acall("GET", "/api/v1/search?q=kept"))
        for _ in range(5):
            await asyncio.sleep(0)
        return asked.done(), (await asked).json["items"]

    is_done, items = api.loop.run_until_complete(search_and_look())

    assert not is_done
    assert {item["fq_name"][-1] for item in items} == {"kept"}


# The stream of changes.


def told(api, position, count: int, meanwhile=lambda: None, caller=None) -> list[dict]:
    """Return the first lines of a stream; ``meanwhile`` runs once it has begun."""

    async def read() -> list[dict]:
        sight = Sight(api.service.graph, caller or NOBODY_ASKED, api.service.schema)
        async with aclosing(events.lines(api.service, position, sight, None)) as stream:
            found = [json.loads(await anext(stream))]
            await meanwhile()
            return found + [json.loads(await anext(stream)) for _ in range(count - 1)]

    return api.loop.run_until_complete(read())


async def nothing() -> None:
    pass


def test_what_changes_is_told_without_the_object(api) -> None:
    async def change() -> None:
        reply = await api.acall("POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, "new"]})
        assert reply.status == 201

    start, changes = told(api, None, 2, change)

    network = next(each for each in changes["changes"] if each["type"] == "virtual-network")
    assert start["kind"] == "start"
    assert changes["revision"] > start["revision"]
    assert network.keys() == {"kind", "type", "uuid", "fq_name"}
    assert (network["kind"], network["fq_name"]) == ("create", [*PROJECT, "new"])


def test_a_reader_that_comes_back_is_told_what_it_missed(api) -> None:
    before = told(api, None, 1, nothing)[0]
    network(api, "meanwhile")

    _, changes = told(api, (before["revision"] + 1, before["history"]), 2, nothing)

    assert "meanwhile" in str(changes)


def test_a_reader_of_another_history_is_told_to_read_anew(api) -> None:
    assert told(api, (1, "f" * 16), 1, nothing)[0]["kind"] == "lost"


def test_changes_are_told_to_those_alone_who_see_the_objects(api) -> None:
    Secured(api, SecuritySettings(authentication=["local"]))
    before = told(api, None, 1, nothing)[0]
    with api.as_caller(Caller(user="root", is_admin=True)):
        network(api, "hidden")

    _, changes = told(api, (before["revision"] + 1, ""), 2, nothing, caller=MEMBER)

    assert changes["changes"] == []


@pytest.mark.parametrize("query", ["from_revision=x", "from_revision=-1", "types=project"])
def test_a_stream_that_makes_no_sense_is_refused(api, query) -> None:
    assert api.call("GET", f"/api/v1/events?{query}").status == 400


# The passage to analytics.


@pytest.fixture
def node(api, tmp_path):
    """An analytics node that tells what it was asked."""
    asked = []

    async def answer(request: Request) -> Response:
        asked.append((request.method, request.path, dict(request.query), request.body.decode()))
        return json_reply({"value": [1]})

    listener = server.listen_unix(tmp_path / "analytics.sock")
    serving = api.loop.create_task(server.serve(AsgiApp(answer), [listener]))
    passage = AnalyticsPassage(api.service, [f"unix:{tmp_path}/analytics.sock"])
    api.app = HttpApi(api.service, admit=api._admit, also=[passage])
    yield asked
    serving.cancel()
    api.loop.run_until_complete(asyncio.wait([serving]))


def test_questions_to_analytics_are_passed_on(api, node) -> None:
    reply = api.call("GET", "/api/v1/analytics/uves/virtual-network/a:b:*?flat&kfilt=x")

    assert (reply.status, reply.json) == (200, {"value": [1]})
    assert node == [
        ("GET", "/analytics/uves/virtual-network/a:b:*", {"flat": "", "kfilt": "x"}, "")
    ]


def test_queries_and_acknowledgements_are_passed_on_with_their_body(api, node) -> None:
    for path in ("query", "alarms/acknowledge"):
        assert api.call("POST", f"/api/v1/analytics/{path}", {"table": "t"}).status == 200

    assert [each[3] for each in node] == ['{"table": "t"}'] * 2


def test_rules_are_tried_and_kept_pages_read_at_the_nodes_own_places(api, node) -> None:
    assert api.call("POST", "/api/v1/analytics/alarms/dry-run", {"name": "a:b"}).status == 200
    assert api.call("GET", "/api/v1/analytics/alarms/vrouter/h1/collected").status == 200

    assert [each[1] for each in node] == [
        "/api/v1/alarms/dry-run", "/api/v1/alarms/vrouter/h1/collected",
    ]  # fmt: skip


def test_a_name_with_a_slash_is_one_name_to_the_node(api, node) -> None:
    assert api.call("GET", "/api/v1/analytics/alarms/prouter/xe-0%2F0%2F1/collected").status == 200

    assert [each[1] for each in node] == ["/api/v1/alarms/prouter/xe-0%2F0%2F1/collected"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "../introspect/uves"),
        ("GET", "uves/../../introspect"),
        ("GET", "uves/%2e%2e/x"),
        ("GET", "send-tracebuffer/a"),
        ("POST", "uves/virtual-network"),
    ],
)
def test_nothing_else_of_the_node_is_reached(api, node, method, path) -> None:
    assert api.call(method, f"/api/v1/analytics/{path}").status == 404
    assert node == []


@pytest.mark.parametrize(
    ("caller", "method", "path", "status"),
    [
        (READER, "GET", "alarms", 200),
        (READER, "POST", "query", 200),
        (READER, "POST", "alarms/acknowledge", 403),
        (READER, "POST", "alarms/dry-run", 200),
        (MEMBER, "POST", "alarms/dry-run", 403),
        (READER, "GET", "underlay-path?source=10.0.0.1&destination=10.0.0.2", 200),
        (MEMBER, "GET", "alarms", 403),
        (MEMBER, "GET", "underlay-path?source=10.0.0.1&destination=10.0.0.2", 403),
        (MEMBER, "POST", "query", 403),
    ],
)
def test_analytics_is_for_administrators_and_readers(
    api, node, caller, method, path, status
) -> None:
    Secured(api, SecuritySettings(authentication=["local"]))

    with api.as_caller(caller):
        assert api.call(method, f"/api/v1/analytics/{path}").status == status


def test_a_node_that_is_away_is_told(api, tmp_path) -> None:
    api.app = HttpApi(api.service, also=[AnalyticsPassage(api.service, [f"unix:{tmp_path}/none"])])

    reply = api.call("GET", "/api/v1/analytics/alarms")

    assert reply.status == 503
    assert "does not answer" in reply.json["detail"]


def test_headers_are_passed_on_as_they_came(api, node) -> None:
    reply = api.call("GET", "/api/v1/analytics/alarms", content_type="text/plain; x=é")

    assert (reply.status, reply.json) == (200, {"value": [1]})


def test_a_question_too_long_for_the_node_is_refused(api, node) -> None:
    reply = api.call("GET", "/api/v1/analytics/alarms?kfilt=" + "%FF" * 20_000)

    assert reply.status == 400
    assert "too long" in reply.json["detail"]
    assert node == []


@pytest.fixture
def streams(api, tmp_path):
    """A node whose streams tell one more line whenever ``next`` is set."""
    more = asyncio.Event()

    async def lines():
        yield b"first\n"
        while True:
            await more.wait()
            more.clear()
            yield b"more\n"

    async def answer(request: Request) -> Response | StreamResponse:
        return StreamResponse(lines()) if "stream" in request.path else json_reply({"value": []})

    listener = server.listen_unix(tmp_path / "streams.sock")
    serving = api.loop.create_task(server.serve(AsgiApp(answer), [listener]))
    secured = Secured(api, SecuritySettings(authentication=["local"], cloud_admin_role="admin"))
    place = f"unix:{tmp_path}/streams.sock"
    passage = AnalyticsPassage(api.service, [place], gate=secured.gate)
    secured.app = HttpApi(api.service, gate=secured.gate, also=[passage])
    secured.user("ann", roles=["admin"])
    secured.user("bob", roles=["admin"])
    yield secured, more
    serving.cancel()
    api.loop.run_until_complete(asyncio.wait([serving]))


ALARMS = "/api/v1/analytics/alarm-stream"


def test_a_stream_of_analytics_ends_with_the_account_it_was_opened_by(streams) -> None:
    secured, more = streams
    secured.now = time.time()
    stream = Stream(secured, ALARMS, x_auth_token=secured.login("ann"))
    assert stream.received == b"first\n"

    secured.as_root("DELETE", "/api/v1/users/ann")
    more.set()

    assert stream.has_ended()
    assert stream.received == b"first\n"


def test_open_streams_keep_nobody_from_asking(streams) -> None:
    secured, _ = streams
    secured.now = time.time()
    token = secured.login("bob")
    opened = [Stream(secured, ALARMS, x_auth_token=token) for _ in range(110)]

    secured.api.app = secured.app
    reply = secured.api.call("GET", "/api/v1/analytics/alarms", x_auth_token=token)

    assert {stream.status for stream in opened} == {200}
    assert reply.status == 200
    for stream in opened:
        stream.task.cancel()


# Pages of other servers.

OTHER = {"origin": "http://evil.example", "host": "api.example:8082"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"origin": "http://api.example:8082", "host": "API.example:8082"}, 201),
        ({"sec_fetch_site": "same-origin", "origin": "https://console.example"}, 201),
        (OTHER, 403),
        ({"origin": "null", "host": "api.example:8082"}, 403),
        ({**OTHER, "sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
    ],
)
def test_a_page_of_another_server_changes_nothing(api, headers, status) -> None:
    secured = Secured(api, SecuritySettings(authentication=["local"]))
    secured.app = HttpApi(api.service)
    before = api.service.revision
    made = {"fq_name": [*PROJECT, "n"], "parent_type": "project"}

    plain = secured.call("POST", "/virtual-networks", {"virtual-network": made}, **headers)
    native = secured.call(
        "POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, "m"]}, **headers
    )

    assert (plain.status, native.status) == (200 if status == 201 else status, status)
    assert (api.service.revision == before) == (status == 403)


def test_a_page_of_another_server_gets_no_use_of_a_remembered_password(api) -> None:
    secured = Secured(api, SecuritySettings(authentication=["local"], cloud_admin_role="admin"))
    secured.user("ann", roles=["admin"])
    asked = {"authorization": basic("ann", "correct horse"), **OTHER}

    refused = secured.call("POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, "m"]}, **asked)
    read = secured.call("GET", "/virtual-networks", **asked)
    token = secured.login("ann")
    own = secured.call(
        "POST", "/api/v1/virtual-network", {"fq_name": [*PROJECT, "m"]}, x_auth_token=token, **OTHER
    )

    assert (refused.status, read.status, own.status) == (403, 200, 201)


def test_questions_beyond_the_streams_of_a_client_hold_no_connection_to_the_node(api, node) -> None:
    app = api.app
    app._streams = StreamLimits(per_client=0)
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    with api.as_caller(Caller(user="root", is_admin=True)):
        statuses = {api.call("GET", "/api/v1/analytics/alarms").status for _ in range(20)}

    assert statuses == {429}
    assert len(node) == 20
    # One that is kept for the next question has two ends here.
    assert len(list(descriptors.iterdir())) <= before + 2
