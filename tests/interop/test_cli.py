"""The command line against a real API and compiler."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.client import ApiClient
from skytrail.testing.controller import running_controller, wait_until

DOCUMENTS = """
type: vmi
fq_name: default-domain:demo:port-1
virtual_network_refs: [default-domain:demo:red]
security_group_refs: [default-domain:demo:web]
---
type: iip
fq_name: demo-ip-1
virtual_network_refs: [default-domain:demo:red]
virtual_machine_interface_refs: [default-domain:demo:port-1]
---
type: vn
fq_name: default-domain:demo:red
network_ipam_refs:
  - {to: "default-domain:demo:ipam", attr: {ipam_subnets: [{subnet: 10.1.1.0/24}]}}
---
{type: project, fq_name: "default-domain:demo"}
---
{type: network-ipam, fq_name: "default-domain:demo:ipam"}
---
type: sg
fq_name: default-domain:demo:web
security_group_entries:
  policy_rule:
    - direction: ">"
      protocol: tcp
      ethertype: IPv4
      src_addresses: [{subnet: 0.0.0.0/0}]
      src_ports: [{start_port: 0, end_port: 65535}]
      dst_addresses: [{security_group: local}]
      dst_ports: [{start_port: 80, end_port: 80}]
"""


@pytest.fixture(scope="module")
def controller(tmp_path_factory):
    with running_controller(tmp_path_factory.mktemp("cli")) as found:
        yield found


@pytest.fixture
def run(controller, tmp_path):
    def invoke(*arguments, env=None, **options):
        environment = {"SKYTRAIL_API_SOCKET": str(controller.api_socket), **(env or {})}
        return CliRunner().invoke(main, arguments, env=environment, **options)

    return invoke


@pytest.fixture
def applied(run, tmp_path):
    """A small tenant; gone again afterwards."""
    file = tmp_path / "demo.yaml"
    file.write_text(DOCUMENTS)
    result = run("apply", "-f", str(file))
    assert result.exit_code == 0, result.output
    yield file
    result = run("delete", "-f", str(file))
    assert result.exit_code == 0, result.output


def test_apply_creates_in_dependency_order_and_again_changes_nothing(run, applied):
    again = run("apply", "-f", str(applied), "--json")

    results = json.loads(again.stdout)
    assert [each["result"] for each in results] == ["unchanged"] * 6


def test_apply_sends_only_what_differs(run, applied, tmp_path):
    text = applied.read_text().replace("end_port: 80}", "end_port: 81}")
    edited = tmp_path / "edited.yaml"
    edited.write_text(text)

    result = run("apply", "-f", str(edited))

    assert (
        "security-group default-domain:demo:web changed (security_group_entries)" in result.output
    )
    assert "0 created, 1 changed, 5 unchanged" in result.output


def test_dry_run_writes_nothing(run, tmp_path):
    file = tmp_path / "demo.yaml"
    file.write_text(DOCUMENTS)

    result = run("apply", "-f", str(file), "--dry-run")

    assert "6 created" in result.output
    for part in ("Derived by the compiler", "routing-instance", "network_ipam_refs"):
        assert part in result.output
    assert run("get", "project", "demo").exit_code == 1


def test_dry_run_tells_hosts_and_pairs_of_an_edit_as_json(run, applied, tmp_path):
    edited = tmp_path / "edited.yaml"
    edited.write_text(applied.read_text().replace("end_port: 80}", "end_port: 81}"))
    router = tmp_path / "host.yaml"
    router.write_text(
        "{type: virtual-machine, fq_name: planned-vm}\n---\n"
        "{type: virtual-router, fq_name: default-global-system-config:planned-host,"
        " virtual_machine_refs: [planned-vm]}\n---\n"
        "{type: vmi, fq_name: default-domain:demo:port-1, virtual_machine_refs: [planned-vm]}\n"
    )
    assert run("apply", "-f", str(router)).exit_code == 0

    planned = json.loads(run("apply", "-f", str(edited), "--dry-run", "--json").stdout)
    again = run("apply", "-f", str(applied), "--dry-run")
    unplugged = router.read_text().replace("refs: [planned-vm]}", "refs: []}")
    router.write_text(unplugged)
    assert run("apply", "-f", str(router)).exit_code == 0
    for name in (("vm", "planned-vm"), ("vr", "default-global-system-config:planned-host")):
        assert run("delete", *name).exit_code == 0

    assert [each["type"] for each in planned["changes"]] == ["security-group"]
    assert {each["type"] for each in planned["derived"]} == {"access-control-list"}
    assert planned["hosts"] == [{"host": "planned-host", "interfaces": 1}]
    assert "default-domain:demo:web" in {each["to"] for each in planned["reachability"]}
    assert [each["result"] for each in planned["results"]].count("changed") == 1
    assert "0 objects, 0 derived, 0 pairs" in again.output


def test_tour_of_the_readme_says_what_it_shows(run, tmp_path):
    def joined() -> bool:
        return "routing_instance_refs" in run("get", "ri", "app:app", "--json").stdout

    shop = Path(__file__).parents[2] / "examples" / "tour" / "shop.yaml"
    edited = tmp_path / "edited.yaml"
    edited.write_text(shop.read_text().replace("8080", "443"))

    created = run("apply", "-f", str(shop), "--wait")
    planned = run("apply", "-f", str(edited), "--dry-run")
    run("apply", "-f", str(edited))
    history = run("history", "np", "web-to-app")
    change = history.stdout.splitlines()[1].split()[0]
    reverted = run("revert", change)
    described = run("describe", "vn", "web")
    run("delete", "vn", "web")
    joined_without = joined()
    deletion = json.loads(run("history", "--json").stdout)[0]["change"]
    brought_back = run("revert", deletion)
    assert brought_back.exit_code == 0, brought_back.output
    # The compiler joins the instances of both networks again.
    wait_until(joined, "joined instances")
    run("delete", "-f", str(shop))

    assert not joined_without
    assert "virtual-network default-domain:default-project:web created" in created.output
    for part in (
        "network_policy_entries/policy_rule/0/dst_ports/0/start_port: 8080 -> 443",
        "acl_rule/0/match_condition/dst_port/start_port: 8080 -> 443",
        "pass tcp from port 8080  pass tcp from port 443",
        "1 object, 2 derived, 2 pairs, 0 hosts with 0 interfaces would change",
    ):
        assert part in planned.output
    assert "start_port: 8080 -> 443" in history.output
    assert "dst_ports/0/start_port: 443 -> 8080" in reverted.output
    assert f"{change} reverted by " in reverted.output
    assert "derived: " in described.output


def test_dry_run_says_which_document_the_api_would_refuse(run, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "{type: project, fq_name: default-domain:refused}\n---\n"
        "{type: vn, fq_name: default-domain:refused:net, virtual_network_properties:"
        " {forwarding_mode: l3, vxlan_network_identifier: 99999999}}\n"
    )

    result = run("apply", "-f", str(file), "--dry-run")

    assert result.exit_code == 1
    assert f"{file}" in result.output
    assert "virtual-network default-domain:refused:net" in result.output
    assert run("get", "project", "refused").exit_code == 1


def test_refusal_stops_tells_what_was_done_and_is_status_1(run, tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text(
        "{type: project, fq_name: 'default-domain:half'}\n---\n"
        "{type: iip, fq_name: stray, instance_ip_address: 10.9.9.9,"
        " virtual_network_refs: [default-virtual-network]}\n"
    )

    result = run("apply", "-f", str(file))

    assert result.exit_code == 1
    assert "project default-domain:half created" in result.output
    assert "instance-ip stray" in result.output
    assert run("delete", "project", "half").exit_code == 0


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("default-domain:nowhere:x", "No project 'default-domain:nowhere'"),
        ("default-domain:half:x, network_policy_refs: [webb]", "No network-policy 'webb'"),
    ],
)
def test_missing_names_are_found_before_anything_is_written(
    run, tmp_path, network, reason, options
):
    file = tmp_path / "bad.yaml"
    documents = ["type: project, fq_name: default-domain:half", f"type: vn, fq_name: {network}"]
    file.write_text("\n---\n".join(f"{{{each}}}" for each in documents))

    result = run("apply", "-f", str(file), *options)

    assert result.exit_code == 1
    assert reason in result.output
    assert run("get", "project", "half").exit_code == 1


def test_short_names_are_completed_in_documents(run, tmp_path):
    file = tmp_path / "short.yaml"
    file.write_text(
        "{type: vn, fq_name: short-net, network_ipam_refs:"
        " [{to: default-network-ipam, attr: {ipam_subnets: [{subnet: 10.3.0.0/24}]}}],"
        " network_policy_refs: [{to: short-rules, attr: {sequence: {major: 0, minor: 0}}}]}\n---\n"
        "{type: np, fq_name: short-rules}\n"
    )

    for options in (("--dry-run",), ()):
        result = run("apply", "-f", str(file), *options)
        assert "2 created" in result.output, result.output

    made = json.loads(run("get", "vn", "short-net", "--json").stdout)
    assert made["fq_name"] == ["default-domain", "default-project", "short-net"]
    assert made["network_ipam_refs"][0]["to"][-1] == "default-network-ipam"
    assert "2 unchanged" in run("apply", "-f", str(file)).output
    assert run("delete", "-f", str(file)).exit_code == 0


def test_get_finds_names_by_their_end_and_by_uuid(run, applied):
    by_end = json.loads(run("get", "vn", "red", "--json").stdout)
    by_uuid = json.loads(run("get", "vn", by_end["uuid"], "--json").stdout)

    assert by_end == by_uuid
    assert by_end["fq_name"] == ["default-domain", "demo", "red"]


def test_default_project_completes_names(run, applied):
    result = run("get", "vn", "red", "-o", "name", env={"SKYTRAIL_PROJECT": "demo"})

    assert result.stdout == "default-domain:demo:red\n"


def test_get_table_has_the_columns_of_the_type(run, applied):
    result = run("get", "vn", "--parent", "demo")

    head, row = result.stdout.splitlines()
    assert head.split() == ["NAME", "ID", "SUBNETS", "POLICIES", "ROUTE", "TARGETS"]
    assert row.split()[0] == "default-domain:demo:red"
    assert row.split()[2] == "10.1.1.0/24"


def test_filter_keeps_equal_ones(run, applied):
    (address,) = json.loads(run("get", "iip", "--parent", "x", "--json").stdout or "[0]")
    assert address == 0

    found = json.loads(run("get", "iip", "demo-ip-1", "--json").stdout)["instance_ip_address"]
    result = run("get", "iip", "--filter", f"instance_ip_address={found}", "-o", "name")

    assert result.stdout == "demo-ip-1\n"


def test_get_yaml_can_be_applied_again(run, applied):
    text = run("get", "vn", "red", "-o", "yaml").stdout

    result = run("apply", "-f", "-", input=text)

    assert "unchanged" in result.output


def test_missing_name_suggests_near_ones(run, applied):
    result = run("get", "vn", "redd")

    assert result.exit_code == 1
    assert "Did you mean red?" in result.output


def test_ambiguous_name_lists_the_candidates(run, applied):
    assert run("create", "vn", "red").exit_code == 0

    result = run("get", "vn", "red", env={"SKYTRAIL_PROJECT": "other:other"})

    assert result.exit_code == 1
    assert "default-domain:demo:red" in result.output
    assert "default-domain:default-project:red" in result.output
    assert run("delete", "vn", "default-domain:default-project:red").exit_code == 0


def test_describe_shows_back_references(run, applied):
    result = run("describe", "vn", "demo:red")

    assert "Referred to by:" in result.output
    assert "default-domain:demo:port-1" in result.output


def test_status_of_an_object_is_its_conditions(run, applied):
    result = run("status", "vn", "demo:red")
    machine = json.loads(run("status", "vn", "demo:red", "--json").output)

    assert result.output.startswith("virtual-network demo:red\n  accepted: true (at revision ")
    assert "  programmed: true (no host has to do with it)" in result.output
    assert [each["type"] for each in machine[0]["conditions"]] == [
        "accepted", "derived", "distributed", "programmed",
    ]  # fmt: skip
    assert run("status", "vn").exit_code == 2


def test_delete_shows_what_blocks_it(run, applied):
    result = run("delete", "vn", "demo:red")

    assert result.exit_code == 1
    assert "2 objects refer to it" in result.output
    assert "instance-ip demo-ip-1" in result.output


def test_create_with_properties_and_references(run, applied):
    result = run(
        "create", "vn", "demo:green", "--set", "mtu=1400",
        "--ref", "ipam=demo:ipam={ipam_subnets: [{subnet: 10.2.0.0/16}]}", "--json",
    )  # fmt: skip

    made = json.loads(result.stdout)
    assert made["mtu"] == 1400
    assert made["network_ipam_refs"][0]["attr"]["ipam_subnets"][0]["default_gateway"]
    twice = run("create", "vn", "demo:green")
    assert twice.exit_code == 1
    assert "skytrail edit" in twice.output
    assert run("delete", "vn", "demo:green").exit_code == 0


def editor(folder, script):
    path = folder / "editor.sh"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"EDITOR": str(path), "VISUAL": str(path)}


def test_edit_changes_the_object(run, applied, tmp_path):
    env = editor(tmp_path, "echo 'mtu: 1400' >> $1")

    result = run("edit", "vn", "demo:red", env=env)

    assert result.stdout == "virtual-network demo:red changed (mtu)\n"
    assert json.loads(run("get", "vn", "demo:red", "--json").stdout)["mtu"] == 1400


def test_edit_opens_again_with_the_reason_of_a_mistake(run, applied, tmp_path):
    script = (
        "if grep -q 'Did you mean mtu' $1; then sed -i 's/mtuu:/mtu:/' $1;"
        " else echo 'mtuu: 1400' >> $1; fi"
    )

    result = run("edit", "vn", "demo:red", env=editor(tmp_path, script))

    assert "changed (mtu)" in result.output


def test_edit_sees_a_change_somebody_made_meanwhile(run, applied, tmp_path, controller):
    other = (
        f"{sys.executable} -m skytrail.cli --api-socket {controller.api_socket}"
        f" apply -f {tmp_path}/other.yaml"
    )
    (tmp_path / "other.yaml").write_text(
        "{type: vn, fq_name: 'default-domain:demo:red', mtu: 1300, is_shared: true}"
    )
    script = (
        f"if grep -q 'somebody changed mtu' $1; then cp $1 {tmp_path}/seen; sed -i '/^#/d' $1;"
        f" else {other} >/dev/null 2>&1; fi; sed -i '/^mtu:/d' $1; echo 'mtu: 1500' >> $1"
    )

    result = run("edit", "vn", "demo:red", env=editor(tmp_path, script))

    assert "changed (mtu)" in result.output
    assert "mtu: 1300" in (tmp_path / "seen").read_text()
    now = json.loads(run("get", "vn", "demo:red", "--json").stdout)
    assert (now["mtu"], now["is_shared"]) == (1500, True)


def test_edit_without_a_change_does_nothing(run, applied, tmp_path):
    result = run("edit", "vn", "demo:red", env=editor(tmp_path, "true"))

    assert result.stdout == "Nothing changed.\n"


def test_completion_offers_live_names(controller, run, applied):
    environment = {
        **os.environ,
        "SKYTRAIL_API_SOCKET": str(controller.api_socket),
        "_SKYTRAIL_COMPLETE": "bash_complete",
        "COMP_WORDS": "skytrail get vn default-domain:demo",
        "COMP_CWORD": "3",
    }
    program = "import sys; sys.argv[0] = 'skytrail'; from skytrail.cli import run; run()"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "plain,default-domain:demo:red\n"


def test_derived_objects_are_shown_as_such(run, applied):
    def described():
        return run("describe", "ri", "demo:red:red").output

    wait_until(lambda: "target:64512:" in described(), "route target")
    assert "derived by the compiler" in described()
    rows = run("get", "acl", "-o", "name").stdout.split()
    assert "default-domain:demo:web:ingress-access-control-list" in rows


def test_yaml_of_several_objects_is_a_stream_of_documents(run, applied):
    documents = list(yaml.safe_load_all(run("get", "sg", "-o", "yaml").stdout))

    assert {each["type"] for each in documents} == {"security-group"}
    assert len(documents) >= 2


def test_apply_gives_a_new_object_the_uuid_its_document_says_unless_it_is_a_copy(run, tmp_path):
    uuid = "00000000-0000-4000-8000-0000000000aa"
    first = f"type: virtual-machine\nfq_name: {uuid}\nuuid: {uuid}\n"
    assert run("apply", "-f", "-", input=first).exit_code == 0
    assert "0 created, 0 changed, 1 unchanged\n" in run("apply", "-f", "-", input=first).stderr
    shown = run("get", "virtual-machine", uuid, "-o", "yaml").stdout
    assert f"uuid: {uuid}" in shown

    copy = run("apply", "-f", "-", input=f"type: virtual-machine\nfq_name: a-copy\nuuid: {uuid}\n")

    assert copy.exit_code == 0
    assert f"uuid: {uuid}" not in run("get", "virtual-machine", "a-copy", "-o", "yaml").stdout


def test_commands_that_write_say_where_to_unless_their_own_options_do(run, controller):
    network = "{type: vn, fq_name: told-where}"
    socket = str(controller.api_socket)

    by_variable = run("apply", "-f", "-", input=network)
    by_option = run("apply", "-f", "-", "--api-socket", socket, input=network)

    assert by_variable.stderr.startswith(f"server: {socket} (by $SKYTRAIL_API_SOCKET)\n")
    assert "server: " not in by_option.stderr
    assert "server: " not in run("get", "vn", "told-where").stderr
    assert run("delete", "vn", "told-where").stderr.startswith(f"server: {socket}")


@pytest.mark.parametrize(
    ("wrong", "place", "meant"),
    [
        ("{ipam_subnets: [{subnt: 10.1.0.0/24}]}", "network_ipam_refs/0/attr/ipam_subnets/0", "subnet"),
        ("{ipam_subnets: [{subnet: 10.1.0.0/24, enable_dhpc: true}]}",
         "network_ipam_refs/0/attr/ipam_subnets/0", "enable_dhcp"),
    ],
)  # fmt: skip
def test_a_typing_error_deep_inside_is_told_by_its_place_and_what_was_meant(
    run, wrong, place, meant
):
    document = f"{{type: vn, fq_name: red, network_ipam_refs: [{{to: default-network-ipam, attr: {wrong}}}]}}"

    refused = run("apply", "-f", "-", input=document)

    assert refused.exit_code == 1
    assert place in refused.stderr
    assert f"Did you mean {meant}?" in refused.stderr
    assert "{'" not in refused.stderr


def rule(port):
    ports = f"[{{start_port: {port}, end_port: {port}}}]"
    anyone = "[{virtual_network: any}]"
    return (
        "{direction: '<>', protocol: tcp, action_list: {simple_action: pass}, "
        f"src_addresses: {anyone}, src_ports: [{{start_port: -1, end_port: -1}}], "
        f"dst_addresses: {anyone}, dst_ports: {ports}}}"
    )


def policy(*ports):
    rules = ", ".join(map(rule, ports))
    return f"{{type: np, fq_name: kept, network_policy_entries: {{policy_rule: [{rules}]}}}}"


def test_unchanged_rules_of_a_policy_keep_their_uuids(run, controller):
    def uuids():
        shown = yaml.safe_load(run("get", "np", "kept", "-o", "yaml").stdout)
        rules = shown["network_policy_entries"]["policy_rule"]
        return {each["dst_ports"][0]["start_port"]: each["rule_uuid"] for each in rules}

    run("apply", "-f", "-", input=policy(80, 443))
    before = uuids()
    assert "unchanged" in run("apply", "-f", "-", input=policy(80, 443)).stdout
    assert uuids() == before

    run("apply", "-f", "-", input=policy(22, 443, 80))
    assert {port: uuids()[port] for port in before} == before

    # However it is written: in another order, with what is not set.
    written = policy(443, 80, 9).replace("direction: '<>', protocol: tcp, ", "protocol: tcp, ")
    written = written.replace("{simple_action: pass}", "{log: false, simple_action: pass}")
    written = written.replace(
        "protocol: tcp, ", "protocol: tcp, direction: '<>', application: [], "
    )
    assert run("apply", "-f", "-", input=written).exit_code == 0
    assert {port: uuids()[port] for port in before} == before

    # Any other client that leaves them out, as old scripts do.
    body = yaml.safe_load(policy(443, 8080, 80))
    with ApiClient(unix_socket=str(controller.api_socket)) as client:
        uuid = client.name_to_id("network-policy", ["default-domain", "default-project", "kept"])
        client.update("network-policy", uuid, {n: body[n] for n in body if n.endswith("entries")})
    assert {port: uuids()[port] for port in before} == before


def test_history_has_headings_and_a_revert_that_clashes_is_told_once_in_the_commands_words(run):
    run("apply", "-f", "-", input="{type: vn, fq_name: past, mtu: 1400}")
    run("apply", "-f", "-", input="{type: vn, fq_name: past, mtu: 1410}")
    run("apply", "-f", "-", input="{type: vn, fq_name: past, mtu: 1420}")
    lines = run("history", "vn", "past").stdout.splitlines()
    assert lines[0].split() == ["CHANGE", "AT", "(UTC)", "BY", "REQUEST"]
    second = json.loads(run("history", "vn", "past", "--json").stdout)[1]["change"]

    clash = run("revert", second)

    assert clash.exit_code == 1
    assert clash.stderr.count("has changed since, to 1420") == 1
    assert "--force reverts it all the same" in clash.stderr


@pytest.mark.parametrize("change", ["999999.0", "last"])
def test_a_revert_of_no_change_says_where_changes_are_listed(run, change):
    refused = run("revert", change)

    assert refused.exit_code == 1
    assert "`skytrail history` lists" in refused.stderr


def test_a_review_of_no_change_set_says_where_they_are_listed(run):
    refused = run("change", "review", "zzz")

    assert refused.exit_code == 1
    assert "no change set 'zzz'" in refused.stderr
    assert "`skytrail change list`" in refused.stderr


def test_an_editor_that_is_not_there_is_named_with_the_way_out(run):
    run("apply", "-f", "-", input="{type: vn, fq_name: past, mtu: 1400}")

    refused = run("edit", "vn", "past", env={"EDITOR": "nosuched", "VISUAL": ""})

    assert refused.exit_code == 1
    assert "nosuched" in refused.stderr
    assert "Set EDITOR to an editor that is installed" in refused.stderr


def test_a_socket_is_spoken_to_without_tls_whatever_the_address_beside_it_says(run):
    assert run("get", "vn", env={"SKYTRAIL_API": "https://127.0.0.1:9"}).exit_code == 0


def test_status_lists_what_the_compiler_could_not_do_with_what(run):
    assert run("create", "bgpaas", "numberless").exit_code == 0

    wait_until(lambda: "no_autonomous_system" in run("status").stdout, "trouble in the status")
    told = run("status").stdout
    run("delete", "bgpaas", "numberless")

    (line,) = [each for each in told.splitlines() if "no_autonomous_system" in each]
    assert "bgp-as-a-service" in line
    assert "default-domain:default-project:numberless" in line
    assert "autonomous_system" in line.partition("no_autonomous_system")[2]


def test_db_check_counts_what_it_read_and_finds_nothing(run):
    told = run("db-check")

    assert told.exit_code == 0, told.output
    assert "0 findings" in told.stdout
    assert " objects, " in told.stdout
    assert json.loads(run("db-check", "--json").stdout)["results"] == []


def test_a_change_lands_in_the_lab_that_is_named_and_in_none_when_several_could_be_meant(
    run, controller, tmp_path
):
    port = int(controller.api_url.rpartition(":")[2])
    for name, number in {"east": port, "west": 9}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "lab.json").write_text(json.dumps({"name": name, "api_port": number}))
    labs = {"SKYTRAIL_LAB_ROOT": str(tmp_path), "SKYTRAIL_API_SOCKET": ""}
    network = "{type: vn, fq_name: in-a-lab}"

    unclear = run("apply", "-f", "-", input=network, env=labs)

    assert (unclear.exit_code, "east, west" in unclear.stderr) == (1, True)
    assert run("get", "vn", "in-a-lab").exit_code == 1
    made = run("apply", "-f", "-", input=network, env={**labs, "SKYTRAIL_LAB": "east"})
    assert made.stderr.startswith(f"server: {controller.api_url} (lab east, by $SKYTRAIL_LAB)\n")
    assert run("describe", "vn", "in-a-lab", "--lab", "east", env=labs).exit_code == 0
    missing = run("get", "vn", "none", env={**labs, "SKYTRAIL_LAB": "east"})
    assert f"server: {controller.api_url} (lab east, by $SKYTRAIL_LAB)" in missing.stderr
    assert run("delete", "vn", "in-a-lab", "--lab", "east", env=labs).exit_code == 0
    assert run("get", "vn", "in-a-lab").exit_code == 1
