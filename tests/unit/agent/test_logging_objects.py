"""Security logging objects: which sessions they log, and which not."""

import pytest

from skytrail.agent.config import ConfigGraph
from skytrail.agent.logging_objects import GLOBAL, OBJECT, PLACE_COUNT_MAX, LoggingObjects
from skytrail.testing.agent_world import PROJECT, ConfigBuilder, uuid_of
from skytrail.wire.xmpp import ConfigKey

RULE, OTHER = uuid_of("rule"), uuid_of("other")
PORT, NETWORK = ConfigKey("virtual-machine-interface", "p:web"), ConfigKey("virtual-network", "p:n")


def rules(*listed):
    return {"rule": [{"rule_uuid": uuid, "rate": rate} for uuid, rate in listed]}


class Configured:
    """One object, attached and filled by the test."""

    def __init__(self, **properties):
        self.config = ConfigBuilder()
        self.slo = self.config.node(OBJECT, f"{PROJECT}:audit", **properties)

    def attach(self, key):
        self.config.link(key, self.slo)
        return self

    def objects(self):
        self.graph = ConfigGraph()
        self.graph.update(self.config.update())
        return LoggingObjects(lambda: self.graph)


def chosen(objects, rule=RULE, ends=(PORT, NETWORK)):
    """Who logs one session."""
    return [turn.name for turn in objects.turns((rule,), ends) if objects.count(turn, 1)]


def logged(objects, count, *, rule=RULE, ends=(PORT, NETWORK)):
    return [bool(chosen(objects, rule, ends)) for _ in range(count)]


@pytest.mark.parametrize("holder", [PORT, NETWORK, ConfigKey(GLOBAL, "g:v")])
def test_first_of_every_rate_is_logged_where_the_object_is_attached(holder):
    made = Configured(security_logging_object_rules=rules((RULE, 3))).attach(holder).objects()

    assert logged(made, 7) == [True, False, False, True, False, False, True]


def test_elsewhere_and_by_other_rules_nothing_is_logged():
    made = Configured(security_logging_object_rules=rules((RULE, 1))).attach(PORT).objects()

    assert logged(made, 2, ends=(ConfigKey(PORT.type_name, "p:db"), NETWORK)) == [False, False]
    assert logged(made, 2, rule=OTHER) == [False, False]


def test_rules_of_a_referred_policy_and_group_come_with_the_reference():
    made = Configured(security_logging_object_rate=2).attach(NETWORK)
    for kind, uuid, rate in (("network-policy", RULE, 1), ("security-group", OTHER, None)):
        other = made.config.node(kind, f"{PROJECT}:{kind}")
        made.config.link(made.slo, other, {"rule": [{"rule_uuid": uuid, "rate": rate}]})
    objects = made.objects()

    assert logged(objects, 3) == [True, True, True]
    assert logged(objects, 3, rule=OTHER) == [True, False, True]


@pytest.mark.parametrize(
    ("rate", "expected"), [(2, [True, False]), (-1, [True, True]), (0, [False] * 2)]
)
def test_firewall_policy_logs_its_rules_wherever_they_decide(rate, expected):
    made = Configured(security_logging_object_rate=1)
    policy = made.config.node("firewall-policy", f"{PROJECT}:p")
    rule = made.config.node("firewall-rule", f"{PROJECT}:r", uuid=RULE)
    made.config.link(policy, rule)
    made.config.link(policy, made.slo, {"rate": rate})

    assert logged(made.objects(), 2, ends=()) == expected


def test_rule_without_a_rate_has_the_objects_and_that_is_one_hundred():
    listed = {"rule": [{"rule_uuid": RULE.upper()}]}
    made = Configured(security_logging_object_rules=listed).attach(PORT).objects()

    assert logged(made, 101) == [True, *[False] * 99, True]


@pytest.mark.parametrize(
    ("settings", "properties"),
    [({"enable_security_logging": False}, {}), ({}, {"id_perms": {"enable": False}})],
)
def test_turned_off_nothing_is_logged(settings, properties):
    made = Configured(security_logging_object_rules=rules((RULE, 1)), **properties).attach(PORT)
    made.config.node(GLOBAL, "g:v", **settings)
    objects = made.objects()

    assert logged(objects, 1) == [False]
    assert not objects.are_any


def test_changed_configuration_holds_from_the_next_session_and_keeps_counting():
    made = Configured(security_logging_object_rules=rules((RULE, 2))).attach(PORT)
    objects = made.objects()
    before = logged(objects, 1)
    made.attach(NETWORK)
    made.graph.update(made.config.update())

    assert before + logged(objects, 2) == [True, False, True]
    (row,) = objects.rows()
    assert (row["sessions"], row["logged"], row["rate"]) == (3, 2, 2)


def test_objects_beyond_a_bound_at_one_place_log_nothing_and_take_none_of_another_place():
    listed = {"security_logging_object_rules": rules((RULE, 1))}
    made = Configured(**listed).attach(NETWORK)
    for number in range(PLACE_COUNT_MAX + 5):
        made.config.link(PORT, made.config.node(OBJECT, f"{PROJECT}:a{number:03}", **listed))
    objects = made.objects()

    names = chosen(objects)

    assert len(names) == PLACE_COUNT_MAX + 1
    assert made.slo.name in names
    assert len(list(objects.rows())) == PLACE_COUNT_MAX + 1


def test_sessions_counted_together_are_logged_as_if_one_by_one():
    listed = {"security_logging_object_rules": rules((RULE, 3))}
    together, single = (Configured(**listed).attach(PORT).objects() for _ in range(2))
    (turn,) = together.turns((RULE,), (PORT,))

    found = []
    for count in (1, 4, 0, 2, 7):
        at_once = together.count(turn, count)
        found += [place in at_once for place in range(count)]

    assert found == logged(single, 14)
    assert list(together.rows()) == list(single.rows())
