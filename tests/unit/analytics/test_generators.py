"""The register of who tells us things."""

from skytrail.analytics.generators import GRACE_S, Generators


def connected(generators, now):
    generators.connected("h1:Compute:agent:0", now, address="192.0.2.1", pid=5, http_port=0, protocol="telemetry")  # fmt: skip


def test_rows_say_the_time_of_day_since_which_a_process_is_there():
    """Whatever the monotonic clock began with."""
    generators = Generators()
    connected(generators, 1000.0)

    (row,) = generators.rows(1060.5, 1_790_000_060.5)

    assert (row["name"], row["is_connected"]) == ("h1:Compute:agent:0", True)
    assert row["since"] == "2026-09-21T14:13:20+00:00"


def test_row_of_one_that_went_says_when_it_went():
    generators = Generators()
    connected(generators, 0.0)
    generators.disconnected("h1:Compute:agent:0", 10.0)

    (row,) = generators.rows(15.0, 1_790_000_005.0)

    assert (row["is_connected"], row["since"]) == (False, "2026-09-21T14:13:20+00:00")
    assert generators.expired(10.0 + GRACE_S) == []
    assert generators.expired(10.1 + GRACE_S) == ["h1:Compute:agent:0"]
