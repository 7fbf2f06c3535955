"""A service that translates: right sees the service's address, and answers find their way back."""

from pathlib import Path

import pytest

from skytrail.lab import check, vrouter
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.trace import Packet
from skytrail.runtime.introspection import read_table
from skytrail.testing.appliances import UdpTalk, counted, tcp_talk

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"


@pytest.fixture(scope="module")
def hidden(lab_of):
    with lab_of(EXAMPLE, "stn", topology="nat.yaml") as lab:
        yield lab


@pytest.fixture(scope="module")
def members(hidden):
    return check.members(hidden)


@pytest.fixture
def reached(hidden, members, eventually):
    def wait(version=4):
        address = members["right"].address(version=version)
        with PingTraffic(hidden.plan.namespace_of("left"), address) as traffic:
            eventually(
                lambda: traffic.wait_replies(3, timeout_s=0.5), "right answers", timeout_s=30
            )

    return wait


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_right_sees_the_address_of_the_last_service_and_answers_come_back(
    hidden, members, reached, version
):
    reached(version)
    ends = members["left"], members["right"]
    with counted(hidden) as grown, UdpTalk(hidden, ends, version=version) as talk:
        seen = [talk.ask() for _ in range(20)]

    assert all(each.answered for each in seen)
    assert {each.source for each in seen} == {str(members["hide-right"].address(version=version))}
    for name in ("inspect", "hide"):
        assert min(grown()[name].onward, grown()[name].back) >= 20, name


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_connections_from_left_go_through_the_translating_service_alone(
    hidden, members, reached, version
):
    reached(version)
    ends = members["left"], members["right"]
    with counted(hidden) as grown:
        assert tcp_talk(hidden, ends, 7000, version=version, count_bytes=150_000)

    assert min(grown()["hide"].onward, grown()["hide"].back) >= 5
    assert max(grown()["inspect"].onward, grown()["inspect"].back) < 10


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_right_does_not_learn_of_left_and_cannot_open_connections_to_it(
    hidden, members, reached, version
):
    reached(version)
    ends = members["right"], members["left"]

    assert not tcp_talk(hidden, ends, 7000, version=version)
    inside = {"4": "10.1.0.", "6": "fd10:1:"}[str(version)]
    for host in hidden.plan.hosts:
        rows = read_table(hidden.paths.introspect_socket(host.name), "routes")
        known = [str(row["prefix"]) for row in rows if str(row["vrf"]).startswith("hidden:right")]
        assert not [prefix for prefix in known if prefix.startswith(inside)], host.name


@pytest.mark.root
def test_trace_tells_where_the_source_changes_and_that_right_cannot_begin(hidden, members, reached):
    reached()
    onward = vrouter.trace(hidden, "left", "right", Packet("udp", 80))
    back = vrouter.trace(hidden, "right", "left", Packet("udp", 80))

    assert onward.delivered, onward.summary()
    assert [each.rpartition(":")[2] for each in onward.services] == ["inspect", "hide"]
    own = members["hide-right"].address(version=4)
    entered = [
        step.answer
        for leg in onward.legs
        for step in leg.explanation.steps
        if step.stage == "service"
    ]
    assert f"as sent by {own}" in entered[1]
    assert not back.delivered
    assert back.last.drop_reason
