// Measures the console in a real browser: how soon it is there, how smoothly a long list goes.
//
// Usage: CONSOLE_URL=... node measure.mjs    (bench/console.py); prints one JSON line per figure: {"name","value","unit"}.

import { chromium } from "playwright-core";

const SERVER = process.env.CONSOLE_URL;
const LOADS = 5;
const WHEELS = 240;
const DRAGS = 200;
const WHEEL_PX = 700;
const LONG_MS = 50;
const LIST = "/o/virtual-machine-interface";

const tell = (name, value, unit) => console.log(JSON.stringify({ name, value, unit }));
const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];

/** With nothing kept: another browser each time. */
async function fresh() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  return { browser, page };
}

/** Milliseconds from the beginning of the navigation until something is on the page, and bytes that came for it. */
async function loaded(path, seen, of) {
  const { browser, page } = await fresh();
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
  await page.goto(`${SERVER}/console${path}`, { waitUntil: "commit" });
  await page.waitForFunction(seen, of, { polling: "raf" });
  const took = await page.evaluate(() => performance.now());
  await browser.close();
  return { took, bytes };
}

/** Frames that came late while something was done, by the clock of the page itself. */
async function frames(page, work) {
  await page.evaluate(() => {
    globalThis.late = { gaps: [], tasks: [], going: true };
    new PerformanceObserver((list) => globalThis.late.tasks.push(...list.getEntries().map((each) => each.duration))).observe({ type: "longtask" });
    let before = performance.now();
    const next = (now) => {
      globalThis.late.gaps.push(now - before);
      before = now;
      if (globalThis.late.going) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
  await work();
  return page.evaluate(() => {
    globalThis.late.going = false;
    return globalThis.late;
  });
}

const hasRow = (number) => [...document.querySelectorAll(`[role="row"][aria-rowindex="${number}"]`)].some((row) => row.querySelector("a") !== null);
const isOther = (name) => {
  const link = document.querySelector('[role="row"][aria-rowindex="2"] a');
  return link !== null && link.textContent !== name;
};

const dashboardShown = () => document.querySelector("h1")?.textContent === "Dashboard" && [...document.querySelectorAll(".ant-statistic-content-value")].every((each) => each.textContent !== "–");

async function firstLoads() {
  const loads = [];
  for (let turn = 0; turn < LOADS; turn += 1) loads.push(await loaded("/", dashboardShown));
  tell("first_load_cold", median(loads.map(({ took }) => took)) / 1000, "s");
  tell("first_load_bytes", median(loads.map(({ bytes }) => bytes)) / 1000, "kB");
}

async function longList() {
  const first = [];
  for (let turn = 0; turn < LOADS; turn += 1) first.push((await loaded(LIST, hasRow, 2)).took);
  tell("list_first_rows_cold", median(first) / 1000, "s");
  const { browser, page } = await fresh();
  await page.goto(`${SERVER}/console${LIST}`);
  await page.waitForFunction(hasRow, 2);
  const grid = page.getByRole("grid");
  tell("list_rows", Number(await grid.getAttribute("aria-rowcount")) - 1, "rows");
  const box = await grid.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  const smooth = async (name, steps, step) => {
    const late = await frames(page, async () => {
      for (let turn = 0; turn < steps; turn += 1) {
        await step(turn);
        await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
      }
    });
    tell(`${name}_frames`, late.gaps.length, "frames");
    tell(`${name}_frame_median`, median(late.gaps), "ms");
    tell(`${name}_long_frames`, late.gaps.filter((gap) => gap > LONG_MS).length, "frames");
    tell(`${name}_longest_frame`, Math.max(...late.gaps), "ms");
    tell(`${name}_long_tasks`, late.tasks.length, "tasks");
  };
  await smooth("wheel", WHEELS, () => page.mouse.wheel(0, WHEEL_PX));
  // As by dragging the bar from end to end: other rows at each step.
  await smooth("drag", DRAGS, (turn) => grid.evaluate((scroller, share) => (scroller.scrollTop = scroller.scrollHeight * share), turn / DRAGS));
  const timed = async (name, work, seen, of) => {
    const began = Date.now();
    await work();
    await page.waitForFunction(seen, of, { polling: "raf" });
    tell(name, Date.now() - began, "ms");
  };
  const count = Number(await grid.getAttribute("aria-rowcount"));
  await grid.focus();
  await timed("jump_to_the_end", () => page.keyboard.press("End"), hasRow, count);
  await page.keyboard.press("Home");
  await page.waitForFunction(hasRow, 2);
  const firstName = await page.locator('[role="row"][aria-rowindex="2"] a').first().innerText();
  await timed("load_sorted_anew", () => page.goto(`${SERVER}/console${LIST}?sort=-name`), isOther, firstName);
  await timed("load_filtered", () => page.goto(`${SERVER}/console${LIST}?q=port-9999`), hasRow, 2);
  await browser.close();
}

await firstLoads();
await longList();
