"""Tokens of Keystone: validated once, cached for a while, mapped to projects and roles."""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

import httpx
import pytest

from skytrail.api.io.auth_keystone import Keystone
from skytrail.api.io.keystone_client import KeystoneClient
from skytrail.api.io.keystone_mirror import ABSENT_S, KeystoneMirror
from skytrail.api.plugin import Credentials, IdentityUnavailable
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
            client = KeystoneClient(settings.keystone, password, http=http)
            self.mirror = KeystoneMirror(service, client, clock=clock)
            return Keystone(service, settings, client, self.mirror, clock=clock)

        self.server = Secured(api, SETTINGS, make, directory=lambda: self.mirror)
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


# Projects and domains that only Keystone knows.

ZOO = "0123456789abcdef0123456789abcdef"


def named(world, kind: str, *fq_name: str):
    token = world.keystone.issue(world.boss)
    body = {"type": kind, "fq_name": list(fq_name)}
    return world.server.call("POST", "/fqname-to-id", body, x_auth_token=token)


def get(world, path: str):
    return world.server.call("GET", path, x_auth_token=world.keystone.issue(world.boss))


def plain(uuid: str) -> str:
    return uuid.replace("-", "")


def test_a_name_that_is_looked_up_is_found_in_keystone(world) -> None:
    blue = world.keystone.add_project("blue")

    reply = named(world, "project", "default-domain", "blue")

    assert reply.status == 200, reply.text
    assert plain(reply.json["uuid"]) == blue
    read = get(world, f"/project/{reply.json['uuid']}").json["project"]
    assert (read["fq_name"], read["id_perms"]["creator"]) == (
        ["default-domain", "blue"],
        "keystone",
    )


def test_a_project_of_another_domain_brings_its_domain(world) -> None:
    tiger = world.keystone.add_project("tiger", ZOO, "Zoo")

    assert plain(named(world, "project", "Zoo", "tiger").json["uuid"]) == tiger
    assert plain(named(world, "domain", "Zoo").json["uuid"]) == ZOO


def test_a_uuid_that_is_read_is_found_in_keystone(world) -> None:
    blue = world.keystone.add_project("blue")
    tiger = world.keystone.add_project("tiger", ZOO, "Zoo")

    for path in ("/project/{}", "/api/v1/project/{}"):
        for hexadecimal, name in ((blue, "blue"), (tiger, "tiger")):
            uuid = str(UUID(hex=hexadecimal))
            reply = get(world, path.format(uuid))
            assert reply.status == 200, reply.text
            assert reply.json.get("project", reply.json)["fq_name"][-1] == name
    assert get(world, f"/domain/{UUID(hex=ZOO)}").status == 200
    found = get(world, "/api/v1/project/by-name/default-domain:blue")
    assert found.status == 200


def test_what_keystone_does_not_have_is_not_found_and_not_asked_for_again_at_once(world) -> None:
    token = world.keystone.issue(world.boss)
    nobody = "22222222-2222-4222-8222-222222222222"
    paths = [f"/project/{nobody}", f"/domain/{nobody}"]

    def ask() -> list[int]:
        body = {"type": "project", "fq_name": ["default-domain", "nobody"]}
        return [
            *(world.server.call("GET", path, x_auth_token=token).status for path in paths),
            world.server.call("POST", "/fqname-to-id", body, x_auth_token=token).status,
        ]

    assert ask() == [404] * 3
    asked = world.keystone.lookups_count
    assert ask() == [404] * 3
    assert world.keystone.lookups_count == asked
    world.server.now += ABSENT_S
    world.keystone.add_project("nobody")

    assert named(world, "project", "default-domain", "nobody").status == 200


@pytest.mark.parametrize("name", ["x" * 10_000, "a/../b", "a?domain_id=default", "", "\u2603"])
def test_hostile_names_are_only_names(world, name: str) -> None:
    world.keystone.add_project("blue")

    assert named(world, "project", "default-domain", name).status == 404
    assert named(world, "domain", name).status == 404
    assert named(world, "project", name, "blue").status == 404


def test_a_lookup_is_503_while_keystone_is_away_and_other_requests_go_on(world) -> None:
    token = world.keystone.issue(world.boss)
    assert world.server.call("GET", "/projects", x_auth_token=token).status == 200
    world.keystone.is_down = True

    def call(method: str, path: str, body: object = None) -> int:
        return world.server.call(method, path, body, x_auth_token=token).status

    unknown = {"type": "project", "fq_name": ["default-domain", "blue"]}
    known = {"type": "project", "fq_name": ["default-domain", "default-project"]}
    assert call("POST", "/fqname-to-id", unknown) == 503
    assert call("POST", "/fqname-to-id", known) == 200
    assert call("GET", "/virtual-networks") == 200


def sweep(world) -> None:
    world.server.run(world.mirror.sweep())


def test_a_project_that_is_gone_in_keystone_is_removed(world) -> None:
    world.keystone.add_project("blue")
    tiger = world.keystone.add_project("tiger", ZOO, "Zoo")
    named(world, "project", "default-domain", "blue")
    named(world, "project", "Zoo", "tiger")
    sweep(world)
    assert named(world, "project", "default-domain", "blue").status == 200

    world.keystone.remove_project("blue")
    world.keystone.remove_project("tiger", ZOO)
    del world.keystone.domain_names[ZOO]
    sweep(world)

    graph = world.server.api.service.graph
    assert graph.uuid_of("project", ("default-domain", "blue")) is None
    assert graph.get(str(UUID(hex=tiger))) is None
    assert graph.get(str(UUID(hex=ZOO))) is None


def test_a_project_with_something_in_it_is_kept_and_told_of(world) -> None:
    world.keystone.add_project("blue")
    uuid = named(world, "project", "default-domain", "blue").json["uuid"]
    network = {"fq_name": ["default-domain", "blue", "n"], "parent_type": "project"}
    world.server.api.create("virtual-network", **network)
    world.keystone.remove_project("blue")

    sweep(world)
    sweep(world)

    assert world.server.api.service.graph.get(uuid) is not None


def test_projects_that_did_not_come_from_keystone_are_never_removed(world) -> None:
    own = world.server.api.create("project", fq_name=["default-domain", "own"])
    world.keystone.add_project("blue")
    named(world, "project", "default-domain", "blue")

    sweep(world)

    graph = world.server.api.service.graph
    assert graph.get(own) is not None
    assert graph.uuid_of("project", ("default-domain", "default-project")) is not None


def test_a_short_list_alone_removes_nothing(world) -> None:
    world.keystone.add_project("blue")
    uuid = named(world, "project", "default-domain", "blue").json["uuid"]
    world.keystone.lists_count_max = 0

    sweep(world)

    assert world.server.api.service.graph.get(uuid) is not None


def test_nothing_is_removed_while_keystone_is_away(world) -> None:
    world.keystone.add_project("blue")
    uuid = named(world, "project", "default-domain", "blue").json["uuid"]
    world.keystone.is_down = True

    with pytest.raises(IdentityUnavailable):
        sweep(world)

    assert world.server.api.service.graph.get(uuid) is not None
