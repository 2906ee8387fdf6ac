/** `wasmqtt run --out`: whole runs with all outputs, also where a disk is full, a port is taken or somebody presses Ctrl-C. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { readModule } from "../../host/src/core/core.ts";
import { registerRun } from "../../simulator/src/cli/commands/run.ts";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import type { EndLine, HeaderLine, SampleLine } from "../../simulator/src/outputs/ndjson.ts";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { scratchFolder } from "./outputs-support.ts";

const TIMEOUT_MS = 30_000;

let folder: string;
let remove: () => void;
let context: RecordingContext;

beforeEach(() => {
  ({ folder, remove } = scratchFolder());
  context = new RecordingContext();
  context.system = { ...context.system, readModule };
});

afterEach(() => remove());

/** A small run with its own broker, unless `flags` name one. */
function run(...flags: string[]): Promise<ExitCode> {
  const small = ["-c", "5", "--duration", "1500ms", "--interval", "100ms"];
  return runCli(["run", "steady", ...small, ...flags], context, [registerRun]);
}

const path = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(path(name), "utf8");
const readResult = (name: string): RunResult => resultSchema.parse(JSON.parse(read(name)));

type Line = HeaderLine | SampleLine | EndLine;

function linesOf(text: string): Line[] {
  const lines = text.split("\n");
  expect(lines.pop()).toBe("");
  return lines.map((line) => JSON.parse(line));
}

async function until(isSo: () => boolean): Promise<void> {
  await expect.poll(isSo, { timeout: TIMEOUT_MS }).toBe(true);
}

test("all kinds of one run tell the same", { timeout: TIMEOUT_MS }, async () => {
  const files = ["json=r.json", "ndjson=s.ndjson", "csv=s.csv", "junit=j.xml", "md=m.md"];
  const more = ["html=h.html", "hgrm=l.hgrm", "prometheus=0"];
  const outs = [...files, ...more].map((out) => out.replace(/=(?=\D)/u, `=${folder}/`));
  const ended = run(...outs.flatMap((out) => ["--out", out]));
  await until(() => existsSync(path("s.ndjson")) && linesOf(read("s.ndjson")).length > 1);
  const url = /Metrics for Prometheus: (\S+)/u.exec(context.stderr.text)?.[1] ?? "";
  expect(await (await fetch(url)).text()).toMatch(/^wasmqtt_connections 5$/mu);
  expect(await ended, context.stderr.text).toBe(ExitCode.Ok);

  const result = readResult("r.json");
  const [header, ...rest] = linesOf(read("s.ndjson"));
  const end = rest.at(-1) as EndLine;
  const samples = rest.slice(0, -1) as SampleLine[];
  expect(header).toMatchObject({ type: "header", scenario: { name: "steady" } });
  expect(end).toMatchObject({ type: "end", runId: result.runId, sampleCount: samples.length });
  const merged = new LatencyHistogram();
  for (const { latencies } of samples) {
    const { histogram } = latencies.publishAckQos1 ?? {};
    if (histogram !== undefined) merged.merge(LatencyHistogram.decode(histogram));
  }
  expect(merged.encode()).toBe(result.latencies.publishAckQos1?.histogram);
  expect(samples.at(-1)?.counters.acknowledged).toBe(result.messages.acknowledged);

  expect(read("s.csv").split("\r\n")).toHaveLength(samples.length + 2);
  const checkCount = result.expectations.length + result.thresholds.length;
  expect(read("j.xml").match(/<testcase /gu)).toHaveLength(checkCount);
  expect(read("m.md")).toContain(`All ${checkCount} expectations hold`);
  expect(read("h.html")).toContain(result.runId);
  const { count } = result.latencies.connect ?? {};
  expect(read("l-connect.hgrm")).toMatch(new RegExp(`Total count    = +${count}\\]`, "u"));
  expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  expect(context.stdout.text).toContain("COUNTS");
});

describe("stdout", () => {
  test("has only the output that goes there", { timeout: TIMEOUT_MS }, async () => {
    expect(await run("--out", "ndjson=-")).toBe(ExitCode.Ok);
    const lines = linesOf(context.stdout.text);
    expect(lines[0]?.type).toBe("header");
    expect(lines.at(-1)?.type).toBe("end");
  });

  test("is not for two", async () => {
    expect(await run("--json", "--out", "csv=-")).toBe(ExitCode.Usage);
    expect(context.stderr.text).toContain("--json");
    expect(context.stdout.text).toBe("");
  });
});

describe("before the first device connects", () => {
  /** A server that counts who comes. */
  async function counting(run: (port: number) => Promise<void>): Promise<number> {
    let count = 0;
    const server = createServer((socket) => {
      count++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      await run((server.address() as AddressInfo).port);
    } finally {
      server.close();
    }
    return count;
  }

  test.each([
    ["jsn=x", "did you mean json?"],
    ["json=", "does not say where to"],
    ["json=missing/x", "there is no such folder"],
    ["prometheus=PORT", "is in use already"],
  ])("--out %s ends with exit code 2", async (out, said) => {
    const count = await counting(async (port) => {
      const place = ["-h", "127.0.0.1", "-p", `${port}`];
      const exitCode = await run(...place, "--out", out.replace("PORT", `${port}`));
      expect(exitCode).toBe(ExitCode.Usage);
    });
    expect(count).toBe(0);
    expect(context.stderr.text).toContain(said);
    expect(context.stdout.text).toBe("");
  });
});

test.runIf(existsSync("/dev/full"))(
  "a full disk costs its own output only: exit code 5, and the reason at the end",
  { timeout: TIMEOUT_MS },
  async () => {
    const outs = ["--out", "json=/dev/full", "--out", `md=${path("m.md")}`];
    expect(await run(...outs)).toBe(ExitCode.Incomplete);
    expect(context.stdout.text).toContain("COUNTS");
    expect(read("m.md")).toContain("expectations hold");
    expect(context.stderr.text).toMatch(
      /error: "\/dev\/full" is not written: no space is left on the device\n {2}Make room.*\n$/u,
    );
  },
);

test("a run that is interrupted writes all its outputs", { timeout: TIMEOUT_MS }, async () => {
  const outs = ["--out", `json=${path("r.json")}`, "--out", `ndjson=${path("s.ndjson")}`];
  const ended = run("--duration", "5m", ...outs);
  await until(() => existsSync(path("s.ndjson")) && linesOf(read("s.ndjson")).length > 1);
  context.interruptController.abort(ExitCode.Interrupted);
  expect(await ended).toBe(ExitCode.Interrupted);
  expect(readResult("r.json").interrupted).toBe(true);
  expect(linesOf(read("s.ndjson")).at(-1)).toMatchObject({ type: "end", interrupted: true });
});

test("a run that comes to no result leaves no document, and lets go of the port", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const place = ["-h", "127.0.0.1", "-p", `${port}`];
  const outs = ["--out", `json=${path("r.json")}`, "--out", "prometheus=0"];
  expect(await run(...place, ...outs)).toBe(ExitCode.Connection);
  expect(readdirSync(folder)).toEqual([]);
  const url = /Metrics for Prometheus: (\S+)/u.exec(context.stderr.text)?.[1] ?? "";
  await expect(fetch(url)).rejects.toThrow("fetch failed");
});
