"""Where a command takes the address and the identity from."""

from __future__ import annotations

import stat

import pytest

from skytrail.cli.access import access_of, config_file, remember, resolved
from skytrail.cli.place import Place
from skytrail.client import Access, AccessUnusable


@pytest.fixture
def environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path / "labs"))
    return {"SKYTRAIL_CONFIG": str(tmp_path / "skytrail" / "config.toml")}


def keep(environment, **settings: str) -> None:
    remember(config_file(environment), settings)


def test_without_anything_nothing_is_shown(environment) -> None:
    assert resolved({}, environment) == (Place(), Access())


def test_the_users_file_is_read(environment) -> None:
    keep(environment, api="https://a", token='t"\\', ca_file="/ca")

    place, access = resolved({}, environment)

    assert (place.url, access.token, str(access.ca_file)) == ("https://a", 't"\\', "/ca")


def test_the_environment_wins_over_the_file_and_options_over_both(environment) -> None:
    keep(environment, api="https://a", token="file")
    variables = {**environment, "SKYTRAIL_TOKEN": "variable"}

    assert resolved({}, variables)[1].token == "variable"
    assert resolved({"token": "option"}, variables)[1].token == "option"


def test_the_token_of_the_file_is_not_shown_to_another_server(environment) -> None:
    keep(environment, api="https://a", token="secret")

    assert resolved({"api": "https://evil"}, environment)[1].token is None
    assert resolved({}, {**environment, "SKYTRAIL_API": "https://evil"})[1].token is None
    assert resolved({"api": "https://a"}, environment)[1].token == "secret"


def test_a_token_kept_without_an_address_is_for_the_default_server(environment) -> None:
    keep(environment, token="secret")

    assert resolved({"api": "http://127.0.0.1:8082"}, environment)[1].token == "secret"
    assert resolved({"api": "http://127.0.0.1:8083"}, environment)[1].token is None
    assert access_of({}, {**environment, "SKYTRAIL_LAB": ""}).token == "secret"


def test_the_users_file_is_for_the_user_alone(environment) -> None:
    keep(environment, token="secret")

    assert stat.S_IMODE(config_file(environment).stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["token = 1", "tokn = 'x'", "not toml"])
def test_a_broken_file_is_named(environment, text: str) -> None:
    keep(environment)
    config_file(environment).write_text(text)

    with pytest.raises(AccessUnusable, match=r"config\.toml"):
        resolved({}, environment)


def test_half_a_certificate_and_missing_files_are_named(tmp_path) -> None:
    for given in (
        {"certificate": "c"},
        {"ca_file": str(tmp_path / "none")},
        {"certificate": "c", "key": "k"},
    ):
        with pytest.raises(AccessUnusable):
            Access.of(given).verification("https://a")
    with pytest.raises(AccessUnusable, match="password"):
        Access(user="ann").authentication()
    with pytest.raises(AccessUnusable, match="cannot read"):
        Access(user="ann", password_file=tmp_path / "none").authentication()


def test_secrets_are_not_in_the_text_of_an_access() -> None:
    assert "hush" not in repr(Access(token="hush", user="ann", password="hush"))
