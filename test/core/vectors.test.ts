/** The golden vectors, whole and in pieces of every size, on the release and the debug build. */

import { describe, expect, test } from "vitest";
import {
  goldenLogs,
  parseVectors,
  pieceLengths,
  runVector,
  vectorFiles,
} from "../support/vector.ts";

for (const { file, vectors } of vectorFiles()) {
  describe(file, () => {
    for (const vector of vectors) {
      test(vector.title, () => {
        const golden = goldenLogs(vector);
        for (const pieceLength of pieceLengths(vector)) {
          for (const build of ["release", "debug"] as const) {
            const logs = runVector(vector, build, pieceLength);
            expect(logs, `${build} build, in pieces of ${pieceLength} bytes`).toEqual(golden);
          }
        }
      });
    }
  });
}

test("a vector without its golden log is refused", () => {
  expect(() => parseVectors("# x\n\n## title\n\n```hex\nd0 00\n```\n", "x.md")).toThrow(
    "x.md: title: the last log is missing",
  );
});

test("a vector with a block of an unknown kind is refused", () => {
  expect(() => parseVectors("## title\n\n```text\nd0 00\n```\n", "x.md")).toThrow(
    "no block is called text",
  );
});

test("a vector with a block that does not end is refused", () => {
  const markdown = "## title\n\n```hex\nd0 00\n\n```log\nConnected\n```\n";
  expect(() => parseVectors(markdown, "x.md")).toThrow(/title/);
});
