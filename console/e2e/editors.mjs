// Journeys through the editors that are made by hand.

import { api, axe, check, expecting, goTo, heading, open, page, picture, save } from "./harness.mjs";

/** Has one transaction carried out as the page's user. */
export async function made(...operations) {
  const reply = await api("POST", "/api/v1/transaction", { operations });
  check(reply.status === 200, JSON.stringify(reply).slice(0, 400));
}

export const create = (type, name, object = {}) => ({ op: "create", type, object: { fq_name: ["default-domain", ...name], ...object } });
export const subnet = (ip_prefix, ip_prefix_len = 24) => [{ to: ["default-domain", "default-project", "default-network-ipam"], attr: { ipam_subnets: [{ subnet: { ip_prefix, ip_prefix_len } }] } }];
export const byName = async (type, name) => (await api("GET", `/api/v1/${type}/by-name/${name}`)).json;

export async function pick(label, text, option = text) {
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
  await made(create("project", ["chained"]), network("left", "10.81.0.0"), network("right", "10.82.0.0"), create("security-group", ["chained", "passing"], { parent_type: "project" }));
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
  const grouped = await api("GET", "/api/v1/virtual-machine-interface?parent=default-domain:chained&filter=security_group_refs:eq:default-domain:chained:passing&count=true");
  check(grouped.json.count === 4, `${grouped.json.count} ports of the group in place of 4`);
  await derivedWhole("network-policy", policy.uuid);
  await changingTheChain();
}

/** Waits until the compiler has written all that follows from an object; fails with what it could not carry out. */
async function derivedWhole(type, uuid) {
  for (let tries = 0; tries < 50; tries += 1) {
    const { json } = await api("GET", `/api/v1/${type}/${uuid}/status`);
    const derived = json.conditions.find((each) => each.type === "derived");
    if (derived.status === "true") return;
    const isUnderWay = derived.status === "unknown" || derived.reason === "pending";
    check(isUnderWay, JSON.stringify(derived));
    await page.waitForTimeout(200);
  }
  check(false, "nothing is derived");
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
  const grouped = await api("GET", "/api/v1/virtual-machine-interface?parent=default-domain:chained&filter=security_group_refs:eq:default-domain:chained:passing&count=true");
  check(grouped.json.count === 6, "a copy lets in what the others of its service do not");
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
    await pick("Security groups", "passing");
    await page.keyboard.press("Escape");
    await dialog.getByRole("textbox", { name: "Name" }).waitFor();
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
    await pick("Policy of network policy 1", "joined");
    await page.getByRole("button", { name: "Preview" }).click();
    const drawer = page.getByRole("dialog");
    await drawer.getByText("+ default-domain:chained:joined").first().waitFor();
    if (network === "two") await drawer.getByRole("heading", { name: "Reachability" }).waitFor();
    await drawer.getByRole("button", { name: "Close" }).click();
    await save(network);
  }
  await page.getByText("✓ distributed").waitFor();
  await page.getByRole("tab", { name: "History" }).click();
  await page.getByRole("button", { name: /^Revert/ }).first().click();
  await page.getByRole("button", { name: "Show what would change" }).click();
  await page.getByRole("dialog").getByText("− default-domain:chained:joined").first().waitFor();
  await page.getByRole("button", { name: "Revert", exact: true }).click();
  await page.getByRole("button", { name: "Revert", exact: true }).waitFor({ state: "hidden" });
  const after = await byName("virtual-network", "default-domain:chained:two");
  check((after.network_policy_refs ?? []).length === 0, `${name} is still referred to`);
}

/** On a network: the second policy before the first. */
async function orderingPolicies(parent) {
  await made(create("routing-policy", ["tables", "avoid"], { parent_type: "project" }));
  await open(`/o/virtual-network/new${parent}`);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("ruled");
  for (const [index, policy] of ["prefer", "avoid"].entries()) {
    await page.getByRole("button", { name: "Add routing policy" }).click();
    await pick(`Policy of routing policy ${index + 1}`, policy);
  }
  await page.getByRole("button", { name: "Routing policy 2 up" }).click();
  await axe("policies in order");
  await picture("policy-order");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("ruled").waitFor();
  const { uuid, routing_policy_refs: refs } = await byName("virtual-network", "default-domain:tables:ruled");
  check(refs.map((each) => `${each.to.at(-1)} ${each.attr.sequence}`).toSorted().join() === "avoid 1.0,prefer 2.0", JSON.stringify(refs));
  await derivedWhole("virtual-network", uuid);
  const told = await byName("routing-policy", "default-domain:tables:prefer");
  check(told.routing_instance_refs[0].attr.sequence === "2.0", JSON.stringify(told));
}

async function addingRoutes(parent) {
  await open(`/o/route-table/new${parent}`);
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("branches");
  await page.getByRole("button", { name: "Add route" }).click();
  await page.getByRole("textbox", { name: "Prefix of route 1" }).fill("10.40.0.0");
  await page.getByRole("alert").getByText("a prefix such as").waitFor();
  await page.getByRole("textbox", { name: "Prefix of route 1" }).fill("10.40.0.0/16");
  await page.getByRole("textbox", { name: "Next hop of route 1" }).fill("fd00::9");
  await page.getByRole("alert").getByText("the prefix is of the other address family").waitFor();
  await page.getByRole("textbox", { name: "Next hop of route 1" }).fill("10.63.0.9");
  await page.getByRole("textbox", { name: "Communities of route 1" }).fill("64512:7, no-exprot");
  await page.getByRole("alert").getByText("no-exprot: a community").waitFor();
  check(await page.getByRole("button", { name: "Preview" }).isDisabled(), "a route with a community that is none can be planned");
  await page.getByRole("textbox", { name: "Communities of route 1" }).fill("64512:7, no-export");
  await axe("static routes");
  await picture("routes");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("branches").waitFor();
  const { routes } = await byName("route-table", "default-domain:tables:branches");
  check(routes.route[0].community_attributes.community_attribute.join() === "64512:7,no-export" && routes.route[0].next_hop === "10.63.0.9", JSON.stringify(routes));
}

export async function fillingTables() {
  await made(create("project", ["tables"]), { op: "create", type: "tag", object: { fq_name: ["site=oslo"], tag_type_name: "site", tag_value: "oslo" } });
  await made(create("interface-route-table", ["tables", "behind"], { parent_type: "project", interface_route_table_routes: { route: [{ prefix: "172.20.0.0/16" }] } }));
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
  await page.getByRole("button", { name: "More of term 1" }).click();
  await page.getByRole("textbox", { name: "Extended ones added of term 1" }).fill("target:64512");
  await page.getByRole("alert").getByText("target:64512: such as").waitFor();
  check(await page.getByRole("button", { name: "Preview" }).isDisabled(), "a community that is none can be planned");
  await page.getByRole("textbox", { name: "Extended ones added of term 1" }).fill("target:64512:7");
  await page.getByRole("textbox", { name: "AS numbers put in front of term 1" }).fill("64512, 64512");
  await pick("Of the communities of term 1", "all");
  await page.getByRole("textbox", { name: "Communities of term 1", exact: true }).fill("64512:1, 64512:.*");
  await page.getByRole("textbox", { name: "Prefixes with lengths of term 1" }).fill("10.0.0.0/8 upto 16");
  await page.getByRole("alert").getByText("after upto comes a length such as /16").waitFor();
  await page.getByRole("textbox", { name: "Prefixes with lengths of term 1" }).fill("10.0.0.0/8 upto /16");
  await pick("Prefixes of interface route tables of term 1", "behind");
  await page.keyboard.press("Escape");
  await pick("Of these tables also of term 1", "orlonger");
  await axe("terms as a table");
  await picture("terms");
  await page.getByRole("button", { name: "Less of term 1" }).click();
  await page.getByText("as numbers put in front 64512, 64512").waitFor();
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("prefer").waitFor();
  const { term } = (await byName("routing-policy", "default-domain:tables:prefer")).routing_policy_entries;
  check(term[0].term_match_condition.prefix[0].prefix_type === "orlonger" && term[0].term_action_list.update.local_pref === 200, JSON.stringify(term));
  check(term[0].term_match_condition.community_match_all === true && term[0].term_action_list.update.as_path.expand.asn_list.join() === "64512,64512", JSON.stringify(term));
  const { prefix_list: lists, route_filter: filter } = term[0].term_match_condition;
  check(lists[0].interface_route_table_uuid.length === 1 && lists[0].prefix_type === "orlonger" && filter.route_filter_properties[0].route_type_value === "/16", JSON.stringify(term));
  await orderingPolicies(parent);
  await addingRoutes(parent);
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

export async function countingWhatThereIs() {
  expecting(412);
  const pools = [{ start: "10.70.0.10", end: "10.70.0.19" }];
  const refs = [{ to: ["default-domain", "default-project", "default-network-ipam"], attr: { ipam_subnets: [{ subnet: { ip_prefix: "10.70.0.0", ip_prefix_len: 24 }, allocation_pools: pools }] } }];
  const address = { fq_name: ["kept-1"], virtual_network_refs: [{ to: ["default-domain", "kept", "office"] }], virtual_machine_interface_refs: [{ to: ["default-domain", "kept", "desk"] }] };
  await made(
    create("project", ["kept"]),
    create("project", ["guest"]),
    create("virtual-network", ["kept", "office"], { parent_type: "project", network_ipam_refs: refs }),
    create("virtual-machine-interface", ["kept", "desk"], { parent_type: "project", virtual_network_refs: [{ to: ["default-domain", "kept", "office"] }] }),
    { op: "create", type: "instance-ip", object: address },
  );
  const network = await byName("virtual-network", "default-domain:kept:office");
  await open(`/o/virtual-network/${network.uuid}?tab=addresses`);
  await page.getByRole("cell", { name: /^\d+ of 10$/ }).waitFor();
  await page.getByRole("link", { name: /^10\.70\.0\.1\d$/ }).waitFor();
  await axe("addresses in use");
  await picture("addresses");
  await sharing(network);
  const project = await byName("project", "default-domain:kept");
  await open(`/o/project/${project.uuid}?tab=quota`);
  await page.getByRole("textbox", { name: "Limit of Virtual network" }).fill("x");
  check(await page.getByRole("button", { name: "Save limits" }).isDisabled(), "a limit that is no number can be saved");
  await page.getByRole("textbox", { name: "Limit of Virtual network" }).fill("1");
  await page.getByText("1 of 1").waitFor();
  await axe("a quota");
  await picture("quota");
  await page.getByRole("button", { name: "Save limits" }).click();
  await page.getByText("Saved", { exact: true }).waitFor();
  const more = await api("POST", "/api/v1/virtual-network", { fq_name: ["default-domain", "kept", "more"], parent_type: "project" });
  check(more.status === 412, `the limit does not hold: ${more.status}`);
}

async function sharing(network) {
  await page.getByRole("tab", { name: "Access" }).click();
  await pick("Project to share with", "guest");
  await page.getByRole("checkbox", { name: "default-domain › guest may change" }).check();
  await axe("who may do what with an object");
  await page.getByRole("button", { name: "Save access" }).click();
  await page.getByText("Saved", { exact: true }).waitFor();
  const { perms2 } = await byName("virtual-network", network.fq_name.join(":"));
  check(perms2.share.length === 1 && perms2.share[0].tenant_access === 7, JSON.stringify(perms2));
}

export async function namingInDns() {
  await open("/o/virtual-DNS/new?parent_type=domain&parent=default-domain");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("zone");
  await page.getByRole("textbox", { name: "Domain", exact: true }).fill("no zone");
  await page.getByRole("alert").getByText("a name such as example.net").waitFor();
  await page.getByRole("textbox", { name: "Domain", exact: true }).fill("shop.example.net");
  await page.getByRole("combobox", { name: "Asked when it knows none" }).fill("192.0.2.53");
  await page.keyboard.press("Tab");
  await pick("Names of addresses (reverse)", "yes");
  await axe("a DNS server");
  await picture("dns-server");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("zone").waitFor();
  const zone = await byName("virtual-DNS", "default-domain:zone");
  check(zone.virtual_DNS_data.reverse_resolution === true && zone.virtual_DNS_data.next_virtual_DNS === "192.0.2.53", JSON.stringify(zone));
  await made(create("virtual-DNS", ["names"], { virtual_DNS_data: { domain_name: "example.net", record_order: "random", default_ttl_seconds: 300 } }));
  const server = await byName("virtual-DNS", "default-domain:names");
  await open(`/o/virtual-DNS/${server.uuid}?tab=records`);
  await page.getByText("No records of its own yet.").waitFor();
  await page.getByRole("textbox", { name: "Name of the new record" }).fill("www");
  await page.getByRole("textbox", { name: "What the new record leads to" }).fill("2001:db8::7");
  await page.getByRole("alert").getByText("an A record leads to an IPv4 address").waitFor();
  await page.getByRole("textbox", { name: "What the new record leads to" }).fill("192.0.2.7");
  await page.keyboard.press("Enter");
  await page.getByRole("cell", { name: "192.0.2.7" }).waitFor();
  await axe("records of a server");
  const record = await byName("virtual-DNS-record", "default-domain:names:www-A");
  check(record.virtual_DNS_record_data.record_data === "192.0.2.7", JSON.stringify(record));
  // Wherever it is edited, it is in its server's table.
  await open(`/o/virtual-DNS-record/${record.uuid}/edit`);
  await page.getByRole("textbox", { name: "What record www leads to" }).fill("nowhere");
  await page.getByRole("alert").getByText("an A record leads to an IPv4 address").waitFor();
  await axe("a record that is edited");
  await page.getByRole("textbox", { name: "What record www leads to" }).fill("192.0.2.8");
  await page.getByRole("button", { name: "Save record" }).click();
  await page.getByRole("cell", { name: "192.0.2.8" }).waitFor();
  await page.getByRole("button", { name: "Edit record www" }).click();
  await page.getByRole("link", { name: "All members" }).click();
  await page.locator('form[data-type="virtual-DNS-record"]').waitFor();
  await open(`/o/virtual-DNS/${server.uuid}?tab=records`);
  await page.getByRole("button", { name: "Remove record www" }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByText("No records of its own yet.").waitFor();
}

export async function lettingUsersIn() {
  expecting(400);
  await goTo("Users");
  await page.getByRole("button", { name: "New user" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: "Name" }).fill("eve");
  await dialog.getByRole("textbox", { name: "Password" }).fill("short");
  await pick("Project", "kept");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.getByRole("alert").getByText("password: shorter than").waitFor();
  await axe("a new user");
  await dialog.getByRole("textbox", { name: "Password" }).fill("long enough for anybody");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.getByRole("row", { name: /eve member default-domain › kept/ }).waitFor();
  await axe("the users");
  await picture("users");
  await page.getByRole("button", { name: "Remove eve" }).click();
  await page.getByRole("button", { name: "Remove", exact: true }).click();
  await page.getByRole("cell", { name: "eve", exact: true }).waitFor({ state: "detached" });
}

export async function learningFromAnEmptyList() {
  await open("/o/bgp-as-a-service");
  await page.getByText("A workload announces its own routes by BGP to its gateway").waitFor();
  await axe("an empty list");
}

export async function peeringRouters() {
  const place = ["default-project", "ip-fabric", "__default__"];
  const router = (name, address, asn) => create("bgp-router", [...place, name], { bgp_router_parameters: { router_type: "router", vendor: "x", autonomous_system: asn, address, identifier: address } });
  await made(router("spine1", "192.0.2.11", 64_600), router("spine2", "192.0.2.12", 64_601));
  const found = await byName("bgp-router", ["default-domain", ...place, "spine1"].join(":"));
  await open(`/o/bgp-router/${found.uuid}/edit`);
  await page.getByText("No peers of its own").waitFor();
  await page.getByRole("button", { name: "Add peer" }).click();
  await pick("Router of peer 1", "spine2");
  await page.getByRole("textbox", { name: "Hold time of peer 1" }).fill("30");
  await page.getByRole("textbox", { name: "New key of peer 1" }).fill("between us");
  await axe("BGP peers");
  await picture("peers");
  await save("spine1");
  const { bgp_router_refs: refs } = await byName("bgp-router", ["default-domain", ...place, "spine1"].join(":"));
  const [attributes] = refs[0].attr.session[0].attributes;
  check(attributes.hold_time === 30 && attributes.auth_data.key_items[0].key === "between us", JSON.stringify(refs));
  await open(`/o/bgp-router/${found.uuid}/edit`);
  const key = page.getByRole("textbox", { name: "New key of peer 1" });
  check((await key.inputValue()) === "" && (await key.getAttribute("placeholder")) === "set", "a key is shown");
}
