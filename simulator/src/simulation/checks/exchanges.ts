/** Packet Identifiers, DUP and the order of packets: what of QoS 1 and 2 can be seen on a device's wire (MQTT 3.1.1, 4.3 to 4.6). */

import type { ClientPacket, PublishPacket } from "../client-packets.ts";
import type { ServerPacket } from "../server-packet-reader.ts";

/** A packet of the device that waits for an answer. */
interface Exchange {
  readonly packet: Extract<ClientPacket, { packetId: number }>;
  /** Of first sending. */
  readonly order: number;
  /** Its PUBREC has come; or its PUBREL has gone, and PUBLISH may not go any more. */
  step: "sent" | "received" | "released";
  /** The answer was read, but it is not known whether the device still remembers that. */
  isUnsure: boolean;
  /** On which connection it, or its PUBREL, went last. */
  sentOn: number;
  /** Of PUBRECs. */
  receivedOrder: number;
}

type Answer = Extract<ServerPacket, { packetId: number }>;
type Sent = Extract<ClientPacket, { packetId: number }> | { readonly type: "PINGREQ" };

export class Exchanges {
  readonly #isDurable: boolean;
  readonly #acknowledged: (packet: PublishPacket) => void;
  readonly #fail: (problem: string) => never;
  /** By Packet Identifier: one pool for all kinds [MQTT-2.3.1-2]. */
  readonly #open = new Map<number, Exchange>();
  /** Completed, but the device may not have seen or stored that. */
  readonly #completed = new Map<number, Exchange>();
  /** What was open in the session before this one. */
  #lost = new Map<number, Exchange>();
  #lostIncoming = new Set<number>();
  /** How far the device is with the end of that session: power that fails before it is stored brings it back. */
  #lossStep: "read" | "handled" | "stored" = "stored";
  readonly #unsettled: Exchange[] = [];
  readonly #owed = { PUBACK: [] as number[], PUBREC: [] as number[], PUBCOMP: [] as number[] };
  /** Incoming QoS 2 identifiers that the device may hold: from PUBLISH to PUBCOMP. */
  readonly incoming = new Set<number>();
  #connectionNumber = 0;
  #order = 0;
  #receivedOrder = 0;
  #lastPublishOrder = 0;
  #lastPubrelOrder = 0;
  /** The device lost power within this session: it may send with DUP what never went. */
  #isRestored = false;
  #wasClean = false;

  constructor(
    isDurable: boolean,
    acknowledged: (packet: PublishPacket) => void,
    fail: (problem: string) => never,
  ) {
    this.#isDurable = isDurable;
    this.#acknowledged = acknowledged;
    this.#fail = fail;
  }

  get openCount(): number {
    return this.#open.size;
  }

  get owedCount(): number {
    return this.#owed.PUBACK.length + this.#owed.PUBREC.length + this.#owed.PUBCOMP.length;
  }

  /** QoS 2 messages that were sent and whose fate the device does not know. */
  *inDoubt(): Iterable<PublishPacket> {
    for (const { packet } of this.#open.values()) {
      if (packet.type === "PUBLISH" && packet.qos === 2) yield packet;
    }
  }

  /** The message that an identifier stands for, or stood for before the session was lost. */
  messageOf(packetId: number): PublishPacket | undefined {
    const packet = (this.#open.get(packetId) ?? this.#lost.get(packetId))?.packet;
    return packet?.type === "PUBLISH" ? packet : undefined;
  }

  connectionOpened(): void {
    this.#connectionNumber++;
    this.#lastPublishOrder = 0;
    this.#lastPubrelOrder = 0;
    for (const queue of Object.values(this.#owed)) queue.length = 0;
  }

  /** What the device has read and not handled may be forgotten. */
  connectionClosed(): void {
    for (const exchange of this.#unsettled) this.#reopen(exchange);
    this.#unsettled.length = 0;
    if (this.#isDurable) return;
    for (const [packetId, { packet }] of this.#open) {
      if (packet.type !== "PUBLISH") this.#open.delete(packetId); // a request ends with its connection
    }
  }

  settled(): void {
    this.#unsettled.length = 0;
    if (this.#lossStep === "read") this.#lossStep = "handled";
    if (!this.#isDurable) this.#completed.clear();
  }

  /** All that the device has handled survives a loss of power now. */
  stored(): void {
    if (this.#lossStep === "handled") this.#lossStep = "stored";
    if (this.#unsettled.length === 0) this.#completed.clear();
  }

  /** A device without a journal has forgotten everything; one with, perhaps, what it had not stored yet. */
  powerLost(): void {
    this.#unsettled.length = 0;
    if (!this.#isDurable) {
      this.#forget();
      return;
    }
    this.#isRestored = true;
    if (this.#lossStep !== "stored") this.#undoLoss();
    for (const exchange of this.#completed.values()) this.#reopen(exchange);
    for (const exchange of this.#open.values()) exchange.isUnsure = true;
  }

  /** CONNACK was read. */
  sessionBegun(sessionPresent: boolean, isClean: boolean): void {
    if (!sessionPresent || isClean || this.#wasClean) {
      this.#lost = new Map(this.#open);
      this.#lostIncoming = new Set(this.incoming);
      this.#lossStep = "read";
      this.#forget();
    }
    this.#wasClean = isClean;
  }

  sent(packet: Sent): void {
    switch (packet.type) {
      case "PUBLISH":
        if (packet.qos > 0) this.#sentPublish(packet);
        break;
      case "PUBREL":
        this.#sentPubrel(packet.packetId);
        break;
      case "PUBACK":
      case "PUBREC":
      case "PUBCOMP":
        this.#sentAnswer(packet.type, packet.packetId);
        break;
      case "SUBSCRIBE":
      case "UNSUBSCRIBE":
        this.#sentRequest(packet);
        break;
    }
  }

  received(packet: Answer): void {
    const { packetId } = packet;
    switch (packet.type) {
      case "PUBLISH":
        if (packet.qos === 1) this.#owed.PUBACK.push(packetId);
        if (packet.qos === 2) {
          this.#owed.PUBREC.push(packetId);
          this.incoming.add(packetId);
        }
        break;
      case "PUBREL":
        this.#owed.PUBCOMP.push(packetId);
        break;
      case "PUBREC":
        this.#receivedPubrec(packetId);
        break;
      default:
        this.#complete(packet);
    }
  }

  #sentPublish(packet: PublishPacket): void {
    const { packetId, dup } = packet;
    const known = this.#open.get(packetId);
    if (known !== undefined && isSameMessage(known, packet)) {
      this.#sentAgain(known, packet);
      return;
    }
    if (known !== undefined && !known.isUnsure) {
      this.#fail(`Packet Identifier ${packetId} is used while it is in use [MQTT-2.3.1-2]`);
    }
    if (dup && !this.#isRestored) {
      this.#fail(`PUBLISH ${packetId} has DUP, and was never sent before [MQTT-4.3.2-1]`);
    }
    this.#begin(packet);
  }

  #sentAgain(known: Exchange, packet: PublishPacket): void {
    const { packetId, dup } = packet;
    if (known.sentOn === this.#connectionNumber) {
      this.#fail(`PUBLISH ${packetId} went twice on one connection [MQTT-4.4.0-1]`);
    }
    if (!dup) this.#fail(`PUBLISH ${packetId} goes again without DUP [MQTT-3.3.1-1]`);
    if (known.step === "released" || (known.step === "received" && !known.isUnsure)) {
      this.#fail(`PUBLISH ${packetId} goes again after PUBREC [MQTT-4.3.3-1]`);
    }
    this.#followOrder(known, "[MQTT-4.6.0-1]");
    known.step = "sent";
    known.isUnsure = false;
    known.sentOn = this.#connectionNumber;
  }

  #begin(packet: Exchange["packet"]): void {
    this.#completed.delete(packet.packetId);
    const exchange: Exchange = {
      packet,
      order: ++this.#order,
      step: "sent",
      isUnsure: false,
      sentOn: this.#connectionNumber,
      receivedOrder: 0,
    };
    this.#open.set(packet.packetId, exchange);
    if (packet.type === "PUBLISH") this.#followOrder(exchange, "[MQTT-4.6.0-1]");
  }

  #followOrder(exchange: Exchange, clause: string): void {
    if (exchange.order < this.#lastPublishOrder) {
      this.#fail(`PUBLISH ${exchange.packet.packetId} comes behind one first sent later ${clause}`);
    }
    this.#lastPublishOrder = exchange.order;
  }

  #sentPubrel(packetId: number): void {
    const known = this.#open.get(packetId);
    if (known === undefined || known.packet.type !== "PUBLISH" || known.packet.qos !== 2) {
      this.#fail(`PUBREL ${packetId} for what was never sent [MQTT-4.3.3-1]`);
    }
    if (known.step === "sent") this.#fail(`PUBREL ${packetId} before PUBREC [MQTT-4.3.3-1]`);
    if (known.step === "released" && known.sentOn === this.#connectionNumber) {
      this.#fail(`PUBREL ${packetId} went twice on one connection [MQTT-4.4.0-1]`);
    }
    if (known.receivedOrder < this.#lastPubrelOrder) {
      this.#fail(`PUBREL ${packetId} is out of the order of PUBRECs [MQTT-4.6.0-4]`);
    }
    this.#lastPubrelOrder = known.receivedOrder;
    known.step = "released";
    known.isUnsure = false;
    known.sentOn = this.#connectionNumber;
  }

  #sentAnswer(type: "PUBACK" | "PUBREC" | "PUBCOMP", packetId: number): void {
    const owed = this.#owed[type];
    if (owed[0] !== packetId) {
      const expected = owed[0] === undefined ? "nothing" : `${owed[0]}`;
      this.#fail(`${type} ${packetId} where ${expected} was to be acknowledged [MQTT-4.6.0-2]`);
    }
    owed.shift();
    if (type === "PUBCOMP") this.incoming.delete(packetId);
  }

  #sentRequest(packet: Exchange["packet"]): void {
    const known = this.#open.get(packet.packetId);
    const isAgain = known?.packet.type === packet.type && known.sentOn !== this.#connectionNumber;
    if (known !== undefined && !known.isUnsure && !(this.#isDurable && isAgain)) {
      this.#fail(`Packet Identifier ${packet.packetId} is used while it is in use [MQTT-2.3.1-2]`);
    }
    this.#begin(packet);
  }

  #receivedPubrec(packetId: number): void {
    const known = this.#open.get(packetId);
    if (known?.packet.type !== "PUBLISH" || known.packet.qos !== 2) return;
    if (known.step !== "sent") return;
    known.step = "received";
    known.receivedOrder = ++this.#receivedOrder;
    this.#unsettled.push(known);
  }

  #complete(packet: Exclude<Answer, { type: "PUBLISH" }>): void {
    const known = this.#open.get(packet.packetId);
    if (known === undefined || !isAnswerTo(packet.type, known)) return;
    this.#open.delete(packet.packetId);
    this.#completed.set(packet.packetId, known);
    this.#unsettled.push(known);
    if (known.packet.type === "PUBLISH") this.#acknowledged(known.packet);
  }

  #reopen(exchange: Exchange): void {
    exchange.isUnsure = true;
    const { packetId } = exchange.packet;
    if (this.#completed.get(packetId) !== exchange) return;
    this.#completed.delete(packetId);
    this.#open.set(packetId, exchange);
  }

  #undoLoss(): void {
    for (const [packetId, exchange] of this.#lost) {
      if (!this.#open.has(packetId)) this.#open.set(packetId, exchange);
    }
    for (const packetId of this.#lostIncoming) this.incoming.add(packetId);
  }

  #forget(): void {
    this.#open.clear();
    this.#completed.clear();
    this.#unsettled.length = 0;
    this.incoming.clear();
    this.#isRestored = false;
  }
}

function isSameMessage({ packet }: Exchange, other: PublishPacket): boolean {
  return (
    packet.type === "PUBLISH" && packet.topic === other.topic && packet.payload === other.payload
  );
}

function isAnswerTo(type: Answer["type"], { packet, step }: Exchange): boolean {
  switch (type) {
    case "PUBACK":
      return packet.type === "PUBLISH" && packet.qos === 1;
    case "PUBCOMP":
      return packet.type === "PUBLISH" && packet.qos === 2 && step !== "sent";
    case "SUBACK":
      return packet.type === "SUBSCRIBE";
    case "UNSUBACK":
      return packet.type === "UNSUBSCRIBE";
    default:
      return false;
  }
}
