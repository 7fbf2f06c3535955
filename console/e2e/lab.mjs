// Journeys through the console of a running lab, with hosts and traffic.
//
// Usage: CONSOLE_URL=... node lab.mjs    (tests/system/test_console_lab.py); prints as journeys.mjs does.

import { tryingARuleAndReadingItsAlarm } from "./alarms.mjs";
import { api, axe, check, errors, go, heading, open, outside, page, picture } from "./harness.mjs";
import { meetingNamesThatAreMeantToHarm } from "./hostile.mjs";
import { seeingAHostDieAndComeBack } from "./lost.mjs";
import { seeingThePastOnEveryPage } from "./past.mjs";
import { missingWhatANodeKeeps } from "./parts.mjs";
import { askingForStatistics, followingARouteToItsPort, seeingChangesAsTheyCome, seeingHowAHostFares, seeingHowFarListsHaveCome, seeingWhatTheControlNodeHolds } from "./live.mjs";

/** Opens what is between two nodes, and of it one service. */
async function between(edge, service) {
  await open("/flows?from=now-10m");
  await page.getByRole("button", { name: edge }).press("Enter");
  const side = page.getByRole("complementary", { name: "Chosen" });
  const region = side.getByRole("region", { name: service, exact: true });
  await region.waitFor();
  const head = region.getByRole("button", { expanded: false });
  if ((await head.count()) > 0) await head.click();
  return region;
}

/** From a service that was denied to the drawer that proposes rules. */
async function proposals(region, service) {
  await region.getByRole("button", { name: "Write a rule from this flow" }).click();
  return page.getByRole("dialog", { name: new RegExp(`^Allow ${service}`) });
}

/** Looks at the plan, then writes what is marked. */
async function planAndWrite(drawer, seen, name) {
  await drawer.getByRole("button", { name: "Preview" }).click();
  const plan = page.getByRole("dialog", { name: "What this would change" });
  await plan.getByText(seen).first().waitFor();
  await axe(`the plan of ${name}`);
  await picture(`${name}-plan`);
  await plan.getByRole("button", { name: "Close" }).click();
  await drawer.getByRole("button", { name: "Write the rule" }).click();
  await page.getByText("Allowed: new sessions pass").waitFor();
}

const isMarked = (drawer, name) => drawer.getByRole("checkbox", { name }).isChecked();
const BETWEEN = /^From red › front to red › back: \d+ passed, [1-9]\d* denied/;
const WITHIN = /^From red › front to red › front: \d+ passed, [1-9]\d* denied/;

async function findingADeniedFlowAndAllowingIt() {
  await open("/flows?from=now-10m");
  await page.getByRole("button", { name: BETWEEN }).waitFor();
  await axe("the service map");
  await open("/query");
  await page.getByText("Denied", { exact: true }).click();
  await page.getByRole("gridcell", { name: /network policy front-back/ }).first().getByRole("link", { name: "front-back" }).waitFor();
  await axe("what was denied, and by what");
  await open("/flows?from=now-10m");
  const telnet = await between(BETWEEN, "tcp 23");
  await telnet.getByText("by a rule of network policy").waitFor();
  await telnet.getByRole("link", { name: "why" }).first().waitFor();
  await axe("what is between two networks");
  await picture("flows");
  const drawer = await proposals(telnet, "tcp 23");
  check(await isMarked(drawer, "Network policy front-back"), "the policy that denied is not proposed");
  // The example's group takes telnet in: it is the policy that refuses.
  check(!(await isMarked(drawer, "Security group web-only")), "a group that takes the flow in is to be changed");
  await axe("a rule from a flow");
  await picture("allow");
  await planAndWrite(drawer, "Reachability", "allow");
}

async function allowingWhatASecurityGroupRefuses() {
  const ssh = await between(BETWEEN, "tcp 22");
  await ssh.getByText("at the server's host: no rule of security groups").waitFor();
  await ssh.getByRole("link", { name: "web-only", exact: true }).waitFor();
  const drawer = await proposals(ssh, "tcp 22");
  check(await isMarked(drawer, "Security group web-only"), "the group that refuses is not to be changed");
  check(!(await isMarked(drawer, "Network policy front-back")), "a policy that lets the flow through is to be changed");
  await planAndWrite(drawer, "Rules", "allow-group");
}

async function allowingByTagsWhatTheirPolicyRefuses() {
  const web = await between(WITHIN, "tcp 8080");
  await web.getByText("no rule of application policy sets").waitFor();
  await web.getByRole("link", { name: "shop", exact: true }).waitFor();
  const drawer = await proposals(web, "tcp 8080");
  check(await isMarked(drawer, "Application policy"), "no rule by tags is proposed");
  await drawer.getByText("pass tcp 8080 from tier=web to tier=app of the same application").waitFor();
  await axe("a rule by tags from a flow");
  await picture("allow-tags");
  await planAndWrite(drawer, "allow-tcp-8080-web-to-app", "allow-tags");
}

async function seeingHowMuchGoesBetweenWhom() {
  await open("/flows?from=now-10m&view=traffic");
  await page.getByRole("heading", { name: "Service map", level: 1 }).waitFor();
  await page.getByRole("button", { name: /^From red › front to red › back: [\d.]+ / }).press("Enter");
  await page.getByRole("complementary", { name: "Chosen" }).waitFor();
  await axe("the traffic between networks");
  await picture("traffic");
  await open("/flows?from=now-10m&only=denied&by=tier");
  await heading("Service map").waitFor();
  await page.locator("svg text").filter({ hasText: "elsewhere" }).first().waitFor();
}

async function seeingTheOverlayWithItsTraffic() {
  await open("/topology?project=default-domain:red");
  const card = page.getByRole("button", { name: /^default-domain:red:front/ });
  await card.getByText(/ports, [\d.]+ k?B\/s$/).waitFor();
  await page.getByRole("button", { name: /^Policy front-back ([\d.]+ k?B )?between back and front/ }).press("Enter");
  const side = page.getByRole("complementary", { name: "Chosen" });
  await side.getByText(/front → back: [1-9]\d* passed, \d+ denied/).waitFor();
  await side.getByRole("link", { name: "Its sessions" }).first().waitFor();
  await page.getByRole("button", { name: /^Logical router default-domain:red:edge/ }).press("Enter");
  await side.getByRole("link", { name: "store", exact: true }).waitFor();
  await axe("the overlay with its routers");
  await picture("topology");
  await page.getByRole("button", { name: /^Policy front-back ([\d.]+ k?B )?between back and front/ }).press("Enter");
  await side.getByRole("link", { name: "Its sessions" }).first().click();
  await page.getByRole("heading", { name: "red › front → red › back" }).waitFor();
}

async function seeingTheUnderlayAndAWayThroughIt() {
  await open("/topology");
  await page.getByText("Underlay", { exact: true }).click();
  const host = page.getByRole("button", { name: /^host .*compute1/ });
  await host.getByText("3 ports").waitFor();
  await page.getByRole("button", { name: /^switch leaf1/ }).waitFor();
  await page.getByRole("button", { name: /^Tunnel between .*compute1 and .*compute2/ }).press("Enter");
  const side = page.getByRole("complementary", { name: "Chosen" });
  await side.getByText(/ that ended in the last 10 minutes\.$/).waitFor();
  await page.getByRole("textbox", { name: "Way of flows from" }).fill(process.env.WAY_FROM);
  await page.getByRole("textbox", { name: "to", exact: true }).fill(process.env.WAY_TO);
  await page.getByRole("button", { name: /Show$/ }).click();
  await page.getByText("the shortest way of the known links").waitFor();
  const told = await page.getByRole("status").filter({ hasText: "leaf1" }).textContent();
  check(/compute1 → leaf1 → spine → leaf2 → .*compute2/.test(told), `the way is told as ${told}`);
  await axe("the underlay");
  await picture("underlay");
  await host.press("Enter");
  await side.getByRole("link", { name: "Open the virtual router" }).click();
  await page.waitForURL(/\/o\/virtual-router\//);
  await page.getByRole("heading", { name: /compute1$/, level: 1 }).waitFor();
}

/** A trace with a probe: what was seen is drawn beside what the tables say. */
async function probeOf(to, port) {
  await open(`/trace?from=default-domain:red:web1&to=default-domain:red:${to}&protocol=tcp&port=${port}`);
  await page.getByRole("button", { name: "Send a probe" }).click();
  const region = page.getByRole("region", { name: "Probe" });
  await region.waitFor();
  return region;
}

async function sendingAProbe() {
  const passed = await probeOf("web2", 80);
  await passed.getByText(/^The probe was delivered at red › web2 on .*compute2, as the tables say\.$/).waitFor();
  const hops = passed.getByRole("listitem");
  await hops.filter({ hasText: "sent by red › web1" }).filter({ hasText: "compute1" }).waitFor();
  await hops.filter({ hasText: "delivered to red › web2" }).filter({ hasText: "compute2" }).waitFor();
  const dropped = await probeOf("app", 22);
  await dropped.getByText(/^The probe was dropped at red › app on .*compute2: POLICY, as the tables say\.$/).waitFor();
  await axe("a probe");
  await picture("probe");
  // Under the pointer a button has colours of its own.
  for (const scheme of ["other", "first"]) {
    await page.getByRole("button", { name: /^(Dark|Light) colours$/ }).click();
    await page.getByRole("button", { name: "Send a probe" }).hover();
    await axe(`a probe in the ${scheme} colours, under the pointer`);
  }
}

async function seeingTrafficWithItsChanges() {
  await open("/");
  const found = await api("GET", "/api/v1/virtual-network/by-name/default-domain:red:front");
  await open(`/o/virtual-network/${found.json.uuid}`);
  await heading("front").waitFor();
  await page.getByRole("tab", { name: "Traffic" }).click();
  const traffic = page.getByRole("figure", { name: "Traffic", exact: true });
  await traffic.getByText(/^\d+ changes?$/).waitFor();
  const line = await traffic.locator("path.chart-0").getAttribute("d");
  const heights = new Set([...line.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((each) => each[1]));
  check(heights.size > 1, "the line of the traffic is flat");
  await axe("charts");
  await picture("charts");
  await page.getByText("7 days", { exact: true }).click();
  await page.waitForURL(/span=now-7d/);
  await traffic.getByText(/^in /).waitFor();
}

async function buildingTheExample() {
  await open("/guide");
  await heading("First steps").waitFor();
  await page.getByRole("button", { name: "Preview" }).click();
  const plan = page.getByRole("dialog", { name: "What this would change" });
  await plan.getByText("Reachability").waitFor();
  await plan.getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Build it" }).click();
  await page.getByRole("button", { name: "Take it away again" }).waitFor();
  await axe("the example, built");
}

async function watchingItsWorkloadsReachEachOther() {
  await open("/guide");
  await picture("guide");
  await page.getByRole("link", { name: "Topology", exact: true }).last().click();
  await heading("Topology").waitFor();
  await page.getByRole("button", { name: /^Policy front-back [\d.]+ k?B between back and front/ }).press("Enter");
  const side = page.getByRole("complementary", { name: "Chosen" });
  await side.getByText(/front → back: [1-9]\d* passed, [1-9]\d* denied/).waitFor();
  await picture("guide-traffic");
  await open("/trace?from=default-domain:red:web1&to=default-domain:red:app&protocol=tcp&port=80");
  await page.getByRole("button", { name: "Send a probe" }).click();
  await page.getByText(/^The probe was delivered at red › app on .*compute2, as the tables say\.$/).waitFor();
  await open("/trace?from=default-domain:red:web1&to=default-domain:red:app&protocol=tcp&port=23");
  await page.getByRole("button", { name: "Send a probe" }).click();
  await page.getByText(/^The probe was dropped at red › web1 on .*compute1: POLICY, as the tables say\.$/).waitFor();
}

async function takingTheExampleAway() {
  await open("/guide");
  await page.getByRole("button", { name: "Take it away again" }).click();
  await page.getByRole("button", { name: "Delete", exact: true }).click();
  await page.getByText("Taken away", { exact: true }).waitFor();
  const left = await api("GET", "/api/v1/virtual-machine");
  check(left.json.items.length === 0, `machines are left: ${JSON.stringify(left.json.items)}`);
}

async function beingWatchedByNobody() {
  check(outside.length === 0, `requests to others: ${outside.join(", ")}`);
  check(errors.length === 0, errors.join("\n"));
}

const JOURNEYS = {
  findingADeniedFlowAndAllowingIt, allowingWhatASecurityGroupRefuses, allowingByTagsWhatTheirPolicyRefuses, seeingHowMuchGoesBetweenWhom, seeingTrafficWithItsChanges,
  seeingWhatTheControlNodeHolds, followingARouteToItsPort, seeingHowAHostFares, askingForStatistics, seeingHowFarListsHaveCome, seeingChangesAsTheyCome, tryingARuleAndReadingItsAlarm,
  sendingAProbe, seeingTheOverlayWithItsTraffic, seeingTheUnderlayAndAWayThroughIt, missingWhatANodeKeeps,
  meetingNamesThatAreMeantToHarm, seeingAHostDieAndComeBack, seeingThePastOnEveryPage,
  buildingTheExample, watchingItsWorkloadsReachEachOther, takingTheExampleAway, beingWatchedByNobody,
};

await go(JOURNEYS);
