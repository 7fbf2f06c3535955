from ipaddress import ip_address

import pytest

from skytrail.lab.trace import Endpoint, Explanation, Leg, Packet, Rule, Step, TraceResult
from skytrail.lab.wording import explained, readable


@pytest.mark.parametrize(
    ("exact", "words"),
    [
        ("pass protocol 6 remote any ports 0-65535->80-80", "pass tcp remote any port 80"),
        (
            "pass protocol any IPv4 remote 0.0.0.0/0 ports 0-65535->0-65535",
            "pass any protocol IPv4 remote 0.0.0.0/0",
        ),
        (
            "deny protocol 17 remote default-domain:red:front ports 53-53->1000-2000",
            "deny udp remote red:front source port 53 ports 1000-2000",
        ),
        ("pass protocol 47 remote any ports 0-65535->0-0", "pass protocol 47 remote any port 0"),
        ("policy 1 10.1.2.3 (class 1) protocol 6 ports 0->22", "policy 1 10.1.2.3 (class 1) tcp port 22"),
        ("policy 1 protocol 1 ports 0->0", "policy 1 icmp"),
        ("something else", "something else"),
    ],
)  # fmt: skip
def test_rules_read_as_people_write_them(exact, words):
    assert readable(exact) == words


def end(name, network, address):
    return Endpoint(name, "h1", f"uuid-{name}", "", network, (ip_address(address),))


def result(*explanations):
    return TraceResult(
        end("web1", "default-domain:red:front", "10.1.1.3"),
        end("store", "default-domain:red:store", "10.1.3.3"),
        Packet(),
        tuple(Leg("h1", each) for each in explanations),
    )


NO_ROUTE = Explanation(outcome="dropped", drop_reason="NO_ROUTE")


def test_a_missing_route_is_a_sentence_that_names_vrf_and_address():
    assert explained(result(NO_ROUTE), "NO_ROUTE") == "no route in VRF red:front to 10.1.3.3"


def test_an_unanswered_arp_question_is_explained_by_the_missing_route():
    assert explained(result(NO_ROUTE), "ARP_UNKNOWN") == (
        "no route in VRF red:front to 10.1.3.3; nobody answers ARP for an address that has no route"
    )


def test_behind_a_tunnel_the_missing_route_is_the_destinations():
    forwarded = Explanation(outcome="forwarded", remote="198.18.2.2")

    assert "VRF red:store" in explained(result(forwarded, NO_ROUTE), "NO_ROUTE")


def test_a_refusal_by_policy_names_list_and_rule():
    rule = Rule(
        rule_id=1,
        name="default-domain:red:a#00000000-0000-0000-0000-000000000001",
        text="deny protocol 6 remote any ports 0-65535->22-22",
    )
    denied = Explanation(outcome="dropped", drop_reason="POLICY", deciding_rule=rule)

    assert explained(result(denied), "POLICY") == "red:a: deny tcp remote any port 22"


def test_any_other_reason_is_told_by_the_last_step_and_not_twice():
    step = Step(stage="anti-spoofing", question="10.9.9.9", answer="not allowed")
    dropped = Explanation(outcome="dropped", drop_reason="SOURCE_SPOOFED", steps=(step,))

    assert explained(result(dropped), "SOURCE_SPOOFED") == "anti-spoofing 10.9.9.9: not allowed"
    assert explained(result(dropped), "OTHER").startswith("SOURCE_SPOOFED: anti-spoofing")


def test_vrfs_of_networks_are_called_by_the_network():
    assert readable("VRF default-domain:red:front:front 10.1.1.3") == "VRF red:front 10.1.1.3"
    assert readable("VRF default-domain:red:front:front, listeners") == "VRF red:front, listeners"
    assert readable("VRF a:red:front:left 2001:db8::1:1") == "VRF a:red:front:left 2001:db8::1:1"
