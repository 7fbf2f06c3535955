"""What makes a machine unfit, and what only costs; the report says what to do."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from skytrail.agent.host_check import (
    ControlFacts,
    HostFacts,
    KernelFacts,
    UnderlayFacts,
    UplinksFacts,
    Verdict,
    Wanted,
    flow_table_bytes,
    is_fit,
    judge,
)
from skytrail.agent.io.bpf_probe import HELPERS

BPF = Path(__file__).resolve().parents[3] / "bpf"
WANTED = Wanted("eth1", "192.0.2.21", ("192.0.2.1",), 131072, 1500)
OFFLOADS = dict.fromkeys(
    ("tx-tcp-segmentation", "tx-generic-segmentation", "rx-gro", "tx-udp_tnl-segmentation",
     "tx-gre-segmentation"), True,
)  # fmt: skip
KERNEL = KernelFacts("6.1.0-21-amd64", True, True, True, False, True, (), (), "", 80_000_000)
UNDERLAY = UnderlayFacts(
    "eth1", 1550, True, True, ("192.0.2.21",), "ixgbe", OFFLOADS, "", ("underlay_ingres",)
)
CONTROL = ControlFacts("192.0.2.1:5269", "192.0.2.21")
GOOD = HostFacts(KERNEL, UNDERLAY, (CONTROL,), (), 2, 4 << 30, 0, True, 0.001)


def of(subject, facts=GOOD, wanted=WANTED):
    return next(each for each in judge(wanted, facts) if each.subject == subject)


def test_a_good_machine_is_fit_and_has_nothing_to_mend():
    findings = judge(WANTED, GOOD)

    assert is_fit(findings)
    assert {(each.verdict, each.advice) for each in findings} == {(Verdict.OK, "")}


@pytest.mark.parametrize(
    ("subject", "broken"),
    [
        ("kernel", {"release": "5.15.0-91-generic"}),
        ("kernel", {"release": "unheard of"}),
        ("rights", {"is_root": False}),
        ("BTF", {"has_btf": False}),
        ("hook", {"has_clsact": False}),
        ("BPF maps and helpers", {"missing_helpers": ("loop",)}),
        ("BPF maps and helpers", {"missing_maps": ("ring buffer",)}),
        ("programs", {"load_problem": "Permission denied"}),
    ],
)
def test_a_kernel_that_lacks_something_is_unfit_and_the_row_says_what_to_do(subject, broken):
    findings = judge(WANTED, replace(GOOD, kernel=replace(KERNEL, **broken)))

    failed = [each for each in findings if each.verdict is Verdict.FAILED]
    assert [each.subject for each in failed] == [subject]
    assert failed[0].advice
    assert not is_fit(findings)


def test_tcx_or_clsact_is_enough():
    assert of("hook").found.startswith("clsact")
    tcx = replace(KERNEL, has_tcx=True, has_clsact=False)
    assert of("hook", replace(GOOD, kernel=tcx)).found == "TCX"
    unknown = replace(KERNEL, has_clsact=None)
    assert of("hook", replace(GOOD, kernel=unknown)).verdict is Verdict.WARNING


@pytest.mark.parametrize(
    ("subject", "broken"),
    [
        ("underlay", {"mtu_bytes": 0}),
        ("underlay", {"is_up": False}),
        ("underlay", {"has_carrier": False}),
        ("address", {"addresses": ("192.0.2.22",)}),
        ("MTU, VXLAN", {"mtu_bytes": 1549}),
    ],
)
def test_an_underlay_that_cannot_carry_tunnels_is_unfit(subject, broken):
    findings = judge(WANTED, replace(GOOD, underlay=replace(UNDERLAY, **broken)))

    failed = [each for each in findings if each.verdict is Verdict.FAILED]
    assert [each.subject for each in failed] == [subject]
    assert failed[0].advice


def test_each_encapsulation_has_its_headroom_and_the_mtu_to_set_is_told():
    facts = replace(GOOD, underlay=replace(UNDERLAY, mtu_bytes=1500))

    found = {each.subject: each for each in judge(WANTED, facts) if "MTU" in each.subject}

    assert {name: each.verdict.value for name, each in found.items()} == {
        "MTU, MPLS over UDP": "failed",
        "MTU, MPLS over GRE": "failed",
        "MTU, VXLAN": "failed",
        "MTU, none (IPv4)": "ok",
    }
    assert "mtu 1550" in found["MTU, VXLAN"].advice
    assert "MTU of 1450" in found["MTU, VXLAN"].advice


def test_without_a_wish_workloads_get_what_fits_but_no_less_than_ipv6_needs():
    any_mtu = replace(WANTED, mtu_bytes=0)

    assert of("MTU, VXLAN", replace(GOOD, underlay=replace(UNDERLAY, mtu_bytes=1400)), any_mtu).verdict is (
        Verdict.OK
    )  # fmt: skip
    narrow = replace(GOOD, underlay=replace(UNDERLAY, mtu_bytes=1329))
    assert of("MTU, VXLAN", narrow, any_mtu).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("subject", "costs"),
    [
        ("offloads", {"offloads": {**OFFLOADS, "rx-gro": False}}),
        ("offloads", {"offloads": None}),
        ("tunnel offloads", {"offloads": {**OFFLOADS, "tx-gre-segmentation": False}}),
        ("XDP program", {"xdp_program": "xdp_filter"}),
        ("programs on the underlay", {"ingress_programs": ("cil_from_netdev", "underlay_ingres")}),
    ],
)
def test_what_only_costs_or_may_bite_is_a_warning(subject, costs):
    findings = judge(WANTED, replace(GOOD, underlay=replace(UNDERLAY, **costs)))

    assert is_fit(findings)
    warned = [each for each in findings if each.verdict is Verdict.WARNING]
    assert [each.subject for each in warned] == [subject]
    assert warned[0].advice


def test_offloads_that_the_card_has_are_turned_on_by_the_command_told():
    off = replace(UNDERLAY, offloads={**OFFLOADS, "tx-gre-segmentation": False})

    assert (
        "ethtool -K eth1 tx-gre-segmentation on"
        in of("tunnel offloads", replace(GOOD, underlay=off)).advice
    )


def test_a_tunnel_port_in_use_is_named():
    assert "4789" in of("tunnel ports", replace(GOOD, taken_ports=(4789,))).found


def test_what_was_not_told_is_not_taken_for_well():
    findings = judge(Wanted(), replace(GOOD, underlay=None, controls=()))

    failed = [each.subject for each in findings if each.verdict is Verdict.FAILED]
    assert failed == ["underlay", "control node"]


@pytest.mark.parametrize(
    "control",
    [
        ControlFacts("192.0.2.1:5269", "", "Network is unreachable"),
        ControlFacts("192.0.2.1:5269", "192.0.2.21", "Connection refused"),
    ],
)
def test_a_control_node_without_route_or_answer_fails(control):
    found = of("control node", replace(GOOD, controls=(control,)))

    assert found.verdict is Verdict.FAILED
    assert control.problem in found.found
    assert found.advice


def test_a_clock_nobody_keeps_is_a_warning():
    found = of("clock", replace(GOOD, is_clock_synchronised=False))

    assert found.verdict is Verdict.WARNING


def test_memory_must_hold_the_flow_table_asked_for():
    need = flow_table_bytes(131072, 2) + KERNEL.tables_bytes

    assert of("memory", replace(GOOD, memory_bytes=need - 1)).verdict is Verdict.FAILED
    assert of("memory", replace(GOOD, memory_bytes=need)).verdict is Verdict.WARNING
    assert of("memory", replace(GOOD, memory_bytes=need * 2)).verdict is Verdict.OK


def test_tables_that_are_there_need_no_memory_again_but_keep_their_size():
    there = replace(GOOD, memory_bytes=1, adopted_flows=131072)

    assert of("memory", there).verdict is Verdict.OK
    assert of("memory", there, replace(WANTED, flows=262144)).verdict is Verdict.WARNING


def test_the_helpers_looked_for_are_those_that_the_programs_call():
    texts = [each.read_text() for folder in ("include", "src") for each in (BPF / folder).iterdir()]
    called = {name for text in texts for name in re.findall(r"\bbpf_(\w+)\(", text)}

    assert called - {"htons", "htonl", "ntohs", "ntohl"} == set(HELPERS)


TWO = UplinksFacts(
    (replace(UNDERLAY, ifname="eth2", addresses=()),), ("192.0.2.21",), True, True, True
)


def test_two_links_into_the_underlay_want_the_address_on_the_loopback():
    good = replace(GOOD, underlay=replace(UNDERLAY, addresses=("10.0.1.2",)), uplinks=TWO)
    findings = judge(WANTED, good)

    assert {(each.verdict, each.advice) for each in findings} == {(Verdict.OK, "")}
    assert [each.found for each in findings if each.subject == "underlay"] == ["eth1 up", "eth2 up"]
    assert of("address", replace(good, uplinks=replace(TWO, loopback_addresses=()))).verdict is (
        Verdict.FAILED
    )


@pytest.mark.parametrize(
    ("subject", "broken", "advice"),
    [
        ("flows over uplinks", {"hashes_ports": False}, "fib_multipath_hash_policy=1"),
        ("failure of uplinks", {"shuns_dead_links": False}, "ignore_routes_with_linkdown=1"),
        ("failure of uplinks", {"shuns_dead_neighbours": False}, "fib_multipath_use_neigh=1"),
    ],
)
def test_routes_that_do_not_share_or_fail_over_are_warned_of(subject, broken, advice):
    row = of(subject, replace(GOOD, uplinks=replace(TWO, **broken)))

    assert row.verdict is Verdict.WARNING
    assert advice in row.advice


def test_the_narrowest_of_two_links_decides_what_fits():
    narrow = replace(TWO, further=(replace(TWO.further[0], mtu_bytes=1500),))

    assert of("MTU, VXLAN", replace(GOOD, uplinks=narrow)).found.startswith("1500 - 50")


def test_an_ipv6_address_is_compared_as_an_address_and_wants_20_bytes_more():
    wanted = replace(WANTED, address="2001:DB8:0::21", mtu_bytes=1480)
    six = replace(GOOD, underlay=replace(UNDERLAY, addresses=("2001:db8::21",)))
    findings = {each.subject: each for each in judge(wanted, six)}

    assert findings["address"].verdict is Verdict.OK
    assert findings["MTU, VXLAN over IPv6"].found.startswith("1550 - 70 = 1480")
    assert "MTU, none (IPv4)" not in findings


SIX = replace(TWO, loopback_addresses=("2001:db8::21",), shuns_dead_neighbours=None)


@pytest.mark.parametrize(
    ("subject", "broken", "advice"),
    [
        ("flows over uplinks", {}, ""),
        ("failure of uplinks", {}, ""),
        ("flows over uplinks", {"hashes_ports": False}, "net.ipv6.fib_multipath_hash_policy=1"),
        ("failure of uplinks", {"shuns_dead_links": False}, "net.ipv6.conf.all.ignore_routes"),
    ],
)
def test_several_links_into_an_ipv6_underlay_have_settings_of_their_own(subject, broken, advice):
    wanted = replace(WANTED, address="2001:db8::21", mtu_bytes=1400)
    findings = judge(wanted, replace(GOOD, uplinks=replace(SIX, **broken)))
    (row,) = [each for each in findings if each.subject == subject]

    assert (row.verdict is Verdict.WARNING) == bool(advice)
    assert advice in row.advice
    assert not [each for each in findings if each.verdict is Verdict.FAILED]
