import { expect, test } from "vitest";
import { Departures } from "../../simulator/src/fleet/departures.ts";

function recorded() {
  const sent: string[] = [];
  const world = { now: 0, nowMs: () => world.now };
  const departures = new Departures(world);
  const add = (name: number) =>
    departures.add({ sendDue: (nowMs) => void sent.push(`${name} at ${nowMs}`) });
  return { sent, world, departures, add };
}

test("all send in the order in which they came, and once, by the clock of then", () => {
  const { sent, world, departures, add } = recorded();
  for (const name of [3, 1, 2]) add(name);
  expect(sent).toEqual([]);
  world.now = 7;
  departures.send();
  world.now = 8;
  departures.send();
  expect(sent).toEqual(["3 at 7", "1 at 7", "2 at 7"]);
});

test("no more than 32 wait", () => {
  const { sent, departures, add } = recorded();
  for (let name = 1; name <= 70; name++) add(name);
  expect(sent).toHaveLength(64);
  expect([sent[0], sent[63]]).toEqual(["1 at 0", "64 at 0"]);
  departures.send();
  expect(sent).toHaveLength(70);
});

test("when one fails, the others are not sent a second time, and no more than 32 wait afterwards", () => {
  const { sent, departures, add } = recorded();
  add(1);
  departures.add({
    sendDue: () => {
      throw new Error("trapped");
    },
  });
  expect(() => departures.send()).toThrow("trapped");
  for (let name = 2; name <= 33; name++) add(name);
  expect(sent).toHaveLength(33);
});
