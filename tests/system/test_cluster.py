"""A whole cluster on real processes: three etcd members, API servers, compilers, and SIGKILL.

Load runs through every fault: clients create addresses of one network through every server, one
reads. Whatever dies, every acknowledged address is there afterwards, once, and reads never stopped.
"""

import asyncio
import json
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from itertools import pairwise

import httpx
import pytest

from skytrail.api.schema import Schema
from skytrail.api.service import ConfigService
from skytrail.client import ApiClient
from skytrail.client.messages import Call
from skytrail.model.catalog import CATALOG
from skytrail.store.io.etcd import EtcdStore
from skytrail.testing.etcd import PROGRAM, EtcdCluster

PROJECT = ["default-domain", "default-project"]
PATIENCE_S = 60

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="etcd is not installed")


class Daemon:
    """One process of ours; ended by its pid."""

    def __init__(self, *arguments, log):
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, stderr=log, text=True
        )
        self.ready = self.process.stdout.readline()
        assert " ready" in self.ready, self.ready

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class World:
    def __init__(self, folder):
        self.folder = folder
        self.log = (folder / "daemons.log").open("a")
        self.etcd = EtcdCluster(folder / "etcd", size=3)
        self.apis, self.ports, self.compilers = [], [], {}

    def start_api(self, *more):
        # Each server asks another member first, as on three nodes.
        endpoints = self.etcd.location.endpoints
        turn = len(self.apis) % len(endpoints)
        store = "etcd://" + ",".join((*endpoints[turn:], *endpoints[:turn]))
        fixed = ("--store", store, "--port", "0")
        daemon = Daemon("skytrail.daemons.api", *fixed, *more, log=self.log)
        self.apis.append(daemon)
        self.ports.append(int(re.search(r"port=(\d+)", daemon.ready)[1]))
        return self.ports[-1]

    def start_compiler(self, name, port):
        self.compilers[name] = Daemon(
            "skytrail.daemons.compiler", "--api", f"http://127.0.0.1:{port}",
            "--socket", str(self.folder / f"{name}.sock"), "--elect", log=self.log,
        )  # fmt: skip

    def is_leading(self, name):
        transport = httpx.HTTPTransport(uds=str(self.folder / f"{name}.sock"))
        with httpx.Client(transport=transport, base_url="http://compiler") as client:
            return "skytrail_compiler_leading 1" in client.get("/metrics").text

    def stop(self):
        for daemon in (*self.apis, *self.compilers.values()):
            if daemon.process.poll() is None:
                daemon.kill()
        self.log.close()


@pytest.fixture
def world(tmp_path):
    (tmp_path / "etcd").mkdir()
    with ExitStack() as stack:
        made = World(tmp_path)
        stack.enter_context(made.etcd)
        stack.callback(made.stop)
        made.start_api()
        made.start_api()
        yield made


def client_of(port):
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)


def make_network(port, name):
    subnet = {"subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 16}}
    ipam = {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [subnet]}}
    body = {"fq_name": [*PROJECT, name], "parent_type": "project", "network_ipam_refs": [ipam]}
    with client_of(port) as client:
        reply = client.post("/virtual-networks", json={"virtual-network": body})
        assert reply.status_code == 200, reply.text
        return reply.json()["virtual-network"]["uuid"]


def until(look):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError("it never happened")


class Load:
    """Writers, one reader; remembers what was acknowledged and what failed."""

    def __init__(self, ports, network):
        self.ports, self.network = ports, network
        self.acknowledged, self.read_failures, self.acknowledged_at = set(), [], []
        self.reads = 0
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(4)]
        self._threads.append(threading.Thread(target=self._read))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        until(lambda: len(self.acknowledged_at) > 20)
        return self

    def __exit__(self, *_reason):
        self._done.set()
        for thread in self._threads:
            thread.join()

    def wait_more(self, count=40):
        """Return once that many more were acknowledged."""
        before = len(self.acknowledged_at)
        until(lambda: len(self.acknowledged_at) >= before + count)

    def longest_pause_s(self):
        times = self.acknowledged_at
        return max(after - before for before, after in pairwise(times))

    def _write(self, number):
        count = 0
        while not self._done.is_set():
            count += 1
            name = f"a{number}-{count}"
            body = {"fq_name": [name], "virtual_network_refs": [{"uuid": self.network}]}
            try:
                with client_of(self.ports[(number + count) % len(self.ports)]) as client:
                    reply = client.post("/instance-ips", json={"instance-ip": body})
            except httpx.HTTPError:
                continue  # The server died: whether it was made is open.
            if reply.status_code == 200:
                self.acknowledged.add(name)
                self.acknowledged_at.append(time.monotonic())

    def _read(self):
        turn = 0
        while not self._done.is_set():
            turn += 1
            path = f"/virtual-network/{self.network}?exclude_back_refs=1"
            try:
                with client_of(self.ports[turn % len(self.ports)]) as client:
                    reply = client.get(path)
                if reply.status_code != 200:
                    self.read_failures.append(reply.text)
            except httpx.HTTPError as error:
                self.read_failures.append(repr(error))
            self.reads += 1


def addresses(port):
    with client_of(port) as client:
        reply = client.get("/instance-ips?fields=instance_ip_address")
    return {
        each["fq_name"][0]: each["instance_ip_address"] for each in reply.json()["instance-ips"]
    }


def check_nothing_lost(load, ports):
    for port in ports:
        held = addresses(port)
        assert load.acknowledged <= set(held)
        assert len(set(held.values())) == len(held)


def test_killed_etcd_leader_costs_no_acknowledged_write_and_no_read(world, record_property):
    network = make_network(world.ports[0], "red")
    with Load(world.ports, network) as load:
        leader = world.etcd.leader()
        leader.kill()
        load.wait_more()
        world.etcd.start(leader)
        load.wait_more()

    record_property("longest_pause_s", round(load.longest_pause_s(), 2))
    check_nothing_lost(load, world.ports)
    assert load.read_failures == []
    assert load.reads > 20


def test_killed_api_server_costs_no_acknowledged_write(world):
    network = make_network(world.ports[0], "red")
    ports = list(world.ports)
    with Load(ports, network) as load:
        world.apis[0].kill()
        ports.pop(0)
        load.wait_more()
        ports.append(world.start_api())
        load.wait_more()

    check_nothing_lost(load, world.ports[1:])


def test_standby_compiler_takes_over_from_a_killed_one(world):
    world.start_compiler("one", world.ports[0])
    until(lambda: world.is_leading("one"))
    world.start_compiler("two", world.ports[1])
    make_network(world.ports[0], "red")
    until(lambda: routing_instance(world.ports[1], "red"))
    assert not world.is_leading("two")

    world.compilers["one"].kill()
    make_network(world.ports[0], "blue")

    until(lambda: world.is_leading("two"))
    assert until(lambda: routing_instance(world.ports[0], "blue"))["route_target_refs"]


class IdLoad(Load):
    """Creates and deletes what has an id of its own, beside addresses; names tell the type."""

    TYPES = ("virtual-network", "security-group", "instance-ip")

    def _write(self, number):
        count, held = 0, []
        while not self._done.is_set():
            count += 1
            kind = self.TYPES[count % 3]
            name = f"{kind}-{number}-{count}"
            fq_name = [name] if kind == "instance-ip" else [*PROJECT, name]
            body = {"fq_name": fq_name}
            if kind == "instance-ip":
                body["virtual_network_refs"] = [{"uuid": self.network}]
            try:
                with client_of(self.ports[(number + count) % len(self.ports)]) as client:
                    reply = client.post(f"/{kind}s", json={kind: body})
                    if reply.status_code == 200:
                        self.acknowledged.add(name)
                        self.acknowledged_at.append(time.monotonic())
                        held.append((name, f"/{kind}/{reply.json()[kind]['uuid']}"))
                    if len(held) > 10:
                        name, path = held.pop(0)
                        self.acknowledged.discard(name)  # Whatever becomes of it.
                        client.delete(path)
            except httpx.HTTPError:
                continue


def stored(world):
    """What the store holds, read without any of the servers."""

    async def read():
        store = await EtcdStore.open(world.etcd.location)
        try:
            return (await ConfigService.start(Schema(CATALOG), store, shared=True)).graph
        finally:
            await store.close()

    return asyncio.run(read())


IDS = {
    "virtual-network-id": ("virtual-network", "virtual_network_network_id"),
    "security-group-id": ("security-group", "security_group_id"),
}


def test_ids_are_given_once_whatever_dies(world, capsys):
    network = make_network(world.ports[0], "red")
    world.start_api()
    ports = list(world.ports)
    with IdLoad(ports, network) as load:
        world.apis[0].kill()
        ports.remove(world.ports[0])
        load.wait_more()
        leader = world.etcd.leader()
        leader.kill()
        load.wait_more()
        world.etcd.start(leader)
        ports.append(world.start_api())
        world.apis[1].kill()
        ports.remove(world.ports[1])
        load.wait_more()
        told = [client_of(port).get("/metrics").text for port in ports]

    graph = stored(world)
    names = {record.fq_name[-1] for record in graph.records.values()}
    assert load.acknowledged <= names
    for pool, (type_name, field) in IDS.items():
        objects = {record.uuid: record.body[field] for record in graph.of_type(type_name)}
        assert len(set(objects.values())) == len(objects)
        # Every number that is taken belongs to a living object: nothing leaked with the dead.
        assert {owner: value for value, owner in graph.numbers.pool(pool)} == objects
    addresses = [r.body["instance_ip_address"] for r in graph.of_type("instance-ip")]
    assert len(set(addresses)) == len(addresses)
    with capsys.disabled():
        lost = [re.search(r"number_conflicts_total (\d+)", text)[1] for text in told]
        print(f"\n{len(load.acknowledged_at)} creates; races lost for a number: {lost}")


def test_a_killed_elected_compiler_costs_no_acknowledged_write(world, capsys):
    world.start_compiler("one", world.ports[0])
    until(lambda: world.is_leading("one"))
    world.start_compiler("two", world.ports[1])
    made = [f"n{number}" for number in range(20)]
    for name in made[:10]:
        make_network(world.ports[0], name)

    world.compilers["one"].kill()
    died = time.monotonic()
    meanwhile = threading.Thread(
        target=lambda: [make_network(world.ports[1], name) for name in made[10:]]
    )
    meanwhile.start()
    until(lambda: world.is_leading("two"))
    elected_s = time.monotonic() - died
    meanwhile.join()
    until(lambda: routing_instance(world.ports[0], made[-1]))
    compiled_s = time.monotonic() - died

    with capsys.disabled():
        print(f"\nelected {elected_s:.1f} s after kill -9, compiled {compiled_s:.1f} s after")
    targets = {}
    for name in made:
        instance = until(lambda name=name: routing_instance(world.ports[1], name))
        targets[name] = instance["route_target_refs"][0]["to"][0]
    assert len(set(targets.values())) == len(made)


def routing_instance(port, name):
    body = {"type": "routing-instance", "fq_name": [*PROJECT, name, name]}
    with client_of(port) as client:
        found = client.post("/fqname-to-id", json=body)
        if found.status_code != 200:
            return None
        path = f"/routing-instance/{found.json()['uuid']}"
        instance = client.get(path).json()["routing-instance"]
    return instance if instance.get("route_target_refs") else None


def test_minority_refuses_writes_and_marks_reads(world):
    network = make_network(world.ports[0], "red")
    lost = world.etcd.members[:2]
    for member in lost:
        member.pause()
    try:
        with client_of(world.ports[0]) as client:
            path = f"/virtual-network/{network}"
            ages = [client.get(path).headers.get("x-stale") for _ in range(3)]
            body = {"fq_name": ["late"], "virtual_network_refs": [{"uuid": network}]}
            refused = client.post("/instance-ips", json={"instance-ip": body})
    finally:
        for member in lost:
            member.resume()

    assert all(float(age) >= 0 for age in ages)
    assert refused.status_code == 503

    def recovered():
        with client_of(world.ports[0]) as client:
            return "x-stale" not in client.get(path).headers

    until(recovered)
    assert make_network(world.ports[1], "blue")


@pytest.fixture
def guarded(tmp_path):
    """Two servers that ask everybody who he is."""
    (tmp_path / "etcd").mkdir()
    (tmp_path / "api.toml").write_text('authentication = ["local"]\n')
    with ExitStack() as stack:
        made = World(tmp_path)
        stack.enter_context(made.etcd)
        stack.callback(made.stop)
        for name in ("a", "b"):
            socket = str(tmp_path / f"{name}.sock")
            made.start_api("--security", str(tmp_path / "api.toml"), "--socket", socket)
        yield made


def trusted(world, name):
    """A component of the system, at the Unix socket of a server."""
    return ApiClient(unix_socket=str(world.folder / f"{name}.sock"))


def login(port, user, password):
    with client_of(port) as client:
        return client.post("/api/v1/login", json={"user": user, "password": password})


def test_users_and_tokens_hold_on_every_server_and_end_on_every_server(guarded):
    one, two = guarded.ports
    with trusted(guarded, "a") as at_a, trusted(guarded, "b") as at_b:
        body = {"password": "correct horse", "roles": ["admin"]}
        for name in ("ann", "boss"):
            at_a.call(Call("PUT", f"/api/v1/users/{name}", body=body))

        reply = login(two, "ann", "correct horse")
        assert reply.status_code == 200, reply.text
        token = {"x-auth-token": reply.json()["token"]}
        for port in (one, two):
            with client_of(port) as client:
                assert client.get("/virtual-networks", headers=token).status_code == 200

        at_b.call(Call("DELETE", "/api/v1/users/ann"))
        for port in (one, two):
            assert login(port, "ann", "correct horse").status_code == 401
            with client_of(port) as client:
                assert client.get("/virtual-networks", headers=token).status_code == 401


def test_a_changed_password_ends_the_tokens_of_every_server(guarded):
    one, two = guarded.ports
    with trusted(guarded, "a") as at_a:
        body = {"password": "correct horse", "roles": ["admin"]}
        at_a.call(Call("PUT", "/api/v1/users/ann", body=body))
        token = {"x-auth-token": login(two, "ann", "correct horse").json()["token"]}
        at_a.call(Call("PUT", "/api/v1/users/ann", body={**body, "password": "another horse"}))

    with client_of(two) as client:
        assert client.get("/virtual-networks", headers=token).status_code == 401
    assert login(two, "ann", "correct horse").status_code == 401
    assert login(one, "ann", "another horse").status_code == 200


def test_aaa_mode_is_the_clusters(guarded):
    with trusted(guarded, "a") as at_a, trusted(guarded, "b") as at_b:
        for name, roles in (("boss", ["admin"]), ("ann", ["member"])):
            body = {"password": "correct horse", "roles": roles}
            at_a.call(Call("PUT", f"/api/v1/users/{name}", body=body))
        rule = {"rule_object": "*", "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}]}
        at_a.create(
            "api-access-list",
            {
                "fq_name": ["default-global-system-config", "members"],
                "parent_type": "global-system-config",
                "api_access_list_entries": {"rbac_rule": [rule]},
            },
        )

        def allowed(port, user):
            token = login(port, user, "correct horse").json()["token"]
            with client_of(port) as client:
                answer = client.get("/virtual-networks", headers={"x-auth-token": token})
                return answer.status_code == 200

        one, two = guarded.ports
        assert allowed(two, "ann")
        at_a.call(Call("PUT", "/aaa-mode", body={"aaa-mode": "cloud-admin"}))
        assert json.loads(at_b.call(Call("GET", "/aaa-mode"))) == {"aaa-mode": "cloud-admin"}
        assert not allowed(two, "ann")
        assert allowed(two, "boss")
        at_b.call(Call("PUT", "/aaa-mode", body={"aaa-mode": "rbac"}))
        assert allowed(one, "ann")
