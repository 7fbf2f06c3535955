"""``python -m skytrail.cli``: the same as the ``skytrail`` command."""

from skytrail.cli import run

run()
