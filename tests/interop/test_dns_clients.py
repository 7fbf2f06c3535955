"""Real resolvers and kernel sockets ask the agent: EDNS, truncation, TCP, short names, reverse names."""

import os
import shutil
import sys

import pytest

from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet
from skytrail.testing.responder_wire import responder_wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")

MANY = 60
ASK = """
import socket, sys
from skytrail.wire.dns import DnsMessage, Question, RecordType, ResourceRecord, decode_dns
way, name, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
more = (ResourceRecord("", RecordType.OPT, 0, b"", size),) if size else ()
query = DnsMessage(message_id=7, questions=(Question(name, RecordType.A),), additionals=more).encode()
family = socket.AF_INET6 if way.endswith("6") else socket.AF_INET
server = "fd00:1::2" if way.endswith("6") else "10.1.1.2"
if way.startswith("udp"):
    asked = socket.socket(family, socket.SOCK_DGRAM)
    asked.settimeout(5)
    asked.sendto(query, (server, 53))
    found = [asked.recv(65535)]
else:
    asked = socket.create_connection((server, 53), timeout=5)
    framed = len(query).to_bytes(2, "big") + query
    asked.sendall(framed[:5])  # A question may come in pieces, and another one with it.
    asked.sendall(framed[5:] + framed)
    stream, found = asked.makefile("rb"), []
    for _ in range(2):
        found.append(stream.read(int.from_bytes(stream.read(2), "big")))
    asked.shutdown(socket.SHUT_WR)
    assert stream.read() == b""
for message in found:
    answer = decode_dns(message)
    options = [each.record_class for each in answer.additionals if each.record_type == RecordType.OPT]
    print(len(answer.answers), "truncated" if answer.truncated else "whole", len(message) <= max(size, 512), *options)
"""


def make_world():
    config = ConfigBuilder()
    ipam = config.node(
        "network-ipam",
        f"{PROJECT}:ipam",
        network_ipam_mgmt={"ipam_dns_method": "virtual-dns-server"},
    )
    red = config.network("red", 5, [subnet("10.1.1.0/24"), subnet("fd00:1::/64")])
    config.port("a", red, ["10.1.1.3", "fd00:1::3"])
    server = config.node(
        "virtual-DNS",
        "d:dns",
        virtual_DNS_data={"domain_name": "demo.test", "record_order": "fixed"},
    )
    config.link(ipam, server)
    listed = [("many", "A", f"10.2.0.{number}") for number in range(1, MANY + 1)]
    listed += [("web", "A", "10.1.1.4"), ("4.1.1.10.in-addr.arpa", "PTR", "web.demo.test")]
    for number, (name, kind, content) in enumerate(listed):
        data = {"record_name": name, "record_type": kind, "record_data": content}
        record = config.node("virtual-DNS-record", f"d:dns:{number}", virtual_DNS_record_data=data)
        config.link(server, record)
    host = AgentHost()
    host.plug("a", 10)
    host.connect()
    host.configure(config.update())
    host.reconcile()
    return host


@pytest.fixture(scope="module")
def wire():
    host = make_world()
    with responder_wire(host.active("a"), host.view.virtual_dns) as made:
        made.run("ip", "address", "add", "10.1.1.3/24", "dev", "eth0")
        made.run("ip", "-6", "address", "add", "fd00:1::3/64", "dev", "eth0", "nodad")
        yield made


def ask(wire, way, name, size=0):
    return wire.run(sys.executable, "-c", ASK, way, name, str(size)).splitlines()


def test_plain_udp_answer_is_cut_at_512_bytes_and_says_so(wire):
    (line,) = ask(wire, "udp4", "many.demo.test")

    count, state, fits = line.split()
    assert (state, fits) == ("truncated", "True")
    assert 0 < int(count) < MANY


def test_edns_gets_as_much_as_was_offered(wire):
    assert ask(wire, "udp4", "many.demo.test", 4096) == [f"{MANY} whole True 1232"]


def test_edns_of_a_small_client_is_obeyed(wire):
    (line,) = ask(wire, "udp6", "many.demo.test", 600)

    assert line.split()[1:] == ["truncated", "True", "1232"]


@pytest.mark.parametrize("way", ["tcp4", "tcp6"])
def test_tcp_gives_everything_and_ends_cleanly(wire, way):
    lines = ask(wire, way, "many.demo.test")

    assert [line.split()[:2] for line in lines] == [[str(MANY), "whole"]] * 2
    wire.serve(lambda: len(wire.dispatcher.streams) == 0)


@pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox")
def test_busybox_resolves_names_and_addresses(wire):
    forward = wire.run("busybox", "nslookup", "web.demo.test", "10.1.1.2")
    backward = wire.run("busybox", "nslookup", "10.1.1.4", "10.1.1.2")

    assert "10.1.1.4" in forward
    assert "name = web.demo.test" in backward
