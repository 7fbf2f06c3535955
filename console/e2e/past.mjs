// A journey through every page at a past moment, when a host was lost and much was otherwise. Gone by lab.mjs, after lost.mjs, whose journey is that moment's.

import { api, axe, check, errors, newContext, observed, open, page, picture } from "./harness.mjs";
import { aProcess, ROUTES, settled, tabsOf, walkTo, watched } from "./walk.mjs";

const PROJECT = ["default-domain", "red"];
const AT = PROJECT.join(":");
const HOSTS = ["default-global-system-config"];
/** In names of what is there now and was not then. */
const LATER = "came-later";
const LATER_PORT = process.env.LATER_PORT;
const TOLD_MS = 60_000;
const AGAIN = /\b(Create|New|Add|Edit|Delete|Save|Import|Build|Send a probe|Acknowledge|Revert|Commit|Discard|Release|Remove|Take|Write|Stop sharing|Collect)\b/;

const inProject = (type, name, more = {}) => ({ op: "create", type, object: { parent_type: "project", fq_name: [...PROJECT, name], ...more } });
const to = (...name) => ({ to: [...PROJECT, ...name] });
const ports = (first, last = first) => [{ start_port: first, end_port: last }];
const rule = (port, more = {}) => ({
  direction: "<>", protocol: "tcp", action_list: { simple_action: "pass", ...more },
  src_addresses: [{ virtual_network: [...PROJECT, "then-net"].join(":") }], src_ports: ports(0, 65_535),
  dst_addresses: [{ virtual_network: [...PROJECT, "front"].join(":") }], dst_ports: ports(port),
});
const rules = (...all) => ({ network_policy_entries: { policy_rule: all } });
const DNS = ["default-domain", "moved-dns"];
const record = (address) => ({ virtual_DNS_record_data: { record_name: "www", record_type: "A", record_class: "IN", record_data: address } });

/** What goes until now. */
const GONE = [
  inProject("virtual-network", "then-net", { network_ipam_refs: [{ to: ["default-domain", "default-project", "default-network-ipam"], attr: { ipam_subnets: [{ subnet: { ip_prefix: "10.66.0.0", ip_prefix_len: 24 } }] } }] }),
  inProject("network-policy", "then-policy", rules(rule(7001, { apply_service: [[...PROJECT, "then-service"].join(":")] }))),
  { op: "create", type: "floating-ip-pool", object: { parent_type: "virtual-network", fq_name: [...PROJECT, "then-net", "then-pool"] } },
  { op: "create", type: "floating-ip", object: { parent_type: "floating-ip-pool", fq_name: [...PROJECT, "then-net", "then-pool", "then-floating"], floating_ip_address: "10.66.0.99", project_refs: [{ to: PROJECT }] } },
  inProject("virtual-machine-interface", "then-port", { virtual_network_refs: [to("then-net")] }),
  { op: "create", type: "instance-ip", object: { fq_name: ["then-address"], instance_ip_address: "10.66.0.77", virtual_network_refs: [to("then-net")], virtual_machine_interface_refs: [to("then-port")] } },
  inProject("virtual-machine-interface", "then-leg", { virtual_network_refs: [to("then-net")] }),
  inProject("logical-router", "then-router", { virtual_machine_interface_refs: [to("then-leg")] }),
  inProject("application-policy-set", "then-set"),
];
/** What is there now too, and is otherwise. */
const KEPT = [
  inProject("network-policy", "moved-policy", rules(rule(7002))),
  { op: "create", type: "virtual-machine", object: { fq_name: ["moved-machine"] } },
  inProject("virtual-machine-interface", "moved-port", { virtual_network_refs: [to("front")], virtual_machine_refs: [{ to: ["moved-machine"] }] }),
  { op: "create", type: "virtual-DNS", object: { parent_type: "domain", fq_name: DNS, virtual_DNS_data: { domain_name: "moved.example", dynamic_records_from_client: true, record_order: "random", default_ttl_seconds: 60 } } },
  { op: "create", type: "virtual-DNS-record", object: { parent_type: "virtual-DNS", fq_name: [...DNS, "www-A"], ...record("192.0.2.71") } },
  { op: "create", type: "project", object: { fq_name: ["default-domain", "moved-project"], quota: { virtual_network: 71 } } },
];
const COMING = [
  inProject("virtual-network", LATER), inProject("network-policy", LATER), inProject("logical-router", LATER), inProject("application-policy-set", LATER),
  inProject("virtual-machine-interface", LATER, { virtual_network_refs: [to(LATER)] }),
];

async function written(operations) {
  const { status, json } = await api("POST", "/api/v1/transaction", { operations });
  check(status === 200, JSON.stringify(json).slice(0, 600));
  return json.results;
}

const gone = (operations) => operations.toReversed().map(({ type, object }) => ({ op: "delete", type, name: object.fq_name }));
const changed = (type, name, object) => ({ op: "patch", type, name, object });
/** Which host a machine is on. */
const placed = async (operation, host) => {
  const name = [...HOSTS, host];
  const [{ json: router }, { json: machine }] = await Promise.all([api("GET", `/api/v1/virtual-router/by-name/${name.join(":")}`), api("GET", "/api/v1/virtual-machine/by-name/moved-machine")]);
  const reply = await api("POST", "/ref-update", { type: "virtual-router", uuid: router.uuid, "ref-type": "virtual-machine", "ref-uuid": machine.uuid, operation });
  check(reply.status === 200, JSON.stringify(reply));
};

/** What the journey looks at, made before the moment; `hosts` are two names. */
const scene = { moment: 0, uuids: {}, hosts: [] };

export async function setScene(hosts) {
  const results = await written([...GONE, ...KEPT]);
  [...GONE, ...KEPT].forEach(({ object }, index) => (scene.uuids[object.fq_name.at(-1)] = results[index].uuid));
  scene.hosts = hosts;
  await placed("ADD", hosts[0]);
}

/** Keeps the moment, then makes everything otherwise. */
export async function changeScene() {
  // Moments are of whole seconds, and what is kept of a change stands there a second after it.
  await page.waitForTimeout(2000);
  scene.moment = Math.floor(Date.now() / 1000) * 1000;
  await page.waitForFunction((ms) => Date.now() > ms + 2000, scene.moment);
  await placed("DELETE", scene.hosts[0]);
  await placed("ADD", scene.hosts[1]);
  await written([
    ...gone(GONE), ...COMING,
    changed("network-policy", [...PROJECT, "moved-policy"], rules(rule(7003))),
    changed("virtual-DNS-record", [...DNS, "www-A"], record("192.0.2.72")),
    changed("project", ["default-domain", "moved-project"], { quota: { virtual_network: 72 } }),
  ]);
}

async function takeSceneAway() {
  await placed("DELETE", scene.hosts[1]);
  await written([...gone(COMING), ...gone(KEPT)]);
}

const NOT_KEPT = "What processes hold is not kept.";
const SESSIONS = "/query?table=SessionRecordTable&columns=T,local_ip,remote_ip,server_port,forward_action&from=now-1h&sort=T";

const has = (path, ...texts) => ({ path, texts });

/** Every route, and what its page has to show of then; `tabs` are what tabs of the page have to. */
function pagesOf({ node, process }, { uuids, hosts }) {
  const lost = hosts[1];
  return [
    has("/", "node-status", NOT_KEPT),
    { path: "/monitor", texts: ["Control nodes"], tabs: { vRouters: [hosts[0], lost], "Agents' sessions": [lost] } },
    has("/nodes", NOT_KEPT), has(`/nodes/${encodeURIComponent(node)}/${encodeURIComponent(process)}`, NOT_KEPT),
    has("/alarms", "node-status", lost, "more follow from it"),
    has("/trace?from=a&to=b", "Hosts are asked what they would do now."),
    has(SESSIONS, "deny"), has("/flows?from=now-1h", "Service map"),
    has(`/topology?project=${AT}`, "then-net"), has("/topology?view=underlay", hosts[0]),
    has(`/chains?project=${AT}`, "then-net → then-service → front"),
    has("/addresses?q=then-net", "10.66.0.0/24", "is known of now only"),
    has(`/floating-ips?project=${AT}`, "10.66.0.99"), has(`/ports?project=${AT}`, "then-port", "10.66.0.77"), has(`/routers?project=${AT}`, "then-router", "then-net"),
    has("/users", "is not kept"), has("/guide", "the past cannot be changed"), has("/import", "the past cannot be changed"),
    has(`/security?project=${AT}&set=${AT}:then-set`, "then-set"),
    has("/history", "then-net", "moved-machine"),
    has("/o/virtual-network", "then-net"), has("/o/virtual-network/new", "then-net"),
    { path: `/o/virtual-network/${uuids["then-net"]}`, texts: ["10.66.0.0/24"], tabs: { Addresses: ["10.66.0.77", "10.66.0.99", "is not kept"], Related: ["by virtual network"], JSON: ["then-net"], History: ["create"] } },
    has(`/o/virtual-network/${uuids["then-net"]}/edit`, "10.66.0.0/24"),
    { path: `/o/virtual-machine-interface/${uuids["moved-port"]}`, texts: ["front", hosts[0]], tabs: { Traffic: ["Traffic"] }, lacks: [hosts[1]] },
    { path: `/o/network-policy/${uuids["moved-policy"]}`, texts: ["7002"], tabs: {}, lacks: ["7003"] },
    { path: `/o/virtual-DNS/${uuids["moved-dns"]}`, texts: ["moved.example"], tabs: { Records: ["192.0.2.71"] }, lacks: ["192.0.2.72"] },
    { path: `/o/project/${uuids["moved-project"]}`, texts: ["moved-project"], tabs: { Quota: [], JSON: ['"virtual_network": 71'] }, lacks: ['"virtual_network": 72'] },
  ];
}

/** What is asked on a page of the past, but is not of then. */
function askedOfNow(request, then) {
  const url = new URL(request.url());
  if (!/^\/(api\/|obj-perms|virtual-|chmod)/.test(url.pathname)) return undefined;
  const path = url.pathname.replace("/api/v1/", "");
  // Who one is, which moment it is, what there may be: not of a moment.
  if (/^(whoami|history\/moment|analytics\/tables|analytics\/table\/.*\/schema)$/.test(path)) return undefined;
  if (url.searchParams.has("revision") || url.searchParams.has("cursor")) return undefined;
  const told = `${request.method()} ${path}${url.search} ${request.postData() ?? ""}`;
  const at = url.searchParams.get("at");
  if (at !== null) return Date.parse(at) === then ? undefined : told;
  const asked = request.method() === "POST" ? (request.postDataJSON() ?? {}) : Object.fromEntries(url.searchParams);
  const end = Number(asked.end_time);
  return end > 0 && end <= then * 1000 ? undefined : told;
}

/** Buttons and switches that would change something, and can be used. */
const writers = () =>
  page.getByRole("main").evaluate((main, words) => {
    const wanted = new RegExp(words);
    return [...main.querySelectorAll("button, [role=switch], input:not([type=search])")]
      .filter((each) => each.checkVisibility() && !each.disabled && !each.closest("[disabled], .ant-select, .ant-pagination"))
      .map((each) => each.getAttribute("aria-label") ?? each.innerText)
      .filter((label) => wanted.test(label ?? ""));
  }, AGAIN.source);

const flat = (text) => text.replaceAll(/\s+/g, " ");

/** That a page shows what it has to, and nothing of now. */
async function isOfThen(what, wanted, lacks = []) {
  const text = flat(await page.getByRole("main").innerText());
  const html = flat(await page.getByRole("main").innerHTML());
  for (const each of wanted) check(text.includes(each), `${what} of the past lacks ${each}: ${text.slice(0, 700)}`);
  for (const each of [LATER, ...lacks]) check(!html.includes(each), `${what} of the past has ${each}: ${text.slice(0, 700)}`);
  const can = await writers();
  check(can.length === 0, `${what} of the past offers ${can.join(", ")}`);
  check(errors.length === 0, `${what}: ${errors.join(", ")}`);
  return text;
}

async function tellsOf(port) {
  const body = { table: "SessionRecordTable", start_time: "now-1h", end_time: "now", select_fields: ["T", "server_port"], where: [[{ name: "server_port", value: Number(port), op: 1 }]] };
  for (const end = Date.now() + TOLD_MS; ; await page.waitForTimeout(500)) {
    const { json } = await api("POST", "/api/v1/analytics/query", body);
    if (json.value?.length > 0) return;
    check(Date.now() < end, `nobody tells of sessions to port ${port}`);
  }
}

/** Every route has a page that is looked at. */
function coverRoutes(pages) {
  const paths = pages.map(({ path }) => path.split("?")[0]);
  const left = ROUTES.filter((route) => !paths.some((path) => new RegExp(`^${route.replaceAll(/:\w+/g, "[^/]+")}$`).test(path)));
  check(left.length === 0, `nobody looks at the past of ${left.join(", ")}`);
}

export async function seeingThePastOnEveryPage() {
  check(scene.moment > 0, "the journey through the loss of a host comes first");
  await open("/");
  const pages = pagesOf(await aProcess(), scene);
  coverRoutes(pages);
  await tellsOf(LATER_PORT);
  const wrong = new Set();
  const look = (request) => {
    const told = askedOfNow(request, scene.moment);
    if (told !== undefined) wrong.add(told);
  };
  const context = await newContext();
  const other = watched(observed(await context.newPage()));
  try {
    await open(`/at/${new Date(scene.moment).toISOString()}/`);
    for (const each of [page, other]) each.on("request", look);
    await page.getByRole("region", { name: "Time machine" }).getByText("Nothing can be changed here.").waitFor();
    await page.getByText("past", { exact: true }).waitFor();
    for (const { path, texts: wanted, tabs = {}, lacks = [] } of pages) {
      await walkTo(path);
      const told = await isOfThen(path, wanted, [...lacks, ...(LATER_PORT === undefined ? [] : [`>${LATER_PORT}<`])]);
      // Whoever is given the address sees the same.
      await other.goto(page.url());
      const theirs = flat(await settled(path, other));
      check(theirs === told, `${path} of the past is ${told.slice(0, 700)}\nand in another browser ${theirs.slice(0, 700)}`);
      const seen = new Set();
      for await (const tab of tabsOf(path)) {
        const title = /\((.*)\)$/.exec(tab)[1];
        seen.add(title);
        await isOfThen(tab, tabs[title] ?? [], lacks);
      }
      const missing = Object.keys(tabs).filter((title) => !seen.has(title));
      check(missing.length === 0, `${path} of the past has no ${missing.join(", ")}`);
    }
    await axe("the past");
    await picture("past-everywhere");
    check(wrong.size === 0, `asked of now under the banner of the past:\n${[...wrong].join("\n")}`);
  } finally {
    for (const each of [page, other]) each.off("request", look);
    await context.close();
    await open("/");
    await takeSceneAway();
  }
}
