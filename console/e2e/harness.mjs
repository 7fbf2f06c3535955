// What journeys share: one page of a real browser, what it did that it must not, and how journeys are gone and told of.

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

export const SERVER = process.env.CONSOLE_URL;
export const PASSWORD = process.env.CONSOLE_PASSWORD;
const PICTURES = process.env.PICTURES;
const ONLY = process.env.JOURNEYS?.split(",");
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const WAIT_MS = 30_000;

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: BROWSER,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  handleSIGTERM: false,
});
/** As another browser would be: nothing is shared with the page of the journeys. */
export async function newContext() {
  const made = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    ignoreHTTPSErrors: true,
    bypassCSP: false,
    colorScheme: process.env.SCHEME ?? "light",
    reducedMotion: "reduce",
  });
  made.setDefaultTimeout(WAIT_MS);
  return made;
}

const context = await newContext();
export const page = await context.newPage();

export const errors = [];
export const outside = [];
let expected = [];

let hasHistory = true;

/** Of a server that keeps no history: pages ask for it nevertheless, and are told so. */
export function withoutHistory() {
  hasHistory = false;
}

/** Statuses of refusals that a journey provokes. */
export function expecting(...statuses) {
  expected = statuses;
}

/** Notes what a page does that it must not. */
export function observed(on) {
  on.on("pageerror", (error) => errors.push(error.message));
  on.on("console", (message) => {
    if (message.type() !== "error" && message.type() !== "warning") return;
    const status = /status of (\d+)/.exec(message.text())?.[1];
    // The browser itself notes every refused request; those that a journey provokes are meant.
    if (status !== undefined && expected.includes(Number(status))) return;
    if (status === "404" && !hasHistory && message.location().url.endsWith("/api/v1/analytics/query")) return;
    errors.push(`${message.text()} ${message.location().url}`);
  });
  on.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(SERVER) && !/^(data|blob):/.test(url)) outside.push(url);
  });
  return on;
}
observed(page);

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

/** Asks the API as the page does. */
export async function api(method, path, body) {
  return await page.evaluate(
    async ([how, where, what]) => {
      const token = sessionStorage.getItem("skytrail.token");
      const headers = { "x-auth-token": token, "content-type": "application/json" };
      const reply = await fetch(where, { method: how, headers, ...(what === undefined ? {} : { body: JSON.stringify(what) }) });
      return { status: reply.status, json: await reply.json() };
    },
    [method, path, body],
  );
}

export async function axe(what) {
  // As a script of the test's own: the page's policy allows none that is not a file of the console.
  await page.evaluate(axeSource);
  const found = await page.evaluate(async () => {
    const { violations } = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
  });
  check(found.length === 0, `accessibility of ${what}:\n${found.join("\n")}`);
}

export async function picture(name) {
  if (PICTURES === undefined) return;
  await page.mouse.move(640, 2);
  await page.waitForTimeout(600);
  await page.screenshot({ path: `${PICTURES}/${name}.png` });
}

export const open = async (path) => {
  await page.goto(`${SERVER}/console${path}`);
};
export const row = (name) => page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
export const heading = (name) => page.getByRole("heading", { name, exact: true, level: 1 });

/** Whether a page shows what its address says: a page whose code is on its way leaves the one before it in place. */
export const isThere = (on = page) =>
  on.evaluate(() => document.querySelector("[role=main]")?.dataset.address === (location.pathname.replace(/^\/console(\/at\/[^/]+)?/, "") || "/") + location.search);

/** Waits for the page of the address. */
export async function there(on = page) {
  for (const end = Date.now() + WAIT_MS; !(await isThere(on)); await on.waitForTimeout(20)) check(Date.now() < end, `the page of ${on.url()} does not come`);
}

/** Saves in the form of an object, and waits for the object's page, whose heading is the form's. */
export async function save(name) {
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.waitForURL((url) => !url.pathname.endsWith("/edit"));
  await there();
  await heading(name).waitFor();
}

const READY_MS = 150_000;

/** Lets whoever began the journeys do the next thing it came for. */
export async function ready() {
  await writeFile(process.env.READY_FILE, "");
  for (const end = Date.now() + READY_MS; existsSync(process.env.READY_FILE); ) {
    check(Date.now() < end, "nobody did what was to be done");
    await page.waitForTimeout(100);
  }
}

export async function choose(label, text, option) {
  const box = page.getByRole("combobox", { name: label, exact: true });
  await box.click();
  await box.fill(text);
  await page.locator(".ant-select-dropdown:visible .ant-select-item-option").filter({ hasText: option }).first().click();
}

/** To a page by the menu: no page load. */
export async function goTo(title) {
  await page.getByRole("navigation").getByRole("link", { name: title, exact: true }).click();
  await heading(title).waitFor();
}

/** Waits for what the browser has noted and not told yet, so that it is held against the journey that made it. */
async function noted() {
  const mark = `noted ${Math.random()}`;
  const told = page.waitForEvent("console", { predicate: (message) => message.text() === mark });
  await page.evaluate((text) => console.debug(text), mark);
  await told;
}

/** Goes the journeys one after the other; prints a line of JSON for each. Whoever ends it before is told where it was. */
export async function go(journeys) {
  let isIn = true;
  let going = "";
  process.on("SIGTERM", () => {
    console.log(JSON.stringify({ name: going, ok: false, detail: `broken off at ${page.url()}\n${errors.join("\n")}` }));
    process.exit(1);
  });
  for (const [name, journey] of Object.entries(journeys)) {
    if (ONLY !== undefined && !ONLY.includes(name)) continue;
    expected = [];
    going = name;
    if (!isIn) {
      console.log(JSON.stringify({ name, ok: false, detail: "nobody is logged in" }));
      continue;
    }
    const began = Date.now();
    try {
      await journey();
      await noted();
      console.log(JSON.stringify({ name, ok: true, detail: `${Date.now() - began} ms` }));
    } catch (error) {
      isIn = name !== "loggingIn";
      if (PICTURES !== undefined) await page.screenshot({ path: `${PICTURES}/failed-${name}.png` });
      console.log(JSON.stringify({ name, ok: false, detail: `${error.message}\nat ${page.url()}\n${errors.join("\n")}` }));
    }
  }
  await browser.close();
}
