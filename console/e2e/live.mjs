// Journeys through what runs: processes and what they hold now, streams of what they say. Gone by lab.mjs.

import { writeFile } from "node:fs/promises";

import { axe, check, choose, expecting, heading, open, page, picture, row } from "./harness.mjs";

const WEB1 = "10.1.1.3";
const table = (name) => page.getByRole("navigation", { name: "Tables" }).getByRole("link", { name, exact: true });
const lines = () => page.getByRole("row");

export async function seeingWhatTheControlNodeHolds() {
  await open("/");
  await page.getByRole("navigation").getByRole("link", { name: "Infrastructure", exact: true }).click();
  await heading("Infrastructure").waitFor();
  // Of two, the one that peers with the gateway: the other one is first in the table while this one has not told of itself.
  const control = lines().filter({ hasText: "contrail-control" }).filter({ hasText: "control1" });
  await control.getByText("Functional", { exact: true }).waitFor();
  for (const name of ["contrail-api", "contrail-schema", "contrail-analytics-api", "contrail-vrouter-agent"]) {
    await lines().filter({ hasText: name }).first().getByText(/^\d{4}\.\d+\.\d+$/).waitFor();
  }
  await control.getByText(/^\d+\.\d %$/).waitFor();
  await axe("the infrastructure");
  await picture("nodes");
  await control.getByRole("link").click();
  await table("BGP peers").click();
  // A router of its own kind (FRR) is on the other side.
  const gateway = lines().filter({ hasText: "gw1" });
  await gateway.getByText("Established", { exact: true }).waitFor();
  await gateway.getByText("evpn").waitFor();
  await table("Hosts").click();
  await lines().filter({ hasText: "compute2" }).getByText("Established", { exact: true }).waitFor();
  await table("Routing instances").click();
  await page.getByRole("link", { name: "red:front:front", exact: true }).click();
  await page.waitForURL(/table=routes&where=instance/);
  await page.getByRole("columnheader", { name: "Why", exact: true }).waitFor();
  await page.getByRole("searchbox", { name: "Rows that hold" }).fill(`${WEB1}/32`);
  await page.getByRole("searchbox", { name: "Rows that hold" }).press("Enter");
  await page.waitForURL(/match=10\.1\.1\.3/);
  const route = lines().filter({ has: page.getByRole("cell", { name: `${WEB1}/32`, exact: true }) }).filter({ hasText: "used" }).first();
  await route.getByText(/^(the only path|shares with \d+.*|the others: .*)$/).waitFor();
  await page.getByRole("status").getByText(/^\d{1,2} rows?, read at/).waitFor();
  await axe("routes of a control node");
  await picture("control-routes");
  await route.getByRole("button").click();
  await page.getByText("Distinguisher", { exact: true }).waitFor();
  await page.reload();
  await route.waitFor();
}

export async function followingARouteToItsPort() {
  await open("/monitor?view=vrouter");
  await page.getByRole("link", { name: /compute2$/ }).click();
  await table("VRFs").click();
  await page.getByRole("columnheader", { name: "Flooded to" }).waitFor();
  await page.getByRole("link", { name: "red:front:front", exact: true }).click();
  const box = page.getByRole("searchbox", { name: "Rows that hold" });
  await page.waitForURL(/table=routes&where=vrf/);
  await page.getByRole("columnheader", { name: "Who told it" }).waitFor();
  await box.fill("10.1.1.4/32");
  await box.press("Enter");
  await page.waitForURL(/match=/);
  await page.getByRole("status").getByText(/^1 row, read at/).waitFor();
  await axe("routes of a host");
  await picture("host-routes");
  await page.getByRole("link", { name: /^interface:l3:/ }).click();
  await page.waitForURL(/table=nexthops/);
  await lines().nth(1).getByRole("link").first().click();
  await page.waitForURL(/table=interfaces&where=vif_id/);
  await page.getByRole("link", { name: "red:web2", exact: true }).click();
  await heading("web2").waitFor();
  await page.goBack();
  await page.getByRole("button", { name: "All rows, whatever their vif_id" }).click();
  await page.getByRole("link", { name: "red:app", exact: true }).waitFor();
  await table("Drops").click();
  await lines().filter({ hasText: /POLICY|NO_ROUTE/ }).first().waitFor();
  await axe("drops of a host");
  await table("Flows").click();
  await page.getByRole("status").getByText(/rows?, read at/).waitFor();
  await choose("Other tables", "Upli", /^Uplinks$/);
  await lines().filter({ hasText: "underlay0" }).waitFor();
}

/** Waits until a line of a chart is not flat. */
async function courseOf(title, line) {
  const chart = page.getByRole("figure", { name: title, exact: true });
  await chart.getByText(line).first().waitFor();
  await page.waitForFunction(
    (figure) => [...figure.querySelectorAll("path.chart-line")].some((path) => new Set([...path.getAttribute("d").matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((each) => each[1])).size > 1),
    await chart.elementHandle(),
  );
}

export async function seeingHowAHostFares() {
  await open("/nodes");
  await lines().filter({ hasText: "compute1" }).getByRole("link").click();
  await table("Over time").click();
  await page.getByText("15 minutes", { exact: true }).click();
  await page.waitForURL(/table=charts.*span=now-15m/);
  await courseOf("Traffic", /^in [\d.]+ k?B\/s now$/);
  await courseOf("Drops by reason", /^(POLICY|NO_ROUTE|[A-Z_]+) [\d.]+\/s now$/);
  await courseOf("Sessions", /^denied [\d.]+\/s now$/);
  await page.getByRole("figure", { name: "Memory", exact: true }).getByText(/^resident \d+\.\d MB now$/).waitFor();
  await page.getByRole("figure", { name: "Processor", exact: true }).getByText(/^of one processor /).waitFor();
  await page.getByRole("figure", { name: "Traffic", exact: true }).getByRole("listitem").filter({ hasText: "created by" }).waitFor();
  await axe("charts of a host");
  await page.getByRole("figure", { name: "Drops by reason", exact: true }).scrollIntoViewIfNeeded();
  await picture("host-charts");
  await page.getByRole("button", { name: "Its configuration" }).click();
  await page.getByRole("tab", { name: "Traffic" }).click();
  await page.getByRole("figure", { name: "Drops by reason", exact: true }).waitFor();
}

export async function askingForStatistics() {
  await open("/query");
  await page.getByText("Drops by reason", { exact: true }).click();
  await page.waitForURL(/where=forward_action/);
  await lines().filter({ hasText: "POLICY" }).first().waitFor();
  await page.reload();
  await lines().filter({ hasText: "POLICY" }).first().waitFor();
  await axe("statistics");
  await picture("statistics");
  await page.getByText("Use of processes", { exact: true }).click();
  await lines().filter({ hasText: "contrail-control" }).first().waitFor();
  for (const [title, name, teller] of [["Top talkers", "local_ip", "red:web1"], ["Busiest ports", "SUM(if_stats.out_bytes)", "red:web1"], ["Busiest hosts", "SUM(if_stats.in_bytes)", "compute1"]]) {
    await page.getByText(title, { exact: true }).click();
    await page.getByRole("columnheader", { name, exact: true }).waitFor();
    await lines().filter({ hasText: teller }).first().waitFor();
  }
}

export async function seeingHowFarListsHaveCome() {
  let asked = 0;
  page.on("request", (request) => (asked += request.url().includes("/api/v1/conditions") ? 1 : 0));
  await open("/o/virtual-machine-interface");
  await row("web1").first().getByText("✓ programmed").waitFor();
  const rows = (await lines().count()) - 1;
  check(rows > 4 && asked <= 3, `${asked} questions for ${rows} rows`);
  await axe("a list with how far it has come");
  await picture("realised");
}

/** Streams of the page's own, where all pages share one; and questions for what a stream tells. */
function watched() {
  const seen = { streams: 0, asked: 0 };
  page.on("request", (request) => {
    if (/\/live\?|-stream/.test(request.url())) seen.streams += 1;
    if (/analytics\/(uves\/|alarms$)/.test(request.url())) seen.asked += 1;
  });
  return seen;
}

export async function seeingChangesAsTheyCome() {
  const seen = watched();
  const stream = page.getByRole("status", { name: "Stream" });
  await open("/monitor?view=vrouter");
  await stream.getByText("shown as it comes").waitFor();
  const bytes = page.getByRole("row").filter({ hasText: "compute1" }).getByRole("cell").nth(5);
  const before = await bytes.innerText();
  // Traffic goes on beside this: what hosts count shows without being asked for.
  await page.waitForFunction(([cell, text]) => cell.innerText !== text, [await bytes.elementHandle(), before]);
  for (const name of ["Networks", "Ports", "BGP peers", "Control nodes"]) {
    await page.getByRole("tab", { name, exact: true }).click();
    await stream.getByText("shown as it comes").waitFor();
    await page.getByRole("row").nth(1).waitFor();
  }
  check(seen.streams === 0, `the page opened ${seen.streams} streams of its own`);
  check(seen.asked === 0, `${seen.asked} questions were asked for what the stream tells`);
  await axe("a live monitor");
  // Whoever began this starts the analytics node anew.
  expecting(503);
  await writeFile(process.env.READY_FILE, "");
  await stream.getByText(/^the stream is interrupted/).waitFor();
  await stream.getByText("shown as it comes").waitFor();
  await page.getByRole("note", { name: "Gaps" }).getByText(/^Not seen as it came: \d\d:\d\d:\d\d–\d\d:\d\d:\d\d$/).waitFor();
  await axe("a gap");
  await picture("live");
}
