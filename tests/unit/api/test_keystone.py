"""Tokens of Keystone: validated once, cached for a while, mapped to projects and roles."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from skytrail.api.io.auth_keystone import Keystone
from skytrail.api.plugin import Credentials
from skytrail.api.security_settings import KeystoneSettings, SecuritySettings
from skytrail.testing.keystone import FakeKeystone

from .security_server import Secured

SETTINGS = SecuritySettings(
    authentication=["keystone"],
    cloud_admin_role="admin",
    read_only_role="auditor",
    keystone=KeystoneSettings(url="http://keystone:5000/v3", user="svc", password_file="-"),
)


class World:
    def __init__(self, api, password: str = "service pw") -> None:
        self.keystone = FakeKeystone()
        self.keystone.add("svc", "service pw", "service", "service")
        self.ann = self.keystone.add("ann", "pw", "red", "member")
        self.boss = self.keystone.add("boss", "pw", "admin", "Admin")

        def make(service, settings, clock) -> Keystone:
            http = httpx.AsyncClient(transport=httpx.ASGITransport(self.keystone.app))
            assert settings.keystone is not None
            return Keystone(service, settings, settings.keystone, password, http=http, clock=clock)

        self.server = Secured(api, SETTINGS, make)
        self.server.now = time.time()

    def me(self, token: str):
        return self.server.call("GET", "/api/v1/whoami", x_auth_token=token)


@pytest.fixture
def world(api) -> World:
    return World(api)


def test_a_missing_token_is_challenged_with_keystones_address(world) -> None:
    reply = world.server.call("GET", "/virtual-networks")

    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Keystone uri="http://keystone:5000"'


def test_a_token_becomes_user_roles_and_a_project_made_on_first_sight(world) -> None:
    found = world.me(world.keystone.issue(world.ann)).json

    plain = world.keystone.project_id("red")
    assert (found["user"], found["roles"], found["is_admin"]) == ("ann", ["member"], False)
    assert found["project"].replace("-", "") == plain
    graph = world.server.api.service.graph
    project = graph.get(found["project"])
    assert project.fq_name == ("default-domain", "red")
    assert found["domain"] == graph.uuid_of("domain", ("default-domain",))


def test_the_administrators_role_is_found_in_any_case(world) -> None:
    assert world.me(world.keystone.issue(world.boss)).json["is_admin"] is True


def test_the_reading_role_is_mapped(world) -> None:
    auditor = world.keystone.add("eve", "pw", "red", "auditor")

    assert world.me(world.keystone.issue(auditor)).json["is_reader"] is True


def test_other_domains_are_made_with_their_name(world) -> None:
    domain = "0123456789abcdef0123456789abcdef"
    zoe = world.keystone.add("zoe", "pw", "p", "member", domain_id=domain, domain_name="Zoo")

    found = world.me(world.keystone.issue(zoe)).json

    graph = world.server.api.service.graph
    assert found["domain"].replace("-", "") == domain
    assert graph.get(found["domain"]).fq_name == ("Zoo",)
    assert graph.get(found["project"]).fq_name == ("Zoo", "p")


def test_a_taken_project_name_gets_the_uuid_added(world) -> None:
    world.server.api.create("project", fq_name=["default-domain", "red"])

    found = world.me(world.keystone.issue(world.ann)).json

    record = world.server.api.service.graph.get(found["project"])
    assert record.name == f"red-{found['project']}"


def test_validation_is_asked_once_while_the_answer_is_fresh(world) -> None:
    token = world.keystone.issue(world.ann)

    for _ in range(5):
        assert world.me(token).status == 200

    assert world.keystone.validations_count == 1


def test_many_at_once_share_one_validation(world) -> None:
    token = Credentials(token=world.keystone.issue(world.ann))

    async def all_at_once() -> list:
        return await asyncio.gather(*(world.server.gate.identify(token) for _ in range(20)))

    found = world.server.run(all_at_once())

    assert {caller.user for caller in found} == {"ann"}
    assert world.keystone.validations_count == 1


def test_revocation_is_seen_when_the_answer_is_stale(world) -> None:
    token = world.keystone.issue(world.ann)
    assert world.me(token).status == 200
    world.keystone.revoke_all()
    assert world.me(token).status == 200

    world.server.now += SETTINGS.keystone.cache_s

    assert world.me(token).status == 401


def test_an_unknown_token_is_not_asked_about_again_at_once(world) -> None:
    assert [world.me("nonsense").status for _ in range(3)] == [401] * 3

    assert world.keystone.validations_count == 1


def test_tokens_with_odd_characters_never_reach_keystone(world) -> None:
    assert world.me("a\x7fb").status == 401
    assert world.me("t\xe9").status == 401
    assert world.keystone.validations_count == 0


def test_the_services_own_token_is_renewed_when_it_ends(world) -> None:
    assert world.me(world.keystone.issue(world.ann)).status == 200
    world.keystone.revoke_all()

    assert world.me(world.keystone.issue(world.boss)).status == 200


def test_keystone_being_away_is_not_the_users_fault(world) -> None:
    token = world.keystone.issue(world.ann)
    world.keystone.is_down = True
    away = world.me(token)
    world.keystone.is_down = False

    assert (away.status, away.text) == (503, "The identity service does not answer")
    assert world.me(token).status == 200


def test_a_service_user_without_rights_is_a_server_problem(api) -> None:
    world = World(api, password="wrong")

    assert world.me(world.keystone.issue(world.ann)).status == 503


def test_an_expired_token_is_refused(world) -> None:
    assert world.me(world.keystone.issue(world.boss)).status == 200
    world.keystone.lifetime_s = -1.0

    assert world.me(world.keystone.issue(world.ann)).status == 401


def test_bearer_tokens_are_not_keystones(world) -> None:
    token = world.keystone.issue(world.ann)

    reply = world.server.call("GET", "/projects", authorization=f"Bearer {token}")

    assert reply.status == 401
    assert world.keystone.validations_count == 0
