// Many tabs of one browser: all live by one stream, whoever of them leaves. Gone by journeys.mjs.

import { api, check, errors, expecting, newContext, PASSWORD, SERVER } from "./harness.mjs";
import { relayTo } from "./relay.mjs";

const TABS = 10;
const PROJECT = ["default-domain", "default-project"];
const SOON_MS = 10_000;

/** Waits for what changes without the page. */
async function until(holds, what) {
  const end = Date.now() + SOON_MS;
  while (!holds()) {
    check(Date.now() < end, what());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A tab with a log-in of its own. */
async function tabOf(context, relay, path, user, password) {
  const tab = await context.newPage();
  const { json } = await api("POST", "/api/v1/login", { user, password });
  await tab.addInitScript((value) => {
    // Once: whoever logs out stays out.
    if (window.name === "") sessionStorage.setItem("skytrail.token", value);
    window.name = "was logged in";
  }, json.token);
  tab.on("pageerror", (error) => errors.push(`a tab: ${error.message}`));
  await tab.goto(`${relay.url}/console${path}`);
  return tab;
}

/** As a person closes a tab: the page is told. */
const leave = (tab) => tab.close({ runBeforeUnload: true });
const named = (tab, name) => tab.getByRole("row").filter({ has: tab.getByRole("link", { name, exact: true }) });
const isLive = (tab) => tab.getByText("live", { exact: true }).waitFor();
const comes = (tab) => tab.getByRole("status", { name: "Stream" }).getByText("shown as it comes").waitFor();

export async function keepingTenTabsLiveByOneStream() {
  expecting(401, 404);
  const relay = await relayTo(SERVER);
  const context = await newContext();
  const one = () => until(() => relay.told.streams.size === 1, () => `${relay.told.streams.size} streams are open`);
  try {
    const lists = [];
    for (let number = 0; number < TABS - 2; number += 1) lists.push(await tabOf(context, relay, "/o/virtual-network", "admin", PASSWORD));
    const monitors = [];
    for (const view of ["control-node", "bgp-peer"]) monitors.push(await tabOf(context, relay, `/monitor?view=${view}`, "admin", PASSWORD));
    await Promise.all([...lists.map(isLive), ...monitors.map(comes)]);
    await one();

    const made = await api("POST", "/api/v1/virtual-network", { fq_name: [...PROJECT, "for-all-tabs"] });
    await Promise.all(lists.map((tab) => named(tab, "for-all-tabs").waitFor()));
    check(relay.told.most <= 2, `${relay.told.most} streams were open at a time, where one follows the other`);

    // The server goes; what happens meanwhile is told when it is back.
    relay.go();
    await Promise.all(lists.map((tab) => tab.getByText("not live", { exact: true }).waitFor()));
    await api("DELETE", `/api/v1/virtual-network/${made.json.uuid}`);
    relay.back();
    await Promise.all([...lists.map((tab) => named(tab, "for-all-tabs").waitFor({ state: "detached" })), ...monitors.map(comes)]);
    await one();
    await monitors[0].getByRole("note", { name: "Gaps" }).waitFor();

    // By whose log-in the stream came does not matter to the others.
    await lists[0].getByRole("button", { name: "Log out" }).click();
    await lists[0].getByRole("button", { name: "Log in" }).waitFor();
    await leave(lists[1]);
    await api("POST", "/api/v1/virtual-network", { fq_name: [...PROJECT, "after-some-left"] });
    await Promise.all(lists.slice(2).map((tab) => named(tab, "after-some-left").waitFor()));
    await one();

    // The past is not told; another person is, by a stream of his own.
    const before = relay.told.opened;
    const then = new Date(Date.now() - 1000).toISOString();
    const past = await tabOf(context, relay, `/at/${then}/o/virtual-network`, "admin", PASSWORD);
    await past.getByRole("region", { name: "Time machine" }).waitFor();
    await past.getByText("past", { exact: true }).waitFor();
    check(relay.told.opened === before, "a page of the past opened a stream");
    await api("PUT", "/api/v1/users/tab-reader", { password: "correct horse 7", roles: ["admin"] });
    const other = await tabOf(context, relay, "/o/virtual-network", "tab-reader", "correct horse 7");
    await isLive(other);
    await until(() => relay.told.streams.size === 2, () => `${relay.told.streams.size} streams are open for two people`);

    // Whoever is no longer a user sees the log-in.
    await api("DELETE", "/api/v1/users/tab-reader");
    await other.getByRole("button", { name: "Log in" }).waitFor();
    await one();
    for (const tab of [...lists.slice(2), ...monitors]) await leave(tab);
    await until(() => relay.told.streams.size === 0, () => `${relay.told.streams.size} streams are open for nobody`);
  } finally {
    await context.close();
    relay.close();
    const left = await api("GET", "/api/v1/virtual-network/by-name/default-domain:default-project:after-some-left");
    if (left.status === 200) await api("DELETE", `/api/v1/virtual-network/${left.json.uuid}`);
  }
}
