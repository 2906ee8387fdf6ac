/** The dashboard's server: what it serves, to whom, and what it keeps. */

import { type IncomingHttpHeaders, type RequestOptions, request } from "node:http";
import { connect, createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { realWorld, type World } from "../../host/src/world.ts";
import {
  type Dashboard,
  type DashboardOptions,
  startDashboard,
} from "../../simulator/src/pages/dashboard.ts";
import type {
  Arrival,
  DashboardState,
  DeviceStates,
  SampleEvent,
  Verdict,
} from "../../simulator/src/pages/page-data.ts";
import { FakeRun, pagesResult, samples } from "../support/pages-run.ts";

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function started(options: Partial<DashboardOptions> = {}): Promise<Dashboard> {
  const dashboard = await startDashboard({
    host: "127.0.0.1",
    port: 0,
    world: realWorld,
    scenarioName: "storm <&>",
    version: "0.1.0",
    ...options,
  });
  closing.push(() => dashboard.close());
  return dashboard;
}

interface Reply {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  text: string;
}

function ask(url: string, options: RequestOptions = {}, body?: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asking = request(url, options, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode, headers: response.headers, text }),
      );
    });
    asking.on("error", reject);
    asking.end(body);
  });
}

interface Events {
  all: { event: string; data: unknown }[];
  /** The data of the latest event of this name, once there are `count`. */
  latest<Data>(event: string, count?: number): Promise<Data>;
  stop(): void;
}

/** A browser that looks on. */
async function events(dashboard: Dashboard): Promise<Events> {
  const all: Events["all"] = [];
  const asking = request(`${dashboard.url}events`, (response) => {
    let rest = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const [, event = "", data = ""] = /^event: (.*)\ndata: (.*)$/u.exec(block) ?? [];
        if (event !== "") all.push({ event, data: JSON.parse(data) });
      }
    });
    response.on("error", () => {});
  });
  asking.on("error", () => {});
  asking.end();
  closing.push(() => asking.destroy());
  const opened: Events = {
    all,
    latest: async <Data>(event: string, count = 1) => {
      const named = () => all.filter((one) => one.event === event);
      await expect.poll(() => named().length, { timeout: 5000 }).toBeGreaterThanOrEqual(count);
      return named().at(-1)?.data as Data;
    },
    stop: () => asking.destroy(),
  };
  await opened.latest("state");
  return opened;
}

async function tokenOf({ url }: Dashboard): Promise<string> {
  const { text } = await ask(url);
  return /data-token="([^"]+)"/u.exec(text)?.[1] ?? "";
}

async function publish(
  dashboard: Dashboard,
  message: unknown,
  headers: Record<string, string | undefined> = {},
): Promise<Reply> {
  const { origin } = new URL(dashboard.url);
  const all: Record<string, string | undefined> = {
    origin,
    "content-type": "application/json",
    "x-wasmqtt-token": await tokenOf(dashboard),
    ...headers,
  };
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  const body = typeof message === "string" ? message : JSON.stringify(message);
  const options = { method: "POST", headers: given as Record<string, string> };
  return ask(`${dashboard.url}publish`, options, body);
}

const HELLO = { topic: "wasmqtt/hello", payload: "Hello", qos: 1, retain: true };

test("the page and its parts come from this server, under a policy that allows nothing else", async () => {
  const { url } = await started();
  const page = await ask(url);
  expect(page.status).toBe(200);
  expect(page.text).toContain("<h1>storm &lt;&amp;&gt;</h1>");
  const policy = String(page.headers["content-security-policy"]);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toContain("unsafe");
  expect(page.text).not.toMatch(/<script(?![^>]*\ssrc=)|\sstyle=|\son\w+=/u);
  const parts = [...page.text.matchAll(/(?:src|href)="([^"#]+)"/gu)].map(([, path = ""]) => path);
  expect(parts).toContain("dashboard.js");
  for (const path of parts) {
    const part = await ask(new URL(path, url).href);
    expect(part.status, path).toBe(200);
    expect(part.headers["x-content-type-options"]).toBe("nosniff");
  }
});

test("every script that a script imports is served", async () => {
  const { url } = await started();
  const { text } = await ask(`${url}dashboard.js`);
  const imports = [...text.matchAll(/from "\.\/([^"]+)"/gu)].map(([, name = ""]) => name);
  expect(imports.length).toBeGreaterThan(2);
  for (const name of imports) expect((await ask(`${url}${name}`)).status, name).toBe(200);
});

test("HEAD is answered like GET without the text; everything else is not there", async () => {
  const { url } = await started();
  expect(await ask(url, { method: "HEAD" })).toMatchObject({ status: 200, text: "" });
  expect((await ask(`${url}../package.json`)).status).toBe(404);
  expect((await ask(`${url}publish`)).status).toBe(404);
  expect((await ask(url, { method: "DELETE" })).status).toBe(404);
});

test.each([
  ["evil.example", 421],
  ["evil.example:80", 421],
  ["127.0.0.1.evil.example", 421],
  ["localhost.evil.example", 421],
  ["localhost", 200],
  ["LOCALHOST:9000", 200],
  ["127.0.0.1:1", 200],
  ["[::1]:8080", 200],
])("against DNS rebinding, the host %j is answered with %i", async (host, status) => {
  const { url } = await started();
  expect((await ask(url, { headers: { host } })).status).toBe(status);
});

test("a page of another site may link here, but take no parts of the page", async () => {
  const { url } = await started();
  const foreign = { headers: { "sec-fetch-site": "cross-site" } };
  expect((await ask(url, foreign)).status).toBe(200);
  expect((await ask(`${url}events`, foreign)).status).toBe(403);
  expect((await ask(`${url}dashboard.js`, foreign)).status).toBe(403);
});

test("a browser is told of samples, devices and the verdict as they come", async () => {
  const dashboard = await started();
  const run = new FakeRun(50);
  const browser = await events(dashboard);
  dashboard.start(run);
  const begun = await browser.latest<DashboardState>("state", 2);
  expect(begun).toMatchObject({ brokerUrl: run.brokerUrl, verdict: null, figures: null });
  expect(begun.deviceNames).toHaveLength(50);
  expect(begun.devices).toEqual({ counts: [0, 0, 0, 50], states: "3".repeat(50) });

  for (const sample of samples(3)) dashboard.sample(sample);
  const sample = await browser.latest<SampleEvent>("sample", 3);
  expect(sample.atSeconds).toBe(3);
  expect(sample.row.slice(0, 3)).toEqual([150, 50, 2]);
  expect(sample.figures).toMatchObject({ connectedCount: 150, deviceCount: 1000, elapsedMs: 3000 });
  expect(sample.phases).toEqual([{ name: "connect", startSeconds: 0, endSeconds: 3 }]);

  run.states.set([0, 1, 2], 0);
  const devices = await browser.latest<DeviceStates>("devices", 1);
  expect(devices).toEqual({ counts: [1, 1, 1, 47], states: `012${"3".repeat(47)}` });

  dashboard.finish(pagesResult());
  expect(await browser.latest<Verdict>("verdict")).toMatchObject({ tone: "bad" });
});

test("the report is served from memory when the run is over, and not before", async () => {
  const dashboard = await started();
  expect((await ask(`${dashboard.url}report`)).status).toBe(404);
  dashboard.finish(pagesResult());
  const report = await ask(`${dashboard.url}report`);
  expect(report.status).toBe(200);
  expect(report.text).toContain("<h1>tower-dies</h1>");
});

test("who comes late is told everything at once, and as much as is kept", async () => {
  const dashboard = await started();
  dashboard.start(new FakeRun(2000));
  const second = samples(1)[0];
  if (second === undefined) throw new RangeError("no sample");
  for (let index = 1; index <= 1000; index++) dashboard.sample({ ...second, atMs: index * 1000 });
  dashboard.finish(pagesResult());
  const browser = await events(dashboard);
  const { time, pointCountMax, devices, deviceNames, verdict } =
    await browser.latest<DashboardState>("state");
  expect(pointCountMax).toBe(900);
  expect(time.atSeconds).toHaveLength(900);
  expect(time.atSeconds.at(-1)).toBe(1000);
  expect(time.rows).toHaveLength(900);
  expect(devices).toEqual({ counts: [0, 0, 0, 2000], states: "" });
  expect(deviceNames).toEqual([]);
  expect(verdict?.tone).toBe("bad");
});

test("a message is published, and every browser sees it arrive", async () => {
  const dashboard = await started();
  const run = new FakeRun();
  dashboard.start(run);
  const browsers = [await events(dashboard), await events(dashboard)];
  const reply = await publish(dashboard, HELLO);
  expect(reply).toMatchObject({ status: 200, text: "{}" });
  expect(run.published).toEqual([HELLO]);
  for (const browser of browsers) {
    const arrival = await browser.latest<Arrival>("arrival");
    expect(arrival).toMatchObject({ topic: "wasmqtt/hello", payload: "Hello", qos: 1 });
    expect(arrival.afterMs).toBeGreaterThanOrEqual(0);
  }
  const late = await (await events(dashboard)).latest<DashboardState>("state");
  expect(late.arrivals).toHaveLength(1);
});

test.each([
  ["from another site", { origin: "http://evil.example" }, 403],
  ["from a sandbox", { origin: "null" }, 403],
  ["from another port of this machine", { origin: "http://127.0.0.1:1" }, 403],
  ["without any origin", { origin: undefined }, 403],
  ["without a token", { "x-wasmqtt-token": undefined }, 403],
  ["with another run's token", { "x-wasmqtt-token": "A".repeat(32) }, 403],
  ["as a form would send it", { "content-type": "text/plain" }, 415],
])("nothing is published %s", async (_, headers, status) => {
  const dashboard = await started();
  const run = new FakeRun();
  dashboard.start(run);
  expect((await publish(dashboard, HELLO, headers)).status).toBe(status);
  expect(run.published).toEqual([]);
});

test("a browser that sends Sec-Fetch-Site needs no Origin", async () => {
  const dashboard = await started();
  dashboard.start(new FakeRun());
  const headers = { origin: undefined, "sec-fetch-site": "same-origin" };
  expect((await publish(dashboard, HELLO, headers)).status).toBe(200);
});

test.each([
  ["{", 400],
  [{ ...HELLO, qos: 3 }, 400],
  [{ ...HELLO, payload: 5 }, 400],
  [{ ...HELLO, payload: "x".repeat(100_000) }, 413],
  [{ ...HELLO, topic: "" }, 422],
  [{ ...HELLO, topic: "motes/#" }, 422],
  [{ ...HELLO, topic: "x".repeat(65_536).slice(0, 60_000).padEnd(60_001, "+") }, 422],
])(
  "a message that cannot be is refused, and nothing is watched for it (%#)",
  async (message, status) => {
    const dashboard = await started();
    const run = new FakeRun();
    dashboard.start(run);
    const reply = await publish(dashboard, message);
    expect(reply.status).toBe(status);
    expect((JSON.parse(reply.text) as { problem: string }).problem.length).toBeGreaterThan(10);
    expect(run.published).toEqual([]);
    expect(run.watchedTopics).toEqual([]);
  },
);

test("before and after the run nothing is published, and the answer says why", async () => {
  const dashboard = await started();
  expect((await publish(dashboard, HELLO)).status).toBe(409);
  dashboard.start(new FakeRun());
  dashboard.finish(pagesResult());
  const reply = await publish(dashboard, HELLO);
  expect(reply.status).toBe(409);
  expect(reply.text).toContain("over");
});

test("the topics that are watched have a limit; a topic that is watched does not count again", async () => {
  const dashboard = await started();
  const run = new FakeRun();
  dashboard.start(run);
  for (let index = 0; index < 16; index++)
    await publish(dashboard, { ...HELLO, topic: `t/${index}` });
  expect((await publish(dashboard, HELLO)).status).toBe(429);
  expect((await publish(dashboard, { ...HELLO, topic: "t/3" })).status).toBe(200);
  expect(run.watchedTopics).toHaveLength(16);
});

test("what the broker says no to is told", async () => {
  const dashboard = await started();
  const run = new FakeRun();
  run.watch = () => Promise.reject(new Error("The broker refuses a subscription to it"));
  dashboard.start(run);
  const reply = await publish(dashboard, HELLO);
  expect(reply.status).toBe(422);
  expect(reply.text).toContain("The broker refuses");
});

test("a browser that does not read is left behind, and later told everything; the others notice nothing", async () => {
  const dashboard = await started();
  const run = new FakeRun(1);
  dashboard.start(run);
  const quick = await events(dashboard);
  const slow = connect(Number(new URL(dashboard.url).port), "127.0.0.1");
  closing.push(() => slow.destroy());
  slow.write("GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
  slow.pause();
  const sample = samples(1)[0];
  if (sample === undefined) throw new RangeError("no sample");
  const large = { ...sample, problems: ["x".repeat(1_000_000)] };
  for (let index = 1; index <= 40; index++) {
    dashboard.sample({ ...large, atMs: index * 1000 });
    await quick.latest("sample", index);
  }
  // 40 MB went to the other one. What the system holds, and what waits here, is much less.
  let byteCount = 0;
  let stateCount = 0;
  slow.setEncoding("latin1");
  slow.on("data", (chunk) => {
    byteCount += chunk.length;
    stateCount += String(chunk).match(/event: state/gu)?.length ?? 0;
  });
  slow.resume();
  await expect.poll(() => stateCount, { timeout: 10_000 }).toBe(2);
  expect(byteCount).toBeLessThan(20_000_000);
});

test("more browsers than there is room for are told so", async () => {
  const dashboard = await started();
  const browsers = await Promise.all(Array.from({ length: 32 }, () => events(dashboard)));
  const reply = await ask(`${dashboard.url}events`);
  expect(reply.status).toBe(503);
  browsers[0]?.stop();
  await expect.poll(() => events(dashboard).then(() => true), { timeout: 5000 }).toBe(true);
});

test("it is unwatched when the last browser has gone and has not come back", async () => {
  const timers: (() => void)[] = [];
  const setTimer: World["setTimer"] = (_, callback) => {
    timers.push(callback);
    return { clear: () => {} };
  };
  const dashboard = await started({ world: { ...realWorld, setTimer } });
  const first = await events(dashboard);
  const second = await events(dashboard);
  expect(dashboard.isWatched).toBe(true);
  let isOver = false;
  const unwatched = dashboard.unwatched().then(() => {
    isOver = true;
  });
  first.stop();
  second.stop();
  await expect.poll(() => timers.length).toBe(1);
  const again = await events(dashboard);
  timers.pop()?.();
  await Promise.resolve();
  expect(isOver).toBe(false);
  again.stop();
  await expect.poll(() => timers.length).toBe(1);
  timers.pop()?.();
  await unwatched;
});

test("closing it ends its streams after their last event, and frees the port", async () => {
  const dashboard = await started();
  const port = Number(new URL(dashboard.url).port);
  const browser = await events(dashboard);
  dashboard.start(new FakeRun());
  dashboard.finish(pagesResult());
  await dashboard.close();
  await browser.latest<Verdict>("verdict");
  closing.length = 0;
  await started({ port });
});

test("a port that is in use is said plainly, with what to do", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  const { port } = server.address() as { port: number };
  await expect(started({ port })).rejects.toMatchObject({
    name: "UsageError",
    message: `The dashboard cannot listen on 127.0.0.1, port ${port}: another program uses this port`,
  });
});

test("its address is one that a browser can open", async () => {
  const anywhere = await started({ host: "0.0.0.0" });
  expect(anywhere.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/u);
  expect((await ask(anywhere.url)).status).toBe(200);
});
