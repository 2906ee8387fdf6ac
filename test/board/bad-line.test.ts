/** The host's end of the wire against the board's own program, over a line that loses, damages and doubles what it carries. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openBoard } from "../../host/src/board/board.ts";
import { wrapModule } from "../../host/src/board/module-image.ts";
import type { OpenLine } from "../../host/src/board/serial-line.ts";
import { Bridge, type BridgeEvent } from "../../host/src/bridge/bridge.ts";
import { memoryListener } from "../../host/src/transport/memory.ts";
import type { Transport } from "../../host/src/transport/transport.ts";
import { realWorld, type World } from "../../host/src/world.ts";
import { BUILD_PROGRAMS, makeBoard } from "../support/board-driver.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { ModelServer } from "../support/model-server.ts";
import { describeWith } from "../support/optional.ts";
import { PosixBoard } from "../support/posix-board.ts";
import { noise, type Spoil, seeded, spoiledPieces } from "../support/test-cable.ts";

const module = readFileSync(join(MODULES_FOLDER, "thermometer.wasm"));
const image = wrapModule(module, { version: { major: 1, minor: 0, revision: 0, build: 0 } });

const TIMEOUT_MS = 120_000;

/** Waits on the host's side take a quarter of their time: a lost answer is asked for again after 250 ms. */
const hastyWorld: World = {
  ...realWorld,
  nowMs: () => realWorld.nowMs() * 4,
  setTimer: (delayMs, callback) => realWorld.setTimer(delayMs / 4, callback),
};

/** A line on which `spoil` happens to what either side says. */
function badLine(openLine: OpenLine, spoil: Spoil): OpenLine {
  return async (handlers) => {
    const line = await openLine({
      ...handlers,
      received: (chunk) => {
        for (const piece of spoiledPieces(chunk, spoil)) handlers.received(piece);
      },
    });
    return {
      path: line.path,
      write: (bytes) => {
        for (const piece of spoiledPieces(bytes, spoil)) line.write(piece);
      },
      close: () => line.close(),
    };
  };
}

/** Counts what `noise` does. */
class Trouble {
  count = 0;
  readonly spoil: Spoil;

  constructor(seed: number, rate: number) {
    const spoil = noise(seeded(seed), rate);
    this.spoil = (bytes) => {
      const spoiled = spoil(bytes);
      if (spoiled !== bytes) this.count++;
      return spoiled;
    };
  }
}

describeWith(BUILD_PROGRAMS, "a board at the end of a bad line", () => {
  let board: PosixBoard;

  beforeAll(() => {
    makeBoard("build/posix-sanitized/board");
  }, 240_000);

  beforeEach(async () => {
    board = new PosixBoard();
    await board.start();
  });

  afterEach(() => board.end());

  test.each([1, 2, 3])(
    "is given its module whole (seed %i)",
    async (seed) => {
      const trouble = new Trouble(seed, 0.02);
      const talk = await openBoard({
        world: hastyWorld,
        openLine: badLine(board.line, trouble.spoil),
      });
      try {
        await talk.upload(image.bytes);
        await talk.confirm(image.hash);
        const info = await talk.restart();
        expect(info.module.sha256).toBe(image.moduleSha256);
        expect(trouble.count).toBeGreaterThan(5);
      } finally {
        await talk.close();
      }
    },
    TIMEOUT_MS,
  );

  test(
    "has each of its readings delivered once, in order, over connections that break",
    async () => {
      const management = await board.plug();
      await management.configure({ clientId: "attic", intervalMs: 100, qos: 2 });
      await board.flash(module, image.version, "confirm");
      await board.unplug();

      const trouble = new Trouble(4, 0.006);
      const server = new ModelServer(3);
      const events: BridgeEvent["event"][] = [];
      const bridge = new Bridge({
        world: realWorld,
        path: "attic",
        openLine: badLine(board.line, trouble.spoil),
        openTransport: served(server),
        tell: ({ event }) => events.push(event),
      });
      try {
        await board.until(async () =>
          events.filter((event) => event === "closed").length >= 2 && sequences(server).length > 20
            ? true
            : undefined,
        );
      } finally {
        await bridge.stop();
      }
      const arrived = sequences(server);
      const [first = 0] = arrived;
      expect(arrived).toEqual(arrived.map((_, index) => first + index));
    },
    TIMEOUT_MS,
  );
});

/** Numbers of the readings in the order of their arrival. */
function sequences(server: ModelServer): number[] {
  return server.arrived
    .filter((payload) => payload.startsWith("{"))
    .map((payload) => (JSON.parse(payload) as { seq: number }).seq);
}

/** Network Connections to `server`. */
function served(server: ModelServer) {
  return memoryListener(realWorld, (end) => {
    let wire: Transport;
    wire = end({
      opened: () => server.open(),
      received: (bytes) => {
        server.read(bytes);
        wire.write(server.takeReplies());
      },
      drained: () => {},
      closed: () => server.close(),
    });
  });
}
