/** Readings that were due and that nobody published: how long they would have waited, had there been room for them. */

/** Readings of one device, evenly spread, behind the same messages. */
interface Batch {
  count: number;
  firstDueAtMs: number;
  lastDueAtMs: number;
  /** Messages that went before them and still wait for their acknowledgement. */
  aheadCount: number;
}

/**
 * A reading for which the outbox has no room is measured all the same: with more room it would have been acknowledged no
 * sooner than what was before it in the outbox. Without these, the worse a broker stalls, the fewer bad latencies it would
 * have. It is what HdrHistogram calls the correction for coordinated omission, from the schedule instead of from a guess.
 */
export class UnpublishedReadings {
  /** By device. Few devices have any, and a device no more batches than its outbox has messages. */
  readonly #batches = new Map<number, Batch[]>();

  /** A reading was due, while `aheadCount` messages of its device waited for their acknowledgement. */
  add(device: number, dueAtMs: number, aheadCount: number): void {
    if (aheadCount === 0) return; // nothing will tell when there would have been room
    const batches = this.#batches.get(device) ?? [];
    if (batches.length === 0) this.#batches.set(device, batches);
    const last = batches.at(-1);
    if (last?.aheadCount === aheadCount) {
      last.count++;
      last.lastDueAtMs = dueAtMs;
    } else {
      batches.push({ count: 1, firstDueAtMs: dueAtMs, lastDueAtMs: dueAtMs, aheadCount });
    }
  }

  /** A message of this device was acknowledged, and `waitingCount` still wait; `each` gets what has waited long enough. */
  acknowledged(device: number, waitingCount: number, each: (dueAtMs: number) => void): void {
    const batches = this.#batches.get(device);
    if (batches === undefined) return;
    for (const batch of batches) batch.aheadCount = Math.min(batch.aheadCount - 1, waitingCount);
    while (batches[0] !== undefined && batches[0].aheadCount <= 0) {
      for (const dueAtMs of dueTimes(batches.shift() as Batch)) each(dueAtMs);
    }
    if (batches.length === 0) this.#batches.delete(device);
  }

  /** The device has lost what was before them. */
  forget(device: number): void {
    this.#batches.delete(device);
  }
}

function* dueTimes({ count, firstDueAtMs, lastDueAtMs }: Batch): Generator<number> {
  const stepMs = count > 1 ? (lastDueAtMs - firstDueAtMs) / (count - 1) : 0;
  for (let index = 0; index < count; index++) yield firstDueAtMs + index * stepMs;
}

/** What to say of readings for which connected devices had no room; nothing if there are none. */
export function pressedSentences(count: number): string[] {
  if (count === 0) return [];
  return [
    `Readings that were dropped, because the broker did not take what waited in the outbox: ${count}. From due to acknowledged they count with the time that they would have waited at least; the subscriber never saw them. More room: publish.outbox in the scenario.`,
  ];
}

/** What to say of readings that nobody took. */
export function missedSentences(count: number): string[] {
  if (count === 0) return [];
  return [
    `Readings that were never taken, because the load generator was busy for longer than an interval: ${count}. The broker is not to blame for them, nor for the latencies at that time.`,
  ];
}
