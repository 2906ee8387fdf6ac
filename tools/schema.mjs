/** Writes the JSON Schemas to simulator/schema. Run it after `npm run build:ts`, whose output it uses. */

import { writeFileSync } from "node:fs";
import { probeJsonSchema } from "../dist/host/src/probe/report.js";
import { resultJsonSchema, scenarioJsonSchema } from "../dist/simulator/src/json-schema.js";

for (const [name, schema] of [
  ["scenario.v1", scenarioJsonSchema()],
  ["result.v1", resultJsonSchema()],
  ["probe.v1", probeJsonSchema()],
]) {
  const target = new URL(`../simulator/schema/${name}.json`, import.meta.url);
  writeFileSync(target, `${JSON.stringify(schema, null, 2)}\n`);
}
