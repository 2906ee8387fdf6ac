/** Where the lines of a command go, in which colours, and how progress stays at the bottom of a terminal. */

import { beforeEach, describe, expect, test } from "vitest";
import { Output, printable } from "../../host/src/cli/output.ts";
import { realWorld } from "../../host/src/world.ts";
import { RecordingStream } from "../support/run-cli.ts";

const ESCAPE = "\u001b";

let stdout: RecordingStream;
let stderr: RecordingStream;
let nowMs: number;

beforeEach(() => {
  stdout = new RecordingStream();
  stderr = new RecordingStream();
  nowMs = 5;
});

function outputWith(
  flags: { color?: boolean; quiet?: boolean; progress?: boolean } = {},
  env: Record<string, string> = {},
): Output {
  const world = { ...realWorld, nowMs: () => nowMs };
  return new Output({
    stdout,
    stderr,
    env,
    world,
    color: true,
    quiet: false,
    progress: true,
    ...flags,
  });
}

describe("streams", () => {
  test("the result goes to stdout, everything else to stderr", () => {
    const output = outputWith();
    output.result("21.5");
    output.note("connected");
    output.warn("slow");
    output.error("no answer", "Wait");
    output.progress(["block"], "line");
    expect(stdout.text).toBe("21.5\n");
    expect(stderr.text).toBe("connected\nwarning: slow\nerror: no answer\n  Wait\nline\n");
  });

  test("--quiet keeps the result, warnings and errors", () => {
    const output = outputWith({ quiet: true });
    output.note("connected");
    output.progress([], "line");
    output.warn("slow");
    output.error("no answer", "Wait");
    output.result("21.5");
    expect(stdout.text).toBe("21.5\n");
    expect(stderr.text).toBe("warning: slow\nerror: no answer\n  Wait\n");
  });

  test("JSON is one document", () => {
    outputWith().json({ a: [1] });
    expect(JSON.parse(stdout.text)).toEqual({ a: [1] });
    expect(stdout.text.endsWith("}\n")).toBe(true);
  });
});

describe("colours", () => {
  const red = `${ESCAPE}[31mx${ESCAPE}[39m`;
  test.each([
    ["a pipe", false, {}, {}, "x"],
    ["a terminal", true, {}, {}, red],
    ["--no-color", true, { color: false }, { FORCE_COLOR: "1" }, "x"],
    ["NO_COLOR", true, {}, { NO_COLOR: "1" }, "x"],
    ["NO_COLOR, even empty", true, {}, { NO_COLOR: "", FORCE_COLOR: "1" }, "x"],
    ["FORCE_COLOR on a pipe", false, {}, { FORCE_COLOR: "1" }, red],
    ["FORCE_COLOR=0", true, {}, { FORCE_COLOR: "0" }, "x"],
    ["a dumb terminal", true, {}, { TERM: "dumb" }, "x"],
  ])("%s", (_what, isTTY, flags, env: Record<string, string>, expected) => {
    stdout.isTTY = isTTY;
    expect(outputWith(flags, env).colors.red("x")).toBe(expected);
  });

  test("each stream is judged by itself", () => {
    stderr.isTTY = true;
    const output = outputWith();
    output.error("p", "r");
    expect(stderr.text).toContain(`${ESCAPE}[31merror:`);
    expect(output.colors.red("x")).toBe("x");
  });
});

describe("progress", () => {
  test("is one line in ten seconds where stderr is no terminal", () => {
    const output = outputWith();
    for (nowMs = 5; nowMs <= 20_005; nowMs += 1000) output.progress(["b"], `at ${nowMs}`);
    expect(stderr.text).toBe("at 5\nat 10005\nat 20005\n");
  });

  test("is absent with --no-progress", () => {
    stderr.isTTY = true;
    const output = outputWith({ progress: false });
    output.progress(["block"], "line");
    expect(stderr.text).toBe("");
  });

  test("redraws itself on a terminal, below what else is printed", () => {
    stderr.isTTY = true;
    stdout.isTTY = true;
    const terminal = new TinyTerminal();
    stdout.write = (text) => terminal.write(`${text}`);
    stderr.write = (text) => terminal.write(`${text}`);
    const output = outputWith();
    output.note("start");
    output.progress(["a 1", "b 1"], "");
    output.progress(["a 2", "b 2", "c 2"], "");
    expect(terminal.lines).toEqual(["start", "a 2", "b 2", "c 2"]);
    output.result("found");
    output.note("noted");
    output.progress(["a 3"], "");
    expect(terminal.lines).toEqual(["start", "found", "noted", "a 3"]);
    output.endProgress();
    output.note("end");
    expect(terminal.lines).toEqual(["start", "found", "noted", "a 3", "end"]);
    expect(terminal.wraps).toBe(true);
  });
});

/** Knows lines, "cursor up", "erase below" and "wrap on or off"; anything else would show as text. */
class TinyTerminal {
  lines: string[] = [];
  wraps = true;

  write(text: string): void {
    let rest = text;
    while (rest !== "") {
      const up = new RegExp(`^${ESCAPE}\\[(\\d+)A${ESCAPE}\\[0J`).exec(rest);
      const wrap = new RegExp(`^${ESCAPE}\\[\\?7([lh])`).exec(rest);
      if (up !== null) this.lines.splice(this.lines.length - Number(up[1]));
      if (wrap !== null) this.wraps = wrap[1] === "h";
      const command = up ?? wrap;
      const line = /^([^\n]*)\n/.exec(rest);
      if (command === null && line === null) throw new Error(`no line end in ${rest}`);
      if (command === null) this.lines.push((line?.[1] ?? "").replaceAll(ESCAPE, "ESC"));
      rest = rest.slice((command ?? line)?.[0].length);
    }
  }
}

describe("text from elsewhere", () => {
  test("has its control characters and direction marks made visible", () => {
    expect(printable(`a${ESCAPE}[2Jb\u0000\u009b\u202ec\u2028`)).toBe(
      "a\\u{1b}[2Jb\\u{0}\\u{9b}\\u{202e}c\\u{2028}",
    );
  });

  test("keeps everything else, line ends too", () => {
    expect(printable("21,5 °C\n🌡 温度")).toBe("21,5 °C\n🌡 温度");
  });
});
