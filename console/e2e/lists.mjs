// Journeys through lists: by how far things have come, with columns of one's own, out into a file.

import { readFile } from "node:fs/promises";

import { create, made, pick, subnet } from "./editors.mjs";
import { axe, check, heading, newContext, observed, open, page, picture, row } from "./harness.mjs";

const network = (name, more = {}) => create("virtual-network", ["stuck", name], { parent_type: "project", network_ipam_refs: subnet("10.68.0.0"), ...more });
const names = async () => await page.getByRole("row").getByRole("link").allTextContents();

export async function findingWhatFailed() {
  const routes = { route: [{ prefix: "172.22.0.0/16", next_hop: "default-domain:stuck:nobody", next_hop_type: "service-instance" }] };
  await made(
    create("project", ["stuck"]), create("route-table", ["stuck", "nowhere"], { parent_type: "project", routes }),
    network("alright"), network("zz-stuck", { route_table_refs: [{ to: ["default-domain", "stuck", "nowhere"] }] }),
  );
  await open("/o/virtual-network");
  await row("zz-stuck").getByText("✗ accepted").waitFor();
  await page.getByRole("columnheader", { name: "Realised" }).getByRole("button").click();
  await page.getByRole("columnheader", { name: "Realised" }).and(page.locator("[aria-sort=ascending]")).waitFor();
  await page.getByRole("row", { name: "zz-stuck" }).and(page.locator("[aria-rowindex='2']")).waitFor();
  await axe("a list by how far things have come");
  await pick("How far they have come", "failed");
  await page.keyboard.press("Escape");
  await page.getByText("1 found").waitFor();
  check((await names()).join() === "zz-stuck", `${await names()} failed`);
  await picture("list-failed");
  await choosingColumns();
  await takingItAway();
}

async function choosingColumns() {
  await page.getByRole("button", { name: "Columns" }).click();
  await pick("Columns shown", "Route table");
  await page.keyboard.press("Escape");
  await axe("a choice of columns");
  await picture("list-columns");
  await heading("Virtual networks").click();
  await page.getByRole("columnheader", { name: "Route table" }).waitFor();
  await page.reload();
  await page.getByRole("columnheader", { name: "Route table" }).waitFor();
  // Whoever is given the address sees the same columns; who comes without one sees his own.
  const [link, token] = [page.url(), await page.evaluate(() => sessionStorage.getItem("skytrail.token"))];
  const context = await newContext();
  const other = observed(await context.newPage());
  await other.addInitScript((value) => sessionStorage.setItem("skytrail.token", value), token);
  await other.goto(link);
  await other.getByRole("columnheader", { name: "Route table" }).waitFor();
  await other.goto(link.replace(/columns=[^&]*&?/, ""));
  await other.waitForURL(/columns=usual/);
  check((await other.getByRole("columnheader", { name: "Route table" }).count()) === 0, "a link's columns are taken for the reader's own");
  await context.close();
  await open("/o/virtual-network?realised=failed");
  await page.waitForURL(/columns=[^&]*route_table_refs/);
  await page.getByRole("columnheader", { name: "Route table" }).waitFor();
  await row("zz-stuck").getByText("nowhere").waitFor();
  check(page.url().includes("realised=failed"), "the filter is not in the address");
}

async function takingItAway() {
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: "CSV, the columns shown" }).click()]);
  const [head, ...lines] = (await readFile(await download.path(), "utf8")).trim().split("\r\n");
  check(head.startsWith('"Name","Parent",') && head.includes('"Route table"'), head);
  check(lines.length === 1 && lines[0].startsWith('"zz-stuck","default-domain:stuck",') && lines[0].includes('"nowhere"'), lines.join());
  await page.getByRole("button", { name: "Columns" }).click();
  await page.getByRole("button", { name: "The usual ones" }).click();
  await page.getByRole("columnheader", { name: "Route table" }).waitFor({ state: "detached" });
}
