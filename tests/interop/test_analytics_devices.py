"""Devices at the analytics node: what real programs of others send, found again by queries."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import sys
import time
from ipaddress import ip_address

import httpx
import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import wait_until
from skytrail.wire.frame import PROTOCOL_UDP, IpPacket, UdpDatagram
from skytrail.wire.telemetry import Hello, Uve, encode
from skytrail.wire.telemetry.sessions import pack

PATIENCE_S = 30.0


def start(module, *arguments):
    command = [sys.executable, "-m", f"skytrail.daemons.{module}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert " ready " in process.stdout.readline()
    return process


class Node:
    """An analytics node that listens to devices on loopback, with its store."""

    def __init__(self, folder):
        store = folder / "history.sock"
        self.rest, self.syslog, self.sflow, self.ipfix, self.telemetry = (
            free_port() for _ in range(5)
        )
        self.url = f"http://127.0.0.1:{self.rest}"
        self.processes = [
            start("history", "--data", str(folder / "data"), "--socket", str(store)),
            start(
                "analytics",
                *("--port", str(self.rest), "--history", str(store), "--log-level", "error"),
                *("--syslog-port", str(self.syslog), "--sflow-port", str(self.sflow)),
                *("--ipfix-port", str(self.ipfix), "--telemetry-port", str(self.telemetry)),
            ),
        ]

    def query(self, table, fields, **members):
        body = {"table": table, "start_time": "now-10m", "end_time": "now", "select_fields": fields}
        reply = httpx.post(f"{self.url}/analytics/query", json={**body, **members}, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()["value"]

    def exporter(self, protocol):
        rows = httpx.get(f"{self.url}/introspect/exporters").json()["rows"]
        return next((row for row in rows if row.get("protocol") == protocol), {})

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    running = Node(tmp_path_factory.mktemp("devices"))
    wait_until(
        lambda: httpx.get(f"{running.url}/healthz").status_code == 200, "the store is prepared"
    )
    yield running
    running.stop()


def datagram_of(source, destination, source_port, destination_port, payload):
    ends = ip_address(source), ip_address(destination)
    datagram = UdpDatagram(source_port, destination_port, payload)
    return IpPacket(*ends, PROTOCOL_UDP, datagram.encode(*ends)).encode()


def tunnelled(client_port):
    """Return a frame as hosts send it: MPLS over UDP, around a question of a workload."""
    inner = datagram_of("10.1.0.3", "10.1.0.4", client_port, 53, b"question")
    labelled = struct.pack("!I", 299_776 << 12 | 0x1FF) + inner
    return bytes(12) + b"\x08\x00" + datagram_of("192.0.2.1", "192.0.2.2", 50_000, 6635, labelled)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """Return a capture file of nine frames, in libpcap's first format, that exporters read."""
    path = tmp_path_factory.mktemp("capture") / "frames.pcap"
    content = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    now = int(time.time()) - 60
    for second in range(9):
        frame = tunnelled(4000)
        content += struct.pack("<IIII", now + second, 0, len(frame), len(frame)) + frame
    path.write_bytes(content)
    return path


def flows(node, kind, *fields):
    where = [[{"name": "flow.flowtype", "value": kind, "op": 1}]]
    return node.query("StatTable.UFlowData.flow", ["name", *fields], where=where)


@pytest.mark.parametrize("version", ["9", "10"])
def test_flows_of_softflowd_are_found(node, capture, tmp_path, version):
    before = node.exporter("ipfix").get("records", 0)
    command = [
        *(program("softflowd"), "-r", str(capture), "-n", f"127.0.0.1:{node.ipfix}"),
        *("-v", version, "-d", "-p", str(tmp_path / "pid"), "-c", "none"),
    ]
    subprocess.run(command, check=True, timeout=20, capture_output=True)

    wait_until(lambda: node.exporter("ipfix").get("records", 0) > before, "a flow is told")
    assert node.exporter("ipfix")["dropped"] == {}
    fields = ["flow.sip", "flow.dip", "flow.sport", "flow.dport", "flow.protocol", "flow.packets"]
    wait_until(lambda: flows(node, "IPFIX", *fields), "it is stored")
    assert flows(node, "IPFIX", *fields)[0] == {
        "name": "127.0.0.1", "flow.sip": "192.0.2.1", "flow.dip": "192.0.2.2", "flow.sport": 50000,
        "flow.dport": 6635, "flow.protocol": 17, "flow.packets": 9,
    }  # fmt: skip


PMACCT = """
daemonize: false
pcap_savefile: {capture}
plugins: sfprobe
sfprobe_receiver: 127.0.0.1:{port}
sampling_rate: 1
"""


def test_samples_of_pmacct_tell_the_flow_inside_the_tunnel(node, capture, tmp_path):
    settings = tmp_path / "pmacctd.conf"
    settings.write_text(PMACCT.format(capture=capture, port=node.sflow))
    probe = subprocess.Popen(
        [program("pmacctd"), "-f", str(settings)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: node.exporter("sflow").get("records", 0) >= 7, "samples are told")
    finally:
        probe.terminate()
        probe.wait()

    fields = ["flow.sip", "flow.inner_sip", "flow.inner_dport", "flow.network_id"]
    wait_until(lambda: flows(node, "SFLOW", *fields), "they are stored")
    assert node.exporter("sflow")["dropped"] == {}
    assert flows(node, "SFLOW", *fields)[0] == {
        "name": "127.0.0.1", "flow.sip": "192.0.2.1", "flow.inner_sip": "10.1.0.3",
        "flow.inner_dport": 53, "flow.network_id": 299776,
    }  # fmt: skip


def logged(node, text, *fields):
    where = [[{"name": "Type", "value": 10, "op": 1}]]
    found = [{"name": "Xmlmessage", "value": text, "op": 8}]
    return node.query("MessageTable", [*fields, "Xmlmessage"], where=where, filter=found)


def program(name):
    """Return where a program of another project is; these tests need it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found, f"{name} is missing: run 'make clients'"
    return found


@pytest.mark.parametrize("form", ["--rfc3164", "--rfc5424"])
@pytest.mark.parametrize("transport", ["--udp", "--tcp", "--octet-count"])
def test_what_logger_sends_is_found(node, form, transport):
    text = f"from logger {form} {transport}"
    way = ["--tcp", transport] if transport == "--octet-count" else [transport]
    command = [
        *(program("logger"), form, *way, "--server", "127.0.0.1", "--port", str(node.syslog)),
        *("--priority", "local3.warning", "--tag", "skytrail-test", text),
    ]
    subprocess.run(command, check=True, timeout=20)

    fields = ["Source", "ModuleId", "Level", "Category"]
    wait_until(lambda: logged(node, text, *fields), "the message is stored")
    (row,) = logged(node, text, *fields)
    assert (row["ModuleId"], row["Level"]) == ("skytrail-test", 4)
    assert (row["Category"], row["Source"]) == ("local3", socket.gethostname())


RSYSLOG = """
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/log")
*.* action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" TCP_Framing="octet-counted"
           template="RSYSLOG_SyslogProtocol23Format")
"""


def test_rsyslog_relays_with_structured_data(node, tmp_path):
    settings = tmp_path / "rsyslog.conf"
    settings.write_text(RSYSLOG.format(folder=tmp_path, port=node.syslog))
    relay = subprocess.Popen(
        [program("rsyslogd"), "-n", "-i", str(tmp_path / "pid"), "-f", str(settings)]
    )
    try:
        wait_until((tmp_path / "log").exists, "the relay listens")
        command = [
            *(program("logger"), "--socket", str(tmp_path / "log"), "--rfc5424", "--msgid", "LINK"),
            *("--sd-id", "port@32473", "--sd-param", 'name="et-0/0/1"'),
            *("--sd-param", 'speed="100"', "link went down"),
        ]
        subprocess.run(command, check=True, timeout=20)
        wait_until(lambda: logged(node, "link went down"), "the message is stored")
    finally:
        relay.terminate()
        relay.wait()


def test_statistics_of_structured_messages_add_up(node):
    with socket.create_connection(("127.0.0.1", node.syslog), PATIENCE_S) as stream:
        for speed in (10, 20, 30):
            stream.sendall(
                b'<14>1 - leaf7 ifmgr - RATE [rate@32473 port="et-0/0/1" mbps="%d"] \n' % speed
            )
    fields = ["name", "data.port", "SUM(data.mbps)", "COUNT(data)"]
    where = [[{"name": "name", "value": "leaf7", "op": 1}]]

    def found():
        return node.query("StatTable.StructuredSyslog.data", fields, where=where)

    wait_until(lambda: found() and found()[0]["COUNT(data)"] == 3, "three are stored")
    assert found() == [
        {"name": "leaf7", "data.port": "et-0/0/1", "SUM(data.mbps)": 60, "COUNT(data)": 3}
    ]


def test_stream_that_is_no_syslog_ends_and_is_counted(node):
    before = node.exporter("syslog").get("dropped", {}).get("syslog_unframed", 0)
    with socket.create_connection(("127.0.0.1", node.syslog), PATIENCE_S) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stream.recv(100) == b""

    wait_until(
        lambda: node.exporter("syslog")["dropped"]["syslog_unframed"] == before + 1, "it is counted"
    )


def test_flood_is_accounted_for_while_the_node_answers(node):
    def counted():
        metrics = httpx.get(f"{node.url}/metrics", timeout=10).text.splitlines()
        label = 'skytrail_analytics_datagrams_lost_total{protocol="syslog"}'
        lost = sum(float(line.split()[-1]) for line in metrics if line.startswith(label))
        return node.exporter("syslog").get("datagrams", 0) + lost

    before, sent_count = counted(), 50_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        flood.connect(("127.0.0.1", node.syslog))
        for _ in range(sent_count):
            flood.send(b"<15>flood")

    wait_until(lambda: counted() == before + sent_count, "each is read, shed or known to be lost")
    assert httpx.get(f"{node.url}/healthz", timeout=10).status_code == 200


SWITCHES = {"127.0.0.11": [1, 9], "127.0.0.12": [1, 2], "127.0.0.13": [9, 1]}
"""Addresses of three switches, with the interfaces the flow goes in and out by."""
CABLES = {
    "127.0.0.11": ["h1", "127.0.0.12"], "127.0.0.12": ["127.0.0.13"], "127.0.0.13": ["h2"],
    "127.0.0.14": ["127.0.0.11", "127.0.0.13"],
}  # fmt: skip


def sampled(frame, rate, interfaces):
    """Return one sFlow datagram with the beginning of a frame."""
    header = frame[:128]
    raw = struct.pack("!IIII", 1, len(frame) + 4, 4, len(header)) + header
    raw += bytes(-len(raw) % 4)
    sample = struct.pack("!8I", 1, 1, rate, 1, 0, *interfaces, 1)
    sample += struct.pack("!II", 1, len(raw)) + raw
    return struct.pack("!8I", 5, 1, 0x7F000001, 0, 1, 1000, 1, 1) + (
        struct.pack("!I", len(sample)) + sample
    )


@pytest.fixture(scope="module")
def fabric(node):
    """Tell of a fabric: a session of two hosts, samples of three of its switches, the cables of four."""
    told = []
    for host, address, far, kind in (
        ("h1", "192.0.2.1", "192.0.2.2", "client"), ("h2", "192.0.2.2", "192.0.2.1", "server"),
    ):  # fmt: skip
        ends = ("10.1.0.3", "10.1.0.4") if kind == "client" else ("10.1.0.4", "10.1.0.3")
        session = {
            "T": round(time.time() * 1e6), "session_type": kind, "vrouter_ip": address,
            "other_vrouter_ip": far, "vn": "a:b:web", "remote_vn": "a:b:web",
            "local_ip": ends[0], "remote_ip": ends[1], "client_port": 4711, "server_port": 53,
            "protocol": 17, "sample_weight": 1.0, "forward_sampled_pkts": 9,
        }  # fmt: skip
        told.append((host, [pack([session])]))
    links = [
        Uve(
            table="ObjectPRouter", key=name, struct="PRouterLinkEntry",
            fields={"link_table": [
                {"remote_system_name": far, "local_interface_name": f"et{number}"}
                for number, far in enumerate(ends)
            ]},
        )
        for name, ends in CABLES.items()
    ]  # fmt: skip
    told.append(("topology", links))
    streams = []
    for source, messages in told:
        hello = Hello(
            source=source, node_type="Compute", module="agent", instance_id="0", pid=5, started_us=1
        )
        streams.append(socket.create_connection(("127.0.0.1", node.telemetry), PATIENCE_S))
        streams[-1].sendall(b"".join(map(encode, [hello, *messages])))
    frame = tunnelled(4711)
    for address, interfaces in SWITCHES.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as switch:
            switch.bind((address, 0))
            switch.sendto(sampled(frame, 100, interfaces), ("127.0.0.1", node.sflow))
    yield node
    for stream in streams:
        stream.close()


def test_way_of_a_flow_is_found_by_what_switches_sampled(fabric):
    url = f"{fabric.url}/analytics/underlay-path"
    asked = {"source": "10.1.0.3", "destination": "10.1.0.4", "source_port": 4711, "protocol": 17}

    def found():
        return httpx.get(url, params=asked, timeout=30).json()

    way = ["h1", "127.0.0.11", "127.0.0.12", "127.0.0.13", "h2"]
    wait_until(lambda: found()["path"] == way, "hosts and switches are stored")

    def seen_by():
        return {each["id"] for each in found()["nodes"] if each["seen"]}

    wait_until(lambda: SWITCHES.keys() <= seen_by(), "all switches saw it")
    told = found()
    assert (told["found_by"], told["is_ordered"]) == ("flow", True)
    assert told["tunnel"] == {"source": "192.0.2.1", "destination": "192.0.2.2"}
    seen = {each["id"]: each["seen"] for each in told["nodes"]}
    assert seen["127.0.0.12"]["packets"] == 100
    assert seen["127.0.0.12"]["output_interfaces"] == [2]

    arguments = ["underlay", "10.1.0.3", "10.1.0.4", "--analytics", fabric.url]
    shown = CliRunner().invoke(main, arguments)
    assert shown.exit_code == 0, shown.output
    assert "switches sampled the flow itself" in shown.output
    again = CliRunner().invoke(main, [*arguments, "--port", "53", "--json"])
    assert json.loads(again.output)["path"] == way
    other = CliRunner().invoke(main, [*arguments, "--port", "54", "--json"])
    assert json.loads(other.output)["found_by"] == "nothing"


def test_overlay_to_underlay_table_tells_which_switches_saw_a_flow(fabric):
    where = [[{"name": "o_sip", "value": "10.1.0.3"}, {"name": "o_sport", "value": 4711}]]
    fields = ["u_prouter", "u_pifindex", "u_sip", "u_dport", "u_flowtype"]
    table = "OverlayToUnderlayFlowMap"

    def found():
        return fabric.query(table, fields, where=where, sort_fields=["u_prouter"], sort=1)

    wait_until(lambda: len(found()) >= 3, "hosts and switches are stored")
    rows = [row for row in found() if row["u_prouter"] in SWITCHES]
    assert [row["u_prouter"] for row in rows] == list(SWITCHES)
    assert rows[2] == {
        "u_prouter": "127.0.0.13", "u_pifindex": 9, "u_sip": "192.0.2.1", "u_dport": 6635,
        "u_flowtype": "SFLOW",
    }  # fmt: skip
    nobody = [[{"name": "o_sip", "value": "10.9.9.9"}]]
    assert fabric.query(table, fields, where=nobody) == []


@pytest.mark.parametrize(
    "members",
    [{}, {"source": "x"}, {"source": "10.1.0.3", "destination": "10.1.0.4", "port": "1"},
     {"source": "10.1.0.3", "destination": "10.1.0.4", "protocol": "udp"},
     {"source": "10.1.0.3", "destination": "10.1.0.4", "start_time": "yesterday"}],
)  # fmt: skip
def test_way_of_no_flow_is_refused(node, members):
    reply = httpx.get(f"{node.url}/analytics/underlay-path", params=members)

    assert reply.status_code == 400, reply.text
