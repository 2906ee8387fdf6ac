/** The latencies of a run: those of the span that goes on, and all of them. */

import { LatencyHistogram } from "../histogram.ts";
import { byLatencyName, LATENCY_NAMES, type Latencies } from "../run/run-sample.ts";

/** What is measured is recorded once, in the span; `turn` adds it to the total. */
export class LatencyMeter {
  readonly span: Latencies = noLatencies();
  readonly totals: Latencies = noLatencies();

  /** Adds the span to the totals. `look` sees it first: it is empty afterwards. */
  turn(look: (span: Latencies) => void = () => {}): void {
    for (const name of LATENCY_NAMES) this.totals[name].merge(this.span[name]);
    look(this.span);
    for (const name of LATENCY_NAMES) this.span[name].reset();
  }
}

/** Histograms with nothing in them. */
export function noLatencies(): Latencies {
  return byLatencyName(() => new LatencyHistogram());
}
