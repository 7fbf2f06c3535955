from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from skytrail.agent.traffic_totals import LinkCounters, PortTraffic, TrafficTotals


def port(count, network="front", ifname="tap1"):
    return PortTraffic(ifname, network, LinkCounters(count, 10 * count, 2 * count, 20 * count))


def test_a_port_that_goes_takes_nothing_with_it():
    totals = TrafficTotals()
    totals.look({"a": port(100), "b": port(5)})
    totals.look({"a": port(101)})

    assert totals.host == LinkCounters(106, 1060, 212, 2120)
    assert totals.networks == {"front": totals.host}


def test_networks_have_their_own_ports_and_none_that_does_not_work():
    totals = TrafficTotals()
    totals.look({"a": port(1), "b": port(2, "back"), "c": port(4, None)})

    assert totals.host.in_packets == 7
    assert {name: each.in_packets for name, each in totals.networks.items()} == {
        "front": 1,
        "back": 2,
    }


def test_an_agent_that_starts_again_counts_nothing_twice():
    totals = TrafficTotals(["tap1"])
    totals.look({})
    totals.look({"a": port(100), "b": port(7, ifname="tap2")})
    totals.look({"a": port(103), "b": port(7, ifname="tap2")})

    assert totals.host.in_packets == 3 + 7


def test_a_port_that_is_plugged_anew_begins_again():
    totals = TrafficTotals()
    totals.look({"a": port(100)})
    totals.look({"a": port(4)})

    assert totals.host.in_packets == 104


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"), st.tuples(st.integers(0, 50), st.sampled_from(["n", "m"]))
        )
    )
)
def test_no_total_falls_while_its_network_is_here(looks):
    totals = TrafficTotals()
    for look in looks:
        host, networks = totals.host, totals.networks
        totals.look(
            {uuid: replace(port(count), network=name) for uuid, (count, name) in look.items()}
        )

        assert totals.host.in_bytes >= host.in_bytes
        for name, each in totals.networks.items():
            assert each.out_bytes >= networks.get(name, LinkCounters()).out_bytes
