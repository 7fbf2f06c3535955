// Journeys to alarms: a rule tried over the past, what is kept with an alarm, alarms of a moment.

import { api, axe, check, heading, open, page, picture, save } from "./harness.mjs";

const RULE = "e2e-tried";
const CONDITION = { operand1: "VrouterAgent.res_limit", operation: "!=", operand2: { json_value: "true" }, variables: [] };

async function made() {
  const reply = await api("POST", "/api/v1/alarm", {
    fq_name: ["default-global-system-config", RULE],
    parent_type: "global-system-config",
    alarm_severity: 2,
    uve_keys: { uve_key: ["vrouter"] },
    alarm_rules: { or_list: [{ and_list: [CONDITION] }] },
    annotations: { key_value_pair: [{ key: "collect", value: "agent/status" }] },
  });
  check(reply.status === 201, JSON.stringify(reply));
  return reply.json.uuid;
}

const alarm = () => page.getByRole("row").filter({ hasText: RULE }).first();

export async function tryingARuleAndReadingItsAlarm() {
  await open("/");
  const uuid = await made();
  try {
    await open(`/o/alarm/${uuid}`);
    await heading(RULE).waitFor();
    await page.getByRole("button", { name: "Try over the past" }).click();
    const tried = page.getByRole("dialog");
    await tried.getByText(/alarms?, of \d+ entities/).waitFor();
    await tried.getByText(/VrouterAgent.res_limit != true: it is (false|null)/).first().waitFor();
    await axe("a rule that was tried");
    await picture("dry-run");

    // In the editor, the rule is tried as it would be.
    await open(`/o/alarm/${uuid}/edit`);
    await page.getByRole("button", { name: "Try over the past" }).click();
    await page.getByRole("dialog").getByText(/VrouterAgent.res_limit != true/).first().waitFor();

    // When it lets go is set in the same editor; what is no time is said as one types.
    await open(`/o/alarm/${uuid}/edit`);
    const times = page.getByRole("region", { name: "Times" });
    await times.getByRole("textbox", { name: "Gone after" }).fill("soon");
    await times.getByText("a whole number from 0 to 86400").waitFor();
    await times.getByRole("textbox", { name: "Gone after" }).fill("1");
    await axe("times of a rule");
    await save(RULE);
    const saved = await api("GET", `/api/v1/alarm/${uuid}`);
    const notes = saved.json.annotations.key_value_pair.map(({ key, value }) => `${key}=${value}`);
    check(notes.join() === "collect=agent/status,idle-timer-seconds=1", notes.join());

    await open("/alarms");
    await alarm().waitFor();
    await alarm().getByRole("button", { name: "Expand row" }).click();
    await page.getByRole("region", { name: "Why" }).getByText("VrouterAgent.res_limit != true").waitFor();
    // Pages are asked for once the alarm stands; until then its row was opened too early.
    const kept = page.getByRole("region", { name: "Kept: agent status" });
    for (let tries = 0; tries < 20 && (await kept.count()) === 0; tries += 1) {
      await page.waitForTimeout(1000);
      await page.reload();
      await alarm().getByRole("button", { name: "Expand row" }).click();
      await page.getByRole("region", { name: "Why" }).waitFor();
      await page.waitForTimeout(500);
    }
    await kept.getByRole("table").waitFor();
    await axe("an alarm with what was kept");
    await picture("alarm");
  } finally {
    await api("DELETE", `/api/v1/alarm/${uuid}`);
  }
  // The moment is of whole seconds, and what is kept of a change a second after it.
  const then = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
  await page.waitForFunction((ms) => Date.now() > ms + 5000, Date.parse(then));
  await open(`/at/${then}/alarms`);
  await page.getByRole("region", { name: "Time machine" }).waitFor();
  await alarm().waitFor();
  check((await alarm().getByRole("button", { name: "Acknowledge" }).count()) === 0, "an alarm of the past can be acknowledged");
  await open(`/at/${then}/monitor?view=vrouter`);
  await page.getByRole("columnheader", { name: "Ports" }).waitFor();
  await page.locator("tbody tr.ant-table-row").first().waitFor();
  await axe("hosts of the past");
  await open("/alarms");
  await alarm().waitFor({ state: "detached" });
}
