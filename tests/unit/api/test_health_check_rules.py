"""What is checked of health checks, and what their status says."""

import pytest

PROJECT = ["default-domain", "default-project"]
GOOD = {
    "enabled": True,
    "health_check_type": "link-local",
    "monitor_type": "PING",
    "delay": 2,
    "timeout": 1,
    "max_retries": 3,
}


def create(api, name="check", **properties):
    body = {
        "fq_name": [*PROJECT, name],
        "parent_type": "project",
        "service_health_check_properties": {**GOOD, **properties},
    }
    return api.call("POST", "/service-health-checks", {"service-health-check": body})


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"url_path": "local-ip"},
        {"url_path": "fd00::1"},
        {"delay": 0, "delayUsecs": 300_000, "monitor_type": "BFD"},
        {"monitor_type": "HTTP", "url_path": "/ready", "expected_codes": "200, 204,300-399"},
        {"monitor_type": "HTTP", "url_path": "http://local-ip:8080/x?y=1", "http_method": "HEAD"},
        {"monitor_type": "HTTP", "url_path": "http://[fd00::1]:8080"},
        {"health_check_type": "end-to-end", "url_path": "10.1.1.1"},
        {"health_check_type": "segment"},
        {"health_check_type": "vn-ip-list", "monitor_type": "BFD", "target_ip_all": True},
    ],
)
def test_checks_that_can_be_read_are_taken(api, properties):
    reply = create(api, **properties)

    assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"delay": 0}, "delay"),
        ({"delay": -1, "delayUsecs": 5_000_000}, "delay"),
        ({"timeout": 0, "timeoutUsecs": 0}, "timeout"),
        ({"timeout": 90_000}, "timeout"),
        ({"max_retries": 0}, "max_retries"),
        ({"max_retries": 256}, "max_retries"),
        ({"url_path": "web.example"}, "url_path"),
        ({"url_path": "fe80::1%eth0"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "https://local-ip/"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "http://web.example/"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "http://local-ip:0/"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "http://local-ip:99999/"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "http://[::1/"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "/a b"}, "url_path"),
        ({"monitor_type": "HTTP", "url_path": "/a\r\nX: y"}, "url_path"),
        ({"monitor_type": "HTTP", "http_method": "GET /x"}, "http_method"),
        ({"monitor_type": "HTTP", "expected_codes": "ok"}, "expected_codes"),
        ({"monitor_type": "HTTP", "expected_codes": "300-200"}, "expected_codes"),
        ({"monitor_type": "HTTP", "expected_codes": "200,,204"}, "expected_codes"),
        ({"health_check_type": "end-to-end"}, "url_path"),
        ({"health_check_type": "end-to-end", "url_path": "local-ip"}, "url_path"),
        (
            {"health_check_type": "end-to-end", "monitor_type": "BFD", "url_path": "10.1.1.1"},
            "BFD",
        ),
        ({"health_check_type": "segment", "monitor_type": "BFD"}, "segment"),
        ({"health_check_type": "vn-ip-list", "target_ip_all": True}, "BFD"),
        ({"health_check_type": "vn-ip-list", "monitor_type": "BFD"}, "target_ip_list"),
    ],
)
def test_others_are_refused_by_the_name_of_the_field(api, properties, names):
    reply = create(api, **properties)

    assert reply.status == 400, reply.text
    assert names in reply.text


def test_change_to_what_cannot_be_run_changes_nothing(api):
    uuid = create(api).json["service-health-check"]["uuid"]
    body = {"service_health_check_properties": {**GOOD, "max_retries": -3}}

    reply = api.call("PUT", f"/service-health-check/{uuid}", {"service-health-check": body})

    assert reply.status == 400
    kept = api.call("GET", f"/service-health-check/{uuid}").json["service-health-check"]
    assert kept["service_health_check_properties"]["max_retries"] == 3
