/** What the tests of outputs share: samples of a run, a folder that goes away, a disk with a fault. */

import { mkdtempSync, rmSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LatencyHistogram } from "../../simulator/src/histogram.ts";
import { type OutputDisk, realDisk } from "../../simulator/src/outputs/file-target.ts";
import type { OutputsContext } from "../../simulator/src/outputs/output.ts";
import {
  LATENCY_NAMES,
  type Latencies,
  type LatencyName,
  type RunSample,
} from "../../simulator/src/run/run-sample.ts";

/** Names as somebody could write them who wishes the reader of an output ill. */
export const HOSTILE_NAMES = [
  `=HYPERLINK("http://x.example","y")`,
  "+1+cmd|' /C calc'!A0",
  "-2+3",
  "@SUM(A1)",
  `a,b;"c"`,
  "| a | b |\\|",
  "<script>alert(1)</script><!-- & ]]>",
  "`code` **bold** _it_ $x$ www.x.example [link](javascript:alert(1)) ![x](y) @octocat #1",
  'quote" and back\\slash {a="b"}',
  "日本語 😀 ñ",
];

type LatencyLists = Partial<Record<LatencyName, readonly number[]>>;

/** The sample of second `index`, counted from 0: each counter grows by ten and its place in the list each second. */
export function sampleAt(
  index: number,
  changes: Partial<RunSample> = {},
  {
    span = { connect: [1, 2.5], publishAckQos1: [3, 250] },
    totals = span,
  }: {
    span?: LatencyLists;
    totals?: LatencyLists;
  } = {},
): RunSample {
  const grown = (place: number) => (10 + place) * (index + 1);
  return {
    atMs: 1000 * (index + 1) + 0.1234,
    spanMs: 1000,
    phaseName: "steady",
    phaseIndex: 1,
    deviceCount: 100,
    connectedCount: 90,
    counters: {
      attempted: grown(0),
      connected: grown(1),
      reconnected: grown(2),
      failed: grown(3),
      refused: grown(4),
      lost: grown(5),
      published: grown(6),
      sent: grown(7),
      acknowledged: grown(8),
      received: grown(9),
      dropped: grown(10),
      faults: grown(11),
      willsExpected: grown(12),
      willsDelivered: grown(13),
      willsUnexpected: grown(14),
    },
    breakdown: {
      sentByQos: [grown(7), 0, 0],
      faults: {
        hang: {
          injected: grown(11),
          wills: {
            expected: grown(13),
            delivered: grown(13),
            missing: 0,
            early: 1,
            late: 2,
            doubled: 3,
            unexpected: 0,
            unjudged: 4,
          },
        },
      },
    },
    latencies: latenciesOf(span),
    totals: latenciesOf(totals),
    generator: { cpuPercent: 31.25, rssBytes: 123_456_789, eventLoopDelayMs: 4.5 },
    problems: [],
    ...changes,
  };
}

function latenciesOf(lists: LatencyLists): Latencies {
  const entries = LATENCY_NAMES.map((name) => {
    const histogram = new LatencyHistogram();
    for (const latencyMs of lists[name] ?? []) histogram.record(latencyMs);
    return [name, histogram];
  });
  return Object.fromEntries(entries) as Latencies;
}

/** A folder of its own, and how to remove it. */
export function scratchFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "wasmqtt-outputs-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A context that keeps what is said. */
export class RecordingOutputs implements OutputsContext {
  readonly scenario = { name: "storm", seed: 7 };
  readonly version = "1.2.3";
  readonly disk: OutputDisk;
  readonly printed: string[] = [];
  readonly notes: string[] = [];
  readonly warnings: string[] = [];

  constructor(disk: OutputDisk = realDisk) {
    this.disk = disk;
  }

  readonly unixMs = () => Date.UTC(2026, 10, 23, 1, 2, 3, 456);
  readonly print = (lines: string) => void this.printed.push(lines);
  readonly note = (text: string) => void this.notes.push(text);
  readonly warn = (text: string) => void this.warnings.push(text);
}

export function diskError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: as the test says`), { code });
}

/**
 * The real disk, but once `fails` says so a write puts down half of its bytes and fails with `code`.
 */
export function failingDisk(code: string, fails: (path: string) => boolean): OutputDisk {
  return {
    ...realDisk,
    open: async (path, flags, mode) => {
      const file = await realDisk.open(path, flags, mode);
      const { writeFile } = file;
      file.writeFile = async function (this: FileHandle, data) {
        if (!fails(String(path))) return writeFile.call(file, data);
        const bytes = Buffer.from(data as Uint8Array | string);
        await writeFile.call(file, bytes.subarray(0, Math.floor(bytes.length / 2)));
        throw diskError(code);
      };
      return file;
    },
  };
}
