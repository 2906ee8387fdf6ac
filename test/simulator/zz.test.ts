import { test } from "vitest";
import { RandomStream } from "../../simulator/src/random.ts";
import { WillLedger } from "../../simulator/src/will-ledger.ts";
import { virtualRun } from "../support/virtual-run.ts";

let w: any;
const lines: string[] = [];
for (const name of [
  "expectWill",
  "expectGoodbye",
  "goodbyeAcknowledged",
  "birthAcknowledged",
  "connectionLost",
  "deviceReturns",
  "deviceReturned",
  "online",
  "offline",
  "excuse",
  "close",
]) {
  const original = (WillLedger.prototype as any)[name];
  (WillLedger.prototype as any)[name] = function (...args: any[]) {
    lines.push(`${w?.nowMs().toFixed(0)} ${name} ${JSON.stringify(args)}`);
    return original.apply(this, args);
  };
}
test("x", async () => {
  const seed = 1544984834;
  const random = new RandomStream(seed, 0, "noise");
  const d = [
    { atMs: 4223, who: "mote-00002" },
    { atMs: 5224, who: "wasmqtt-observer" },
    { atMs: 8976, who: "wasmqtt-observer" },
  ];
  const { result, failed } = await virtualRun(
    `version: 1
seed: ${seed}
broker: { keepAlive: 1s }
devices:
  - count: 5
    publish: { interval: 111ms, jitter: 89%, qos: 0 }
    reconnect: { base: 100ms, max: 2s }
phases:
  - connect: { rate: 20/s }
  - { fault: { kind: protocol-error, target: 5, spread: 2ms, away: 4165ms }, duration: 5991ms }
  - { fault: { kind: protocol-error, target: 4, spread: 1686ms, away: 12ms }, duration: 2898ms }
observe: { grace: 2s }
`,
    {
      lagMs: () => random.uniform() * 40,
      begun: ({ world, broker }) => {
        w = world;
        for (const { atMs, who } of d)
          world.setTimer(atMs - world.nowMs(), () => broker.throwOut(who));
      },
    },
  );
  console.log(failed, JSON.stringify(result.faults), lines.join("\n"));
});
