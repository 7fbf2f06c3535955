"""Link-local services and the metadata service by real packets, of tenants with equal addresses."""

import contextlib
import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.client import ApiClient
from skytrail.lab.io import netns

EXAMPLE = Path(__file__).parents[2] / "examples" / "host-services"
NOVA = """
import hashlib, hmac, json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
secret = sys.argv[2].encode()
class Nova(BaseHTTPRequestHandler):
    def do_GET(self):
        said = {name.lower(): value for name, value in self.headers.items()}
        instance = said.get("x-instance-id", "")
        right = hmac.new(secret, instance.encode(), hashlib.sha256).hexdigest()
        ok = hmac.compare_digest(right, said.get("x-instance-id-signature", ""))
        body = json.dumps([self.path, said]).encode()
        self.send_response(200 if ok else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest):
        pass
server = ThreadingHTTPServer(("", int(sys.argv[1])), Nova)
print("ready", flush=True)
server.serve_forever()
"""
ECHO = """
import socket, sys
listener = socket.create_server(
    ("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True
)
print("ready", flush=True)
while True:
    connection, peer = listener.accept()
    with connection:
        size = 0
        while chunk := connection.recv(1 << 16):
            size += len(chunk)
        at = peer[0].removeprefix("::ffff:")
        connection.sendall(f"{at} {peer[1]} {size}".encode())
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10) as connection:
    connection.sendall(bytes(int(sys.argv[3])))
    connection.shutdown(socket.SHUT_WR)
    print(connection.makefile().read())
"""

BLUE = ("blue", "far")

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def lab(lab_of):
    with lab_of(EXAMPLE, "sth") as created:
        yield created


@pytest.fixture(scope="module")
def nova(lab):
    secret = (EXAMPLE / "nova-secret").read_text().strip()
    with running(lab, control(lab), NOVA, 8775, secret):
        yield


def control(lab):
    """The control node whose machine the example's services are on."""
    with ApiClient(lab.api_url) as api:
        names = ["default-global-system-config", "default-global-vrouter-config"]
        found = api.read_by_name("global-vrouter-config", names)
    at = found["linklocal_services"]["linklocal_service_entry"][0]["ip_fabric_service_ip"][0]
    return next(node.name for node in lab.plan.controllers if str(node.address) == at)


@contextlib.contextmanager
def running(lab, name, program, *arguments):
    command = lab.command_in(name, ["python3", "-c", program, *map(str, arguments)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            process.kill()


def curl(lab, name, *options, at="169.254.169.254", path="/openstack/latest/meta_data.json"):
    url = f"http://{at}{path}"
    command = lab.command_in(
        name, ["curl", "-s", "-m", "10", "-w", "\n%{http_code}", *options, url]
    )
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    body, _, status = done.stdout.rpartition("\n")
    return status, body


def link_of(lab, name):
    command = lab.command_in(name, ["ip", "-j", "-6", "addr", "show", "scope", "link"])
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found[0]["ifname"]


def connect(lab, source, address, port, size=1):
    command = lab.command_in(source, ["python3", "-c", CLIENT, address, str(port), str(size)])
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.split() if not done.returncode else None


def identity(lab, tenant, name):
    with ApiClient(lab.api_url) as api:
        names = ["default-domain", tenant, name]
        port = api.read_by_name("virtual-machine-interface", names)
        project = api.read_by_name("project", names[:2])
    return port["virtual_machine_refs"][0]["uuid"], project["uuid"].replace("-", "")


@pytest.mark.parametrize("at", ["169.254.169.254", "[fe80::a9fe:a9fe%25{link}]"])
@pytest.mark.parametrize(
    ("workload", "tenant", "name"),
    [("red", "red", "vm"), ("blue", "blue", "vm"), ("far", "blue", "far")],
)
def test_nova_knows_who_asks_though_addresses_are_the_same(lab, nova, workload, tenant, name, at):
    """Over IPv6 from the link-local address that every interface has, in a network of IPv4."""
    status, body = curl(lab, workload, at=at.format(link=link_of(lab, workload)))

    assert status == "200", body
    path, said = json.loads(body)
    machine, project = identity(lab, tenant, name)
    assert path == "/openstack/latest/meta_data.json"
    assert (said["x-instance-id"], said["x-tenant-id"]) == (machine, project)
    assert said["x-forwarded-for"].startswith("10.30.0.")


CROWD = """
import errno, resource, select, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
opened, seen, said = select.epoll(), {}, 0
while True:
    while len(seen) < 2000:
        end = socket.socket()
        end.setblocking(False)
        if end.connect_ex((sys.argv[1], 80)) not in (0, errno.EINPROGRESS):
            end.close()
            break
        seen[end.fileno()] = end
        opened.register(end, select.EPOLLIN | select.EPOLLOUT | select.EPOLLONESHOT)
    for number, event in opened.poll(0.1):
        if event & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
            seen.pop(number).close()
            said += 1
            if said == 3000:
                print("ready", flush=True)
            continue
        try:
            seen[number].send(b"G")
        except OSError:
            pass
        opened.modify(number, select.EPOLLIN | select.EPOLLONESHOT)
"""


def test_a_crowd_of_slow_connections_leaves_others_their_metadata(lab, nova):
    """From one workload as many as it can open, each of which begins a request; nobody ends one."""
    with running(lab, "red", CROWD, "169.254.169.254"):
        answers = [curl(lab, "blue", "-m", "5") for _ in range(10)]

    assert [status for status, _ in answers] == ["200"] * 10


def test_nobody_speaks_for_another_machine(lab, nova):
    machine, _ = identity(lab, "blue", "vm")
    forged = [f"X-Instance-ID: {machine}", f"X_Instance_ID: {machine}", "X-Tenant-ID: 1"]
    options = [word for each in forged for word in ("-H", each)]

    status, body = curl(lab, "red", *options)

    assert status == "200"
    assert machine not in body


def test_a_service_in_the_underlay_sees_the_host(lab):
    hosts = {node.name: str(node.address) for node in lab.plan.hosts}
    with running(lab, control(lab), ECHO, 9000):
        red, blue = (connect(lab, each, "169.254.169.1", 5000, 300_000) for each in ("red", "blue"))
        far = connect(lab, "far", "169.254.169.1", 5000)

    assert red is not None and blue is not None and far is not None
    assert (red[0], red[2]) == (blue[0], blue[2]) == (hosts["compute1"], "300000")
    assert far[0] == hosts["compute2"]
    assert all(61000 <= int(each[1]) <= 65535 for each in (red, blue, far))


SYNS = 20_000
FLOOD = """
import os, socket, struct, sys
to, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
flood = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
flood.connect((to, port))
own = socket.inet_aton(flood.getsockname()[0])
for n in range(count):
    head = struct.pack("!HHIIBBHHH", 1024 + n, port, n, 0, 80, 2, 1024, 0, 0)
    words = own + socket.inet_aton(to) + struct.pack("!HH", 6, len(head)) + head
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    flood.send(head[:16] + struct.pack("!H", ~total & 0xFFFF) + head[18:])
"""


def test_a_flood_of_one_workload_leaves_another_its_ports_to_the_same_service(lab, drop_growth):
    """Both are on one host, whose address and ports stand for them at the service."""
    refused, others = drop_growth("blue"), drop_growth("red")
    with running(lab, control(lab), ECHO, 9000):
        command = ["python3", "-c", FLOOD, "169.254.169.1", "5000", str(SYNS)]
        netns.run(lab.command_in("blue", command))
        seen = [connect(lab, "red", "169.254.169.1", 5000) for _ in range(20)]

    assert all(seen)
    assert refused().get("PORT_SHARE", 0) > SYNS // 2
    assert not others().keys() & {"PORT_SHARE", "PORTS_EXHAUSTED"}


def test_a_service_of_the_host_itself_sees_the_interface(lab):
    with running(lab, "compute1", ECHO, 9000):
        seen = [connect(lab, each, "169.254.169.2", 5000, 300_000) for each in ("red", "blue")]

    assert all(each is not None and each[2] == "300000" for each in seen)
    assert len({each[0] for each in seen if each}) == 2
    assert all(each[0].startswith("169.254.0.") for each in seen if each)


def test_a_service_of_the_host_itself_is_reached_over_ipv6(lab):
    at = "fe80::a9fe:a902%"
    with running(lab, "compute1", ECHO, 9000):
        seen = [
            connect(lab, each, at + link_of(lab, each), 5000, 300_000) for each in ("red", "blue")
        ]
        other = connect(lab, "red", at + link_of(lab, "red"), 5001)

    assert all(each is not None and each[2] == "300000" for each in seen)
    assert len({each[0] for each in seen if each}) == 2
    assert all(each[0].startswith("fd73:6b79:7472::") for each in seen if each)
    assert other is None


@pytest.fixture
def relayed(lab):
    """Services that IPv4 translation does not lead to; compute1 has IPv6 beside its IPv4 underlay."""
    host, over6 = lab.plan.node("compute1").namespace, "fd00:7::9"
    over4 = next(str(node.address) for node in lab.plan.controllers if node.name == control(lab))
    switch = "echo {} > /proc/sys/net/ipv6/conf/underlay0/disable_ipv6"
    netns.run(netns.inside(host, ["sh", "-c", switch.format(0)]))
    netns.configure(host, [f"address add {over6}/64 dev underlay0 nodad"])
    reached = (("169.254.169.7", over6), ("fe80::a9fe:a907", over6), ("fe80::a9fe:a908", over4))
    names = ["default-global-system-config", "default-global-vrouter-config"]
    with ApiClient(lab.api_url) as api:
        before = api.read_by_name("global-vrouter-config", names)
        entries = before["linklocal_services"]["linklocal_service_entry"]
        more = [
            {
                "linklocal_service_name": at,
                "linklocal_service_ip": at,
                "linklocal_service_port": 5000,
                "ip_fabric_service_port": 9000,
                "ip_fabric_service_ip": [real],
            }
            for at, real in reached
        ]
        settings = {"linklocal_services": {"linklocal_service_entry": [*entries, *more]}}
        api.update("global-vrouter-config", before["uuid"], settings)
        yield over6
        settings = {"linklocal_services": {"linklocal_service_entry": entries}}
        api.update("global-vrouter-config", before["uuid"], settings)
    netns.run(netns.inside(host, ["sh", "-c", switch.format(1)]))


def test_servers_are_asked_by_the_host_over_either_ip_version(lab, relayed, eventually):
    hosts = {node.name: str(node.address) for node in lab.plan.hosts}
    with running(lab, "compute1", ECHO, 9000), running(lab, control(lab), ECHO, 9000):
        for name, host, at, source in (
            ("red", "compute1", "169.254.169.7", relayed),
            ("red", "compute1", f"fe80::a9fe:a907%{link_of(lab, 'red')}", relayed),
            ("blue", "compute1", f"fe80::a9fe:a908%{link_of(lab, 'blue')}", hosts["compute1"]),
            ("far", "compute2", f"fe80::a9fe:a908%{link_of(lab, 'far')}", hosts["compute2"]),
        ):
            seen = eventually(
                lambda name=name, at=at: connect(lab, name, at, 5000, 300_000),
                f"{at} answers {name} of {host}",
            )
            assert (seen[0], seen[2]) == (source, "300000")


UDP_ECHO = """
import socket, sys
end = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
end.bind(("::", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, peer = end.recvfrom(65536)
    end.sendto(data, peer)
"""
UDP_FLOOD = """
import socket, sys
info = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_DGRAM)[0]
end = socket.socket(info[0], socket.SOCK_DGRAM)
end.connect(info[4])
print("ready", flush=True)
while True:
    try:
        end.send(b"flood")
    except OSError:
        pass
"""
UDP_CLIENT = """
import socket, sys
info = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_DGRAM)[0]
answers = 0
for number in range(int(sys.argv[3])):
    with socket.socket(info[0], socket.SOCK_DGRAM) as end:
        end.connect(info[4])
        end.settimeout(5)
        end.send(b"hi")
        try:
            answers += end.recv(64) == b"hi"
        except (TimeoutError, ConnectionRefusedError):
            pass
print(answers)
"""


def answers_of(lab, name, at, count):
    command = ["python3", "-c", UDP_CLIENT, f"{at}%{link_of(lab, name)}", "5000", str(count)]
    done = subprocess.run(lab.command_in(name, command), check=True, capture_output=True, text=True)
    return int(done.stdout)


def test_a_flood_of_datagrams_to_a_relay_leaves_another_s_answered(
    lab, relayed, eventually, drop_growth
):
    """All workloads of a host share the relay's socket."""
    at = "fe80::a9fe:a908"
    refused, others = drop_growth("red"), drop_growth("blue")
    with running(lab, control(lab), UDP_ECHO, 9000):
        eventually(lambda: answers_of(lab, "blue", at, 1), f"{at} answers")
        with running(lab, "red", UDP_FLOOD, f"{at}%{link_of(lab, 'red')}", 5000):
            eventually(lambda: refused().get("PUNT_RATE_SERVICE", 0) > SYNS, "the flood is limited")
            answers_count = answers_of(lab, "blue", at, 20)

    assert answers_count == 20
    assert "PUNT_RATE_SERVICE" not in others()


def test_a_network_with_fabric_snat_reaches_the_underlay_by_its_host(lab):
    where = next(node for node in lab.plan.controllers if node.name == control(lab))
    hosts = {node.name: str(node.address) for node in lab.plan.hosts}
    with running(lab, where.name, ECHO, 9100):
        blue, far = (connect(lab, each, str(where.address), 9100, 3_000_000) for each in BLUE)
        red = connect(lab, "red", str(where.address), 9100)
    pings = {
        name: subprocess.run(
            lab.command_in(
                name, ["ping", "-n", "-c2", "-i0.2", "-W2", "-s1400", str(where.address)]
            ),
            check=False,
            capture_output=True,
        ).returncode
        for name in (*BLUE, "red")
    }

    assert blue is not None and far is not None
    assert (blue[0], blue[2]) == (hosts["compute1"], "3000000")
    assert (far[0], far[2]) == (hosts["compute2"], "3000000")
    assert red is None
    assert pings == {"blue": 0, "far": 0, "red": 1}
    words = ["trace", "blue", str(where.address), "tcp", "443", "--lab", lab.name]
    traced = CliRunner().invoke(main, words)
    assert traced.exit_code == 0, traced.output
    way = f"leaves for the host's own network, from {hosts['compute1']} to {where.address}"
    assert way in traced.output


def test_an_error_of_the_underlay_reaches_the_workload(lab):
    """A UDP port nobody listens at: the far end's refusal is the workload's."""
    where = next(node for node in lab.plan.controllers if node.name == control(lab))
    program = f"""
import socket
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.settimeout(5)
end.connect(({str(where.address)!r}, 4444))
end.send(b"hi")
end.recv(1)
"""
    command = lab.command_in("blue", ["python3", "-c", program])
    done = subprocess.run(command, check=False, capture_output=True, text=True)

    assert "ConnectionRefusedError" in done.stderr
