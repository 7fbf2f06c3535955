"""Load balancers by packets: HTTP and TLS over two servers, from two hosts, whatever ends."""

import collections
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from skytrail.client import ApiClient, ApiError
from skytrail.lab import check
from skytrail.lab.io import netns
from skytrail.runtime.introspection import read_table

EXAMPLE = Path(__file__).parents[2] / "examples" / "load-balancer"
VIP = "10.30.0.100"
_ANY = "00000000-0000-4000-8000-000000000000"
"""Where nobody asks which subnet it is."""
HOSTS = ("compute1", "compute2", "compute3")
_SERVE = """
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4, mapped
    def handle_error(self, *_):
        pass  # monitors leave early
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    ready = 200
    def do_GET(self):
        if self.path.startswith("/become/"):
            Answer.ready = int(self.path[8:])
        body = (sys.argv[1] + " " + self.headers.get("X-Forwarded-For", "") + " "
            + self.headers.get("X-Forwarded-Proto", "")).encode()
        self.send_response(Answer.ready if self.path == "/ready" else 200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/login":
            self.send_header("Set-Cookie", "session=of-" + sys.argv[1])
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
Server(("::", 8080), Answer).serve_forever()
"""


@pytest.fixture(scope="module")
def trusted(tmp_path_factory):
    """A certificate with its key, as all hosts have it."""
    return certificate(tmp_path_factory.mktemp("certificate") / "shop.pem")


@pytest.fixture(scope="module")
def shop(lab_of, trusted):
    shown = trusted.read_text()
    mail = certificate(trusted.with_name("mail.pem"), name="mail.example").read_text()
    with lab_of(EXAMPLE, "stl", "\nanalytics: true\n") as lab, contextlib.ExitStack() as stack:
        for host in HOSTS:
            folder = lab.paths.agent_state(host) / "certificates"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "shop.pem").write_text(shown)
            (folder / "mail.pem").write_text(mail)
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


def certificate(file, name="shop.example"):
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
        "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", str(file),
        "-out", str(file.with_suffix(".crt")), "-addext", f"subjectAltName=IP:{VIP}",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    with file.open("a") as text:
        text.write(file.with_suffix(".crt").read_text())
    return file


def serve(lab, name):
    command = ["python3", "-c", _SERVE, name]
    return subprocess.Popen(netns.inside(lab.plan.namespace_of(name), command))


def ask(lab, *, tls=None, port=80, who="client", at=VIP, path="/", headers=None):
    """What a client gets: (status, name of the server, what it was told of the client).

    ``headers`` are sent, and become those of the answer.
    """
    with netns.entered(lab.plan.namespace_of(who)):
        if tls is None:
            connection = http.client.HTTPConnection(at, port, timeout=2)
        else:
            connection = http.client.HTTPSConnection(at, port, timeout=2, context=tls)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path, headers=headers or {})
                reply = connection.getresponse()
                if headers is not None:
                    headers.clear()
                    headers.update({name.lower(): value for name, value in reply.headers.items()})
                words = reply.read().decode().split()
            except (OSError, http.client.HTTPException):
                return 0, "", ()
    return reply.status, words[0] if words else "", tuple(words[1:])


def copies(lab):
    """Rows of every host that has a copy of the first balancer."""
    found = {}
    for host in HOSTS:
        for row in read_table(lab.paths.introspect_socket(host), "load_balancers"):
            if row["vip"] == VIP:
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


def standing(api):
    """(provisioning, operating) of the balancer, status of pool ``servers`` and of its members."""
    balancer = api.list("loadbalancer")[0]["uuid"]
    given = api.read("loadbalancer", balancer)["loadbalancer_properties"]
    pool = next(e for e in api.list("loadbalancer-pool") if e["fq_name"][-1] == "servers")
    whole = api.read("loadbalancer-pool", pool["uuid"])
    members = {
        each["fq_name"][-1]: api.read("loadbalancer-member", each["uuid"])[
            "loadbalancer_member_properties"
        ]["status"]
        for each in api.list("loadbalancer-member")
        if each["fq_name"][-2] == "servers"
    }
    return (
        (given["provisioning_status"], given["operating_status"]),
        whole["loadbalancer_pool_properties"]["status"],
        members,
    )


@pytest.mark.root
def test_server_whose_monitor_gets_another_code_is_out_and_the_api_says_so(
    shop, balanced, eventually
):
    at = str(check.members(shop)["server1"].address(version=4))
    well = (("ACTIVE", "ONLINE"), "ONLINE", {"server1": "ONLINE", "server2": "ONLINE"})
    eventually(lambda: standing(balanced) == well, "all is well", timeout_s=30)

    ask(shop, at=at, port=8080, path="/become/404")
    try:
        half = (("ACTIVE", "DEGRADED"), "DEGRADED", {"server1": "ERROR", "server2": "ONLINE"})
        eventually(lambda: standing(balanced) == half, "one is out", timeout_s=30)
        assert set(spread(shop, 6)) == {"server2"}
    finally:
        ask(shop, at=at, port=8080, path="/become/200")
    eventually(lambda: standing(balanced) == well, "all is well again", timeout_s=30)


@pytest.mark.root
def test_analytics_has_connections_and_bytes_of_balancer_and_members(shop, balanced, eventually):
    uuid = balanced.list("loadbalancer")[0]["uuid"]

    def counted():
        url = f"{shop.analytics_url}/analytics/uves/loadbalancer/{uuid}"
        return httpx.get(url, params={"flat": ""}).json().get("UveLoadbalancerStats", {})

    before = eventually(lambda: counted().get("total_sessions"), "it is told of", timeout_s=60)
    spread(shop, 20)
    told = eventually(
        lambda: (found := counted())["total_sessions"] >= before + 20 and found,
        "twenty connections more",
        timeout_s=60,
    )

    assert told["bytes_out"] > told["bytes_in"] > 0
    assert len(told["vrouter_list"]) == 2


@pytest.mark.root
def test_certificate_is_that_of_the_name_that_the_client_asks_for(shop, balanced, eventually):
    listener = next(
        each["uuid"]
        for each in balanced.list("loadbalancer-listener")
        if each["fq_name"][-1] == "https"
    )
    field = "loadbalancer_listener_properties"
    known = balanced.read("loadbalancer-listener", listener)[field]
    balanced.update(
        "loadbalancer-listener", listener, {field: known | {"sni_containers": ["mail"]}}
    )

    def shown(name):
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        with netns.entered(shop.plan.namespace_of("client")):
            plain = socket.create_connection((VIP, 443), timeout=2)
        with plain, tls.wrap_socket(plain, server_hostname=name) as secure:
            return b"mail.example" in secure.getpeercert(binary_form=True)

    eventually(lambda: shown("mail.example"), "the other certificate", timeout_s=30)
    assert not shown("shop.example")
    balanced.update("loadbalancer-listener", listener, {field: known})


@pytest.fixture(scope="module")
def six(shop, placed):
    """A second balancer, at an IPv6 address: its address, and ``listen`` that adds to it."""
    api = placed
    address = "fd00:30::100"
    front = next(e["uuid"] for e in api.list("virtual-network") if e["fq_name"][-1] == "front")
    group = next(e["uuid"] for e in api.list("security-group") if e["fq_name"][-1] == "web")
    project = {"parent_type": "project"}
    place = ["default-domain", "shop"]
    port = api.create(
        "virtual-machine-interface",
        {"fq_name": [*place, "six-vip"], **project, "virtual_network_refs": [{"uuid": front}],
         "security_group_refs": [{"uuid": group}]},
    )  # fmt: skip
    api.create(
        "instance-ip",
        {"fq_name": ["six-vip"], "instance_ip_address": address, "instance_ip_family": "v6",
         "virtual_network_refs": [{"uuid": front}],
         "virtual_machine_interface_refs": [{"uuid": port}]},
    )  # fmt: skip
    hosts = ",".join(shop.plan.namespace_of(each) for each in ("compute3", "compute2"))
    balancer = api.create(
        "loadbalancer",
        {"fq_name": [*place, "six"], **project,
         "annotations": {"key_value_pair": [{"key": "load-balancer-hosts", "value": hosts}]},
         "loadbalancer_properties": {"vip_address": address, "vip_subnet_id": _ANY},
         "virtual_machine_interface_refs": [{"uuid": port}]},
    )  # fmt: skip

    def listen(name, port_number, protocol="HTTP", *, more=(), **pool):
        listener = api.create(
            "loadbalancer-listener",
            {"fq_name": [*place, name], **project, "loadbalancer_refs": [{"uuid": balancer}],
             "loadbalancer_listener_properties":
                {"protocol": protocol, "protocol_port": port_number, **dict(more)}},
        )  # fmt: skip
        made = api.create(
            "loadbalancer-pool",
            {"fq_name": [*place, name], **project,
             "loadbalancer_listener_refs": [{"uuid": listener}],
             "loadbalancer_pool_properties":
                {"protocol": protocol, "subnet_id": _ANY, **pool}},
        )  # fmt: skip
        for server in ("server1", "server2"):
            at = str(check.members(shop)[server].address(version=6))
            api.create(
                "loadbalancer-member",
                {"fq_name": [*place, name, server], "parent_type": "loadbalancer-pool",
                 "parent_uuid": made,
                 "loadbalancer_member_properties": {"address": at, "protocol_port": 8080}},
            )  # fmt: skip
        return listener

    return address, listen


@pytest.mark.root
def test_ipv6_balancer_shares_among_ipv6_servers_and_tells_who_asked(shop, six, eventually):
    address, listen = six
    listen("six-http", 80)

    both = {"server1", "server2"}
    eventually(lambda: set(spread(shop, 4, at=address)) == both, "both", timeout_s=60)

    client = str(check.members(shop)["client"].address(version=6))
    assert ask(shop, at=address)[2] == (client, "http")


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "port", "path", "cookie"),
    [("HTTP_COOKIE", 443, "/", "SERVERID"), ("APP_COOKIE", 8080, "/login", "session")],
)
def test_client_with_a_cookie_stays_at_its_server(shop, six, eventually, kind, port, path, cookie):
    address, listen = six
    name = {"persistence_cookie_name": cookie} if kind == "APP_COOKIE" else {}
    listen(f"six-{kind}", port, session_persistence=kind, **name)
    eventually(lambda: ask(shop, at=address, port=port)[0] == 200, "it answers", timeout_s=60)
    headers = {}
    _, server, _ = ask(shop, at=address, port=port, path=path, headers=headers)
    sent = headers["set-cookie"].partition(";")[0]
    assert sent.startswith(f"{cookie}=")

    met = {
        ask(shop, at=address, port=port, headers={"Cookie": sent})[1] for _ in range(6)
    }  # fmt: skip

    assert met == {server}
    assert len(spread(shop, 6, at=address, port=port)) == 2


@pytest.mark.root
def test_listener_takes_no_more_than_its_limit_and_none_when_it_is_off(shop, six, eventually):
    address, listen = six
    with ApiClient(shop.api_url) as api:
        for kind in ("loadbalancer-member", "loadbalancer-pool", "loadbalancer-listener"):
            for each in api.list(kind):
                if "six-HTTP_COOKIE" in each["fq_name"]:
                    api.delete(kind, each["uuid"])
        listener = listen("six-limited", 443, "TCP", more={"connection_limit": 2})
        eventually(
            # The last that was made is the second member.
            lambda: (
                {ask(shop, at=address, port=443)[1:] for _ in range(6)}
                == {("server1", ()), ("server2", ())}
            ),
            "both servers, and nobody reads the requests",
            timeout_s=60,
        )
        with contextlib.ExitStack() as held, netns.entered(shop.plan.namespace_of("client")):
            for _ in range(2):
                held.enter_context(socket.create_connection((address, 443), timeout=2))
            third = held.enter_context(socket.create_connection((address, 443), timeout=2))
            third.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with pytest.raises(TimeoutError):
                third.recv(1)
        field = "loadbalancer_listener_properties"
        known = api.read("loadbalancer-listener", listener)[field]
        api.update("loadbalancer-listener", listener, {field: known | {"admin_state": False}})
        eventually(lambda: ask(shop, at=address, port=443)[0] == 0, "it is off", timeout_s=30)


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
