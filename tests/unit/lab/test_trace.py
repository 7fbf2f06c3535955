"""Finding the ends of a trace, and joining two vRouters' answers."""

import uuid
from dataclasses import replace

import pytest

from skytrail.lab.trace import (
    Explanation,
    Packet,
    PortRow,
    Rule,
    Service,
    TraceError,
    check_source,
    find,
    find_destination,
    network_of_destination,
    trace,
    without_uuids,
)


def row(uuid, name, addresses, network="d:red:front", *, active=True):
    return PortRow(
        vmi_uuid=uuid,
        ifname=f"tap{uuid}",
        active=active,
        name=f"d:red:{name}",
        mac="02:00:00:00:00:01",
        addresses=addresses,
        virtual_network=network,
    )


PORTS = {
    "h1": [row("u1", "web1", ("10.0.0.3", "fd00::3")), row("u3", "old", (), active=False)],
    "h2": [
        row("u2", "web2", ("10.0.0.4", "fd00::4")),
        row("u4", "other", ("10.0.0.4",), "d:blue:front"),
    ],
}
KNOWN = {"lab-web1": "u1", "lab-web2": "u2"}
HOSTS = {"198.18.2.2": "h2"}


def end(text, network=None):
    return find(text, PORTS, known=KNOWN, network=network)


@pytest.mark.parametrize("text", ["lab-web1", "u1", "d:red:web1", "web1", "10.0.0.3"])
def test_an_end_is_found_by_every_name_it_has(text):
    found = end(text)

    assert (found.uuid, found.host) == ("u1", "h1")


def test_a_sender_by_an_address_of_two_networks_needs_the_network():
    with pytest.raises(TraceError, match=r"several ports.*name the network or the uuid"):
        end("10.0.0.4")
    assert end("10.0.0.4", "d:blue:front").uuid == "u4"


def test_a_network_is_asked_for_only_where_it_tells_ports_apart():
    ports = {"h1": [row("u1", "web1", ("10.0.0.9",)), row("u2", "web2", ("10.0.0.9",))]}

    with pytest.raises(TraceError, match="on h1; name the uuid"):
        find("10.0.0.9", ports, known={})


def test_a_network_does_not_hold_for_an_end_by_name():
    assert end("web1", "d:blue:front").uuid == "u1"
    assert end("lab-web1", "d:blue:front").uuid == "u1"


def to_shared(text="10.0.0.4", network=None):
    return find_destination(text, PORTS, known=KNOWN, network=network)


def test_the_senders_tables_choose_among_ports_that_share_the_destination():
    for port, name in (("u2", "web2"), ("u4", "other")):
        agents = Agents({"h1": FORWARDED, "h2": Explanation(outcome="delivered", vmi_uuid=port)})

        result = trace(end("web1"), to_shared(), Packet("tcp", 80), ask=agents, host_of=HOSTS)

        assert [query["dst"] for _, query in agents.asked] == ["10.0.0.4"] * 2
        assert result.delivered
        assert (result.destination.uuid, result.destination.host) == (port, "h2")
        # Two tenants have the address by chance: nobody is told of the other one.
        named = replace(result, names={port: name})
        assert named.summary() == f"delivered to 10.0.0.4 at {name}"


def test_ports_of_one_network_that_share_an_address_are_told_of():
    shared = [row("u2", "web2", ("10.0.0.4",)), row("u5", "web5", ("10.0.0.4",))]
    destination = find_destination("10.0.0.4", {**PORTS, "h2": shared}, known=KNOWN)
    agents = Agents({"h1": FORWARDED, "h2": Explanation(outcome="delivered", vmi_uuid="u5")})

    result = trace(end("web1"), destination, Packet("tcp", 80), ask=agents, host_of=HOSTS)

    named = replace(result, names={"u5": "web5"})
    assert named.summary() == "delivered to 10.0.0.4 at web5, one of the 2 ports that share it"


def test_a_port_that_does_not_share_the_destination_is_not_it():
    agents = Agents({"h1": Explanation(outcome="delivered", vmi_uuid="u1")})

    result = trace(end("web1"), to_shared(), Packet(), ask=agents, host_of=HOSTS)

    assert not result.delivered
    assert "delivered to port u1, which is not 10.0.0.4" in result.summary()


def test_what_leaves_by_a_gateway_is_not_delivered_to_ports_that_share_the_address():
    agents = Agents({"h1": Explanation(outcome="forwarded", remote="203.0.113.1")})
    gateways = {"203.0.113.1": "gw"}

    result = trace(
        end("web1"), to_shared(), Packet(), ask=agents, host_of=HOSTS, gateway_of=gateways
    )

    assert not result.delivered


def left(src="198.18.2.2"):
    told = {"src": src, "dst": "198.19.1.2", "port": "443"}
    return Explanation(outcome="leaves for the host's own network", leaves_as=told)


def test_what_leaves_for_the_hosts_network_is_where_it_is_for():
    outside = find_destination("198.19.1.2", PORTS, known=KNOWN)
    agents = Agents({"h1": left()})

    result = trace(end("web1"), outside, Packet("tcp", 443), ask=agents, host_of=HOSTS)

    assert result.delivered
    assert result.summary() == (
        "leaves for the host's own network, from 198.18.2.2 to 198.19.1.2 port 443"
    )


def test_what_leaves_for_the_hosts_network_is_at_no_port():
    agents = Agents({"h1": left()})

    result = trace(end("web1"), end("web2"), Packet("tcp", 80), ask=agents, host_of=HOSTS)

    assert not result.delivered


def test_a_network_still_chooses_among_destinations():
    assert to_shared(network="d:blue:front").uuid == "u4"
    with pytest.raises(TraceError, match="no active port 'nobody'"):
        to_shared("nobody")


def test_names_of_several_ports_are_refused_as_destinations():
    ports = {"h1": [row("u1", "web", ("10.0.0.3",)), row("u2", "web", ("10.0.0.4",))]}

    with pytest.raises(TraceError, match="'web' means several ports"):
        find_destination("web", ports, known={})


def test_a_name_that_stands_for_the_senders_own_address_is_told():
    ports = {
        "h1": [row("u1", "red-web1", ("10.0.0.3",))],
        "h2": [row("u2", "blue-web1", ("10.0.0.3",), "d:blue:front")],
    }
    agents = Agents({"h1": Explanation(outcome="dropped", drop_reason="SAME_INTERFACE")})
    source = find("red-web1", ports, known={})

    told = {
        text: trace(
            source,
            find_destination(text, ports, known={}),
            Packet(),
            ask=agents,
            host_of=HOSTS,
        ).summary()
        for text in ("blue-web1", "10.0.0.3")
    }

    assert told == {
        "blue-web1": "dropped on h1: SAME_INTERFACE: "
        "blue-web1 has 10.0.0.3, which is red-web1's own",
        "10.0.0.3": "dropped on h1: SAME_INTERFACE: 10.0.0.3 is red-web1's own",
    }


def test_an_inactive_port_and_an_unknown_name_are_refused_with_the_known_ones():
    for text in ("u3", "nobody"):
        with pytest.raises(TraceError, match="lab-web1, lab-web2"):
            end(text)


def test_an_address_that_is_no_port_is_still_a_destination():
    assert end("192.0.2.1").host == ""


POD = "02:00:00:00:65:01"
PAGES = {
    "learnt_addresses": [{"port": "u2", "mac": POD, "address": "10.0.0.99", "vrf": "front"}],
    "macs": [
        {"port": "u2", "mac": POD, "sequence": 0},
        {"port": "u4", "mac": POD, "sequence": 0},
    ],
}


def read(host, table, where):
    wanted = where.items()
    return [row for row in PAGES[table] if host == "h2" and wanted <= row.items()]


def behind(text, network=None):
    return find(text, PORTS, known=KNOWN, network=network, read=read)


def test_an_address_behind_a_port_is_an_end_with_its_own_mac():
    found = behind("10.0.0.99")

    assert (found.host, found.uuid, found.mac, found.behind) == ("h2", "u2", POD, "d:red:web2")
    assert [str(address) for address in found.addresses] == ["10.0.0.99"]


def test_what_a_port_has_is_not_looked_for_behind_ports():
    def refuse(host, table, where):
        raise AssertionError((host, table, where))

    assert find("10.0.0.3", PORTS, known=KNOWN, read=refuse).uuid == "u1"


def test_a_mac_is_looked_for_in_the_senders_network():
    network = network_of_destination(POD, end("web1"), None)

    assert behind(POD, network).uuid == "u2"
    assert behind(POD.upper().replace(":", "-"), "d:blue:front").uuid == "u4"
    assert network_of_destination("10.0.0.9", end("web1"), None) is None
    with pytest.raises(TraceError, match="several ports"):
        behind(POD)


def test_a_mac_nobody_is_known_to_have_is_asked_of_the_tables():
    agents = Agents({"h1": Explanation(outcome="dropped", drop_reason="NO_ROUTE")})
    to = behind("02:00:00:00:00:99")

    result = trace(end("web1"), to, Packet(), ask=agents, host_of=HOSTS)

    assert result.summary() == "dropped on h1: NO_ROUTE"
    (asked,) = (query for _, query in agents.asked)
    assert (asked["dst"], asked["dmac"]) == ("0.0.0.0", "02:00:00:00:00:99")


def test_a_mac_is_asked_for_on_every_host_and_told_with_its_port():
    agents = Agents({"h1": FORWARDED, "h2": Explanation(outcome="delivered", vmi_uuid="u2")})
    to = behind(POD, "d:red:front")

    result = trace(end("fd00::3"), to, Packet("tcp", 80), ask=agents, host_of=HOSTS)

    assert result.summary() == f"delivered to {POD} behind d:red:web2"
    assert [(query["dst"], query["dmac"]) for _, query in agents.asked] == [("::", POD)] * 2


def test_a_mac_sends_nothing_and_a_groups_mac_is_no_end():
    with pytest.raises(TraceError, match="name the sender's port or address"):
        check_source(behind(POD, "d:red:front"))
    with pytest.raises(TraceError, match="MAC of a group"):
        end("ff:ff:ff:ff:ff:ff")


class Agents:
    """Answers by host, and what was asked."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def __call__(self, host, query):
        self.asked.append((host, dict(query)))
        return self.answers[host]


def run(agents, packet=Packet(), source="web1", destination="web2"):  # noqa: B008 - frozen
    return trace(end(source), end(destination), packet, ask=agents, host_of=HOSTS)


FORWARDED = Explanation(
    outcome="forwarded", remote="198.18.2.2", encapsulation="MPLS_UDP", label=21
)


def test_the_label_is_asked_at_the_other_end_of_the_tunnel():
    agents = Agents({"h1": FORWARDED, "h2": Explanation(outcome="delivered", vmi_uuid="u2")})

    result = run(agents, Packet("tcp", 80))

    assert result.delivered
    assert [host for host, _ in agents.asked] == ["h1", "h2"]
    first, second = (query for _, query in agents.asked)
    assert first["vmi"] == "u1"
    assert second["label"] == "21"
    wanted = {"src": "10.0.0.3", "dst": "10.0.0.4", "proto": "tcp", "port": "80"}
    assert wanted.items() <= first.items()
    assert wanted.items() <= second.items()


def test_icmp6_uses_the_ipv6_addresses():
    agents = Agents({"h1": Explanation(outcome="dropped", drop_reason="NO_ROUTE")})

    result = run(agents, Packet("icmp6"))

    assert agents.asked[0][1]["dst"] == "fd00::4"
    assert result.summary() == "dropped on h1: NO_ROUTE"


def test_an_end_named_by_an_ipv6_address_is_traced_by_ipv6():
    agents = Agents({"h1": Explanation(outcome="dropped", drop_reason="NO_ROUTE")})

    run(agents, Packet("tcp", 80), destination="fd00::4")
    run(agents, Packet(), source="fd00::3")

    assert [(query["dst"], query["src"], query["proto"]) for _, query in agents.asked] == [
        ("fd00::4", "fd00::3", "tcp"),
        ("fd00::4", "fd00::3", "icmp6"),
    ]


def test_people_read_a_rule_without_numbers():
    name = f"default-domain:red:a:a#{uuid.UUID(int=7)} & security groups default-domain:red:s#none"

    assert without_uuids(name) == "red:a:a & security groups red:s: none"


def test_delivery_to_somebody_else_is_not_delivered():
    agents = Agents({"h1": FORWARDED, "h2": Explanation(outcome="delivered", vmi_uuid="u4")})

    result = run(agents)

    assert not result.delivered
    assert "delivered to port u4, which is not web2" in result.summary()
    known = replace(result, names={"u4": "blue-web2"})
    assert "delivered to port u4, which is blue-web2, not web2" in known.summary()


def test_a_drop_by_policy_names_the_rule():
    rule = Rule(rule_id=7, name="list#uuid", text="deny tcp")
    denied = Explanation(outcome="dropped", drop_reason="POLICY", deciding_rule=rule)
    agents = Agents({"h1": FORWARDED, "h2": denied})

    assert run(agents).summary() == "dropped on h2: POLICY by rule list#uuid"


def entered(port, onward, copy="fw", source=""):
    service = Service(copy=copy, onward=onward, source=source)
    return Explanation(outcome="delivered", vmi_uuid=port, service=service)


class Ports(Agents):
    """Answers by the port or label the packet comes from."""

    def __call__(self, host, query):
        self.asked.append((host, dict(query)))
        return self.answers[query.get("vmi") or int(query["label"])]


def test_behind_a_service_the_packet_is_asked_about_from_its_other_side():
    answers = {
        "u1": FORWARDED,
        21: entered("in", "out"),
        "out": Explanation(outcome="delivered", vmi_uuid="u2"),
    }
    agents = Ports(answers)

    result = run(agents, Packet("tcp", 80))

    assert [host for host, _ in agents.asked] == ["h1", "h2", "h2"]
    onward = agents.asked[2][1]
    assert (onward["vmi"], onward["src"], onward["dst"]) == ("out", "10.0.0.3", "10.0.0.4")
    assert "label" not in onward
    assert result.delivered
    assert result.services == ("fw",)
    assert result.summary() == "delivered to web2 through fw"


def test_behind_a_service_that_translates_the_packet_is_its_own():
    answers = {
        "u1": entered("in", "out", source="10.0.0.9"),
        "out": FORWARDED,
        21: Explanation(outcome="dropped", drop_reason="POLICY"),
    }
    agents = Ports(answers)

    result = run(agents)

    assert [query["src"] for _, query in agents.asked] == ["10.0.0.3", "10.0.0.9", "10.0.0.9"]
    assert result.summary() == "dropped on h2 behind fw: POLICY"


def test_a_service_without_other_side_ends_the_way():
    result = run(Ports({"u1": entered("in", "")}))

    assert not result.delivered
    assert result.summary() == "enters service fw at in, which has no other side on that host"


def test_a_way_in_circles_ends():
    result = run(Ports({"u1": entered("in", "u1")}))

    assert not result.delivered
    assert "round in circles" in result.summary()


def test_a_packet_for_the_services_own_port_ends_there():
    result = run(Ports({"u1": entered("u2", "out")}))

    assert result.delivered
    assert result.services == ()


def test_a_tunnel_to_a_gateway_ends_there():
    gateway = Explanation(outcome="forwarded", remote="203.0.113.1", label=9)

    result = run(Agents({"h1": gateway}))

    assert [leg.host for leg in result.legs] == ["h1"]
    assert result.summary() == "forwarded"
