"""Load balancers on a host: which copies it runs, and what HAProxy is told."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import PurePath

import msgspec
import pytest

from skytrail.agent.balancing.copies import copy_specs, device_of, wanted_here
from skytrail.agent.balancing.haproxy import Place, render
from skytrail.agent.interface import PluggedPort
from skytrail.agent.io.balancer_keeper import CopyState, KeeperReport
from skytrail.agent.io.balancers import Balancers
from skytrail.agent.tables import InterfaceKind
from skytrail.model.load_balancer import Listener, LoadBalancer, Member, Monitor, Pool
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet, uuid_of

VIP, OWN = "10.1.1.100", "10.1.1.9"
PLACE = Place(ip_address(OWN), PurePath("/etc/certificates"), ("shop.pem", "plain"))


def pool(**more):
    member = Member(uuid=uuid_of("member"), address="10.1.1.5", port=8080)
    return Pool(**{"uuid": uuid_of("pool"), "protocol": "HTTP", "members": (member,), **more})


def listener(**more):
    given = {"uuid": uuid_of("listener"), "protocol": "HTTP", "port": 80, "pool": pool()}
    return Listener(**{**given, **more})


def text_of(*listeners, vip=VIP, place=PLACE):
    text, problems = render(LoadBalancer(uuid=uuid_of("lb"), vip=vip, listeners=listeners), place)
    assert problems == ()
    return [line.strip() for line in text.splitlines()]


def problems_of(*listeners):
    text, problems = render(LoadBalancer(uuid=uuid_of("lb"), vip=VIP, listeners=listeners), PLACE)
    assert "evil" not in text
    assert "shadow" not in text
    return " ".join(problems)


def test_listener_has_the_balancer_s_address_and_members_are_asked_from_the_copy_s_own():
    lines = text_of(listener(connection_limit=50))

    assert f"bind {VIP}:80" in lines
    assert f"source {OWN}" in lines
    assert f"server {uuid_of('member')} 10.1.1.5:8080 weight 1" in lines
    assert "maxconn 50" in lines


@pytest.mark.parametrize(
    ("method", "line"),
    [
        ("ROUND_ROBIN", "balance roundrobin"),
        ("LEAST_CONNECTIONS", "balance leastconn"),
        ("SOURCE_IP", "balance source"),
    ],
)
def test_methods(method, line):
    assert line in text_of(listener(pool=pool(method=method)))


@pytest.mark.parametrize(
    ("persistence", "line"),
    [
        ("HTTP_COOKIE", "cookie SERVERID insert indirect nocache httponly"),
        ("SOURCE_IP", "stick on src"),
        ("APP_COOKIE", "stick match req.cook(session)"),
    ],
)
def test_clients_stay_where_they_are(persistence, line):
    assert line in text_of(listener(pool=pool(persistence=persistence, cookie="session")))


def test_tls_ends_here_and_http_goes_on():
    lines = text_of(listener(protocol="TERMINATED_HTTPS", port=443, certificates=("shop", "plain")))

    (bind,) = [line for line in lines if line.startswith("bind")]
    assert bind.endswith("crt /etc/certificates/shop.pem crt /etc/certificates/plain")
    assert "http-request set-header X-Forwarded-Proto https" in lines


def test_what_is_not_read_is_passed_on_as_it_is():
    lines = text_of(listener(protocol="HTTPS", port=443, pool=pool(protocol="HTTPS")))

    assert "mode tcp" in lines
    assert "mode http" not in lines


def test_monitor_takes_members_out_after_so_many_failures():
    monitor = Monitor(
        kind="HTTP", delay_s=2, timeout_s=1, retries_count=3, path="/ready", codes="200-204"
    )
    lines = text_of(listener(pool=pool(monitor=monitor)))

    assert "http-check send meth GET uri /ready" in lines
    assert "http-check expect status 200-204" in lines
    assert any(line.endswith("check inter 2s fall 3 rise 1") for line in lines)


def test_listener_without_a_pool_says_so_to_clients():
    assert "http-request return status 503" in text_of(listener(pool=None))


BAD = "x\n    server evil 192.0.2.1:80"


@pytest.mark.parametrize(
    "bad",
    [
        listener(uuid=BAD),
        listener(protocol=BAD),
        listener(port=70_000),
        listener(protocol="UDP"),
        listener(protocol="TERMINATED_HTTPS", certificates=("../../etc/shadow",)),
        listener(protocol="TERMINATED_HTTPS", certificates=("absent",)),
        listener(protocol="TERMINATED_HTTPS"),
        listener(protocol="TCP", pool=pool(persistence="HTTP_COOKIE")),
        listener(protocol="HTTP", pool=pool(protocol="TCP")),
        listener(pool=pool(uuid=BAD)),
        listener(pool=pool(persistence="APP_COOKIE", cookie=BAD)),
        listener(pool=pool(members=(Member(uuid=BAD, address="10.1.1.5", port=80),))),
        listener(pool=pool(members=(Member(uuid=uuid_of("m"), address=BAD, port=80),))),
        listener(pool=pool(members=(Member(uuid=uuid_of("m"), address="10.1.1.5", port=0),))),
        listener(
            pool=pool(
                monitor=Monitor(kind="HTTP", delay_s=1, timeout_s=1, retries_count=1, path=BAD)
            )
        ),
        listener(
            pool=pool(
                monitor=Monitor(
                    kind="HTTP", delay_s=1, timeout_s=1, retries_count=1, codes="200 or"
                )
            )
        ),
        listener(pool=pool(monitor=Monitor(kind="TCP", delay_s=0, timeout_s=1, retries_count=1))),
    ],
)
def test_what_is_no_value_is_left_out_and_said(bad):
    assert problems_of(bad)


def test_one_bad_listener_takes_no_other_away():
    good = listener(uuid=uuid_of("good"), port=81)
    text, problems = render(
        LoadBalancer(uuid=uuid_of("lb"), vip=VIP, listeners=(listener(port=0), good)), PLACE
    )

    assert len(problems) == 1
    assert f"frontend {uuid_of('good')}" in text


def test_member_of_the_other_ip_version_is_left_out_alone():
    members = (
        Member(uuid=uuid_of("a"), address="10.1.1.5", port=80),
        Member(uuid=uuid_of("b"), address="fd00::5", port=80),
    )
    balancer = LoadBalancer(
        uuid=uuid_of("lb"), vip=VIP, listeners=(listener(pool=pool(members=members)),)
    )

    text, problems = render(balancer, PLACE)

    assert f"server {uuid_of('a')}" in text
    assert uuid_of("b") not in text
    assert uuid_of("b") in problems[0]


def copied(annotation, *, is_placed=True, name="load-balancer-x-1", uuid=""):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    port = config.port("copy", red, [OWN, VIP])
    config.port("other", red, ["10.1.1.10"])
    machine = config.made_machine(name, "load-balancer", annotation, uuid=uuid)
    config.link(port, machine)
    router = config.node("virtual-router", "default-global-system-config:here")
    if is_placed:
        config.link(router, machine)
    made = AgentHost()
    made.connect()
    made.configure(config.update())
    made.compute()
    return made


def test_host_runs_the_copies_that_its_configuration_has():
    balancer = LoadBalancer(uuid=uuid_of("lb"), vip=VIP, listeners=(listener(),))
    made = copied(msgspec.json.encode(balancer).decode())

    wanted = wanted_here(made.sessions.graph)
    ((spec, problems),) = copy_specs(
        wanted, made.view.ports, lambda own: Place(own, PurePath("/c"), ()), lambda _: 1400
    )

    assert list(wanted) == [uuid_of("copy")]
    assert problems == ()
    assert spec.addresses == (f"{OWN}/24", f"{VIP}/24")
    assert spec.gateways == ("10.1.1.1",)
    assert spec.device == device_of(uuid_of("copy"))
    assert len(spec.device) <= 15


@pytest.mark.parametrize("text", ["", "{", '{"uuid":"x","vip":"nowhere"}'])
def test_what_cannot_be_read_is_not_run(text):
    assert wanted_here(copied(text).sessions.graph) == {}


@pytest.mark.parametrize(
    "how",
    [
        {"is_placed": False},
        {"name": uuid_of("a tenant's machine")},
        {"uuid": uuid_of("a tenant's machine")},
    ],
)
def test_tenant_s_machine_is_no_copy_whatever_its_annotation_says(how):
    balancer = LoadBalancer(uuid=uuid_of("lb"), vip=VIP, listeners=(listener(),))

    assert wanted_here(copied(msgspec.json.encode(balancer).decode(), **how).sessions.graph) == {}


def following(folder, *, plugged=()):
    """What a host with one copy follows, and how often it was told of a change."""
    balancer = LoadBalancer(uuid=uuid_of("lb"), vip=VIP, listeners=(listener(),))
    made = copied(msgspec.json.encode(balancer).decode())
    changes = []
    balancers = Balancers(folder, folder, lambda: changes.append(1))
    balancers.plugs(made.sessions.graph, {each.vmi_uuid: each for each in plugged})
    return balancers, changes


def keeper_says(balancers, *, is_running):
    report = KeeperReport((CopyState(uuid_of("copy"), is_running=is_running, starts=1),))
    balancers.heard(msgspec.json.encode(report))


def is_offered(balancers, address):
    fails = balancers.failing({}).get(uuid_of("copy"))
    return fails is None or not fails.takes(ip_network(address))


def test_balancer_s_address_is_offered_while_haproxy_runs(tmp_path):
    balancers, changes = following(tmp_path)

    assert not is_offered(balancers, VIP)
    keeper_says(balancers, is_running=False)
    assert not is_offered(balancers, VIP)
    keeper_says(balancers, is_running=True)
    assert is_offered(balancers, VIP)
    assert changes == [1]
    balancers.heard(None)
    assert not is_offered(balancers, VIP)
    assert changes == [1, 1]


def test_copy_s_own_address_is_always_offered_for_members_answer_there(tmp_path):
    balancers, _ = following(tmp_path)
    keeper_says(balancers, is_running=False)

    assert is_offered(balancers, OWN)


def test_agent_that_starts_leaves_copies_of_before_where_they_are(tmp_path):
    device = device_of(uuid_of("copy"))
    before = PluggedPort(uuid_of("copy"), "", device, InterfaceKind.WORKLOAD_VETH)
    balancers, _ = following(tmp_path, plugged=[before])

    assert is_offered(balancers, VIP)
