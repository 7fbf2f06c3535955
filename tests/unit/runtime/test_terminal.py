from __future__ import annotations

from skytrail.runtime.terminal import printable


def test_what_steers_a_terminal_is_spelt_out() -> None:
    assert printable("a\x1b[31mb\u202ec\r") == "a\\x1b[31mb\\u202ec\\r"


def test_lines_and_letters_of_any_language_stay() -> None:
    assert printable("Zürich\n東京") == "Zürich\n東京"
