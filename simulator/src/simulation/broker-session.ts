/** The Session State that the model broker keeps of one client (MQTT 3.1.1, 4.1): subscriptions, and both directions of QoS. */

import * as packets from "./server-packets.ts";
import { matchesFilter } from "./topic-filter.ts";

/** An Application Message as the broker passes it on. */
export interface BrokerMessage {
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly retain: boolean;
}

/** A message on its way to a client at QoS 1 or 2. */
export interface Delivery {
  readonly message: BrokerMessage;
  readonly qos: number;
  /** 0 until it is sent for the first time. */
  packetId: number;
  /** PUBLISH until PUBACK or PUBREC; then, at QoS 2, PUBREL until PUBCOMP. */
  step: "unsent" | "publish" | "pubrel";
}

/** How a broker numbers what it sends: both ways are common. */
export interface PacketIdPolicy {
  readonly first: number;
  /** The next one that is free, or the lowest. */
  readonly order: "ascending" | "lowest";
}

/** Unacknowledged messages to one client at once. Devices keep room for more than this at QoS 2. */
const BROKER_WINDOW_COUNT = 6;

const PACKET_ID_MAX = 65_535;

export class BrokerSession {
  readonly clientId: string;
  readonly isClean: boolean;
  /** Granted QoS by Topic Filter. */
  readonly subscriptions = new Map<string, number>();
  /** In the order of their coming [MQTT-4.6.0-6]; those under way are in front. */
  readonly deliveries: Delivery[] = [];
  /** QoS 2 messages from the client that wait for PUBREL, by Packet Identifier. */
  readonly incoming = new Map<number, BrokerMessage>();
  readonly #packetIds: PacketIdPolicy;
  #nextPacketId: number;

  constructor(clientId: string, isClean: boolean, packetIds: PacketIdPolicy) {
    this.clientId = clientId;
    this.isClean = isClean;
    this.#packetIds = packetIds;
    this.#nextPacketId = packetIds.first;
  }

  /** The QoS at which this client gets a message, undefined if it has not subscribed [MQTT-3.3.5-1] [MQTT-3.8.4-6]. */
  grantedQos(message: BrokerMessage): number | undefined {
    let granted: number | undefined;
    for (const [filter, qos] of this.subscriptions) {
      if (!matchesFilter(filter, message.topic)) continue;
      granted = Math.max(granted ?? 0, Math.min(qos, message.qos));
    }
    return granted;
  }

  queue(message: BrokerMessage, qos: number): void {
    this.deliveries.push({ message, qos, packetId: 0, step: "unsent" });
  }

  /** What must be sent again on a new connection, with the same identifiers, in the same order [MQTT-4.4.0-1]. */
  resend(write: (bytes: Uint8Array) => void): void {
    for (const delivery of this.deliveries) {
      if (delivery.step === "publish") write(publishBytes(delivery, true)); // [MQTT-3.3.1-1]
      if (delivery.step === "pubrel") write(packets.pubrel(delivery.packetId));
    }
  }

  /** Sends what waits, as far as the window allows. */
  sendWaiting(write: (bytes: Uint8Array) => void): void {
    for (const delivery of this.deliveries.slice(0, BROKER_WINDOW_COUNT)) {
      if (delivery.step !== "unsent") continue;
      delivery.packetId = this.#takePacketId();
      delivery.step = "publish";
      write(publishBytes(delivery, false));
    }
  }

  /** PUBACK at QoS 1, PUBCOMP at QoS 2. An answer that matches nothing comes from a device that sends it again. */
  finish(packetId: number, step: "publish" | "pubrel"): void {
    const qos = step === "publish" ? 1 : 2;
    const index = this.deliveries.findIndex(
      (delivery) =>
        delivery.packetId === packetId && delivery.step === step && delivery.qos === qos,
    );
    if (index >= 0) this.deliveries.splice(index, 1);
  }

  /** PUBREC: from now on PUBREL instead of PUBLISH [MQTT-4.3.3-1]. False if it matches nothing. */
  release(packetId: number): boolean {
    const delivery = this.deliveries.find(
      (candidate) => candidate.packetId === packetId && candidate.qos === 2,
    );
    if (delivery === undefined || delivery.step === "unsent") return false;
    delivery.step = "pubrel";
    return true;
  }

  /** One that is not in use [MQTT-2.3.1-4]. */
  #takePacketId(): number {
    if (this.#packetIds.order === "lowest") this.#nextPacketId = this.#packetIds.first;
    for (;;) {
      const packetId = this.#nextPacketId;
      this.#nextPacketId = (packetId % PACKET_ID_MAX) + 1;
      if (!this.deliveries.some((delivery) => delivery.packetId === packetId)) return packetId;
    }
  }
}

function publishBytes(delivery: Delivery, dup: boolean): Uint8Array {
  const { message, qos, packetId } = delivery;
  return packets.publish({ ...message, qos, packetId, dup, retain: false }); // [MQTT-3.3.1-9]
}
