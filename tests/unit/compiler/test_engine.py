import pytest

from skytrail.compiler.derived import DerivedKey, Outcome
from skytrail.compiler.engine import Engine, Put, UndeclaredRead, UnitPass
from skytrail.compiler.passes import ALL_PASSES
from skytrail.model.generated.objects import NetworkPolicy, VirtualNetwork
from skytrail.testing.configuration import (
    network_policy,
    routing_instance,
    rule,
    security_group,
    virtual_network,
)


def test_reading_an_undeclared_kind_is_refused():
    def evaluate(view, uuid):
        view.get(NetworkPolicy, "x")
        return Outcome()

    engine = Engine([UnitPass("p", "virtual-network", frozenset({"virtual-network"}), evaluate)])

    with pytest.raises(UndeclaredRead, match="p reads undeclared kind network-policy"):
        engine.apply([Put(virtual_network("red"))])


def test_passes_must_follow_what_they_read():
    late = UnitPass("b", "x", frozenset({"x"}), lambda *_: Outcome(), ("a",))

    with pytest.raises(ValueError, match="before"):
        Engine([late])


def test_unrelated_change_evaluates_only_what_it_touches():
    networks = [virtual_network(f"n{number}") for number in range(200)]
    engine = Engine(ALL_PASSES)
    engine.load([*networks, *map(routing_instance, networks)])
    before = engine.evaluations_count

    engine.apply([Put(security_group("web", 1))])

    assert engine.evaluations_count - before == 1


def test_policy_edit_evaluates_the_networks_it_is_attached_to():
    policy = network_policy("p", rule("any", "any"))
    attached = [virtual_network(f"a{number}", policy) for number in range(3)]
    plain = [virtual_network(f"n{number}") for number in range(50)]
    engine = Engine(ALL_PASSES)
    engine.load([policy, *attached, *plain, *map(routing_instance, [*attached, *plain])])
    before = engine.evaluations_count

    differing = engine.apply([Put(network_policy("p", rule("any", "any", action="deny")))])

    assert engine.evaluations_count - before == 7 * len(attached)
    assert {key.type_name for key in differing} == {"access-control-list", "routing-instance"}
    assert len(differing) == 6


def test_same_object_again_touches_nothing():
    red = virtual_network("red")
    engine = Engine(ALL_PASSES)
    engine.load([red])
    before = engine.evaluations_count

    assert engine.apply([Put(virtual_network("red"))]) == set()
    assert engine.evaluations_count == before


def test_provenance_names_the_policy_behind_an_access_list():
    policy = network_policy("p", rule("any", "any"))
    red = virtual_network("red", policy)
    engine = Engine(ALL_PASSES)
    engine.load([policy, red])

    sources = engine.provenance(DerivedKey("access-control-list", (*red.fq_name, "red")))

    assert sources == [red, policy]
    assert isinstance(sources[0], VirtualNetwork)
