/** Devices that connect from several addresses of this machine in turn: `--ifaddr` and `broker.localAddresses`. */

import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { resultSchema } from "../../simulator/src/run/result.ts";
import { startAedes } from "../support/brokers.ts";
import { runCli } from "../support/run-cli.ts";

const TIMEOUT_MS = 60_000;
const COUNT = 10;

/** In front of a broker; knows from where each connection came. */
class Door {
  readonly addresses: (string | undefined)[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  constructor(brokerPort: number) {
    this.#server = createServer((socket) => {
      this.addresses.push(socket.remoteAddress);
      const inside = connect(brokerPort, "127.0.0.1");
      for (const [one, other] of [
        [socket, inside],
        [inside, socket],
      ] as const) {
        this.#sockets.add(one);
        one.on("error", () => {}).on("close", () => other.destroy());
        one.pipe(other);
      }
    });
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async open(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Connections by the address that they came from. */
  countsByAddress(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const address of this.addresses) counts[`${address}`] = (counts[`${address}`] ?? 0) + 1;
    return counts;
  }
}

let broker: EmbeddedBroker;
let door: Door;

beforeEach(async () => {
  broker = await startAedes();
  door = await new Door(broker.port).open();
});

afterEach(async () => {
  await door.close();
  await broker.stop();
});

function run(args: string[]) {
  const place = ["-h", "127.0.0.1", "-p", `${door.port}`];
  const fleet = ["-c", `${COUNT}`, "--interval", "200ms", "--duration", "1s"];
  return runCli(["run", ...args, ...place, ...fleet, "--json"], { timeoutMs: TIMEOUT_MS });
}

// Where all of 127.0.0.0/8 is this machine, as Linux has it.
describe.runIf(process.platform === "linux")("connections", () => {
  const flags = ["--ifaddr", "127.0.0.2", "--ifaddr", "127.0.0.3"];

  test("come from both addresses in turn, and from no other", { timeout: TIMEOUT_MS }, async () => {
    const { exitCode, stdout } = await run(["steady", ...flags, "-j", "1"]);
    expect(exitCode).toBe(0);
    expect(resultSchema.parse(JSON.parse(stdout)).devices.connected).toBe(COUNT);
    // The run's own subscriber, and all devices.
    expect(door.addresses).toHaveLength(1 + COUNT);
    expect(door.countsByAddress()).toEqual({ "127.0.0.2": 6, "127.0.0.3": 5 });
  });

  test("come from both on each of two threads", { timeout: TIMEOUT_MS }, async () => {
    const { exitCode } = await run(["steady", ...flags, "-j", "2"]);
    expect(exitCode).toBe(0);
    // Five devices a thread; each thread begins with the first address, and so does the subscriber.
    expect(door.countsByAddress()).toEqual({ "127.0.0.2": 1 + 3 + 3, "127.0.0.3": 2 + 2 });
  });

  test("come from where the scenario says", { timeout: TIMEOUT_MS }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "wasmqtt-addresses-"));
    try {
      const path = join(folder, "own.yaml");
      writeFileSync(path, 'version: 1\nbroker: { localAddresses: ["127.0.0.9"] }\n');
      expect((await run([path])).exitCode).toBe(0);
      expect(door.countsByAddress()).toEqual({ "127.0.0.9": 1 + COUNT });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

// 192.0.2.0/24 is for documentation: no machine has it (RFC 5737).
const OF_NO_MACHINE = ["--ifaddr", "192.0.2.1"];

test("an address of another machine ends the run at once, with exit code 2 and a hint", {
  timeout: TIMEOUT_MS,
}, async () => {
  const { exitCode, stderr } = await run(["steady", ...OF_NO_MACHINE]);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/^error: 192\.0\.2\.1 is no address of this machine\n {2}Give one/mu);
  expect(door.addresses).toEqual([]);
});

test("and doctor says so beforehand", { timeout: TIMEOUT_MS }, async () => {
  const { exitCode, stderr } = await runCli(["doctor", ...OF_NO_MACHINE]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain("192.0.2.1 is no address of this machine");
});

test("what is no address is a mistake of whoever typed it", { timeout: TIMEOUT_MS }, async () => {
  const { exitCode, stderr } = await run(["steady", "--ifaddr", "eth0"]);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('must be an IP address of this machine, but is "eth0"');
});
