"""From which addresses a host takes tunnels: what it was told, where routes lead, what it is set to."""

from dataclasses import replace
from ipaddress import ip_address

from skytrail.agent.lookup import Tables
from skytrail.agent.tables import InterfaceKind, InterfaceRow, TunnelEndRow
from skytrail.agent.trace import TracePacket, explain_arrival
from skytrail.agent.tunnel_ends import described
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet
from skytrail.testing.control_plane import inet_route
from skytrail.wire.xmpp import TUNNEL_ENDS, TUNNEL_ENDS_PARTS_COUNT, ConfigDelete, ConfigKey

OWN, OTHER, THIRD = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def told(config, *addresses, parts=TUNNEL_ENDS_PARTS_COUNT):
    """All in part 0; the others are empty."""
    for part in range(parts):
        config.node(TUNNEL_ENDS, str(part), address=list(addresses) if not part else [])
    return config


def host_of(config, address=OWN):
    made = AgentHost(address)
    made.plug("web", 10)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def workload(config=None):
    config = config or ConfigBuilder()
    red = config.network("red", 4, [subnet("10.1.1.0/24")])
    config.port("web", red, ["10.1.1.3"])
    return config


def ends(host):
    return {str(row.address) for row in host.datapath.rows[TunnelEndRow].values()}


def checks(host):
    (row,) = [
        row
        for row in host.datapath.rows[InterfaceRow].values()
        if row.kind is InterfaceKind.UNDERLAY
    ]
    return row.checks_ends


def test_everybody_told_but_oneself_is_a_known_end():
    host = host_of(told(workload(), OWN, OTHER, "2001:db8::9", "nonsense"))

    assert ends(host) == {OTHER}
    assert checks(host)
    assert described(host.view.tunnel_ends, host.underlay(), 1) == "known ends: 1"


def test_nobody_is_refused_before_all_parts_are_there():
    config = told(workload(), OWN, OTHER, parts=TUNNEL_ENDS_PARTS_COUNT - 1)
    host = host_of(config)
    before = checks(host)

    host.configure(told(config, OWN, OTHER).update())
    host.reconcile()

    assert not before
    assert checks(host)


def test_nobody_is_refused_where_configuration_does_not_know_this_host():
    host = host_of(told(workload(), OTHER))

    assert not checks(host)
    assert OWN in described(host.view.tunnel_ends, host.underlay(), 0)


def test_where_routes_lead_is_a_known_end_as_long_as_they_do():
    host = host_of(told(workload(), OWN))
    instance = host.view.ports[next(iter(host.view.ports))].network.vrf
    host.learn(instance, [inet_route("10.1.1.9/32", THIRD, 77)])
    host.reconcile()
    with_route = ends(host)

    host.learn(instance, [inet_route("10.1.1.9/32", OTHER, 77)])
    host.reconcile()

    assert with_route == {THIRD}
    assert ends(host) == {OTHER}


def test_a_host_that_is_gone_from_configuration_is_unknown_again():
    config = told(workload(), OWN, OTHER, THIRD)
    host = host_of(config)

    host.configure(told(config, OWN, THIRD).update())
    host.reconcile()

    assert ends(host) == {THIRD}


def test_without_the_parts_of_an_older_control_node_anybody_is_taken():
    host = host_of(told(workload(), OWN, OTHER))
    keys = tuple(ConfigKey(TUNNEL_ENDS, str(part)) for part in range(TUNNEL_ENDS_PARTS_COUNT))

    host.sessions.received("control", ConfigDelete((), keys), host.now)
    host.reconcile()

    assert not checks(host)
    assert ends(host) == set()


def test_settings_add_ends_and_turn_the_check_off():
    host = host_of(told(workload(), OWN, OTHER))
    plain = host.underlay
    host.underlay = lambda: replace(plain(), further_ends=(ip_address(THIRD),))
    host.reconcile()
    added, still = ends(host), checks(host)

    host.underlay = lambda: replace(plain(), takes_any_end=True)
    host.reconcile()

    assert (added, still) == ({OTHER, THIRD}, True)
    assert not checks(host)


def test_a_trace_tells_that_a_tunnel_comes_from_a_stranger():
    host = host_of(told(workload(), OWN, OTHER))
    tables = Tables(row for rows in host.datapath.rows.values() for row in rows.values())
    packet = TracePacket(ip_address("10.1.1.9"), ip_address("10.1.1.3"), 17)
    label = next(iter(tables.labels.values()))

    stranger = explain_arrival(
        tables, ("mpls", label.label), replace(packet, came_from=ip_address(THIRD))
    )
    known = explain_arrival(
        tables, ("mpls", label.label), replace(packet, came_from=ip_address(OTHER))
    )

    assert stranger.drop_reason == "OUTER_SOURCE"
    assert known.drop_reason != "OUTER_SOURCE"
