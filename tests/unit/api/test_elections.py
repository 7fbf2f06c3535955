"""One of several candidates leads, through whatever server each of them asks."""

import pytest

from skytrail.api.caller import Caller


def stand(api, lease=None, ttl_s=2.0, name="compiler"):
    body = {"ttl_s": ttl_s} if lease is None else {"ttl_s": ttl_s, "lease": lease}
    return api.call("POST", f"/api/v1/elections/{name}", body)


def test_first_candidate_leads_until_it_resigns(api):
    first, second = stand(api).json, stand(api).json

    assert (first["leading"], second["leading"]) == (True, False)
    assert stand(api, first["lease"]).json["leading"]
    assert not stand(api, second["lease"]).json["leading"]

    assert api.call("DELETE", f"/api/v1/elections/compiler/{first['lease']}").status == 200

    assert stand(api, second["lease"]).json["leading"]
    assert stand(api, first["lease"]).status == 410


def test_offices_are_independent(api):
    assert stand(api, name="compiler").json["leading"]
    assert stand(api, name="fabric").json["leading"]


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("compiler", {"ttl_s": 0}, "ttl_s"),
        ("compiler", {"ttl_s": 1e9}, "ttl_s"),
        ("compiler", {"ttl_s": "x"}, "ttl_s"),
        ("compiler", {"lease": "mine"}, "lease"),
        ("compiler", {"other": 1}, "other"),
        ("UPPER", {}, "name"),
        ("x" * 65, {}, "name"),
    ],
)
def test_bad_candidacy_is_refused_by_the_field(api, name, body, word):
    reply = api.call("POST", f"/api/v1/elections/{name}", body)

    assert reply.status == 400
    assert word in reply.text


def test_lease_nobody_granted_is_gone(api):
    assert stand(api, "0" * 32).status == 410


def test_components_stand_without_being_administrators_and_users_do_not(api):
    component = Caller(user="component", is_system=True, roles=frozenset({"skytrail-system"}))
    with api.as_caller(component):
        standing = stand(api)
        assert standing.json["leading"]
        assert (
            api.call("DELETE", f"/api/v1/elections/compiler/{standing.json['lease']}").status == 200
        )
    with api.as_caller(Caller(user="ann", roles=frozenset({"member"}))):
        assert stand(api).status == 403
