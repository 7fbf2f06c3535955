"""Load balancers: what no listener, pool, member or monitor could be is refused, and why."""

from __future__ import annotations

import pytest

from skytrail.api.hosts import need_of

PROJECT = ["default-domain", "default-project"]
SUBNET = "8fc6c997-410f-51eb-87f9-14783f65f68d"


def post(api, type_name, *name, **members):
    return api.call("POST", f"/{type_name}s", {type_name: {"fq_name": list(name), **members}})


def made(api, type_name, *name, **members):
    reply = post(api, type_name, *name, **members)
    assert reply.status == 200, reply.text
    return reply.json[type_name]["uuid"]


def listener(api, name="http", **more):
    refs = {key: more.pop(key) for key in list(more) if key.endswith("_refs")}
    given = {"protocol": "HTTP", "protocol_port": 80, **more}
    return post(
        api, "loadbalancer-listener", *PROJECT, name, parent_type="project",
        loadbalancer_listener_properties=given, **refs,
    )  # fmt: skip


def pool(api, name="servers", **more):
    refs = {key: more.pop(key) for key in list(more) if key.endswith("_refs")}
    given = {"protocol": "HTTP", "subnet_id": SUBNET, **more}
    return post(
        api, "loadbalancer-pool", *PROJECT, name, parent_type="project",
        loadbalancer_pool_properties=given, **refs,
    )  # fmt: skip


def monitor(api, **more):
    given = {"monitor_type": "HTTP", "delay": 1, "timeout": 1, "max_retries": 1, **more}
    return post(
        api, "loadbalancer-healthmonitor", *PROJECT, "m", parent_type="project",
        loadbalancer_healthmonitor_properties=given,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"protocol": "UDP"}, "TERMINATED_HTTPS is served"),
        ({"protocol_port": 0}, "protocol_port"),
        ({"protocol_port": 65536}, "protocol_port"),
        ({"connection_limit": 0}, "connection_limit"),
        ({"protocol": "TERMINATED_HTTPS"}, "default_tls_container"),
        ({"default_tls_container": "a b"}, "names no certificate"),
        ({"default_tls_container": "../x\nserver"}, "names no certificate"),
        ({"sni_containers": [".hidden"]}, "names no certificate"),
    ],
)
def test_listener_that_cannot_be_is_refused(api, given, text):
    refused = listener(api, **given)

    assert refused.status == 400
    assert text in refused.text


def test_certificates_are_named_as_secret_stores_name_them(api):
    reference = "https://keys.example/v1/containers/4c1a/"
    reply = listener(api, protocol="TERMINATED_HTTPS", default_tls_container=reference)

    assert reply.status == 200


def test_two_listeners_of_a_balancer_have_two_ports(api):
    balancer = made(
        api, "loadbalancer", *PROJECT, "lb", parent_type="project",
        loadbalancer_properties={"vip_subnet_id": SUBNET},
    )  # fmt: skip
    refs = {"loadbalancer_refs": [{"uuid": balancer}]}
    assert listener(api, "one", **refs).status == 200

    assert listener(api, "two", **refs).status == 409
    assert listener(api, "three", protocol_port=81, **refs).status == 200


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"protocol": "UDP"}, "UDP is not served"),
        ({"session_persistence": "APP_COOKIE"}, "persistence_cookie_name"),
        ({"persistence_cookie_name": "a;b"}, "persistence_cookie_name"),
        ({"protocol": "TCP", "session_persistence": "HTTP_COOKIE"}, "protocol HTTP"),
    ],
)
def test_pool_that_cannot_be_is_refused(api, given, text):
    refused = pool(api, **given)

    assert refused.status == 400
    assert text in refused.text


def test_pool_has_to_speak_what_its_listener_reads(api):
    uuid = listener(api).json["loadbalancer-listener"]["uuid"]

    refused = pool(api, protocol="TCP", loadbalancer_listener_refs=[{"uuid": uuid}])

    assert (refused.status, refused.text) == (
        400, "a pool of protocol TCP cannot serve a listener of HTTP: HTTP can"
    )  # fmt: skip
    assert pool(api, loadbalancer_listener_refs=[{"uuid": uuid}]).status == 200


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"address": "10.0.0.1"}, "protocol_port"),
        ({"address": "10.0.0.1", "protocol_port": 80, "weight": 257}, "weight"),
        ({"address": "a\nserver b", "protocol_port": 80}, "address"),
    ],
)
def test_member_that_cannot_be_is_refused(api, given, text):
    uuid = pool(api).json["loadbalancer-pool"]["uuid"]

    refused = post(
        api, "loadbalancer-member", *PROJECT, "servers", "a", parent_type="loadbalancer-pool",
        parent_uuid=uuid, loadbalancer_member_properties=given,
    )  # fmt: skip

    assert refused.status == 400
    assert text in refused.text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"delay": 0}, "delay"),
        ({"max_retries": 11}, "max_retries"),
        ({"url_path": "/a\n    server b"}, "url_path"),
        ({"url_path": "ready"}, "url_path"),
        ({"http_method": "get"}, "http_method"),
        ({"expected_codes": "200 or 300"}, "expected_codes"),
    ],
)
def test_monitor_that_cannot_be_is_refused(api, given, text):
    refused = monitor(api, **given)

    assert refused.status == 400
    assert text in refused.text


def test_what_is_served_by_nobody_says_so(api):
    given = {"vip_subnet_id": SUBNET}
    other = made(
        api, "loadbalancer", *PROJECT, "native", parent_type="project",
        loadbalancer_properties=given, loadbalancer_provider="native",
    )  # fmt: skip

    status = api.call("GET", f"/api/v1/loadbalancer/{other}/status").json

    programmed = next(e for e in status["conditions"] if e["type"] == "programmed")
    assert (programmed["status"], programmed["reason"]) == ("false", "not_applied")


def test_hosts_of_a_balancer_are_those_of_its_copies(api):
    """Its own port is plugged by nobody; the compiler makes the others."""
    network = api.network("front", api.subnet("10.9.0.0/24"))

    def port(name, *machines):
        return made(
            api, "virtual-machine-interface", *PROJECT, name, parent_type="project",
            virtual_network_refs=[{"uuid": network}],
            virtual_machine_refs=[{"uuid": each} for each in machines],
        )  # fmt: skip

    machine = made(api, "virtual-machine", "load-balancer-x-1")
    made(
        api, "virtual-router", "default-global-system-config", "one",
        parent_type="global-system-config", virtual_machine_refs=[{"uuid": machine}],
    )  # fmt: skip
    own, copy = port("vip"), port("load-balancer-x-1", machine)
    balancer = made(
        api, "loadbalancer", *PROJECT, "lb", parent_type="project",
        loadbalancer_properties={"vip_subnet_id": SUBNET},
        virtual_machine_interface_refs=[{"uuid": own}],
    )  # fmt: skip
    address = {"virtual_network_refs": [{"uuid": network}], "instance_ip_address": "10.9.0.9"}
    holders = [{"uuid": own}, {"uuid": copy}]
    made(api, "instance-ip", "vip", virtual_machine_interface_refs=holders, **address)
    graph = api.service.graph

    need = need_of(graph, graph.get(balancer), {})

    assert need.ports == {"one": {copy}}
