/** The stream that all pages of a browser share: who is told what, by whose log-in, and what becomes of interruptions. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Hub } from "./hub";
import { type Port, SIGN_MS, type ToPage, type Wish } from "./shared";
import { Stream } from "./stream";

type Told<K extends ToPage["kind"]> = Extract<ToPage, { readonly kind: K }>;

class Page implements Port {
  readonly heard: ToPage[] = [];
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  postMessage(message: ToPage): void {
    this.heard.push(message);
  }

  wish(types: readonly string[], rest: Partial<Wish> = {}): void {
    this.#hub.take(this, { kind: "wish", who: "ann", token: "t1", types, ...rest }, Date.now());
  }

  leave(): void {
    this.#hub.take(this, { kind: "leave" }, Date.now());
  }

  all<K extends ToPage["kind"]>(kind: K): Told<K>[] {
    return this.heard.filter((each): each is Told<K> => each.kind === kind);
  }

  get standing(): Told<"standing"> | undefined {
    return this.all("standing").at(-1);
  }
}

/** One request for a stream, and what it is answered. */
class Asked {
  readonly path: string;
  readonly token: string | null;
  readonly signal: AbortSignal;
  readonly reply: Promise<Response>;
  #answer: (reply: Response) => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(path: string, token: string | null, signal: AbortSignal) {
    [this.path, this.token, this.signal] = [path, token, signal];
    this.reply = new Promise((resolve, reject) => {
      this.#answer = resolve;
      this.#fail = reject;
      signal.addEventListener("abort", () => {
        reject(new Error("aborted"));
        this.#body?.error(new Error("aborted"));
      });
    });
  }

  get query(): Record<string, string> {
    return Object.fromEntries(new URL(this.path, "http://here").searchParams);
  }

  async answer(status: number): Promise<void> {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#body = controller) });
    this.#answer(new Response(status === 200 ? body : null, { status }));
    await settled();
  }

  async fail(): Promise<void> {
    this.#fail(new TypeError("nobody is there"));
    await settled();
  }

  async say(event: string, data: unknown): Promise<void> {
    this.#body?.enqueue(new TextEncoder().encode(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
    await settled();
  }

  async end(): Promise<void> {
    this.#body?.close();
    await settled();
  }

  async update(key: string, type: string | null, value: unknown): Promise<void> {
    await this.say("update", { key, type, value });
  }
}

const settled = () => vi.advanceTimersByTimeAsync(0);
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);
let asked: Asked[] = [];
let hub = new Hub();
const last = (): Asked => asked.at(-1) ?? expect.unreachable("nothing was asked");
const open = () => asked.filter(({ signal }) => !signal.aborted).length;

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  hub = new Hub(() => new Stream((...request) => {
    const made = new Asked(...request);
    asked.push(made);
    return made.reply;
  }));
});
afterEach(() => vi.useRealTimers());

async function begun(...wishes: readonly (readonly string[])[]): Promise<Page[]> {
  const pages = wishes.map((types) => {
    const page = new Page(hub);
    page.wish(types);
    return page;
  });
  await pass(100);
  await last().answer(200);
  await last().say("config", { kind: "start", revision: 7, history: "h" });
  return pages;
}

async function tell(...vrouters: readonly string[]): Promise<void> {
  await last().say("init", null);
  for (const name of vrouters) await last().update(`ObjectVRouter:${name}`, "A", { n: 1 });
  await last().say("synced", null);
}

test("ten pages are told by one stream, of the types that any of them shows", async () => {
  const pages = await begun(...Array.from({ length: 9 }, () => ["vrouter"]), ["alarms", "bgp-peer"]);
  await tell("c1");
  await last().say("config", { kind: "changes", revision: 8, history: "h", changes: [{ kind: "create", type: "project", uuid: "u", fq_name: ["p"] }] });
  expect(asked.length).toBe(1);
  expect(last().query).toEqual({ types: "bgp-peer,vrouter", alarms: "all" });
  for (const page of pages) {
    expect(page.all("changes").map(({ changes }) => changes[0]?.uuid)).toEqual(["u"]);
    expect([page.standing?.changes, page.standing?.uves.phase]).toEqual(["live", "live"]);
  }
  expect(pages[0]?.all("uves")).toEqual([{ kind: "uves", type: "vrouter", isWhole: true, entities: [["c1", { A: { n: 1 } }]] }]);
  expect(pages[9]?.all("uves").map(({ type }) => type)).toEqual(["bgp-peer"]);
  expect(pages[9]?.all("alarms").length).toBe(1);
});

test("after everything was told, only what changed is told", async () => {
  const [page] = await begun(["vrouter"]);
  await tell("c1", "c2");
  await last().update("ObjectVRouter:c2", "A", { n: 2 });
  await last().update("ObjectVRouter:c1", null, null);
  await pass(500);
  expect(page?.all("uves").at(-1)).toEqual({ kind: "uves", type: "vrouter", isWhole: false, entities: [["c2", { A: { n: 2 } }], ["c1", null]] });
});

test("a page that comes later is told everything of what is known already, without another stream", async () => {
  await begun(["vrouter"]);
  await tell("c1");
  const late = new Page(hub);
  late.wish(["vrouter"], { token: "t2" });
  await pass(1000);
  expect(late.all("uves")).toEqual([{ kind: "uves", type: "vrouter", isWhole: true, entities: [["c1", { A: { n: 1 } }]] }]);
  expect(late.standing?.uves.phase).toBe("live");
  expect(asked.length).toBe(1);
});

test("another type begins the stream anew where it was; what was told before stays until then", async () => {
  const [page] = await begun(["vrouter"]);
  await tell("c1");
  page?.wish(["bgp-peer", "vrouter"]);
  await pass(100);
  expect(last().query).toEqual({ types: "bgp-peer,vrouter", from_revision: "8", history: "h" });
  expect(open()).toBe(1);
  expect(page?.all("uves").map(({ type }) => type)).toEqual(["vrouter"]);
  expect(page?.standing?.uves.phase).toBe("live");
  await last().answer(200);
  await tell("c1");
  expect(page?.all("uves").map(({ type, isWhole }) => [type, isWhole])).toEqual([["vrouter", true], ["bgp-peer", true], ["vrouter", true]]);
});

test("a server that went is tried again, changes are resumed, and the gap is noted", async () => {
  const [page] = await begun(["vrouter"]);
  await tell("c1");
  await last().end();
  expect([page?.standing?.changes, page?.standing?.uves.phase]).toEqual(["broken", "broken"]);
  await pass(2000);
  await last().fail();
  await pass(2000);
  expect(asked.length).toBe(3);
  expect(last().query["from_revision"]).toBe("8");
  await last().answer(200);
  await last().say("config", { kind: "lost", revision: 90, history: "other" });
  expect(page?.standing?.changes).toBe("live");
  expect(page?.all("anew").length).toBe(3);
  await tell();
  expect(page?.all("uves").at(-1)?.entities).toEqual([]);
  expect(page?.standing?.uves.gaps.length).toBe(1);
});

test("a server that says nothing for half a minute is left", async () => {
  const [page] = await begun([]);
  await pass(31_000);
  expect(page?.standing?.changes).toBe("broken");
  await pass(2000);
  expect(asked.length).toBe(2);
});

test("while analytics is away, changes of the configuration are told", async () => {
  const [page] = await begun(["vrouter"]);
  await tell("c1");
  await last().say("absent", { part: "analytics", status: 503 });
  expect([page?.standing?.changes, page?.standing?.uves.phase]).toEqual(["live", "broken"]);
  await tell("c1", "c2");
  expect(page?.standing?.uves).toMatchObject({ phase: "live", gaps: [{}] });
  await last().say("absent", { part: "config", status: 403 });
  expect([page?.standing?.changes, page?.standing?.uves.phase]).toEqual(["refused", "live"]);
});

test("when a log-in has expired another page's is taken, and without one everybody is told", async () => {
  const [first] = await begun([]);
  const second = new Page(hub);
  second.wish([], { token: "t2" });
  await last().end();
  await pass(2000);
  await last().answer(401);
  expect(last().token).toBe("t2");
  expect(first?.standing).toMatchObject({ isOver: false });
  await last().answer(401);
  expect(asked.length).toBe(3);
  expect([first, second].map((page) => page?.standing)).toMatchObject([{ changes: "refused", isOver: true }, { changes: "refused", isOver: true }]);
  await pass(SIGN_MS);
  first?.wish([]);
  await pass(1000);
  expect(asked.length).toBe(3);
  first?.wish([], { token: "t3" });
  await pass(100);
  expect(last().token).toBe("t3");
});

test("the stream of a page that leaves goes on by the log-in of another, and ends with the last", async () => {
  const [first, second] = await begun([], []);
  second?.wish([], { token: "t2" });
  first?.leave();
  await pass(0);
  expect([asked.length, open(), last().token]).toEqual([2, 1, "t2"]);
  second?.leave();
  expect(open()).toBe(0);
});

test("people do not share a stream", async () => {
  const [ann] = await begun([]);
  const bob = new Page(hub);
  bob.wish([], { who: "bob", token: "t9" });
  await pass(100);
  expect([asked.length, open()]).toEqual([2, 2]);
  await last().answer(200);
  await last().say("config", { kind: "start", revision: 1, history: "h" });
  await last().say("config", { kind: "changes", revision: 2, history: "h", changes: [{ kind: "create", type: "project", uuid: "u", fq_name: ["p"] }] });
  expect(bob.all("changes").length).toBe(1);
  expect(ann?.all("changes")).toEqual([]);
  // Another one logs in at the same page.
  ann?.wish([], { who: "bob", token: "t9" });
  expect(open()).toBe(1);
});

test("who may watch nothing is told so, and not tried again until something else is shown", async () => {
  const page = new Page(hub);
  page.wish([]);
  await pass(100);
  await last().answer(403);
  expect(page.standing).toMatchObject({ changes: "refused", isOver: false });
  await pass(60_000);
  page.wish([]);
  await pass(1000);
  expect(asked.length).toBe(1);
  page.wish(["vrouter"]);
  await pass(100);
  expect(asked.length).toBe(2);
});

test("a page that gives no sign is forgotten, and reads anew when it is back", async () => {
  const [page, other] = await begun([], []);
  for (let times = 0; times < 14; times += 1) {
    await pass(SIGN_MS / 2);
    other?.wish([]);
    await last().say("config", { kind: "bookmark", revision: 7, history: "h" });
  }
  const before = page?.all("anew").length ?? 0;
  await last().say("config", { kind: "changes", revision: 8, history: "h", changes: [{ kind: "create", type: "project", uuid: "u", fq_name: ["p"] }] });
  expect([page?.all("changes").length, other?.all("changes").length]).toEqual([0, 1]);
  page?.wish([]);
  expect(page?.all("anew").length).toBe(before + 1);
});
