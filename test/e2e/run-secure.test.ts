/** A fleet over TLS, WebSocket and with credentials: what `wasmqtt run` is told, every device must say. */

import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { resultSchema } from "../../simulator/src/run/result.ts";
import { type Mosquitto, type MosquittoOptions, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { createPki, type Identity, type Pki } from "../support/pki.ts";
import { type CliResult, runCli } from "../support/run-cli.ts";

const TIMEOUT_MS = 30_000;
const FLEET = ["steady", "-c", "20", "--duration", "2s", "--interval", "500ms", "--json"];

describeWith(["mosquitto", "openssl"], "wasmqtt run against mosquitto", () => {
  let pki: Pki;
  let server: Identity;
  let mosquitto: Mosquitto | undefined;

  beforeAll(() => {
    pki = createPki();
    server = pki.issue("localhost", "DNS:localhost,IP:127.0.0.1");
  });
  afterEach(async () => {
    await mosquitto?.stop();
    mosquitto = undefined;
  });
  afterAll(() => pki.remove());

  async function start(options: MosquittoOptions): Promise<Mosquitto> {
    mosquitto = await startMosquitto(options);
    return mosquitto;
  }

  function tlsOf(requireCertificate = false): MosquittoOptions {
    const { certFile, keyFile } = server;
    return { tls: { caFile: pki.ca.certFile, certFile, keyFile, requireCertificate } };
  }

  function run(...args: string[]): Promise<CliResult> {
    return runCli(["run", ...FLEET, ...args], { timeoutMs: TIMEOUT_MS });
  }

  function expectAllKept({ exitCode, stdout, stderr }: CliResult): void {
    expect(exitCode, stderr).toBe(0);
    const result = resultSchema.parse(JSON.parse(stdout));
    expect(result.expectations.filter(({ ok }) => !ok)).toEqual([]);
    expect(result.devices).toMatchObject({ count: 20, connected: 20 });
    expect(result.audit?.delivered).toBeGreaterThan(20);
  }

  test("over TLS with its authority", { timeout: TIMEOUT_MS }, async () => {
    const { port } = await start(tlsOf());
    const outcome = await run("-L", `mqtts://127.0.0.1:${port}`, "--cafile", pki.ca.certFile);
    expectAllKept(outcome);
    expect(outcome.stderr).not.toContain("warning");
  });

  test("over TLS with a certificate for each device", { timeout: TIMEOUT_MS }, async () => {
    const { port } = await start(tlsOf(true));
    const client = pki.issue("fleet", "DNS:fleet");
    const flags = ["--cafile", pki.ca.certFile, "--cert", client.certFile, "--key", client.keyFile];
    expectAllKept(await run("-L", `mqtts://127.0.0.1:${port}`, ...flags));
  });

  test("over TLS that is not checked, which it says", { timeout: TIMEOUT_MS }, async () => {
    const { port } = await start(tlsOf());
    const outcome = await run("-L", `mqtts://127.0.0.1:${port}`, "--insecure");
    expectAllKept(outcome);
    expect(outcome.stderr).toContain("warning");
  });

  test("not over TLS that nobody vouches for", { timeout: TIMEOUT_MS }, async () => {
    const { port } = await start(tlsOf());
    const { exitCode, stdout, stderr } = await run("-L", `mqtts://127.0.0.1:${port}`);
    expect([exitCode, stdout]).toEqual([3, ""]);
    expect(stderr).toContain("--cafile");
  });

  test("over WebSocket", { timeout: TIMEOUT_MS }, async () => {
    const { wsPort } = await start({ webSocket: true });
    expectAllKept(await run("-L", `ws://127.0.0.1:${wsPort}`));
  });

  test("with a password from a file, which appears nowhere", { timeout: TIMEOUT_MS }, async () => {
    const { port } = await start({ users: { fleet: "open sesame" } });
    const passwordFile = join(dirname(server.certFile), "password.txt");
    writeFileSync(passwordFile, "open sesame\n");
    const place = ["-h", "127.0.0.1", "-p", `${port}`, "-u", "fleet"];
    const outcome = await run(...place, "--password-file", passwordFile);
    expectAllKept(outcome);
    expect(outcome.stdout + outcome.stderr).not.toContain("sesame");

    writeFileSync(passwordFile, "close sesame\n");
    const refused = await run(...place, "--password-file", passwordFile);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toContain("password");
    expect(refused.stderr).not.toContain("sesame");
  });
});
