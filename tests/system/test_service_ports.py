"""Rules in their order: web traffic through one firewall and inspection, the rest through another."""

from pathlib import Path

import pytest

from skytrail.lab import check
from skytrail.lab.io.traffic import PingTraffic
from skytrail.testing.appliances import UdpTalk, counted, tcp_talk

EXAMPLE = Path(__file__).parents[2] / "examples" / "service-chain"
WEB = ("fw-1", "dpi")


@pytest.fixture(scope="module")
def steered(lab_of):
    with lab_of(EXAMPLE, "stp", topology="ports.yaml") as lab:
        yield lab


@pytest.fixture(scope="module")
def ends(steered):
    members = check.members(steered)
    return members["left"], members["right"]


@pytest.fixture
def reached(steered, ends, eventually):
    def wait(version):
        address = ends[1].address(version=version)
        with PingTraffic(steered.plan.namespace_of("left"), address) as traffic:
            eventually(
                lambda: traffic.wait_replies(3, timeout_s=0.5), "right answers", timeout_s=30
            )

    return wait


def used(grown):
    """Services that saw more than the noise of a cable, which must be both directions."""
    seen = {name for name, each in grown.items() if max(each.onward, each.back) > 3}
    assert all(min(grown[name].onward, grown[name].back) > 3 for name in seen), grown
    return seen


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("port", "services"), [(80, WEB), (8080, WEB), (81, ("fw-2",)), (8443, ("fw-2",))]
)
def test_connections_pass_the_services_of_the_first_rule_that_names_their_port(
    steered, ends, reached, port, services, version
):
    reached(version)
    with counted(steered) as grown:
        assert tcp_talk(steered, ends, port, version=version)

    assert used(grown()) == set(services)


@pytest.mark.root
def test_other_protocols_on_those_ports_pass_the_second_rules_service(steered, ends, reached):
    reached(4)
    with counted(steered) as grown, UdpTalk(steered, ends, ports=(0, 8080)) as talk:
        assert all(talk.ask().answered for _ in range(5))

    assert used(grown()) == {"fw-2"}


@pytest.mark.root
def test_connection_from_right_passes_by_the_port_it_comes_from(steered, ends, reached):
    """The mirror image of the first rule is about what comes from the ports, not goes to them."""
    reached(4)
    with counted(steered) as grown:
        assert tcp_talk(steered, ends[::-1], 80)

    assert used(grown()) == {"fw-2"}
