"""What pages for readers have one type is there: commands and options of `skytrail`."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from skytrail.cli import main

ROOT = Path(__file__).parents[3]
PAGES = ("README.md", "HACKING.md", "docs/*.md", "examples/*.md", "examples/**/*.md")
CALL = re.compile(r"(?:^|[$(#|;&] ?)skytrail ([a-z][^`|;#)&]*)")


def pages():
    listed = subprocess.run(
        ["git", "ls-files", "--", *PAGES], cwd=ROOT, check=True, capture_output=True, text=True
    )

    # Decisions tell of what was when they were taken.
    return [each for each in listed.stdout.split() if not each.startswith("docs/adr/")]


def calls(text):
    """What follows `skytrail` wherever a page shows it as code."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    code = [line for block in blocks for line in block.split("\n")]
    for line in code + re.findall(r"`([^`\n]+)`", prose):
        yield from (match.split() for match in CALL.findall(line))


def unknown(words):
    """What of this command line is not there, or None."""
    command = main
    while isinstance(command, click.Group) and words and re.fullmatch("[a-z][a-z-]*", words[0]):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return words[0]
        command, words = found, words[1:]
    known = {name for each in (main, command) for option in each.params for name in option.opts} | {
        "--help"
    }
    own = words[: words.index("--")] if "--" in words else words
    options = (re.match(r"--[a-z-]*", word) for word in own)
    return next((each[0] for each in options if each and each[0] not in known), None)


@pytest.mark.parametrize("page", pages())
def test_commands_of_a_page_are_there(page):
    wrong = [
        f"{missing}: skytrail {' '.join(words)}"
        for words in calls((ROOT / page).read_text())
        if (missing := unknown(words)) is not None
    ]

    assert wrong == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("asks `skytrail drops`", "drops"),
        ("```sh\nskytrail lab check\n```", "check"),
        ("```console\n$ skytrail get vn --jsn\n```", "--jsn"),
        ("`skytrail lab exec web1 -- ping --any`", None),
    ],
)
def test_what_is_not_there_is_found(text, missing):
    assert [unknown(words) for words in calls(text)] == [missing]
