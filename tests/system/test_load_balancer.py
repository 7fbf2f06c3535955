"""Load balancers by packets: HTTP and TLS over two servers, from two hosts, whatever ends."""

import collections
import contextlib
import http.client
import os
import signal
import ssl
import subprocess
from pathlib import Path

import pytest

from skytrail.client import ApiClient, ApiError
from skytrail.lab import check
from skytrail.lab.io import netns
from skytrail.runtime.introspection import read_table

EXAMPLE = Path(__file__).parents[2] / "examples" / "load-balancer"
VIP = "10.30.0.100"
HOSTS = ("compute1", "compute2", "compute3")
_SERVE = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (sys.argv[1] + " " + self.headers.get("X-Forwarded-For", "") + " "
            + self.headers.get("X-Forwarded-Proto", "")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    """A certificate with its key, as all hosts have it."""
    return certificate(tmp_path_factory.mktemp("certificate") / "shop.pem")


@pytest.fixture(scope="module")
def shop(lab_of, trusted):
    shown = trusted.read_text()
    with lab_of(EXAMPLE, "stl") as lab, contextlib.ExitStack() as stack:
        for host in HOSTS:
            folder = lab.paths.agent_state(host) / "certificates"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "shop.pem").write_text(shown)
        for name in ("server1", "server2"):
            stack.callback(serve(lab, name).kill)
        yield lab


@pytest.fixture(scope="module")
def placed(shop):
    """The balancer with its active copy where nobody else is."""
    with ApiClient(shop.api_url) as api:
        uuid = api.list("loadbalancer")[0]["uuid"]
        hosts = ",".join(shop.plan.namespace_of(each) for each in ("compute1", "compute2"))
        pairs = [{"key": "load-balancer-hosts", "value": hosts}]
        api.update("loadbalancer", uuid, {"annotations": {"key_value_pair": pairs}})
        # Nobody waits for a lost agent here: else its routes would stay for as long as it may take.
        system = api.list("global-system-config")[0]["uuid"]
        restart = {"enable": True, "xmpp_helper_enable": False, "bgp_helper_enable": False}
        api.update("global-system-config", system, {"graceful_restart_parameters": restart})
        yield api


def certificate(file):
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", "/CN=shop.example", "-keyout", str(file),
        "-out", str(file.with_suffix(".crt")), "-addext", f"subjectAltName=IP:{VIP}",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    with file.open("a") as text:
        text.write(file.with_suffix(".crt").read_text())
    return file


def serve(lab, name):
    command = ["python3", "-c", _SERVE, name]
    return subprocess.Popen(netns.inside(lab.plan.namespace_of(name), command))


def ask(lab, *, tls=None, port=80, who="client", at=VIP):
    """What a client gets: (status, name of the server, what it was told of the client)."""
    with netns.entered(lab.plan.namespace_of(who)):
        if tls is None:
            connection = http.client.HTTPConnection(at, port, timeout=2)
        else:
            connection = http.client.HTTPSConnection(at, port, timeout=2, context=tls)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/")
                reply = connection.getresponse()
                words = reply.read().decode().split()
            except (OSError, http.client.HTTPException):
                return 0, "", ()
    return reply.status, words[0] if words else "", tuple(words[1:])


def copies(lab):
    """Rows of every host that has a copy."""
    found = {}
    for host in HOSTS:
        for row in read_table(lab.paths.introspect_socket(host), "load_balancers"):
            found[host] = row
    return found


def spread(lab, count, **how):
    return collections.Counter(ask(lab, **how)[1] for _ in range(count))


@pytest.fixture
def balanced(shop, placed, eventually):
    """Both copies run, and both servers answer."""
    eventually(
        lambda: [copies(shop).get(host, {}).get("state") for host in HOSTS] == ["up", "up", None],
        "copies on the hosts that were said",
        timeout_s=30,
    )
    eventually(
        lambda: {"server1", "server2"} <= spread(shop, 6).keys(), "both servers", timeout_s=30
    )
    return placed


@pytest.mark.root
def test_requests_go_to_each_server_in_turn_and_tell_who_asked(shop, balanced, eventually):
    # A busy machine may keep a server from answering its monitor for a moment.
    eventually(lambda: spread(shop, 20) == {"server1": 10, "server2": 10}, "each in turn")
    client = str(check.members(shop)["client"].address(version=4))
    assert ask(shop)[2] == (client, "http")


@pytest.mark.root
def test_floating_address_of_the_balancer_s_port_leads_to_the_active_copy(shop, balanced):
    visitor = str(check.members(shop)["visitor"].address(version=4))

    status, server, told = ask(shop, who="visitor", at="203.0.113.100")

    assert (status, told[0]) == (200, visitor)
    assert server in {"server1", "server2"}


@pytest.mark.root
def test_tls_ends_at_the_balancer_with_the_host_s_certificate(shop, balanced, trusted, eventually):
    tls = ssl.create_default_context(cafile=str(trusted))

    status, server, told = eventually(
        lambda: (found := ask(shop, tls=tls, port=443))[0] and found, "an answer over TLS"
    )

    assert (status, told[1]) == (200, "https")
    assert server in {"server1", "server2"}


@pytest.mark.root
def test_server_that_does_not_answer_gets_nothing_until_it_is_back(shop, balanced, eventually):
    victim = next(
        pid
        for pid in netns.processes(shop.plan.namespace_of("server1"))
        if b"8080" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: set(spread(shop, 6)) == {"server2"}, "only the other one")
    again = serve(shop, "server1")
    try:
        eventually(lambda: set(spread(shop, 6)) == {"server1", "server2"}, "both again")
        source = {"loadbalancer_method": "SOURCE_IP"}
        pool = next(
            each["uuid"]
            for each in balanced.list("loadbalancer-pool")
            if each["fq_name"][-1] == "servers"
        )
        known = balanced.read("loadbalancer-pool", pool)["loadbalancer_pool_properties"]
        balanced.update("loadbalancer-pool", pool, {"loadbalancer_pool_properties": known | source})
        eventually(lambda: len(spread(shop, 10)) == 1, "one client, one server")
        cookie = known | {"session_persistence": "APP_COOKIE"}
        with pytest.raises(ApiError, match="persistence_cookie_name"):
            balanced.update("loadbalancer-pool", pool, {"loadbalancer_pool_properties": cookie})
        balanced.update("loadbalancer-pool", pool, {"loadbalancer_pool_properties": known})
        eventually(lambda: len(spread(shop, 10)) == 2, "in turn again")
    except BaseException:
        again.kill()
        raise


@pytest.mark.root
def test_killed_haproxy_and_killed_host_cost_a_moment(shop, balanced, eventually):
    namespace = shop.plan.namespace_of("compute1")
    before = copies(shop)["compute1"]["starts"]
    subprocess.run(["kill", "-9", *haproxies(shop, "compute1")], check=True)
    eventually(lambda: copies(shop)["compute1"]["starts"] > before, "it is started again")
    eventually(lambda: set(spread(shop, 6)) == {"server1", "server2"}, "it answers")

    shop.kill("compute1")
    for pid in netns.processes(namespace):
        os.kill(pid, signal.SIGKILL)
    # Its last segments tell control nodes: without them they miss it after the hold time only.
    eventually(lambda: not is_connected(shop, "compute1"), "control nodes know")
    netns.configure(namespace, ["link set underlay0 down"])
    eventually(
        lambda: set(spread(shop, 6)) == {"server1", "server2"}, "the stand-by answers", timeout_s=30
    )


def is_connected(lab, host):
    peers = read_table(lab.paths.introspect_socket("control1"), "peers")
    return any(row["up"] for row in peers if row["name"] == lab.plan.namespace_of(host))


def haproxies(lab, host):
    """Ids of the masters that a host's keeper runs."""
    folder = str(lab.paths.agent_state(host)).encode()
    return [
        each.name
        for each in Path("/proc").glob("[0-9]*")
        if (line := command_of(each)).startswith(b"haproxy\0-W") and folder in line
    ]


def command_of(process):
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
