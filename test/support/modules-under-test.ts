/** Setup of `npm run mutants`: host tests read the modules that core tests read, and properties have one seed and do not shrink. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { vi } from "vitest";
import type { ModuleName } from "../../host/src/core/core.ts";
import { MODULES_FOLDER } from "./core-client.ts";

fc.configureGlobal({ seed: 1, endOnFailure: true });

vi.mock("../../host/src/core/core.ts", async (importOriginal) => ({
  ...(await importOriginal<typeof import("../../host/src/core/core.ts")>()),
  readModule: (name: ModuleName) => readFile(join(MODULES_FOLDER, `${name}.wasm`)),
}));
