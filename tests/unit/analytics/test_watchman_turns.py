"""In which order a node looks at its entities."""

from __future__ import annotations

from skytrail.analytics.alarm_rule import AlarmRule, Condition
from skytrail.analytics.collector import Collector
from skytrail.analytics.telemetry import change_of
from skytrail.analytics.watchman import LOOKS_COUNT_MAX, ROUND_COUNT_MIN, Watchman
from skytrail.wire.telemetry import Uve

PORTS = "ObjectVMITable"
DOWN = AlarmRule(
    "d:red:down", 1, (), ((Condition("UveVMInterfaceAgent.active", "==", constant=False),),),
    project="d:red",
)  # fmt: skip


class Node:
    def __init__(self, ports_count):
        self.collector = Collector()
        self.watchman = Watchman(self.collector, "node")
        self.now = 0.0
        for number in range(ports_count):
            self.tell(f"port{number:05}", active=False)
        while self.watchman._due or self.collector.changes.position > self.watchman._position:
            self.tick()

    def tell(self, name, *, active):
        uve = Uve(
            table=PORTS, key=f"d:red:{name}", struct="UveVMInterfaceAgent", fields={"active": active}
        )  # fmt: skip
        self.collector.apply(change_of("host:Compute:agent:0", uve), self.now)

    def tick(self):
        self.now += 1.0
        self.watchman.tick(self.now, round(self.now * 1e6))

    def raised(self):
        return sum(1 for _ in self.watchman.board.all_raised())


def test_a_change_is_looked_at_at_once_however_often_rules_change():
    node = Node(5 * LOOKS_COUNT_MAX)
    for _ in range(3):
        node.watchman.set_rules([DOWN], is_enabled=True)
        node.tick()

    node.tell("zzz", active=False)
    node.watchman.set_rules([DOWN], is_enabled=True)
    node.tick()

    assert node.watchman.board.is_raised((PORTS, "d:red:zzz"), DOWN.name)


def test_everything_is_looked_at_by_new_rules_though_more_changes_than_a_turn_holds():
    count = 3 * LOOKS_COUNT_MAX
    node = Node(count)
    node.watchman.set_rules([DOWN], is_enabled=True)

    for _ in range((count + LOOKS_COUNT_MAX) // ROUND_COUNT_MIN + 1):
        for number in range(LOOKS_COUNT_MAX):
            node.tell(f"busy{number:05}", active=True)
        node.tick()

    assert node.raised() == count
