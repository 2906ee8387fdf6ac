import { describe, expect, test } from "vitest";
import { expectations } from "../../simulator/src/run/expectations.ts";
import type { RunResult } from "../../simulator/src/run/result.ts";
import { sampleResult } from "./sample-result.ts";

/** A run in which all went well. */
function goodResult(): RunResult {
  const result = sampleResult();
  result.wills = {
    expected: 10,
    delivered: 10,
    missing: 0,
    early: 0,
    late: 0,
    doubled: 0,
    unexpected: 0,
    unjudged: 0,
  };
  const [group] = result.devices.groups;
  if (group !== undefined) result.devices.groups.push({ ...group, name: "exactly-once", qos: 2 });
  return result;
}

const NAMES = [
  "devices_connected",
  "connections_lost",
  "wills_delivered",
  "wills_early",
  "wills_late",
  "wills_doubled",
  "wills_unexpected",
  "status_lost",
  "telemetry_unanswered",
  "telemetry_lost",
  "telemetry_doubled",
  "telemetry_out_of_order",
  "commands_lost",
];

function namesOf(result: RunResult): string[] {
  return expectations(result).map(({ name }) => name);
}

test("when all went well, every expectation holds and explains nothing", () => {
  const list = expectations(goodResult());
  expect(list.map(({ name }) => name)).toEqual(NAMES);
  for (const { ok, explanation } of list) {
    expect(ok).toBe(true);
    expect(explanation).toBeUndefined();
  }
});

test.each<[string, (result: RunResult) => void, string]>([
  [
    "devices_connected",
    ({ devices }) => {
      devices.connected = 48;
    },
    "not connected when the connect phase ended: 2 of 50.",
  ],
  [
    "connections_lost",
    ({ connections }) => {
      connections.lost = 3;
    },
    "nor a fault of this run ended: 3.",
  ],
  [
    "wills_delivered",
    ({ wills }) => {
      Object.assign(wills ?? {}, { delivered: 7, missing: 3 });
    },
    "whose Last Will never came [MQTT-3.1.2-8]: 3 of 10.",
  ],
  [
    "wills_early",
    ({ wills }) => {
      Object.assign(wills ?? {}, { early: 1 });
    },
    "before the device was gone long enough: 1.",
  ],
  [
    "wills_late",
    ({ wills }) => {
      Object.assign(wills ?? {}, { late: 1 });
    },
    "later than 1.5 times the keep alive",
  ],
  [
    "wills_doubled",
    ({ wills }) => {
      Object.assign(wills ?? {}, { doubled: 1 });
    },
    "came more than once: 1.",
  ],
  [
    "wills_unexpected",
    ({ wills }) => {
      Object.assign(wills ?? {}, { unexpected: 1 });
    },
    "devices that were there, or had said goodbye: 1.",
  ],
  [
    "status_lost",
    ({ statusMessages }) => {
      Object.assign(statusMessages ?? {}, { lost: 4 });
    },
    "Births and goodbyes that the broker acknowledged, but that never arrived: 4.",
  ],
  [
    "telemetry_unanswered",
    ({ messages }) => {
      messages.unanswered = 5;
    },
    "although the connection stood [MQTT-4.3.2-2]: 5.",
  ],
  [
    "telemetry_out_of_order",
    ({ audit }) => {
      Object.assign(audit ?? {}, { outOfOrder: 6 });
    },
    "behind a later one of the same device [MQTT-4.6.0-6]: 6.",
  ],
  [
    "telemetry_lost",
    ({ audit }) => {
      Object.assign(audit ?? {}, { lost: 7 });
    },
    "acknowledged, but that never arrived: 7.",
  ],
  [
    "telemetry_doubled",
    ({ audit }) => {
      Object.assign(audit ?? {}, { doubledAtQos2: 1 });
    },
    "exactly once [MQTT-4.3.3-1]: 1.",
  ],
  [
    "commands_lost",
    ({ commands }) => {
      Object.assign(commands ?? {}, { lost: 2 });
    },
    "never arrived at their device: 2.",
  ],
])("%s alone fails for its own reason", (name, spoil, explanation) => {
  const result = goodResult();
  spoil(result);
  const failed = expectations(result).filter(({ ok }) => !ok);
  expect(failed.map((expectation) => expectation.name)).toEqual([name]);
  expect(failed[0]?.explanation).toContain(explanation);
});

test("a rate is never rounded up to 100%", () => {
  const result = goodResult();
  Object.assign(result.wills ?? {}, { expected: 100_000, delivered: 99_999, missing: 1 });
  const delivered = expectations(result).find(({ name }) => name === "wills_delivered");
  expect(delivered?.value).toBe("99.99% (99999 of 100000)");
});

describe("only what can be asked is asked", () => {
  test("nobody watched the Wills, audited, or sent commands", () => {
    const nothing = { wills: null, statusMessages: null, audit: null, commands: null };
    expect(namesOf({ ...goodResult(), ...nothing })).toEqual([
      "devices_connected",
      "connections_lost",
      "telemetry_unanswered",
    ]);
  });

  test("whoever interrupts a run does not ask whether all were connected, but is told that they were", () => {
    const result = { ...goodResult(), interrupted: true };
    expect(namesOf(result)).toContain("devices_connected");
    result.devices.connected = 3;
    expect(namesOf(result)).not.toContain("devices_connected");
  });

  test("where the broker was restarted, connections may be lost", () => {
    const result = { ...goodResult(), brokerRestarts: 1 };
    expect(namesOf(result)).not.toContain("connections_lost");
  });

  test("where no device vanished, no Will may come", () => {
    const result = goodResult();
    Object.assign(result.wills ?? {}, { expected: 0, delivered: 0 });
    expect(namesOf(result).filter((name) => name.startsWith("wills"))).toEqual([
      "wills_unexpected",
    ]);
  });

  test.each([
    [0, ["out_of_order"]],
    [1, ["unanswered", "lost", "out_of_order"]],
    [2, ["unanswered", "lost", "doubled", "out_of_order"]],
  ] as const)("at QoS %d the telemetry promises %j", (qos, names) => {
    const result = goodResult();
    for (const group of result.devices.groups) group.qos = qos;
    const asked = namesOf(result).filter((name) => name.startsWith("telemetry_"));
    expect(asked).toEqual(names.map((name) => `telemetry_${name}`));
  });
});
