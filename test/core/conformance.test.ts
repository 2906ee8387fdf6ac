/** docs/conformance.md is true: every clause that binds a client has a test, or a reason why it has none. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

test("the conformance table is complete and up to date", () => {
  const tool = fileURLToPath(new URL("../../tools/conformance.mjs", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [tool, "--check"], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
});
