/** What a device says on the wire, held against the standard: it sees every byte sent, and every byte that was read. */

import {
  ClientFault,
  type ClientPacket,
  findBody,
  type PublishPacket,
  readPacket,
} from "../client-packets.ts";
import type { Clock } from "../clock.ts";
import { type CheckName, SimulationFailure } from "../failure.ts";
import { clientPacketWords, serverPacketWords } from "../packet-words.ts";
import { type ServerPacket, ServerPacketReader } from "../server-packet-reader.ts";
import type { Trace } from "../trace.ts";
import { Exchanges } from "./exchanges.ts";
import type { SessionKnowledge } from "./session-knowledge.ts";

export interface ConversationOptions {
  readonly deviceIndex: number;
  readonly clock: Clock;
  readonly trace: Trace;
  readonly keepAliveMs: number;
  readonly responseTimeoutMs: number;
  /** Its session survives a loss of power. */
  readonly isDurable: boolean;
  /** A message at QoS 1 or 2 was acknowledged to the device. */
  readonly acknowledged: (packet: PublishPacket) => void;
  /** A packet is about to go: what the standard does not say can be checked here. */
  readonly sending: (packet: ClientPacket) => void;
  readonly knowledge: Pick<SessionKnowledge, "reading" | "settled" | "stored" | "powerLost">;
}

/** How late a device's timer may be, its clock's drift included. */
const LATENESS_MS = 1000;

export class Conversation {
  readonly exchanges: Exchanges;
  readonly #options: ConversationOptions;
  #reader = new ServerPacketReader();
  /** Bytes of the packet that has begun to go, and are still to go. */
  #partLength = 0;
  #phase: "closed" | "open" | "connecting" | "connected" | "over" = "closed";
  #isClean = false;
  #sentAtMs = 0;
  #wasBlocked = false;
  #requestAtMs: number | undefined;
  #pingAtMs: number | undefined;

  constructor(options: ConversationOptions) {
    this.#options = options;
    this.exchanges = new Exchanges(options.isDurable, options.acknowledged, (problem) =>
      this.#fail("conversation", problem),
    );
  }

  /** A new Network Connection. */
  opened(): void {
    this.#reader = new ServerPacketReader();
    this.#partLength = 0;
    this.#phase = "open";
    this.#pingAtMs = undefined;
    this.#wasBlocked = false;
    this.#sentAtMs = this.#options.clock.nowMs;
    this.#requestAtMs = this.#options.clock.nowMs;
    this.exchanges.connectionOpened();
  }

  /** The network has taken `takenLength` bytes of `bytes`, which are whole packets but for the first. */
  sent(bytes: Uint8Array, takenLength: number): void {
    this.#checkTimes();
    if (takenLength < bytes.length) this.#wasBlocked = true;
    let at = this.#partLength;
    while (at < takenLength) {
      const body = findBody(bytes, at);
      if (body === undefined || body.endAt > bytes.length) {
        this.#fail("conversation", "what is to be sent is no whole packet");
      }
      this.#takeSent(this.#parse(bytes, at, body.bodyAt, body.endAt));
      at = body.endAt;
    }
    this.#partLength = at - takenLength;
    if (takenLength > 0) {
      this.#sentAtMs = this.#options.clock.nowMs;
      this.#wasBlocked = takenLength < bytes.length;
    }
  }

  /** The device has taken these bytes in. */
  received(bytes: Uint8Array): void {
    this.#checkTimes();
    this.#reader.read(bytes, (packet) => this.#takeReceived(packet));
  }

  /** The device has handled all that it has taken in. */
  settled(): void {
    this.exchanges.settled();
    this.#options.knowledge.settled();
  }

  /** What the device has handled survives a loss of power. */
  stored(): void {
    this.exchanges.stored();
    this.#options.knowledge.stored();
  }

  /** The device knows that its Network Connection is over. */
  closed(): void {
    if (this.#phase === "closed") return;
    this.#checkTimes();
    this.#phase = "closed";
    this.exchanges.connectionClosed();
  }

  powerLost(): void {
    this.#phase = "closed";
    this.exchanges.powerLost();
    this.#options.knowledge.powerLost();
  }

  /** PINGREQ in time, and no longer waiting for an answer than was agreed. */
  #checkTimes(): void {
    const { clock, keepAliveMs, responseTimeoutMs } = this.#options;
    const isKeptAlive = this.#phase === "connected" && keepAliveMs > 0 && !this.#wasBlocked;
    if (isKeptAlive && clock.nowMs - this.#sentAtMs > keepAliveMs) {
      const silenceMs = clock.nowMs - this.#sentAtMs;
      this.#fail("deadline", `nothing was sent for ${silenceMs} ms [MQTT-3.1.2-23]`);
    }
    for (const sinceMs of [this.#requestAtMs, this.#pingAtMs]) {
      if (this.#phase === "closed" || sinceMs === undefined) continue;
      const waitedMs = clock.nowMs - sinceMs;
      if (waitedMs > responseTimeoutMs + LATENESS_MS) {
        this.#fail("deadline", `it waited ${waitedMs} ms for an answer [sec-3.2] [sec-3.12.4]`);
      }
    }
  }

  #parse(bytes: Uint8Array, at: number, bodyAt: number, endAt: number): ClientPacket {
    try {
      return readPacket(bytes[at] as number, bytes, bodyAt, endAt);
    } catch (error) {
      if (!(error instanceof ClientFault)) throw error;
      return this.#fail("conversation", error.message);
    }
  }

  #takeSent(packet: ClientPacket): void {
    const { trace, deviceIndex } = this.#options;
    if (trace.isOn) trace.add(deviceIndex, `sends ${clientPacketWords(packet)}`);
    this.#checkPhase(packet);
    this.#options.sending(packet);
    switch (packet.type) {
      case "CONNECT":
        this.#phase = "connecting";
        this.#isClean = packet.cleanSession;
        break;
      case "PINGREQ":
        this.#pingAtMs ??= this.#options.clock.nowMs;
        break;
      case "DISCONNECT":
        this.#phase = "over";
        break;
      default:
        this.exchanges.sent(packet);
    }
  }

  #checkPhase(packet: ClientPacket): void {
    if (this.#phase === "over") {
      this.#fail("conversation", `${packet.type} after DISCONNECT [MQTT-3.14.4-2]`);
    }
    if ((packet.type === "CONNECT") === (this.#phase === "open")) return;
    const clause = packet.type === "CONNECT" ? "MQTT-3.1.0-2" : "MQTT-3.1.0-1";
    if (packet.type === "CONNECT" || this.#phase !== "connected") {
      this.#fail("conversation", `${packet.type} while ${this.#phase} [${clause}]`);
    }
  }

  #takeReceived(packet: ServerPacket): void {
    const { trace, deviceIndex } = this.#options;
    if (trace.isOn) trace.add(deviceIndex, `reads ${serverPacketWords(packet)}`);
    if (this.#phase === "over") return;
    this.#options.knowledge.reading(packet);
    if (packet.type === "CONNACK") {
      this.#phase = "connected";
      this.#requestAtMs = undefined;
      this.exchanges.sessionBegun(packet.sessionPresent, this.#isClean);
    } else if (packet.type === "PINGRESP") {
      this.#pingAtMs = undefined;
    } else {
      this.exchanges.received(packet);
    }
  }

  #fail(check: CheckName, problem: string): never {
    throw new SimulationFailure(check, this.#options.deviceIndex, problem);
  }
}
