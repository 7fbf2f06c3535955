"""Service chains on a host: rules that lead elsewhere, ports that pass on, stand-by copies."""

from ipaddress import ip_address, ip_network

from skytrail.agent.identity import Identity
from skytrail.agent.introspect import RuleBook, explain_query
from skytrail.agent.policy import PolicyPacket, evaluate, port_policies
from skytrail.agent.share import COPY_LABEL_FIRST
from skytrail.agent.tables import InetRouteRow, InterfaceRow, SourceRow
from skytrail.agent.trace import DELIVERED, DROPPED, FORWARDED, TracePacket
from skytrail.net import Label
from skytrail.testing.agent_world import (
    PROJECT,
    AgentHost,
    ConfigBuilder,
    rule,
    subnet,
    uuid_of,
)
from skytrail.wire.xmpp import NextHop, Route, RouteAttributes

LEFT, RIGHT = f"{PROJECT}:left", f"{PROJECT}:right"
CHAIN = f"service-{uuid_of('chain')}-firewall"
ENTRANCE, EXIT = f"{LEFT}:{CHAIN}", f"{RIGHT}:{CHAIN}"
OTHER = "192.0.2.2"


def led(source, destination, instance):
    entry = dict(rule({"virtual_network": source}, {"virtual_network": destination}))
    entry["action_list"] = {"simple_action": "pass", "assign_routing_instance": instance}
    return entry


def chained_networks():
    config = ConfigBuilder()
    left = config.network("left", 5, [subnet("10.1.0.0/24")])
    right = config.network("right", 6, [subnet("10.2.0.0/24")])
    rules = [led(LEFT, RIGHT, ENTRANCE), led(RIGHT, LEFT, EXIT)]
    for network, name in ((left, "left"), (right, "right")):
        own = {"virtual_network": network.name}
        config.access_list(network, name, [*rules, rule(own, own)])
    return config, left, right


def service_port(config, name, network, addresses, instance, **properties):
    key = config.port(name, network, addresses)
    node = config.nodes[key]
    table = {"vrf_assign_rule": [{"routing_instance": instance}]}
    more = {"vrf_assign_table": table, "virtual_machine_interface_properties": properties}
    config.node(key.type_name, key.name, **{**node.properties, **more})
    return key


def route(prefix, network, label, router=OTHER, preference=200):
    hop = NextHop(
        ip_address(router), Label(label), encapsulations=("udp",), virtual_network=network
    )
    return Route(ip_network(prefix), (hop,), RouteAttributes(local_preference=preference))


def host(config, *names):
    made = AgentHost("192.0.2.1")
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def sent(made, name, source, destination):
    packet = TracePacket(ip_address(source), ip_address(destination), 6, 40000, 80)
    return made.datapath.send(made.vif(name), packet)


def interface(made, name):
    rows = made.datapath.rows[InterfaceRow].values()
    return next(row for row in rows if row.vif_id == made.vif(name))


def test_instance_a_rule_leads_to_is_subscribed_and_its_route_used():
    config, left, _ = chained_networks()
    config.port("a", left, ["10.1.0.3"])
    made = host(config, "a")
    made.learn(f"{LEFT}:left", [route("10.2.0.3/32", RIGHT, 70)], end=False)
    made.learn(ENTRANCE, [route("10.2.0.0/24", RIGHT, 90)], end=False)
    made.resolve(OTHER)
    made.reconcile()

    trace = sent(made, "a", "10.1.0.3", "10.2.0.3")

    assert ENTRANCE in made.compute().vrfs
    assert (trace.outcome, trace.label) == (FORWARDED, 90), "not the direct way, label 70"


def test_without_a_route_in_the_chain_nothing_passes_beside_it():
    config, left, _ = chained_networks()
    config.port("a", left, ["10.1.0.3"])
    made = host(config, "a")
    made.learn(f"{LEFT}:left", [route("10.2.0.3/32", RIGHT, 70)], end=False)
    made.resolve(OTHER)
    made.reconcile()

    trace = sent(made, "a", "10.1.0.3", "10.2.0.3")

    assert (trace.outcome, trace.drop_reason) == (DROPPED, "NO_ROUTE")


def test_service_passes_on_in_its_own_instance_what_others_sent():
    config, left, right = chained_networks()
    service_port(config, "fw-left", left, ["10.1.0.9"], ENTRANCE)
    service_port(config, "fw-right", right, ["10.2.0.9"], EXIT)
    made = host(config, "fw-left", "fw-right")
    made.learn(f"{RIGHT}:right", [route("10.2.0.3/32", RIGHT, 70)], end=False)
    made.learn(EXIT, [route("10.2.0.3/32", RIGHT, 71)], end=False)
    made.resolve(OTHER)
    made.reconcile()

    trace = sent(made, "fw-right", "10.1.0.3", "10.2.0.3")

    assert (trace.outcome, trace.label) == (FORWARDED, 71)
    assert interface(made, "fw-right").transit
    sources = {row.prefix for row in made.datapath.rows[SourceRow].values()}
    assert ip_network("0.0.0.0/0") in sources


def test_workload_that_is_no_service_of_the_chain_passes_nothing_on():
    config, _, right = chained_networks()
    config.port("b", right, ["10.2.0.4"])
    made = host(config, "b")
    made.learn(f"{RIGHT}:right", [route("10.2.0.3/32", RIGHT, 70)], end=False)
    made.resolve(OTHER)
    made.reconcile()

    assert sent(made, "b", "10.1.0.3", "10.2.0.3").drop_reason == "SPOOFED_ADDRESS"
    assert not interface(made, "b").transit


def test_whole_way_on_one_host_is_delivered_at_every_hop():
    config, left, right = chained_networks()
    config.port("a", left, ["10.1.0.3"])
    config.port("b", right, ["10.2.0.3"])
    service_port(config, "fw-left", left, ["10.1.0.9"], ENTRANCE)
    service_port(config, "fw-right", right, ["10.2.0.9"], EXIT)
    made = host(config, "a", "b", "fw-left", "fw-right")
    labels = {
        str(each.key): each.next_hops[0].label
        for _, each in made.published()
        if each.key in {ip_network("10.1.0.9"), ip_network("10.2.0.9"), ip_network("10.2.0.3")}
    }
    here = "192.0.2.1"
    into = route("10.2.0.0/24", RIGHT, labels["10.1.0.9/32"], here)
    for instance in (ENTRANCE, f"{LEFT}:left"):
        made.learn(instance, [into], end=False)
    made.learn(EXIT, [route("10.2.0.3/32", RIGHT, labels["10.2.0.3/32"], here)], end=False)
    back = route("10.1.0.0/24", LEFT, labels["10.2.0.9/32"], here)
    made.learn(f"{RIGHT}:right", [back], end=False)
    made.reconcile()

    first = sent(made, "a", "10.1.0.3", "10.2.0.3")
    second = sent(made, "fw-right", "10.1.0.3", "10.2.0.3")

    assert (first.outcome, first.vif_id) == (DELIVERED, made.vif("fw-left"))
    assert (second.outcome, second.vif_id) == (DELIVERED, made.vif("b"))


def test_instance_is_given_back_with_the_last_port_that_leads_there():
    config, left, _ = chained_networks()
    config.port("a", left, ["10.1.0.3"])
    made = host(config, "a")
    assert ENTRANCE in made.compute().vrfs

    made.plugged.clear()

    assert ENTRANCE not in made.compute().vrfs


def test_shared_address_is_published_with_every_ports_label():
    config, left, _ = chained_networks()
    for name in ("one", "two"):
        config.port(name, left, ["10.1.0.9"])
    made = host(config, "one", "two")

    (route_,) = [each for _, each in made.published() if each.key == ip_network("10.1.0.9")]

    assert len({hop.label for hop in route_.next_hops}) == 2


def test_standby_port_waits_for_the_active_one_here_and_elsewhere():
    config, left, _ = chained_networks()
    service_port(config, "active", left, ["10.1.0.9"], ENTRANCE)
    service_port(config, "standby", left, ["10.1.0.9"], ENTRANCE, local_preference=100)
    made = host(config, "active", "standby")

    (shared,) = [each for _, each in made.published() if each.key == ip_network("10.1.0.9")]
    assert (len(shared.next_hops), shared.attributes.local_preference) == (1, 200)

    del made.plugged[uuid_of("active")]
    made.reconcile()
    (alone,) = [each for _, each in made.published() if each.key == ip_network("10.1.0.9")]
    assert alone.attributes.local_preference == 100

    made.learn(f"{LEFT}:left", [route("10.1.0.9/32", LEFT, 77)], end=False)
    made.resolve(OTHER)
    made.reconcile()
    rows = made.datapath.rows[InetRouteRow].values()
    assert [row.label for row in rows if row.prefix == ip_network("10.1.0.9")] == [77]


def labels_of(made, name):
    port = made.active(name).port
    return {
        hop.label
        for _, each in made.published()
        if each.key == ip_network(port.addresses[0])
        for hop in each.next_hops
    }


def test_sides_of_a_copy_have_neighbouring_labels_and_other_ports_none_of_them():
    config, left, right = chained_networks()
    one = config.node("port-tuple", f"{PROJECT}:fw:one")
    sides = {"left": (left, "10.1.0.9", ENTRANCE), "right": (right, "10.2.0.9", EXIT)}
    for side, (network, address, instance) in sides.items():
        port = {"service_interface_type": side}
        key = service_port(config, f"fw-{side}", network, [address], instance, **port)
        config.link(key, one)
    config.port("a", left, ["10.1.0.3"])
    made = host(config, "fw-left", "fw-right", "a")

    (first,), (second,) = labels_of(made, "fw-left"), labels_of(made, "fw-right")

    assert (first % 2, second) == (0, first + 1)
    assert first >= COPY_LABEL_FIRST > max(labels_of(made, "a"))


def copy_of_service(mode="in-network", names=("fw-left", "fw-right")):
    """A host with both sides of a copy, the workload a before it and b behind it."""
    config, left, right = chained_networks()
    config.port("a", left, ["10.1.0.3"])
    config.port("b", right, ["10.2.0.3"])
    service = config.node("service-instance", f"{PROJECT}:fw")
    copy = config.node("port-tuple", f"{PROJECT}:fw:one")
    properties = {"service_mode": mode}
    template = config.node("service-template", "fw", service_template_properties=properties)
    config.link(copy, service)
    config.link(service, template)
    sides = {"left": (left, "10.1.0.9", ENTRANCE), "right": (right, "10.2.0.9", EXIT)}
    for side, (network, address, instance) in sides.items():
        port = {"service_interface_type": side}
        key = service_port(config, f"fw-{side}", network, [address], instance, **port)
        config.link(key, copy)
    made = host(config, "a", "b", *names)
    here = "192.0.2.1"
    (label,) = labels_of(made, "fw-left")
    made.learn(ENTRANCE, [route("10.2.0.0/24", RIGHT, label, here)], end=False)
    made.learn(f"{LEFT}:left", [route("10.2.0.0/24", RIGHT, label, here)], end=False)
    made.learn(EXIT, [route("10.2.0.3/32", RIGHT, *labels_of(made, "b"), here)], end=False)
    made.reconcile()
    return made


def explained(made, **query):
    book = RuleBook(made.numbers, made.planner.policies)
    return explain_query(made.datapath.tables(), made.desired, book, query)


def test_explanation_of_what_enters_a_service_tells_where_it_goes_on():
    made = copy_of_service()

    into = explained(made, vmi=uuid_of("a"), dst="10.2.0.3", proto="tcp", port="80")
    behind = explained(
        made, vmi=into["service"]["onward"], src="10.1.0.3", dst="10.2.0.3", proto="tcp", port="80"
    )

    assert (into["outcome"], into["vmi_uuid"]) == (DELIVERED, uuid_of("fw-left"))
    assert into["service"]["copy"] == f"{PROJECT}:fw:one"
    assert (into["service"]["onward"], into["service"]["source"]) == (uuid_of("fw-right"), "")
    assert (behind["outcome"], behind["vmi_uuid"]) == (DELIVERED, uuid_of("b"))
    assert behind["service"] is None


def test_explanation_of_what_is_for_the_service_itself_ends_there():
    made = copy_of_service()

    answer = explained(made, vmi=uuid_of("a"), dst="10.1.0.9", proto="tcp", port="80")

    assert (answer["vmi_uuid"], answer["service"]) == (uuid_of("fw-left"), None)


def test_explanation_says_who_sends_on_behind_a_service_that_translates():
    made = copy_of_service("in-network-nat")

    into = explained(made, vmi=uuid_of("a"), dst="10.2.0.3", proto="tcp", port="80")

    assert into["service"]["source"] == "10.2.0.9"
    assert "the service translates" in into["steps"][-1].answer


def wire_port(config, side, network, vlan, macs):
    """A port of a transparent service in a network of its own, with one chain."""
    key = config.port(f"wire-{side}", network, ["10.9.0.3" if side == "left" else "10.9.0.4"])
    node = config.nodes[key]
    properties = {"virtual_machine_interface_properties": {"service_interface_type": side}}
    config.node(key.type_name, key.name, **{**node.properties, **properties})
    config.link(key, config.node("port-tuple", f"{PROJECT}:wire:one"))
    instance = ENTRANCE if side == "left" else EXIT
    value = {
        "direction": "both",
        "vlan_tag": vlan,
        "src_mac": macs[0],
        "dst_mac": macs[1],
        "service_chain_address": "0.255.255.250",
    }
    config.link(key, config.node("routing-instance", instance), value)
    return key


def wired():
    config, _, _ = chained_networks()
    network = config.network("wires", 9, [subnet("10.9.0.0/24")])
    macs = "02:00:00:00:00:01", "02:00:00:00:00:02"
    wire_port(config, "left", network, 17, macs)
    wire_port(config, "right", network, 17, macs[::-1])
    return host(config, "wire-left", "wire-right")


def test_chain_reaches_a_wire_by_a_tagged_interface_in_the_chains_instance():
    made = wired()
    rows = [row for row in made.datapath.rows[InterfaceRow].values() if row.tag is not None]

    (left,) = [row for row in rows if row.vrf_id == made.compute().vrfs[ENTRANCE]]
    (right,) = [row for row in rows if row.vrf_id == made.compute().vrfs[EXIT]]

    assert (left.tag.vlan, str(left.tag.source), str(left.mac)) == (
        17,
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
    )
    assert (str(right.tag.source), str(right.mac)) == ("02:00:00:00:00:02", "02:00:00:00:00:01")
    assert left.transit
    assert (left.antispoof, left.policy_egress, left.policy_ingress) == (False, 0, 0)
    assert left.ifindex == interface(made, "wire-left").ifindex


def test_wires_address_is_published_in_the_chain_and_nothing_else_is():
    made = wired()

    told = {
        instance: [each for name, each in made.published() if name == instance]
        for instance in (ENTRANCE, EXIT)
    }

    assert [each.key for each in told[ENTRANCE]] == [ip_network("0.255.255.250/32")]
    (first,), (second,) = (told[each][0].next_hops for each in (ENTRANCE, EXIT))
    assert (first.label % 2, second.label) == (0, first.label + 1)


def test_packet_of_a_chain_is_delivered_to_the_tagged_interface_and_goes_on_behind_it():
    made = wired()
    label = next(each.next_hops[0].label for n, each in made.published() if n == ENTRANCE)
    made.learn(ENTRANCE, [route("10.2.0.0/24", RIGHT, label, "192.0.2.1")], end=False)
    made.learn(EXIT, [route("10.2.0.3/32", RIGHT, 71)], end=False)
    made.resolve(OTHER)
    made.reconcile()
    by_vrf = {
        row.vrf_id: row.vif_id
        for row in made.datapath.rows[InterfaceRow].values()
        if row.tag is not None
    }
    vrfs = made.compute().vrfs
    packet = TracePacket(ip_address("10.1.0.3"), ip_address("10.2.0.3"), 6, 40000, 80)

    behind = made.datapath.send(by_vrf[vrfs[EXIT]], packet)

    assert (behind.outcome, behind.label) == (FORWARDED, 71)


def test_answers_of_a_service_that_hides_its_left_go_on_where_the_denying_rule_says():
    config, left, right = chained_networks()
    denied = dict(led(RIGHT, LEFT, ENTRANCE))
    denied["action_list"] = {**denied["action_list"], "simple_action": "deny"}
    for network, name in ((left, "left"), (right, "right")):
        config.access_list(network, name, [led(LEFT, RIGHT, ENTRANCE), denied])
    service_port(config, "nat", left, ["10.1.0.4"], ENTRANCE)
    made = host(config, "nat")

    egress, _ = port_policies(made.active("nat").port)
    left_host = Identity(frozenset({LEFT}), frozenset())
    answer = PolicyPacket(left_host, ip_address("10.1.0.3"), 6, 80, 40000)

    assert not evaluate(egress, answer).allow
    assert evaluate(egress, answer).instance == ENTRANCE
    assert ENTRANCE in made.compute().vrfs
