"""Rates, waits and bounded tables, with time as an argument."""

from __future__ import annotations

import pytest

from skytrail.api.bounded import BoundedCache
from skytrail.api.throttle import FailureThrottle, TokenBuckets, address_key


def test_a_burst_passes_then_the_rate_holds() -> None:
    buckets = TokenBuckets(rate=2.0, burst=3.0)

    waits = [buckets.take("a", now=0.0) for _ in range(4)]

    assert waits == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("a", now=0.5) == 0.0
    assert buckets.take("a", now=0.5) == 0.5


def test_a_refused_use_costs_nothing() -> None:
    buckets = TokenBuckets(rate=1.0, burst=1.0)
    buckets.take("a", now=0.0)

    for _ in range(100):
        assert buckets.take("a", now=0.5) == 0.5

    assert buckets.take("a", now=1.0) == 0.0


def test_keys_do_not_share_and_looking_takes_nothing() -> None:
    buckets = TokenBuckets(rate=1.0, burst=1.0)
    buckets.take("a", now=0.0)

    assert buckets.wait_s("a", now=0.0) == 1.0
    assert buckets.wait_s("b", now=0.0) == 0.0
    assert buckets.take("b", now=0.0) == 0.0


def test_tables_are_bounded() -> None:
    buckets, throttle = TokenBuckets(1.0, 1.0, 100), FailureThrottle(100)
    cache: BoundedCache[int, int] = BoundedCache(100)

    for number in range(1_000):
        buckets.take(str(number), now=0.0)
        throttle.failed(str(number), now=0.0)
        cache.put(number, number)

    assert (len(buckets), len(throttle), len(cache)) == (100, 100, 100)
    assert (cache.get(0), cache.get(999)) == (None, 999)


def test_waits_double_after_five_failures_up_to_five_minutes() -> None:
    throttle, waits = FailureThrottle(), []

    for _ in range(16):
        throttle.failed("ann", now=0.0)
        waits.append(throttle.wait_s("ann", now=0.0))

    assert waits[:4] == [0.0] * 4
    assert waits[4:9] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert waits[-1] == 300.0


def test_success_forgets_the_failures() -> None:
    throttle = FailureThrottle()
    for _ in range(10):
        throttle.failed("ann", now=0.0)

    throttle.succeeded("ann")

    assert throttle.wait_s("ann", now=0.0) == 0.0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_hosts_of_one_ipv6_network_count_as_one_sender(address: str, key: str) -> None:
    assert address_key(address) == key
