"""Help pages are complete and say things the same way everywhere."""

import shlex

import click
import pytest

from skytrail.cli import main


def commands(command=main, path=("skytrail",), parent=None):
    """Every command with its words, groups included."""
    context = click.Context(command, info_name=path[-1], parent=parent)
    yield path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), (*path, name), context)


ALL = {" ".join(path): (command, context) for path, command, context in commands()}


@pytest.fixture(params=ALL)
def page(request):
    return request.param, *ALL[request.param]


def options_of(command):
    return [each for each in command.params if isinstance(each, click.Option)]


def test_every_command_says_what_it_does(page):
    _, command, _ = page

    first = command.help.split("\n\n")[0].strip()

    assert first[0].isupper()
    assert first.endswith(".")


def test_overviews_show_whole_lines(page):
    _, command, context = page
    if not isinstance(command, click.Group):
        return

    text = click.Context(command, parent=context.parent, terminal_width=80).get_help()

    assert "...\n" not in text.split("Commands:")[1].split("Examples:")[0]


def test_every_option_is_explained_and_names_its_value(page):
    _, command, _ = page

    for option in options_of(command):
        assert option.help, option.name
        assert option.help[-1] in ".]", option.help
        if not option.is_flag and not isinstance(option.type, click.Choice):
            assert option.metavar, option.name


def test_examples_use_commands_and_options_that_exist(page):
    name, command, _ = page

    lines = [line.strip() for line in command.epilog.splitlines()[2:]]

    assert lines
    mentioned = [part for line in lines for part in line.split(" | ") if "skytrail " in part]
    assert any(part.startswith((name, f'eval "$({name}')) for part in mentioned)
    for part in mentioned:
        words = shlex.split(part[part.index("skytrail ") :].removesuffix(')"'))
        check_words(words[: words.index("--")] if "--" in words else words)


def check_words(words):
    path = words[0]
    while len(words) > 1 and f"{path} {words[1]}" in ALL:
        words = words[1:]
        path = f"{path} {words[0]}"
    known = {name for option in options_of(ALL[path][0]) for name in option.opts}

    assert {word for word in words if word.startswith("-") and word != "-"} <= known, path


def test_same_options_take_values_of_the_same_name():
    forms = {}
    for command, _ in ALL.values():
        for option in options_of(command):
            if option.opts[-1] in ("--lab", "--api", "--api-socket", "--data", "--api-port"):
                forms.setdefault(option.opts[-1], set()).add(option.metavar)

    assert {name: len(found) for name, found in forms.items()} == dict.fromkeys(forms, 1)


@pytest.mark.parametrize("name", ["plan", "apply", "delete"])
def test_documents_are_given_the_same_way(name):
    command, _ = ALL[f"skytrail {name}"]

    (option,) = [each for each in options_of(command) if "--file" in each.opts]

    assert option.opts == ["-f", "--file"]
    assert option.metavar == "FILE|DIR|-"
    assert option.multiple
