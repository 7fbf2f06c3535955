/** What pages are drawn from, without a browser: ways, questions to history, the overlay, the example. */

import { expect, test } from "vitest";

import { sameAt, timeAsOf, timeIn } from "../api/moment";
import model from "../generated/model.json";
import type { Catalog } from "../model/catalog";
import type { ConfigObject, Document } from "../model/document";
import { choiceOf, MARK, partsOf } from "./guide/example";
import { bodyOf, csvOf, PRESETS, questionOf, readable, searchOf, showsWays, STATISTICS, wayOf } from "./query/question";
import { lineOf, listChangeOf, pathTitle } from "./objects/planText";
import { LESSONS } from "./objects/teaching";
import { overlayOf, SHOWN_COUNT } from "./topology/overlay";
import { packed, placesOf } from "./topology/places";
import { BOX, cablesOf, isOnWay, namesOf, spread, tunnelsOf, underlayOf, type Way } from "./topology/underlay";
import { areNamed, canProbe, carriageOf, missing, probeBody, probeSentence, ruleName, tracePath } from "./trace/trace";

test("a question to history survives the page's address", () => {
  for (const { title: _title, ...question } of [...PRESETS, ...STATISTICS]) expect(questionOf(searchOf(question))).toEqual(question);
  const odd = { ...PRESETS[0]!, matches: [{ name: "ObjectId", op: 7, value: "a:b:c=&?" }] };
  expect(questionOf(searchOf(odd)).matches).toEqual(odd.matches);
});

test("conditions on numbers are asked with numbers, on texts with texts", () => {
  const question = { ...PRESETS[0]!, matches: [{ name: "Level", op: 5, value: "4" }, { name: "Source", op: 1, value: "7" }] };
  const infos = [{ name: "Level", datatype: "int" }, { name: "Source", datatype: "string" }];
  expect(bodyOf(question, infos)["where"]).toEqual([[{ name: "Level", op: 5, value: 4 }, { name: "Source", op: 1, value: "7" }]]);
});

test("a session leads to its way from client to server, whoever told of it", () => {
  const row = { session_type: "client", vmi: "d:red:web1", remote_ip: "10.1.2.3", remote_vn: "d:red:back", protocol: 6, server_port: 23 };
  expect(showsWays(Object.keys(row))).toBe(true);
  expect(wayOf(row)).toBe("/trace?from=d%3Ared%3Aweb1&to=10.1.2.3&protocol=tcp&network=d%3Ared%3Aback&port=23");
  expect(wayOf({ ...row, session_type: "server", protocol: 1 })).toBe("/trace?from=10.1.2.3&to=d%3Ared%3Aweb1&protocol=icmp&network=d%3Ared%3Aback");
  expect(wayOf({ ...row, protocol: 47 })).toBe("");
});

test("bins of time are found under the name that answers have", () => {
  expect(csvOf(["T=60", "vn"], [{ "T=": 60_000_000, vn: "n" }])).toBe('"T=60","vn"\r\n"1970-01-01 00:01:00.000","n"\r\n');
});

test("what a spreadsheet would run is exported as text", () => {
  expect(csvOf(["a", "b"], [{ a: '=HYPERLINK("x")', b: -5 }])).toBe('"a","b"\r\n"\'=HYPERLINK(""x"")","-5"\r\n');
});

test("messages are shown without their XML", () => {
  const told = '<port type="sandesh"><name type="string" identifier="1">a &lt;b&gt;</name><n type="u32">3</n></port>';
  expect(readable("Xmlmessage", told)).toBe("name: a <b>, n: 3");
  expect(readable("Level", 4)).toBe("warning");
});

const network = (project: string, name: string, policies: readonly string[] = []): ConfigObject => ({
  uuid: `${project}-${name}`,
  fq_name: ["d", project, name],
  network_policy_refs: policies.map((each) => ({ to: ["d", "red", each] })),
});

function policy(name: string, from: string, to: string, action = "pass"): ConfigObject {
  const rule: Document = { src_addresses: [{ virtual_network: from }], dst_addresses: [{ virtual_network: to }], action_list: { simple_action: action } };
  return { uuid: name, fq_name: ["d", "red", name], network_policy_entries: { policy_rule: [rule] } };
}

test("a policy joins the networks its rules name, once for each pair", () => {
  const networks = [network("red", "a", ["p"]), network("red", "b", ["p"]), network("blue", "a")];
  const { joins } = overlayOf(networks, [policy("p", "any", "any")], "");
  expect(joins.map(({ from, to, passes, missingAt }) => [from.name, to.name, passes, missingAt])).toEqual([["d:red:a", "d:red:b", true, ""]]);
});

test("a network that lacks the policy is told of", () => {
  const { joins } = overlayOf([network("red", "a", ["p"]), network("red", "b")], [policy("p", "d:red:a", "d:red:b", "deny")], "");
  expect(joins.map(({ missingAt, passes, denies }) => [missingAt, passes, denies])).toEqual([["d:red:b", false, true]]);
});

test("more networks than fit are counted, not drawn", () => {
  const many = Array.from({ length: SHOWN_COUNT + 5 }, (_, index) => network("red", `n${index}`));
  const overlay = overlayOf(many, [], "");
  expect([overlay.networks.length, overlay.leftOut]).toEqual([SHOWN_COUNT, 5]);
  expect(overlayOf([], [], "").networks).toEqual([]);
});

const ROOM = { width: 1000, height: 700 };
const NO_LABEL = { width: 0, height: 0 };

test("projects that nothing joins stand beside each other, each network within its own", () => {
  const networks = ["red", "blue", "green", "grey"].flatMap((project) => [network(project, "a"), network(project, "b")]);
  const { projects, cards, width, height } = placesOf(overlayOf(networks, [], ""), ROOM, () => NO_LABEL);
  expect(new Set(projects.map(({ x, y }) => `${x} ${y}`)).size).toBe(4);
  for (const each of networks) {
    const area = projects.find(({ name }) => name === each.fq_name.slice(0, 2).join(":"))!;
    const card = cards.get(each.uuid)!;
    expect(card.x > area.x && card.y > area.y && card.x < area.x + area.width && card.y < area.y + area.height).toBe(true);
  }
  expect(width / height).toBeGreaterThan(0.8);
  expect(packed([], ROOM)).toMatchObject({ width: 0, height: 0 });
});

test("the example refers to nothing it did not make before", () => {
  const made = new Set<string>(["domain default-domain"]);
  for (const { type, name, object } of partsOf(["red", "blue"]).flatMap((part) => part.operations)) {
    for (const [member, refs] of Object.entries(object ?? {}).filter(([each]) => each.endsWith("_refs"))) {
      const target = member.replace(/_refs$/, "").replaceAll("_", "-");
      for (const ref of refs as unknown as { to: string[] }[]) expect(made).toContain(`${target} ${ref.to.join(":")}`);
    }
    made.add(`${type} ${name?.join(":")}`);
  }
});

test("a way is asked for only when it makes sense", () => {
  const question = { source: "a", destination: "b", protocol: "tcp", port: "", network: "" };
  expect(missing(question)).toMatch(/needs a port/);
  expect(missing({ ...question, port: "70000" })).not.toBe("");
  expect(missing({ ...question, destination: "" })).not.toBe("");
  expect(tracePath({ ...question, port: "80" })).toBe("/api/v1/trace?source=a&destination=b&protocol=tcp&port=80");
  expect(tracePath({ ...question, protocol: "icmp", port: "80" })).not.toContain("port=");
});

test("tunnels and rules are told in words", () => {
  const leg = { host: "h", outcome: "forwarded", drop_reason: "", deciding_rule: null, steps: [] };
  expect(carriageOf({ ...leg, encapsulation: "MPLS_UDP", label: 19, remote: "192.0.2.2" })).toBe("MPLS over UDP label 19 to 192.0.2.2");
  expect(carriageOf({ ...leg, encapsulation: "VXLAN", label: 7 })).toBe("VXLAN VNI 7");
  expect(ruleName("red:front:front & red:open:egress-access-control-list")).toBe("policies of network red:front, security group red:open");
});

test("a moment stands in the address of every page, and goes from it", () => {
  const time = "2026-11-28T02:40:00.5Z";
  const there = sameAt(time, "/console/o/project", "?q=red");
  expect(there).toBe(`/console/at/${time}/o/project?q=red`);
  expect(timeIn(there)).toBe(time);
  expect(timeIn("/console/o/at")).toBe("");
  expect(sameAt("", `/console/at/${time}/o/project`, "?q=red")).toBe("/console/o/project?q=red");
  expect(sameAt("", `/console/at/${time}`, "")).toBe("/console/");
});

test("questions to analytics end at the moment that is shown", () => {
  const at = { time: "1970-01-01T02:00:00Z", revision: 7 };
  expect(timeAsOf("now-1h", at)).toBe(3_600_000_000);
  expect(timeAsOf("now", at)).toBe(7_200_000_000);
  expect(timeAsOf("now-1h", null)).toBe("now-1h");
  expect(timeAsOf("1234", at)).toBe("1234");
  expect(timeAsOf("1970-01-01T03:00:00Z", at)).toBe(7_200_000_000);
  expect(timeAsOf("7200000001", at)).toBe(7_200_000_000);
  expect(bodyOf(PRESETS[0]!, [], at)).toMatchObject({ start_time: 3_600_000_000, end_time: 7_200_000_000 });
});

test("lessons are about types that there are", () => {
  const { objects } = model as unknown as Catalog;
  expect(Object.keys(LESSONS).filter((type) => objects[type] === undefined)).toEqual([]);
});

function tenant(name: string, isOurs: boolean) {
  return { uuid: name, fq_name: ["default-domain", name], ...(isOurs ? { annotations: { key_value_pair: [MARK] } } : {}) };
}

test("first steps take names that nobody has, and know what they made", () => {
  expect(choiceOf([])).toEqual({ tenants: ["red", "blue"], made: [], taken: [], isFree: true });
  expect(choiceOf([tenant("red", false)])).toMatchObject({ tenants: ["first-red", "first-blue"], made: [], taken: ["red"], isFree: true });
  const made = [tenant("first-red", true), tenant("first-blue", true)];
  expect(choiceOf([tenant("red", false), ...made])).toMatchObject({ tenants: ["first-red", "first-blue"], made, isFree: false });
  expect(choiceOf([tenant("red", true), tenant("blue", true)])).toMatchObject({ tenants: ["red", "blue"], isFree: false });
  expect(choiceOf([tenant("red", false), tenant("first-blue", false)])).toMatchObject({ made: [], taken: ["first-blue", "red"], isFree: false });
});

function ruleOf(port: number, action: string): Document {
  return {
    rule_uuid: `${port}`, direction: ">", protocol: "tcp", src_addresses: [{ virtual_network: "d:red:front", subnet_list: [] }], application: [],
    dst_ports: [{ start_port: port, end_port: port }], action_list: { simple_action: action, log: false },
  };
}

test("a plan says which rules come and go, in words, and not which stay", () => {
  const change = listChangeOf([ruleOf(23, "deny"), ruleOf(80, "pass")], [ruleOf(80, "pass"), ruleOf(22, "pass")]);
  expect(change?.gone).toEqual(["direction >, protocol tcp, src addresses d:red:front, dst ports 23, action list deny"]);
  expect(change?.come).toEqual(["direction >, protocol tcp, src addresses d:red:front, dst ports 22, action list pass"]);
  expect(listChangeOf(null, [ruleOf(22, "pass")])?.gone).toEqual([]);
  const [before, after] = [{ dynamic: false, acl_rule: [ruleOf(80, "pass")] }, { dynamic: false, acl_rule: [ruleOf(80, "pass"), ruleOf(22, "pass")] }];
  expect(listChangeOf(before, after)).toEqual({ gone: [], come: change?.come });
  expect(listChangeOf({ acl_rule: [] }, after)?.come).toHaveLength(2);
  expect(listChangeOf({ name: "a", acl_rule: [ruleOf(80, "pass")] }, after)).toBeNull();
  expect(listChangeOf("a", "b")).toBeNull();
  expect(listChangeOf(["a"], ["b"])).toBeNull();
  expect(lineOf({ to: ["d", "red", "p"], attr: { sequence: "1" } })).toBe("d:red:p (1)");
  expect(lineOf(null)).toBe("—");
});

test("where something changes is told in words", () => {
  expect(pathTitle("mtu")).toBe("MTU");
  expect(pathTitle("/virtual_network_refs")).toBe("Virtual network");
  expect(pathTitle("network_policy_entries/policy_rule/0/dst_ports/1/start_port")).toBe("Rules › policy rule 1 › dst ports 2 › start port");
  expect(pathTitle("")).toBe("");
});

test("an end of a way is found by its project as well", () => {
  const ports = [["d", "blue", "web1"], ["d", "red", "web1"]].map((fq_name) => ({ fq_name }));
  const found = (typed: string) => areNamed(ports, typed).map(({ fq_name }) => fq_name[1]);
  expect(found("web1")).toEqual(["blue", "red"]);
  expect(found("Red:web")).toEqual(["red"]);
  expect(found("d:blue:web1 ")).toEqual(["blue"]);
  expect(found("green:web1")).toEqual([]);
});

test("a router joins the networks of its ports and the one outside; their projects are one block", () => {
  const networks = [network("red", "a"), network("red", "b"), network("net", "public")];
  const router = { uuid: "r", fq_name: ["d", "red", "r"], virtual_network_refs: [{ to: ["d", "net", "public"] }] } as unknown as ConfigObject;
  const overlay = overlayOf(networks, [], "", [router], new Map([["r", ["d:red:a", "d:red:b", "d:red:elsewhere"]]]));
  expect(overlay.legs.map(({ network: { name }, isOutside }) => [name, isOutside])).toEqual([["d:red:a", false], ["d:red:b", false], ["d:net:public", true]]);
  const { cards, routes, projects } = placesOf(overlay, ROOM, () => NO_LABEL);
  expect([...routes.keys()].toSorted()).toEqual(overlay.legs.map(({ key }) => key).toSorted());
  expect(cards.get("net-public")!.x).toBeLessThan(cards.get("r")!.x);
  expect(cards.get("r")!.x).toBeLessThan(cards.get("red-a")!.x);
  expect(projects.map(({ x, width }) => [x, width])).toEqual([[0, projects[1]!.width], [0, projects[1]!.width]]);
  expect(overlayOf(networks, [], "d:net", [router], new Map()).routers).toEqual([]);
});

function host(name: string, address: string, state = "Functional") {
  return {
    name,
    value: {
      VrouterAgent: { self_ip_list: [address], total_interface_count: 2 },
      NodeStatus: { process_status: [{ state }] },
      ContrailConfig: { elements: { uuid: '"u"' } },
    },
  };
}

const LEAF = { name: "leaf", value: { PRouterLinkEntry: { link_table: [
  { remote_system_name: "h1", local_interface_name: "et1", local_interface_index: 1 },
  { remote_system_name: "spine", local_interface_name: "et9", remote_interface_name: "xe1" },
] } } };
const SPINE = { name: "spine", value: { PRouterLinkEntry: { link_table: [{ remote_system_name: "leaf", local_interface_name: "xe1", remote_interface_name: "et9" }] } } };

test("switches stand above hosts by how far they are, and a cable that both ends tell of is one", () => {
  expect(cablesOf([LEAF, SPINE]).map(({ from, to }) => `${from} ${to}`)).toEqual(["leaf h1", "leaf spine"]);
  const { nodes, cables } = underlayOf([host("h1", "192.0.2.1"), host("h2", "192.0.2.2", "Non-Functional")], [LEAF, SPINE], []);
  const heights = new Map(nodes.map((each) => [each.id, each.y]));
  expect(heights.get("spine")!).toBeLessThan(heights.get("leaf")!);
  expect(heights.get("leaf")!).toBeLessThan(heights.get("h1")!);
  expect(cables).toHaveLength(2);
  expect(nodes.find((each) => each.id === "h2")?.isWell).toBe(false);
  expect(nodes.find((each) => each.id === "h1")).toMatchObject({ kind: "host", uuid: "u", ports: 2, addresses: ["192.0.2.1"] });
});

test("hosts and switches move apart to fill their room, and stay in their rows", () => {
  const underlay = underlayOf([host("h1", "192.0.2.1"), host("h2", "192.0.2.2")], [LEAF, SPINE], []);
  const wide = spread(underlay, { width: 4000, height: 400 });
  expect(wide.width).toBe(2 * underlay.width);
  expect(wide.height).toBe(underlay.height);
  for (const { x } of wide.nodes) expect(x >= 0 && x + BOX.width <= wide.width).toBe(true);
  const [one, other] = ["h1", "h2"].map((id) => wide.nodes.find((each) => each.id === id)!);
  expect(one!.y).toBe(other!.y);
});

function sums(from: string, to: string, bytes: number) {
  return { vrouter_ip: from, other_vrouter_ip: to, "SUM(forward_sampled_bytes)": bytes, "SUM(reverse_sampled_bytes)": 0, "SUM(sample_count)": 1 };
}

test("a tunnel has what the side that told most told, whoever began, and ends at routers that are no hosts", () => {
  const hosts = [host("h1", "192.0.2.1"), host("h2", "192.0.2.2")];
  const clients = [sums("192.0.2.1", "192.0.2.2", 10), sums("192.0.2.2", "192.0.2.1", 5), sums("192.0.2.1", "", 99), sums("192.0.2.1", "192.0.2.9", 7)];
  const tunnels = tunnelsOf(clients, [sums("192.0.2.2", "192.0.2.1", 12)], namesOf(hosts, { "192.0.2.9": "gw" }));
  expect(tunnels.map(({ from, to, bytes }) => [from, to, bytes])).toEqual([["h1", "h2", 15], ["gw", "h1", 7]]);
  expect(underlayOf(hosts, [], tunnels).nodes.find((each) => each.id === "gw")?.kind).toBe("elsewhere");
});

test("lines between neighbours of a way are on it, in either direction", () => {
  const way = { path: ["h1", "leaf", "h2"] } as unknown as Way;
  expect([isOnWay(way, "leaf", "h1"), isOnWay(way, "leaf", "h2"), isOnWay(way, "h1", "h2"), isOnWay(undefined, "a", "b")]).toEqual([true, true, false, false]);
});

function hop(point: string, drop_reason = "") {
  return { host: "h1", point, drop_reason, port: "d:red:web1", time_ns: 1 };
}

test("a probe is told by where it ended, and whether the tables said so", () => {
  const said = (agrees: boolean, ...hops: ReturnType<typeof hop>[]) => probeSentence({ agrees, seen: "", hops });
  expect(said(true, hop("sent"), hop("delivered"))).toBe("The probe was delivered at red › web1 on h1, as the tables say.");
  expect(said(false, hop("sent"), hop("dropped", "POLICY"))).toBe("The probe was dropped at red › web1 on h1: POLICY. The tables say otherwise.");
  expect(said(true, hop("sent"))).toContain("then out of sight");
  expect(said(true)).toContain("seen nowhere");
  const question = { source: "a", destination: "b", protocol: "tcp", port: "80", network: "" };
  expect(probeBody(question)).toEqual({ source: "a", destination: "b", protocol: "tcp", port: 80 });
  expect([canProbe(question), canProbe({ ...question, protocol: "sctp" })]).toEqual([true, false]);
});
