"""Types of UVEs have one word and one table everywhere."""

import re
from pathlib import Path

from skytrail.analytics.uve_types import TABLES

CONSOLE = Path(__file__).parents[3] / "console/src/api/uveTables.ts"


def test_console_has_the_words_of_the_server():
    block = re.search(r"TABLES: .*? = \{\n(.*?)\};", CONSOLE.read_text(), re.DOTALL)[1]

    assert dict(re.findall(r'^  "?([a-z-]+)"?: "(\w+)",$', block, re.MULTILINE)) == dict(TABLES)
