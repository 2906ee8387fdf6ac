/** When each device published its last messages, and which of them wait for their acknowledgement: typed arrays for a whole fleet. */

/** In `#packetIds`: nothing waits here. */
const NONE = 0;

/** A packet identifier is below this. */
const PACKET_ID_LIMIT = 65_536;

/** Devices are numbered from 0; a packet identifier is never 0 [MQTT-2.3.1-1]. Times are the world's, in milliseconds. */
export class PublishTimes {
  /** Places from `#starts[device]` up to `#starts[device + 1]`; a message lies at its `seq` modulo their number. */
  readonly #starts: Uint32Array;
  readonly #seqs: Float64Array;
  readonly #packetIds: Uint16Array;
  readonly #dueAtMs: Float64Array;
  readonly #publishedAtMs: Float64Array;
  readonly #waitingCounts: Uint16Array;
  /** Of each device's places, the one where the next acknowledgement will most likely belong. */
  readonly #cursors: Uint16Array;
  /** What waits although its place was needed, by device and packet identifier. */
  readonly #crowded = new Map<number, { seq: number; dueAtMs: number; publishedAtMs: number }>();

  /** `placeCounts` says how many messages are remembered for each device. */
  constructor(placeCounts: readonly number[]) {
    this.#starts = new Uint32Array(placeCounts.length + 1);
    let total = 0;
    for (const [device, count] of placeCounts.entries()) {
      total += count;
      this.#starts[device + 1] = total;
    }
    // The last place is nobody's: see `#takeCrowded`.
    this.#seqs = new Float64Array(total + 1).fill(-1);
    this.#packetIds = new Uint16Array(total);
    this.#dueAtMs = new Float64Array(total + 1);
    this.#publishedAtMs = new Float64Array(total + 1);
    this.#waitingCounts = new Uint16Array(placeCounts.length);
    this.#cursors = new Uint16Array(placeCounts.length);
  }

  /** Remembers a message; `packetId` is 0 where no acknowledgement will come. */
  put(
    device: number,
    seq: number,
    packetId: number,
    { dueAtMs, publishedAtMs }: { dueAtMs: number; publishedAtMs: number },
  ): void {
    const place = this.#placeOf(device, seq);
    if (this.#packetIds[place] !== NONE) this.#moveOut(device, place);
    this.#seqs[place] = seq;
    this.#packetIds[place] = packetId;
    this.#dueAtMs[place] = dueAtMs;
    this.#publishedAtMs[place] = publishedAtMs;
    if (packetId !== NONE) this.#count(device, 1);
  }

  /** The place of the message that waits under `packetId`, which waits no longer; undefined if there is none. */
  take(device: number, packetId: number): number | undefined {
    const start = this.#starts[device] as number;
    const count = (this.#starts[device + 1] as number) - start;
    // Acknowledgements come in the order of the messages [MQTT-4.6.0-2]: the next one waits behind the last.
    const first = this.#cursors[device] as number;
    for (let step = 0; step < count; step++) {
      const offset = (first + step) % count;
      if (this.#packetIds[start + offset] !== packetId) continue;
      this.#packetIds[start + offset] = NONE;
      this.#cursors[device] = (offset + 1) % count;
      this.#count(device, -1);
      return start + offset;
    }
    return this.#crowded.size === 0 ? undefined : this.#takeCrowded(device, packetId);
  }

  /** Nothing of this device waits any longer. */
  forget(device: number): void {
    this.#packetIds.fill(NONE, this.#starts[device], this.#starts[device + 1]);
    this.#waitingCounts[device] = 0;
    if (this.#crowded.size === 0) return;
    for (const key of this.#crowded.keys()) {
      if (Math.floor(key / PACKET_ID_LIMIT) === device) this.#crowded.delete(key);
    }
  }

  /** Messages of this device that wait for their acknowledgement. */
  waitingCount(device: number): number {
    return this.#waitingCounts[device] as number;
  }

  /** All messages of this device that wait for their acknowledgement, in no order. */
  eachWaiting(device: number, each: (dueAtMs: number, publishedAtMs: number) => void): void {
    const end = this.#starts[device + 1] as number;
    for (let place = this.#starts[device] as number; place < end; place++) {
      if (this.#packetIds[place] !== NONE) each(this.dueAtMs(place), this.publishedAtMs(place));
    }
    for (const [key, { dueAtMs, publishedAtMs }] of this.#crowded) {
      if (Math.floor(key / PACKET_ID_LIMIT) === device) each(dueAtMs, publishedAtMs);
    }
  }

  /** The place of a message that is remembered. */
  find(device: number, seq: number): number | undefined {
    const place = this.#placeOf(device, seq);
    return this.#seqs[place] === seq ? place : undefined;
  }

  seq(place: number): number {
    return this.#seqs[place] as number;
  }

  /** When the reading should have been taken. */
  dueAtMs(place: number): number {
    return this.#dueAtMs[place] as number;
  }

  publishedAtMs(place: number): number {
    return this.#publishedAtMs[place] as number;
  }

  /** More messages wait than the device has places: the one that lies in this place waits elsewhere. */
  #moveOut(device: number, place: number): void {
    this.#crowded.set(device * PACKET_ID_LIMIT + (this.#packetIds[place] as number), {
      seq: this.seq(place),
      dueAtMs: this.dueAtMs(place),
      publishedAtMs: this.publishedAtMs(place),
    });
  }

  /** The place of a message that waited elsewhere; the next one takes it over. */
  #takeCrowded(device: number, packetId: number): number | undefined {
    const key = device * PACKET_ID_LIMIT + packetId;
    const message = this.#crowded.get(key);
    if (message === undefined) return undefined;
    this.#crowded.delete(key);
    this.#count(device, -1);
    const place = this.#seqs.length - 1;
    this.#seqs[place] = message.seq;
    this.#dueAtMs[place] = message.dueAtMs;
    this.#publishedAtMs[place] = message.publishedAtMs;
    return place;
  }

  #placeOf(device: number, seq: number): number {
    const start = this.#starts[device] as number;
    return start + (seq % ((this.#starts[device + 1] as number) - start));
  }

  #count(device: number, change: 1 | -1): void {
    this.#waitingCounts[device] = (this.#waitingCounts[device] as number) + change;
  }
}
