// Journeys through the console in a real browser, against a real controller with log-in.
//
// Usage: CONSOLE_URL=... CONSOLE_PASSWORD=... node journeys.mjs    (tests/system/test_console.py)
// Prints one JSON line per journey: {"name","ok","detail"}. PICTURES=folder keeps pictures for the documents, JOURNEYS=a,b goes these alone.

import { readFile } from "node:fs/promises";

import { countingWhatThereIs, decidingByTags, drawingAServiceChain, fillingTables, learningFromAnEmptyList, lettingUsersIn, namingInDns, peeringRouters, planningAndReverting } from "./editors.mjs";
import { api, axe, check, choose, errors, expecting, go, goTo, heading, open, outside, page, PASSWORD, picture, row, save, withoutHistory } from "./harness.mjs";
import { findingWhatFailed } from "./lists.mjs";
import { joiningNetworksByARouter, leadingFloatingAddresses, pluggingPorts, seeingHowFullSubnetsAre } from "./networks.mjs";
import { workingByKeyboardAlone } from "./keyboard.mjs";
import { seeingOnlyOnesOwnAsAMember, walkingEverywhereInBothColours } from "./walk.mjs";
import { keepingTenTabsLiveByOneStream } from "./tabs.mjs";

const MANY = 3000;

async function loggingIn() {
  expecting(401);
  await open("/o/project");
  await page.getByRole("textbox", { name: "User" }).fill("admin");
  await page.getByLabel("Password", { exact: true }).last().fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").getByText("Unknown user or wrong password").waitFor();
  await axe("the log-in");
  await page.getByLabel("Password", { exact: true }).last().fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await heading("Projects").waitFor();
  await row("default-project").waitFor();
  check(await page.evaluate(() => document.cookie === ""), "the token is in a cookie");
}

async function beginningEmpty() {
  expecting(404);
  await open("/");
  await page.getByText("There are no ports yet.").waitFor();
  await goTo("Topology");
  await page.getByText("There are no networks here yet.").waitFor();
  await axe("an empty topology");
  await goTo("Path trace");
  await page.getByText("Choose two ports above.").waitFor();
  await goTo("Logs and flows");
  await page.getByText("No history is kept").waitFor();
}

async function takingFirstSteps() {
  // This server keeps no history: the pictures are without traffic.
  expecting(404);
  await goTo("First steps");
  await page.getByRole("button", { name: "Build it" }).click();
  await page.getByText("Built", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Take it away again" }).waitFor();
  await axe("the first steps");
  await picture("guide");
  await goTo("Topology");
  await page.getByRole("button", { name: /^default-domain:red:front/ }).getByText("1 port").waitFor();
  await page.getByRole("button", { name: "Policy front-back between back and front" }).press("Enter");
  await page.getByRole("complementary", { name: "Chosen" }).getByText("some passes").waitFor();
  await axe("the topology");
  await picture("topology");
}

async function editingRulesAsATable() {
  await page.getByRole("link", { name: "Edit its rules" }).click();
  const ports = page.getByRole("textbox", { name: "Destination ports of rule 1" });
  await ports.fill("22-");
  await page.getByRole("alert").getByText("a whole number is expected").waitFor();
  check(await page.getByRole("button", { name: "Preview" }).isDisabled(), "ports that are none can be previewed");
  await ports.fill("22-23");
  await page.getByRole("button", { name: "Add rule" }).click();
  await page.getByRole("button", { name: "Rule 3 up" }).click();
  await axe("rules as a table");
  await picture("rules");
  await page.getByRole("button", { name: "Remove rule 2" }).click();
  await save("front-back");
  await page.getByRole("table", { name: "Rules" }).getByRole("cell", { name: "22-23", exact: true }).waitFor();
  await axe("rules to be read");
  const { json } = await api("GET", "/api/v1/network-policy/by-name/default-domain:red:front-back");
  const [first, second, ...more] = json.network_policy_entries.policy_rule;
  check(more.length === 0 && second.action_list.simple_action === "pass", "the other rule is not as it was");
  check(first.dst_ports[0].start_port === 22 && first.dst_ports[0].end_port === 23, "the ports are not what was typed");
  await page.getByRole("tab", { name: "History" }).click();
  await page.getByText(/^− .*, dst ports 23, action list deny$/).waitFor();
  await page.getByText(/^\+ .*, dst ports 22-23, action list deny$/).waitFor();
  await axe("what of a list was changed");
}

async function tracingWithoutAgents() {
  expecting(503);
  await goTo("Path trace");
  await page.getByRole("combobox", { name: "From", exact: true }).fill("app");
  await page.locator(".ant-select-dropdown:visible .ant-select-item-option").filter({ hasText: "app" }).click();
  await page.getByRole("combobox", { name: "To", exact: true }).fill("default-domain:red:web1");
  await page.getByRole("button", { name: "Trace" }).click();
  await page.getByRole("alert").getByText("No agent answers").waitFor();
  check(page.url().includes("from=default-domain%3Ared%3Aapp"), "the address does not hold the question");
  await axe("a trace");
}

async function beingAPlainMember() {
  expecting(403, 404);
  const list = await api("GET", "/api/v1/api-access-list/by-name/default-global-system-config:default-api-access-list");
  const rule = { rule_object: "*", rule_field: "", rule_perms: [{ role_name: "member", role_crud: "CRUD" }] };
  const rules = [...(list.json.api_access_list_entries?.rbac_rule ?? []), rule];
  await api("PATCH", `/api/v1/api-access-list/${list.json.uuid}`, { api_access_list_entries: { rbac_rule: rules } });
  const made = await api("POST", "/api/v1/users", { name: "ann", password: "a long enough word", roles: ["member"], project: "default-domain:red" });
  check(made.status < 300, JSON.stringify(made));
  const admin = await page.evaluate(() => sessionStorage.getItem("skytrail.token"));
  const login = await api("POST", "/api/v1/login", { user: "ann", password: "a long enough word" });
  await page.evaluate((token) => sessionStorage.setItem("skytrail.token", token), login.json.token);
  await open("/topology");
  await page.getByRole("button", { name: /^default-domain:red:front/ }).waitFor();
  check((await page.getByRole("button", { name: /^default-domain:blue/ }).count()) === 0, "a member sees another project's networks");
  await axe("a member's topology");
  await goTo("Dashboard");
  await page.getByText("Analytics is for administrators and global readers.").first().waitFor();
  for (const title of ["Infrastructure", "Monitor"]) {
    await goTo(title);
    await page.getByText("Analytics is for administrators and global readers.").first().waitFor();
  }
  // Of its own project a member sees alarms and numbers; this server keeps none of these.
  await goTo("Alarms");
  await page.getByText("No alarm is raised").waitFor();
  await goTo("Logs and flows");
  await page.getByText("No history is kept").waitFor();
  await goTo("First steps");
  await page.getByText("Projects are made by administrators").waitFor();
  await goTo("Path trace");
  await goTo("Import");
  await page.getByRole("navigation").getByRole("link", { name: "Network policies", exact: true }).first().click();
  await row("front-back").waitFor();
  check((await page.getByRole("link", { name: "History" }).count()) === 0, "a member is led to the history");
  await page.evaluate((token) => sessionStorage.setItem("skytrail.token", token), admin);
}

async function makingANetwork() {
  await open("/o/virtual-network/new");
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("blue");
  await page.getByRole("textbox", { name: "MTU" }).fill("70000");
  await page.getByRole("alert").getByText("between 0 and 9216").waitFor();
  check(await page.getByRole("button", { name: "Preview" }).isDisabled(), "a wrong form can be previewed");
  await page.getByRole("textbox", { name: "MTU" }).fill("1400");
  await page.getByRole("button", { name: "Add subnet" }).click();
  await page.getByRole("alert").getByText("a prefix such as").waitFor();
  await page.getByRole("textbox", { name: "Prefix of subnet 1" }).fill("10.7.0.0/24");
  await axe("a form");
  await picture("form");
  await page.getByRole("button", { name: "Preview" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByText("Derived by the compiler").waitFor();
  await picture("preview");
  await drawer.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await heading("blue").waitFor();
  await page.getByText("✓ distributed").waitFor();
  check(await page.getByText("10.7.0.0").isVisible(), "the subnet is not shown");
  await axe("an object");
  await picture("object");
}

async function readingWhyNot() {
  expecting(409);
  await open("/o/virtual-network/new");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("alert").getByText("a name is needed").waitFor();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("blue");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("alert").getByText(/already exists/i).waitFor();
}

async function seeingOthersChanges() {
  await open("/o/virtual-network");
  await row("blue").waitFor();
  await page.getByText("live", { exact: true }).waitFor();
  const made = await api("POST", "/api/v1/virtual-network", { fq_name: ["default-domain", "default-project", "elsewhere"] });
  check(made.status === 201, JSON.stringify(made));
  await row("elsewhere").waitFor();
  await axe("a list");
  await picture("list");
  await api("DELETE", `/api/v1/virtual-network/${made.json.uuid}`);
  await row("elsewhere").waitFor({ state: "detached" });
}

async function editingWhatSomebodyElseChanged() {
  expecting(412);
  const { json } = await api("GET", "/api/v1/virtual-network/by-name/default-domain:default-project:blue");
  await open(`/o/virtual-network/${json.uuid}/edit`);
  await page.getByRole("textbox", { name: "MTU" }).fill("1500");
  await api("PATCH", `/api/v1/virtual-network/${json.uuid}`, { mtu: 2000 });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").getByText("Somebody changed this object meanwhile").waitFor();
  await open(`/o/virtual-network/${json.uuid}/edit`);
  check((await page.getByRole("textbox", { name: "MTU" }).inputValue()) === "2000", "the other's change is not there");
  await page.getByRole("textbox", { name: "MTU" }).fill("1500");
  await save("blue");
  await page.getByRole("tab", { name: "History" }).click();
  await page.getByText("mtu: 2000 → 1500").waitFor();
  await page.getByRole("button", { name: /^Revert/ }).first().click();
  await page.getByRole("button", { name: "Show what would change" }).click();
  await page.getByRole("dialog").getByText("mtu: 1500 → 2000").waitFor();
  await page.getByRole("button", { name: "Revert", exact: true }).click();
  await page.getByText("mtu: 1500 → 2000").first().waitFor();
}

async function changingManyAtOnce() {
  const names = ["m1", "m2", "m3"];
  await open("/import");
  const entries = names.map((name) => ({ type: "virtual-network", fq_name: ["default-domain", "default-project", name] }));
  await page.getByRole("textbox", { name: "Objects as JSON" }).fill(JSON.stringify(entries));
  await page.getByRole("button", { name: "Import 3" }).click();
  await page.getByText("3 imported").waitFor();
  await open("/o/virtual-network?q=name:in:m1,m2,m3");
  for (const name of names) await page.getByRole("checkbox", { name: `Select ${name}`, exact: true }).check();
  await page.getByText("3 selected").waitFor();
  await page.getByRole("button", { name: "Set a field" }).click();
  await choose("Which field", "mtu", "MTU");
  await page.getByRole("dialog").getByRole("textbox", { name: "MTU" }).fill("8000");
  await page.getByRole("dialog").getByRole("button", { name: "Set", exact: true }).click();
  await page.getByText("3 changed").waitFor();
  const changed = await api("GET", "/api/v1/virtual-network?filter=mtu:eq:8000&count=true");
  await page.getByText("3 selected").waitFor({ state: "detached" });
  check(changed.json.count === 3, `${changed.json.count} of 3 have the new value`);
  for (const name of names) await page.getByRole("checkbox", { name: `Select ${name}`, exact: true }).check();
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("menuitem", { name: "JSON, to be imported" }).click(),
  ]);
  const exported = JSON.parse(await readFile(await download.path(), "utf8"));
  check(exported.length === 3 && exported[0].mtu === 8000, "the export is not what the list shows");
  await page.getByRole("button", { name: "delete Delete", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("3 deleted").waitFor();
}

async function scrollingThousands() {
  const operations = Array.from({ length: MANY }, (_, index) => ({
    op: "create",
    type: "virtual-machine",
    object: { fq_name: [`vm-${String(index).padStart(5, "0")}`] },
  }));
  const made = await api("POST", "/api/v1/transaction", { operations });
  check(made.status === 200, JSON.stringify(made).slice(0, 300));
  // The example has machines too.
  await open("/o/virtual-machine?q=name:prefix:vm-");
  await row("vm-00000").waitFor();
  const grid = page.getByRole("grid");
  check((await grid.getAttribute("aria-rowcount")) === String(MANY + 1), "the count is wrong");
  await grid.focus();
  await page.keyboard.press("End");
  await row(`vm-${String(MANY - 1).padStart(5, "0")}`).waitFor();
  const rows = await page.getByRole("row").count();
  check(rows < 80, `${rows} rows exist where some 40 are in sight`);
  await page.keyboard.press("Home");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await heading("vm-00001").waitFor();
}

async function searching() {
  await page.keyboard.press("Control+k");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "Search objects and types");
  await page.keyboard.type("blue");
  await page.getByRole("option", { name: /blue/ }).first().waitFor();
  await axe("the search");
  await page.keyboard.press("Enter");
  await heading("blue").waitFor();
}

async function watchingTheSystem() {
  await open("/");
  const health = page.getByRole("region", { name: "Health" });
  await health.getByText(/[1-9]\d* processes on [1-9]\d* nodes?/).waitFor();
  await health.getByRole("link", { name: "1 of 1 control nodes up" }).waitFor();
  await axe("the dashboard");
  await picture("dashboard");
  await goTo("Infrastructure");
  await page.getByRole("cell", { name: "contrail-control", exact: true }).waitFor();
  await page.getByText("Functional", { exact: true }).first().waitFor();
  await page.getByRole("row").filter({ hasText: "contrail-analytics-api" }).getByRole("link").click();
  await page.getByRole("navigation", { name: "Tables" }).getByRole("link", { name: "Generators" }).click();
  await page.getByRole("cell", { name: "contrail-control", exact: true }).or(page.getByText("Control:contrail-control")).first().waitFor();
  await axe("a process without tables of its own kind");
  await open("/monitor?view=control-node");
  await page.getByRole("columnheader", { name: "Routing instances" }).waitFor();
  await page.getByRole("button", { name: "Dark colours" }).click();
  await axe("the monitor in dark colours");
  await open("/o/virtual-network");
  await row("blue").waitFor();
  await axe("a list in dark colours");
  await picture("dark");
  await page.getByRole("button", { name: "Light colours" }).click();
}

async function travellingIntoThePast() {
  expecting(409);
  const gone = await api("POST", "/api/v1/virtual-network", { fq_name: ["default-domain", "default-project", "bygone"], mtu: 1300 });
  check(gone.status === 201, JSON.stringify(gone));
  const [{ at }] = (await api("GET", `/api/v1/history?object=${gone.json.uuid}`)).json.entries;
  // Moments are chosen by the second: what comes after has to be of a later one.
  const then = new Date(Math.ceil((Date.parse(`${at}Z`) + 1) / 1000) * 1000);
  await page.waitForFunction((ms) => Date.now() > ms + 100, then.getTime());
  await api("DELETE", `/api/v1/virtual-network/${gone.json.uuid}`);
  const later = await api("POST", "/api/v1/virtual-network", { fq_name: ["default-domain", "default-project", "afterwards"] });

  await open("/o/virtual-network");
  await row("afterwards").waitFor();
  await page.getByRole("button", { name: "Time machine" }).click();
  await axe("the way into the past");
  await page.getByLabel("At (UTC)").fill(then.toISOString().slice(0, 19));
  await page.getByRole("button", { name: "Go there" }).click();
  const banner = page.getByRole("region", { name: "Time machine" });
  await banner.getByText(then.toISOString().slice(11, 19)).waitFor();
  await row("bygone").waitFor();
  check((await row("afterwards").count()) === 0, "the past has what came later");
  check(await page.getByRole("button", { name: "Create" }).isDisabled(), "the past can be added to");
  await axe("a list of the past");
  await picture("past");

  // Whoever is given the address sees the same.
  const colleague = await page.context().newPage();
  const secret = await page.evaluate(() => sessionStorage.getItem("skytrail.token"));
  await colleague.addInitScript((value) => sessionStorage.setItem("skytrail.token", value), secret);
  await colleague.goto(page.url());
  await colleague.getByRole("link", { name: "bygone", exact: true }).click();
  await colleague.getByRole("heading", { name: "bygone", level: 1 }).waitFor();
  await colleague.getByText("1300").first().waitFor();
  check((await colleague.getByRole("button", { name: "Edit" }).count()) === 0, "an object of the past can be edited");
  check(colleague.url().includes(`/console/at/${then.toISOString()}/o/virtual-network/${gone.json.uuid}`), `the address is ${colleague.url()}`);
  await colleague.getByRole("tab", { name: "History" }).click();
  await colleague.getByText("create", { exact: true }).first().waitFor();
  check((await colleague.getByText("delete", { exact: true }).count()) === 0, "the history tells what came later");
  await colleague.goto(`${page.url()}/new`);
  await colleague.getByRole("heading", { name: "Virtual network", level: 1 }).waitFor();
  await colleague.close();

  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: "Search objects and types" }).fill("bygone");
  await page.getByRole("option", { name: /bygone/ }).first().waitFor();
  await page.keyboard.press("Escape");
  // This server keeps no history of traffic.
  expecting(404);
  await goTo("Topology");
  await page.getByRole("button", { name: /bygone/ }).waitFor();
  await goTo("Dashboard");
  await page.getByText("What processes hold is not kept.").first().waitFor();
  await axe("the dashboard of the past");
  await banner.getByRole("button", { name: "Change before" }).click();
  await page.waitForURL((url) => !url.pathname.includes(then.toISOString()));
  await banner.waitFor();
  await banner.getByRole("button", { name: "Back to now" }).click();
  await banner.waitFor({ state: "detached" });
  await page.getByText("live", { exact: true }).waitFor();
  await api("DELETE", `/api/v1/virtual-network/${later.json.uuid}`);
}

async function leavingWhereNothingIs() {
  expecting(404);
  for (const path of ["/o/no-such-type", "/o/no-such-type/new", "/no-such-page"]) {
    await open(path);
    await heading("No such page").waitFor();
    await axe(path);
    await page.getByRole("button", { name: "To the dashboard" }).click();
    await heading("Dashboard").waitFor();
  }
}

async function formsOfManyTypes() {
  const model = await api("GET", "/api/v1/schemas");
  const types = model.json.types.filter((_, index) => index % 18 === 0);
  for (const type of types) {
    await open(`/o/${type}/new`);
    await page.locator(`form[data-type="${type}"]`).getByRole("textbox").first().waitFor();
  }
}

async function beingWatchedByNobody() {
  check(outside.length === 0, `requests to others: ${outside.join(", ")}`);
  check(errors.length === 0, errors.join("\n"));
}

const JOURNEYS = {
  loggingIn, beginningEmpty, takingFirstSteps, editingRulesAsATable, tracingWithoutAgents, beingAPlainMember, makingANetwork,
  readingWhyNot, seeingOthersChanges, editingWhatSomebodyElseChanged, changingManyAtOnce, scrollingThousands, findingWhatFailed,
  decidingByTags, drawingAServiceChain, planningAndReverting, fillingTables,
  countingWhatThereIs, namingInDns, lettingUsersIn, peeringRouters, seeingHowFullSubnetsAre, joiningNetworksByARouter, leadingFloatingAddresses, pluggingPorts,
  learningFromAnEmptyList,
  seeingOnlyOnesOwnAsAMember, walkingEverywhereInBothColours,
  searching, workingByKeyboardAlone, keepingTenTabsLiveByOneStream, travellingIntoThePast, watchingTheSystem, leavingWhereNothingIs, formsOfManyTypes, beingWatchedByNobody,
};

// The server of these journeys is begun with --no-history.
withoutHistory();
await go(JOURNEYS);
