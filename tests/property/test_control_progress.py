"""What is claimed of an agent is true: whatever happens in whatever order, its kernel has it."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from skytrail.model.config_object import ConfigObject
from skytrail.testing.control_plane import SYSTEM, Bench, build, virtual_router
from skytrail.wire.xmpp import (
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    Programmed,
    RevisionMark,
)

NETWORKS = ("red", "blue", "green")
"""The first is needed by a machine of configuration, the second by one that may be asked for."""
ASKED = ConfigKey("virtual-machine", "vm-blue")
ROUTER = ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:a"), answers_marks=True)
ACTIONS = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(NETWORKS)),
    st.tuples(st.just("miss"), st.sampled_from(NETWORKS)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6])),
    st.tuples(st.just("hear"), st.sampled_from([1, 1 << 20])),
    st.sampled_from([("ask", ""), ("leave", ""), ("answer", ""), ("reconnect", "")]),
    st.just(("settle", "")),
)


def network(name: str, mtu: int) -> ConfigObject:
    return build(
        "virtual-network",
        ["default-domain", "p", name],
        parent="project",
        fields={"mtu": mtu},
    )


def port(name: str) -> ConfigObject:
    return build(
        "virtual-machine-interface",
        ["default-domain", "p", name],
        parent="project",
        refs=[
            ("virtual-machine", [f"vm-{name}"], None),
            ("virtual-network", ["default-domain", "p", name], None),
        ],
    )


class World:
    """A control node and an agent that writes to its kernel only when it answers."""

    def __init__(self) -> None:
        machines = [build("virtual-machine", [f"vm-{name}"]) for name in NETWORKS]
        self.mtu = dict.fromkeys(NETWORKS, 1000)
        self.changed = dict.fromkeys(NETWORKS, 1)
        self.missed: list[ConfigObject] = []
        self.bench = Bench(
            build("project", ["default-domain", "p"], parent="domain"),
            virtual_router("a", ["vm-red"]),
            *machines, *map(port, NETWORKS), *(network(name, 1000) for name in NETWORKS),
        )  # fmt: skip
        self.asks = False
        self.connect()

    def connect(self) -> None:
        self.bench.up("a")
        self.known: dict[str, object] = {}
        self.kernel: dict[str, object] = {}
        self.marks: list[RevisionMark] = []
        self.bench.say("a", ROUTER)
        if self.asks:
            self.bench.say("a", ConfigSubscribe(ASKED))

    def act(self, action: str, argument: object) -> None:
        bench = self.bench
        match action:
            case "change" | "miss":
                name = str(argument)
                self.mtu[name] += 1
                self.missed.append(network(name, self.mtu[name]))
                if action == "miss":
                    # The node learns of this revision with the next one only.
                    bench.revision += 1
                    self.changed[name] = bench.revision
                    return
                bench.put(*self.missed)
                self.missed.clear()
                self.changed[name] = bench.revision
            case "wait":
                bench.wait(float(str(argument)))
            case "hear":
                self.hear(int(str(argument)))
            case "settle":
                for _ in range(2):
                    self.act("wait", 0.6)
                    self.act("hear", 1 << 20)
                    self.act("answer", "")
            case "ask":
                self.asks = True
                bench.say("a", ConfigSubscribe(ASKED))
            case "leave":
                self.asks = False
                bench.say("a", ConfigUnsubscribe(ASKED))
            case "reconnect":
                bench.down("a")
                self.connect()
            case _:
                for mark in self.marks:
                    self.kernel = dict(self.known)
                    bench.say("a", Programmed(mark.revision))
                self.marks.clear()

    def hear(self, bytes_max: int) -> None:
        for message in self.bench.hear("a", bytes_max):
            if isinstance(message, RevisionMark):
                self.marks.append(message)
            elif isinstance(message, ConfigUpdate):
                for node in message.nodes:
                    if node.key.type_name == "virtual-network":
                        self.known[node.key.name.rpartition(":")[2]] = node.properties["mtu"]

    def check(self) -> None:
        plane = self.bench.plane
        claimed = plane.peers["a"].progress.revision(plane.revision)
        assert claimed is not None
        for name in ("red", "blue") if self.asks else ("red",):
            if self.changed[name] <= claimed:
                assert self.kernel.get(name) == str(self.mtu[name])


@settings(max_examples=100)
@example([("change", "blue"), ("settle", ""), ("change", "red"), ("ask", "")])
@given(st.lists(ACTIONS, max_size=40))
def test_no_revision_is_claimed_that_the_kernel_lacks(actions: list[tuple[str, object]]) -> None:
    world = World()

    for action, argument in actions:
        world.act(action, argument)
        world.check()


@given(st.lists(ACTIONS, max_size=40))
def test_agent_that_answers_is_current_in_the_end(actions: list[tuple[str, object]]) -> None:
    world = World()
    for action, argument in actions:
        world.act(action, argument)

    world.act("settle", "")
    world.act("settle", "")

    plane = world.bench.plane
    assert plane.peers["a"].progress.revision(plane.revision) == plane.revision
