// A journey through the loss of one of several analytics nodes that each keep a part. Gone by lab.mjs; whoever began it ends the node and starts it again.

import { axe, check, heading, open, page, picture, ready } from "./harness.mjs";
import { settled, walkTo } from "./walk.mjs";

/** What each node keeps, and where the other one reaches the node that is lost. */
const { KEPT_HERE, KEPT_THERE, LOST_NODE } = process.env;
const LOGS = "/query?table=MessageTable&columns=MessageTS,Source,Xmlmessage&from=now-1h&sort=MessageTS";

const banner = () => page.getByRole("status").filter({ hasText: "Logs, flows and numbers are not all here" });
const rowOf = (text) => page.getByRole("row").filter({ hasText: text }).first();

export async function missingWhatANodeKeeps() {
  await open(LOGS);
  for (const kept of [KEPT_HERE, KEPT_THERE]) await rowOf(kept).waitFor();
  check((await banner().count()) === 0, "something is said to be missing where all is there");

  await ready();
  await page.getByRole("button", { name: "Ask", exact: false }).click();
  await banner().getByText(LOST_NODE).waitFor();
  await rowOf(KEPT_HERE).waitFor();
  await rowOf(KEPT_THERE).waitFor({ state: "detached" });
  await axe("a part of history that is missing");
  await picture("missing-part");
  // It stands on every page until something is answered whole.
  await walkTo("/o/virtual-network");
  await banner().waitFor();
  await walkTo("/flows?from=now-1h");
  await banner().waitFor();

  await ready();
  await open(LOGS);
  await heading("Logs and flows").waitFor();
  await settled("the logs of both nodes");
  await rowOf(KEPT_THERE).waitFor();
  check((await banner().count()) === 0, "something is said to be missing though its node is back");
}
