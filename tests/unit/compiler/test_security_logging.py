from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.engine import Engine, Put
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.objects import SecurityLoggingObject
from skytrail.testing.configuration import (
    PROJECT,
    link,
    network_policy,
    rule,
    security_group,
    uuid_of,
)

NAME = (*PROJECT, "audit")


def logging(rate=None, policies=(), groups=()):
    return SecurityLoggingObject(
        uuid=uuid_of("security-logging-object", NAME),
        fq_name=NAME,
        security_logging_object_rate=rate,
        network_policy_refs=tuple(map(link, policies)),
        security_group_refs=tuple(map(link, groups)),
    )


def logged(engine, field):
    wanted = engine.wanted(DerivedKey("security-logging-object", NAME))
    return [
        (entry.rule_uuid, entry.rate) for found in wanted.links[field] for entry in found.attr.rule
    ]


def test_every_rule_of_a_referred_policy_and_group_is_listed_with_the_rate():
    policy = network_policy("p", rule(uuid="one"), rule(uuid="two"))
    group = security_group("web", 8000000, rule("group=any", "group=local", uuid="three"))
    engine = Engine(ALL_PASSES)

    engine.load([policy, group, logging(7, [policy], [group])])

    assert logged(engine, "network_policy_refs") == [("one", 7), ("two", 7)]
    assert logged(engine, "security_group_refs") == [("three", 7)]


def test_list_follows_the_policy_and_the_default_rate_is_one_in_a_hundred():
    policy = network_policy("p", rule(uuid="one"))
    engine = Engine(ALL_PASSES)
    engine.load([policy, logging(policies=[policy])])

    engine.apply([Put(network_policy("p", rule(uuid="four")))])

    assert logged(engine, "network_policy_refs") == [("four", 100)]


def test_object_that_refers_to_nothing_is_left_alone():
    engine = Engine(ALL_PASSES)

    engine.load([logging(7)])

    assert engine.wanted_keys() == []
