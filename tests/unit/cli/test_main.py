import click
import pytest
from click.testing import CliRunner

from skytrail.cli import COMMANDS, main
from skytrail.cli.delete import blocking
from skytrail.cli.edit import changed_fields, with_reason
from skytrail.client import ApiError
from skytrail.model.catalog import CATALOG

NOWHERE = {"SKYTRAIL_API": "http://127.0.0.1:9", "SKYTRAIL_API_SOCKET": ""}
OURS = ("get", "describe", "create", "apply", "delete", "edit", "types", "completion")


def run(*arguments, **options):
    return CliRunner().invoke(main, arguments, env=NOWHERE, **options)


def test_overview_names_every_command():
    result = run("--help")

    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


@pytest.mark.parametrize("name", OURS)
def test_help_has_examples(name):
    result = run(name, "--help")

    assert result.exit_code == 0
    assert "Examples:\n    " in result.output


def test_unknown_command_suggests_one():
    result = run("gett")

    assert result.exit_code == 2
    assert "Did you mean get?" in result.output


def test_unknown_type_is_wrong_usage_with_a_suggestion():
    result = run("get", "virtual-netwok")

    assert result.exit_code == 2
    assert "Did you mean virtual-network" in result.output


def test_unreachable_api_is_status_3_and_says_what_to_do():
    result = run("get", "vn")

    assert result.exit_code == 3
    assert "skytrail up" in result.output


def test_address_on_the_command_wins_over_the_environment():
    result = run("get", "vn", "--api", "http://127.0.0.1:11")

    assert "127.0.0.1:11" in result.output


def test_address_before_the_command_works_too():
    result = run("--api", "http://127.0.0.1:11", "get", "vn")

    assert "127.0.0.1:11" in result.output


def test_bad_document_is_refused_before_the_api_is_asked(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("{type: vn, fq_name: 'd:p:n', mtu: 99999}")

    result = run("apply", "-f", str(file))

    assert result.exit_code == 1
    assert "between 0 and 9216" in result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell):
    result = run("completion", shell)

    assert result.exit_code == 0
    assert "_SKYTRAIL_COMPLETE" in result.output


def test_completion_offers_types_without_an_api():
    command = main.get_command(click.Context(main), "get")
    found = command.params[0].shell_complete(click.Context(command), "virtual-net")

    assert [each.value for each in found] == ["virtual-network"]


def test_completion_of_names_is_silent_without_an_api(monkeypatch):
    monkeypatch.setenv("SKYTRAIL_API", "http://127.0.0.1:9")
    command = main.get_command(click.Context(main), "get")
    context = click.Context(command)
    context.params["type_name"] = "vn"

    assert command.params[1].shell_complete(context, "r") == []


def test_types_explains_fields_down_to_the_last_value():
    result = run("types", "network-policy", "network_policy_entries")

    assert result.exit_code == 0
    assert "simple_action: string  [one of deny, pass" in result.output


def test_types_shows_lists_in_the_object_they_stand_in():
    """Of every type: what is written as shown has the one member that the model wants."""
    for name, kind in CATALOG.objects.items():
        output = run("types", name).output
        for field, each in kind.properties.items():
            if each.wrapper_field:
                wanted = f"  {field}: {{{each.wrapper_field}: list of {each.element_type}"
                assert wanted in output, (name, field)
    assert "alarm_rules: {or_list: list of AlarmAndList}\n" in run("types", "alarm").output
    assert "annotations: {key_value_pair: list of KeyValuePair by key}\n" in output


def test_types_lists_all():
    result = run("types", "--json")

    assert result.output.count('"name"') == len(CATALOG.objects)


def test_refused_deletion_names_the_blockers():
    uuid = "7d4b1c5e-55a1-4f36-8f0e-8f8f3b5d0001"
    text = f"Delete when resource still referred: ['http://h:8082/virtual-machine/{uuid}']"

    assert blocking(ApiError(409, text)) == [uuid]


NETWORK = CATALOG.objects["virtual-network"]
BASE = {
    "fq_name": ["d", "p", "n"],
    "mtu": 1400,
    "is_shared": True,
    "network_policy_refs": [{"to": ["d", "p", "np"], "uuid": "u", "attr": {}}],
}


def test_edit_finds_changed_and_removed_fields():
    text = "{type: virtual-network, fq_name: 'd:p:n', mtu: 1500}"

    assert changed_fields(NETWORK, BASE, text) == {
        "mtu": 1500,
        "is_shared": None,
        "network_policy_refs": [],
    }


def test_edit_of_nothing_changes_nothing():
    text = (
        "{type: vn, fq_name: 'd:p:n', mtu: 1400, is_shared: true, network_policy_refs: ['d:p:np']}"
    )

    assert changed_fields(NETWORK, BASE, text) == {}


def test_reason_replaces_an_earlier_one():
    once = with_reason("mtu: 1\n", "first")
    twice = with_reason(once, "second")

    assert "# second" in twice
    assert "first" not in twice
    assert "mtu: 1" in twice
