/** What `wasmqtt bridge` says of problems, and what becomes of the lines that nobody reads. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { registerBridge } from "../../host/src/cli/commands/bridge.ts";
import { registerMonitor } from "../../host/src/cli/commands/monitor.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { describeWith } from "../support/optional.ts";
import { PtyBoard } from "../support/pty-board.ts";
import { RecordingContext, RecordingStream } from "../support/run-cli.ts";

/** Keeps all that is written, and is read only when the test says so. */
class UnreadStream extends RecordingStream {
  readNow: () => void = () => {};
  readonly #read = new Promise<void>((resolve) => {
    this.readNow = resolve;
  });

  override drained(): Promise<void> {
    return this.#read;
  }
}

let context: RecordingContext;
let stdout: UnreadStream;
let board: PtyBoard;

/** Asserts what becomes true within a generous limit. */
const soon = <Value>(look: () => Value) => expect.poll(look, { timeout: 15_000 });

function run(...args: string[]): Promise<ExitCode> {
  return runCli([...args, "-d", board.path], context, [registerBridge, registerMonitor]);
}

async function stopped(ended: Promise<ExitCode>): Promise<void> {
  context.interruptController.abort(ExitCode.Interrupted);
  expect(await ended).toBe(ExitCode.Interrupted);
}

describeWith(["socat"], "with a board", () => {
  beforeEach(async () => {
    context = new RecordingContext();
    stdout = new UnreadStream();
    board = await PtyBoard.open();
  });
  afterEach(async () => {
    context.interruptController.abort(ExitCode.Interrupted);
    await board.close();
  });

  describe("a problem of the bridge", () => {
    test("is told with what to do, and once until it is another one", async () => {
      const ended = run("bridge", "-h", "127.0.0.1", "-p", "1");
      await soon(() => context.stdout.text).toContain("line open");
      await board.close();
      await soon(() => context.stdout.text).toContain("There is no port");
      await new Promise((resolve) => setTimeout(resolve, 1_500)); // at least one more attempt
      const { text } = context.stdout;
      expect(text.match(/There is no port/gu)).toHaveLength(1);
      expect(text).toMatch(/There is no port .*; trying until it is back\n {2}\S/u);
      await stopped(ended);
    });

    test("that nobody answers is told with what to do", async () => {
      board.scripted.hasPower = false;
      const ended = run("bridge", "-h", "127.0.0.1", "-p", "1");
      await soon(() => context.stdout.text).toMatch(
        /did not answer within .*; listening all the same\n {2}Check the cable/u,
      );
      await stopped(ended);
    });

    test("has its remedy as a field with --json, each time", async () => {
      const ended = run("bridge", "--json", "-h", "127.0.0.1", "-p", "1");
      await soon(() => context.stdout.text).toContain("line-opened");
      await board.close();
      const closings = () =>
        context.stdout.text
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as Record<string, unknown>)
          .filter(({ event }) => event === "line-closed");
      await soon(() => closings().length).toBeGreaterThan(2);
      for (const { error, remedy } of closings()) {
        expect(error).toMatch(/\S/u);
        expect(remedy).toMatch(/\S/u);
      }
      await stopped(ended);
    });
  });

  describe("while nobody reads stdout,", () => {
    const LINE = "x".repeat(100);
    const LINE_COUNT = 10_000;

    async function flood(): Promise<void> {
      for (let sent = 0; sent < LINE_COUNT; sent += 100) {
        board.send(`${LINE}\r\n`.repeat(100));
        await new Promise((resolve) => setImmediate(resolve));
      }
      board.send("the last line\r\n");
    }

    test.each([
      [["monitor"], /^\[(\d+) lines not shown\]$/mu],
      [["monitor", "--json"], /"notShownCount":(\d+)/u],
      [["bridge", "-h", "127.0.0.1", "-p", "1"], /^\[(\d+) lines not shown\]$/mu],
      [["bridge", "--json", "-h", "127.0.0.1", "-p", "1"], /"notShownCount":(\d+)/u],
    ])(
      "%j keeps so much, counts the rest, and says so when it is read again",
      async (args, gap) => {
        Object.assign(context, { stdout });
        const ended = run(...args);
        await soon(() => context.stderr.text + stdout.text).toMatch(/Listening|"?line.open/u);
        await flood();
        await soon(() => stdout.text.length).toBeGreaterThan(260_000);
        await new Promise((resolve) => setTimeout(resolve, 2_000)); // the rest arrives
        expect(stdout.text.length).toBeLessThan(300_000);
        expect(stdout.text).not.toContain("not");
        stdout.readNow();
        await soon(() => stdout.text).toMatch(gap);
        const shownCount = stdout.text.split(LINE).length - 1;
        expect(Number(gap.exec(stdout.text)?.[1])).toBeGreaterThanOrEqual(LINE_COUNT - shownCount);
        board.send("and goes on\r\n");
        await soon(() => stdout.text).toContain("and goes on");
        await stopped(ended);
      },
    );

    test("monitor --raw says on stderr that something is missing", async () => {
      Object.assign(context, { stdout });
      const ended = run("monitor", "--raw");
      await soon(() => context.stderr.text).toContain("Listening");
      await flood();
      await soon(() => stdout.text.length).toBeGreaterThan(260_000);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect(stdout.text.length).toBeLessThan(400_000);
      await stopped(ended);
      expect(context.stderr.text).toMatch(/\d+ pieces are not shown/u);
    });
  });
});
