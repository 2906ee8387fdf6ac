/** `wasmqtt bridge` to brokers that are reached by TLS and by WebSocket, for a board that knows neither. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, test } from "vitest";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { type Mosquitto, startMosquitto } from "../support/brokers.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { describeWith } from "../support/optional.ts";
import { createPki, type Pki } from "../support/pki.ts";
import { PosixBoard } from "../support/posix-board.ts";
import { startCli } from "../support/run-cli.ts";

const TIMEOUT_MS = 90_000;
const VERSION = { major: 1, minor: 0, revision: 0, build: 0 };

describeWith([...BUILD_PROGRAMS, "mosquitto", "openssl"], "a board behind a bridge", () => {
  let pki: Pki;
  let broker: Mosquitto;
  let secureBroker: Mosquitto;
  let board: PosixBoard;

  beforeAll(async () => {
    pki = createPki();
    const { certFile, keyFile } = pki.issue("broker", "IP:127.0.0.1");
    const caFile = pki.ca.certFile;
    secureBroker = await startMosquitto({ tls: { caFile, certFile, keyFile } });
    broker = await startMosquitto({ webSocket: true });
    board = new PosixBoard();
    await board.start();
    await board.flash(readFileSync(join(MODULES_FOLDER, "thermometer.wasm")), VERSION, "confirm");
    await board.unplug();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await board.end();
    await secureBroker.stop();
    await broker.stop();
    pki.remove();
  });

  async function bridged(...flags: string[]): Promise<void> {
    const bridge = startCli(["bridge", "-d", board.path, ...flags], { timeoutMs: TIMEOUT_MS });
    try {
      await bridge.waitFor("stdout", /\| connected, the session is new/u);
    } finally {
      await bridge.stop();
    }
  }

  test("connects over TLS, to a broker that the CA vouches for", { timeout: TIMEOUT_MS }, () =>
    bridged("-L", `mqtts://127.0.0.1:${secureBroker.port}`, "--cafile", pki.ca.certFile),
  );

  test("connects over WebSocket", { timeout: TIMEOUT_MS }, () =>
    bridged("-L", `ws://127.0.0.1:${broker.wsPort}`),
  );

  test("tells the board why when it does not trust the broker, and goes on", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const url = `mqtts://127.0.0.1:${secureBroker.port}`;
    const bridge = startCli(["bridge", "-d", board.path, "-L", url], { timeoutMs: TIMEOUT_MS });
    try {
      await bridge.waitFor("stdout", /--cafile/u);
      await bridge.waitFor("stdout", /\| no connection: .*; next attempt in \d+ ms/u);
    } finally {
      await bridge.stop();
    }
  });
});
