/** Which modules can be the firmware of a fleet, and what is said of those that cannot. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ModuleName } from "../../host/src/core/core.ts";
import { checkApplication } from "../../host/src/module/check-application.ts";

function moduleOf(name: ModuleName): Buffer {
  return readFileSync(new URL(`../../dist/${name}.wasm`, import.meta.url));
}

/** thermometer.wasm with some exports under other names of the same length, all at once. */
function renamed(names: Record<string, string>): Buffer {
  const bytes = moduleOf("thermometer");
  const places = Object.entries(names).map(([from, to]) => {
    const at = bytes.indexOf(Buffer.from([from.length, ...Buffer.from(from)]));
    expect(at).toBeGreaterThan(0);
    expect(to).toHaveLength(from.length);
    return { at: at + 1, to };
  });
  for (const { at, to } of places) bytes.write(to, at);
  return bytes;
}

test.each<ModuleName>(["thermometer", "reporter"])(
  "%s.wasm can be the firmware of a fleet",
  (name) => {
    expect(checkApplication(moduleOf(name))).toEqual([]);
  },
);

test("the core alone takes no readings: each function that is missing is named", () => {
  const names = ["configure", "setSequence", "setClock", "reading", "readingPublished"];
  expect(checkApplication(moduleOf("core"))).toEqual(
    [...names, "sequence", "intervalMs"].map(
      (name) => `It does not export ${name}(): the simulator calls it on each device`,
    ),
  );
});

describe("a module is refused", () => {
  test("that lacks a function of the core", () => {
    expect(checkApplication(renamed({ poll: "pull" }))).toEqual([
      "It does not export poll(): each module has it: re-export it from the core",
    ]);
  });

  test("whose functions take other numbers", () => {
    const swapped = renamed({ publish: "reading", reading: "publish" });
    expect(checkApplication(swapped)).toEqual([
      "Its publish() takes 3 numbers instead of 6",
      "Its reading() takes 6 numbers instead of 3",
    ]);
  });

  test("that has another ABI", () => {
    const [problem] = checkApplication(renamed({ abiVersion: "abiVersioN" }));
    expect(problem).toMatch(/^It breaks the rule "abiVersion\(\) answers \d+": no such function/);
  });

  test("that is damaged, or no module at all", () => {
    expect(checkApplication(moduleOf("thermometer").subarray(0, 1000))).toEqual([
      expect.stringMatching(/^It is no WebAssembly module: /),
    ]);
    expect(checkApplication(Buffer.from("#!/bin/sh"))).toEqual([
      expect.stringMatching(/^It is no WebAssembly module: /),
    ]);
  });
});
