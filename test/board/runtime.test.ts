/** The runtime of a board as a whole: the native board with sanitizers, over a pty, with the host's tools and bridge on the other side. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Bridge, type BridgeEvent } from "../../host/src/bridge/bridge.ts";
import { memoryListener } from "../../host/src/transport/memory.ts";
import type { Transport } from "../../host/src/transport/transport.ts";
import { realWorld } from "../../host/src/world.ts";
import { BUILD_PROGRAMS, makeBoard } from "../support/board-driver.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { lyingModule, SPIN, TRAP } from "../support/lying-module.ts";
import { ModelServer } from "../support/model-server.ts";
import { describeWith } from "../support/optional.ts";
import { PosixBoard } from "../support/posix-board.ts";

const thermometer = readFileSync(join(MODULES_FOLDER, "thermometer.wasm"));
const SHA256 = createHash("sha256").update(thermometer).digest("hex");
const FIRST = { major: 1, minor: 2, revision: 3, build: 4 };
const SECOND = { major: 1, minor: 2, revision: 4, build: 0 };

const TIMEOUT_MS = 60_000;

/** A bridge to a server in memory; what it tells is kept. */
class BridgeToServer {
  readonly server = new ModelServer(3);
  readonly said: string[] = [];
  readonly events: BridgeEvent["event"][] = [];
  readonly #bridge: Bridge;

  constructor(board: PosixBoard) {
    this.#bridge = new Bridge({
      world: realWorld,
      path: "board",
      openLine: board.line,
      openTransport: memoryListener(realWorld, (server) => {
        let wire: Transport;
        wire = server({
          opened: () => this.server.open(),
          received: (bytes) => {
            this.server.read(bytes);
            const replies = this.server.takeReplies();
            if (replies.length > 0) wire.write(replies);
          },
          drained: () => {},
          closed: () => this.server.close(),
        });
      }),
      tell: (event) => {
        this.events.push(event.event);
        if (event.event === "console") this.said.push(event.text);
      },
    });
  }

  /** Numbers of the readings in the order of their arrival. */
  get sequences(): number[] {
    return this.server.arrived
      .filter((payload) => payload.startsWith("{"))
      .map((payload) => (JSON.parse(payload) as { seq: number }).seq);
  }

  stop(): Promise<void> {
    return this.#bridge.stop();
  }
}

describeWith(BUILD_PROGRAMS, "the runtime of a board", () => {
  let board: PosixBoard;
  let bridge: BridgeToServer | undefined;

  beforeAll(() => {
    makeBoard("build/posix-sanitized/board");
  }, 240_000);

  beforeEach(async () => {
    board = new PosixBoard();
    await board.start();
  });

  afterEach(async () => {
    await bridge?.stop();
    bridge = undefined;
    await board.end();
  });

  test(
    "without a module says so, and can be managed",
    async () => {
      const { module, resetReason } = await (await board.plug()).info();
      expect(module).toMatchObject({ state: "none", isConnected: false, startCount: 0 });
      expect(resetReason).toBe("power");
      await (await board.plug()).reset();
      await board.says(/^restarting$/);
      await board.says(
        /^wasmqtt board posix, runtime 0\.1\.0, \w+ [\d.]+; started by: a restart was asked for$/,
      );
      await board.says(/^no module runs: send one with `wasmqtt flash`$/);
    },
    TIMEOUT_MS,
  );

  test(
    "runs the module that it was given, byte for byte, and tells which",
    async () => {
      await board.flash(thermometer, FIRST, "test");
      await board.says(
        new RegExp(
          `^module ${SHA256}, slot \\d, ${thermometer.length} bytes, version 1\\.2\\.3\\+4, on trial$`,
        ),
      );
      await board.says(/^module runs as board-[0-9a-f]{6}$/);
      await board.says(/^memory: heap \d+ bytes used, \d+ free; stack \d+ used, \d+ free$/);
      const { module, ram } = await (await board.plug()).info();
      expect(module).toMatchObject({
        state: "running",
        sha256: SHA256,
        length: thermometer.length,
        isConnected: false,
        startCount: 1,
        fallCount: 0,
      });
      expect(ram.heapLength).toBeGreaterThan(10_000);
      expect(ram.heapLength).toBeLessThan(ram.heapCapacity);
    },
    TIMEOUT_MS,
  );

  test(
    "sleeps while nothing is due, with and without a bridge",
    async () => {
      await (await board.plug()).configure({ intervalMs: 60_000 });
      await board.flash(thermometer, FIRST, "confirm");
      const idle = board.ticks;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(board.ticks - idle).toBeLessThan(15);
      await board.unplug();
      bridge = new BridgeToServer(board);
      const { server } = bridge;
      await board.until(async () => (server.arrived.length >= 2 ? true : undefined));
      const connected = board.ticks;
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(board.ticks - connected).toBeLessThan(15);
    },
    TIMEOUT_MS,
  );

  test(
    "delivers each reading once at QoS 2, over a loss of power",
    async () => {
      const management = await board.plug();
      await management.configure({ clientId: "garden-1", intervalMs: 100, qos: 2 });
      await board.flash(thermometer, FIRST, "confirm");
      await board.unplug();
      bridge = new BridgeToServer(board);
      const first = bridge;
      await board.until(async () => (first.sequences.length > 8 ? true : undefined));
      expect(first.said).toContain("connected, the session is new");
      await bridge.stop();
      await board.cut();
      first.server.close();

      await board.start();
      bridge = new BridgeToServer(board);
      Object.assign(bridge, { server: first.server });
      const length = first.sequences.length;
      await board.until(async () => (first.sequences.length > length + 8 ? true : undefined));
      expect(bridge.said).toContain("connected, the broker kept the session");
      expect(first.sequences).toEqual(first.sequences.map((_, index) => index + 1));
      expect(
        [...first.said, ...bridge.said].filter((line) => line.startsWith("connection lost")),
      ).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    "starts a module that traps again, and after three falls the one before",
    async () => {
      await board.flash(thermometer, FIRST, "confirm");
      const from = board.said.length;
      await board.flash(lyingModule(thermometer, "nextDeadlineMs", TRAP), SECOND, "confirm");
      await board.says(/^module fell: .*unreachable.*; it starts again in 1000 ms$/, from);
      const waiting = await (await board.plug()).info();
      expect(waiting.module).toMatchObject({ state: "waiting", fallCount: 1 });
      expect(waiting.module.note).toContain("unreachable");
      await board.says(/^module starts again$/, from);
      const startedAgainMs = realWorld.nowMs();
      await board.says(/^module fell: .*; it starts again in 2000 ms$/, from);
      expect(realWorld.nowMs() - startedAgainMs).toBeLessThan(1500);
      const fallen = board.said.length;
      await board.says(new RegExp(`^module ${SHA256}, slot \\d, `), fallen);
      const { module } = await (await board.plug()).info();
      expect(module).toMatchObject({ state: "running", sha256: SHA256, fallCount: 3 });
      expect(module.note).toContain("unreachable");
    },
    TIMEOUT_MS,
  );

  // The second is called before the board is in its loop.
  test.each(["nextDeadlineMs", "blockAt"])(
    "ends a module that spins in %s by its watchdog, and the one before returns",
    async (name) => {
      await board.flash(thermometer, FIRST, "confirm");
      const from = board.said.length;
      const spinning = lyingModule(thermometer, name, SPIN);
      await board.flash(spinning, SECOND, "test").catch(() => undefined); // it answers nothing while it spins
      await board.says(
        /^the module did not return in time, and the watchdog has restarted the board$/,
        from,
      );
      await board.says(new RegExp(`^module ${SHA256}, slot \\d, `), from + 1);
      const { module, resetReason } = await (await board.plug()).info();
      expect(resetReason).toBe("watchdog");
      expect(module).toMatchObject({ state: "running", sha256: SHA256 });
    },
    TIMEOUT_MS,
  );

  test(
    "restarts the module with another configuration, and gives the session up with the client id",
    async () => {
      await board.flash(thermometer, FIRST, "confirm");
      const management = await board.plug();
      await management.configure({ intervalMs: 500 });
      await board.says(/^the configuration has changed: the module restarts$/);
      expect(board.said).not.toContain("the stored session was given up");
      await management.configure({ clientId: "greenhouse" });
      await board.says(/^the stored session was given up$/);
      await board.says(/^module runs as greenhouse$/);
      expect((await management.info()).module).toMatchObject({ state: "running", startCount: 3 });
    },
    TIMEOUT_MS,
  );

  test(
    "refuses a configuration that its module does not take, and goes on when that is changed",
    async () => {
      await board.flash(readFileSync(join(MODULES_FOLDER, "reporter.wasm")), FIRST, "confirm");
      const management = await board.plug();
      await management.configure({ profile: Uint8Array.of(1, 2, 3) });
      await board.says(/^module refused: it does not take the profile of the configuration$/);
      expect((await management.info()).module).toMatchObject({
        state: "refused",
        note: "it does not take the profile of the configuration",
      });
      await management.configure({ profile: null });
      await board.until(async () =>
        (await management.info()).module.state === "running" ? true : undefined,
      );
    },
    TIMEOUT_MS,
  );
});
