/** Programs that some tests need and not every machine has: skipped aloud, unless they are demanded. */

import { spawnSync } from "node:child_process";
import { describe } from "vitest";

/** True where a missing program is a failure: `.ci/run` sets WASMQTT_TEST_DEMAND=1. */
const demanded = process.env["WASMQTT_TEST_DEMAND"] === "1";

/**
 * `describe`, if all `programs` can be run here; otherwise `describe.skip` with the reason in the title.
 * Throws where optional parts are demanded.
 */
export function describeWith(programs: string[], title: string, body: () => void): void {
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length === 0) {
    describe(title, body);
    return;
  }
  const reason = `${missing.join(", ")} not installed`;
  if (demanded) throw new Error(`${title}: ${reason}, and WASMQTT_TEST_DEMAND=1 demands it`);
  describe.skip(`${title} (skipped: ${reason})`, body);
}

function isInstalled(program: string): boolean {
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/local/sbin`;
  return spawnSync("which", [program], { env: { ...process.env, PATH: path } }).status === 0;
}
