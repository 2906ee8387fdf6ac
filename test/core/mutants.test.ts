/** The list of planted faults fits the firmware's source, and docs/mutants.md is of this list. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("every planted fault has its place in the source, and its line in docs/mutants.md", () => {
  const tool = fileURLToPath(new URL("../../tools/mutants.mjs", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool, "--fits"], {
    encoding: "utf8",
  });
  expect(stdout + stderr).toBe("");
  expect(status).toBe(0);
});
