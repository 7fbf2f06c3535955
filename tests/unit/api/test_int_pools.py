"""Pools of integers that clients make for themselves."""

from __future__ import annotations

import pytest


@pytest.fixture
def pooled(api):
    assert api.call("POST", "/int-pools", {"pool": "p", "start": 5, "end": 7}).status == 200
    return api


def take(api, **members):
    return api.call("POST", "/int-pool", {"pool": "p", **members})


def test_numbers_are_given_to_owners_and_taken_back(pooled) -> None:
    values = [take(pooled, owner="me").json["value"] for _ in range(3)]
    full = take(pooled, owner="me")
    pooled.call("DELETE", "/int-pool", {"pool": "p", "value": 6})

    assert (values, full.status) == ([5, 6, 7], 409)
    assert pooled.call("GET", "/int-pool?pool=p&value=5").json == {"owner": "me"}
    assert pooled.call("GET", "/int-pool?pool=p&value=6").json == {"owner": None}
    assert take(pooled, owner="you").json["value"] == 6


def test_a_number_can_be_asked_for(pooled) -> None:
    assert take(pooled, owner="a", value=6).json == {"value": 6}
    assert take(pooled, owner="a", value=6).status == 200
    assert take(pooled, owner="b", value=6).status == 409
    assert take(pooled, owner="b", value=8).status == 400


def test_a_pool_is_made_once_and_goes_with_its_numbers(pooled) -> None:
    again = pooled.call("POST", "/int-pools", {"pool": "p", "start": 5, "end": 7})
    other = pooled.call("POST", "/int-pools", {"pool": "p", "start": 5, "end": 9})
    take(pooled)

    assert (again.status, other.status) == (200, 409)
    assert pooled.call("DELETE", "/int-pools", {"pool": "p"}).status == 200
    assert take(pooled).status == 404
    pooled.call("POST", "/int-pools", {"pool": "p", "start": 5, "end": 5})
    assert pooled.call("GET", "/int-pool?pool=p&value=5").json == {"owner": None}
    assert [take(pooled).status, take(pooled).status] == [200, 409]


def test_pools_survive_a_restart(pooled) -> None:
    take(pooled, owner="me")

    again = pooled.restarted()

    assert again.call("GET", "/int-pool?pool=p&value=5").json == {"owner": "me"}
    assert take(again).json == {"value": 6}
    again.close()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/int-pools", {}),
        ("POST", "/int-pools", {"pool": "", "start": 1, "end": 2}),
        ("POST", "/int-pools", {"pool": "x" * 300, "start": 1, "end": 2}),
        ("POST", "/int-pools", {"pool": "a\x01", "start": 1, "end": 2}),
        ("POST", "/int-pools", {"pool": "x", "start": 3, "end": 2}),
        ("POST", "/int-pools", {"pool": "x", "start": -1, "end": 2}),
        ("POST", "/int-pools", {"pool": "x", "start": True, "end": 2}),
        ("POST", "/int-pools", {"pool": "x", "start": 1, "end": 1 << 70}),
        ("POST", "/int-pool", {"pool": "p", "owner": 7}),
        ("POST", "/int-pool", {"pool": "p", "value": "x"}),
        ("DELETE", "/int-pool", {"pool": "p"}),
        ("DELETE", "/int-pools", []),
        ("GET", "/int-pool?pool=p&value=x", None),
    ],
)
def test_bad_requests_are_refused(pooled, method, path, body) -> None:
    before = pooled.service.revision

    assert pooled.call(method, path, body).status == 400
    assert pooled.service.revision == before


def test_unknown_pools_are_not_found(api) -> None:
    assert take(api).status == 404
    assert api.call("DELETE", "/int-pools", {"pool": "p"}).status == 404
    assert api.call("GET", "/int-pool?pool=p&value=1").status == 404
