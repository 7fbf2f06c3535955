// A journey by keyboard alone: a network with a subnet, and a rule of a policy. Gone by journeys.mjs.

import { api, check, heading, open, page } from "./harness.mjs";

const TABS_MAX = 120;

/** What has the focus, as a reader of the screen is told of it. */
const focused = () =>
  page.evaluate(() => {
    const here = document.activeElement;
    const label = here.getAttribute("aria-label") ?? here.labels?.[0]?.innerText ?? here.innerText ?? "";
    return `${here.getAttribute("role") ?? here.tagName.toLowerCase()} ${label.trim()}`;
  });

/** Tabs until something has the focus that is told of so; it must be seen that it has. */
async function tabTo(wanted) {
  const passed = [];
  for (let times = 0; times < TABS_MAX; times += 1) {
    await page.keyboard.press("Tab");
    const told = await focused();
    passed.push(told);
    if (!wanted.test(told)) continue;
    const isMarked = await page.evaluate(() =>
      [document.activeElement, document.activeElement.parentElement, document.activeElement.closest(".ant-select")].some((each) => {
        if (each === null) return false;
        const { outlineStyle, outlineWidth, boxShadow, borderColor } = getComputedStyle(each);
        return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none" || borderColor !== getComputedStyle(document.body).borderColor;
      }),
    );
    check(isMarked, `nothing shows that ${told} has the focus`);
    return;
  }
  throw new Error(`no way by Tab to ${wanted}: ${passed.slice(-40).join(" | ")}`);
}

const hasFocus = (label) => page.waitForFunction((text) => document.activeElement?.getAttribute("aria-label") === text, label);
const type = (text) => page.keyboard.type(text);
const press = (key) => page.keyboard.press(key);

/** Where the API has the object whose page is shown. */
const shown = () => new URL(page.url()).pathname.replace("/console/o/", "/api/v1/");

export async function workingByKeyboardAlone() {
  await open("/");
  await heading("Dashboard").waitFor();
  // To the form by the search: no pointer, no address typed.
  await press("Control+k");
  await hasFocus("Search objects and types");
  await type("virtual-network");
  await page.getByRole("option", { name: /Virtual network/ }).first().waitFor();
  await press("Enter");
  await heading("Virtual networks").waitFor();
  await tabTo(/^(a|button) (plus )?Create$/);
  await press("Enter");
  await heading("New virtual network").waitFor();
  await tabTo(/^input Name/);
  await type("by-keyboard");
  await tabTo(/^button .*Add subnet$/);
  await press("Enter");
  await tabTo(/^input Prefix of subnet 1/);
  await type("10.77.0.0/24");
  await page.keyboard.press("Control+Home");
  for (let back = 0; back < TABS_MAX && !(await focused()).endsWith("Create"); back += 1) await press("Shift+Tab");
  await press("Enter");
  await heading("by-keyboard").waitFor();
  const made = shown();

  await press("Control+k");
  await hasFocus("Search objects and types");
  await type("network-policy");
  await page.getByRole("option", { name: /Network policies/ }).first().waitFor();
  await press("Enter");
  await heading("Network policies").waitFor();
  await tabTo(/^(a|button) (plus )?Create$/);
  await press("Enter");
  await heading("New network policy").waitFor();
  await tabTo(/^input Name/);
  await type("by-keyboard");
  await tabTo(/^button .*Add rule$/);
  await press("Enter");
  await tabTo(/^input Destination ports of rule 1/);
  await page.keyboard.press("Control+a");
  await type("443");
  for (let back = 0; back < TABS_MAX && !(await focused()).endsWith("Create"); back += 1) await press("Shift+Tab");
  await press("Enter");
  await heading("by-keyboard").waitFor();

  // Below the project that the last object was made in.
  const network = await api("GET", made);
  check(JSON.stringify(network.json.network_ipam_refs ?? []).includes("10.77.0.0"), `the network has no subnet: ${JSON.stringify(network.json.network_ipam_refs)}`);
  const policy = await api("GET", shown());
  const [rule] = policy.json.network_policy_entries?.policy_rule ?? [];
  check(rule?.dst_ports?.[0]?.start_port === 443, `the policy has no such rule: ${JSON.stringify(policy.json.network_policy_entries)}`);
  for (const [kind, { json }] of [["network-policy", policy], ["virtual-network", network]]) await api("DELETE", `/api/v1/${kind}/${json.uuid}`);
}
