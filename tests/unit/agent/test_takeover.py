"""Fresh tables wait for ways to other hosts before they take over, and not for dead hosts."""

from ipaddress import IPv4Address

from skytrail.agent.nexthop import UnderlayPath
from skytrail.agent.takeover import WAIT_S, Takeover
from skytrail.net import Mac

NEAR, FAR = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
MAC = Mac.parse("02:00:00:00:00:01")
KNOWN, UNKNOWN = UnderlayPath(3, MAC, MAC), UnderlayPath(3, MAC, None)


def test_with_every_way_known_nothing_is_waited_for():
    assert not Takeover().waits({NEAR, FAR}, {NEAR: KNOWN, FAR: KNOWN}, 100.0)
    assert not Takeover().waits(set(), {}, 100.0)


def test_a_way_that_is_unknown_or_unresolved_is_waited_for():
    assert Takeover().waits({NEAR, FAR}, {NEAR: KNOWN}, 100.0)
    assert Takeover().waits({NEAR}, {NEAR: UNKNOWN}, 100.0)


def test_a_dead_host_holds_it_up_for_a_short_time_only():
    takeover = Takeover()

    assert takeover.waits({NEAR, FAR}, {NEAR: KNOWN, FAR: UNKNOWN}, 100.0)
    assert takeover.waits({NEAR, FAR}, {NEAR: KNOWN, FAR: UNKNOWN}, 100.0 + WAIT_S - 0.1)
    assert not takeover.waits({NEAR, FAR}, {NEAR: KNOWN, FAR: UNKNOWN}, 100.0 + WAIT_S)
