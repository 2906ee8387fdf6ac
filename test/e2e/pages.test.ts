/** The report and the dashboard as a person sees them: in Chromium, on a large and a small screen, light and dark. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { realWorld } from "../../host/src/world.ts";
import { type Dashboard, startDashboard } from "../../simulator/src/pages/dashboard.ts";
import { htmlReport } from "../../simulator/src/pages/report.ts";
import { describeWith } from "../support/optional.ts";
import { FakeRun, pagesResult, samples } from "../support/pages-run.ts";
import { startCli } from "../support/run-cli.ts";

const CHECKS = fileURLToPath(new URL("../support/page-checks.mjs", import.meta.url));

const CHART_NAME = "Chart: Connected. The arrow keys read its values.";

const PHONE = { viewport: { width: 375, height: 800 } };
const DARK = { colorScheme: "dark" } as const;

describeWith(["chromium"], "in Chromium", () => {
  let browser: Browser;
  let folder: string;
  let reportUrl: string;
  const open: { page: Page; errors: string[] }[] = [];
  const dashboards: Dashboard[] = [];

  beforeAll(async () => {
    const executablePath = spawnSync("which", ["chromium"], { encoding: "utf8" }).stdout.trim();
    // Without its own sandbox, since a container is one and allows no other.
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    folder = mkdtempSync(join(tmpdir(), "wasmqtt-pages-"));
    const path = join(folder, "report.html");
    writeFileSync(path, htmlReport(pagesResult()));
    reportUrl = pathToFileURL(path).href;
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  afterEach(async () => {
    for (const { page } of open.splice(0)) await page.context().close();
    for (const dashboard of dashboards.splice(0)) await dashboard.close();
  });

  /** A page, and the errors that its console shows. */
  async function visit(url: string, options: BrowserContextOptions = {}) {
    const context = await browser.newContext(options);
    await context.addInitScript({ path: CHECKS });
    const page = await context.newPage();
    const errors: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(String(error)));
    open.push({ page, errors });
    await page.goto(url);
    return { page, errors };
  }

  async function startedDashboard(port = 0): Promise<Dashboard> {
    const dashboard = await startDashboard({
      host: "127.0.0.1",
      port,
      world: realWorld,
      scenarioName: "tower-dies",
      version: "0.1.0",
    });
    dashboards.push(dashboard);
    return dashboard;
  }

  /** A run of which the browser has seen half. */
  async function liveDashboard(options: BrowserContextOptions = {}, run = new FakeRun(50)) {
    const dashboard = await startedDashboard();
    dashboard.start(run);
    const all = samples();
    for (const sample of all.slice(0, 80)) dashboard.sample(sample);
    const { page, errors } = await visit(dashboard.url, options);
    await expect.poll(() => page.textContent("#connected"), { timeout: 10_000 }).toContain("500");
    return { dashboard, run, page, errors, rest: all.slice(80) };
  }

  describe("the report", () => {
    test.each([
      ["light", {}],
      ["dark", DARK],
      ["on a phone", PHONE],
      ["dark on a phone", { ...PHONE, ...DARK }],
    ])("has all its charts and no errors, %s", async (_, options) => {
      const { page, errors } = await visit(reportUrl, options);
      await expect.poll(() => drawnCount(page)).toBe(10);
      expect(await overflow(page)).toBe(0);
      expect(await poorContrast(page)).toEqual([]);
      expect(errors).toEqual([]);
    });

    test("everything that can be used has a name", async () => {
      const { page } = await visit(reportUrl);
      expect(await nameless(page)).toEqual([]);
      expect(await page.getByRole("main").count()).toBe(1);
      expect(await page.getByRole("banner").count()).toBe(1);
      expect(await page.getByRole("heading", { level: 1 }).textContent()).toBe("tower-dies");
    });

    test("the keyboard goes to a chart, and the arrow keys read its values aloud", async () => {
      const { page } = await visit(reportUrl);
      await page.keyboard.press("Tab");
      expect(await page.locator(":focus").textContent()).toBe("To the content");
      await page.keyboard.press("Enter");
      const chart = page.getByRole("group", { name: CHART_NAME, exact: true });
      for (let count = 0; count < 10; count++) {
        if ((await page.locator(":focus").getAttribute("aria-label")) === CHART_NAME) break;
        await page.keyboard.press("Tab");
      }
      await page.keyboard.press("Home");
      await page.keyboard.press("ArrowRight");
      const figure = page.locator("figure", { has: chart });
      expect(await figure.locator("[aria-live]").textContent()).toBe(
        "2 s: connected 100 (devices)",
      );
      expect(await figure.locator("output").first().textContent()).toBe("100");
      await page.keyboard.press("Escape");
      expect(await figure.locator("[aria-live]").textContent()).toBe("");
    });

    test("a chart's numbers are there as a table", async () => {
      const { page } = await visit(reportUrl);
      await page.getByText("Numbers: Connected", { exact: true }).click();
      const table = page.getByRole("table", { name: /Over the whole of the chart \(devices\)/u });
      expect(await table.getByRole("row").nth(1).allTextContents()).toEqual([
        "connected501\u202f00020 s1\u202f000",
      ]);
    });

    test("a change from light to dark changes the charts as well", async () => {
      const { page } = await visit(reportUrl);
      await expect.poll(() => drawnCount(page)).toBe(10);
      const before = await picture(page);
      await page.emulateMedia({ colorScheme: "dark" });
      await expect.poll(() => picture(page)).not.toBe(before);
    });

    test("paper is light and not too narrow for the charts", async () => {
      const { page } = await visit(reportUrl, DARK);
      await expect.poll(() => drawnCount(page)).toBe(10);
      await page.evaluate("dispatchEvent(new Event('beforeprint'))");
      await page.emulateMedia({ media: "print", colorScheme: "dark" });
      expect(await ground(page)).toBe("rgb(245, 246, 248)");
      const width = async () => (await page.locator("canvas").first().boundingBox())?.width;
      expect(await width()).toBe(620);
      await page.evaluate("dispatchEvent(new Event('afterprint'))");
      await page.emulateMedia({ media: "screen", colorScheme: "dark" });
      expect(await ground(page)).toBe("rgb(16, 21, 27)");
      await expect.poll(width).toBeGreaterThan(800);
    });

    test("it reads without JavaScript: all but the charts is there", async () => {
      const { page } = await visit(reportUrl, { javaScriptEnabled: false });
      expect(await page.getByText("The charts need JavaScript").isVisible()).toBe(true);
      expect(await page.getByRole("table").count()).toBeGreaterThan(6);
    });
  });

  describe("the dashboard", () => {
    test.each([
      ["light", {}],
      ["dark", DARK],
      ["on a phone", PHONE],
      ["dark on a phone", { ...PHONE, ...DARK }],
    ])("draws a run that is under way, without errors, %s", async (_, options) => {
      const { page, errors, rest, dashboard } = await liveDashboard(options);
      // Nine charts, and the tiles.
      await expect.poll(() => drawnCount(page)).toBe(10);
      expect(await page.textContent("#status")).toContain("Live");
      expect(await page.textContent("#phases")).toBe("1 connect, 2 steady, 3 the tower dies");
      for (const sample of rest) dashboard.sample(sample);
      await expect.poll(() => page.textContent("#connected")).toBe("1\u202f000 of 1\u202f000");
      expect(await page.textContent("#wills")).toBe("495 of 500");
      expect(await page.textContent("#problem-list")).toContain("closed 3 connections");
      expect(await overflow(page)).toBe(0);
      expect(await poorContrast(page)).toEqual([]);
      expect(errors).toEqual([]);
    });

    test("everything that can be used has a name", async () => {
      const { page } = await liveDashboard();
      expect(await nameless(page)).toEqual([]);
      for (const name of ["Topic", "Message", "Quality of service", "Retain"]) {
        expect(await page.getByLabel(name, { exact: true }).count(), name).toBe(1);
      }
    });

    test("by keyboard alone a message is published, and seen to arrive", async () => {
      const { page, run, errors } = await liveDashboard();
      await page.getByLabel("Topic").focus();
      await page.keyboard.press("Control+A");
      await page.keyboard.type("motes/mote-00001/cmd");
      await page.keyboard.press("Tab");
      await page.keyboard.press("Control+A");
      await page.keyboard.type("<b>report</b>");
      await page.keyboard.press("Enter");
      const log = page.getByRole("log");
      await expect.poll(() => log.textContent()).toContain("motes/mote-00001/cmd  <b>report</b>");
      expect(await log.textContent()).toMatch(/QoS 1, [\d.]+ ms after it was published/u);
      await expect
        .poll(() => page.textContent("#publish-answer"))
        .toContain("The broker has taken");
      const expected = { topic: "motes/mote-00001/cmd", payload: "<b>report</b>" };
      expect(run.published).toEqual([{ ...expected, qos: 1, retain: true }]);
      await page.keyboard.press("Tab");
      await page.getByLabel("Quality of service").selectOption("2");
      await page.getByLabel("Retain").uncheck();
      await page.getByRole("button", { name: "Publish" }).click();
      await expect.poll(() => run.published.at(-1)).toMatchObject({ qos: 2, retain: false });
      expect(errors).toEqual([]);
    });

    test("a topic that cannot be is explained", async () => {
      const { page } = await liveDashboard();
      await page.getByLabel("Topic").fill("motes/#");
      await page.getByRole("button", { name: "Publish" }).click();
      await expect
        .poll(() => page.textContent("#publish-answer"))
        .toContain('✗ topic "motes/#" is no topic to publish on. Give 1 to 65535 bytes');
    });

    test("the arrow keys go from tile to tile, and say which device it is", async () => {
      const { page, run } = await liveDashboard();
      await page.locator("#device-tiles canvas").focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      expect(await page.textContent("#device-name")).toBe("mote-00001: connected");
      run.states[1] = 1;
      await expect
        .poll(() => page.textContent("#device-name"))
        .toBe("mote-00001: waiting to connect again");
      expect(await page.textContent("#device-counts")).toMatch(
        /waiting to connect again 1.*connected 49/u,
      );
    });

    test("a large fleet is a bar, with its numbers in words", async () => {
      const run = new FakeRun(10_000);
      run.states.fill(0, 0, 2500);
      const { page } = await liveDashboard(PHONE, run);
      expect(await page.locator("#device-tiles").isVisible()).toBe(false);
      expect(await page.locator("#device-bar").isVisible()).toBe(true);
      expect(await page.textContent("#device-counts")).toMatch(/off 2,500.*connected 7,500/u);
      const share = await page
        .locator("#device-bar .connected")
        .evaluate((part) => part.clientWidth / (part.parentElement?.clientWidth ?? 1));
      expect(share).toBeCloseTo(0.75, 1);
    });

    test("two browsers see the same", async () => {
      const { dashboard, page, rest } = await liveDashboard();
      const other = await visit(dashboard.url);
      for (const sample of rest) dashboard.sample(sample);
      for (const one of [page, other.page]) {
        await expect.poll(() => one.textContent("#elapsed")).toBe("2:00");
      }
    });

    test("it connects again by itself when the stream has broken", async () => {
      const { dashboard, page } = await liveDashboard();
      const port = Number(new URL(dashboard.url).port);
      await dashboard.close();
      await expect.poll(() => page.textContent("#status")).toContain("Trying again");
      const again = await startedDashboard(port);
      again.start(new FakeRun(20));
      await expect.poll(() => page.textContent("#status"), { timeout: 15_000 }).toContain("Live");
      expect(await page.textContent("#device-counts")).toContain("connected 20");
    });

    test("at the end there is the verdict, with the report", async () => {
      const { dashboard, page, errors } = await liveDashboard();
      dashboard.finish(pagesResult());
      await expect
        .poll(() => page.textContent("#status"))
        .toContain("1 of 2 expectations and 1 of 2 thresholds failed");
      await page.getByLabel("Topic").focus();
      await page.keyboard.press("Enter");
      expect(await page.textContent("#publish-answer")).toContain("The run is over");
      const opening = page.waitForEvent("popup");
      await page.getByRole("link", { name: "Open the report" }).click();
      const report = await opening;
      await expect.poll(() => drawnCount(report)).toBe(10);
      expect(await report.getByRole("heading", { level: 1 }).textContent()).toBe("tower-dies");
      expect(dashboard.isWatched).toBe(true);
      expect(errors).toEqual([]);
    });

    test("when wasmqtt has ended, the page says so and keeps what it showed", async () => {
      const { dashboard, page } = await liveDashboard();
      dashboard.finish(pagesResult());
      await page.getByRole("link", { name: "Open the report" }).waitFor();
      await dashboard.close();
      await expect.poll(() => page.textContent("#status")).toContain("wasmqtt has ended");
      expect(await page.getByRole("link", { name: "Open the report" }).count()).toBe(0);
      expect(await page.textContent("#connected")).toContain("500");
    });
  });

  test("wasmqtt run --dashboard shows a real run, publishes to its broker, and stays until the page is closed", async () => {
    const flags = ["-c", "20", "-R", "20", "--interval", "500ms", "--duration", "6s"];
    const run = startCli(["run", "steady", ...flags, "--dashboard"], { timeoutMs: 60_000 });
    try {
      const [, url = ""] = await run.waitFor("stderr", /Dashboard: (http:\S+)/u);
      const { page, errors } = await visit(url);
      const text = (selector: string) => page.textContent(selector);
      await expect.poll(() => text("#connected"), { timeout: 15_000 }).toBe("20 of 20");
      await expect.poll(() => text("#device-counts")).toMatch(/connected 20/u);
      await page.getByRole("button", { name: "Publish" }).click();
      await expect.poll(() => text("#arrivals")).toContain("wasmqtt/hello  Hello");
      await expect
        .poll(() => text("#status"), { timeout: 30_000 })
        .toContain("The run is over. All");
      await run.waitFor("stderr", /stays until you close it in the browser/u);
      const opening = page.waitForEvent("popup");
      await page.getByRole("link", { name: "Open the report" }).click();
      expect(await (await opening).getByRole("heading", { level: 1 }).textContent()).toBe("steady");
      expect(errors).toEqual([]);
      await page.close();
      expect(await run.ended).toMatchObject({ exitCode: 0 });
    } finally {
      await run.stop();
    }
  }, 90_000);
});

/** How many canvases have something on them, in more than a few colours. */
function drawnCount(page: Page): Promise<number> {
  return page.evaluate<number>("pageChecks.drawnCount()");
}

/** By how many pixels the page is wider than its window. */
function overflow(page: Page): Promise<number> {
  return page.evaluate<number>("pageChecks.overflow()");
}

/** Texts whose contrast is less than WCAG 2.2 AA asks for. */
function poorContrast(page: Page): Promise<string[]> {
  return page.evaluate<string[]>("pageChecks.poorContrast()");
}

function picture(page: Page): Promise<string> {
  return page.evaluate<string>("document.querySelector('canvas').toDataURL()");
}

function ground(page: Page): Promise<string> {
  return page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
}

const USABLE = new Set([
  "button",
  "link",
  "textbox",
  "checkbox",
  "combobox",
  "group",
  "DisclosureTriangle",
  "image",
  "log",
  "status",
]);

/** What a screen reader would announce without a name. */
async function nameless(page: Page): Promise<string[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  const focusable = (node: (typeof nodes)[number]) =>
    node.properties?.some(({ name, value }) => name === "focusable" && value.value === true);
  return nodes
    .filter((node) => !node.ignored && focusable(node) && USABLE.has(String(node.role?.value)))
    .filter((node) => !node.name?.value)
    .map((node) => String(node.role?.value));
}
