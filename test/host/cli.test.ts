/** The built program as its users meet it: exit codes, streams, signals. */

import { createServer } from "node:net";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, test } from "vitest";
import { type CliRun, runCli, startCli } from "../support/run-cli.ts";
import { scriptedServer } from "../support/scripted-server.ts";

const runs: CliRun[] = [];

afterEach(async () => {
  for (const run of runs.splice(0)) await run.stop();
});

function start(args: string[], options = {}): CliRun {
  const run = startCli(args, options);
  runs.push(run);
  return run;
}

const PACKAGE_PATH = fileURLToPath(new URL("../../package.json", import.meta.url));
const CORE_PATH = fileURLToPath(new URL("../../dist/core.wasm", import.meta.url));

describe("wasmqtt", () => {
  test("prints its version and its help", async () => {
    const version = await runCli(["--version"]);
    expect(version).toMatchObject({ exitCode: 0, stderr: "" });
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const help = await runCli(["--help"]);
    expect(help).toMatchObject({ exitCode: 0, stderr: "" });
    expect(help.stdout).toMatch(/Exit codes:\n {2}0 {4}done/);
  });

  test("answers 2 to a wrong command, with its complaint on stderr", async () => {
    const { exitCode, stdout, stderr } = await runCli(["inspekt", "x"]);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("Did you mean inspect?");
  });

  test("colours what it is told to colour", async () => {
    const args = ["inspect", CORE_PATH];
    expect((await runCli(args)).stdout).not.toContain("\u001b[");
    expect((await runCli(args, { env: { FORCE_COLOR: "1" } })).stdout).toContain("\u001b[32m✓");
    const both = await runCli(args, { env: { FORCE_COLOR: "1", NO_COLOR: "1" } });
    expect(both.stdout).not.toContain("\u001b[");
  });
});

describe("wasmqtt inspect", () => {
  test("tells the facts and rules of our module and answers 0", async () => {
    const { exitCode, stdout, stderr } = await runCli(["inspect", CORE_PATH]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/SHA-256 +[0-9a-f]{64}\n/);
    expect(stdout).toMatch(/imports +none\n/);
    expect(stdout.match(/✓/g)).toHaveLength(8);
  });

  test("answers 2 for a file that is no module", async () => {
    const { exitCode, stdout, stderr } = await runCli(["inspect", PACKAGE_PATH]);
    expect([exitCode, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: ".*package.json" is no WebAssembly module: /);
    expect(stderr).not.toContain("    at ");
  });
});

test("the second Ctrl-C ends a command at once, whatever it waits for", async () => {
  let sayAsked: () => void = () => {};
  const asked = new Promise<void>((resolve) => {
    sayAsked = resolve;
  });
  const server = await scriptedServer(async (conversation) => {
    await conversation.expect("CONNECT");
    sayAsked(); // and never answer
  });
  try {
    const doctor = start(["doctor", "-L", server.url]);
    await asked;
    doctor.signal("SIGINT");
    await doctor.waitFor("stderr", /Press Ctrl-C again/);
    doctor.signal("SIGINT");
    expect(await doctor.ended).toMatchObject({ exitCode: 130, stdout: "" });
  } finally {
    await server.close();
  }
});

describe("wasmqtt broker", () => {
  const ports = ["-p", "0", "--ws-port", "0"];

  test("prints its URLs, serves, and ends in 130 after Ctrl-C", async () => {
    const broker = start(["broker", ...ports, "-v"]);
    const [, port = ""] = await broker.waitFor("stdout", /^mqtt:\/\/127\.0\.0\.1:(\d+)\nws:/);
    const doctor = await runCli(["doctor", "-h", "127.0.0.1", "-p", port]);
    expect(doctor.exitCode).toBe(0);
    expect(doctor.stdout).toContain(`✓ broker: mqtt://127.0.0.1:${port} takes anonymous clients`);
    await broker.waitFor("stderr", /connected from 127\.0\.0\.1:\d+ \(clean session\)/);
    broker.signal("SIGINT");
    const { exitCode, stdout, stderr } = await broker.ended;
    expect(exitCode).toBe(130);
    expect(stdout).toMatch(/^mqtt:\/\/\S+\nws:\/\/127\.0\.0\.1:\d+\n$/);
    expect(stderr).toMatch(/^This broker speaks MQTT 3\.1\.1, not MQTT 5\./);
    expect(stderr).toContain("Stopping. Press Ctrl-C again to end at once.");
  });

  test("ends in 143 after SIGTERM", async () => {
    const broker = start(["broker", "-p", "0", "--no-ws"]);
    await broker.waitFor("stdout", /mqtt:/);
    broker.signal("SIGTERM");
    expect(await broker.ended).toMatchObject({ exitCode: 143, signal: null });
  });

  test("ends quietly in 0 when nobody reads its output any more", async () => {
    const broker = start(["broker", "-p", "0", "--no-ws"]);
    broker.closeStdout();
    const { exitCode, stderr } = await broker.ended;
    expect(exitCode).toBe(0);
    expect(stderr).not.toContain("EPIPE");
  });

  test("warns aloud when it lets others in", async () => {
    const broker = start(["broker", "-p", "0", "--no-ws", "--bind", "0.0.0.0", "--quiet"]);
    await broker.waitFor("stdout", /^mqtt:\/\/0\.0\.0\.0:/);
    expect(broker.stderr).toMatch(/^warning: the broker listens on 0\.0\.0\.0/);
  });

  test("answers 2 on a port in use, and says what to do", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    try {
      const { exitCode, stderr } = await runCli(["broker", "-p", `${port}`, "--no-ws"]);
      expect(exitCode).toBe(2);
      expect(stderr).toMatch(
        /^error: 127\.0\.0\.1 port \d+ is in use by another program\n {2}Stop/,
      );
    } finally {
      server.close();
    }
  });
});
