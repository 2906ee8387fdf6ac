/**
 * `--out hgrm=FILE`: each latency as a percentile distribution in milliseconds, in the text format of HdrHistogram's own
 * tools, which its plotters read.
 */

import { join } from "node:path";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import type { LatencyResult, RunResult } from "../run/result.ts";
import { FAULT_KINDS } from "../scenario/scenario.ts";
import type { DocumentFile } from "./document-output.ts";

/**
 * The files of a target: in a folder `connect.hgrm` and so on, otherwise `NAME-connect.hgrm` for `NAME.hgrm`. What was
 * not measured has no file.
 */
export function hgrmDocuments(target: string, isFolder: boolean): DocumentFile[] {
  const pathOf = (name: string) =>
    isFolder ? join(target, `${name}.hgrm`) : `${target.replace(/\.hgrm$/u, "")}-${name}.hgrm`;
  return LATENCIES.map(([name, latencyOf]) => ({
    path: pathOf(name),
    render: (result) => {
      const latency = latencyOf(result);
      return latency ? percentileDistribution(latency) : undefined;
    },
  }));
}

type LatencyOf = (result: RunResult) => LatencyResult | null | undefined;

const LATENCIES: readonly (readonly [name: string, latencyOf: LatencyOf])[] = [
  ["connect", ({ latencies }) => latencies.connect],
  ["publish-ack", ({ latencies }) => latencies.publishAck],
  ["publish-ack-qos1", ({ latencies }) => latencies.publishAckQos1],
  ["publish-ack-qos2", ({ latencies }) => latencies.publishAckQos2],
  ["publish-ack-uncorrected", ({ latencies }) => latencies.publishAckUncorrected],
  ["end-to-end", ({ latencies }) => latencies.endToEnd],
  ["schedule-lag", ({ generator }) => generator.scheduleLag],
  ...FAULT_KINDS.map((kind): readonly [string, LatencyOf] => [
    `will-delivery-${kind}`,
    ({ latencies }) => latencies.willDelivery[kind],
  ]),
];

/** As many points between 99 % and 99.5 % as between 0 % and 50 %: the default of HdrHistogram's own tools. */
const TICKS_PER_HALF_DISTANCE = 5;

/** The histograms count in microseconds. */
const UNITS_PER_MS = 1000;

function percentileDistribution({ histogram }: LatencyResult): string {
  return decodeFromCompressedBase64(histogram).outputPercentileDistribution(
    TICKS_PER_HALF_DISTANCE,
    UNITS_PER_MS,
  );
}
