"""How sizes of tables are written."""

import pytest

from skytrail.agent.table_sizes import read_sizes


def test_sizes_are_read_by_name_and_the_last_counts():
    assert read_sizes(["routes4=4096", "bridges=2048", "routes4=8192"]) == {
        "routes4": 8192,
        "bridges": 2048,
    }


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("labels=4096", "'labels' is not a table with a size of choice"),
        ("routes4", "from 1024 to 16777216"),
        ("routes4=12", "'routes4=12'"),
        ("routes4=-5", "'routes4=-5'"),
        ("routes4=99999999999", "'routes4=99999999999'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text, names):
    with pytest.raises(ValueError, match=names):
        read_sizes([text])
