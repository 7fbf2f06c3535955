"""Status conditions of real objects: on which hosts' kernels they are, and why not on the others."""

import secrets
import uuid

import pytest

from skytrail.client.messages import Call, decode_reply
from skytrail.lab import commands, health
from skytrail.lab.commands import agent_name
from skytrail.lab.io import netns, plug
from skytrail.runtime.introspection import read_page

HOST = "compute1"
AWAY = "its agent has no session with a control node"


@pytest.fixture
def programmed(api):
    """The condition of an object: ``programmed("virtual-network", uuid)``."""

    def ask(type_name, of):
        reply = api.call(Call("GET", f"/api/v1/{type_name}/{of}/status"))
        told = decode_reply(reply, dict[str, object])["conditions"]
        return next(each for each in told if each["type"] == "programmed")

    return ask


@pytest.fixture
def created(api):
    """Create objects that are deleted at the end, the last one first."""
    made = []

    def create(type_name, **content):
        made.append((type_name, api.create(type_name, content)))
        return made[-1][1]

    yield create
    for each in reversed(made):
        api.delete(*each)


@pytest.fixture
def link(lab):
    """A veth pair on the host, as a hypervisor makes it."""
    name, namespace = f"st{secrets.token_hex(4)}", lab.plan.node(HOST).namespace
    netns.configure(namespace, [f"link add {name} type veth peer name {name}p"])
    netns.configure(namespace, [f"link set dev {end} up" for end in (name, f"{name}p")])
    yield name
    netns.configure(namespace, [f"link del {name}"])


def test_new_port_says_what_it_lacks_and_then_that_its_host_has_it(
    lab, members, eventually, programmed, created, link
):
    network = list(members["red-web1"].network)
    name = [*network[:-1], f"status-{secrets.token_hex(3)}"]
    machine = str(uuid.uuid4())
    created("virtual-machine", fq_name=[machine], uuid=machine)
    port = created(
        "virtual-machine-interface",
        fq_name=name,
        parent_type="project",
        virtual_machine_refs=[{"to": [machine]}],
        virtual_network_refs=[{"to": network}],
    )
    path = lab.paths.plug_socket(HOST)
    nowhere = programmed("virtual-machine-interface", port)
    plug.plug(path, plug.PluggedPort(vmi_uuid=port, vm_uuid=machine, ifname=link, kind="veth"))
    try:
        lacking = eventually(
            lambda: (
                (found := programmed("virtual-machine-interface", port))["reason"]
                == "port_inactive"
                and found
            ),
            "the port says what it lacks",
        )
        address = created(
            "instance-ip",
            fq_name=name[-1:],
            virtual_network_refs=[{"to": network}],
            virtual_machine_interface_refs=[{"to": name}],
        )
        for type_name, of in (("virtual-machine-interface", port), ("instance-ip", address)):
            eventually(
                lambda type_name=type_name, of=of: (
                    programmed(type_name, of)["detail"] == "1 of 1 hosts"
                ),
                f"{type_name} is programmed",
            )
    finally:
        plug.unplug(path, port)

    vrouter = agent_name(lab.plan.node(HOST))
    assert nowhere["reason"] == "no_host_concerned"
    assert lacking["detail"] == f"0 of 1 hosts; {vrouter}: {port}: no instance-ip has arrived"
    eventually(
        lambda: programmed("virtual-machine-interface", port)["hosts_count"] == 0,
        "no host has the unplugged port",
    )


def test_change_is_one_trace_from_the_request_to_the_kernel(api, lab, members, spans, eventually):
    vrouter = agent_name(lab.plan.node(HOST))
    network = api.read_by_name("virtual-network", list(members["red-web1"].network))
    policy = network["network_policy_refs"][0]["uuid"]
    rules = api.read("network-policy", policy)["network_policy_entries"]["policy_rule"]
    rule = {name: value for name, value in rules[0].items() if name != "rule_uuid"}
    port = 20_000 + secrets.randbelow(20_000)
    rule |= {"protocol": "tcp", "dst_ports": [{"start_port": port, "end_port": port}]}
    spans.spans.clear()

    api.update(
        "network-policy", policy, {"network_policy_entries": {"policy_rule": [*rules, rule]}}
    )
    try:
        write, derive, distribute, program, kernel = eventually(
            lambda: next(_chains(spans, vrouter), None),
            "what follows from the change is told of by everybody",
        )
    finally:
        api.update("network-policy", policy, {"network_policy_entries": {"policy_rule": rules}})

    for name in health.daemon_names(lab):
        text = read_page(health.socket_of(lab, name), "/metrics").decode()
        assert "skytrail_traces_sent_total" in text or name == commands.ANALYTICS, name
    assert (write.parent_id, derive.parent_id) == ("", write.span_id)
    assert distribute.parent_id == write.span_id
    assert write.start <= derive.start <= distribute.start
    assert distribute.start <= program.start <= kernel.start <= kernel.end <= program.end
    services = [each.service for each in (write, derive, distribute, program, kernel)]
    processes = ("api", "compiler", "control", "agent", "agent")
    assert services == [f"skytrail-{name}" for name in processes]


def _chains(spans, vrouter):
    """Yield the spans of a change, one within the other, that came to a host as what was derived from it."""
    by_id = {span.span_id: span for span in list(spans.spans)}
    for kernel in spans.named("datapath.write", host=vrouter):
        program = by_id[kernel.parent_id]
        distribute = by_id.get(program.parent_id)
        first = {span.name: span for span in spans.of_trace(kernel.trace_id)}
        if distribute is None or not {"api.write", "compiler.derive"} <= first.keys():
            continue
        derived = first["compiler.derive"].attributes.get("skytrail.derived_revision")
        if derived and program.attributes["skytrail.revision"] >= derived:
            yield first["api.write"], first["compiler.derive"], distribute, program, kernel


def test_host_whose_agent_is_gone_is_named_until_it_is_back(
    lab, api, members, eventually, programmed
):
    gone = agent_name(lab.plan.node("compute2"))
    network = api.name_to_id("virtual-network", list(members["red-web1"].network))

    def detail():
        return programmed("virtual-network", network)["detail"]

    eventually(lambda: detail() == "2 of 2 hosts", "both hosts have the network")
    lab.kill("compute2")
    try:
        api.update("virtual-network", network, {"display_name": secrets.token_hex(3)})
        eventually(
            lambda: detail() == f"1 of 2 hosts; {gone}: {AWAY}", "the other host has the change"
        )
        lagging = programmed("virtual-network", network)
    finally:
        lab.restart("compute2")

    assert (lagging["status"], lagging["reason"]) == ("false", "not_connected")
    assert [each["host"] for each in lagging["hosts"]] == [gone, agent_name(lab.plan.node(HOST))]
    eventually(lambda: detail() == "2 of 2 hosts", "both hosts have the change", timeout_s=40)
