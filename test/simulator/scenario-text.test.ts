import { expect, test } from "vitest";
import type { ScenarioOverrides } from "../../simulator/src/scenario/override-draft.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";
import {
  shippedScenarioNames,
  shippedScenarioText,
} from "../../simulator/src/scenario/shipped-scenarios.ts";

function textOf(yaml: string, overrides: ScenarioOverrides = {}): string {
  return readScenario(`version: 1\n${yaml}`, "my.yaml", overrides).text;
}

test("the text is the file with its name and with what the flags say instead", () => {
  const text = textOf("# A comment.\nphases: [{ connect: {} }, { duration: 5s }]", {
    count: "7",
    host: "broker.example",
    duration: "1m",
  });
  expect(text).toBe(`version: 1
phases:
  - connect: {}
  - duration: 1m
name: my
broker:
  url: mqtt://broker.example:1883
devices:
  - count: 7
`);
});

test.each(shippedScenarioNames())("the text of %s is a scenario that does the same", (name) => {
  const scenario = readScenario(shippedScenarioText(name), name, { seed: "5", count: "70" });
  expect(readScenario(scenario.text, "again.yaml")).toEqual(scenario);
});

test.each<[string, string, ScenarioOverrides]>([
  ["in the file", "broker: { username: me, password: hush-1 }", {}],
  ["of a flag", "broker: { username: me }", { password: "hush-1" }],
  ["in the URL of a flag", "", { url: "mqtt://me:hush-1@broker.example" }],
])("a password %s is not in the text", (_title, yaml, overrides) => {
  const text = textOf(yaml, overrides);
  expect(text).toContain("username: me");
  expect(text).toContain("password: (not shown)");
  expect(text).not.toContain("hush");
});

test("the query of a WebSocket URL, which may be a token, is not in the text", () => {
  const scenario = readScenario(
    "version: 1\nbroker: { url: 'wss://broker.example/mqtt?token=hush-1' }",
    "my.yaml",
  );
  expect(scenario.text).toContain("url: wss://broker.example:443/mqtt\n");
  expect(scenario.text).not.toContain("hush");
  expect(scenario.broker.url?.path).toBe("/mqtt?token=hush-1");
});

test("long lines stay whole, and what was written once and used twice is written twice", () => {
  const description = "a long sentence ".repeat(20).trim();
  const text = textOf(`description: ${description}\ndevices: [&a { publish: { qos: 2 } }, *a]`);
  expect(text).toContain(`description: ${description}\n`);
  expect(text.match(/qos: 2/g)).toHaveLength(2);
  expect(text).not.toContain("*");
});
