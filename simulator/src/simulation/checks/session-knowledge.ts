/**
 * Whether a device and the broker mean the same session. MQTT 3.1.1 cannot always tell: a server without the session
 * makes a new one at CONNECT, and if that CONNACK is lost, by the network or by a loss of power before the device could
 * write it down, the next one says Session Present. What is excused then, and nothing else, is decided here.
 */

import type { BrokerSession } from "../broker-session.ts";
import type { PublishPacket } from "../client-packets.ts";
import type { ServerPacket } from "../server-packet-reader.ts";
import type { Exchanges } from "./exchanges.ts";

export interface KnowledgeOptions {
  readonly isDurable: boolean;
  readonly exchanges: () => Exchanges;
  /** The broker's session of this device now. */
  readonly currentSession: () => BrokerSession | undefined;
  /** A QoS 2 message that was sent in the session that is gone: it may be missing, or come twice. */
  readonly doubtSent: (message: PublishPacket) => void;
  /** A new QoS 2 message whose identifier the device holds for an old one: it takes it for a repetition. */
  readonly mistaken: (message: Extract<ServerPacket, { type: "PUBLISH" }>) => void;
}

export class SessionKnowledge {
  /** The device takes a new session for the one it had, so it does not know what it has to do anew. */
  isDeceived = false;
  readonly #options: KnowledgeOptions;
  /** The session that the device knows of: as it has read, has handled, and will remember after a loss of power. */
  #read: BrokerSession | undefined;
  #handled: BrokerSession | undefined;
  #stored: BrokerSession | undefined;
  #stalePacketIds = new Set<number>();

  constructor(options: KnowledgeOptions) {
    this.#options = options;
  }

  /** A packet was read. */
  reading(packet: ServerPacket): void {
    if (packet.type === "CONNACK") {
      this.#connack(packet.sessionPresent);
    } else if (packet.type === "PUBREL") {
      this.#stalePacketIds.delete(packet.packetId);
    } else if (packet.type === "PUBLISH" && packet.qos === 2) {
      if (this.#stalePacketIds.has(packet.packetId)) this.#options.mistaken(packet);
    }
  }

  /** All that was read is handled. */
  settled(): void {
    this.#handled = this.#read;
  }

  /** All that was handled is stored. */
  stored(): void {
    this.#stored = this.#handled;
  }

  powerLost(): void {
    const remembered = this.#options.isDurable ? this.#stored : undefined;
    this.#read = remembered;
    this.#handled = remembered;
  }

  #connack(sessionPresent: boolean): void {
    const session = this.#options.currentSession();
    const exchanges = this.#options.exchanges();
    if (!sessionPresent) {
      this.isDeceived = false;
      this.#stalePacketIds.clear();
    } else if (session !== this.#read) {
      this.isDeceived = true;
      for (const message of exchanges.inDoubt()) this.#options.doubtSent(message);
      for (const packetId of exchanges.incoming) this.#stalePacketIds.add(packetId);
    }
    this.#read = session;
  }
}
