import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import {
  deviceCount,
  FAULT_KINDS,
  plannedDurationMs,
  type Scenario,
  SILENT_FAULT_KINDS,
} from "../../simulator/src/scenario/scenario.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

const folder = new URL("../../simulator/scenarios/", import.meta.url);
const scenarioSchema = new URL("../../simulator/schema/scenario.v1.json", import.meta.url);

const names = readdirSync(folder).map((file) => file.replace(/\.yaml$/, ""));

function textOf(name: string): string {
  return readFileSync(new URL(`${name}.yaml`, folder), "utf8");
}

function faultKinds({ phases }: Scenario): string[] {
  return phases.flatMap((phase) => (phase.kind === "fault" ? [phase.fault] : []));
}

test("these ship", () => {
  expect(names.sort()).toEqual([
    "broker-restart",
    "connect-storm",
    "demo",
    "last-will-all-kinds",
    "offline-messages",
    "spike",
    "steady",
  ]);
});

describe.each(names)("%s", (name) => {
  const scenario = readScenario(textOf(name), `${name}.yaml`);

  test("is called like its file, explains itself, and brings its own broker", () => {
    expect(scenario.name).toBe(name);
    expect(scenario.description.length).toBeGreaterThan(20);
    expect(textOf(name)).toMatch(/^# yaml-language-server: .*\n#\n# \S/);
    expect(scenario.broker.url).toBeUndefined();
  });

  test("takes less than a minute with a modest fleet", () => {
    expect(plannedDurationMs(scenario)).toBeLessThan(45_000);
    expect(deviceCount(scenario.groups)).toBeLessThanOrEqual(1000);
  });

  test("is valid by the published schema too", () => {
    const published = z.fromJSONSchema(JSON.parse(readFileSync(scenarioSchema, "utf8")));
    const document: unknown = parse(textOf(name));
    expect(published.safeParse(document).error).toBeUndefined();
    const wrong = { ...(document as object), conut: 5 };
    expect(published.safeParse(wrong).success).toBe(false);
  });

  test("gives silent devices the time to be missed before they come back", () => {
    const { phases, broker, observe } = scenario;
    for (const phase of phases) {
      if (phase.kind !== "fault" || !SILENT_FAULT_KINDS.has(phase.fault)) continue;
      expect(phase.awayMs).toBeGreaterThan(1500 * broker.keepAliveSeconds + observe.graceMs);
    }
  });
});

test("demo shows every kind of fault with 50 sensors in less than 25 seconds", () => {
  const demo = readScenario(textOf("demo"), "demo.yaml");
  expect(new Set(faultKinds(demo))).toEqual(new Set(FAULT_KINDS));
  expect(deviceCount(demo.groups)).toBe(50);
  expect(plannedDurationMs(demo)).toBeLessThan(22_000);
});

test("last-will-all-kinds has every kind of fault, and the patience that mosquitto needs", () => {
  const scenario = readScenario(textOf("last-will-all-kinds"), "last-will-all-kinds.yaml");
  expect(faultKinds(scenario).sort()).toEqual([...FAULT_KINDS].sort());
  // Mosquitto 2.0 looks for silent clients about every 6 s, and is off by up to 1 s.
  expect(scenario.observe.graceMs).toBeGreaterThanOrEqual(7000);
});

test("spike goes through normal load, ten times as much, a fault and calm, and says what must hold", () => {
  const { phases, groups, thresholds } = readScenario(textOf("spike"), "spike.yaml");
  expect(phases.map(({ name }) => name)).toEqual(["ramp", "steady", "spike", "fault", "recover"]);
  expect(phases.map(({ kind }) => kind)).toEqual(["connect", "steady", "spike", "fault", "steady"]);
  expect(new Set(groups.map(({ publish }) => publish.qos))).toEqual(new Set([0, 1, 2]));
  expect(thresholds.length).toBeGreaterThan(4);
});
