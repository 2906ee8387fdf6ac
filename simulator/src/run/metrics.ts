/** Everything that a run can be asked for by name. docs/metrics.md says more about each. */

import { FAULT_KINDS } from "../scenario/scenario.ts";
import { mergeLatencies } from "./merge-tallies.ts";
import { counter, gauge, type Metric, rate, trend } from "./metric.ts";
import type { WillCounts } from "./result.ts";

/** In the order in which a reader should look at them. No two have the same name. */
export const METRICS: readonly Metric[] = [
  ...connectionMetrics(),
  ...messageMetrics(),
  ...auditMetrics(),
  ...willMetrics(),
  ...generatorMetrics(),
];

const METRICS_BY_NAME = new Map(METRICS.map((metric) => [metric.name, metric]));

/** Undefined if there is none of this name. */
export function findMetric(name: string): Metric | undefined {
  return METRICS_BY_NAME.get(name);
}

function connectionMetrics(): Metric[] {
  return [
    trend(
      { name: "connect_duration", description: "From the start of the connection to CONNACK" },
      ({ latencies }) => latencies.connect,
      ({ connect }) => [connect],
    ),
    rate(
      { name: "connected", description: "Devices that are connected, of all" },
      ({ devices }) => ({ part: devices.connected, whole: devices.count }),
      ({ connectedCount, deviceCount }) => ({ part: connectedCount, whole: deviceCount }),
    ),
    counter(
      { name: "connects", description: "Connections that the broker accepted (CONNACK 0)" },
      ({ connections }) => connections.connected,
      ({ connected }) => connected,
    ),
    counter(
      { name: "reconnects", description: "Of these, the ones that were not a device's first" },
      ({ connections }) => connections.reconnected,
      ({ reconnected }) => reconnected,
    ),
    counter(
      { name: "connects_failed", description: "Connections that ended without any CONNACK" },
      ({ connections }) => sum(connections.failed),
      ({ failed }) => failed,
    ),
    counter(
      { name: "connects_refused", description: "Connections that the broker refused by CONNACK" },
      ({ connections }) => sum(connections.refused),
      ({ refused }) => refused,
    ),
    counter(
      {
        name: "connections_lost",
        description: "Ended by the broker or the network, without a fault or goodbye of the run",
      },
      ({ connections }) => connections.lost,
      ({ lost }) => lost,
    ),
    counter(
      { name: "faults", description: "Faults that were injected" },
      ({ faults }) => sum(FAULT_KINDS.map((kind) => faults[kind]?.injected ?? 0)),
      ({ faults }) => faults,
    ),
  ];
}

function messageMetrics(): Metric[] {
  const description = "From the time at which a reading was due to its acknowledgement";
  return [
    trend(
      { name: "publish_ack_duration", description: `${description} (QoS 1 and 2)` },
      ({ latencies }) => latencies.publishAck,
      ({ publishAckQos1, publishAckQos2 }) => [publishAckQos1, publishAckQos2],
    ),
    trend(
      { name: "publish_ack_duration{qos:1}", description: `${description} (PUBACK)` },
      ({ latencies }) => latencies.publishAckQos1,
      ({ publishAckQos1 }) => [publishAckQos1],
    ),
    trend(
      { name: "publish_ack_duration{qos:2}", description: `${description} (PUBCOMP)` },
      ({ latencies }) => latencies.publishAckQos2,
      ({ publishAckQos2 }) => [publishAckQos2],
    ),
    trend(
      {
        name: "publish_ack_duration_uncorrected",
        description: "From the time at which a reading was really published to its acknowledgement",
      },
      ({ latencies }) => latencies.publishAckUncorrected,
      ({ publishAckUncorrected }) => [publishAckUncorrected],
    ),
    trend(
      {
        name: "end_to_end_duration",
        description: "From the sensor to a subscriber",
        needs: "audit",
      },
      ({ latencies }) => latencies.endToEnd,
      ({ endToEnd }) => [endToEnd],
    ),
    counter(
      { name: "messages_published", description: "Readings that the devices published" },
      ({ messages }) => messages.published,
      ({ published }) => published,
    ),
    counter(
      { name: "messages_sent", description: "Of these, the ones that had a connection to go by" },
      ({ messages }) => sum(messages.sent),
      ({ sent }) => sent,
    ),
    counter(
      { name: "messages_acked", description: "Readings that the broker acknowledged" },
      ({ messages }) => messages.acknowledged,
      ({ acknowledged }) => acknowledged,
    ),
    counter(
      { name: "publish_dropped", description: "Readings that were due and not published" },
      ({ messages }) => messages.discarded + messages.refusedFull,
      ({ dropped }) => dropped,
    ),
  ];
}

function auditMetrics(): Metric[] {
  return [
    counter(
      {
        name: "messages_received",
        description: "Readings that the run's own subscriber received, doubled ones too",
        needs: "audit",
      },
      ({ audit }) =>
        audit === null
          ? undefined
          : audit.delivered + audit.doubledAtQos1 + audit.doubledAtQos2 + audit.unknown,
      ({ received }) => received,
    ),
    rate(
      {
        name: "telemetry_delivered",
        description: "Readings that arrived, of all that the devices' outboxes took",
        needs: "audit",
      },
      ({ audit }) =>
        audit === null
          ? undefined
          : { part: audit.delivered, whole: audit.accepted - audit.unjudged },
    ),
    counter(
      {
        name: "telemetry_lost",
        description: "Readings that the broker acknowledged, but never delivered",
        needs: "audit",
      },
      ({ audit }) => audit?.lost,
    ),
    counter(
      {
        name: "telemetry_doubled",
        description: "Readings that came again, at QoS 1 and 2",
        needs: "audit",
      },
      ({ audit }) => (audit === null ? undefined : audit.doubledAtQos1 + audit.doubledAtQos2),
    ),
    counter(
      {
        name: "telemetry_doubled{qos:1}",
        description: "Those at QoS 1, which allows it",
        needs: "audit",
      },
      ({ audit }) => audit?.doubledAtQos1,
    ),
    counter(
      {
        name: "telemetry_doubled{qos:2}",
        description: "Those at QoS 2, which is exactly once",
        needs: "audit",
      },
      ({ audit }) => audit?.doubledAtQos2,
    ),
    counter(
      {
        name: "telemetry_out_of_order",
        description: "Readings that came behind a later one of the same device",
        needs: "audit",
      },
      ({ audit }) => audit?.outOfOrder,
    ),
    counter(
      { name: "commands_lost", description: "Commands that never arrived at their device" },
      ({ commands }) => commands?.lost,
    ),
  ];
}

function willMetrics(): Metric[] {
  const needs = "wills";
  const counted = (name: string, key: keyof WillCounts, description: string) =>
    counter({ name, description, needs }, ({ wills }) => wills?.[key]);
  return [
    trend(
      {
        name: "will_delivery_duration",
        description: "From a fault to the Last Will at a subscriber",
        needs,
      },
      ({ latencies }) => mergeLatencies(FAULT_KINDS.map((fault) => latencies.willDelivery[fault])),
      ({ willDelivery }) => [willDelivery],
    ),
    // A device that says goodbye has no Will.
    ...FAULT_KINDS.filter((fault) => fault !== "clean").map((fault) =>
      trend(
        {
          name: `will_delivery_duration{fault:${fault}}`,
          description: `The same after ${fault}`,
          needs,
        },
        ({ latencies }) => latencies.willDelivery[fault],
      ),
    ),
    rate(
      { name: "will_delivered", description: "Last Wills that came, of those owed", needs },
      ({ wills }) =>
        wills === null ? undefined : { part: wills.delivered, whole: wills.expected },
    ),
    counted("will_expected", "expected", "Last Wills that the broker owed"),
    counted("will_missing", "missing", "Last Wills that never came"),
    counter(
      {
        name: "will_unexpected",
        description: "Last Wills of devices that were there, or had said goodbye",
        needs,
      },
      ({ wills }) => wills?.unexpected,
      ({ willsUnexpected }) => willsUnexpected,
    ),
    counted("will_early", "early", "Last Wills before the broker could know"),
    counted("will_late", "late", "Last Wills later than the standard and the grace allow"),
    counted("will_doubled", "doubled", "Last Wills that came again"),
  ];
}

function generatorMetrics(): Metric[] {
  return [
    trend(
      { name: "schedule_lag", description: "How late the readings were taken" },
      ({ generator }) => generator.scheduleLag,
      ({ scheduleLag }) => [scheduleLag],
    ),
    gauge(
      {
        name: "event_loop_delay",
        description: "99th percentile of how late the event loop was",
        unit: "ms",
      },
      ({ eventLoopDelayP99Ms }) => eventLoopDelayP99Ms,
      ({ eventLoopDelayMs }) => eventLoopDelayMs,
    ),
    gauge(
      { name: "cpu_percent", description: "Of one processor core", unit: "%" },
      ({ cpuPercent }) => cpuPercent,
      ({ cpuPercent }) => cpuPercent,
    ),
    gauge(
      {
        name: "cpu_us_per_message",
        description: "Processor time for one published message",
        unit: "us",
      },
      ({ cpuUsPerMessage }) => cpuUsPerMessage,
    ),
    gauge(
      { name: "rss_bytes", description: "Resident memory of the load generator", unit: "bytes" },
      ({ rssBytes }) => rssBytes,
      ({ rssBytes }) => rssBytes,
    ),
    gauge(
      {
        name: "memory_per_device_bytes",
        description: "Memory that each connected device has cost",
        unit: "bytes",
      },
      ({ memoryPerDeviceBytes }) => memoryPerDeviceBytes,
    ),
  ];
}

function sum(counts: Readonly<Record<string, number>> | readonly number[]): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
