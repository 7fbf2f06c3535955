"""Who asks: local users, tokens, the Unix socket, certificates; and what is said to strangers."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import jwt
import pytest

from skytrail.api import users
from skytrail.api.authorize import MODE_NOTE
from skytrail.api.io.auth_certificates import ClientCertificates
from skytrail.api.io.auth_local import MARK
from skytrail.api.io.auth_none import UnsafeSettings, check_listener
from skytrail.api.security_settings import CertificateRule, SecuritySettings
from skytrail.runtime.asgi import Peer

from .security_server import Secured, basic

LOCAL = SecuritySettings(authentication=["local"])


@pytest.fixture
def server(api) -> Secured:
    return Secured(api, LOCAL)


def test_a_request_without_credentials_is_challenged(server) -> None:
    for path in ("/virtual-networks", "/api/v1/watch", "/metrics", "/nowhere", "/fqname-to-id"):
        reply = server.call("GET", path)

        assert reply.status == 401
        assert reply.headers["www-authenticate"] == 'Basic realm="skytrail", charset="UTF-8"'


def test_home_health_and_description_are_there_for_everybody(server) -> None:
    for path in ("/", "/healthz", "/openapi.json"):
        assert server.call("GET", path).status == 200


def test_nothing_of_a_body_is_looked_at_before_the_sender_is_known(server) -> None:
    reply = server.call("POST", "/virtual-networks", {"x": "y" * 2_000_000})

    assert reply.status == 401


def test_login_gives_a_token_that_works_in_both_headers(server) -> None:
    server.user("ann", roles=["admin"])

    token = server.login("ann")

    for header in ({"x_auth_token": token}, {"authorization": f"Bearer {token}"}):
        me = server.call("GET", "/api/v1/whoami", **header).json
        assert (me["user"], me["is_admin"], me["roles"]) == ("ann", True, ["admin"])
        assert me["keeps_users"] is True


def test_basic_works_and_is_checked_every_time(server) -> None:
    server.user("ann", roles=["admin"])

    assert (
        server.call("GET", "/projects", authorization=basic("ann", "correct horse")).status == 200
    )
    assert server.call("GET", "/projects", authorization=basic("ann", "correct hors")).status == 401
    assert (
        server.call("GET", "/projects", authorization=basic("ann", "correct horse")).status == 200
    )


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Basic " + "YQ==", "Basic gICA", "Digest x", "Bearer"]
)
def test_garbled_authorization_is_a_clear_refusal(server, header: str) -> None:
    reply = server.call("GET", "/projects", authorization=header)

    assert reply.status in (400, 401)


def test_unknown_users_and_wrong_passwords_get_the_same_answer(server) -> None:
    server.user("ann")

    replies = [
        server.call("POST", "/api/v1/login", {"user": name, "password": "wrong wrong"})
        for name in ("ann", "nobody")
    ]

    assert [(r.status, "Unknown user or wrong password" in r.text) for r in replies] == [
        (401, True)
    ] * 2
    assert replies[0].text == replies[1].text


def test_a_token_ends_by_time_by_a_new_password_and_with_the_user(server) -> None:
    server.user("ann", roles=["admin"])
    token = server.login("ann")
    server.now += LOCAL.token_lifetime_s
    assert server.call("GET", "/projects", x_auth_token=token).status == 401

    token = server.login("ann")
    assert server.call("GET", "/projects", x_auth_token=token).status == 200
    server.user("ann", "another password")
    assert server.call("GET", "/projects", x_auth_token=token).status == 401

    server.user("boss", roles=["admin"])
    token = server.login("ann", "another password")
    assert server.as_root("DELETE", "/api/v1/users/ann").status == 200
    assert server.call("GET", "/projects", x_auth_token=token).status == 401


def test_roles_taken_away_count_at_once(server) -> None:
    server.user("ann", roles=["admin"])
    server.user("boss", roles=["admin"])
    token = server.login("ann")

    server.as_root("PUT", "/api/v1/users/ann", {"roles": ["member"]})

    assert server.call("GET", "/api/v1/users", x_auth_token=token).status == 403


def test_forged_tokens_are_refused(server) -> None:
    server.user("ann", roles=["admin"])
    good = server.login("ann").removeprefix(MARK)
    claims = jwt.decode(good, options={"verify_signature": False})
    head, payload, signature = good.split(".")
    forged = [
        MARK + jwt.encode(claims, "another key of thirty-two bytes!!", algorithm="HS256"),
        MARK + jwt.encode(claims, None, algorithm="none"),
        MARK + f"{head}.{payload}.",
        MARK + f"{head}.{payload}.{signature[::-1]}",
        MARK + jwt.encode({**claims, "iss": "x"}, b"k" * 32, algorithm="HS256"),
        MARK,
        MARK + "\xe9",
        "eyJhbGciOiJub25lIn0..",
    ]

    for token in forged:
        assert server.call("GET", "/projects", x_auth_token=token).status == 401, token


def test_a_token_outlives_the_server_but_not_its_store(server, api) -> None:
    server.user("ann", roles=["admin"])
    token = server.login("ann")

    again = Secured(api, LOCAL)

    assert again.call("GET", "/projects", x_auth_token=token).status == 200


def test_guessing_has_to_wait_but_only_the_guesser(server) -> None:
    server.user("ann", roles=["admin"])
    statuses = [
        server.call("GET", "/projects", authorization=basic("ann", f"guess {n}")).status
        for n in range(7)
    ]

    assert statuses[:5] == [401] * 5
    assert 429 in statuses
    blocked = server.call("GET", "/projects", authorization=basic("ann", "correct horse"))
    assert (blocked.status, int(blocked.headers["retry-after"]) >= 1) == (429, True)
    elsewhere = server.call(
        "GET", "/projects", authorization=basic("ann", "correct horse"), client=("192.0.2.1", 1)
    )
    assert elsewhere.status == 200
    server.now += 600
    assert (
        server.call("GET", "/projects", authorization=basic("ann", "correct horse")).status == 200
    )


def test_an_address_that_fails_all_the_time_has_to_wait(server) -> None:
    statuses = [
        server.call("GET", "/projects", authorization=basic(f"user{n}", "wrong wrong")).status
        for n in range(int(LOCAL.failures_burst) + 2)
    ]

    assert statuses[-1] == 429
    assert server.call("GET", "/projects", x_auth_token="x", client=("192.0.2.1", 1)).status == 401


def test_callers_have_a_rate_when_one_is_set(api) -> None:
    settings = SecuritySettings(authentication=["local"], requests_per_s=1.0, requests_burst=2.0)
    server = Secured(api, settings)
    server.user("ann", roles=["admin"])
    server.user("bob", roles=["admin"])
    ann, bob = server.login("ann"), server.login("bob")

    statuses = [server.call("GET", "/projects", x_auth_token=ann).status for _ in range(3)]

    assert statuses == [200, 200, 429]
    assert server.call("GET", "/projects", x_auth_token=bob).status == 200
    server.now += 1
    assert server.call("GET", "/projects", x_auth_token=ann).status == 200


def test_trusted_processes_at_the_unix_socket_are_components(server) -> None:
    for uid in (0, os.geteuid()):
        me = server.call("GET", "/api/v1/whoami", peer=Peer(uid=uid)).json
        assert (me["user"], me["is_system"]) == (f"uid-{uid}", True)
    assert server.call("GET", "/projects", peer=Peer(uid=54321)).status == 401


def test_only_components_may_send_derived_from(server) -> None:
    server.user("ann", roles=["admin"])
    server.user("compiler", roles=["skytrail-system"])
    body = {"operations": [], "derived_from": 1}

    ann = server.call("POST", "/api/v1/transaction", body, x_auth_token=server.login("ann"))
    component = server.call(
        "POST", "/api/v1/transaction", body, x_auth_token=server.login("compiler")
    )

    assert (ann.status, component.status) == (403, 200)


def test_users_change_their_own_password_by_the_old_one(server) -> None:
    server.user("ann")
    token = server.login("ann")
    path, new = "/api/v1/users/ann/password", "another password"

    assert server.call("POST", path, {"password": new}, x_auth_token=token).status == 403
    other = server.call("POST", "/api/v1/users/bob/password", {"password": new}, x_auth_token=token)
    assert other.status == 403
    body = {"password": new, "old_password": "correct horse"}
    assert server.call("POST", path, body, x_auth_token=token).status == 200
    assert server.login("ann", new)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("ann", {}, "password: a new user needs one"),
        ("ann", {"password": "secret7"}, "password: shorter than 8"),
        ("ann", {"password": "x" * 2000}, "password: longer than"),
        ("a%20b", {"password": "long enough"}, "name: "),
        ("ann", {"password": "long enough", "roles": ["a b"]}, "roles: "),
        ("ann", {"password": "long enough", "project": "no:where"}, "project: "),
        ("ann", {"password": "long enough", "rolls": []}, "rolls"),
    ],
)
def test_refusals_of_users_name_the_field_and_keep_the_secret(server, name, body, said) -> None:
    reply = server.as_root("PUT", f"/api/v1/users/{name}", body)

    assert (reply.status, said in reply.text) == (400, True), reply.text
    assert str(body.get("password", "?")) not in reply.text
    assert users.get(server.api.service.graph, "ann") is None


def test_adding_a_user_who_is_there_changes_nothing(server) -> None:
    body = {"name": "ann", "password": "correct horse", "roles": ["member"]}
    assert server.as_root("POST", "/api/v1/users", body).status == 200

    again = server.as_root("POST", "/api/v1/users", {**body, "password": "x" * 9, "roles": []})

    assert (again.status, "exists already" in again.text) == (409, True)
    assert users.get(server.api.service.graph, "ann").roles == ("member",)
    server.login("ann")


def test_the_last_administrator_stays_one(server) -> None:
    server.user("ann", roles=["Admin"])
    server.user("bob", roles=["admin"])
    assert server.as_root("DELETE", "/api/v1/users/bob").status == 200

    refused = [
        server.as_root("DELETE", "/api/v1/users/ann"),
        server.as_root("PUT", "/api/v1/users/ann", {"roles": ["member"]}),
    ]

    assert [reply.status for reply in refused] == [409, 409]
    assert all("last one with the role admin" in reply.text for reply in refused)
    assert users.get(server.api.service.graph, "ann").roles == ("Admin",)
    assert server.as_root("PUT", "/api/v1/users/ann", {"roles": ["admin", "x"]}).status == 200


def test_hashes_and_keys_are_nowhere_to_be_read(server) -> None:
    server.user("ann", roles=["admin"])
    token = server.login("ann")
    replies = [
        server.call("GET", "/api/v1/users", x_auth_token=token).text,
        server.call("POST", "/useragent-kv", {"operation": "RETRIEVE", "key": None},
                    x_auth_token=token).text,
        server.call("GET", "/introspect/service", x_auth_token=token).text,
    ]  # fmt: skip

    assert all("argon2" not in text and "token-key" not in text for text in replies)
    key = {"operation": "RETRIEVE", "key": users.TOKEN_KEY}
    assert server.call("POST", "/useragent-kv", key, x_auth_token=token).status == 403


def test_a_member_works_in_its_project_only(server) -> None:
    own = server.api.create("project", fq_name=["default-domain", "red"])
    server.api.create("project", fq_name=["default-domain", "blue"])
    server.user("ann", roles=["member"], project="default-domain:red")
    rules = [{"rule_object": "*", "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}]}]
    server.as_root("POST", "/api-access-lists", {"api-access-list": {
        "fq_name": ["default-global-system-config", "members"],
        "parent_type": "global-system-config",
        "api_access_list_entries": {"rbac_rule": rules}}})  # fmt: skip
    token = server.login("ann")

    made = server.call("POST", "/virtual-networks", {"virtual-network": {
        "fq_name": ["default-domain", "red", "net"]}}, x_auth_token=token)  # fmt: skip
    assert made.status == 200, made.text
    listed = server.call("GET", "/projects", x_auth_token=token).json["projects"]
    assert [item["uuid"] for item in listed] == [own]
    foreign = server.call("POST", "/virtual-networks", {"virtual-network": {
        "fq_name": ["default-domain", "blue", "net"]}}, x_auth_token=token)  # fmt: skip
    assert foreign.status == 400


def test_aaa_mode_is_kept_and_shared_through_the_store(server, api) -> None:
    server.user("ann", roles=["admin"])
    token = server.login("ann")
    assert server.call("GET", "/aaa-mode", x_auth_token=token).json == {"aaa-mode": "rbac"}

    reply = server.call("PUT", "/aaa-mode", {"aaa-mode": "cloud-admin"}, x_auth_token=token)

    assert reply.json == {"aaa-mode": "cloud-admin"}
    assert Secured(api, LOCAL).call("GET", "/aaa-mode", x_auth_token=token).json == reply.json
    assert server.call("PUT", "/aaa-mode", {"aaa-mode": "x"}, x_auth_token=token).status == 400


def test_members_do_not_change_the_mode(server) -> None:
    server.user("ann", roles=["member"])

    reply = server.call(
        "PUT", "/aaa-mode", {"aaa-mode": "no-auth"}, x_auth_token=server.login("ann")
    )

    assert reply.status == 403
    assert server.api.service.graph.memory[MODE_NOTE] == "rbac"


def test_no_auth_opens_a_local_server_and_can_be_closed_again(server) -> None:
    server.as_root("PUT", "/aaa-mode", {"aaa-mode": "no-auth"})

    assert server.call("GET", "/projects").status == 200
    assert server.call("PUT", "/aaa-mode", {"aaa-mode": "rbac"}).status == 200
    assert server.call("GET", "/projects").status == 401


def test_no_auth_is_refused_where_others_can_connect(api) -> None:
    server = Secured(api, LOCAL, is_public=True)

    reply = server.as_root("PUT", "/aaa-mode", {"aaa-mode": "no-auth"})

    assert (reply.status, "no-auth is refused" in reply.text) == (403, True)


def test_without_authentication_there_is_no_other_mode(api) -> None:
    assert api.call("GET", "/aaa-mode").json == {"aaa-mode": "no-auth"}
    assert api.call("PUT", "/aaa-mode", {"aaa-mode": "no-auth"}).status == 200
    reply = api.call("PUT", "/aaa-mode", {"aaa-mode": "rbac"})
    assert (reply.status, "--security" in reply.text) == (400, True)


def test_object_permissions_tell_what_the_given_token_may_do(server) -> None:
    server.api.create("project", fq_name=["default-domain", "red"])
    network = server.api.create("virtual-network", fq_name=["default-domain", "red", "n"])
    server.user("ann", roles=["member"], project="default-domain:red")
    server.user("bob", roles=["member"], project="default-domain:default-project")
    server.user("boss", roles=["admin"])
    tokens = {name: server.login(name) for name in ("ann", "bob", "boss")}

    def permissions(name: str) -> dict:
        return server.call(
            "GET", f"/obj-perms?uuid={network}", x_auth_token=tokens["boss"],
            x_user_token=tokens[name],
        ).json  # fmt: skip

    assert permissions("ann")["permissions"] == "RWX"
    assert permissions("ann")["token_info"]["token"]["user"] == {"name": "ann"}
    assert permissions("bob")["permissions"] == ""
    assert permissions("boss")["is_cloud_admin_role"] is True
    asked = server.call("GET", f"/obj-perms?uuid={network}", x_auth_token=tokens["bob"])
    assert asked.status == 404


def test_why_access_was_denied_is_told_step_by_step(server) -> None:
    server.api.create("project", fq_name=["default-domain", "red"])
    network = server.api.create("virtual-network", fq_name=["default-domain", "red", "n"])
    server.user("ann", roles=["member"], project="default-domain:red")
    token = server.login("ann")

    mine = server.call(
        "GET", f"/api/v1/explain-access?type=virtual-network&operation=update&uuid={network}",
        x_auth_token=token,
    ).json  # fmt: skip

    assert (mine["allowed"], mine["status"]) == (False, 403)
    assert [(s["check"], s["outcome"]) for s in mine["steps"]] == [
        ("mode", "pass"),
        ("rule", "deny"),
    ]
    assert "no rule for virtual-network or *" in mine["text"]
    for_ann = server.as_root(
        "GET",
        f"/api/v1/explain-access?type=virtual-network&operation=read&uuid={network}&user=ann"
        "&roles=admin",
    ).json
    assert for_ann["allowed"] is True
    spying = server.call(
        "GET", "/api/v1/explain-access?type=tag&user=boss&roles=admin", x_auth_token=token
    )
    assert spying.status == 403
    lookup = server.call("GET", "/api/v1/explain-access?type=fqname-to-id&operation=C",
                         x_auth_token=token).json  # fmt: skip
    assert (lookup["allowed"], lookup["steps"][-1]["text"]) == (True, "rule fqname-to-id *:CRUD")


def test_explaining_a_create_tells_that_only_administrators_make_what_has_no_parent(server) -> None:
    system = ["default-global-system-config"]
    server.api.create(
        "api-access-list", fq_name=[*system, "open"], parent_type="global-system-config",
        api_access_list_entries={
            "rbac_rule": [
                {"rule_object": "*", "rule_perms": [{"role_name": "*", "role_crud": "CRUD"}]}
            ]
        },
    )  # fmt: skip
    server.user("ann", roles=["member"], project="default-domain:default-project")
    token = server.login("ann")

    def explained(type_name, more=""):
        target = f"/api/v1/explain-access?type={type_name}&operation=create{more}"
        return server.call("GET", target, x_auth_token=token).json

    steps = {name: explained(name)["steps"][-1] for name in ("domain", "routing-instance")}
    assert (steps["domain"]["check"], steps["domain"]["outcome"]) == ("place", "deny")
    assert "without parent needs the cloud administrator's role" in steps["domain"]["text"]
    assert steps["routing-instance"]["check"] == "origin"

    somewhere = explained("tag")
    assert somewhere["allowed"] is True
    (place,) = [each["text"] for each in somewhere["steps"] if each["check"] == "place"]
    assert place == (
        "below a parent; Permission Denied: to create a tag without parent needs the cloud "
        "administrator's role; create it below a project"
    )
    assert explained("virtual-machine")["allowed"] is True
    assert "place" not in [each["check"] for each in explained("virtual-machine")["steps"]]


def test_changes_of_users_and_of_the_mode_are_in_the_log_without_passwords(server) -> None:
    server.user("ann", roles=["member"])
    server.as_root("PUT", "/api/v1/users/ann", {"roles": ["member", "auditor"]})
    server.as_root("POST", "/api/v1/users/ann/password", {"password": "another secret"})
    server.as_root("PUT", "/aaa-mode", {"aaa-mode": "cloud-admin"})
    server.as_root("DELETE", "/api/v1/users/ann")

    reply = server.as_root("GET", "/api/v1/history?limit=5")

    told = [each["operations"][0] for each in reply.json["entries"]]
    assert [(each["op"], each["type"], each["fq_name"]) for each in told] == [
        ("delete", "user", ["ann"]),
        ("update", "aaa-mode", []),
        ("update", "user", ["ann"]),
        ("update", "user", ["ann"]),
        ("create", "user", ["ann"]),
    ]
    assert told[1]["fields"] == [{"path": "/mode", "from": "rbac", "to": "cloud-admin"}]
    assert [each["path"] for each in told[2]["fields"]] == ["/password"]
    assert told[3]["fields"][0]["path"].startswith("/roles")
    for secret in ("another secret", "argon2", "password_hash"):
        assert secret not in reply.text
    assert server.as_root("GET", "/api/v1/history?type=user").json["entries"][0]["by"]
    assert server.as_root("GET", "/api/v1/history/verify").json["valid"] is True
    for entry in reply.json["entries"]:
        refused = server.as_root("POST", f"/api/v1/history/{entry['change']}/revert")
        assert refused.status == 409
        assert "set them anew" in refused.text


def test_explaining_does_not_tell_of_objects_of_others(server) -> None:
    hidden = server.api.create("project", fq_name=["default-domain", "red"])
    server.user("bob", roles=["member"], project="default-domain:default-project")
    token = server.login("bob")
    replies = [
        server.call("GET", f"/api/v1/explain-access?type=project&{what}", x_auth_token=token)
        for what in (f"uuid={hidden}", "fq_name=default-domain:red", "fq_name=default-domain:none")
    ]

    assert [reply.status for reply in replies] == [404] * 3


def certificate(name: str, *alternatives: tuple[str, str]) -> Peer:
    return Peer(
        certificate={
            "subject": ((("commonName", name),),),
            "subjectAltName": tuple(alternatives),
        }
    )


def test_client_certificates_are_mapped_by_subject_and_alternative_name(api) -> None:
    settings = SecuritySettings(
        authentication=["certificates"],
        certificates=[
            CertificateRule(subject="compiler", user="compiler", roles=["skytrail-system"]),
            CertificateRule(alternative_name="DNS:boss.example", user="boss", roles=["admin"]),
        ],
    )
    server = Secured(api, settings, lambda _service, given, **_: ClientCertificates(given))

    def me(peer: Peer):
        return server.call("GET", "/api/v1/whoami", peer=peer)

    assert me(certificate("compiler")).json["is_system"] is True
    assert me(certificate("x", ("DNS", "boss.example"))).json["user"] == "boss"
    assert me(certificate("x", ("DNS", "x.example"))).status == 401
    assert me(certificate("x", ("email", "boss.example"))).status == 401
    twice = Peer(certificate={"subject": ((("commonName", "compiler"), ("commonName", "x")),)})
    assert me(twice).status == 401
    assert server.call("GET", "/projects").status == 401


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.8.8"])
def test_loopback_needs_nothing(host: str) -> None:
    check_listener(host, authenticated=False, encrypted=False, plain_http=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "myhost"])
def test_other_addresses_need_authentication_and_tls(host: str) -> None:
    with pytest.raises(UnsafeSettings, match="without authentication"):
        check_listener(host, authenticated=False, encrypted=True, plain_http=True)
    with pytest.raises(UnsafeSettings, match="without TLS"):
        check_listener(host, authenticated=True, encrypted=False, plain_http=False)
    check_listener(host, authenticated=True, encrypted=True, plain_http=False)
    check_listener(host, authenticated=True, encrypted=False, plain_http=True)


def test_request_ids_are_accepted_when_they_are_plain_and_made_otherwise(server) -> None:
    given = server.call("GET", "/projects", x_request_id="req-1.a:b")
    assert (given.status, given.headers["x-request-id"]) == (401, "req-1.a:b")
    for bad in ("", "a b", "x" * 129, "a\tb", '<script>"'):
        made = server.call("GET", "/", x_request_id=bad).headers["x-request-id"]
        assert made != bad
        assert made.startswith("req-")


def test_whoami_says_since_when_there_is_a_project_by_its_name(server) -> None:
    """One that is made again is another: what is kept by the name of the former is not its own."""
    told = []
    for _ in range(2):
        server.user("ann", roles=["admin"])
        as_ann = {"x_auth_token": server.login("ann")}
        made = {"project": {"fq_name": ["default-domain", "red"], "parent_type": "domain"}}
        uuid = server.call("POST", "/projects", made, **as_ann).json["project"]["uuid"]
        created = server.call("GET", f"/project/{uuid}", **as_ann).json["project"]["id_perms"][
            "created"
        ]
        server.user("mia", roles=["member"], project=uuid)
        me = server.call("GET", "/api/v1/whoami", x_auth_token=server.login("mia")).json
        at = datetime.fromisoformat(created).replace(tzinfo=UTC).timestamp()
        assert me["analytics_since_us"] == round(at * 1e6)
        told.append(at)
        assert server.call("DELETE", f"/project/{uuid}", **as_ann).status == 200
    assert told[0] < told[1]
