// Journeys through the editors that are made by hand.

import { api, axe, check, goTo, heading, open, page, picture } from "./harness.mjs";

/** Has one transaction carried out as the page's user. */
async function made(...operations) {
  const reply = await api("POST", "/api/v1/transaction", { operations });
  check(reply.status === 200, JSON.stringify(reply).slice(0, 400));
}

const create = (type, name, object = {}) => ({ op: "create", type, object: { fq_name: ["default-domain", ...name], ...object } });
const subnet = (ip_prefix) => [{ to: ["default-domain", "default-project", "default-network-ipam"], attr: { ipam_subnets: [{ subnet: { ip_prefix, ip_prefix_len: 24 } }] } }];
const byName = async (type, name) => (await api("GET", `/api/v1/${type}/by-name/${name}`)).json;

async function pick(label, text, option = text) {
  const box = page.getByRole("combobox", { name: label, exact: true });
  await box.click();
  if (await box.isEditable()) await box.fill(text);
  await page.locator(".ant-select-dropdown:visible .ant-select-item-option").filter({ hasText: option }).first().click();
}

export async function decidingByTags() {
  const tag = (kind, value) => create("tag", ["shop", `${kind}=${value}`], { parent_type: "project", tag_type_name: kind, tag_value: value });
  await made(create("project", ["shop"]), tag("application", "Shop"), tag("tier", "web"), tag("tier", "app"), tag("tier", "db"));
  await open("/security?project=default-domain:shop");
  await page.getByRole("button", { name: "New set" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("Shop");
  await pick("Application", "application=Shop");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByText("Holds for ports with application=Shop").waitFor();
  await page.getByRole("button", { name: /^From web to db: .*nothing passes/ }).press("Enter");
  await page.getByRole("heading", { name: "From web to db" }).waitFor();
  await page.getByRole("button", { name: "Add rule" }).click();
  const services = page.getByRole("combobox", { name: "Services of rule 1" });
  await services.fill("tpc 3306");
  await page.getByRole("alert").getByText("neither a service such as").waitFor();
  check(await page.getByRole("button", { name: "Save", exact: true }).isDisabled(), "a service that is none can be saved");
  await services.fill("tcp 3306");
  await page.getByRole("button", { name: /^From web to db:.*pass.*tcp 3306.*same application.*changed/ }).waitFor();
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByRole("dialog").getByText("default-domain:shop:web-to-db").first().waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved", { exact: true }).waitFor();
  const rule = await byName("firewall-rule", "default-domain:shop:web-to-db");
  check(rule.service?.dst_ports?.start_port === 3306 && rule.direction === ">", JSON.stringify(rule));
  await draftingARule();
}

async function draftingARule() {
  await page.getByRole("switch", { name: "Collect changes as a draft" }).click();
  await page.getByText("Draft: nothing waits").waitFor();
  await page.getByRole("combobox", { name: "Services of rule 1" }).fill("tcp 5432");
  await page.getByRole("button", { name: /^From app to db: .*nothing passes/ }).click();
  await page.getByRole("button", { name: "Add rule" }).click();
  await page.getByRole("combobox", { name: "Services of rule 1" }).fill("tcp 5432");
  await page.getByRole("button", { name: "Save to draft" }).click();
  await page.getByText("Draft: 3 waiting").waitFor();
  await axe("the matrix");
  await picture("security");
  const before = await byName("firewall-rule", "default-domain:shop:web-to-db");
  check(before.service.dst_ports.start_port === 3306, "a draft is enforced before its commit");
  await page.getByRole("button", { name: "Review draft" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByRole("cell", { name: "pass tcp 5432 (same application)" }).first().waitFor();
  await axe("a draft");
  await picture("draft");
  await drawer.getByRole("button", { name: "Commit draft" }).click();
  await page.getByText("Draft: nothing waits").waitFor();
  const after = await byName("firewall-rule", "default-domain:shop:web-to-db");
  check(after.service.dst_ports.start_port === 5432, "the commit changed nothing");
  await page.getByRole("switch", { name: "Collect changes as a draft" }).click();
  await page.getByText("Enforced at once", { exact: true }).waitFor();
  await heading("Application policy").waitFor();
}

export async function drawingAServiceChain() {
  const network = (name, prefix) => create("virtual-network", ["chained", name], { parent_type: "project", network_ipam_refs: subnet(prefix) });
  await made(create("project", ["chained"]), network("left", "10.81.0.0"), network("right", "10.82.0.0"));
  await goTo("Service chains");
  await page.getByText("Choose a project").waitFor();
  await pick("Project", "chained");
  await page.getByText("There is no chain in this project yet.").waitFor();
  await page.getByRole("button", { name: "New chain" }).click();
  await page.getByRole("alert").getByText("Add a service between the networks").waitFor();
  await pick("Left network", "left");
  await pick("Right network", "right");
  await addService("firewall", "in-network", 2);
  await addService("hide", "in-network-nat", 1);
  await page.getByRole("button", { name: "hide to the left" }).press("Enter");
  await page.getByRole("alert").getByText("hide translates addresses: it has to be the last").waitFor();
  check(await page.getByRole("button", { name: "Create chain" }).isDisabled(), "a chain that leads nowhere can be made");
  await page.getByRole("button", { name: "hide to the right" }).press("Enter");
  await page.getByRole("textbox", { name: "Ports" }).fill("80");
  await page.getByRole("button", { name: "Preview" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByText("Derived by the compiler").waitFor();
  await drawer.getByRole("button", { name: "Close" }).click();
  await drawer.waitFor({ state: "hidden" });
  await axe("the chain designer");
  await picture("chain");
  await page.getByRole("button", { name: "Create chain" }).click();
  await page.getByRole("cell", { name: "left → firewall → hide → right", exact: true }).waitFor();
  const policy = await byName("network-policy", "default-domain:chained:left-right");
  const [rule] = policy.network_policy_entries.policy_rule;
  check(rule.action_list.apply_service.join() === "default-domain:chained:firewall,default-domain:chained:hide", JSON.stringify(rule));
  const copies = await api("GET", "/api/v1/virtual-machine-interface?parent=default-domain:chained&filter=port_tuple_refs:exists&count=true");
  check(copies.json.count === 6, `${copies.json.count} ports in place of 6`);
  await changingTheChain();
}

/** By dragging, with the right side allowed to begin no more; then the chain is taken away. */
async function changingTheChain() {
  await page.getByRole("button", { name: "Open chain left → firewall → hide → right" }).click();
  await page.getByRole("button", { name: "Take firewall out" }).click();
  await page.getByRole("button", { name: "Add firewall to the chain" }).dragTo(page.locator(".chain > .carriage").first());
  await page.getByRole("listitem", { name: "Service 1: firewall" }).waitFor();
  await page.getByRole("switch", { name: "The right may begin too" }).click();
  await page.getByRole("button", { name: "Add a copy of firewall" }).click();
  await page.getByRole("button", { name: "Save chain" }).click();
  await page.getByRole("cell", { name: "any 80, the left begins" }).waitFor();
  const tuples = await api("GET", "/api/v1/port-tuple?parent=default-domain:chained:firewall&count=true");
  check(tuples.json.count === 3, `${tuples.json.count} copies in place of 3`);
  await page.getByRole("button", { name: "Open chain left → firewall → hide → right" }).click();
  await page.getByRole("button", { name: "Take the chain away" }).click();
  await page.getByRole("button", { name: "Take out", exact: true }).click();
  await page.getByText("There is no chain in this project yet.").waitFor();
}

async function addService(name, mode, copies) {
  await page.getByRole("button", { name: "New service" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Name" }).fill(name);
  await dialog.getByText(mode, { exact: true }).click();
  await dialog.getByRole("spinbutton", { name: "Copies" }).fill(String(copies));
  if (copies > 1) {
    await dialog.getByText("the first; others stand by").click();
    await axe("a new service");
  }
  await dialog.getByRole("button", { name: "Add to the chain" }).click();
  await dialog.waitFor({ state: "hidden" });
}

export async function planningAndReverting() {
  const name = "default-domain:chained:joined";
  for (const [index, network] of ["one", "two"].entries()) {
    await open("/o/virtual-network/new?parent_type=project&parent=default-domain:chained");
    await page.getByRole("textbox", { name: "Name", exact: true }).fill(network);
    await page.getByRole("button", { name: "Add subnet" }).click();
    await page.getByRole("textbox", { name: "Prefix of subnet 1" }).fill(`10.9${index}.0.0/24`);
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await heading(network).waitFor();
  }
  await open("/o/network-policy/new?parent_type=project&parent=default-domain:chained");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("joined");
  await page.getByRole("button", { name: "Add rule" }).click();
  await page.getByRole("combobox", { name: "Source of rule 1" }).fill("default-domain:chained:one");
  await page.getByRole("combobox", { name: "Destination of rule 1" }).fill("default-domain:chained:two");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("joined").waitFor();
  for (const network of ["one", "two"]) {
    const found = await byName("virtual-network", `default-domain:chained:${network}`);
    await open(`/o/virtual-network/${found.uuid}/edit`);
    await page.getByRole("button", { name: "Add network policy" }).click();
    await pick("Network policy 1", "joined");
    await page.getByRole("button", { name: "Preview" }).click();
    const drawer = page.getByRole("dialog");
    await drawer.getByText("network_policy_refs").first().waitFor();
    if (network === "two") await drawer.getByRole("heading", { name: "Reachability" }).waitFor();
    await drawer.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    await heading(network).waitFor();
  }
  await page.getByText("✓ distributed").waitFor();
  await page.getByRole("tab", { name: "History" }).click();
  await page.getByRole("button", { name: /^Revert/ }).first().click();
  await page.getByRole("button", { name: "Show what would change" }).click();
  await page.getByRole("dialog").getByText("network_policy_refs").first().waitFor();
  await page.getByRole("button", { name: "Revert", exact: true }).click();
  await page.getByRole("button", { name: "Revert", exact: true }).waitFor({ state: "hidden" });
  const after = await byName("virtual-network", "default-domain:chained:two");
  check((after.network_policy_refs ?? []).length === 0, `${name} is still referred to`);
}

export async function fillingTables() {
  await made(create("project", ["tables"]), { op: "create", type: "tag", object: { fq_name: ["site=oslo"], tag_type_name: "site", tag_value: "oslo" } });
  const parent = "?parent_type=project&parent=default-domain:tables";
  await open(`/o/routing-policy/new${parent}`);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("prefer");
  await page.getByText("No terms: routes stay as they are.").waitFor();
  await page.getByRole("button", { name: "Add term" }).click();
  await page.getByRole("textbox", { name: "Prefixes of term 1" }).fill("10.0.0.0/8 longest");
  await page.getByRole("alert").getByText("longest: exact, longer or orlonger").waitFor();
  await page.getByRole("textbox", { name: "Prefixes of term 1" }).fill("10.0.0.0/8 orlonger");
  await page.getByRole("textbox", { name: "Preference := of term 1" }).fill("200");
  await pick("Then of term 1", "accept");
  await pick("Routes from of term 1", "static", /^static$/);
  await page.keyboard.press("Escape");
  await axe("terms as a table");
  await picture("terms");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("prefer").waitFor();
  const { term } = (await byName("routing-policy", "default-domain:tables:prefer")).routing_policy_entries;
  check(term[0].term_match_condition.prefix[0].prefix_type === "orlonger" && term[0].term_action_list.update.local_pref === 200, JSON.stringify(term));
  await open(`/o/service-group/new${parent}`);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("web");
  await page.getByRole("button", { name: "Add service" }).click();
  await page.getByRole("combobox", { name: "Service of service 1" }).fill("tcp 80-90");
  await page.getByText("What every object has").click();
  await pick("Tags", "oslo", "site=oslo (global)");
  await page.keyboard.press("Escape");
  await axe("tags of an object");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("web").waitFor();
  const group = await byName("service-group", "default-domain:tables:web");
  check(group.service_group_firewall_service_list.firewall_service[0].dst_ports.end_port === 90, JSON.stringify(group));
  check(group.tag_refs?.[0]?.to?.[0] === "site=oslo", "the tag is not there");
}
