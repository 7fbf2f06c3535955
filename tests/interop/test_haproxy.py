"""HAProxy takes every configuration that hosts make, and every change of it."""

import asyncio
import contextlib
import http.client
import itertools
import os
import random
import secrets
import shutil
import subprocess
from ipaddress import ip_address

import msgspec
import pytest

from skytrail.agent.balancing.copies import CopySpec
from skytrail.agent.balancing.haproxy import Place, render
from skytrail.agent.io.balancer_keeper import Copy, CopyState
from skytrail.model.load_balancer import (
    POOLS_OF,
    Listener,
    LoadBalancer,
    Member,
    Monitor,
    Pool,
)
from skytrail.testing.agent_world import uuid_of

MONITORS = [
    None,
    *(
        Monitor(kind=kind, delay_s=2, timeout_s=1, retries_count=3, codes="200,202-204")
        for kind in ("PING", "TCP", "HTTP", "HTTPS")
    ),
]


def every_listener(version):
    at = {4: "10.1.1.5", 6: "fd00::5"}[version]
    ways = itertools.product(
        [(outer, inner) for outer, inners in POOLS_OF.items() for inner in inners],
        ("ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"),
        ("", "SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"),
        MONITORS,
    )
    for number, ((outer, inner), method, persistence, monitor) in enumerate(ways):
        if "COOKIE" in persistence and outer not in {"HTTP", "TERMINATED_HTTPS"}:
            continue
        member = Member(uuid=uuid_of(f"member {number}"), address=at, port=8080, weight=0)
        pool = Pool(
            uuid=uuid_of(f"pool {number}"), protocol=inner, method=method, members=(member,),
            persistence=persistence, cookie="id", monitor=monitor,
        )  # fmt: skip
        yield Listener(
            uuid=uuid_of(f"listener {number}"), protocol=outer, port=1000 + number, pool=pool,
            connection_limit=10, certificates=("shop",),
        )  # fmt: skip
    yield Listener(uuid=uuid_of("bare"), protocol="HTTP", port=80)
    yield Listener(uuid=uuid_of("bare tcp"), protocol="TCP", port=81)


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
@pytest.mark.parametrize("version", [4, 6])
def test_haproxy_takes_every_way_of_listening_sharing_and_asking(tmp_path, version):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=shop", "-keyout", tmp_path / "key", "-out", tmp_path / "crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "shop.pem").write_text(
        (tmp_path / "crt").read_text() + (tmp_path / "key").read_text()
    )
    own, vip = {4: ("10.1.1.9", "10.1.1.100"), 6: ("fd00::9", "fd00::100")}[version]
    balancer = LoadBalancer(uuid=uuid_of("lb"), vip=vip, listeners=tuple(every_listener(version)))

    text, problems = render(balancer, Place(ip_address(own), tmp_path, ("shop.pem",)))
    (tmp_path / "haproxy.cfg").write_text(text)
    done = subprocess.run(
        ["haproxy", "-c", "-f", tmp_path / "haproxy.cfg"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert problems == ()
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr, done.stderr


def answering(text):
    """A copy that answers ``text`` to everybody."""
    configuration = f"""
global
    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    maxconn 100
defaults
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend only
    mode http
    bind 10.1.1.100:80
    http-request return status 200 content-type text/plain string "{text}"
"""
    return CopySpec(
        port=uuid_of("copy"), device=f"lb-{secrets.token_hex(4)}", mac="02:00:00:00:01:09",
        mtu_bytes=1500, addresses=("10.1.1.9/24", "10.1.1.100/24"), gateways=("10.1.1.1",),
        configuration=configuration,
    )  # fmt: skip


def asked(copy):
    """What a new connection is answered."""
    with copy.inside():
        connection = http.client.HTTPConnection("10.1.1.100", 80, timeout=5)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/")
                return connection.getresponse().read().decode()
            except OSError:
                return ""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
@pytest.mark.parametrize("seed", range(3))
def test_whenever_a_change_comes_haproxy_serves_the_last_one_and_is_started_once(tmp_path, seed):
    rng = random.Random(seed)
    spec = answering("first")

    async def changes():
        copy = Copy(spec, tmp_path, asyncio.Event())
        copy.open()
        try:
            # Also between the start of a process and the name it has then, and while it reads.
            for number in range(12):
                await asyncio.sleep(rng.choice((0, 0.001, 0.01, 0.05, 0.2)))
                last = msgspec.structs.replace(
                    spec, configuration=answering(f"change {number}").configuration
                )
                copy.load(last)
            for _ in range(300):
                if copy.state().is_running and asked(copy) == "change 11":
                    break
                await asyncio.sleep(0.1)
            assert asked(copy) == "change 11"
            assert copy.state() == CopyState(spec.port, is_running=True, starts=1)
        finally:
            copy.close()

    asyncio.run(changes())


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")
@pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
def test_what_haproxy_counts_and_thinks_of_members_is_told_also_after_a_change(tmp_path):
    dead = Member(uuid=uuid_of("dead"), address="10.1.1.9", port=9, weight=1)
    monitor = Monitor(kind="TCP", delay_s=1, timeout_s=1, retries_count=1)
    pool = Pool(uuid=uuid_of("pool"), protocol="HTTP", members=(dead,), monitor=monitor)
    listener = Listener(uuid=uuid_of("listener"), protocol="HTTP", port=80, pool=pool)
    balancer = LoadBalancer(uuid=uuid_of("lb"), vip="10.1.1.100", listeners=(listener,))
    place = Place(ip_address("10.1.1.9"), tmp_path, ())
    text, _ = render(balancer, place)
    spec = msgspec.structs.replace(answering(""), configuration=text)

    async def looked(copy):
        """(HAProxy's word for the member, requests of the listener), once it has one for both."""
        for _ in range(100):
            await copy.look()
            parts = {each.kind: each for each in copy.state().parts}
            if parts and parts["member"].state == "DOWN":
                return parts["listener"].total_sessions
            await asyncio.sleep(0.1)
        raise AssertionError(copy.state())

    async def both():
        copy = Copy(spec, tmp_path, asyncio.Event(), count_s=0)
        copy.open()
        try:
            before = await looked(copy)
            asked(copy)
            assert await looked(copy) == before + 1
            more = msgspec.structs.replace(listener, connection_limit=7)
            changed, _ = render(msgspec.structs.replace(balancer, listeners=(more,)), place)
            copy.load(msgspec.structs.replace(spec, configuration=changed))
            for _ in range(100):
                asked(copy)
                # The new worker counts from nothing, which nobody sees.
                now = await looked(copy)
                assert now > before
                if "maxconn 7" in copy.spec.configuration and now >= before + 20:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(copy.state())
        finally:
            copy.close()

    asyncio.run(both())
