/** The application of a device that runs the plain core: publishes numbered messages and takes numbered ones, at each QoS. */

import { Event } from "../../../firmware/core/abi.ts";
import type { Session } from "../../../host/src/core/session.ts";
import type { RandomStream } from "../random.ts";
import type { Streams } from "./checks/streams.ts";
import type { PublishPacket, WillMessage } from "./client-packets.ts";
import type { Clock } from "./clock.ts";
import { type Device, type DeviceApp, isBufferFull } from "./device.ts";
import { chance, type Purpose, randomDelayMs, randomStream } from "./streams.ts";

const QOS_LEVELS = [0, 1, 2] as const;

/** What the device remembers of its own: in its note if it is durable. */
interface AppState {
  /** The number of the next message to publish, at each QoS. */
  readonly next: [number, number, number];
  /** The highest number that was taken, at each QoS. */
  readonly highest: [number, number, number];
}

/** Six u32. */
const NOTE_LENGTH = 24;

const PADDING_LENGTH_MAX = 60;

export interface PlainAppOptions {
  readonly device: Device;
  readonly clock: Clock;
  readonly seed: number;
  readonly streams: Streams;
  /** Between two messages at one QoS, on average. */
  readonly publishMeanMs: number;
  /** QoS levels at which it publishes. */
  readonly publishedQos: readonly number[];
  /** Nothing new is published from then on. */
  readonly endMs: number;
}

export class PlainApp implements DeviceApp {
  nextWorkMs = Number.POSITIVE_INFINITY;
  #state: AppState = freshState();
  readonly #options: PlainAppOptions;
  readonly #random: readonly RandomStream[];
  readonly #padding: RandomStream;
  readonly #dueAtMs: [number, number, number];
  #lifeNumber = 0;
  #connectionNumber = 0;
  /** The session that an earlier life left at the server is gone, or was never there. */
  #hasDiscarded = false;
  #isSubscriptionDue = false;

  constructor(options: PlainAppOptions) {
    this.#options = options;
    const { seed, device } = options;
    const purposes: Purpose[] = ["stream0", "stream1", "stream2"];
    this.#random = purposes.map((purpose) => randomStream(seed, device.index, purpose));
    this.#padding = randomStream(seed, device.index, "padding");
    this.#dueAtMs = [0, 0, 0];
    for (const qos of QOS_LEVELS) this.#dueAtMs[qos] = this.#nextDueMs(qos);
  }

  get wantsCleanSession(): boolean {
    return this.#options.device.plan.kind === "clean" || this.#isDiscarding;
  }

  /** Clean Session 1 and DISCONNECT: so a device without memory gets rid of its old session (3.1.2.4). */
  get #isDiscarding(): boolean {
    return this.#options.device.plan.kind === "volatile" && !this.#hasDiscarded;
  }

  begin(session: Session, lifeNumber: number): void {
    this.#lifeNumber = lifeNumber;
    this.#connectionNumber = 0;
    this.#hasDiscarded = false;
    this.#isSubscriptionDue = false;
    this.#state = freshState();
    session.setLimits(this.#options.device.plan.inflightMax);
    this.#planWork();
  }

  restored(note: Uint8Array): void {
    if (note.length === NOTE_LENGTH) this.#state = readState(note);
    this.#options.streams.restored(this.#options.device.index, this.#state.highest);
  }

  prepareWill(session: Session): WillMessage {
    const { device } = this.#options;
    const will = {
      topic: `will/${device.index}`,
      payload: `${this.#lifeNumber}.${++this.#connectionNumber}`,
      qos: device.plan.willQos,
      retain: device.plan.willRetain,
    };
    session.setWill({ ...will, qos: device.plan.willQos as 0 | 1 | 2 });
    return will;
  }

  event(event: number, session: Session): void {
    switch (event) {
      case Event.Connected:
        this.#connected(session);
        break;
      case Event.Message:
        this.#take(session);
        break;
      case Event.Dropped:
        this.#dropped(session);
        break;
      default:
        break;
    }
  }

  work(session: Session): boolean {
    const { clock, device } = this.#options;
    if (this.#isSubscriptionDue && device.isConnected && this.#subscribe(session)) return true;
    if (clock.nowMs < this.nextWorkMs) return false;
    const isAllowed = !this.#isDiscarding;
    let hasPublished = false;
    for (const qos of QOS_LEVELS) {
      if (hasPublished || clock.nowMs < this.#dueAtMs[qos]) continue;
      this.#dueAtMs[qos] = this.#nextDueMs(qos);
      if (isAllowed) hasPublished = this.#publish(session, qos);
    }
    this.#planWork();
    return hasPublished;
  }

  nextNumbers(): readonly number[] {
    return [...this.#state.next];
  }

  #connected(session: Session): void {
    const { device } = this.#options;
    if (this.#isDiscarding) {
      this.#hasDiscarded = true;
      session.disconnect(device.nowMs);
      return;
    }
    this.#isSubscriptionDue = true;
  }

  #subscribe(session: Session): boolean {
    const { device } = this.#options;
    const topicFilter =
      device.index % 2 === 0 ? `down/${device.index}/+` : `down/${device.index}/#`;
    try {
      session.subscribe([{ topicFilter, qos: 2 }], device.nowMs);
    } catch (error) {
      if (!isBufferFull(error)) throw error;
      return false;
    }
    this.#isSubscriptionDue = false;
    return true;
  }

  /** A message counts from the moment that its batch, with this note, is in flash. False if there is no room for it. */
  #publish(session: Session, qos: 0 | 1 | 2): boolean {
    const { device } = this.#options;
    const number = this.#state.next[qos];
    const padding = "x".repeat(this.#padding.integer(0, PADDING_LENGTH_MAX));
    const payload = `${this.#lifeNumber}.${number}.${padding}`;
    try {
      session.publish({ topic: `up/${device.index}/${qos}`, payload, qos });
    } catch (error) {
      if (!isBufferFull(error)) throw error;
      return false;
    }
    this.#state.next[qos]++;
    this.#keepNote();
    return true;
  }

  #take(session: Session): void {
    const { device, streams } = this.#options;
    const message = session.message();
    if (message.topic.endsWith("/ignored")) return;
    const payload = new TextDecoder().decode(message.payload);
    const { qos, number } = streams.taken(device.index, message.topic, payload);
    this.#state.highest[qos] = Math.max(this.#state.highest[qos], number);
    this.#keepNote();
  }

  /** At QoS 1 it goes again; at QoS 2 nobody knows whether it arrived, and it is let go. */
  #dropped(session: Session): void {
    const { device, streams } = this.#options;
    const topic = session.topic();
    if (topic === "") {
      const message = device.conversation.exchanges.messageOf(session.packetId);
      if (message !== undefined) streams.doubt(message);
      return;
    }
    const { qos } = session.message();
    const payload = new TextDecoder().decode(session.payload());
    if (qos === 1) session.requeue();
    else streams.doubt({ topic, payload } as PublishPacket);
  }

  #keepNote(): void {
    this.#options.device.keepNote(writeState(this.#state));
  }

  #nextDueMs(qos: 0 | 1 | 2): number {
    const { clock, endMs, publishMeanMs, publishedQos } = this.#options;
    const random = this.#random[qos] as RandomStream;
    // Now and then several at once, so that they are under way together.
    const meanMs = chance(random, 1 / 3) ? publishMeanMs / 50 : publishMeanMs * 1.5;
    const dueAtMs = clock.nowMs + Math.ceil(randomDelayMs(random, meanMs));
    return publishedQos.includes(qos) && dueAtMs < endMs ? dueAtMs : Number.POSITIVE_INFINITY;
  }

  #planWork(): void {
    this.nextWorkMs = Math.min(...this.#dueAtMs);
  }
}

function freshState(): AppState {
  return { next: [1, 1, 1], highest: [0, 0, 0] };
}

function writeState({ next, highest }: AppState): Uint8Array {
  const bytes = new Uint8Array(NOTE_LENGTH);
  const view = new DataView(bytes.buffer);
  for (const qos of QOS_LEVELS) {
    view.setUint32(4 * qos, next[qos]);
    view.setUint32(12 + 4 * qos, highest[qos]);
  }
  return bytes;
}

function readState(bytes: Uint8Array): AppState {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const state = freshState();
  for (const qos of QOS_LEVELS) {
    state.next[qos] = view.getUint32(4 * qos);
    state.highest[qos] = view.getUint32(12 + 4 * qos);
  }
  return state;
}
