"""What counts as reached, isolated, leaked."""

from ipaddress import ip_address

import pytest

from skytrail.lab.reachability import Denial, Evidence, Member, judge, probe_list, rounds
from skytrail.lab.topology import Expectation

RED, BLUE = ("d", "red", "front"), ("d", "blue", "front")


def member(name, network, address, *, observed=True):
    return Member(name, network, (ip_address(address),), observed)


MEMBERS = {
    "red1": member("red1", RED, "10.0.0.3"),
    "red2": member("red2", RED, "10.0.0.4"),
    "blue1": member("blue1", BLUE, "10.0.0.3"),
    "blue2": member("blue2", BLUE, "10.0.0.4"),
    "blue3": member("blue3", BLUE, "10.0.0.9"),
    "vm": member("vm", RED, "10.0.0.5", observed=False),
}


def cell(source, destination, *, reply, arrived=(), replied=False, denial=None, reason=None):
    expectation = Expectation(source, destination, reply=reply, reason=reason)
    evidence = Evidence(replied=replied, arrived=frozenset(arrived), denial=denial)
    return judge(expectation, evidence, MEMBERS)


def test_token_in_the_destination_and_an_answer_is_reached():
    judged = cell("red1", "red2", reply=True, arrived={"red2"}, replied=True)

    assert judged.ok
    assert judged.seen == "reply"


def test_an_answer_without_the_token_in_the_destination_is_not_reached():
    judged = cell("red1", "red2", reply=True, replied=True)

    assert not judged.reached
    assert not judged.ok


def test_a_token_without_an_answer_is_not_reached():
    assert not cell("red1", "red2", reply=True, arrived={"red2"}).ok


def test_answer_of_the_own_networks_machine_with_that_address_is_isolation():
    judged = cell("red1", "blue2", reply=False, arrived={"red2"}, replied=True)

    assert judged.ok
    assert judged.seen == "isolated (is red2)"


def test_own_address_is_isolation():
    judged = cell("red1", "blue1", reply=False, arrived={"red1"}, replied=True)

    assert judged.ok
    assert judged.seen == "isolated (own address)"


def test_token_in_the_other_tenant_is_reached_and_wrong():
    assert not cell("red1", "blue2", reply=False, arrived={"blue2"}, replied=True).ok


@pytest.mark.parametrize("arrived", [{"red2", "blue2"}, {"blue2"}])
def test_token_seen_by_a_stranger_is_a_leak_even_when_all_else_is_right(arrived):
    judged = cell("red1", "red2", reply=True, arrived=arrived, replied=True)

    assert not judged.ok
    assert judged.seen == "LEAK to blue2"


def test_a_refusal_needs_a_name():
    assert not cell("red1", "blue3", reply=False).ok
    assert cell("red1", "blue3", reply=False, denial=Denial("NO_ROUTE", "h1")).ok


def test_a_refusal_for_the_wrong_reason_is_wrong():
    judged = cell("red1", "blue3", reply=False, reason="POLICY", denial=Denial("NO_ROUTE", "h1"))

    assert not judged.ok
    assert (judged.seen, judged.wanted) == ("NO_ROUTE", "POLICY")


def test_an_answer_from_nowhere_is_wrong():
    assert not cell("red1", "blue3", reply=False, replied=True).ok


def test_for_a_virtual_machine_the_answer_counts():
    assert cell("red1", "vm", reply=True, replied=True).ok
    assert not cell("red1", "vm", reply=True).ok


def test_a_machine_one_may_reach_in_another_network_is_no_leak():
    expectation = Expectation("blue3", "red2", reply=False)
    evidence = Evidence(replied=True, arrived=frozenset({"blue2"}))

    assert judge(expectation, evidence, MEMBERS, {("blue3", "blue2")}).ok


def test_other_probes_name_the_deciding_rule_as_people_read_it():
    rule = "default-domain:red:a:a#7d4b1c5e-55a1-4f36-8f0e-8f8f3b5d0001"
    expectation = Expectation("red1", "blue3", protocol="tcp", port=22, reply=False)
    evidence = Evidence(replied=False, arrived=frozenset(), denial=Denial("POLICY", "h1", rule))

    table = probe_list([judge(expectation, evidence, MEMBERS)])

    assert [str(each) for each in table.columns[-1].cells] == ["red:a:a"]


def test_probes_share_a_round_only_when_no_port_is_in_two_of_them():
    pairs = [("red1", "vm"), ("red2", "blue3"), ("vm", "red1"), ("blue1", "blue3")]
    probes = [Expectation(*pair, reply=False) for pair in pairs]

    batches = rounds(probes, MEMBERS)

    assert batches == [probes[:2], [probes[2]], [probes[3]]], "blue1 has the address of red1"
    assert rounds([], MEMBERS) == []
