"""Marking by packet: what classes say is seen on the wire, and what the fabric says by a workload."""

import contextlib
import socket
import subprocess

import pytest

from skytrail.lab.io import netns
from skytrail.lab.io.capture import Capture
from skytrail.lab.underlay_packet import decode_tunnel
from skytrail.runtime.introspection import read_table
from skytrail.wire.errors import DecodeError

GLOBAL = ["default-global-system-config", "default-global-qos-config"]
RED = ["default-domain", "red"]
EF, CS1, AF41, AF11 = 46, 8, 34, 10
VOICE, BULK, FROM_FABRIC = 211, 212, 213


class Qos:
    """Objects of quality of service, taken back at the end in the opposite order."""

    def __init__(self, api):
        self._api = api
        self._undo = []

    def create(self, type_name, fq_name, **fields):
        body = {"fq_name": fq_name, **fields}
        uuid = self._api.create(type_name, body)
        self._undo.append(lambda: self._api.delete(type_name, uuid))
        return uuid

    def refer(self, type_name, uuid, fq_name):
        refs = [{"to": fq_name}]
        self._api.update(type_name, uuid, {"qos_config_refs": refs})
        self._undo.append(lambda: self._api.update(type_name, uuid, {"qos_config_refs": []}))

    def link(self, type_name, uuid, ref_type, ref_uuid):
        self._api.ref_update(type_name, uuid, ref_type=ref_type, ref_uuid=ref_uuid)
        self._undo.append(
            lambda: self._api.ref_update(
                type_name, uuid, ref_type=ref_type, ref_uuid=ref_uuid, operation="DELETE"
            )
        )

    def config(self, name, default, dscp=None, parent=RED, kind="project"):
        entries = [{"key": k, "forwarding_class_id": v} for k, v in (dscp or {}).items()]
        self.create(
            "qos-config",
            [*parent, name],
            parent_type="project" if parent is RED else "global-qos-config",
            qos_config_type=kind,
            dscp_entries={"qos_id_forwarding_class_pair": entries},
            default_forwarding_class_id=default,
        )
        return [*parent, name]

    def take_back(self):
        while self._undo:
            self._undo.pop()()


@pytest.fixture
def qos(api):
    made = Qos(api)
    try:
        for name, number, dscp, exp in (
            ("voice", VOICE, EF, 5),
            ("bulk", BULK, AF11, 1),
            ("shown", FROM_FABRIC, AF41, 0),
        ):
            made.create(
                "forwarding-class",
                [*GLOBAL, name],
                parent_type="global-qos-config",
                forwarding_class_id=number,
                forwarding_class_dscp=dscp,
                forwarding_class_mpls_exp=exp,
                forwarding_class_vlan_priority=exp,
            )
        yield made
    finally:
        made.take_back()


def send(lab, source, address, dscp, port=9999):
    with contextlib.closing(
        netns.open_socket(lab.plan.namespace_of(source), socket.AF_INET, socket.SOCK_DGRAM)
    ) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
        sender.sendto(b"marked", (address, port))


@pytest.fixture
def on_the_wire(lab, members):
    """Return what is seen in the underlay of one packet: (outer DSCP, EXP, inner DSCP)."""
    address = str(members["red-web2"].address(version=4))
    host = lab.plan.node("compute1")

    def seen(dscp, port=9999):
        def is_ours(frame):
            with contextlib.suppress(DecodeError):
                packet = decode_tunnel(frame)
                inner = packet.inner_ip if packet else None
                return inner is not None and str(inner.destination) == address
            return False

        with Capture(lab.plan.router_namespace, host.router_ifname) as capture:
            send(lab, "red-web1", address, dscp, port)
            found = capture.wait_for(is_ours, 5)
        assert found
        frame = found.frame
        assert decode_tunnel(frame).encapsulation == "MPLSoUDP"
        word = int.from_bytes(frame[42:46], "big")
        return frame[15] >> 2, word >> 9 & 7, frame[47] >> 2

    return seen


def test_the_ports_configuration_marks_the_tunnel_and_not_the_packet(
    lab, qos, on_the_wire, eventually
):
    assert on_the_wire(CS1) == (CS1, 0, CS1)

    qos.refer(
        "virtual-machine-interface",
        lab.attached("red-web1").uuid,
        qos.config("ports", BULK, {EF: VOICE}),
    )

    eventually(lambda: on_the_wire(CS1) == (AF11, 1, CS1), "marked as bulk")
    assert on_the_wire(EF) == (EF, 5, EF)


def test_the_networks_comes_before_the_ports(lab, api, qos, on_the_wire, eventually):
    qos.refer("virtual-machine-interface", lab.attached("red-web1").uuid, qos.config("own", BULK))
    eventually(lambda: on_the_wire(CS1) == (AF11, 1, CS1), "marked as the port says")

    front = api.name_to_id("virtual-network", [*RED, "front"])
    qos.refer("virtual-network", front, qos.config("networks", VOICE))

    eventually(lambda: on_the_wire(CS1) == (EF, 5, CS1), "marked as the network says")


def test_marked_packets_wait_in_the_queue_of_their_class(lab, api, qos, on_the_wire, eventually):
    parent = "global-qos-config"
    shares = {"min_bandwidth": 20, "max_bandwidth": 50, "qos_queue_identifier": 3}
    queue = qos.create("qos-queue", [*GLOBAL, "urgent"], parent_type=parent, **shares)
    voice = api.name_to_id("forwarding-class", [*GLOBAL, "voice"])
    qos.link("forwarding-class", voice, "qos-queue", queue)
    port = lab.attached("red-web1").uuid
    qos.refer("virtual-machine-interface", port, qos.config("queued", BULK, {EF: VOICE}))

    def queues():
        rows = read_table(lab.paths.introspect_socket("compute1"), "queues")
        return {row["queue"]: row for row in rows if "packets" in row}

    eventually(lambda: 3 in queues(), "the queue is there", timeout_s=30)
    eventually(lambda: on_the_wire(EF) == (EF, 5, EF), "marked as voice", timeout_s=30)
    before = queues()[3]["packets"]
    for _ in range(4):
        on_the_wire(EF)
    on_the_wire(CS1)

    assert queues()[3]["packets"] == before + 4
    assert queues()[3]["forwarding_class"] == VOICE
    assert queues()[3]["ceiling_kbps"] * 2 == queues()[None]["ceiling_kbps"]
    qos.take_back()
    eventually(lambda: not queues(), "the link is as before", timeout_s=30)


RECEIVE = """
import socket
import subprocess
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    receiver.settimeout(5)
    receiver.bind(("", 9998))
    print("ready", flush=True)
    _, more, _, _ = receiver.recvmsg(2048, 64)
    print(more[0][2][0] >> 2)
"""


def test_the_fabrics_configuration_marks_what_a_workload_gets(lab, members, qos, eventually):
    """The tunnel says EF because the packet did; the workload sees what the operator chose."""
    address = str(members["red-web2"].address(version=4))

    def got():
        command = lab.command_in("red-web2", ["python3", "-c", RECEIVE])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            send(lab, "red-web1", address, EF, 9998)
            return int(process.stdout.read() or -1)

    assert got() == EF

    qos.config("fabric", 0, {EF: FROM_FABRIC}, parent=GLOBAL, kind="fabric")

    eventually(lambda: got() == AF41, "marked by the fabric's configuration")


def test_the_hosts_own_packets_are_marked_and_those_of_workloads_are_not(
    lab, qos, on_the_wire, eventually
):
    compute1, compute2 = (lab.plan.node(name) for name in ("compute1", "compute2"))
    address = str(compute2.address)

    def sent(dscp):
        with Capture(lab.plan.router_namespace, compute1.router_ifname) as capture:
            with contextlib.closing(
                netns.open_socket(compute1.namespace, socket.AF_INET, socket.SOCK_DGRAM)
            ) as sender:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
                sender.sendto(b"the host's own", (address, 9999))
            found = capture.wait_for(lambda frame: frame.endswith(b"the host's own"), 5)
        assert found
        return found.frame[15] >> 2

    assert sent(CS1) == CS1

    qos.config("own", BULK, {EF: VOICE, CS1: FROM_FABRIC}, parent=GLOBAL, kind="vhost")

    eventually(lambda: sent(CS1) == AF41, "marked by the host's configuration", timeout_s=30)
    assert (sent(EF), sent(0)) == (EF, AF11)
    assert on_the_wire(CS1) == (CS1, 0, CS1)
    qos.take_back()
    eventually(lambda: sent(CS1) == CS1, "the host is as before", timeout_s=30)
