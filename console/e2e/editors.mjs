// Journeys through the editors that are made by hand.

import { api, axe, check, heading, open, page, picture } from "./harness.mjs";

/** Has one transaction carried out as the page's user. */
async function made(...operations) {
  const reply = await api("POST", "/api/v1/transaction", { operations });
  check(reply.status === 200, JSON.stringify(reply).slice(0, 400));
}

const create = (type, name, object = {}) => ({ op: "create", type, object: { fq_name: ["default-domain", ...name], ...object } });
const byName = async (type, name) => (await api("GET", `/api/v1/${type}/by-name/${name}`)).json;

async function pick(label, text, option = text) {
  const box = page.getByRole("combobox", { name: label, exact: true });
  await box.click();
  if (await box.isEditable()) await box.fill(text);
  await page.locator(".ant-select-dropdown:visible .ant-select-item-option").filter({ hasText: option }).first().click();
}

export async function decidingByTags() {
  const tag = (kind, value) => create("tag", ["shop", `${kind}=${value}`], { parent_type: "project", tag_type_name: kind, tag_value: value });
  await made(create("project", ["shop"]), tag("application", "Shop"), tag("tier", "web"), tag("tier", "app"), tag("tier", "db"));
  await open("/security?project=default-domain:shop");
  await page.getByRole("button", { name: "New set" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill("Shop");
  await pick("Application", "application=Shop");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByText("Holds for ports with application=Shop").waitFor();
  await page.getByRole("button", { name: /^From web to db: .*nothing passes/ }).press("Enter");
  await page.getByRole("heading", { name: "From web to db" }).waitFor();
  await page.getByRole("button", { name: "Add rule" }).click();
  const services = page.getByRole("combobox", { name: "Services of rule 1" });
  await services.fill("tpc 3306");
  await page.getByRole("alert").getByText("neither a service such as").waitFor();
  check(await page.getByRole("button", { name: "Save", exact: true }).isDisabled(), "a service that is none can be saved");
  await services.fill("tcp 3306");
  await page.getByRole("button", { name: /^From web to db:.*pass.*tcp 3306.*same application.*changed/ }).waitFor();
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByRole("dialog").getByText("default-domain:shop:web-to-db").first().waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved", { exact: true }).waitFor();
  const rule = await byName("firewall-rule", "default-domain:shop:web-to-db");
  check(rule.service?.dst_ports?.start_port === 3306 && rule.direction === ">", JSON.stringify(rule));
  await draftingARule();
}

async function draftingARule() {
  await page.getByRole("switch", { name: "Collect changes as a draft" }).click();
  await page.getByText("Draft: nothing waits").waitFor();
  await page.getByRole("combobox", { name: "Services of rule 1" }).fill("tcp 5432");
  await page.getByRole("button", { name: /^From app to db: .*nothing passes/ }).click();
  await page.getByRole("button", { name: "Add rule" }).click();
  await page.getByRole("combobox", { name: "Services of rule 1" }).fill("tcp 5432");
  await page.getByRole("button", { name: "Save to draft" }).click();
  await page.getByText("Draft: 3 waiting").waitFor();
  await axe("the matrix");
  await picture("security");
  const before = await byName("firewall-rule", "default-domain:shop:web-to-db");
  check(before.service.dst_ports.start_port === 3306, "a draft is enforced before its commit");
  await page.getByRole("button", { name: "Review draft" }).click();
  const drawer = page.getByRole("dialog");
  await drawer.getByRole("cell", { name: "pass tcp 5432 (same application)" }).first().waitFor();
  await axe("a draft");
  await picture("draft");
  await drawer.getByRole("button", { name: "Commit draft" }).click();
  await page.getByText("Draft: nothing waits").waitFor();
  const after = await byName("firewall-rule", "default-domain:shop:web-to-db");
  check(after.service.dst_ports.start_port === 5432, "the commit changed nothing");
  await page.getByRole("switch", { name: "Collect changes as a draft" }).click();
  await page.getByText("Enforced at once", { exact: true }).waitFor();
  await heading("Application policy").waitFor();
}
