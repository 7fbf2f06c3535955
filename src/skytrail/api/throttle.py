"""How often something may happen: token buckets and growing waits after failures. Pure.

Tables are bounded; the entry that was not used for longest goes first. Time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

KEYS_COUNT_MAX = 20_000
FREE_FAILURES_COUNT = 5
WAIT_S_MAX = 300.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class TokenBuckets:
    """One bucket per key: ``burst`` at once, ``rate`` per second in the long run."""

    def __init__(self, rate: float, burst: float, keys_count_max: int = KEYS_COUNT_MAX) -> None:
        self._rate = rate
        self._burst = burst
        self._max = keys_count_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, key: str, now: float) -> float:
        """Return how long until the key may be used, 0 for now; nothing is taken."""
        bucket = self._buckets.get(key)
        if bucket is None:
            return 0.0
        tokens = self._filled(bucket, now)
        return 0.0 if tokens >= 1 else (1 - tokens) / self._rate

    def take(self, key: str, now: float) -> float:
        """Use the key once if it may be; return how long to wait otherwise, 0 when it was."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            while len(self._buckets) > self._max:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        bucket.tokens, bucket.filled_at = self._filled(bucket, now), now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / self._rate

    def _filled(self, bucket: _Bucket, now: float) -> float:
        return min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)


@dataclass(slots=True)
class _Failures:
    count: int
    until: float


class FailureThrottle:
    """After some failures in a row a key waits, twice as long after each further one."""

    def __init__(self, keys_count_max: int = KEYS_COUNT_MAX) -> None:
        self._max = keys_count_max
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, key: str, now: float) -> float:
        """Return how long the key has to wait, 0 when it may try."""
        held = self._failures.get(key)
        return 0.0 if held is None else max(0.0, held.until - now)

    def failed(self, key: str, now: float) -> None:
        """Count a failure."""
        held = self._failures.setdefault(key, _Failures(0, now))
        self._failures.move_to_end(key)
        held.count += 1
        beyond = held.count - FREE_FAILURES_COUNT
        if beyond >= 0:
            held.until = now + min(WAIT_S_MAX, 2.0 ** min(beyond, 16))
        while len(self._failures) > self._max:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)


def address_key(address: str) -> str:
    """Return what counts as one sender: an IPv4 address, or the /64 an IPv6 host can roam in."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed) >> 64 << 64, 64)))
    return address
