"""Copies that share the load: a flow and its answers pass one copy, and keep it."""

import contextlib
from pathlib import Path

import pytest

from skytrail.lab import check
from skytrail.lab.io.traffic import PingTraffic
from skytrail.runtime.introspection import read_table
from skytrail.testing.appliances import UdpTalk, copy_of, counted, tcp_talk, unplugged

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"
GUARDS = ("guard1", "guard2", "guard3")
PROBES = ("probe1", "probe2")


@pytest.fixture(scope="module")
def scaled(lab_of):
    with lab_of(EXAMPLE, "sts", topology="scaled.yaml") as lab:
        yield lab


@pytest.fixture(scope="module")
def ends(scaled):
    members = check.members(scaled)
    return members["left"], members["right"]


@pytest.fixture
def talks(scaled, ends, eventually):
    """So many flows from left to right that stay open."""
    with contextlib.ExitStack() as stack:

        def start(count, version=4):
            address = ends[1].address(version=version)
            with PingTraffic(scaled.plan.namespace_of("left"), address) as traffic:
                eventually(lambda: traffic.wait_replies(3, timeout_s=0.5), "answers")
            return [
                stack.enter_context(UdpTalk(scaled, ends, version=version)) for _ in range(count)
            ]

        yield start


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_flows_spread_and_their_answers_pass_the_same_copies(scaled, talks, version):
    """Two rows of copies, two of the first on one host: each flow passes one of each, both ways."""
    passing = [
        (copy_of(scaled, talk, GUARDS), copy_of(scaled, talk, PROBES))
        for talk in talks(24, version)
    ]

    assert all(guard and probe for guard, probe in passing), passing
    assert {guard for guard, _ in passing} == set(GUARDS)
    assert {probe for _, probe in passing} == set(PROBES)


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_connections_and_answers_pass_the_same_copy(scaled, ends, talks, version):
    talks(0, version)
    used = set()
    for port in range(7000, 7012):
        with counted(scaled) as grown:
            assert tcp_talk(scaled, ends, port, version=version)
        passed = [name for name in GUARDS if max(grown()[name].onward, grown()[name].back) > 2]
        assert len(passed) == 1, grown()
        used.update(passed)
    assert len(used) > 1


@pytest.mark.root
def test_copy_that_leaves_takes_its_own_flows_alone_and_one_that_comes_takes_none(
    scaled, talks, eventually
):
    flows = talks(24)

    def passing():
        return [copy_of(scaled, talk, GUARDS) for talk in flows]

    before = passing()
    assert set(before) == set(GUARDS)
    with unplugged(scaled, "guard2"):
        # Hosts hear of it one after another: until then answers may pass another copy.
        without = eventually(
            lambda: (found := passing()) and all(found) and found,
            "others take over, and answers pass the copy their questions pass",
        )
        assert set(without) == {"guard1", "guard3"}
        kept = [now == then for now, then in zip(without, before, strict=True) if then != "guard2"]
        assert all(kept)
    eventually(
        lambda: "guard2" in {copy_of(scaled, talk, GUARDS) for talk in talks(6)},
        "new flows use it again",
        timeout_s=30,
    )
    assert passing() == without, "flows stay where they are"


@pytest.mark.root
def test_flows_stay_with_their_copies_while_the_agent_of_two_of_them_restarts(
    scaled, talks, eventually
):
    flows = talks(16)
    control = scaled.paths.introspect_socket("control1")

    def passing():
        return [(copy_of(scaled, each, GUARDS), copy_of(scaled, each, PROBES)) for each in flows]

    def stands(is_up):
        rows = read_table(control, "peers")
        (row,) = [each for each in rows if each["name"].endswith("compute2")]
        return row["up"] == is_up and (not is_up or row["routes_stale"] == 0)

    before = passing()
    assert {"guard1", "guard2"} & {guard for guard, _ in before}
    scaled.kill("compute2")
    eventually(lambda: stands(False), "the control node misses the agent")
    assert passing() == before, "its kernel forwards on"
    scaled.restart("compute2")
    eventually(lambda: stands(True), "it has said its routes again")
    assert passing() == before
