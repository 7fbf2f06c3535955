"""Reads that are answered without a task: the same bytes as the long way, and never past the gate."""

import asyncio

import msgspec
import pytest

from skytrail.api.io.http import HttpApi
from skytrail.api.security_settings import SecuritySettings
from skytrail.runtime.asgi import Peer, Promised, build_request

from .security_server import Secured, basic

UUID = "00000000-0000-0000-0000-000000000001"


def request(target: str, method: str = "GET", peer: Peer | None = None, **headers: str):
    path, _, query = target.partition("?")
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return build_request(
        method,
        path,
        query.encode(),
        {"host": "api.test", **given},
        client="198.51.100.7",
        scheme="http",
        made_id="r",
        peer=peer or Peer(),
    )


@pytest.mark.parametrize(
    "target",
    [
        "/virtual-network/{uuid}",
        "/virtual-network/{uuid}?exclude_back_refs=True&exclude_children=True",
        "/virtual-network/{uuid}?fields=display_name",
        "/Virtual-Network/{uuid}",
        "/virtual-networks?detail=True",
        "/virtual-networks?count=True",
        "/virtual-networks?filters=display_name==%22x%22",
        "/virtual-networks?page_limit=nonsense",
        f"/virtual-network/{UUID}",
        "/virtual-network/no-uuid",
        "/network-ipam/{uuid}",
    ],
)
def test_reply_at_once_is_the_reply_of_the_long_way(api, target):
    uuid = api.network("red", api.subnet("10.0.0.0/24"))
    app = HttpApi(api.service)
    target = target.format(uuid=uuid)

    at_once = app.answer_now(request(target))
    long_way = api.loop.run_until_complete(app.reply_to(request(target), None))

    assert at_once is not None
    assert at_once == long_way


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", f"/virtual-network/{UUID}"),
        ("PUT", f"/virtual-network/{UUID}"),
        ("DELETE", f"/virtual-network/{UUID}"),
        ("GET", "/virtual-network"),
        ("GET", "/virtual-networks/more"),
        ("GET", "/fqname-to-id"),
        ("GET", "/api/v1/virtual-network"),
        ("GET", "/"),
    ],
)
def test_everything_else_goes_the_long_way(api, method, target):
    assert HttpApi(api.service).answer_now(request(target, method)) is None


def created(api, app, body: dict, *, promised: bool):
    asked = request("/virtual-networks", "POST", content_type="application/json")
    asked.body = msgspec.json.encode({"virtual-network": body})

    async def both_ways():
        if not promised:
            return await app.reply_to(asked, None)
        reply = app.answer_now(asked)
        if isinstance(reply, Promised):
            await asyncio.wait([reply.future])
            reply = app.redeem(asked, reply)
        return reply

    return api.loop.run_until_complete(both_ways())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"no_such_field": 1},
        {"parent_type": "tag"},
        {"virtual_network_properties": {"vxlan_network_identifier": "x"}},
    ],
)
def test_create_without_a_task_is_answered_and_refused_as_with_one(api, changes):
    app = HttpApi(api.service)
    name = ["default-domain", "default-project", "red"]
    body = {"fq_name": name, "parent_type": "project", "uuid": UUID, **changes}

    first = created(api, app, body, promised=True)
    again = created(api, app, body, promised=True)
    removal = request(f"/virtual-network/{UUID}", "DELETE")
    api.loop.run_until_complete(app.reply_to(removal, None))

    assert first == created(api, app, body, promised=False)
    assert again == created(api, app, body, promised=False)


def test_body_that_is_no_object_is_refused_without_a_plan(api):
    asked = request("/virtual-networks", "POST", content_type="application/json")
    asked.body = b"[1]"

    assert HttpApi(api.service).answer_now(asked).status == 400


def test_nothing_is_promised_once_the_writer_has_ended(api):
    app = HttpApi(api.service)
    api.writer.cancel()
    api.loop.run_until_complete(asyncio.wait([api.writer]))

    assert created(api, app, {}, promised=True) is None


def test_nothing_is_answered_at_once_to_whom_the_gate_has_to_ask(api):
    server = Secured(api, SecuritySettings(authentication=("local",)))
    server.user("mia", roles=["cloud-admin"])
    answer = server.app.answer_now

    assert answer(request("/virtual-networks")) is None
    assert answer(request("/virtual-networks", peer=Peer(uid=54321))) is None
    assert answer(request("/virtual-networks", authorization=basic("mia", "wrong"))) is None
    assert answer(request("/virtual-networks", peer=Peer(uid=0))).status == 200


def test_public_server_asks_even_in_mode_no_auth(api):
    server = Secured(api, SecuritySettings(), is_public=True)

    assert server.app.answer_now(request("/virtual-networks")) is None


def test_application_with_another_admission_answers_nothing_at_once(api):
    async def admit(_request):
        await asyncio.sleep(0)

    assert HttpApi(api.service, admit=admit).answer_now(request("/virtual-networks")) is None
