/** Thousands of alarms on one timer of the world: a wheel of slots, without an object for each alarm. */

import type { Timer, World } from "../../../host/src/world.ts";

/** One slot for each millisecond; an alarm further away than this goes round more than once. A power of two. */
const SLOT_COUNT = 4096;

/** So many alarms of later turns are looked at to find the next one. To wake in vain now and then is cheaper than more. */
const LOOK_COUNT_MAX = 256;

/** In `#slots`: set nowhere. */
const NOWHERE = -1;
/** In `#slots`: taken off the wheel, and about to ring. */
const RINGING = -2;

/** Alarms are numbered from 0. Each is set once at a time; one that is cleared or set anew does not ring before. */
export class TimerWheel {
  readonly #world: World;
  readonly #ring: (alarm: number, nowMs: number, dueAtMs: number) => void;
  readonly #rung: () => void;
  readonly #dueAtMs: Float64Array;
  readonly #slots: Int16Array;
  /** Doubly linked lists, one for each slot, ended by -1. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads = new Int32Array(SLOT_COUNT).fill(-1);
  /** Those that ring in this turn. */
  readonly #due: number[] = [];
  #setCount = 0;
  /** The whole millisecond up to which all slots were looked at. */
  #turnedToMs = 0;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #isTurning = false;

  /** `rung` is called when all that rings at one time has rung. */
  constructor(
    world: World,
    alarmCount: number,
    ring: (alarm: number, nowMs: number, dueAtMs: number) => void,
    rung: () => void = () => {},
  ) {
    this.#world = world;
    this.#ring = ring;
    this.#rung = rung;
    this.#dueAtMs = new Float64Array(alarmCount);
    this.#slots = new Int16Array(alarmCount).fill(NOWHERE);
    this.#next = new Int32Array(alarmCount);
    this.#previous = new Int32Array(alarmCount);
    this.#turnedToMs = Math.floor(world.nowMs());
  }

  isSet(alarm: number): boolean {
    return (this.#slots[alarm] as number) >= 0;
  }

  /** When it rings, perhaps still in this turn; Infinity if it will not. */
  dueAtMs(alarm: number): number {
    if (this.#slots[alarm] === NOWHERE) return Number.POSITIVE_INFINITY;
    return this.#dueAtMs[alarm] as number;
  }

  /** Rings at this time of the world's clock, or as soon as it can; Infinity clears. */
  set(alarm: number, atMs: number): void {
    this.clear(alarm);
    if (atMs === Number.POSITIVE_INFINITY) return;
    this.#dueAtMs[alarm] = atMs;
    // What is overdue lies where the next turn looks first.
    this.#link(alarm, Math.max(Math.floor(atMs), this.#turnedToMs) % SLOT_COUNT);
    if (!this.#isTurning && atMs < this.#timerAtMs) this.#setTimer(atMs);
  }

  clear(alarm: number): void {
    if (this.isSet(alarm)) this.#unlink(alarm);
    this.#slots[alarm] = NOWHERE;
  }

  /** Clears all alarms. */
  stop(): void {
    for (let alarm = 0; alarm < this.#slots.length; alarm++) this.clear(alarm);
    this.#timer?.clear();
    this.#timer = undefined;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
  }

  #link(alarm: number, slot: number): void {
    const head = this.#heads[slot] as number;
    this.#next[alarm] = head;
    this.#previous[alarm] = -1;
    if (head !== -1) this.#previous[head] = alarm;
    this.#heads[slot] = alarm;
    this.#slots[alarm] = slot;
    this.#setCount++;
  }

  #unlink(alarm: number): void {
    const next = this.#next[alarm] as number;
    const previous = this.#previous[alarm] as number;
    if (next !== -1) this.#previous[next] = previous;
    if (previous === -1) this.#heads[this.#slots[alarm] as number] = next;
    else this.#next[previous] = next;
    this.#setCount--;
  }

  #setTimer(atMs: number): void {
    this.#timer?.clear();
    this.#timerAtMs = atMs;
    const delayMs = Math.max(0, atMs - this.#world.nowMs());
    this.#timer = this.#world.setTimer(delayMs, this.#turn);
  }

  readonly #turn = (): void => {
    // It has fired. To clear it all the same would cost Node a quarter of what a turn takes.
    this.#timer = undefined;
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#world.nowMs();
    this.#takeDue(nowMs);
    this.#isTurning = true;
    try {
      for (const alarm of this.#due) {
        if (this.#slots[alarm] !== RINGING) continue;
        this.#slots[alarm] = NOWHERE;
        this.#ring(alarm, nowMs, this.#dueAtMs[alarm] as number);
      }
      this.#rung();
    } finally {
      this.#isTurning = false;
      this.#due.length = 0;
      const nextMs = this.#nextDueAtMs();
      if (nextMs < this.#timerAtMs) this.#setTimer(nextMs);
    }
  };

  /** Takes what is due off the wheel, in the order of its times. */
  #takeDue(nowMs: number): void {
    const toMs = Math.floor(nowMs);
    const fromMs = Math.max(this.#turnedToMs, toMs - SLOT_COUNT + 1);
    for (let ms = fromMs; ms <= toMs; ms++) {
      let alarm = this.#heads[ms % SLOT_COUNT] as number;
      while (alarm !== -1) {
        const next = this.#next[alarm] as number;
        if ((this.#dueAtMs[alarm] as number) <= nowMs) {
          this.#unlink(alarm);
          this.#slots[alarm] = RINGING;
          this.#addDue(alarm);
        }
        alarm = next;
      }
    }
    this.#turnedToMs = toMs;
  }

  /** Keeps `#due` in order. Slots are taken in theirs, so an alarm belongs near the end. */
  #addDue(alarm: number): void {
    const due = this.#due;
    const atMs = this.#dueAtMs[alarm] as number;
    let place = due.length;
    for (; place > 0; place--) {
      const before = due[place - 1] as number;
      const beforeAtMs = this.#dueAtMs[before] as number;
      if (beforeAtMs < atMs || (beforeAtMs === atMs && before < alarm)) break;
      due[place] = before;
    }
    due[place] = alarm;
  }

  /** Infinity if nothing is set; no later than the next alarm, but perhaps before it. */
  #nextDueAtMs(): number {
    if (this.#setCount === 0) return Number.POSITIVE_INFINITY;
    let step = 0;
    for (let lookCount = 0; step < SLOT_COUNT && lookCount < LOOK_COUNT_MAX; step++) {
      let dueAtMs = Number.POSITIVE_INFINITY;
      let alarm = this.#heads[(this.#turnedToMs + step) % SLOT_COUNT] as number;
      for (; alarm !== -1; alarm = this.#next[alarm] as number) {
        dueAtMs = Math.min(dueAtMs, this.#dueAtMs[alarm] as number);
        lookCount++;
      }
      // What is to go round once more does not hide what comes in a later slot.
      if (dueAtMs < this.#turnedToMs + step + 1) return dueAtMs;
    }
    return this.#turnedToMs + step;
  }
}
