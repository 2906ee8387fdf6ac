/** `wasmqtt device`: what one thermometer tells, prints and answers, with brokers good and bad. */

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type EmbeddedBroker, startEmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { registerDevice } from "../../host/src/cli/commands/device.ts";
import { ExitCode } from "../../host/src/cli/exit-code.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import type { ThermometerEvent, ThermometerOptions } from "../../host/src/client/thermometer.ts";
import { readModule } from "../../host/src/core/core.ts";
import { realWorld } from "../../host/src/world.ts";
import { type CliRun, RecordingContext, startCli } from "../support/run-cli.ts";
import { type Conversation, scriptedServer } from "../support/scripted-server.ts";
import { connack, puback, publish, pubrec, suback } from "../support/server-packets.ts";
import { makeThermometer } from "../support/thermometer.ts";

let ends: (() => Promise<void>)[];

beforeEach(() => {
  ends = [];
});
afterEach(async () => {
  for (const end of ends.reverse()) await end();
});

async function brokerUrl(): Promise<string> {
  const broker: EmbeddedBroker = await startEmbeddedBroker({
    world: realWorld,
    bind: "127.0.0.1",
    port: 0,
  });
  ends.push(() => broker.stop());
  return `mqtt://127.0.0.1:${broker.port}`;
}

async function serverWith(script: (talk: Conversation) => Promise<void>): Promise<string> {
  const server = await scriptedServer(script);
  ends.push(() => server.close());
  return server.url;
}

/** CONNECT, birth and subscription, all answered as a friendly server does. */
async function welcome(talk: Conversation, sessionPresent = false): Promise<void> {
  await talk.expect("CONNECT");
  talk.send(connack(sessionPresent));
  const birth = await talk.expect("PUBLISH");
  expect(birth).toMatchObject({ topic: "motes/attic/status", qos: 1, retain: true });
  talk.send(puback(birth.packetId));
  if (sessionPresent) return;
  const { packetId } = await talk.expect("SUBSCRIBE");
  talk.send(suback(packetId, 1));
}

/** A thermometer that tells into a list. */
async function thermometerFor(url: string, options: Partial<ThermometerOptions> = {}) {
  const { thermometer, events } = await makeThermometer(url, options);
  ends.push(() => thermometer.stop());
  const happened = (name: ThermometerEvent["event"]) =>
    expect.poll(() => events.map(({ event }) => event), { timeout: 5_000 }).toContain(name);
  return { thermometer, events, happened };
}

describe("a thermometer", () => {
  test("tells of its connection, of each reading and of its acknowledgement", async () => {
    const url = await serverWith(async (talk) => {
      await welcome(talk);
      const telemetry = await talk.expect("PUBLISH");
      expect(new TextDecoder().decode(telemetry.payload)).toMatch(
        /^\{"temperature":21\.48,"seq":1,"ts":1\d{12}\}$/,
      );
      talk.send(puback(telemetry.packetId));
      const farewell = await talk.expect("PUBLISH");
      expect(new TextDecoder().decode(farewell.payload)).toBe("offline");
      talk.send(puback(farewell.packetId));
      await talk.expect("DISCONNECT");
    });
    const { thermometer, events, happened } = await thermometerFor(url);
    await thermometer.connect();
    await happened("acknowledged");
    await thermometer.stop();
    expect(events).toEqual([
      { event: "connected", sessionPresent: false },
      { event: "published", seq: 1, celsius: 21.48 },
      { event: "acknowledged", seq: 1, afterMs: expect.any(Number) },
    ]);
    expect(thermometer.counts).toEqual({
      published: 1,
      acknowledged: 1,
      requeued: 0,
      refused: 0,
      unacknowledged: 0,
      inDoubt: 0,
    });
  });

  test("obeys commands, and tells of those it does not know", async () => {
    const url = await serverWith(async (talk) => {
      await welcome(talk);
      await talk.expect("PUBLISH");
      for (const payload of ["interval 200000", "dance"]) {
        talk.send(publish({ topic: "motes/attic/cmd", payload }));
      }
    });
    const { thermometer, events, happened } = await thermometerFor(url, {
      connect: { cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 100 },
    });
    await thermometer.connect();
    await happened("command");
    await expect.poll(() => events.slice(2)).toHaveLength(2);
    expect(events.slice(2)).toEqual([
      { event: "command", command: "interval 200000", isKnown: true, intervalMs: 200_000 },
      { event: "command", command: "dance", isKnown: false, intervalMs: 200_000 },
    ]);
  });

  test("comes back after a loss, and brings what was not acknowledged", async () => {
    const url = await serverWith(async (talk) => {
      if (talk.index === 0) {
        await welcome(talk);
        await talk.expect("PUBLISH");
        talk.reset();
        return;
      }
      await talk.expect("CONNECT");
      talk.send(connack());
      const again = await talk.expect("PUBLISH");
      expect(again).toMatchObject({ topic: "motes/attic/telemetry", dup: false });
      talk.send(puback(again.packetId));
    });
    const { thermometer, events, happened } = await thermometerFor(url, {
      connect: { cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 100 },
    });
    await thermometer.connect();
    await happened("acknowledged");
    expect(events.map(({ event }) => event)).toEqual([
      "connected",
      "published",
      "disconnected",
      "connected",
      "acknowledged",
    ]);
    expect(thermometer.counts).toMatchObject({ published: 1, acknowledged: 1, requeued: 1 });
  });

  test("at QoS 2 tells what is in doubt, and what the broker had taken over", async () => {
    const url = await serverWith(async (talk) => {
      if (talk.index === 0) {
        await welcome(talk);
        const first = await talk.expect("PUBLISH");
        talk.send(pubrec(first.packetId));
        await talk.expect("PUBREL");
        talk.send(publish({ topic: "motes/attic/cmd", payload: "report" }));
        await talk.expect("PUBLISH");
        talk.reset();
      } else await welcome(talk);
    });
    const { thermometer, events, happened } = await thermometerFor(url, {
      flags: 2,
      connect: { cleanSession: true, keepAliveSeconds: 0, responseTimeoutMs: 100 },
    });
    await thermometer.connect();
    await happened("dropped");
    await expect.poll(() => events.filter(({ event }) => event === "connected")).toHaveLength(2);
    expect(events.filter(({ event }) => event === "dropped" || event === "acknowledged")).toEqual([
      { event: "acknowledged", seq: 1, afterMs: expect.any(Number) },
      { event: "dropped", seq: 2 },
    ]);
    expect(thermometer.counts).toMatchObject({ published: 2, acknowledged: 1, inDoubt: 1 });
  });

  test("tells of readings within the dead band, and of those without room", async () => {
    const url = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      talk.end();
    });
    let milliCelsius = 20_000;
    const { thermometer, events, happened } = await thermometerFor(url, {
      intervalMs: 100,
      deadBandMilliCelsius: 1_000,
      measure: () => milliCelsius,
      reconnect: { baseMs: 1e6, maxMs: 1e6, stableMs: 1e6 },
      world: {
        ...realWorld,
        setTimer: (ms, callback) => realWorld.setTimer(ms / 50, callback),
        nowMs: () => realWorld.nowMs() * 50,
      },
    });
    await thermometer.connect();
    await happened("unchanged");
    milliCelsius = -10_000;
    await expect
      .poll(
        () => {
          milliCelsius = -milliCelsius;
          return events.at(-1)?.event;
        },
        { timeout: 10_000, interval: 5 },
      )
      .toBe("refused");
    expect(events).toContainEqual({ event: "unchanged", celsius: 20 });
    expect(thermometer.counts.refused).toBeGreaterThan(0);
    expect(thermometer.counts.unacknowledged).toBe(thermometer.counts.published);
  });

  test("that finds no broker, or one that refuses it, rejects connect()", async () => {
    const nobody = await thermometerFor("mqtt://127.0.0.1:1");
    await expect(nobody.thermometer.connect()).rejects.toMatchObject({ failure: "unreachable" });
    const url = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack(false, 5));
    });
    const refused = await thermometerFor(url);
    await expect(refused.thermometer.connect()).rejects.toMatchObject({ returnCode: 5 });
    expect([...nobody.events, ...refused.events]).toEqual([]);
  });

  test("can be stopped before it is connected, and twice", async () => {
    const url = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
    });
    const { thermometer } = await thermometerFor(url);
    const connecting = thermometer.connect();
    await Promise.all([thermometer.stop(), thermometer.stop()]);
    await expect(connecting).rejects.toMatchObject({ name: "ClosedError" });
  });
});

describe("wasmqtt device", () => {
  let context: RecordingContext;

  beforeEach(() => {
    context = new RecordingContext();
    context.system = { ...context.system, readModule };
  });

  function device(...args: string[]): Promise<ExitCode> {
    return runCli(["device", ...args], context, [registerDevice]);
  }

  test("introduces itself, prints its readings, and sums up after Ctrl-C", async () => {
    const url = await brokerUrl();
    const running = device("-L", url, "-i", "kitchen", "--interval", "0.1");
    await expect.poll(() => context.stdout.text.match(/acknowledged/g)?.length).toBe(3);
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await running).toBe(130);
    const { text } = context.stdout;
    expect(text).toMatch(
      /^ +\d\d\.\d\d °C {2}seq 1 {2}published\n +✓ {2}seq 1 {2}acknowledged after \d/,
    );
    expect(text).toMatch(/\npublished \d+, acknowledged \d+\n$/);
    expect(context.stderr.text).toContain("motes/kitchen/telemetry every 0.1 s at QoS 1");
    expect(context.stderr.text).toContain("Last Will");
    expect(context.stderr.text).toContain("Connected (new session).");
  });

  test("says offline itself when it is stopped, and obeys meanwhile", async () => {
    const url = await brokerUrl();
    const watcher = new MqttClient({ url });
    ends.push(() => watcher.close());
    await watcher.connect();
    await watcher.subscribe("motes/shed/status", { qos: 1 });
    const states: string[] = [];
    watcher.on("message", ({ payload }) => states.push(new TextDecoder().decode(payload)));

    const running = device("-L", url, "-i", "shed");
    await expect.poll(() => context.stdout.text).toContain("acknowledged");
    await watcher.publish("motes/shed/cmd", "interval 700", { qos: 1 });
    await watcher.publish("motes/shed/cmd", "sing\u001b[2J", { qos: 1 });
    await expect.poll(() => context.stdout.text).toContain("not known");
    expect(context.stdout.text).toContain("command  interval 700: done, the interval is 700 ms");
    expect(context.stdout.text).toContain("command  sing\\u{1b}[2J: not known");
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await running).toBe(130);
    await expect.poll(() => states).toEqual(["online", "offline"]);
  });

  test("prints events as lines of JSON", async () => {
    const url = await brokerUrl();
    const running = device("-L", url, "-i", "kitchen", "--json", "-q", "2", "-r");
    await expect.poll(() => context.stdout.text).toContain("acknowledged");
    context.interruptController.abort(ExitCode.Interrupted);
    await running;
    const events = context.stdout.text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events).toEqual([
      { time: expect.stringMatching(/Z$/), event: "connected", sessionPresent: false },
      { time: expect.any(String), event: "published", seq: 1, celsius: expect.any(Number) },
      { time: expect.any(String), event: "acknowledged", seq: 1, afterMs: expect.any(Number) },
      {
        event: "summary",
        published: 1,
        acknowledged: 1,
        requeued: 0,
        refused: 0,
        unacknowledged: 0,
        inDoubt: 0,
      },
    ]);
  });

  test("warns of a broker that goes away, and goes on measuring", async () => {
    const url = await serverWith(async (talk) => {
      await talk.expect("CONNECT");
      talk.send(connack());
      talk.end();
    });
    const running = device("-L", url, "-i", "attic", "--interval", "0.1");
    await expect.poll(() => context.stdout.text).toContain("seq 3  published");
    context.interruptController.abort(ExitCode.Interrupted);
    expect(await running).toBe(130);
    expect(context.stderr.text).toMatch(
      /warning: The broker closed the connection; next attempt in/,
    );
    expect(context.stdout.text).toMatch(
      /published \d+, acknowledged 0, not acknowledged \d+(, sent again \d+)?\n$/,
    );
  });

  test("answers 3 without a broker", async () => {
    expect(await device("-p", "1")).toBe(3);
    expect(context.stderr.text).toContain("nobody listens there\n  Start the broker");
  });

  test.each([
    ["an interval below 0.1 s", ["--interval", "0.05"]],
    ["a dead band below 0", ["--dead-band", "-1"]],
    ["a dead band that is no number", ["--dead-band", "wide"]],
    ["QoS 3", ["-q", "3"]],
    ["a Will", ["--will-topic", "a"]],
    ["an id with a level", ["-i", "a/b"]],
    ["an id that is too long", ["-i", "x".repeat(65)]],
    ["an empty id", ["-i", ""]],
  ])("answers 2 to %s", async (_, args) => {
    expect(await device(...args)).toBe(2);
    expect(context.stderr.text).toMatch(/^error: .+\n {2}.+\n$/);
  });
});

test("the built program ends with the second Ctrl-C at once, also when the broker is silent", async () => {
  const url = await serverWith(async (talk) => {
    await welcome(talk);
    await talk.expect("PUBLISH");
    await talk.expect("PUBLISH");
  });
  const run: CliRun = startCli(["device", "-L", url, "-i", "attic"]);
  ends.push(() => run.stop());
  await run.waitFor("stdout", /published/);
  run.signal("SIGINT");
  await run.waitFor("stderr", /Press Ctrl-C again/);
  run.signal("SIGINT");
  expect(await run.ended).toMatchObject({ exitCode: 130 });
});
