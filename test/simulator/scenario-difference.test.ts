import { expect, test } from "vitest";
import { scenarioDifference } from "../../simulator/src/scenario/scenario-difference.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

const SHARED = "phases: [{ connect: { rate: 50/s } }, { duration: 1m }]\nobserve: { audit: true }";

function text(yaml: string, name = "my.yaml"): string {
  return readScenario(`version: 1\n${yaml}`, name).text;
}

test.each([
  ["the same", SHARED],
  [
    "another order of keys",
    "observe: { audit: true }\nphases: [{ connect: { rate: 50/s } }, { duration: 1m }]",
  ],
  ["other devices", `${SHARED}\ndevices: [{ count: 5, firstNumber: 90, id: "b-%i" }]`],
  ["another seed and other thresholds", `${SHARED}\nseed: 9\nthresholds: { connects: [count>1] }`],
  ["another broker and login", `${SHARED}\nbroker: { url: "mqtt://h", username: u, password: p }`],
  ["another rate of connections", SHARED.replace("50/s", "9/s")],
])("%s may be a shard of the same scenario", (_title, yaml) => {
  expect(scenarioDifference(text(SHARED), text(yaml))).toBeUndefined();
  expect(scenarioDifference(text(yaml), text(SHARED))).toBeUndefined();
});

test.each([
  ["phases[1].duration", SHARED.replace("1m", "2m"), "my.yaml"],
  ["phases[2].duration", SHARED.replace("1m }]", "1m }, { duration: 1s, name: x }]"), "my.yaml"],
  ["observe.audit", SHARED.replace("true", "false"), "my.yaml"],
  ["broker.keepAlive", `${SHARED}\nbroker: { keepAlive: 5s }`, "my.yaml"],
  ["devices[0].publish.qos", `${SHARED}\ndevices: [{ publish: { qos: 2 } }]`, "my.yaml"],
  ["name", SHARED, "other.yaml"],
])("%s is a difference", (path, yaml, name) => {
  expect(scenarioDifference(text(SHARED), text(yaml, name))).toBe(path);
});

test("the text of a merged result is that of each of its scenarios", () => {
  const shards = `${text(SHARED)}---\n${text(`${SHARED}\nseed: 2`)}`;
  expect(scenarioDifference(shards, text(`${SHARED}\nseed: 3`))).toBeUndefined();
  expect(scenarioDifference(shards, text(SHARED.replace("1m", "2m")))).toBe("phases[1].duration");
  expect(scenarioDifference(`${shards}---\nversion: 1`, text(SHARED))).toBe("phases");
});
