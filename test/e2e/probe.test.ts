/** `wasmqtt probe` with aedes, mosquitto, and two brokers that do most things wrong. RabbitMQ: run-rabbitmq.test.ts. */

import { readFileSync } from "node:fs";
import { createColors } from "picocolors";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import { registerProbe } from "../../host/src/cli/commands/probe.ts";
import { runCli } from "../../host/src/cli/program.ts";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import { type ProbeReport, probeJsonSchema } from "../../host/src/probe/report.ts";
import { reportLines } from "../../host/src/probe/report-text.ts";
import { QUESTION_IDS } from "../../host/src/probe/run-probe.ts";
import { startAedes, startMosquitto } from "../support/brokers.ts";
import { SLOW_MS, type Style, startContraryBroker } from "../support/contrary-broker.ts";
import { describeWith } from "../support/optional.ts";
import {
  findingOf,
  hastyWorld,
  idsOf,
  notAsDocumented,
  type Probing,
  probing,
} from "../support/probing.ts";
import { RecordingContext } from "../support/run-cli.ts";
import { scriptedServer } from "../support/scripted-server.ts";
import { startSmallBroker } from "../support/small-broker.ts";

const PROBE_LIMIT_MS = 60_000;

let aedes: EmbeddedBroker;
let asked: Probing;
let forgetful: ProbeReport;
let overzealous: ProbeReport;

beforeAll(async () => {
  aedes = await startAedes();
  [asked, forgetful, overzealous] = await Promise.all([
    probing(aedes.port),
    askContrary("forgetful"),
    askContrary("overzealous"),
  ]);
}, PROBE_LIMIT_MS);

afterAll(() => aedes.stop());

async function askContrary(style: Style): Promise<ProbeReport> {
  const broker = await startContraryBroker(style);
  try {
    const args = ["--timeout", "200"];
    return (await probing(broker.port, { world: hastyWorld, args })).report;
  } finally {
    await broker.stop();
  }
}

describe("a question gets another answer from a broker that does otherwise:", () => {
  const timeIds = QUESTION_IDS.filter((id) => id.startsWith("latency."));
  const otherIds = QUESTION_IDS.filter((id) => !timeIds.includes(id));

  test.each(otherIds)("%s", (id) => {
    const findings = [asked.report, forgetful, overzealous].map((report) => findingOf(report, id));
    const known = findings.filter(({ verdict }) => verdict !== "unknown");
    expect(new Set(known.map(({ found }) => found)).size).toBeGreaterThan(1);
    const verdicts = new Set(known.map(({ verdict }) => verdict));
    if (verdicts.has("conforms") || verdicts.has("deviates")) {
      expect([...verdicts]).toEqual(expect.arrayContaining(["conforms", "deviates"]));
    }
  });

  test.each(timeIds)("%s", (id) => {
    expect(findingOf(asked.report, id)).toMatchObject({ unit: "ms", value: expect.any(Number) });
    expect(findingOf(forgetful, id).value).toBeGreaterThanOrEqual(SLOW_MS);
  });
});

describe("aedes", () => {
  test("is asked all questions, with exit code 0 though it deviates, and nothing is left", () => {
    expect(asked.exitCode).toBe(0);
    expect(asked.report.findings.map(({ id }) => id)).toEqual(QUESTION_IDS);
    expect(idsOf(asked.report, "unknown")).toEqual([]);
    expect(asked.report).toMatchObject({ interrupted: false, leftOver: [] });
  });

  test("deviates in these points, as far as it is asked", () => {
    expect(idsOf(asked.report, "deviates")).toEqual([
      "version.unknown",
      "clientid.empty-session",
      "qos.dup",
      "session.present-empty",
      "session.redelivered",
      "topic.overlapping",
      "broken.will-qos-3",
      "broken.dup-qos-0",
      "broken.packet-id-0",
      "broken.topic-no-utf8",
      "broken.topic-nul",
    ]);
  });

  test("notices a silent client after 1.5 times its keep alive", () => {
    const { value, unit } = findingOf(asked.report, "will.keep-alive");
    expect(unit).toBe("keep alives");
    expect(value).toBeGreaterThanOrEqual(1.4);
    expect(value).toBeLessThan(3);
  });

  test("does what docs/brokers.md says (npm run brokers)", () => {
    expect(notAsDocumented(asked.report, "aedes")).toEqual([]);
  });

  test("acknowledges a message without waiting until it is forwarded, and has no limit for a silent subscriber", () => {
    expect(findingOf(asked.report, "qos.acknowledged-when").found).toBe(
      "without waiting for the message",
    );
    expect(findingOf(asked.report, "limit.inflight").found).toBe("no limit up to 500");
    expect(findingOf(asked.report, "session.offline-count").value).toBe(2000);
  });
});

describe("the report", () => {
  test("is what the published schema says (build, then node tools/schema.mjs)", () => {
    const file = new URL("../../simulator/schema/probe.v1.json", import.meta.url);
    const published = JSON.parse(readFileSync(file, "utf8"));
    expect(published).toEqual(JSON.parse(JSON.stringify(probeJsonSchema())));
    expect(z.fromJSONSchema(published).safeParse(asked.report).error).toBeUndefined();
  });

  test.each([
    ["another schema", { schema: "urn:wasmqtt:probe.v2" }],
    ["no findings", { findings: undefined }],
    ["a time without a zone", { startedAt: "2026-11-23T01:02:03" }],
  ])("with %s is no probe.v1", (_title, wrong) => {
    const schema = z.fromJSONSchema(probeJsonSchema() as Parameters<typeof z.fromJSONSchema>[0]);
    expect(schema.safeParse({ ...asked.report, ...wrong }).success).toBe(false);
  });

  test("for people has a table for each subject, and explains what deviates", () => {
    const lines = reportLines(overzealous, createColors(false), false);
    expect(lines).toContain("Last Will");
    const index = lines.findIndex((line) => line.startsWith("  ✗ the client says goodbye"));
    expect(lines[index]).toMatch(/ {2}published all the same \[MQTT-3\.14\.4-3\]$/);
    expect(lines[index + 1]).toBe(
      "      connected with a Will, and sent DISCONNECT -> 2 Wills came",
    );
    const right = lines.findIndex((line) => line.startsWith("  ✓ a message at QoS 2 "));
    expect(lines[right]).toMatch(/PUBREC, PUBCOMP$/);
    expect(lines[right + 1]).toMatch(/^ {2}\S/);
    const count = idsOf(overzealous, "deviates").length;
    expect(lines).toContain(`  ✗ ${count} otherwise, against the clause in brackets`);
  });

  test("explains all with --verbose", () => {
    const lines = reportLines(overzealous, createColors(false), true);
    const index = lines.findIndex((line) => line.startsWith("  ✓ a message at QoS 2 "));
    expect(lines[index]).toMatch(/PUBREC, PUBCOMP \[MQTT-4\.3\.3-2\]$/);
    expect(lines[index + 1]).toBe("      published at QoS 2 -> PUBREC, and PUBCOMP for PUBREL");
  });

  test("shows what a broker sends harmlessly", () => {
    const [finding] = overzealous.findings;
    if (finding === undefined) throw new Error("no finding");
    const evil = { ...finding, verdict: "deviates", found: "\u001b[2J", got: "\u0007" } as const;
    const text = reportLines(
      { ...overzealous, findings: [evil] },
      createColors(false),
      true,
    ).join();
    expect(text).toContain("\\u{1b}[2J");
    expect(text).toContain("\\u{7}");
  });
});

describe("what a probe leaves behind", () => {
  test("no retained message", async () => {
    expect(await retainedOn(aedes.port)).toEqual([]);
  });

  test("no retained message after Ctrl-C, but what it has found out, and exit code 130", async () => {
    let context: RecordingContext | undefined;
    const running = probing(aedes.port, { begun: (begun) => (context = begun) });
    await untilRetained(aedes.port);
    context?.interruptController.abort(130);
    const { exitCode, report } = await running;
    expect(exitCode).toBe(130);
    expect(report).toMatchObject({ interrupted: true, leftOver: [] });
    expect(findingOf(report, "latency.qos1").verdict).toBe("free");
    expect(findingOf(report, "limit.inflight")).toMatchObject({
      verdict: "unknown",
      got: "somebody ended the probe before",
    });
    expect(await retainedOn(aedes.port)).toEqual([]);
    const known = report.findings.filter(({ id, verdict, unit }) => {
      return verdict !== "unknown" && unit !== "ms" && id !== "will.keep-alive";
    });
    for (const { id, found } of known) expect(found, id).toBe(findingOf(asked.report, id).found);
  });

  test("no session", async () => {
    const broker = await startSmallBroker({ grants: () => 1 });
    let sessionCount = 0;
    const look = setInterval(() => {
      sessionCount = Math.max(sessionCount, broker.sessionIds.length);
    }, 5);
    const { report } = await probing(broker.port, {
      world: hastyWorld,
      args: ["--timeout", "200"],
    });
    clearInterval(look);
    expect(sessionCount).toBeGreaterThan(3);
    expect(report.leftOver).toEqual([]);
    expect(broker.sessionIds.filter((id) => id !== "")).toEqual([]);
    await broker.stop();
  });

  test("is told where it cannot be removed", async () => {
    const broker = await startAedes();
    const running = probing(broker.port, { world: hastyWorld, args: ["--timeout", "10"] });
    await untilRetained(broker.port);
    await broker.stop();
    const { exitCode, report } = await running;
    expect(exitCode).toBe(0);
    expect(idsOf(report, "unknown").length).toBeGreaterThan(20);
    expect(report.leftOver.join("\n")).toMatch(
      /Could not remove the retained message on wasmqtt-probe-.*nobody listens there/,
    );
  });
});

test("--timeout ends the questions, not the tidying up; without --json the answer is a table", async () => {
  const context = new RecordingContext();
  const args = ["probe", "-h", "127.0.0.1", "-p", `${aedes.port}`, "--timeout", "1"];
  expect(await runCli(args, context, [registerProbe])).toBe(0);
  const { text } = context.stdout;
  expect(text).toMatch(/^ {2}\? the client falls silent +not found out: the time was up$/m);
  expect(text).toMatch(/^ {2}· from the start of a connection to CONNACK +[\d.]+ ms$/m);
  expect(text).toMatch(/^mqtt:\/\/127\.0\.0\.1:\d+: 95 questions in \d+\.\d s$/m);
  expect(await retainedOn(aedes.port)).toEqual([]);
});

test("a broker that stops delivering leaves questions open, and holds nobody up", async () => {
  const broker = await startSmallBroker({
    copies: ({ topic }) => (topic.includes("/hello/") ? [0] : []),
    grants: () => 1,
  });
  const { exitCode, report } = await probing(broker.port, {
    world: hastyWorld,
    args: ["--timeout", "20"],
  });
  expect(exitCode).toBe(0);
  expect(findingOf(report, "latency.qos0").got).toBe("nothing came within 5 seconds");
  expect(findingOf(report, "latency.qos1").verdict).toBe("free");
  expect(findingOf(report, "will.disconnect").got).toMatch(/did not come, so nothing can be said$/);
  await broker.stop();
});

test("Ctrl-C before the broker has answered ends at once with exit code 130", async () => {
  const server = await scriptedServer(async () => {});
  let context: RecordingContext | undefined;
  const running = probing(server.port, { begun: (begun) => (context = begun) });
  context?.interruptController.abort(130);
  const { exitCode, stderr } = await running;
  expect(exitCode).toBe(130);
  expect(stderr).not.toContain("error");
  await server.close();
});

describe("a broker that cannot be asked", () => {
  test("because nobody is there: exit code 3", async () => {
    const { exitCode, stderr } = await probing(1);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/nobody listens there\n {2}Start the broker, or check host and port/);
  });

  test("because it wants a login: exit code 3, and 0 with the right one", async () => {
    const broker = await startAedes({
      authenticate: (name, password) => name === "anna" && `${password}` === "secret",
    });
    const refused = await probing(broker.port);
    expect(refused.exitCode).toBe(3);
    expect(refused.stderr).toMatch(/refused the connection.*\n.*--username/);
    const args = ["--timeout", "1", "-u", "anna", "-P", "secret"];
    const { exitCode, report } = await probing(broker.port, { args });
    expect(exitCode).toBe(0);
    expect(findingOf(report, "latency.qos2").verdict).toBe("free");
    await broker.stop();
  });

  test("because no message comes through: exit code 3, and what to do", async () => {
    const broker = await startSmallBroker({ copies: () => [] });
    const { exitCode, stderr } = await probing(broker.port, { world: hastyWorld });
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/cannot be asked: a message on wasmqtt-probe-\w+\/hello\/t did not/);
    expect(stderr).toContain("Let this user publish and subscribe below wasmqtt-probe-");
    await broker.stop();
  });

  test("because it grants no subscription: exit code 3", async () => {
    const broker = await startSmallBroker({ grants: () => 0x80 });
    const { exitCode, stderr } = await probing(broker.port);
    expect(exitCode).toBe(3);
    expect(stderr).toContain("the broker refuses the subscription to wasmqtt-probe-");
    await broker.stop();
  });
});

describeWith(["mosquitto"], "mosquitto", () => {
  let report: ProbeReport;

  beforeAll(async () => {
    const mosquitto = await startMosquitto();
    try {
      ({ report } = await probing(mosquitto.port));
    } finally {
      await mosquitto.stop();
    }
  }, PROBE_LIMIT_MS);

  test("answers all questions and deviates in these points", () => {
    expect(idsOf(report, "unknown")).toEqual([]);
    expect(report.leftOver).toEqual([]);
    expect(idsOf(report, "deviates")).toEqual([
      "qos2.burst",
      "topic.overlapping",
      "broken.packet-of-server",
      "broken.dup-qos-0",
      "broken.pingreq-flags",
    ]);
  });

  test("does what docs/brokers.md says (npm run brokers)", () => {
    expect(notAsDocumented(report, "mosquitto")).toEqual([]);
  });

  test("tells its version, speaks MQTT 5, and has the limits of its defaults", () => {
    expect(findingOf(report, "topic.sys").found).toContain("mosquitto version 2.");
    expect(findingOf(report, "version.5").found).toBe("accepted");
    expect(findingOf(report, "session.offline-count").value).toBe(1000);
    expect(findingOf(report, "limit.inflight").value).toBe(20);
    expect(findingOf(report, "topic.shared").found).toBe("work");
  });
});

/** What a new subscriber finds below the probe's prefixes, one level up from its topics or deeper. */
async function retainedOn(port: number): Promise<string[]> {
  const client = new MqttClient({ url: `mqtt://127.0.0.1:${port}`, reconnect: false });
  const topics: string[] = [];
  client.on("message", ({ topic, retain }) => {
    if (retain && topic.startsWith("wasmqtt-probe-")) topics.push(topic);
  });
  await client.connect();
  await client.subscribe("#");
  await client.publish("end", "", { qos: 1 });
  await new Promise((resolve) => setTimeout(resolve, 200));
  await client.close();
  return topics;
}

/** Resolves when a probe that goes on has retained something. */
async function untilRetained(port: number): Promise<void> {
  await expect.poll(() => retainedOn(port), { timeout: 15_000 }).not.toEqual([]);
}
