/** `wasmqtt run` when things go wrong: said plainly, with what to do, the result kept, and the documented exit code. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type RunResult, resultSchema } from "../../simulator/src/run/result.ts";
import { startAedes } from "../support/brokers.ts";
import { type CliResult, runCli, startCli } from "../support/run-cli.ts";

const TIMEOUT_MS = 60_000;

let endings: (() => Promise<void> | void)[] = [];

beforeEach(() => {
  endings = [];
});

afterEach(async () => {
  for (const end of endings.reverse()) await end();
});

function run(port: number, ...flags: string[]): Promise<CliResult> {
  return runCli(["run", "steady", "-h", "127.0.0.1", "-p", `${port}`, "--json", ...flags], {
    timeoutMs: TIMEOUT_MS,
  });
}

function resultOf({ stdout, stderr }: CliResult): RunResult {
  if (stdout === "") throw new Error(stderr);
  return resultSchema.parse(JSON.parse(stdout));
}

/** A server that does with each connection what it is told. */
async function listen(accept: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    accept(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A scenario file that lives as long as the test. */
function scenarioFile(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-scenario-"));
  endings.push(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "test.yaml");
  writeFileSync(path, text);
  return path;
}

test("a broker that is not there is said so, with exit code 3", async () => {
  const port = await listen(() => {});
  await endings.pop()?.();
  const { exitCode, stdout, stderr } = await run(port);
  expect(exitCode).toBe(3);
  expect(stdout).toBe("");
  expect(stderr).toContain("nobody listens there");
  expect(stderr).toContain("Start the broker");
});

test("a login that is refused is said so, with the return code [MQTT-3.2.2-5]", async () => {
  const broker = await startAedes({ authenticate: () => false });
  endings.push(() => broker.stop());
  const { exitCode, stderr } = await run(broker.port, "-u", "nobody", "-P", "top-secret");
  expect(exitCode).toBe(3);
  expect(stderr).toContain("return code");
  expect(stderr).not.toContain("top-secret");
});

test("a broker that closes at once is said so", async () => {
  const port = await listen((socket) => socket.destroy());
  const { exitCode, stderr } = await run(port);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/^error: /mu);
});

test("a broker that sends something else is said so", async () => {
  const port = await listen((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  const { exitCode, stderr } = await run(port);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/^error: /mu);
});

test("a broker that never answers is given up after the time limit [sec-3.2]", async () => {
  const port = await listen(() => {});
  const path = scenarioFile(
    `version: 1\nbroker: { url: "mqtt://127.0.0.1:${port}", responseTimeout: 500ms }\n`,
  );
  const startedAtMs = Date.now();
  const { exitCode, stderr } = await runCli(["run", path, "--json"], { timeoutMs: TIMEOUT_MS });
  expect(exitCode).toBe(3);
  expect(stderr).toContain("in time");
  expect(Date.now() - startedAtMs).toBeLessThan(10_000);
});

test("devices that are refused are counted, the others go on, and the exit code tells", async () => {
  const broker = await startAedes({ authenticate: (userName) => userName !== "u3" });
  endings.push(() => broker.stop());
  const path = scenarioFile(
    `version: 1
broker: { url: "mqtt://127.0.0.1:${broker.port}", username: "u%i" }
devices: [{ count: 5, publish: { interval: 200ms } }]
phases: [{ connect: { rate: 100/s, timeout: 2s } }, { duration: 1s }]
`,
  );
  const outcome = await runCli(["run", path, "--json"], { timeoutMs: TIMEOUT_MS });
  expect(outcome.exitCode).toBe(99);
  const result = resultOf(outcome);
  expect(result.devices).toMatchObject({ count: 5, connected: 4 });
  expect(Object.values(result.connections.refused)[0]).toBeGreaterThan(0);
  expect(result.audit?.delivered).toBeGreaterThan(4);
  expect(result.audit?.lost).toBe(0);
  expect(result.problems.join()).toContain("1 of 5 devices");
});

test("a broker that dies in the middle ends the run with a result, and the exit code tells", async () => {
  const broker = await startAedes();
  endings.push(() => broker.stop());
  const going = run(broker.port, "-c", "10", "--interval", "200ms", "--duration", "3s");
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await broker.stop();
  const outcome = await going;
  expect(outcome.exitCode).toBe(99);
  const result = resultOf(outcome);
  expect(result.connections.lost).toBe(10);
  expect(result.messages.acknowledged).toBeGreaterThan(0);
  expect(result.interrupted).toBe(false);
});

test("Ctrl-C ends a run with goodbyes, a summary and exit code 130", async () => {
  const cli = startCli(["run", "steady", "-c", "10", "--interval", "200ms", "--json"], {
    timeoutMs: TIMEOUT_MS,
  });
  endings.push(() => cli.stop());
  await new Promise((resolve) => setTimeout(resolve, 2_500));
  cli.signal("SIGINT");
  const outcome = await cli.ended;
  expect(outcome.exitCode).toBe(130);
  expect(resultOf(outcome)).toMatchObject({ interrupted: true, goodbyes: 10 });
});

test("mistakes in a scenario are all named with their line, with exit code 2", async () => {
  const path = scenarioFile("version: 1\ndevices:\n  - conut: 5\n    publish: { qos: 3 }\n");
  const { exitCode, stderr } = await runCli(["run", path], { timeoutMs: TIMEOUT_MS });
  expect(exitCode).toBe(2);
  expect(stderr).toContain("test.yaml:3:5");
  expect(stderr).toContain("count");
  expect(stderr).toContain("test.yaml:4:21");
});

test("a password never reaches the output", async () => {
  const broker = await startAedes({ authenticate: () => true });
  endings.push(() => broker.stop());
  const flags = ["-c", "3", "--duration", "500ms", "--interval", "200ms", "-u", "u%i"];
  const outcome = await run(broker.port, ...flags, "-P", "hunter2");
  expect(outcome.exitCode).toBe(0);
  expect(outcome.stdout + outcome.stderr).not.toContain("hunter2");
});
