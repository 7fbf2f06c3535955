// Journeys through what networks share: addresses, routers, floating addresses.

import { byName, create, made, pick, subnet } from "./editors.mjs";
import { api, axe, check, goTo, heading, page, picture } from "./harness.mjs";

const network = (project, name, refs) => create("virtual-network", [project, name], { parent_type: "project", network_ipam_refs: refs });
const port = (project, name, of) => create("virtual-machine-interface", [project, name], { parent_type: "project", virtual_network_refs: [{ to: ["default-domain", project, of] }] });
const address = (name, project, of, vmi, more = {}) => ({
  op: "create", type: "instance-ip",
  object: { fq_name: [name], virtual_network_refs: [{ to: ["default-domain", project, of] }], ...(vmi === "" ? {} : { virtual_machine_interface_refs: [{ to: ["default-domain", project, vmi] }] }), ...more },
});

export async function seeingHowFullSubnetsAre() {
  const shared = { ipam_subnet_method: "flat-subnet", ipam_subnets: { subnets: [{ subnet: { ip_prefix: "10.66.0.0", ip_prefix_len: 24 } }] } };
  await made(
    create("project", ["used"]),
    create("network-ipam", ["used", "shared-pool"], { parent_type: "project", ...shared }),
    network("used", "small", subnet("10.65.0.0", 29)),
    create("virtual-network", ["used", "flat-one"], { parent_type: "project", network_ipam_refs: [{ to: ["default-domain", "used", "shared-pool"], attr: {} }], virtual_network_properties: { forwarding_mode: "l3" } }),
    port("used", "till", "small"),
    port("used", "scale", "flat-one"),
    ...["a", "b", "c"].map((each) => address(`used-${each}`, "used", "small", each === "a" ? "till" : "")),
    address("used-flat", "used", "flat-one", "scale"),
    create("floating-ip-pool", ["used", "small", "outside"], { parent_type: "virtual-network" }),
    create("floating-ip", ["used", "small", "outside", "f1"], { parent_type: "floating-ip-pool", project_refs: [{ to: ["default-domain", "used"] }] }),
  );
  await goTo("Address use");
  await page.getByText("100 %").first().waitFor();
  const shares = await page.getByRole("row").getByRole("meter").evaluateAll((meters) => meters.map((each) => Number(each.getAttribute("value"))));
  check(shares[0] === 100 && shares.join() === shares.toSorted((one, other) => other - one).join(), `shares are ${shares.join()}`);
  await page.getByRole("textbox", { name: "Networks or IPAMs by a part of their full name" }).fill("used");
  const small = page.getByRole("row").filter({ has: page.getByRole("link", { name: "10.65.0.0/29", exact: true }) });
  await small.getByText("4 of 4").waitFor();
  await small.getByText("100 %").waitFor();
  const flat = page.getByRole("row").filter({ has: page.getByRole("link", { name: "10.66.0.0/24", exact: true }) });
  await flat.getByText("1 of 252").waitFor();
  await flat.getByText("flat IPAM shared-pool").waitFor();
  await axe("how full subnets are");
  await small.getByRole("link", { name: "10.65.0.0/29" }).click();
  const held = page.getByRole("grid", { name: "Addresses in use" });
  await held.getByRole("link", { name: "till", exact: true }).waitFor();
  await held.getByText("floating", { exact: true }).waitFor();
  await held.getByText("gateway", { exact: true }).waitFor();
  check((await held.getByRole("row").count()) === 7, `${await held.getByRole("row").count()} rows`);
  await axe("who has which address");
  await picture("address-use");
  // What somebody else does to the subnet shows in the list of its addresses.
  const spare = (await api("GET", "/api/v1/instance-ip/by-name/used-c")).json;
  await api("DELETE", `/api/v1/instance-ip/${spare.uuid}`);
  await held.getByRole("link", { name: spare.instance_ip_address, exact: true }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Count again" }).click();
  await small.getByText("3 of 4").waitFor();
  await flat.getByRole("link", { name: "10.66.0.0/24" }).click();
  await held.getByRole("link", { name: "scale", exact: true }).waitFor();
  await heading("Address use").waitFor();
}

export async function joiningNetworksByARouter() {
  const host = { op: "create", type: "virtual-router", object: { fq_name: ["default-global-system-config", "rack1"], virtual_router_ip_address: "192.0.2.77" } };
  const machine = { op: "create", type: "virtual-machine", object: { fq_name: ["routed-machine"] } };
  const plugged = port("routed", "plugged", "shop-floor");
  const routes = { route: [{ prefix: "172.20.0.0/16", next_hop: "10.63.0.9", next_hop_type: "ip-address" }] };
  await made(
    create("project", ["routed"]), host, machine,
    network("routed", "shop-floor", subnet("10.63.0.0")),
    network("routed", "stores", subnet("10.64.0.0")),
    create("virtual-network", ["routed", "street"], { parent_type: "project", network_ipam_refs: subnet("203.0.113.0"), router_external: true }),
    { ...plugged, object: { ...plugged.object, virtual_machine_refs: [{ to: ["routed-machine"] }] } },
    create("route-table", ["routed", "branches"], { parent_type: "project", routes }),
  );
  await goTo("Routers");
  await page.getByText("Choose a project: its routers").waitFor();
  await pick("Project", "routed");
  await page.getByText("There is no router in this project yet.").waitFor();
  await page.getByRole("button", { name: "New router" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("front-door");
  await pick("Networks that it joins", "shop-floor");
  await pick("Networks that it joins", "stores");
  await page.keyboard.press("Escape");
  await pick("Network outside", "street");
  await pick("Static routes of", "branches");
  await page.keyboard.press("Escape");
  await page.getByText("172.20.0.0/16 → 10.63.0.9").waitFor();
  await axe("a new router");
  await page.getByRole("button", { name: "Preview" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByText("default-domain:routed:front-door").first().waitFor();
  await drawer.getByRole("button", { name: "Close" }).click();
  await drawer.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Create router" }).click();
  await page.getByRole("cell", { name: "shop-floor, stores", exact: true }).waitFor();
  const first = await byName("logical-router", "default-domain:routed:front-door");
  check(first.virtual_machine_interface_refs.length === 2 && first.virtual_network_refs[0].to.at(-1) === "street" && first.route_table_refs.length === 1, JSON.stringify(first));
  await page.getByRole("button", { name: "Open router front-door" }).click();
  const ways = page.getByRole("list", { name: "Addresses by which workloads leave" });
  await ways.getByRole("link", { name: /^203\.0\.113\.\d+$/ }).waitFor();
  await ways.getByRole("link", { name: "rack1" }).waitFor();
  await axe("a router");
  await picture("router");
  await changingTheRouter();
  const rack = await byName("virtual-router", "default-global-system-config:rack1");
  await api("DELETE", `/api/v1/virtual-router/${rack.uuid}?cascade=true`);
}

async function changingTheRouter() {
  await page.locator(".ant-select-selection-item, .ant-select-content-item").filter({ hasText: "stores" }).getByLabel(/close/i).click();
  await page.getByRole("button", { name: "Save router" }).click();
  await page.getByRole("cell", { name: "shop-floor", exact: true }).waitFor();
  const ports = await api("GET", "/api/v1/virtual-machine-interface?parent=default-domain:routed&filter=virtual_network_refs:eq:default-domain:routed:stores&count=true");
  check(ports.json.count === 0, "the router's port outlives its way to the network");
  await page.getByRole("button", { name: "Open router front-door" }).click();
  await page.getByRole("button", { name: "Delete router" }).click();
  await page.getByRole("button", { name: "Delete it" }).click();
  await page.getByText("There is no router in this project yet.").waitFor();
  const left = await api("GET", "/api/v1/virtual-machine-interface?parent=default-domain:routed&filter=virtual_machine_interface_device_owner:eq:network:router_interface&count=true");
  check(left.json.count === 0, "ports of the router are left");
}

export async function leadingFloatingAddresses() {
  await made(
    create("project", ["reached"]),
    network("reached", "inside", subnet("10.62.0.0")),
    create("virtual-network", ["reached", "town"], { parent_type: "project", network_ipam_refs: subnet("198.51.100.0"), router_external: true }),
    create("floating-ip-pool", ["reached", "town", "public"], { parent_type: "virtual-network" }),
    port("reached", "counter", "inside"),
    port("reached", "spare", "inside"),
    address("counter-1", "reached", "inside", "counter"),
  );
  await goTo("Floating IPs");
  await page.getByText("Choose a project: the addresses").waitFor();
  await pick("Project", "reached");
  await page.getByText("The project has no floating address yet.").waitFor();
  await page.getByRole("button", { name: "Take an address" }).click();
  await page.getByRole("alert").getByText("Choose the pool that the address is of").waitFor();
  await pick("Pool", "public", "reached › town › public");
  await pick("Ports", "counter");
  await pick("Ports", "spare");
  await page.keyboard.press("Escape");
  await page.getByText("Connections from outside are shared out among them").waitFor();
  await page.getByRole("switch", { name: "Only some ports" }).click();
  await page.getByRole("button", { name: "Add mapping" }).click();
  await page.getByRole("textbox", { name: "Port outside of mapping 1" }).fill("80");
  await page.getByRole("alert").getByText("Each mapping has a port outside").waitFor();
  check(await page.getByRole("button", { name: "Take it" }).isDisabled(), "half a mapping can be saved");
  await page.getByRole("textbox", { name: "Port of the workload of mapping 1" }).fill("8080");
  await axe("a new floating address");
  await page.getByRole("button", { name: "Preview" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByText("8080").first().waitFor();
  await drawer.getByRole("button", { name: "Close" }).click();
  await drawer.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Take it" }).click();
  await page.getByRole("cell", { name: "TCP 80 → 8080", exact: true }).waitFor();
  await page.getByRole("button", { name: /^Open 198\.51\.100\./ }).click();
  await page.getByText("in only", { exact: true }).click();
  await axe("a floating address");
  await picture("floating");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("cell", { name: "in only", exact: true }).waitFor();
  const [{ uuid }] = (await api("GET", "/api/v1/floating-ip?parent=default-domain:reached:town:public")).json.items;
  const taken = (await api("GET", `/api/v1/floating-ip/${uuid}`)).json;
  const ports = taken.virtual_machine_interface_refs.map((each) => each.to.at(-1)).toSorted();
  check(taken.floating_ip_traffic_direction === "ingress" && ports.join() === "counter,spare" && taken.floating_ip_port_mappings.port_mappings[0].dst_port === 8080, JSON.stringify(taken));
  await lettingTheAddressGo(uuid);
}

async function lettingTheAddressGo(uuid) {
  await page.getByRole("button", { name: /^Open 198\.51\.100\./ }).click();
  for (const name of ["counter", "spare"]) {
    await page.locator(".ant-select-selection-item, .ant-select-content-item").filter({ hasText: name }).getByLabel(/close/i).click();
  }
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("cell", { name: "none", exact: true }).waitFor();
  const free = (await api("GET", `/api/v1/floating-ip/${uuid}`)).json;
  check((free.virtual_machine_interface_refs ?? []).length === 0, JSON.stringify(free));
  await page.getByRole("button", { name: /^Open 198\.51\.100\./ }).click();
  await page.getByRole("button", { name: "Release" }).click();
  await page.getByRole("button", { name: "Give it back" }).click();
  await page.getByText("The project has no floating address yet.").waitFor();
}

export async function pluggingPorts() {
  await made(
    create("project", ["plugged"]),
    network("plugged", "shop", subnet("10.67.0.0")),
    create("security-group", ["plugged", "web"], { parent_type: "project" }),
    create("interface-route-table", ["plugged", "behind"], { parent_type: "project", interface_route_table_routes: { route: [{ prefix: "172.21.0.0/16" }] } }),
  );
  await goTo("Ports");
  await page.getByText("Choose a project: its ports").waitFor();
  await pick("Project", "plugged");
  await page.getByText("There is no port in this project yet.").waitFor();
  await page.getByRole("button", { name: "New port" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("till");
  await pick("Network", "shop");
  await page.getByRole("button", { name: "Add address" }).click();
  await page.getByRole("combobox", { name: "Address 2", exact: true }).fill("10.67.0");
  await page.getByRole("alert").getByText("10.67.0: an address of the network").waitFor();
  check(await page.getByRole("button", { name: "Create port" }).isDisabled(), "a port with an address that is none can be made");
  await page.getByRole("combobox", { name: "Address 2", exact: true }).fill("10.67.0.77");
  await page.keyboard.press("Tab");
  await pick("Security groups", "web");
  await page.keyboard.press("Escape");
  await pick("Prefixes behind it, of", "behind");
  await page.keyboard.press("Escape");
  await axe("a new port");
  await picture("port");
  await page.getByRole("tab", { name: "Further addresses" }).click();
  await page.getByRole("button", { name: "Add pair" }).click();
  await page.getByRole("textbox", { name: "Address or prefix of pair 1" }).fill("10.67.0.100");
  await pick("Who has it of pair 1", "active-standby");
  await axe("address pairs");
  await page.getByRole("tab", { name: "Merged flows" }).click();
  await page.getByRole("button", { name: "Add rule" }).click();
  await page.getByRole("combobox", { name: "Protocol of rule 1" }).fill("udp");
  await page.keyboard.press("Tab");
  await page.getByRole("textbox", { name: "Port of rule 1" }).fill("53");
  await axe("merged flows");
  await picture("port-flows");
  await page.getByRole("tab", { name: "Mirroring" }).click();
  await page.getByText("both", { exact: true }).click();
  await page.getByRole("alert").getByText("name the analyzer, or its address").waitFor();
  await page.getByRole("combobox", { name: "Analyzer" }).fill("tap");
  await page.keyboard.press("Tab");
  await page.getByRole("textbox", { name: "Its address" }).fill("192.0.2.99");
  await axe("mirroring of a port");
  await page.getByRole("button", { name: "Preview" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByText("default-domain:plugged:till").first().waitFor();
  await drawer.getByRole("button", { name: "Close" }).click();
  await drawer.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Create port" }).click();
  await page.getByRole("cell", { name: /^10\.67\.0\.\d+, 10\.67\.0\.77$/ }).waitFor();
  await page.getByRole("cell", { name: "further addresses, merged flows, mirrored, routes of behind" }).waitFor();
  await picture("ports");
  const plugged = await byName("virtual-machine-interface", "default-domain:plugged:till");
  check(plugged.virtual_machine_interface_allowed_address_pairs.allowed_address_pair[0].ip.ip_prefix_len === 32 && plugged.virtual_machine_interface_fat_flow_protocols.fat_flow_protocol[0].port === 53 && plugged.virtual_machine_interface_properties.interface_mirror.mirror_to.analyzer_ip_address === "192.0.2.99" && plugged.security_group_refs[0].to.at(-1) === "web", JSON.stringify(plugged));
  await changingThePort(plugged.uuid);
}

async function changingThePort(uuid) {
  await page.getByRole("button", { name: "Open port till" }).click();
  await page.getByRole("button", { name: "Remove address 2" }).click();
  await page.getByRole("tab", { name: "Mirroring" }).click();
  await page.getByText("nothing", { exact: true }).click();
  await page.getByRole("button", { name: "Save port" }).click();
  await page.getByRole("cell", { name: /^10\.67\.0\.\d+$/ }).waitFor();
  await page.getByRole("cell", { name: "further addresses, merged flows, routes of behind" }).waitFor();
  const plugged = (await api("GET", `/api/v1/virtual-machine-interface/${uuid}`)).json;
  check(plugged.virtual_machine_interface_properties?.interface_mirror === undefined, JSON.stringify(plugged));
  await page.getByRole("button", { name: "Open port till" }).click();
  await page.getByRole("button", { name: "Delete port" }).click();
  await page.getByRole("button", { name: "Delete it" }).click();
  await page.getByText("There is no port in this project yet.").waitFor();
  const left = await api("GET", "/api/v1/instance-ip?filter=virtual_network_refs:eq:default-domain:plugged:shop&count=true");
  check(left.json.count === 0, `${left.json.count} addresses outlive the port`);
}
