"""Several services in a row: everything passes each of them, in order, there and back."""

from pathlib import Path

import pytest

from skytrail.lab import check, vrouter
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet
from skytrail.testing.appliances import UdpTalk, counted, tcp_talk

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"


@pytest.fixture(scope="module")
def row(lab_of):
    with lab_of(EXAMPLE, "str", topology="row.yaml") as lab:
        yield lab


@pytest.fixture(scope="module")
def ends(row):
    members = check.members(row)
    return members["left"], members["right"]


@pytest.fixture
def reached(row, ends, eventually):
    """Wait until pings from left to right come back, in a family."""

    def wait(version=4):
        namespace, address = row.plan.namespace_of("left"), ends[1].address(version=version)
        with PingTraffic(namespace, address) as traffic:
            eventually(
                lambda: traffic.wait_replies(3, timeout_s=0.5), "right answers", timeout_s=30
            )

    return wait


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_three_services_in_a_row_see_everything_both_ways(row, ends, reached, version):
    reached(version)
    namespace, address = row.plan.namespace_of("left"), ends[1].address(version=version)
    with counted(row) as grown, PingTraffic(namespace, address) as traffic:
        assert traffic.wait_replies(40, timeout_s=30)

    for name in ("alpha", "beta", "gamma"):
        assert grown()[name].onward >= 40, f"requests pass {name}"
        assert grown()[name].back >= 40, f"answers pass {name}"


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_udp_passes_the_two_services_its_rule_names(row, ends, reached, version):
    reached(version)
    with counted(row) as grown, UdpTalk(row, ends, version=version) as talk:
        seen = [talk.ask() for _ in range(30)]

    assert all(each.answered for each in seen)
    assert {each.source for each in seen} == {str(ends[0].address(version=version))}
    for name in ("alpha", "beta"):
        assert min(grown()[name].onward, grown()[name].back) >= 30, name
    # Its own neighbour discovery is all there may be.
    assert max(grown()["gamma"].onward, grown()["gamma"].back) < 10


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_right_opens_connections_through_the_row_as_well(row, ends, reached, version):
    reached(version)
    with counted(row) as grown:
        assert tcp_talk(row, ends[::-1], 7000, version=version)

    for name in ("alpha", "beta", "gamma"):
        # From right to left: what opens the connection comes back to front.
        assert min(grown()[name].onward, grown()[name].back) >= 5, name


@pytest.mark.root
def test_bulk_transfer_passes_the_row(row, ends, reached):
    """Segments the kernel has joined cross three services and their tunnels."""
    reached()
    assert tcp_talk(row, ends, 7001, count_bytes=150_000)


@pytest.mark.root
@pytest.mark.parametrize(
    ("packet", "names"),
    [(Packet("tcp", 80), ("alpha", "beta", "gamma")), (Packet("udp", 80), ("alpha", "beta"))],
)
def test_trace_goes_through_the_services_to_the_end_both_ways(row, reached, packet, names):
    reached()
    onward = vrouter.trace(row, "left", "right", packet)
    back = vrouter.trace(row, "right", "left", packet)

    assert onward.delivered, onward.summary()
    assert back.delivered, back.summary()
    assert [each.rpartition(":")[2] for each in onward.services] == list(names)
    assert [each.rpartition(":")[2] for each in back.services] == list(reversed(names))
