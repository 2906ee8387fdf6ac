import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";
import { resultJsonSchema, scenarioJsonSchema } from "../../simulator/src/json-schema.ts";
import { resultSchema } from "../../simulator/src/run/result.ts";
import { sampleResult } from "./sample-result.ts";

function published(name: string): Parameters<typeof z.fromJSONSchema>[0] & object {
  const file = new URL(`../../simulator/schema/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8"));
}

test.each([
  ["scenario.v1", scenarioJsonSchema],
  ["result.v1", resultJsonSchema],
] as const)(
  "simulator/schema/%s.json is what the source says (build, then node tools/schema.mjs)",
  (name, generate) => {
    expect(published(name)).toEqual(JSON.parse(JSON.stringify(generate())));
  },
);

test("a result is valid by its own schema and by the published one", () => {
  const result = sampleResult();
  expect(resultSchema.parse(JSON.parse(JSON.stringify(result)))).toEqual(result);
  expect(z.fromJSONSchema(published("result.v1")).safeParse(result).error).toBeUndefined();
});

test.each<[string, object]>([
  ["another schema", { schema: "urn:wasmqtt:result.v2" }],
  ["a negative count", { brokerRestarts: -1 }],
  ["an unknown fault", { faults: { earthquake: { injected: 1, wills: null } } }],
  ["a time without a zone", { startedAt: "2026-11-23T01:02:03" }],
  ["a missing part", { messages: undefined }],
])("%s is no result.v1, by both schemas", (_title, wrong) => {
  const result = { ...sampleResult(), ...wrong };
  expect(resultSchema.safeParse(result).success).toBe(false);
  expect(z.fromJSONSchema(published("result.v1")).safeParse(result).success).toBe(false);
});

test("a reader of v1 ignores keys that a later version adds", () => {
  const later = { ...sampleResult(), weather: "fine" };
  expect(resultSchema.safeParse(later).success).toBe(true);
  expect(z.fromJSONSchema(published("result.v1")).safeParse(later).success).toBe(true);
});
