/** The other end of all conversations: publishes numbered messages to the devices from within the broker, and never fails. */

import type { RandomStream } from "../random.ts";
import { commandOf, type Streams } from "./checks/streams.ts";
import type { Clock } from "./clock.ts";
import type { Device } from "./device.ts";
import type { ModelBroker } from "./model-broker.ts";
import { chance, type Purpose, randomDelayMs, randomStream } from "./streams.ts";

const PADDING_LENGTH_MAX = 40;
/** Of QoS 2 messages; another, that no application wants, comes behind it: the module is on its own with it. */
const IGNORED_SHARE = 1 / 4;

const PURPOSES: readonly Purpose[] = ["stream3", "stream4", "stream5"];

export interface PeerOptions {
  readonly broker: ModelBroker;
  readonly clock: Clock;
  readonly streams: Streams;
  readonly seed: number;
  readonly publishMeanMs: number;
  /** QoS levels at which it publishes. */
  readonly publishedQos: readonly number[];
  readonly endMs: number;
}

export class Peer {
  readonly #options: PeerOptions;

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  /** Publishes to this device from now on. */
  serve(device: Device): void {
    if (device.plan.isThermometer) {
      this.#commandLater(device, 1, randomStream(this.#options.seed, device.index, "stream4"));
      return;
    }
    for (const qos of this.#options.publishedQos) {
      const purpose = PURPOSES[qos] ?? "stream3";
      this.#publishLater(device, qos, 1, randomStream(this.#options.seed, device.index, purpose));
    }
  }

  #publishLater(device: Device, qos: number, number: number, random: RandomStream): void {
    this.#later(random, () => {
      const padding = "y".repeat(random.integer(0, PADDING_LENGTH_MAX));
      const message = {
        topic: `down/${device.index}/${qos}`,
        payload: `${number}.${padding}`,
        qos,
        retain: false,
      };
      const { broker, streams } = this.#options;
      if (broker.isOwed(message)) streams.owe(message);
      broker.publish(message, "peer");
      if (qos === 2 && chance(random, IGNORED_SHARE)) {
        broker.publish({ ...message, topic: `down/${device.index}/ignored` }, "peer");
      }
      this.#publishLater(device, qos, number + 1, random);
    });
  }

  /** Each command names another interval, so that it can be told from the others. */
  #commandLater(device: Device, number: number, random: RandomStream): void {
    this.#later(random, () => {
      const topic = `motes/${device.clientId}/cmd`;
      const message = { topic, payload: commandOf(number), qos: 1, retain: false };
      const { broker, streams } = this.#options;
      if (broker.isOwed(message)) streams.owe(message);
      broker.publish(message, "peer");
      this.#commandLater(device, number + 1, random);
    });
  }

  #later(random: RandomStream, run: () => void): void {
    const { clock, publishMeanMs, endMs } = this.#options;
    const meanMs = chance(random, 1 / 3) ? publishMeanMs / 50 : publishMeanMs * 1.5;
    const delayMs = randomDelayMs(random, meanMs);
    if (clock.nowMs + delayMs < endMs) clock.after(delayMs, run);
  }
}
