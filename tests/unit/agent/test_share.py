"""Which member a flow takes: the same both ways, and no more moves than a change needs."""

from ipaddress import ip_address

from skytrail.agent.share import COPY_LABEL_FIRST, choose, flow_hash, share_of

CLIENT, SERVER = ip_address("10.1.0.3"), ip_address("10.2.0.3")


def hashes(count):
    return [flow_hash(((CLIENT, port), (SERVER, 80)), 6) for port in range(1, count + 1)]


def test_both_directions_of_a_flow_hash_alike():
    assert flow_hash(((CLIENT, 5), (SERVER, 80)), 6) == flow_hash(((SERVER, 80), (CLIENT, 5)), 6)
    assert flow_hash(((CLIENT, 5), (SERVER, 80)), 6) != flow_hash(((CLIENT, 80), (SERVER, 5)), 6)


def test_sides_of_a_copy_have_one_share_and_copies_of_a_host_have_their_own():
    left, right, other = COPY_LABEL_FIRST + 6, COPY_LABEL_FIRST + 7, COPY_LABEL_FIRST + 8

    assert share_of("192.0.2.1", left) == share_of("192.0.2.1", right)
    assert share_of("192.0.2.1", left) != share_of("192.0.2.1", other)
    assert share_of("192.0.2.1", left) != share_of("192.0.2.2", left)
    assert share_of("192.0.2.1", 16) != share_of("192.0.2.1", 17)


def test_member_that_leaves_moves_its_own_flows_alone_and_they_spread():
    shares = [share_of("192.0.2.1", COPY_LABEL_FIRST + 2 * copy) for copy in range(4)]
    before = [choose(shares, each) for each in hashes(400)]
    after = [choose(shares[:3], each) for each in hashes(400)]

    assert all(old == new for old, new in zip(before, after, strict=True) if old != 3)
    moved = [new for old, new in zip(before, after, strict=True) if old == 3]
    assert set(moved) == {0, 1, 2}
    assert all(60 < before.count(copy) < 140 for copy in range(4))
