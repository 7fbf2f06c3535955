// A journey through every page with names that are meant to harm whoever reads them. Gone by lab.mjs; what hosts tell under such names is told by whoever began it.

import { readFile } from "node:fs/promises";

import { api, axe, check, errors, expecting, open, page, picture } from "./harness.mjs";
import { addresses, aProcess, settled, tabsOf } from "./walk.mjs";

const PROJECT = ["default-domain", "red"];
const MARKUP = `<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>`;
/** From right to left by its letters, and without an end. */
const LONG = `\u05D0\u05D1\u05D2 ${"w".repeat(180)}`;
/** Told by processes: the API takes no new object of such a name. */
const TURNED = "\u202Efdp.exe\u202C\u009B31m";
const TURNED_SHOWN = "⟨U+202E⟩fdp.exe⟨U+202C⟩⟨U+009B⟩31m";
const FORMULA = '=HYPERLINK("http//evil")';
const NAMES = [MARKUP, LONG, FORMULA];
const TYPES = ["virtual-network", "network-policy", "security-group", "logical-router", "application-policy-set"];

async function isUnharmed(what) {
  const found = await page.evaluate(() => ({
    harmed: window.harmed !== undefined,
    alien: document.querySelectorAll('img[src="x"], script:not([src])').length,
    beyond: document.documentElement.scrollWidth - innerWidth,
    below: document.documentElement.scrollHeight - innerHeight,
    // oxlint-disable-next-line no-control-regex -- these are what must not be there
    turning: /.{0,60}[\u007F-\u009F\u2028-\u202E\u2066-\u2069].{0,60}/.exec(document.body.outerHTML)?.[0],
  }));
  check(!found.harmed && found.alien === 0, `${what}: a name was taken for markup: ${JSON.stringify(found)}`);
  check(found.beyond <= 0 && found.below <= 0, `${what}: a name pushes the page out of the window by ${found.beyond} and ${found.below}`);
  check(found.turning === undefined, `${what} has a character that misleads: ${JSON.stringify(found.turning)}`);
  check(errors.length === 0, `${what}: ${errors.join(", ")}`);
}

/** No text of a drawing's cards is wider than its card. */
async function cardsHold(what) {
  const wide = await page.evaluate(() => [...document.querySelectorAll(".map-card")].flatMap((card) => {
    const frame = card.querySelector("rect").getBoundingClientRect();
    return [...card.querySelectorAll("text")].filter((text) => text.getBoundingClientRect().right > frame.right).map((text) => text.textContent);
  }));
  check(wide.length === 0, `${what}: ${wide.join(", ")} leave their cards`);
}

async function download(button, choice) {
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: button }).first().click().then(() => (choice === undefined ? undefined : page.getByRole("menuitem", { name: choice }).click())),
  ]);
  return await readFile(await file.path(), "utf8");
}

export async function meetingNamesThatAreMeantToHarm() {
  // A lab keeps no users of its own.
  expecting(400, 501);
  await open("/");
  const operations = NAMES.flatMap((name) => [
    ...TYPES.map((type) => ({ op: "create", type, object: { parent_type: "project", fq_name: [...PROJECT, name], display_name: name } })),
    { op: "create", type: "virtual-machine-interface", object: { parent_type: "project", fq_name: [...PROJECT, name], virtual_network_refs: [{ to: [...PROJECT, name] }] } },
  ]);
  const made = await api("POST", "/api/v1/transaction", { operations });
  check(made.status === 200, JSON.stringify(made.json).slice(0, 500));
  try {
    // The rest show names by the same components: nightly.
    const paths = process.env.SKYTRAIL_NIGHTLY === undefined ? [] : await addresses(await aProcess());
    const own = operations.map(({ type }, index) => `/o/${type}/${made.json.results[index].uuid}`).filter((path) => /virtual-(network|machine-interface)/.test(path)).slice(0, 3);
    const project = PROJECT.join(":");
    const more = ["chains", "floating-ips", "ports", "routers", "security", "topology", "addresses"].map((each) => `/${each}?project=${project}`);
    for (const path of [...paths, ...own, ...more, "/flows?from=now-1h", "/query?from=now-1h"]) {
      await open(path);
      await settled(path);
      await isUnharmed(path);
      for await (const tab of tabsOf(path)) await isUnharmed(tab);
    }

    // They are shown as they are.
    await open("/o/virtual-network");
    for (const name of [MARKUP, LONG, FORMULA]) await page.getByRole("link", { name, exact: true }).waitFor();
    await axe("a list of hostile names");
    await picture("hostile-list");
    const table = await download("Export", /^CSV/);
    check(table.includes(`"'${FORMULA.replaceAll('"', '""')}"`), "a spreadsheet takes a name for a formula");
    await open(`/topology?project=${project}`);
    await page.getByRole("button", { name: `${project}:${MARKUP}`, exact: true }).waitFor();
    await isUnharmed("the topology with its cards");
    await cardsHold("the topology");
    await picture("hostile-topology");

    // The API says why it takes no name that is turned around, and so does the form.
    const refused = await api("POST", "/api/v1/virtual-network", { fq_name: [...PROJECT, TURNED] });
    check(refused.status === 400 && refused.json.detail.includes("fq_name has the character U+202E"), JSON.stringify(refused));
    await open("/o/virtual-network/new");
    await page.getByRole("textbox", { name: "Name", exact: true }).fill(TURNED);
    await page.getByRole("button", { name: "Create", exact: true }).click();
    await page.getByRole("alert").getByText("the name has ⟨U+202E⟩").waitFor();

    // What is told under such names.
    await open("/nodes");
    await page.getByRole("row").filter({ hasText: MARKUP }).first().waitFor();
    await page.getByRole("row").filter({ hasText: TURNED_SHOWN }).first().waitFor();
    await isUnharmed("the infrastructure");
    await open("/monitor?view=vrouter");
    await page.getByRole("link", { name: TURNED_SHOWN, exact: true }).waitFor();
    await isUnharmed("hosts");
    await open("/alarms");
    await page.getByRole("row").filter({ hasText: MARKUP }).first().getByRole("button", { name: "Expand row" }).click();
    await isUnharmed("an alarm");
    await picture("hostile-alarms");
    await open("/topology");
    await page.getByText("Underlay", { exact: true }).click();
    await page.getByRole("button", { name: `switch leaf-${MARKUP}` }).waitFor();
    await isUnharmed("the underlay");
    await cardsHold("the underlay");
    await open("/flows?from=now-10m");
    await page.getByRole("button", { name: new RegExp("From .*onerror") }).first().press("Enter");
    await page.getByRole("complementary", { name: "Chosen" }).getByRole("region").first().waitFor();
    await isUnharmed("the service map");
    const side = await page.getByRole("complementary", { name: "Chosen" }).evaluate((each) => each.scrollWidth - each.clientWidth);
    check(side <= 0, `what is between two networks is ${side} pixels wider than its room`);
    await picture("hostile-flows");
    await open("/query");
    await page.getByText("Newest logs", { exact: true }).or(page.getByText("Logs", { exact: true })).first().click();
    await page.getByRole("row").filter({ hasText: MARKUP }).first().waitFor();
    await isUnharmed("logs");
    const logs = await download(/CSV$/);
    // A message is XML, as other tools read it.
    check(logs.includes("&lt;script&gt;window.harmed=1&lt;/script&gt;"), "the logs' table lacks what was logged");
  } finally {
    await open("/");
    const gone = await api("POST", "/api/v1/transaction", { operations: operations.toReversed().map(({ type, object }) => ({ op: "delete", type, name: object.fq_name })) });
    check(gone.status === 200, JSON.stringify(gone.json).slice(0, 500));
  }
}
