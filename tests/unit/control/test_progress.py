"""What an agent is believed to have programmed: what it confirmed, or all when nothing is due."""

from __future__ import annotations

from skytrail.control.progress import MARK_INTERVAL_S
from skytrail.testing.control_plane import (
    SYSTEM,
    Bench,
    build,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.spans import Span, root_of
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigSubscribe,
    ItemsEvent,
    PortTrouble,
    Programmed,
    PublishRoute,
    RevisionMark,
    Subscribe,
)

PROJECT = build("project", ["default-domain", "p"], parent="domain")
ASKED = ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:a"), answers_marks=True)


def network(name: str, **fields: object):
    return build("virtual-network", ["default-domain", "p", name], parent="project", fields=fields)


def port(name: str, machine: str):
    refs = [
        ("virtual-machine", [machine], None),
        ("virtual-network", ["default-domain", "p", "red"], None),
    ]
    name_of = ["default-domain", "p", name]
    return build("virtual-machine-interface", name_of, parent="project", refs=refs)


def started(asked: ConfigSubscribe = ASKED) -> Bench:
    """A node with two hosts at revision 1; the agent of ``a`` has been sent everything."""
    bench = Bench(
        PROJECT, network("red"), network("blue"), routing_instance("red", both=[1]),
        build("virtual-machine", ["vm1"]), port("p1", "vm1"), virtual_router("a", ["vm1"]),
    )  # fmt: skip
    bench.up("a")
    bench.say("a", asked)
    bench.hear("a")
    bench.wait(1.0)
    return bench


def marks(bench: Bench) -> list[int]:
    return [each.revision for each in bench.hear("a") if isinstance(each, RevisionMark)]


def revision(bench: Bench) -> int | None:
    return bench.plane.peers["a"].progress.revision(bench.plane.revision)


def confirmed() -> Bench:
    bench = started()
    assert marks(bench) == [1]
    bench.say("a", Programmed(1))
    return bench


def test_mark_follows_everything_else_and_its_answer_confirms_the_revision() -> None:
    bench = started()
    before = revision(bench)

    last = bench.hear("a")[-1]
    unanswered = revision(bench)
    bench.say("a", Programmed(1))

    assert last == RevisionMark(1)
    assert (before, unanswered, revision(bench)) == (0, 0, 1)


def test_agent_that_answers_no_marks_gets_none_and_claims_nothing() -> None:
    bench = started(ConfigSubscribe(ASKED.key))

    assert marks(bench) == []
    assert revision(bench) is None


def test_revision_that_means_nothing_to_an_agent_costs_no_message() -> None:
    bench = confirmed()

    bench.put(network("blue", mtu=1400))
    bench.wait(1.0)

    assert marks(bench) == []
    assert revision(bench) == 2


def test_revision_for_the_agent_counts_when_it_is_answered() -> None:
    bench = confirmed()

    bench.put(network("red", mtu=1400))
    bench.put(network("blue", mtu=1400))
    bench.wait(1.0)
    before = revision(bench)
    sent = marks(bench)
    bench.say("a", Programmed(3))

    assert (before, sent, revision(bench)) == (1, [3], 3)


def test_commits_that_come_quickly_share_a_mark() -> None:
    bench = confirmed()
    bench.wait(1.0)
    sent: list[int] = []

    for number in range(10):
        bench.put(network("red", mtu=1400 + number))
        bench.now += MARK_INTERVAL_S / 10
        sent += marks(bench)

    assert sent == [2]
    bench.say("a", Programmed(2))
    assert revision(bench) == 2
    bench.wait(MARK_INTERVAL_S)
    assert marks(bench) == [11]


def test_answer_to_no_mark_confirms_nothing() -> None:
    bench = confirmed()
    bench.put(network("red", mtu=1400))

    for claimed in (2, 1_000_000, None):
        bench.say("a", Programmed(claimed))

    assert revision(bench) == 1


def test_routes_that_a_commit_moves_count_as_work() -> None:
    bench = confirmed()
    bench.put(routing_instance("green", both=[2]))
    bench.up("b")
    bench.say("b", Subscribe(instance_of("green"), 1))
    bench.say("b", PublishRoute(instance_of("green"), inet_route("10.0.0.1/32")))
    bench.say("a", Subscribe(instance_of("red"), 1))
    bench.hear("a")
    before = revision(bench)

    bench.put(routing_instance("red", both=[1], imports=[2]))
    bench.wait(1.0)
    moved = revision(bench)
    routes, mark = bench.hear("a")
    bench.say("a", Programmed(3))

    assert (before, moved, revision(bench)) == (2, 2, 3)
    assert isinstance(routes, ItemsEvent)
    assert mark == RevisionMark(3)


def test_table_joined_because_of_a_change_is_waited_for() -> None:
    bench = started()
    assert marks(bench) == [1]

    bench.say("a", Subscribe(instance_of("red"), 1), Programmed(1))
    joined = revision(bench)
    bench.wait(1.0)
    again = marks(bench)
    bench.say("a", Programmed(1))

    assert (joined, again, revision(bench)) == (0, [1], 1)


def test_another_machine_makes_everything_unconfirmed_until_it_is_answered() -> None:
    bench = confirmed()

    bench.say("a", ConfigSubscribe(ConfigKey("virtual-machine", "vm2")))

    assert revision(bench) == 0
    bench.wait(1.0)
    assert marks(bench) == [1]


def test_lost_session_confirms_nothing() -> None:
    bench = confirmed()

    bench.down("a")
    bench.up("a")

    assert revision(bench) is None


def test_what_hinders_an_agent_is_kept_as_it_says() -> None:
    bench = confirmed()
    trouble = PortTrouble("p", "no instance-ip has arrived")

    bench.say("a", Programmed(None, "no space left", (trouble,)))

    progress = bench.plane.peers["a"].progress
    assert (progress.problem, progress.troubles) == ("no space left", (trouble,))
    assert revision(bench) == 1


def test_mark_says_within_which_traces_it_was_sent() -> None:
    bench, spans = confirmed(), list[Span]()
    bench.plane.trace = spans.append
    bench.wait(1.0)
    started_at = bench.now

    bench.plane.config_put(network("red", mtu=1400))
    bench.plane.commit(7, started_at, ("11" * 16, "22" * 16))
    bench.now += 0.2
    (mark,) = [each for each in bench.hear("a") if isinstance(each, RevisionMark)]

    assert [each.trace_id for each in mark.traces] == ["11" * 16, "22" * 16]
    assert tuple(span.context for span in spans) == mark.traces
    assert (spans[0].name, spans[0].start, spans[0].end) == (
        "control.distribute",
        started_at,
        bench.now,
    )
    assert spans[0].attributes["skytrail.revision"] == 7
    assert spans[0].parent_id == root_of("11" * 16)


def test_traces_of_one_mark_are_not_of_the_next() -> None:
    bench = confirmed()
    bench.wait(1.0)
    for revision_of, trace in ((7, "11" * 16), (8, "22" * 16)):
        bench.plane.config_put(network("red", mtu=1400 + revision_of))
        bench.plane.commit(revision_of, bench.now, (trace,))
        (mark,) = [each for each in bench.hear("a") if isinstance(each, RevisionMark)]
        bench.say("a", Programmed(mark.revision))
        bench.wait(1.0)

        assert [each.trace_id for each in mark.traces] == [trace]


def test_change_that_means_nothing_to_a_host_is_in_no_mark_of_it() -> None:
    bench = confirmed()
    bench.wait(1.0)
    bench.plane.config_put(network("blue", mtu=1400))
    bench.plane.commit(7, bench.now, ("11" * 16,))
    bench.wait(1.0)
    bench.plane.config_put(network("red", mtu=1400))
    bench.plane.commit(8, bench.now, ("22" * 16,))
    (mark,) = [each for each in bench.hear("a") if isinstance(each, RevisionMark)]

    assert [each.trace_id for each in mark.traces] == ["22" * 16]
