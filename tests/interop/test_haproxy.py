"""HAProxy takes every configuration that hosts make."""

import itertools
import shutil
import subprocess
from ipaddress import ip_address

import pytest

from skytrail.agent.balancing.haproxy import Place, render
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
