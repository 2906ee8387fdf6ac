/** The flag --dashboard: where it listens, whom it warns, and when the command ends. */

import { get } from "node:http";
import { createServer } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createOutput } from "../../host/src/cli/command.ts";
import { type DashboardHooks, withDashboard } from "../../simulator/src/cli/with-dashboard.ts";
import { FakeRun, pagesResult } from "../support/pages-run.ts";
import { RecordingContext } from "../support/run-cli.ts";

let context: RecordingContext;
const closing: (() => unknown)[] = [];

beforeEach(() => {
  context = new RecordingContext();
});

afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function show<Answer>(
  flag: string | boolean | undefined,
  run: (hooks: DashboardHooks) => Promise<Answer>,
  isOptional = false,
): Promise<Answer> {
  const output = createOutput(context, {});
  return withDashboard({ flag, isOptional, scenarioName: "storm", context, output }, run);
}

const url = () => /Dashboard: (http:\S+)/u.exec(context.stderr.text)?.[1] ?? "";

/** A browser that has the dashboard open, until it is closed. */
function look(): Promise<{ close: () => void; ended: Promise<void>; text: () => string }> {
  return new Promise((resolve) => {
    const asking = get(`${url()}events`, (response) => {
      let text = "";
      const ended = new Promise<void>((done) => response.on("close", done));
      response.setEncoding("utf8").on("data", (chunk) => {
        text += chunk;
        resolve({ close: () => asking.destroy(), ended, text: () => text });
      });
      response.on("error", () => {});
    });
    asking.on("error", () => {});
    closing.push(() => asking.destroy());
  });
}

test("without the flag there is none, and the run has the same to call", async () => {
  const answer = await show(undefined, (hooks) => {
    hooks.onStart(new FakeRun());
    hooks.onResult(pagesResult());
    return Promise.resolve(7);
  });
  expect(answer).toBe(7);
  expect(context.stderr.text).toBe("");
});

test("without an address it takes a free port of this machine, and ends with the run if nobody looks", async () => {
  const answer = await show(true, (hooks) => {
    hooks.onStart(new FakeRun());
    hooks.onResult(pagesResult());
    return Promise.resolve(99);
  });
  expect(answer).toBe(99);
  expect(context.stderr.text).toMatch(/^Dashboard: http:\/\/127\.0\.0\.1:\d+\/\n$/u);
});

test("somebody who looks keeps it until Ctrl-C", async () => {
  let hasAnswered = false;
  const shown = show(true, async (hooks) => {
    hooks.onStart(new FakeRun());
    await look();
    hooks.onResult(pagesResult());
    return 0;
  }).then(() => {
    hasAnswered = true;
  });
  await expect.poll(() => context.stderr.text).toContain("stays until you close it");
  expect(hasAnswered).toBe(false);
  context.interruptController.abort(130);
  await shown;
});

test("a run that was interrupted ends at once, whoever looks", async () => {
  await show(true, async (hooks) => {
    hooks.onStart(new FakeRun());
    await look();
    context.interruptController.abort(130);
    hooks.onResult(pagesResult());
  });
  expect(context.stderr.text).not.toContain("stays");
});

test("a run that fails fails here, too, and the browser is told why", async () => {
  let text = () => "";
  let ended = Promise.resolve();
  const failing = show(true, async () => {
    ({ text, ended } = await look());
    throw new Error("The broker cannot be reached");
  });
  await expect(failing).rejects.toThrow("The broker cannot be reached");
  await ended;
  expect(text()).toContain("It has failed: The broker cannot be reached.");
});

test.each(["0", ":0", "127.0.0.1:0", "localhost:0", "[::1]:0"])(
  "it listens on %s without a warning",
  async (flag) => {
    await show(flag, () => Promise.resolve());
    expect(context.stderr.text).toMatch(/^Dashboard: http:\/\/(127\.0\.0\.1|\[::1\]):\d+\/\n$/u);
  },
);

test("where others can reach it, it warns", async () => {
  await show("0.0.0.0:0", () => Promise.resolve());
  expect(context.stderr.text).toContain("warning: the dashboard listens on 0.0.0.0");
});

test.each(["steady", "127.0.0.1", ":65536", "http://127.0.0.1:80", "1:2:3", ""])(
  "%j is no address",
  async (flag) => {
    const shown = show(flag, () => Promise.resolve());
    await expect(shown).rejects.toMatchObject({
      name: "UsageError",
      message: `--dashboard ${JSON.stringify(flag)} is no address to listen on`,
    });
  },
);

test("a port in use ends a run that was to have a dashboard, but not the demo", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  const { port } = server.address() as { port: number };
  const run = () => Promise.resolve("done");
  await expect(show(`:${port}`, run)).rejects.toMatchObject({ name: "UsageError" });
  expect(await show(`:${port}`, run, true)).toBe("done");
  expect(context.stderr.text).toContain("No dashboard: The dashboard cannot listen on 127.0.0.1");
});
