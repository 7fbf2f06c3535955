"""Which server a command means."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.cli.place import Place, ServerUnclear, answers, place_of
from skytrail.client.transport import DEFAULT_URL
from skytrail.lab import labs, state
from skytrail.lab.demo import look_around
from skytrail.lab.state import LabState

WRITES = (
    ("apply", "-f", "-"),
    ("create", "vn", "a"),
    ("edit", "vn", "a"),
    ("delete", "vn", "a"),
    ("revert", "3"),
    ("change", "new", "-m", "a"),
    ("change", "commit", "a"),
    ("user", "remove", "ann"),
    ("login", "ann", "--password-file", "/dev/null"),
)
READS = (
    ("get", "vn"),
    ("describe", "vn", "a"),
    ("plan", "-f", "-"),
    ("history",),
    ("change", "list"),
    ("status", "vn", "a"),
    ("db-check",),
)


@pytest.fixture(autouse=True)
def up(tmp_path, monkeypatch):
    """Return what writes the state of labs, name=port of the API, in a folder of their own."""
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    monkeypatch.setenv("SKYTRAIL_CONFIG", str(tmp_path / "config.toml"))
    for variable in (labs.VARIABLE, "SKYTRAIL_API", "SKYTRAIL_API_SOCKET"):
        monkeypatch.delenv(variable, raising=False)

    def write(**ports: int) -> None:
        for name, port in ports.items():
            state.write(LabState(name=name, source="t", topology_text="", api_port=port))

    return write


def silent(_: str) -> bool:
    return False


def test_without_anything_the_default_is_meant() -> None:
    assert place_of({}, {}) == Place(DEFAULT_URL)
    assert place_of({}, {}).told() == f"server: {DEFAULT_URL}"


@pytest.mark.parametrize("words", [*WRITES, *READS], ids=" ".join)
def test_of_several_labs_none_is_asked_before_one_is_named(up, words) -> None:
    up(east=9, west=10)

    result = CliRunner().invoke(main, words, input="{type: vn, fq_name: a}")

    assert result.exit_code == 1
    assert "several labs are up: east, west; name one: --lab NAME, SKYTRAIL_LAB" in result.output


@pytest.mark.parametrize("words", [*WRITES, *READS], ids=" ".join)
@pytest.mark.parametrize("way", ["option", "group", "variable"])
def test_every_command_asks_the_lab_that_is_named(up, monkeypatch, words, way) -> None:
    up(east=9, west=10)
    if way == "variable":
        monkeypatch.setenv(labs.VARIABLE, "west")
    options = {"option": [*words, "--lab", "west"], "group": ["--lab", "west", *words]}
    (how,) = {"option": ["by --lab"], "group": ["by --lab"], "variable": [f"by ${labs.VARIABLE}"]}[
        way
    ]

    result = CliRunner().invoke(main, options.get(way, words), input="{type: vn, fq_name: a}")

    assert result.exit_code == 3, result.output
    assert "http://127.0.0.1:10" in result.output
    told = f"server: http://127.0.0.1:10 (lab west, {how})"
    assert (told in result.output) == (way == "variable" and words[0] != "login")


def test_what_names_a_server_wins_in_order(up, tmp_path) -> None:
    up(east=9, west=10)
    settings = {"api": "https://file"}
    variables = {"SKYTRAIL_API": "http://variable", labs.VARIABLE: "east"}

    assert place_of({}, {}, settings).told() == "server: https://file (by skytrail login)"
    assert place_of({}, {labs.VARIABLE: "east"}, settings).lab == "east"
    assert place_of({}, variables, settings).told() == (
        "server: http://variable (by $SKYTRAIL_API, which wins over $SKYTRAIL_LAB=east)"
    )
    assert place_of({"lab": "west"}, variables, settings).url == "http://127.0.0.1:10"
    assert place_of({"api": "http://option"}, variables, settings).url == "http://option"
    same = {**variables, "SKYTRAIL_API": "http://127.0.0.1:9"}
    assert place_of({}, same).told() == "server: http://127.0.0.1:9 (by $SKYTRAIL_API)"


def test_the_only_lab_is_meant_unless_a_controller_runs_here_too(up) -> None:
    up(east=9)

    assert place_of({}, {}, listens=silent).told() == (
        "server: http://127.0.0.1:9 (lab east, the only one that is up)"
    )
    with pytest.raises(ServerUnclear, match=r"lab east is up .* something else answers at .*:8082"):
        place_of({}, {}, listens=DEFAULT_URL.__eq__)


def test_a_lab_at_the_default_address_is_not_taken_for_something_else(up) -> None:
    up(east=8082)

    assert place_of({}, {}, listens=DEFAULT_URL.__eq__).lab == "east"


def test_listening_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert answers(url)
    assert not answers(url)


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_lab_that_is_not_up_is_not_replaced_by_the_one_that_is(up, way) -> None:
    up(east=9)
    given = {"lab": "gone"} if way == "option" else {}

    with pytest.raises(ServerUnclear, match=r"no lab 'gone' is up \(by .*\); labs that are: east"):
        place_of(given, {labs.VARIABLE: "gone"})


def test_a_lab_that_cannot_be_read_is_named(up, tmp_path) -> None:
    up(east=9)
    (tmp_path / "east" / "lab.json").write_text('{"api_port": "x"}')

    with pytest.raises(ServerUnclear, match="lab east cannot be read"):
        place_of({}, {})


@pytest.mark.parametrize("other", ["--api=http://127.0.0.1:11", "--api-socket=/nowhere"])
def test_a_lab_and_another_place_are_not_both_named(up, other) -> None:
    up(east=9)

    for words in (["get", "vn", "--lab", "east", other], ["--lab", "east", other, "get", "vn"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert "both say where the API is" in result.output


@pytest.mark.parametrize("place", ["--api=http://127.0.0.1:11", "--lab=west"])
def test_who_asks_does_not_change_whom(up, tmp_path, place) -> None:
    up(east=9, west=11)

    for words in (["get", "vn", place, "--token", "t"], ["--token", "t", place, "get", "vn"],
                  [place, "get", "vn", "--token", "t"], ["get", "vn", "--token", "t", place]):  # fmt: skip
        assert "http://127.0.0.1:11" in CliRunner().invoke(main, words).output


def test_an_option_of_the_command_wins_over_one_of_the_group(up) -> None:
    up(east=9)

    result = CliRunner().invoke(
        main, ["--lab", "east", "get", "vn", "--api", "http://127.0.0.1:11"]
    )

    assert "127.0.0.1:11" in result.output


@pytest.mark.parametrize(
    "words", [("lab", "show"), ("trace", "a", "b"), ("logs",), ("lab", "down"), ("status",)], ids=" ".join
)  # fmt: skip
def test_the_group_s_lab_is_meant_by_what_looks_into_labs(up, words) -> None:
    up(east=9)

    result = CliRunner().invoke(main, ["--lab", "gone", *words])

    assert result.exit_code == 1
    assert "no lab 'gone' is up" in result.output


def test_labs_are_completed(up, monkeypatch) -> None:
    up(east=9, west=10)
    monkeypatch.setenv("_SKYTRAIL_COMPLETE", "bash_complete")
    for words in ("skytrail get vn --lab w", "skytrail --lab w"):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))

        assert CliRunner().invoke(main, prog_name="skytrail").output == "plain,west\n"


def test_completion_of_names_is_silent_when_the_server_is_unclear(up, monkeypatch) -> None:
    up(east=9, west=10)
    monkeypatch.setenv("_SKYTRAIL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "skytrail get vn a")
    monkeypatch.setenv("COMP_CWORD", "3")

    assert not CliRunner().invoke(main, prog_name="skytrail").output.strip()


def test_what_the_demo_says_to_try_names_its_lab() -> None:
    lines = look_around("two-tenants", "http://127.0.0.1:9", "http://127.0.0.1:10")

    skytrail = [line for line in lines if "bin/skytrail" in line]
    assert len(skytrail) == 6
    assert all("--lab two-tenants" in line or "down two-tenants" in line for line in skytrail)
