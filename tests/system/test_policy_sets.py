"""Application policy sets by packet: two stacks, two hosts, each with a control node of its own."""

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from vnc_api import vnc_api

from skytrail.client import ApiClient
from skytrail.lab import check, vrouter
from skytrail.lab.io.probe import Probe, Prober
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.service import Lab
from skytrail.net import IpAddress

EXAMPLE = Path(__file__).parents[2] / "examples" / "three-tier-tags"
PROJECT = ["default-domain", "portal"]
STACKS, TIERS = ("test", "production"), ("web", "app", "db")
NAMES = ("client", *(f"{stack}-{tier}" for stack in STACKS for tier in TIERS))
PORT_OF = {("web", "app"): 8080, ("app", "db"): 1521}
PORTS = (80, 8080, 1521)
Reach = set[tuple[str, str, int]]
"""Source, destination, port."""
Becomes = Callable[..., None]
Eventually = Callable[..., Any]

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def stacks() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    created = Lab.create(EXAMPLE / "topology.yaml", name=f"stp{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


@pytest.fixture
def api(stacks: Lab) -> Iterator[ApiClient]:
    with ApiClient(stacks.api_url) as client:
        yield client


class Portal:
    """Changes of tags and rules, taken back at the end."""

    def __init__(self, lab: Lab, api: ApiClient) -> None:
        self._api = api
        self.compatible: Any = vnc_api.VncApi(
            api_server_host=urlsplit(lab.api_url).hostname,
            api_server_port=urlsplit(lab.api_url).port,
            auth_type="noauth",
        )
        self._undo: list[Callable[[], object]] = []

    def uuid(self, type_name: str, name: str) -> str:
        return self._api.name_to_id(type_name, [*PROJECT, name])

    def tag(self, port: str, kind: str, value: str | None) -> None:
        """Tag a port by the compatible client; None: take its tag of the type away."""
        item = self.compatible.virtual_machine_interface_read(fq_name=[*PROJECT, port])
        names = (ref["to"][-1].partition("=") for ref in item.get_tag_refs() or ())
        before = next((value for name, _, value in names if name == kind), None)
        self._set(item, kind, value)
        self._undo.append(lambda: self._set(item, kind, before))

    def _set(self, item: object, kind: str, value: str | None) -> None:
        if value is None:
            self.compatible.unset_tag(item, kind)
        else:
            self.compatible.set_tag(item, kind, value)

    def match(self, rule: str, *kinds: str) -> None:
        """Have both ends of a rule alike in these tag types."""
        self.update("firewall-rule", rule, {"match_tags": {"tag_list": list(kinds)}})

    def update(self, type_name: str, name: str, change: dict[str, object]) -> None:
        uuid = self.uuid(type_name, name)
        stored = self._api.read(type_name, uuid)
        before = {field: stored.get(field) for field in change}
        self._api.update(type_name, uuid, change)
        self._undo.append(lambda: self._api.update(type_name, uuid, before))

    def take_back(self) -> None:
        while self._undo:
            self._undo.pop()()


@pytest.fixture
def portal(stacks: Lab, api: ApiClient) -> Iterator[Portal]:
    made = Portal(stacks, api)
    yield made
    made.take_back()


@pytest.fixture
def reached(stacks: Lab) -> Callable[[int], Reach]:
    """Return who reaches whom by tcp: {(source, destination, port)}."""
    members = check.members(stacks)

    def address(name: str, version: int) -> IpAddress:
        found = members[name].address(version=version)
        assert found is not None
        return found

    namespaces = {name: stacks.plan.namespace_of(name) for name in NAMES}

    def probe(version: int) -> Reach:
        probes = [
            Probe(source, destination, address(destination, version), "tcp", port)
            for source in NAMES
            for destination in NAMES
            for port in PORTS
            if source != destination
        ]

        async def send():
            async with Prober(namespaces) as prober:
                return await prober.send_all(probes, timeout_s=1.5, at_once_max=130)

        seen = asyncio.run(send())
        assert not [each for each in seen if each.leaked]
        return {
            (each.probe.source, each.probe.destination, each.probe.port)
            for each in seen
            if each.replied
        }

    return probe


def allowed(is_same: Callable[[str, str, str], bool]) -> Reach:
    """Who may reach whom: the next tier by its port where ``is_same``, webs from everywhere."""
    found: Reach = set()
    for source in NAMES:
        stack, _, tier = source.partition("-")
        for other in STACKS:
            if source != f"{other}-web":
                found.add((source, f"{other}-web", 80))
            for (here, there), port in PORT_OF.items():
                if tier == here and is_same(here, stack, other):
                    found.add((source, f"{other}-{there}", port))
    return found


def everywhere(_tier: str, _stack: str, _other: str) -> bool:
    return True


def inside(_tier: str, stack: str, other: str) -> bool:
    return stack == other


@pytest.fixture
def becomes(reached: Callable[[int], Reach], eventually: Eventually) -> Becomes:
    def wait(expected: Reach, what: str, version: int = 4) -> None:
        last: Reach = set()

        def same() -> bool:
            last.clear()
            last.update(reached(version))
            print("missing", sorted(expected - last), "too much", sorted(last - expected))
            return last == expected

        eventually(same, what)

    return wait


@pytest.mark.parametrize("version", [4, 6])
def test_figure_11_and_12_tiers_talk_by_service_and_across_stacks(
    becomes: Becomes, version: int
) -> None:
    becomes(allowed(everywhere), "one policy for both stacks", version)


@pytest.mark.parametrize("version", [4, 6])
def test_figure_13_matching_deployments_keep_stacks_apart(
    becomes: Becomes, portal: Portal, version: int
) -> None:
    portal.match("web-to-app", "deployment")
    portal.match("app-to-db", "deployment")

    becomes(allowed(inside), "stacks apart", version)


def test_figure_14_a_site_shares_its_databases(becomes: Becomes, portal: Portal) -> None:
    portal.match("web-to-app", "deployment", "site")
    portal.match("app-to-db", "site")
    for name in NAMES[1:]:
        portal.tag(name, "site", "london")

    def sharing(tier: str, stack: str, other: str) -> bool:
        return tier == "app" or stack == other

    becomes(allowed(sharing), "one site")

    for tier in TIERS:
        portal.tag(f"production-{tier}", "site", "paris")
    becomes(allowed(inside), "two sites")


def test_figure_15_a_custom_tag_tells_instances_apart(becomes: Becomes, portal: Portal) -> None:
    for tier in TIERS:
        for number, stack in zip(("one", "two"), STACKS, strict=True):
            portal.tag(f"{stack}-{tier}", "deployment", "production")
            portal.tag(f"{stack}-{tier}", "instance", number)
    portal.match("web-to-app", "deployment")
    portal.match("app-to-db", "deployment")
    becomes(allowed(everywhere), "one deployment")

    portal.match("web-to-app", "deployment", "instance")
    portal.match("app-to-db", "deployment", "instance")

    becomes(allowed(inside), "two instances")


@pytest.fixture
def ping(stacks: Lab) -> Iterator[Callable[..., PingTraffic]]:
    """Start steady traffic; stopped at the end of the test."""
    members, running = check.members(stacks), list[PingTraffic]()

    def start(source: str, destination: str, version: int = 4) -> PingTraffic:
        address = members[destination].address(version=version)
        assert address is not None
        traffic = PingTraffic(stacks.plan.namespace_of(source), address)
        running.append(traffic)
        return traffic.__enter__()

    yield start
    for traffic in running:
        traffic.stop()


@pytest.mark.parametrize("version", [4, 6])
def test_ping_passes_where_a_service_group_names_it(
    ping: Callable[..., PingTraffic], version: int
) -> None:
    to_web = ping("production-db", "test-web", version)
    to_app = ping("production-web", "test-app", version)

    assert to_web.wait_replies(10, timeout_s=30)
    assert not to_app.wait_replies(1, timeout_s=1)


@pytest.mark.parametrize("version", [4, 6])
def test_tag_change_stops_a_running_flow_on_the_other_host_and_brings_it_back(
    ping: Callable[..., PingTraffic], portal: Portal, eventually: Eventually, version: int
) -> None:
    traffic = ping("test-app", "test-web", version)
    assert traffic.wait_replies(10, timeout_s=30)

    portal.tag("test-web", "tier", "db")
    eventually(lambda: not traffic.wait_replies(5, timeout_s=0.5), "the flow stops")

    portal.tag("test-web", "tier", "web")
    assert traffic.wait_replies(50, timeout_s=30), "the flow resumes"


def test_drafts_change_nothing_until_committed(
    ping: Callable[..., PingTraffic], portal: Portal, eventually: Eventually
) -> None:
    api = portal.compatible
    project = api.project_read(fq_name=PROJECT)
    project.set_enable_security_policy_draft(True)
    api.project_update(project)
    traffic = ping("test-db", "production-web")
    assert traffic.wait_replies(10, timeout_s=30)
    rule = [*PROJECT, "clients"]

    def draft(action: str) -> None:
        item = api.firewall_rule_read(fq_name=rule)
        item.set_action_list(vnc_api.ActionListType(simple_action=action))
        api.firewall_rule_update(item)

    try:
        draft("deny")
        assert traffic.wait_replies(100, timeout_s=30), "a draft changes nothing"
        api.discard_security(project)
        assert traffic.wait_replies(100, timeout_s=30), "nor one that was dropped"

        draft("deny")
        api.commit_security(project)
        eventually(lambda: not traffic.wait_replies(5, timeout_s=0.5), "the flow stops")

        draft("pass")
        assert not traffic.wait_replies(5, timeout_s=1), "a draft changes nothing"
        api.commit_security(project)
        assert traffic.wait_replies(20, timeout_s=30), "the flow resumes"
    finally:
        project.set_enable_security_policy_draft(False)
        api.project_update(project)


def test_flows_name_the_rule_that_passed_them_and_the_sets_that_did_not(
    stacks: Lab, portal: Portal, reached: Callable[[int], Reach]
) -> None:
    reached(4)
    passing = portal.uuid("firewall-rule", "app-to-db")
    address = str(check.members(stacks)["test-db"].address(version=4))

    flows = [flow for flow in vrouter.flows(stacks, "compute1") if flow.destination == address]
    rules = {(flow.destination_port, flow.allowed): flow.rule for flow in flows}

    assert passing in rules[1521, True]
    assert "application policy sets" in rules[8080, False]
