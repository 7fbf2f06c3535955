"""The unmodified client library's calls beside create, read, update and delete."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from skytrail.testing.api_server import running_api_server

vnc_api = pytest.importorskip("vnc_api.vnc_api")

PROJECT = ["default-domain", "default-project"]
TENANT = "6f9f2c1e-5c6b-4a53-9a38-0d2c7c1f7a11"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_api_server(tmp_path_factory.mktemp("api")) as server:
        yield server.port


@pytest.fixture
def client(port: int):
    return vnc_api.VncApi(api_server_host="127.0.0.1", api_server_port=port, auth_type="noauth")


@pytest.fixture
def project(client):
    return client.project_read(fq_name=PROJECT)


def test_owner_and_mode_change(client, project) -> None:
    network = vnc_api.VirtualNetwork("owned", project)
    client.virtual_network_create(network)

    client.chown(network.uuid, TENANT)
    client.chmod(network.uuid, share=[(TENANT, 5)], global_access=4)

    perms = client.virtual_network_read(id=network.uuid).get_perms2()
    assert perms.owner == TENANT.replace("-", "")
    assert perms.global_access == 4
    assert [(each.tenant, each.tenant_access) for each in perms.share] == [(TENANT, 5)]
    assert client.obj_perms(None, network.uuid)["permissions"] == "RWX"


def test_tags_are_set_and_unset(client, project) -> None:
    network = vnc_api.VirtualNetwork("tagged", project)
    client.virtual_network_create(network)
    for value in ("hr", "crm"):
        tag = vnc_api.Tag(tag_type_name="application", tag_value=value, parent_obj=project)
        client.tag_create(tag)

    def tags():
        refs = client.virtual_network_read(id=network.uuid).get_tag_refs() or []
        return [ref["to"][-1] for ref in refs]

    client.set_tag(network, "application", "hr")
    client.set_tag(network, "application", "crm")
    assert tags() == ["application=crm"]
    with pytest.raises(vnc_api.NoIdError):
        client.set_tag(network, "tier", "none")
    client.unset_tag(network, "application")
    assert tags() == []


def test_notes_are_kept(client) -> None:
    client.kv_store("key", "value")

    assert client.kv_retrieve("key") == "value"
    assert {"key": "key", "value": "value"} in client.kv_retrieve()
    client.kv_delete("key")
    with pytest.raises(vnc_api.NoIdError):
        client.kv_retrieve("key")


def test_integers_come_from_pools(client) -> None:
    client.create_int_pool("pool", 10, 11)

    assert [client.allocate_int("pool", "me"), client.allocate_int("pool")] == [10, 11]
    assert client.get_int_owner("pool", 10) == "me"
    with pytest.raises(vnc_api.RefsExistError):
        client.set_int("pool", 10, "you")
    client.deallocate_int("pool", 10)
    client.set_int("pool", 10, "you")
    assert client.get_int_owner("pool", 10) == "you"
    client.delete_int_pool("pool")


def test_a_quota_is_over_quota(client) -> None:
    small = vnc_api.Project("small", quota=vnc_api.QuotaType(virtual_network=1))
    client.project_create(small)
    client.virtual_network_create(vnc_api.VirtualNetwork("one", small))

    with pytest.raises(vnc_api.OverQuota, match=r"quota limit \(1\) exceeded"):
        client.virtual_network_create(vnc_api.VirtualNetwork("two", small))


def firewall(client, project):
    """A rule in a policy in a set, made the way the client's users make them."""
    any_end = vnc_api.FirewallRuleEndpointType(any=True)
    rule = vnc_api.FirewallRule(
        "rule", project, direction="<>", endpoint_1=any_end, endpoint_2=any_end,
        action_list=vnc_api.ActionListType(simple_action="pass"),
        service=vnc_api.FirewallServiceType(protocol="tcp", dst_ports=vnc_api.PortType(80, 80)),
    )  # fmt: skip
    client.firewall_rule_create(rule)
    policy = vnc_api.FirewallPolicy("policy", project)
    policy.add_firewall_rule(rule, vnc_api.FirewallSequence(sequence="1.0"))
    client.firewall_policy_create(policy)
    policies = vnc_api.ApplicationPolicySet("set", project)
    policies.add_firewall_policy(policy, vnc_api.FirewallSequence(sequence="1.0"))
    client.application_policy_set_create(policies)
    return rule


def test_security_policy_is_drafted_committed_and_discarded(client) -> None:
    project = vnc_api.Project("drafting", enable_security_policy_draft=True)
    client.project_create(project)
    rule = firewall(client, project)
    home = ["default-domain", "drafting"]
    with pytest.raises(vnc_api.NoIdError):
        client.firewall_rule_read(fq_name=[*home, "rule"])

    client.commit_security(project)

    made = client.firewall_rule_read(fq_name=[*home, "rule"])
    assert made.get_service().protocol_id == 6
    policy = client.firewall_policy_read(fq_name=[*home, "policy"])
    assert policy.get_firewall_rule_refs()[0]["uuid"] == made.uuid != rule.uuid
    made.set_direction(">")
    client.firewall_rule_update(made)
    assert client.firewall_rule_read(id=made.uuid).get_direction() == "<>"
    client.discard_security(project)
    client.commit_security(project)
    assert client.firewall_rule_read(id=made.uuid).get_direction() == "<>"


def test_records_are_fetched_and_the_store_is_checked(client, port: int) -> None:
    records = client.fetch_records()
    check = urllib.request.Request(
        f"http://127.0.0.1:{port}/db-check", b"{}", {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(check) as reply:
        found = json.loads(reply.read())

    assert "project" in {next(iter(each)) for each in records}
    assert found["results"] == []
    assert found["checked"]["objects"] == len(records)


@pytest.mark.parametrize("path", ["execute-job", "abort-job", "amqp-publish", "neutron/network"])
def test_calls_that_are_not_there_say_so(port: int, path: str) -> None:
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/{path}", b"{}", {"Content-Type": "application/json"}
    )

    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked)

    assert refused.value.code == 501
    assert refused.value.read().decode().startswith("Not available in this release: ")


def test_the_documentation_page_describes_every_type(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/documentation/index.html") as reply:
        page = reply.read().decode()

    assert reply.headers["content-type"].startswith("text/html")
    assert "/virtual-networks" in page
    assert "/set-tag" in page
