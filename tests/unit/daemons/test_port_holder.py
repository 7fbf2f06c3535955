"""Who has a port that is not free."""

import os
import socket

from skytrail.daemons.port_holder import _advice, holder_of


def test_the_process_that_listens_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = holder_of(server.getsockname()[1])

    assert found.startswith(f": process {os.getpid()} has it, ")


def test_nobody_is_named_for_a_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # Bound, and nobody listens.
        assert holder_of(probe.getsockname()[1]) == ""


def test_of_our_own_daemons_it_is_told_how_to_use_them_instead():
    command = "python -m skytrail.daemons.api --data /srv/x/store --port 8082"

    assert _advice(command, 8082) == (
        "the api of another Skytrail, data in /srv/x/store (use it: --api http://127.0.0.1:8082)"
    )


def test_of_a_lab_it_is_told_how_to_end_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "lab.json").touch()
    command = f"python -m skytrail.daemons.api --data {tmp_path}/shop/store --port 8082"

    assert _advice(command, 8082) == (
        "the api of lab shop (use it: --api http://127.0.0.1:8082, or end it: skytrail lab down shop)"
    )
