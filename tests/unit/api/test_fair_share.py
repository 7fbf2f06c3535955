"""A member of a project with too many requests waits for himself, and is refused; nobody else is."""

from __future__ import annotations

import pytest

from skytrail.api.security_settings import SecuritySettings
from skytrail.runtime.asgi import Peer
from skytrail.runtime.fair_share import AT_ONCE, FairShare

from .security_server import Secured

SYSTEM = "default-global-system-config"
RULE = {"rule_object": "*", "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}]}


@pytest.fixture
def server(api) -> Secured:
    server = Secured(api, SecuritySettings(authentication=["local"]))
    api.create("api-access-list", fq_name=[SYSTEM, "open"], parent_type="global-system-config",
               api_access_list_entries={"rbac_rule": [RULE]})  # fmt: skip
    for name in ("red", "blue"):
        api.create("project", fq_name=["default-domain", name])
        server.user(name, roles=["member"], project=f"default-domain:{name}")
    server.user("ann", roles=["admin"])
    return server


def taken(server: Secured, user: str, method: str, target: str, body: object = None):
    """Return whose share, and how much of it, a request takes."""
    seen = []
    share_of = server.app.share_of
    server.app.share_of = lambda request: seen.append(share_of(request)) or seen[-1]
    try:
        server.call(method, target, body, x_auth_token=server.login(user))
    finally:
        server.app.share_of = share_of
    return seen[-1]


def test_who_has_filled_his_share_is_refused_and_others_are_answered(server) -> None:
    who, _ = taken(server, "red", "GET", "/projects")
    shares = server.app.shares = FairShare(waiting_count_max=0)
    tokens = {name: server.login(name) for name in ("red", "blue", "ann")}

    def status(name):
        return server.call("GET", "/virtual-networks", x_auth_token=tokens[name])

    held = shares.turn(who, AT_ONCE)
    server.run(held.__aenter__())
    refused = status("red")
    others = [status("blue").status, status("ann").status]
    at_home = server.call("GET", "/virtual-networks", peer=Peer(uid=0)).status
    server.run(held.__aexit__(None, None, None))

    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert "requests of yours wait" in refused.text
    assert (others, at_home) == ([200, 200], 200)
    assert status("red").status == 200


def test_what_holds_up_the_server_longer_takes_more_of_a_share(server) -> None:
    one = taken(server, "red", "GET", f"/project/{'0' * 8}-0000-4000-8000-{'0' * 12}")
    all_of_them = taken(server, "red", "GET", "/virtual-networks?detail=true")
    note = {"operation": "STORE", "key": "k", "value": "x" * 12_000}
    long = taken(server, "red", "POST", "/useragent-kv", note)
    of_another, of_nobody = taken(server, "blue", "GET", "/projects"), taken(server, "ann", "GET", "/projects")  # fmt: skip

    assert (one[1], all_of_them[1], long[1]) == (1, AT_ONCE, 6)
    assert one[0] == all_of_them[0] == long[0] != of_another[0]
    assert of_nobody == ("", 0)
