/** The endpoint for Prometheus: what it says, that it is valid, and what happens where it cannot listen. */

import { spawnSync } from "node:child_process";
import { type AddressInfo, createServer } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { UsageError } from "../../host/src/errors.ts";
import { type Outputs, openOutputs } from "../../simulator/src/outputs/outputs.ts";
import { describeWith } from "../support/optional.ts";
import { HOSTILE_NAMES, RecordingOutputs, sampleAt } from "./outputs-support.ts";
import { sampleResult } from "./sample-result.ts";

let opened: Outputs[] = [];

afterEach(async () => {
  for (const outputs of opened) await outputs.close();
  opened = [];
});

async function open(spec = "prometheus=:0", scenarioName = "storm") {
  const context = new RecordingOutputs();
  const scenario = { name: scenarioName, seed: 7 };
  const outputs = await openOutputs([spec], Object.assign(context, { scenario }));
  opened.push(outputs);
  const url = /http:\S+/u.exec(context.notes.join("\n"))?.[0] ?? "";
  return { outputs, url, scrape: async () => (await fetch(url)).text() };
}

/** The values by metric and labels, as the lines have them. */
function valuesOf(text: string): Record<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

describe("a scrape", () => {
  test("has the counts of the latest sample", async () => {
    const { outputs, scrape } = await open();
    outputs.sample(sampleAt(0));
    outputs.sample(sampleAt(2));
    expect(valuesOf(await scrape())).toMatchObject({
      wasmqtt_devices: 100,
      wasmqtt_connections: 90,
      'wasmqtt_connects_total{result="accepted"}': 33,
      'wasmqtt_connects_total{result="refused"}': 42,
      'wasmqtt_connects_total{result="failed"}': 39,
      wasmqtt_reconnects_total: 36,
      wasmqtt_connections_lost_total: 45,
      wasmqtt_messages_published_total: 48,
      'wasmqtt_messages_sent_total{qos="0"}': 51,
      'wasmqtt_messages_sent_total{qos="2"}': 0,
      wasmqtt_messages_acknowledged_total: 54,
      wasmqtt_messages_received_total: 57,
      wasmqtt_publish_dropped_total: 60,
      'wasmqtt_faults_total{kind="hang"}': 63,
      'wasmqtt_faults_total{kind="takeover"}': 0,
      wasmqtt_generator_cpu_ratio: 0.3125,
      wasmqtt_generator_resident_memory_bytes: 123_456_789,
      wasmqtt_generator_event_loop_delay_seconds: 0.0045,
      'wasmqtt_build_info{version="1.2.3"}': 1,
      'wasmqtt_run_info{scenario="storm",phase="steady"}': 1,
    });
  });

  test("has each Last Will once: by its fault, and by whether it was expected when it came", async () => {
    const { outputs, scrape } = await open();
    const wills = {
      expected: 10,
      delivered: 9,
      missing: 1,
      early: 2,
      late: 3,
      doubled: 4,
      unexpected: 0,
      unjudged: 5,
    };
    const sample = sampleAt(0);
    outputs.sample({
      ...sample,
      counters: { ...sample.counters, willsUnexpected: 7 },
      breakdown: {
        sentByQos: [0, 0, 0],
        faults: {
          "tcp-reset": { injected: 20, wills },
          clean: { injected: 8, wills: { ...wills, unexpected: 6 } },
          hang: { injected: 30, wills: null },
        },
      },
    });
    const values = valuesOf(await scrape());
    const received = (fault: string, result: string) =>
      values[`wasmqtt_wills_received_total{fault="${fault}",result="${result}"}`];
    const results = ["delivered", "early", "late", "doubled", "unexpected"];
    expect(results.map((result) => received("tcp-reset", result))).toEqual([4, 2, 3, 4, 0]);
    expect(received("clean", "unexpected")).toBe(6);
    expect(received("none", "unexpected")).toBe(1);
    expect(received("hang", "delivered")).toBe(0);
    const expected = (fault: string) => values[`wasmqtt_wills_expected_total{fault="${fault}"}`];
    // 15 are due or still to come; nobody watches those of hang; DISCONNECT suppresses the Will [MQTT-3.14.4-3].
    expect(["tcp-reset", "hang", "clean"].map(expected)).toEqual([15, 0, 0]);
  });

  test("has the latencies of the whole run in cumulative buckets of seconds", async () => {
    const { outputs, scrape } = await open();
    outputs.sample(sampleAt(0, {}, { span: { publishAckQos1: [0.4, 0.5, 3, 250, 70_000] } }));
    outputs.sample(sampleAt(1, {}, { span: { publishAckQos1: [4], publishAckQos2: [20] } }));
    const values = valuesOf(await scrape());
    const bucket = (qos: number, le: string) =>
      values[`wasmqtt_publish_ack_duration_seconds_bucket{qos="${qos}",le="${le}"}`];
    const bounds = ["0.0005", "0.001", "0.0025", "0.005", "0.1", "0.25", "0.5", "60", "+Inf"];
    expect(bounds.map((le) => bucket(1, le))).toEqual([2, 2, 2, 4, 4, 5, 5, 5, 6]);
    expect(bounds.map((le) => bucket(2, le))).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(values['wasmqtt_publish_ack_duration_seconds_count{qos="1"}']).toBe(6);
    const sum = values['wasmqtt_publish_ack_duration_seconds_sum{qos="1"}'] ?? 0;
    expect(sum).toBeGreaterThan(70.2579 * 0.999);
    expect(sum).toBeLessThan(70.2579 * 1.001);
    expect(values['wasmqtt_connect_duration_seconds_bucket{le="+Inf"}']).toBe(0);
  });

  test("never has a bucket below the one before it, nor +Inf besides the count", async () => {
    const { outputs, scrape } = await open();
    const spread = Array.from({ length: 300 }, (_, index) => 0.01 * 1.06 ** index);
    outputs.sample(sampleAt(0, {}, { span: { endToEnd: spread } }));
    const text = await scrape();
    const counts = [
      ...text.matchAll(/^wasmqtt_end_to_end_duration_seconds_bucket.* (\d+)$/gmu),
    ].map(([, count]) => Number(count));
    expect(counts).toHaveLength(17);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
    expect(counts.at(-1)).toBe(spread.length);
    expect(new Set(counts).size).toBe(counts.length);
  });

  test("before the first sample has the same series, with nothing in them", async () => {
    const { outputs, scrape } = await open();
    const before = valuesOf(await scrape());
    outputs.sample(sampleAt(0));
    const withoutPhase = (values: Record<string, number>) =>
      Object.keys(values).filter((key) => !key.startsWith("wasmqtt_run_info"));
    expect(withoutPhase(valuesOf(await scrape()))).toEqual(withoutPhase(before));
    expect(before['wasmqtt_messages_sent_total{qos="1"}']).toBe(0);
    expect(before['wasmqtt_wills_expected_total{fault="clean"}']).toBe(0);
  });

  test("has as many series for a hundred thousand devices as for a hundred", async () => {
    const { outputs, scrape } = await open();
    outputs.sample(sampleAt(0, { deviceCount: 100 }));
    const few = valuesOf(await scrape());
    outputs.sample(sampleAt(1, { deviceCount: 100_000, connectedCount: 100_000 }));
    expect(Object.keys(valuesOf(await scrape()))).toEqual(Object.keys(few));
  });

  test("has one phase at a time", async () => {
    const { outputs, scrape } = await open();
    for (const phaseName of ["connect", "storm"]) outputs.sample(sampleAt(0, { phaseName }));
    expect((await scrape()).match(/^wasmqtt_run_info\{.*$/gmu)).toEqual([
      'wasmqtt_run_info{scenario="storm",phase="storm"} 1',
    ]);
  });

  test.each(HOSTILE_NAMES)("keeps the name %j in its label", async (name) => {
    const { outputs, scrape } = await open("prometheus=0", name);
    outputs.sample(sampleAt(0, { phaseName: name }));
    const line = /^wasmqtt_run_info\{.*$/mu.exec(await scrape())?.[0] ?? "";
    const labels = /^\w+\{scenario="((?:\\.|[^"\\])*)",phase="((?:\\.|[^"\\])*)"\} 1$/u.exec(line);
    const unescaped = labels?.slice(1).map((label) => label.replace(/\\(["\\])/gu, "$1"));
    expect(unescaped).toEqual([name, name]);
  });
});

describeWith(["promtool"], "promtool check metrics", () => {
  test.each(["storm", ...HOSTILE_NAMES])("finds nothing to say, scenario %j", async (name) => {
    const { outputs, scrape } = await open("prometheus=:0", name);
    const span = { connect: [1, 2], publishAckQos1: [3], publishAckQos2: [4], willDelivery: [5] };
    outputs.sample(sampleAt(0, { phaseName: name }, { span }));
    const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], {
      input: await scrape(),
      encoding: "utf8",
    });
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" });
  });
});

describe("the endpoint", () => {
  test("is on this machine only unless told otherwise, and says where", async () => {
    expect((await open("prometheus=0")).url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/metrics$/u);
  });

  test("says what it sends, and answers HEAD", async () => {
    const { url } = await open();
    const response = await fetch(url, { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(await response.text()).toBe("");
  });

  test.each([
    ["GET", "/", 404],
    ["GET", "/metrics/", 404],
    ["POST", "/metrics", 405],
    ["GET", "/metrics?x=1", 200],
  ])("answers %s %s with %d", async (method, path, status) => {
    const { url } = await open();
    const response = await fetch(new URL(path, url), { method });
    await response.text();
    expect(response.status).toBe(status);
  });

  test("is gone when the run is over, although a scraper keeps its connection", async () => {
    const { outputs, url, scrape } = await open();
    await scrape();
    expect(await outputs.finish(sampleResult())).toEqual([]);
    await expect(fetch(url)).rejects.toThrow();
  });

  test("at a port in use says so, and what to do", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = other.address() as AddressInfo;
      const error: unknown = await open(`prometheus=:${port}`).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(UsageError);
      const { message, remedy } = error as UsageError;
      expect(message).toBe(`--out prometheus: 127.0.0.1 port ${port} is in use already`);
      expect(remedy).toContain("choose another port");
    } finally {
      other.close();
    }
  });

  test("at an address of another machine says so", async () => {
    // 192.0.2.0/24 is for documentation: no machine has it (RFC 5737).
    await expect(open("prometheus=192.0.2.1:9464")).rejects.toThrow(
      "192.0.2.1 is no address of this machine",
    );
  });

  test("is given up if another output cannot be opened", async () => {
    const context = new RecordingOutputs();
    await expect(openOutputs(["prometheus=:0", "json=missing/x"], context)).rejects.toThrow(
      "no such folder",
    );
    const url = /http:\S+/u.exec(context.notes.join("\n"))?.[0] ?? "";
    await expect(fetch(url)).rejects.toThrow("fetch failed");
  });
});
