/** Virtual time: what is to happen, in the order of its time, and of its planning where times are equal. */

/** Something planned. */
export interface Alarm {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  /** Cleared: its time passes without it. */
  isOff: boolean;
}

/** A binary heap of alarms; no promise, no real timer. Times are milliseconds since the world began. */
export class Clock {
  nowMs = 0;
  /** Alarms that went off so far. */
  stepCount = 0;
  readonly #heap: Alarm[] = [];
  #order = 0;

  /** Plans `run` in `delayMs` milliseconds; a fraction is cut off. */
  after(delayMs: number, run: () => void): Alarm {
    const atMs = this.nowMs + Math.max(0, Math.floor(delayMs));
    const alarm = { atMs, order: this.#order++, run, isOff: false };
    this.#push(alarm);
    return alarm;
  }

  /** Lets everything happen up to and including `untilMs`. What is thrown comes out here. */
  runUntil(untilMs: number): void {
    for (let alarm = this.#heap[0]; alarm !== undefined; alarm = this.#heap[0]) {
      if (alarm.atMs > untilMs) break;
      this.#pop();
      if (alarm.isOff) continue;
      this.nowMs = alarm.atMs;
      this.stepCount++;
      alarm.run();
    }
    this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #push(alarm: Alarm): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(alarm);
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex] as Alarm;
      if (!isBefore(alarm, parent)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = alarm;
  }

  /** Takes the first one out. */
  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Alarm;
    const length = heap.length;
    if (length === 0) return;
    let index = 0;
    for (let childIndex = 1; childIndex < length; childIndex = 2 * index + 1) {
      const right = childIndex + 1;
      if (right < length && isBefore(heap[right] as Alarm, heap[childIndex] as Alarm)) {
        childIndex = right;
      }
      const child = heap[childIndex] as Alarm;
      if (!isBefore(child, last)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
  }
}

function isBefore(first: Alarm, second: Alarm): boolean {
  return first.atMs < second.atMs || (first.atMs === second.atMs && first.order < second.order);
}
