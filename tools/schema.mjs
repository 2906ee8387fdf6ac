/** Writes the JSON Schemas to simulator/schema. Run it after `npm run build:ts`, whose output it uses. */

import { writeFileSync } from "node:fs";
import { resultJsonSchema, scenarioJsonSchema } from "../dist/simulator/src/json-schema.js";

for (const [name, schema] of [
  ["scenario.v1", scenarioJsonSchema()],
  ["result.v1", resultJsonSchema()],
]) {
  const target = new URL(`../simulator/schema/${name}.json`, import.meta.url);
  writeFileSync(target, `${JSON.stringify(schema, null, 2)}\n`);
}
