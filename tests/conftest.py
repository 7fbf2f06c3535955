"""What all tests share: how many examples property tests draw, and in which order files run.

Files that take long run first, so that no worker is left alone with one at the end; those that use
the lab of ``tests/system/conftest.py`` come one after another, so that a worker brings it up once and
takes it down when it has no more of them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

NIGHTLY = "SKYTRAIL_NIGHTLY" in os.environ
EXAMPLES_PERCENT = 1000 if NIGHTLY else 40
"""Of the examples that a property test asks for, how many it runs: other ones in each run."""

# A loaded machine is no failure: no claim here is about how long one example takes.
settings.register_profile("skytrail", deadline=None, max_examples=EXAMPLES_PERCENT)
settings.load_profile("skytrail")

DURATIONS = Path(__file__).with_name("durations.txt")
"""Seconds and file a line. Only the order is of use, so it need not be exact or complete."""
LISTED_FROM_S = 3.0
SHARED_LAB = "shared-lab"
LAB = pytest.StashKey[pytest.FixtureDef[object]]()
WITH_LAB = pytest.StashKey[set[str]]()
"""Files with tests that take the shared lab."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    scale_examples(items)
    known = known_durations()
    files = {item: item.nodeid.partition("::")[0] for item in items}
    with_lab = {files[item] for item in items if shared_lab(item)}
    group_of = {file: SHARED_LAB if file in with_lab else file for file in set(files.values())}
    seconds: defaultdict[str, float] = defaultdict(float)
    for file, group in group_of.items():
        seconds[group] += known.get(file, 0.0)
    if items:
        items[0].session.stash[WITH_LAB] = with_lab
    # Stable: files of one group, and tests of one file, stay together and in their order.
    items.sort(key=lambda item: (-seconds[group_of[files[item]]], group_of[files[item]]))


def known_durations() -> dict[str, float]:
    lines = DURATIONS.read_text().splitlines()
    return {file: float(seconds) for seconds, file in (line.split() for line in lines)}


def scale_examples(items: list[pytest.Item]) -> None:
    """Let tests with a number of examples of their own follow the profile, as the others do."""
    tests: set[Any] = {getattr(item, "obj", None) for item in items}
    for test in {getattr(test, "__func__", test) for test in tests if is_hypothesis_test(test)}:
        own: settings = test._hypothesis_internal_use_settings
        if own.max_examples != EXAMPLES_PERCENT:
            count = max(own.max_examples * EXAMPLES_PERCENT // 100, 1)
            test._hypothesis_internal_use_settings = settings(own, max_examples=count)


def shared_lab(item: pytest.Item) -> pytest.FixtureDef[object] | None:
    """The definition of the fixture ``lab``, when the test takes the one for all, not its file's own."""
    information = getattr(item, "_fixtureinfo", None)
    definitions = information.name2fixturedefs.get("lab") if information else None
    return definitions[-1] if definitions and definitions[-1].baseid == "tests/system" else None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: Any, nextitem: pytest.Item | None) -> None:
    """Take the shared lab down with its last file: it would idle, at a cost, until the run's end."""
    if definition := shared_lab(item):
        item.session.stash[LAB] = definition
    following = nextitem.nodeid.partition("::")[0] if nextitem else None
    if LAB in item.session.stash and following not in item.session.stash[WITH_LAB]:
        item.session.stash[LAB].finish(item._request)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Write what was measured into the table when asked: ``SKYTRAIL_WRITE_DURATIONS=1 make system``."""
    if "SKYTRAIL_WRITE_DURATIONS" not in os.environ:
        return
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    longest = sorted((known_durations() | seconds).items(), key=lambda known: -known[1])
    lines = [f"{s:.0f} {file}\n" for file, s in longest if s >= LISTED_FROM_S]
    DURATIONS.write_text("".join(lines))
