/** All devices by name and number, whichever part has them. */

import { describe, expect, test } from "vitest";
import { DeviceDirectory } from "../../simulator/src/fleet/device-directory.ts";
import { DeviceState } from "../../simulator/src/fleet/device-states.ts";
import type { FleetMember } from "../../simulator/src/fleet/fleet-member.ts";
import { localIndex, partOf, partSize } from "../../simulator/src/fleet/fleet-part.ts";
import { readScenario } from "../../simulator/src/scenario/scenario-file.ts";

const TEXT = `version: 1
seed: 5
broker: { url: "mqtt://memory.invalid", username: "user-%i", password: "%c-secret" }
devices:
  - { count: 4, id: "a-%i", firstNumber: 10 }
  - { count: 3, id: "b-%02i", firstNumber: 1 }
`;

/** A member that only remembers what it is told. */
class SilentMember implements FleetMember {
  readonly stateBytes: Uint8Array;
  readonly told: unknown[][] = [];

  constructor(length: number) {
    this.stateBytes = new Uint8Array(length).fill(DeviceState.Connected);
  }

  online = (...args: unknown[]) => void this.told.push(["online", ...args]);
  offline = (...args: unknown[]) => void this.told.push(["offline", ...args]);
  telemetry = (...args: unknown[]) => void this.told.push(["telemetry", ...args]);
  excuse = (...args: unknown[]) => void this.told.push(["excuse", ...args]);
  begin = () => Promise.resolve();
  run = () => Promise.resolve();
  sample = () => Promise.resolve();
  stop = () => Promise.resolve();
  abandon = () => Promise.resolve();
  finish = () => Promise.reject(new Error("nobody asks"));
}

function directoryOf(partCount: number, seed = "5") {
  const scenario = readScenario(TEXT, "test.yaml", { seed });
  const members = Array.from(
    { length: partCount },
    (_, index) => new SilentMember(partSize(scenario, { index, count: partCount })),
  );
  const directory = new DeviceDirectory(scenario, partCount, () => members);
  const setState = (device: number, state: DeviceState) => {
    const member = members[partOf(partCount, device)];
    if (member !== undefined) member.stateBytes[localIndex(partCount, device)] = state;
  };
  return { directory, members, setState };
}

const NAMES = ["a-10", "a-11", "a-12", "a-13", "b-01", "b-02", "b-03"];
const DEVICES = NAMES.map((_, device) => device);

describe.each([1, 2, 3, 7])("with %i parts", (partCount) => {
  test("a device has its name and is found by it", () => {
    const { directory } = directoryOf(partCount);
    expect(directory.deviceCount).toBe(7);
    expect(DEVICES.map((device) => directory.clientId(device))).toEqual(NAMES);
    expect(NAMES.map((name) => directory.deviceOf(name))).toEqual(DEVICES);
    expect(directory.deviceOf("a-14")).toBeUndefined();
    expect(directory.clientId(7)).toBe("");
  });

  test("a device logs in by its own number and name", () => {
    const { directory } = directoryOf(partCount);
    const login = { username: "user-2", password: "b-02-secret" };
    expect(directory.credentials(5, undefined)).toEqual(login);
    expect(directory.credentials(5, "of the file")).toEqual({ ...login, password: "of the file" });
  });

  test("what is seen of a device goes to its part, under its number there", () => {
    const { directory, members } = directoryOf(partCount);
    for (const device of DEVICES) directory.telemetry(device, 100 + device, 2, 3);
    directory.online(6);
    directory.offline(6, 12);
    const told = members.flatMap((member, part) =>
      member.told
        .filter(([kind]) => kind === "telemetry")
        .map(([, index, seq]) => [(index as number) * partCount + part, seq]),
    );
    told.sort(([one], [other]) => (one as number) - (other as number));
    expect(told).toEqual(DEVICES.map((device) => [device, 100 + device]));
    expect(members[partOf(partCount, 6)]?.told.slice(-2)).toEqual([
      ["online", localIndex(partCount, 6)],
      ["offline", localIndex(partCount, 6), 12],
    ]);
  });

  test("the absence of the observer is told to all parts", () => {
    const { directory, members } = directoryOf(partCount);
    directory.excuse(77);
    expect(members.map(({ told }) => told)).toEqual(members.map(() => [["excuse", 77]]));
  });

  test("others see whether a device is off, waits, connects, or is connected", () => {
    const { directory, setState } = directoryOf(partCount);
    const states = [
      DeviceState.Off,
      DeviceState.Waiting,
      DeviceState.Connecting,
      DeviceState.Connected,
      DeviceState.Leaving,
      DeviceState.Condemned,
      DeviceState.Parting,
    ];
    for (const [device, state] of states.entries()) setState(device, state);
    expect([...directory.deviceStates()]).toEqual([0, 1, 2, 3, 1, 3, 3]);
    setState(0, DeviceState.Parted);
    expect(directory.deviceStates()[0]).toBe(0);
  });

  test("the same seed draws the same devices in the same order, however many parts there are", () => {
    const whole = directoryOf(1).directory;
    const { directory } = directoryOf(partCount);
    for (let round = 0; round < 20; round++) {
      const drawn = directory.draw();
      expect(drawn).toEqual(whole.draw());
      expect(drawn.toSorted()).toEqual(DEVICES);
    }
  });

  test("a device that is away changes nobody's turn but its own", () => {
    const whole = directoryOf(1).directory;
    const { directory, setState } = directoryOf(partCount);
    setState(2, DeviceState.Waiting);
    setState(5, DeviceState.Condemned);
    for (let round = 0; round < 20; round++) {
      expect(directory.draw()).toEqual(whole.draw().filter((device) => ![2, 5].includes(device)));
    }
  });
});

test("another seed draws another order, and so does another turn", () => {
  const { directory } = directoryOf(1);
  const other = directoryOf(1, "6").directory;
  const rounds = Array.from({ length: 5 }, () => directory.draw().join());
  expect(new Set(rounds).size).toBeGreaterThan(1);
  expect(rounds).not.toEqual(Array.from({ length: 5 }, () => other.draw().join()));
});

test("before there are any parts all devices are off, and none can be drawn", () => {
  const scenario = readScenario(TEXT, "test.yaml");
  const directory = new DeviceDirectory(scenario, 2, () => []);
  expect([...directory.deviceStates()]).toEqual([0, 0, 0, 0, 0, 0, 0]);
  expect(directory.draw()).toEqual([]);
  directory.online(3); // nobody to tell
});
