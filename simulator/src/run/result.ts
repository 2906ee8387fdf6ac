/** What a run found out: the document that `--json` prints, its schema and its type. */

import { z } from "zod";
import type { LatencyHistogram } from "../histogram.ts";
import { FAULT_KINDS } from "../scenario/scenario.ts";
import { LATENCY_NAMES } from "./run-sample.ts";

/** Stands in the document. Keys may be added under the same name; a key that changes its meaning makes a v2. */
export const RESULT_SCHEMA_ID = "urn:wasmqtt:result.v1";

const count = () => z.int().min(0);
const milliseconds = () => z.number().min(0);

const latency = z
  .object({
    count: count(),
    minMs: milliseconds(),
    meanMs: milliseconds(),
    p50Ms: milliseconds(),
    p90Ms: milliseconds(),
    p99Ms: milliseconds(),
    p999Ms: milliseconds(),
    maxMs: milliseconds(),
    histogram: z.string().describe("HdrHistogram V2 in microseconds, compressed, in base64"),
  })
  .meta({ id: "latency" });

export type LatencyResult = z.infer<typeof latency>;

const willCounts = z
  .object({
    expected: count().describe("Wills that the broker owed: delivered + missing"),
    delivered: count().describe("Wills that came, early and late ones too"),
    missing: count().describe("Wills that never came"),
    early: count().describe("Delivered before the broker could know that the device is gone"),
    late: count().describe("Delivered after the time that the standard and the grace allow"),
    doubled: count().describe("Came again after they had been delivered"),
    unexpected: count().describe("Came for a device that was not gone, or had said goodbye"),
    unjudged: count().describe(
      "Neither expected nor missing: the broker was restarted, the observer was away, or the run was interrupted",
    ),
  })
  .meta({ id: "wills" });

export type WillCounts = z.infer<typeof willCounts>;

const qosValue = z.literal([0, 1, 2]);

const devices = z.object({
  count: count(),
  connected: count().describe("Devices that were connected when the connect phase ended"),
  groups: z.array(
    z.object({
      name: z.string(),
      count: count(),
      qos: qosValue,
      cleanSession: z.boolean(),
      intervalMs: milliseconds(),
    }),
  ),
});

const connections = z.object({
  attempted: count().describe("Network Connections that were tried"),
  connected: count().describe("Those that the broker accepted (CONNACK 0)"),
  reconnected: count().describe("Of the connected, those that were not a device's first"),
  failed: z.record(z.string(), count()).describe("Those without any CONNACK, by reason"),
  refused: z.record(z.string(), count()).describe("Those refused, by Connect Return code"),
  lost: count().describe(
    "Ended by the broker or the network, without a fault, goodbye or restart of ours",
  ),
});

const messages = z.object({
  published: count().describe("Telemetry messages that the devices made"),
  sent: z
    .object({ qos0: count(), qos1: count(), qos2: count() })
    .describe("Those that had a connection to go by, each counted once"),
  acknowledged: count().describe("Those that the broker took over (PUBACK or PUBCOMP)"),
  inDoubt: count().describe(
    "Sent at QoS 1 or 2, and never acknowledged: the broker may have them or not",
  ),
  unanswered: count().describe(
    "Of those in doubt, the ones on connections that stood to the end: the broker had the time to answer",
  ),
  requeued: count().describe(
    "How often a device sent a message again as a new one, because the broker had forgotten the session",
  ),
  discarded: count().describe("QoS 0 messages thrown away because the outbox was full"),
  refusedFull: count().describe(
    "Readings that were due and not published: the outbox was full, or the generator had no time",
  ),
});

const latencies = z.object({
  connect: latency.nullable().describe("From the start of the connection to CONNACK"),
  publishAck: latency
    .nullable()
    .describe("From the time at which a reading was due to its acknowledgement"),
  publishAckQos1: latency.nullable().describe("Of these, the ones at QoS 1 (PUBACK)"),
  publishAckQos2: latency.nullable().describe("Of these, the ones at QoS 2 (PUBCOMP)"),
  publishAckUncorrected: latency
    .nullable()
    .describe("From the time at which it was really published to its acknowledgement"),
  endToEnd: latency.nullable().describe("From the sensor to a subscriber"),
  willDelivery: z
    .partialRecord(z.enum(FAULT_KINDS), latency)
    .describe("From the fault to the Will at a subscriber"),
});

const audit = z.object({
  devices: count(),
  accepted: count().describe("Messages that the devices' outboxes took"),
  acknowledged: count().describe("Messages that the broker took over (PUBACK or PUBCOMP)"),
  delivered: count().describe("Messages that the audit's subscriber received, each counted once"),
  lost: count().describe("Acknowledged, but never delivered"),
  unjudged: count().describe("The same, but while the observer was away: nobody can say"),
  doubledAtQos1: count().describe("Received again; QoS 1 allows it"),
  doubledAtQos2: count().describe("Received again; QoS 2 forbids it"),
  outOfOrder: count().describe("Received for the first time after a later one of the same device"),
  unknown: count().describe("Received, but no device of this run had sent it"),
  inDoubtDelivered: count().describe("Never acknowledged, but received all the same"),
});

const commands = z.object({
  sent: count(),
  arrived: count().describe("Commands that arrived, each counted once"),
  lost: count(),
  doubled: count().describe("Arrived again; QoS 1 allows it"),
});

/** With an embedded broker, the broker's work is in these numbers too. */
const generator = z.object({
  scheduleLag: latency.nullable().describe("How late the readings were taken"),
  eventLoopDelayP99Ms: milliseconds().nullable(),
  threads: z.int().min(1).describe("Among which the devices were divided"),
  warnings: z
    .array(z.string())
    .describe("Why the load generator, and not the broker, may have been the slow one"),
  cpuPercent: z.number().min(0).nullable().describe("Of one processor core"),
  cpuUsPerMessage: z
    .number()
    .min(0)
    .nullable()
    .describe(
      "Processor time per published message, from the end of the connect phase until the devices leave",
    ),
  rssBytes: count(),
  memoryPerDeviceBytes: z
    .number()
    .min(0)
    .nullable()
    .describe("What the process grew by until the connect phase ended"),
});

const phase = z.object({
  name: z.string(),
  kind: z.string(),
  startMs: milliseconds().describe("Since the start of the run, as all times of a timeline"),
  endMs: milliseconds(),
});

const timelinePoint = z
  .object({
    atMs: milliseconds().describe("The end of the span"),
    spanMs: milliseconds(),
    phase: z.string(),
    connected: count().describe("Devices that are connected at this moment"),
    counters: z
      .object({
        attempted: count(),
        connected: count(),
        reconnected: count(),
        failed: count(),
        refused: count(),
        lost: count(),
        published: count(),
        sent: count(),
        acknowledged: count(),
        received: count(),
        dropped: count(),
        faults: count(),
        willsExpected: count(),
        willsDelivered: count(),
        willsUnexpected: count(),
      })
      .describe("Since the start of the run"),
    latencies: z.partialRecord(z.enum(LATENCY_NAMES), latency).describe("Of the span"),
    cpuPercent: z.number().min(0).describe("Of one processor core"),
    rssBytes: count(),
    eventLoopDelayMs: milliseconds().describe("99th percentile of the span, the slowest thread"),
  })
  .meta({ id: "timelinePoint" });

export type TimelinePoint = z.infer<typeof timelinePoint>;

const threshold = z.object({
  metric: z.string().describe("As docs/metrics.md names it, such as publish_ack_duration"),
  rule: z.string().describe("In k6's grammar, such as p(99)<250"),
  value: z.string().describe("What was measured, for people"),
  ok: z.boolean(),
  aborted: z.boolean().describe("This threshold ended the run before its time"),
});

export type ThresholdResult = z.infer<typeof threshold>;

const expectation = z.object({
  name: z.string(),
  rule: z.string().describe("What must hold, such as count==0 or rate==1"),
  value: z.string().describe("What was counted, for people"),
  ok: z.boolean(),
  explanation: z.string().optional().describe("What it means that it does not hold"),
});

export type Expectation = z.infer<typeof expectation>;

export const resultSchema = z
  .object({
    schema: z.literal(RESULT_SCHEMA_ID),
    runId: z.string().min(1),
    tool: z.object({ name: z.literal("wasmqtt"), version: z.string() }),
    scenario: z.object({
      name: z.string(),
      seed: count(),
      text: z.string().describe("What was run, as YAML: the file and the flags; without secrets"),
    }),
    environment: z
      .object({ node: z.string(), platform: z.string(), cpuCount: count() })
      .describe("Of the load generator"),
    startedAt: z.iso.datetime(),
    durationMs: milliseconds(),
    interrupted: z.boolean().describe("Somebody stopped the run before its end"),
    broker: z.object({
      url: z.string().describe("Without user name and password"),
      protocol: z.literal("3.1.1"),
      embedded: z.boolean().describe("The run brought its own broker"),
    }),
    firmware: z.object({
      name: z.string(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      byteLength: count(),
      abiVersion: count(),
    }),
    devices,
    connections,
    brokerRestarts: count(),
    messages,
    latencies,
    faults: z
      .partialRecord(
        z.enum(FAULT_KINDS),
        z.object({ injected: count(), wills: willCounts.nullable() }),
      )
      .describe("The faults that were injected, and the Wills of each"),
    wills: willCounts
      .nullable()
      .describe("All Wills, those that no fault explains too. null: nobody watched"),
    goodbyes: count().describe(
      "How often a device itself said offline before DISCONNECT: the fault clean, and the end of the run",
    ),
    statusMessages: z
      .object({
        online: count().describe("Births"),
        offline: count().describe("Wills and goodbyes"),
        lost: count().describe("Births and goodbyes that were acknowledged, but never delivered"),
      })
      .nullable()
      .describe("What a subscriber of motes/+/status saw. null: nobody watched"),
    observer: z
      .object({
        lost: count().describe("How often it lost its connection, restarts of ours aside"),
        awayMs: milliseconds().describe("How long it could not see anything, in all"),
      })
      .describe("The run's own subscriber. If it was away, the result is incomplete"),
    audit: audit.nullable().describe("null: nobody audited, or no message says its number"),
    commands: commands.nullable().describe("null: none were sent"),
    generator,
    expectations: z.array(expectation),
    thresholds: z.array(threshold).describe("What the scenario demands besides"),
    phases: z.array(phase).describe("What happened when"),
    timeline: z
      .array(timelinePoint)
      .describe("About a second each; in a long run more, so that there are at most 600"),
    problems: z.array(z.string()).describe("What else went wrong, in plain sentences"),
  })
  .describe("What a run of wasmqtt found out. Where a latency is null, nothing was measured");

export type RunResult = z.infer<typeof resultSchema>;

/** A histogram as it stands in a result; null if nothing was recorded. */
export function latencyResult(histogram: LatencyHistogram): LatencyResult | null {
  const summary = histogram.summary();
  return summary === undefined ? null : { ...summary, histogram: histogram.encode() };
}
