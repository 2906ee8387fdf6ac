import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { didYouMean } from "../../simulator/src/did-you-mean.ts";
import { formatDuration, parseDurationMs } from "../../simulator/src/duration.ts";
import { fillPattern, isPerDevice, patternProblem } from "../../simulator/src/scenario/pattern.ts";
import { targetCount } from "../../simulator/src/scenario/scenario.ts";

describe("durations", () => {
  test.each([
    ["0s", 0],
    ["500ms", 500],
    ["10s", 10_000],
    ["1.5s", 1500],
    ["2m", 120_000],
    ["1h", 3_600_000],
  ])("%s is %d ms", (text, durationMs) => {
    expect(parseDurationMs(text)).toBe(durationMs);
  });

  test.each(["", "10", "10 s", "-1s", "1d", "s", "1e3s", "1s1", "1.s", " 1s"])(
    "%j is no duration",
    (text) => {
      expect(parseDurationMs(text)).toBeUndefined();
    },
  );

  test.each([
    [0, "0s"],
    [250, "250ms"],
    [1000, "1s"],
    [12_400, "12.4s"],
    [59_949, "59.9s"],
    [59_950, "1m"],
    [188_000, "3m08s"],
    [3_599_600, "1h"],
    [3_900_000, "1h05m"],
    [86_400_000, "24h"],
  ])("%d ms is shown as %s", (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });
});

describe("patterns", () => {
  test.each([
    ["mote-%i", "mote-7"],
    ["mote-%05i", "mote-00007"],
    ["%c@site", "mote-7@site"],
    ["100%% %i", "100% 7"],
    ["plain", "plain"],
  ])("%j becomes %j", (pattern, text) => {
    expect(fillPattern(pattern, { number: 7, clientId: "mote-7" })).toBe(text);
  });

  test("a number with more digits than places keeps them all", () => {
    expect(fillPattern("%02i", { number: 12_345 })).toBe("12345");
  });

  test.each([
    ["%d", "ic", /has "%d", but only %i, %05i and %c/],
    ["a%", "ic", /has "%"/],
    ["%c", "i", /has "%c", but only %i and %05i/],
    ["%0999999i", "i", /at most 10 digits/],
    ["%5c", "ic", /has "%5c"/],
  ] as const)("%j is refused", (pattern, letters, problem) => {
    expect(patternProblem(pattern, letters)).toMatch(problem);
  });

  test("a pattern without a problem fills every place, whatever the text", () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), (pattern, number) => {
        fc.pre(patternProblem(pattern, "i") === undefined);
        const other = fillPattern(pattern, { number: number + 1 });
        expect(fillPattern(pattern, { number }) !== other).toBe(isPerDevice(pattern));
      }),
    );
  });
});

describe("guesses", () => {
  const known = ["count", "qos", "keepAlive", "tcp-reset"];
  test.each([
    ["conut", "count"],
    ["qso", "qos"],
    ["keepalive", "keepAlive"],
    ["tcp-rest", "tcp-reset"],
  ])("%s was meant to be %s", (word, meant) => {
    expect(didYouMean(word, known)).toBe(meant);
  });

  test.each(["", "x", "temperature", "c".repeat(1000)])("nobody knows what %j is", (word) => {
    expect(didYouMean(word, known)).toBeUndefined();
  });
});

describe("targets", () => {
  test.each([
    [{ share: 0.2 }, 50, 10],
    [{ share: 0.07 }, 100, 7],
    [{ share: 0.001 }, 50, 1],
    [{ share: 0 }, 50, 0],
    [{ share: 1 }, 3, 3],
    [{ count: 5 }, 50, 5],
    [{ count: 5 }, 3, 3],
  ])("%j of %d devices are %d", (target, fleetCount, count) => {
    expect(targetCount(target, fleetCount)).toBe(count);
  });
});
