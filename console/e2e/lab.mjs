// Journeys through the console of a running lab, with hosts and traffic.
//
// Usage: CONSOLE_URL=... node lab.mjs    (tests/system/test_console_lab.py); prints as journeys.mjs does.

import { api, axe, check, errors, go, heading, open, outside, page, picture } from "./harness.mjs";

const EDGE = /^From red › front to red › back: \d+ passed, [1-9]\d* denied/;

async function findingADeniedFlowAndAllowingIt() {
  await open("/flows?from=now-10m");
  await page.getByRole("button", { name: EDGE }).waitFor();
  await axe("the service map");
  await page.getByRole("button", { name: EDGE }).press("Enter");
  const side = page.getByRole("complementary", { name: "Chosen" });
  const telnet = side.getByRole("region", { name: "tcp 23", exact: true });
  await telnet.waitFor();
  const head = telnet.getByRole("button", { expanded: false });
  if ((await head.count()) > 0) await head.click();
  await telnet.getByText("by a rule of network policy").waitFor();
  await telnet.getByRole("link", { name: "why" }).first().waitFor();
  await axe("what is between two networks");
  await picture("flows");
  await telnet.getByRole("button", { name: "Write a rule from this flow" }).click();
  const drawer = page.getByRole("dialog", { name: /^Allow tcp 23/ });
  check(await drawer.getByRole("checkbox", { name: "Network policy front-back" }).isChecked(), "the policy that denied is not proposed");
  // The example's group takes telnet in: it is the policy that refuses.
  check(!(await drawer.getByRole("checkbox", { name: "Security group web-only" }).isChecked()), "a group that takes the flow in is to be changed");
  await axe("a rule from a flow");
  await picture("allow");
  await drawer.getByRole("button", { name: "Preview" }).click();
  const plan = page.getByRole("dialog", { name: "What this would change" });
  await plan.getByText("Reachability").waitFor();
  await picture("allow-plan");
  await plan.getByRole("button", { name: "Close" }).click();
  await drawer.getByRole("button", { name: "Write the rule" }).click();
  await page.getByText("Allowed: new sessions pass").waitFor();
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
  await page.getByText("elsewhere").first().waitFor();
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

async function beingWatchedByNobody() {
  check(outside.length === 0, `requests to others: ${outside.join(", ")}`);
  check(errors.length === 0, errors.join("\n"));
}

const JOURNEYS = { findingADeniedFlowAndAllowingIt, seeingHowMuchGoesBetweenWhom, seeingTrafficWithItsChanges, beingWatchedByNobody };

await go(JOURNEYS);
