"""Places of other analytics nodes: what readers are told of one is no secret, and can stand in a header."""

from __future__ import annotations

import pytest

from skytrail.daemons.analytics import main


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("https://admin:secret@node2:8081", "holds no name or password"),
        ("https://node2:8081/#part", "is not https://HOST:PORT"),
        ("https://node2:8081\r\nx: y", "only printable ASCII"),
        ("unix:/run/nœud.sock", "only printable ASCII"),
        ("http://node2:8081", "another machine is asked over https"),
    ],
)
def test_a_place_that_cannot_be_told_is_refused(place, reason, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--history", "unix:/nowhere", "--peer", place])

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert reason in said
    assert "secret" not in said
