// A journey through the loss of a host, and its return. Gone by lab.mjs; whoever began it kills the host and starts it again.

import { api, axe, check, open, page, picture, ready, row } from "./harness.mjs";
import { changeScene, setScene } from "./past.mjs";

const HOST = "compute2";
const PORT = "default-domain:red:app";
/** A node is dead when nothing of it is connected for 60 s, and its alarm soaks for 30. */
const SLOW_MS = 150_000;

const rows = () => page.getByRole("main").locator("tr.ant-table-row").filter({ hasText: HOST });
const itself = () => rows().filter({ hasText: "node-status" }).filter({ hasText: "vrouter" });

export async function seeingAHostDieAndComeBack() {
  await open("/alarms");
  const hosts = (await api("GET", "/api/v1/virtual-router?sort=fq_name&fields=")).json.items.map(({ fq_name: name }) => name.at(-1));
  await setScene(["compute1", HOST].map((end) => hosts.find((each) => each.endsWith(end))));
  const port = await api("GET", `/api/v1/virtual-machine-interface/by-name/${PORT}`);
  const change = async (description) => {
    const reply = await api("PATCH", `/api/v1/virtual-machine-interface/${port.json.uuid}`, { id_perms: { ...port.json.id_perms, description } });
    check(reply.status === 200, JSON.stringify(reply));
  };
  await page.getByRole("columnheader", { name: "Severity" }).waitFor();
  await rows().first().waitFor({ state: "detached" });
  await ready();

  // What is changed meanwhile is not programmed there, and its row says so.
  await change("while its host is away");
  await open("/o/virtual-machine-interface?q=fq_name:eq:" + PORT);
  await row("app").getByText(/^[…?✗] /).waitFor({ timeout: SLOW_MS });
  const why = await row("app").getByText(/^[…?✗] /).getAttribute("title");
  check(why.includes(HOST), `the port's row says ${why}`);
  await picture("host-lost-port");
  await open("/nodes");
  await page.getByRole("row").filter({ hasText: HOST }).getByText(/^(Not connected|No answer)$/).waitFor();
  await axe("the infrastructure without a host");

  await open("/alarms");
  // One alarm of the host; what it takes with it is below it, not beside it.
  await itself().getByText(/^\d+ more follow from it$/).waitFor({ timeout: SLOW_MS });
  check((await rows().count()) === 1, "alarms of the host are beside its own");
  await axe("the alarm of a host");
  await itself().getByRole("button", { name: "Expand row" }).click();
  const following = page.getByRole("region", { name: "What follows from it" });
  await following.getByRole("row").nth(1).waitFor();
  const below = (await following.getByRole("row").count()) - 1;
  const told = Number(/^(\d+) more/.exec(await itself().getByText(/more follow/).innerText())[1]);
  await following.getByRole("row").filter({ hasText: "xmpp-connectivity" }).filter({ hasText: "control1" }).waitFor();
  check(below === told, `${told} alarms are said to follow, ${below} are shown`);
  await axe("what follows from a host's alarm");
  await picture("host-lost");
  await changeScene();

  await ready();
  await open("/nodes");
  await page.getByRole("row").filter({ hasText: HOST }).getByText("Functional", { exact: true }).waitFor({ timeout: SLOW_MS });
  await open("/o/virtual-machine-interface?q=fq_name:eq:" + PORT);
  await row("app").getByText("✓ programmed").waitFor({ timeout: SLOW_MS });
  await open("/alarms");
  await rows().first().waitFor({ state: "detached", timeout: SLOW_MS });
}
