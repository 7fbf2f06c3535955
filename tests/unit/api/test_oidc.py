"""Bearer tokens: issuer, audience, algorithm, key and time are all checked."""

from __future__ import annotations

import base64
import hmac
import json
import time

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from skytrail.api.io.auth_oidc import REFETCH_S, RETRY_S, OpenIdConnect
from skytrail.api.security_settings import OidcSettings, SecuritySettings

from .security_server import Secured

ISSUER, AUDIENCE = "https://id.example", "skytrail"
OIDC = OidcSettings(issuer=ISSUER, audience=AUDIENCE, roles_claim="realm_access.roles")
SETTINGS = SecuritySettings(authentication=["oidc"], oidc=OIDC)
PROJECT = "11111111-1111-4111-8111-111111111111"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def public(key, kid: str, algorithm: str) -> dict:
    kind = jwt.algorithms.RSAAlgorithm if algorithm == "RS256" else jwt.algorithms.ECAlgorithm
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig", "alg": algorithm}


def confused(claims: dict, secret: bytes) -> str:
    """A token signed with a shared secret, which careful libraries refuse to make."""

    def part(value: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "kid": "e", "typ": "JWT"}) + b"." + part(claims)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


class World:
    def __init__(self, api) -> None:
        self.keys = [public(RSA, "r", "RS256"), public(EC, "e", "ES256")]
        self.fetches_count = 0
        self.issuer = ISSUER
        self.is_down = False

        def answer(request: httpx.Request) -> httpx.Response:
            if self.is_down:
                return httpx.Response(500)
            if request.url.path == "/.well-known/openid-configuration":
                page = {"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys"}
                return httpx.Response(200, json=page)
            self.fetches_count += 1
            return httpx.Response(200, json={"keys": self.keys})

        def make(service, settings, clock) -> OpenIdConnect:
            http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
            return OpenIdConnect(service, settings, settings.oidc, http=http, clock=clock)

        self.server = Secured(api, SETTINGS, make)
        self.server.now = time.time()

    def claims(self, **more: object) -> dict:
        return {
            "iss": ISSUER, "aud": AUDIENCE, "sub": "u-1", "exp": int(self.server.now) + 300,
            "preferred_username": "ann", "realm_access": {"roles": ["Member", "admin"]},
            "project_id": PROJECT.replace("-", ""), **more,
        }  # fmt: skip

    def token(self, key=EC, algorithm: str = "ES256", kid: str = "e", **more: object) -> str:
        claims = {name: v for name, v in self.claims(**more).items() if v is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})

    def me(self, token: str):
        return self.server.call("GET", "/api/v1/whoami", authorization=f"Bearer {token}")


@pytest.fixture
def world(api) -> World:
    return World(api)


def test_a_good_token_is_mapped_to_user_roles_and_project(world) -> None:
    for token in (world.token(), world.token(RSA, "RS256", "r")):
        found = world.me(token).json
        assert (found["user"], found["roles"]) == ("ann", ["admin", "member"])
        assert (found["project"], found["is_admin"]) == (PROJECT, True)


@pytest.mark.parametrize(
    "more",
    [
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "other"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"sub": None},
        {"nbf": 9_999_999_999},
        {"project_id": "not a uuid"},
    ],
)
def test_every_claim_that_matters_is_checked(world, more: dict) -> None:
    reply = world.me(world.token(**more))

    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Bearer realm="skytrail", error="invalid_token"'


def test_signatures_by_other_keys_or_algorithms_are_refused(world) -> None:
    body = world.claims()
    for token in (
        world.token(OTHER),
        jwt.encode(body, None, algorithm="none", headers={"kid": "e"}),
        jwt.encode(body, b"k" * 32, algorithm="HS256", headers={"kid": "e"}),
        # The public key as a shared secret, the classic confusion of algorithms.
        confused(body, json.dumps(world.keys[1]).encode()),
        jwt.encode(body, RSA, algorithm="RS512", headers={"kid": "r"}),
        world.token(EC, "ES256", "r"),
        "a.b.c",
        "x",
    ):  # fmt: skip
        assert world.me(token).status == 401


def test_keys_are_fetched_once_and_again_for_a_new_one(world) -> None:
    for _ in range(3):
        world.me(world.token(more=_))
    assert world.fetches_count == 1

    world.keys = [public(OTHER, "n", "ES256")]
    assert world.me(world.token(OTHER, kid="n")).status == 200
    assert world.fetches_count == 2

    world.keys = [public(EC, "e", "ES256")]
    fresh = world.token()
    assert world.me(fresh).status == 401
    world.server.now += REFETCH_S + 1

    assert world.me(fresh).status == 200
    assert world.fetches_count == 3


def test_a_key_that_is_withdrawn_ends_its_tokens_with_the_next_fetch(world) -> None:
    old = world.token()
    assert world.me(old).status == 200

    world.keys = [public(OTHER, "n", "ES256")]
    assert world.me(world.token(OTHER, kid="n")).status == 200

    assert world.me(old).status == 401


def test_unknown_key_names_do_not_make_the_server_fetch_all_the_time(world) -> None:
    world.me(world.token())

    for number in range(20):
        world.me(world.token(kid=f"x{number}"))

    assert world.fetches_count == 2


def test_a_foreign_discovery_document_is_not_believed(world) -> None:
    world.issuer = "https://evil.example"

    assert world.me(world.token()).status == 503


def test_an_issuer_that_does_not_answer_is_not_the_users_fault(world) -> None:
    world.is_down = True
    assert [world.me(world.token()).status for _ in range(3)] == [503] * 3

    world.is_down = False
    world.server.now += RETRY_S
    assert world.me(world.token()).status == 200


@pytest.mark.parametrize("issuer", ["http://id.example", "ftp://id.example", "id.example", ""])
def test_an_issuer_whose_keys_could_be_replaced_on_the_way_is_refused(issuer: str) -> None:
    oidc = OidcSettings(issuer=issuer, audience=AUDIENCE)

    assert SecuritySettings(authentication=["oidc"], oidc=oidc).problems()
