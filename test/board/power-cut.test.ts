/** QoS 2 in both directions while a board loses power in each operation of its flash: nothing is lost, nothing comes twice. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BUILD_PROGRAMS } from "../support/board-driver.ts";
import { BoardRig } from "../support/board-rig.ts";
import { MODULES_FOLDER } from "../support/core-client.ts";
import { ModelServer } from "../support/model-server.ts";
import { describeWith } from "../support/optional.ts";

const STEP_COUNT = 24;
const MESSAGE_LENGTH = 100;
const SECTOR_LENGTH = 1536;

/** When the connection breaks, and how long a board takes to make up for a loss of power. */
const LOSS_STEP = 9;
const SETTLING_COUNT = 6;

/** One life with one loss of power, or none. */
interface Life {
  /** Flash operations. */
  operations: number;
  wasCut: boolean;
  /** Numbers of the readings in the order of their arrival. */
  sequences: number[];
  /** How often each message of the server was reported. */
  reports: number[];
}

function sequencesOf({ arrived }: ModelServer): number[] {
  return arrived
    .filter((payload) => payload.startsWith("{"))
    .map((payload) => (JSON.parse(payload) as { seq: number }).seq);
}

describeWith(BUILD_PROGRAMS, "a board that loses power", () => {
  const thermometer = readFileSync(join(MODULES_FOLDER, "thermometer.wasm"));
  let rig: BoardRig;

  beforeAll(async () => {
    rig = new BoardRig();
    await rig.load(thermometer);
    await rig.set({ qos: 2, intervalMs: 100 });
  }, 180_000);

  afterAll(() => rig.end());

  /** The power fails in this operation, if it is not 0, when so much of it is done. */
  async function live(cutAt: number, share: number, wordLength: number): Promise<Life> {
    const server = new ModelServer(3);
    await rig.format(SECTOR_LENGTH, wordLength, 3);
    rig.serve(server);
    const { operations } = await rig.report();
    rig.board.isCut = false;
    if (cutAt > 0) await rig.board.tell(`cut ${cutAt} ${share}`);
    await rig.start();

    let wasCut = false;
    let lastStep = 2 * STEP_COUNT;
    let messageCount = 0;
    for (let step = 0; step < lastStep || rig.board.isCut; step++) {
      if (rig.board.isCut) {
        wasCut = true;
        lastStep += SETTLING_COUNT;
        await restart(server);
      }
      if (step === LOSS_STEP) await rig.lose();
      messageCount += serve(server, step, messageCount);
      await rig.run(step % 5 === 4 ? 1500 : 100);
    }
    expect(server.unfinished).toEqual([]);
    const report = await rig.report();
    expect(report.state).toBe("running");
    return {
      operations: report.operations - operations,
      wasCut,
      sequences: sequencesOf(server),
      reports: Array.from({ length: messageCount }, (_, index) => reportCount(index)),
    };
  }

  async function restart(server: ModelServer): Promise<void> {
    rig.board.isCut = false;
    server.close();
    await rig.start();
  }

  /** How many messages there are more. */
  function serve(server: ModelServer, step: number, messageCount: number): number {
    if (step % 2 === 0 || step > STEP_COUNT) return 0;
    return server.publish("x".repeat(MESSAGE_LENGTH + messageCount), 2) ? 1 : 0;
  }

  function reportCount(index: number): number {
    const line = `message of ${MESSAGE_LENGTH + index} bytes`;
    return rig.board.said.filter((said) => said === line).length;
  }

  function expectNothingLost({ sequences, reports, wasCut }: Life): void {
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(sequences.length).toBeGreaterThan(STEP_COUNT);
    expect(reports.length).toBeGreaterThan(STEP_COUNT / 4);
    expect(Math.min(...reports)).toBe(1);
    // What was reported and not stored when the power failed comes again.
    const doubled = reports.reduce((sum, count) => sum + count - 1, 0);
    expect(doubled).toBeLessThanOrEqual(wasCut ? 3 : 0);
  }

  test.each([
    { wordLength: 4, shares: [0, 50, 99] },
    { wordLength: 1, shares: [70] },
    { wordLength: 16, shares: [30] },
  ])(
    "in any operation of a flash with words of $wordLength",
    async ({ wordLength, shares }) => {
      const whole = await live(0, 0, wordLength);
      expectNothingLost(whole);
      expect(whole.operations).toBeGreaterThan(80);
      let cutCount = 0;
      for (let operation = 1; operation <= whole.operations; operation++) {
        for (const share of shares) {
          const life = await live(operation, share, wordLength);
          expectNothingLost(life);
          if (life.wasCut) cutCount++;
        }
      }
      expect(cutCount).toBe(whole.operations * shares.length);
    },
    300_000,
  );
});
