/** The traffic of the kill rounds: who counts what the device says, and who counts for the device to listen. */

import { setTimeout as sleep } from "node:timers/promises";
import { MqttClient } from "../../host/src/client/mqtt-client.ts";
import { type MosquittoSub, mosquittoSub } from "./brokers.ts";
import type { DurableDevice } from "./durable-device.ts";
import { type Faults, faultsOf } from "./kill-rounds.ts";

const UP_TOPIC = "kill/up";
const DOWN_TOPIC = "kill/down";

/** Slower than the device can take it after each of its deaths. */
const TURN_MS = 15;

/** The last messages on kill/up. */
const END_OF_DEVICE = "end of device";
const END_OF_ALL = "end of all";

/** The device's note, which it writes to stdout as the last it does. */
interface DeviceNote {
  /** The last number that was published. */
  sentNumber: number;
  /** The highest number that came. */
  takenNumber: number;
  /** Those below it that did not come. */
  missedNumbers: number[];
  doubledNumbers: number[];
  /** How many came behind a higher one. */
  lateCount: number;
}

/** What came through, as the subscriber and the device counted it. */
export interface Account {
  upCount: number;
  downCount: number;
  up: Faults;
  down: DeviceNote;
  /** What the publisher had to give up. */
  droppedCount: number;
}

/** A publisher on kill/down at QoS 2, which lives in this process, and an independent subscriber on kill/up: `mosquitto_sub`. */
export class KillTraffic {
  readonly #device: DurableDevice;
  readonly #subscriber: MosquittoSub;
  readonly #publisher: MqttClient;
  #downCount = 0;
  #droppedCount = 0;
  #publishing: Promise<void> | undefined;
  #isEnding = false;

  /** `counterArgs` are more arguments of mosquitto_sub. Stop it in a `finally` or an `afterEach`. */
  static async start(
    port: number,
    device: DurableDevice,
    counterArgs: string[],
  ): Promise<KillTraffic> {
    const args = ["-i", "counter", "-t", UP_TOPIC, ...counterArgs];
    const subscriber = await mosquittoSub(port, args);
    const traffic = new KillTraffic(port, device, subscriber);
    await traffic.#publisher.connect();
    // aedes keeps a session only if there is a subscription in it.
    await traffic.#publisher.subscribe("kill/nothing", { qos: 2 });
    traffic.#publishing = traffic.#publish();
    return traffic;
  }

  private constructor(port: number, device: DurableDevice, subscriber: MosquittoSub) {
    this.#device = device;
    this.#subscriber = subscriber;
    this.#publisher = new MqttClient({
      url: `mqtt://127.0.0.1:${port}`,
      clientId: "publisher",
      cleanSession: false,
      reconnect: { baseMs: 40, maxMs: 40 },
    });
    this.#publisher.on("dropped", () => {
      this.#droppedCount++;
    });
  }

  /** The numbers that came so far. */
  get upNumbers(): number[] {
    return this.#heard.map((payload) => Number.parseInt(payload, 10)).filter(Number.isFinite);
  }

  /**
   * Says "end" behind all numbers, waits until the device has heard that and is heard saying so, and ends the device.
   * What has not come after `limitMs` is lost.
   */
  async settle(limitMs: number): Promise<Account> {
    this.#isEnding = true;
    await this.#publishing;
    await this.#publisher.publish(DOWN_TOPIC, "end", { qos: 2 });
    await this.#hears(END_OF_DEVICE, limitMs);
    await this.#device.end();

    // What is published behind the end of the device comes behind everything that was under way.
    await this.#publisher.publish(UP_TOPIC, END_OF_ALL, { qos: 2 });
    await this.#hears(END_OF_ALL, limitMs);

    const note: DeviceNote = JSON.parse(/\{.*\}$/u.exec(this.#device.stdout)?.[0] ?? "");
    return {
      upCount: note.sentNumber,
      downCount: this.#downCount,
      up: faultsOf(this.upNumbers, note.sentNumber),
      down: note,
      droppedCount: this.#droppedCount,
    };
  }

  /** Harmless a second time. */
  async stop(): Promise<void> {
    this.#isEnding = true;
    this.#publisher.abort();
    await this.#subscriber.stop();
  }

  get #heard(): string[] {
    return this.#subscriber.exchangedMessages.map(({ payload }) => payload);
  }

  async #hears(payload: string, limitMs: number): Promise<void> {
    const endAtMs = Date.now() + limitMs;
    while (Date.now() < endAtMs && !this.#heard.includes(payload)) {
      await sleep(20);
    }
  }

  /** From the moment on when the device has subscribed. */
  async #publish(): Promise<void> {
    while (!this.#isEnding) {
      await sleep(TURN_MS);
      if (!this.#device.stdout.includes("ready")) continue;
      const number = this.#downCount + 1;
      if (this.#publisher.tryPublish(DOWN_TOPIC, `${number}`, { qos: 2 })) this.#downCount = number;
    }
  }
}
