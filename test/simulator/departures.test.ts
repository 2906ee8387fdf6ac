import { expect, test } from "vitest";
import { Departures } from "../../simulator/src/fleet/departures.ts";

function recorded() {
  const sent: string[] = [];
  const departures = new Departures();
  const add = (name: number, nowMs: number) =>
    departures.add({ sendDue: (atMs) => void sent.push(`${name} at ${atMs}`) }, nowMs);
  return { sent, departures, add };
}

test("all send in the order in which they came, and once", () => {
  const { sent, departures, add } = recorded();
  for (const name of [3, 1, 2]) add(name, 5);
  expect(sent).toEqual([]);
  departures.send(7);
  departures.send(8);
  expect(sent).toEqual(["3 at 7", "1 at 7", "2 at 7"]);
});

test("no more than 32 wait", () => {
  const { sent, departures, add } = recorded();
  for (let name = 1; name <= 70; name++) add(name, name);
  expect(sent).toHaveLength(64);
  expect([sent[0], sent[63]]).toEqual(["1 at 32", "64 at 64"]);
  departures.send(71);
  expect(sent).toHaveLength(70);
});
