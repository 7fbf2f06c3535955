"""Whatever a load balancer is said to be, HAProxy's configuration has our directives alone."""

import re
from ipaddress import ip_address
from pathlib import PurePath

from hypothesis import given
from hypothesis import strategies as st

from skytrail.agent.balancing.haproxy import Place, render
from skytrail.model.load_balancer import Listener, LoadBalancer, Member, Monitor, Pool

UUID = "8fc6c997-410f-51eb-87f9-14783f65f68d"
NASTY = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["a\nglobal", "a b", "a#", 'a"', "a\\", "/x y", "/%[env]", "200\n", f"{UUID}\n"]
    ),
)
LINE = re.compile(
    r"|(global|defaults|frontend \S+|backend \S+)"
    r"|    (user|group|chroot|maxconn|no strict-limits|ssl-default-bind-\S+|timeout|option|retries"
    r"|mode|bind|default_backend|balance|source|cookie|stick-table|stick|http-check|http-request"
    r"|tcp-request|server)[ -~]*"
)


def some(*known):
    return st.one_of(st.sampled_from(known), NASTY)


NUMBER = st.integers(-10, 70_000)
MONITORS = st.builds(
    Monitor,
    kind=some("TCP", "HTTP", "HTTPS", "PING"),
    delay_s=NUMBER,
    timeout_s=NUMBER,
    retries_count=NUMBER,
    method=some("GET"),
    path=some("/ready"),
    codes=some("200"),
)
MEMBERS = st.builds(
    Member, uuid=some(UUID), address=some("10.0.0.1", "fd00::1"), port=NUMBER, weight=NUMBER
)
POOLS = st.builds(
    Pool,
    uuid=some(UUID),
    protocol=some("HTTP", "TCP"),
    method=some("SOURCE_IP"),
    persistence=some("", "APP_COOKIE", "HTTP_COOKIE", "SOURCE_IP"),
    cookie=some("id"),
    monitor=st.none() | MONITORS,
    members=st.lists(MEMBERS, max_size=2).map(tuple),
)
LISTENERS = st.builds(
    Listener,
    uuid=some(UUID),
    protocol=some("HTTP", "TCP", "TERMINATED_HTTPS"),
    port=NUMBER,
    connection_limit=NUMBER,
    certificates=st.lists(some("shop"), max_size=2).map(tuple),
    pool=st.none() | POOLS,
)


@given(st.lists(LISTENERS, max_size=3), NASTY)
def test_no_value_becomes_a_directive(listeners, file):
    balancer = LoadBalancer(uuid=UUID, vip="10.0.0.9", listeners=tuple(listeners))
    place = Place(ip_address("10.0.0.8"), PurePath("/c"), ("shop.pem", file))

    text, _ = render(balancer, place)

    for line in text.split("\n"):
        assert LINE.fullmatch(line), line
        assert not set("#\"'\\") & set(line), line
