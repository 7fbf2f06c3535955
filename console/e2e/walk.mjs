// Every page there is, as the console's own table of routes has them: for what has to hold on all of them.

import { readFile } from "node:fs/promises";

import { api, axe, check, errors, expecting, isThere, open, page } from "./harness.mjs";

const SETTLED_MS = 30_000;
const QUIET_COUNT = 3;
/** Questions that are answered for as long as somebody listens. */
const STREAM = /\/api\/v1\/(live|events|watch)/;
const SHELL = await readFile(new URL("../src/app/Shell.tsx", import.meta.url), "utf8");
export const ROUTES = [...SHELL.matchAll(/<Route path="(\/[^"]*)"/g)].map(([, path]) => path);

/** Types whose pages stand for those of all. */
const TYPES = ["virtual-network", "network-policy"];

/** An address for each route; `node` and `process` name one of the infrastructure. */
export async function addresses({ node, process }) {
  const found = [];
  for (const route of ROUTES) {
    if (route.includes(":node")) found.push(route.replace(":node", encodeURIComponent(node)).replace(":process", encodeURIComponent(process)));
    else if (route.includes(":type")) {
      for (const type of TYPES) {
        const { json } = await api("GET", `/api/v1/${type}?limit=1&fields=`);
        const [first] = json.items ?? [];
        if (route.includes(":uuid") && first === undefined) continue;
        found.push(route.replace(":type", type).replace(":uuid", first?.uuid));
      }
    } else found.push(route);
  }
  const unknown = found.filter((path) => path.includes(":"));
  check(unknown.length === 0, `no address for ${unknown.join(", ")}`);
  return found;
}

const asking = new WeakMap();

/** Counts what a page has asked for and not got yet; to be called before it is opened. */
export function watched(on) {
  const waiting = new Set();
  asking.set(on, waiting);
  // The browser tells of no end of what a worker is made of.
  on.on("request", (request) => STREAM.test(request.url()) || request.url().includes("/console/") || waiting.add(request));
  for (const end of ["requestfinished", "requestfailed"]) on.on(end, (request) => waiting.delete(request));
  return on;
}
watched(page);

/** What a page waits for; empty: nothing. */
async function waitsFor(on) {
  const [request] = asking.get(on);
  if (request !== undefined) return `${request.method()} ${request.url()}`;
  if (!(await isThere(on))) return "its code";
  return (await on.locator(".ant-spin-spinning:visible, .ant-skeleton:visible").count()) === 0 ? "" : "what turns";
}

/** Waits until the page of the address is there, has asked for what it shows and shows it. */
export async function settled(what, on = page) {
  const began = Date.now();
  await on.getByRole("main").waitFor();
  for (let quiet = 0; quiet < QUIET_COUNT; ) {
    await on.waitForTimeout(50);
    const waits = await waitsFor(on);
    quiet = waits === "" ? quiet + 1 : 0;
    check(Date.now() - began < SETTLED_MS, `${what} waits for ${waits} after ${SETTLED_MS / 1000} s`);
  }
  const text = await on.getByRole("main").innerText();
  check(text.trim().length > 20, `${what} is empty: ${JSON.stringify(text)}`);
  return text;
}

/** Shows the tabs of a page, one after the other. */
export async function* tabsOf(what) {
  const tabs = page.getByRole("main").getByRole("tab");
  for (let number = 0; number < (await tabs.count()); number += 1) {
    const title = await tabs.nth(number).innerText();
    await tabs.nth(number).click();
    await settled(`${what} (${title})`);
    yield `${what} (${title})`;
  }
}

/** Within the console, now or at the moment that is shown: no page load. */
export async function walkTo(path) {
  await page.evaluate((to) => {
    const [root] = /^\/console(\/at\/[^/]+)?/.exec(location.pathname);
    history.pushState(null, "", `${root}${to}`);
    dispatchEvent(new PopStateEvent("popstate"));
  }, path);
  return await settled(path);
}

export async function aProcess() {
  const { json } = await api("GET", "/api/v1/analytics/introspect/process?timeout=3");
  return { node: json.rows[0].node, process: json.rows[0].process };
}

export async function walkingEverywhereInBothColours() {
  // This server keeps no history.
  expecting(404);
  await open("/");
  const problems = [];
  for (const path of await addresses(await aProcess())) {
    await walkTo(path);
    for (const other of ["Dark colours", "Light colours"]) {
      await axe(`${path} before turning to ${other}`).catch((error) => problems.push(error.message));
      await page.getByRole("button", { name: other }).click();
    }
  }
  check(problems.length === 0, problems.join("\n"));
}

async function isSilent(what) {
  check(!(await page.content()).includes("hidden-"), `${what} shows what is another project's`);
  check(errors.length === 0, `${what}: ${errors.join(", ")}`);
}

export async function seeingOnlyOnesOwnAsAMember() {
  expecting(404);
  const theirs = { parent_type: "project", fq_name: ["default-domain", "hidden-tenant", "hidden-one"] };
  const operations = [
    { op: "create", type: "project", object: { fq_name: ["default-domain", "hidden-tenant"] } },
    { op: "create", type: "virtual-network", object: theirs },
    { op: "create", type: "network-policy", object: theirs },
    { op: "create", type: "virtual-machine-interface", object: { ...theirs, virtual_network_refs: [{ to: theirs.fq_name }] } },
    { op: "create", type: "logical-router", object: theirs },
  ];
  const made = await api("POST", "/api/v1/transaction", { operations });
  check(made.status === 200, JSON.stringify(made.json));
  const place = await aProcess();
  const admin = await page.evaluate(() => sessionStorage.getItem("skytrail.token"));
  const { json } = await api("POST", "/api/v1/login", { user: "ann", password: "a long enough word" });
  await page.evaluate((token) => sessionStorage.setItem("skytrail.token", token), json.token);
  await open("/");
  for (const path of await addresses(place)) {
    await walkTo(path);
    await isSilent(path);
    for await (const tab of tabsOf(path)) await isSilent(tab);
  }
  await page.evaluate((token) => sessionStorage.setItem("skytrail.token", token), admin);
  await api("POST", "/api/v1/transaction", { operations: operations.toReversed().map(({ type, object }) => ({ op: "delete", type, name: object.fq_name })) });
  await open("/");
}
