/** A small server with one session: takes in a client's packets, acknowledges, sends again what is unacknowledged. */

import { concat } from "./bytes.ts";
import { type ClientPacket, ClientStream, type ConnectPacket } from "./client-stream.ts";
import * as packets from "./server-packets.ts";

/** A message on its way to the client: a PUBLISH until PUBACK or PUBREC, then a PUBREL until PUBCOMP. */
interface Outgoing {
  packetId: number;
  payload: string;
  qos: number;
  step: "unsent" | "publish" | "pubrel";
}

interface Session {
  outgoing: Outgoing[];
  /** Identifiers of QoS 2 messages that wait for PUBREL. */
  incoming: Set<number>;
  nextPacketId: number;
}

/** Delivers all that it is given, on topic "s". Knows what it delivered and what arrived. */
export class ModelServer {
  /** Payloads in the order of arrival, repetitions at QoS 1 included. */
  readonly arrived: string[] = [];
  readonly #qos2Max: number;
  #session: Session | undefined;
  #stream: ClientStream | undefined;
  #isAccepted = false;
  #isClean = false;
  #replies: Uint8Array[] = [];

  /** Sends at most `qos2Max` QoS 2 messages at once. */
  constructor(qos2Max: number) {
    this.#qos2Max = qos2Max;
  }

  /** A new Network Connection. */
  open(): void {
    this.#stream = new ClientStream();
    this.#isAccepted = false;
    this.#replies = [];
  }

  /** The Network Connection is gone, and with it a session that was asked to be clean [MQTT-3.1.2-6]. */
  close(): void {
    if (this.#isClean) this.#session = undefined;
    this.#isClean = false;
    this.#stream = undefined;
    this.#isAccepted = false;
    this.#replies = [];
  }

  /** Loses the session, as after a restart. */
  forget(): void {
    this.#session = undefined;
  }

  /** Payloads that are still on their way to the client. */
  get unfinished(): string[] {
    return this.#session?.outgoing.map(({ payload }) => payload) ?? [];
  }

  /** Queues a message for the client; at QoS 0 it goes now or never. False if there is nobody to keep it for. */
  publish(payload: string, qos: number): boolean {
    if (qos === 0) {
      if (!this.#isAccepted) return false;
      this.#replies.push(packets.publish({ topic: "s", payload }));
      return true;
    }
    if (this.#session === undefined) return false;
    const packetId = this.#session.nextPacketId;
    this.#session.nextPacketId = (packetId % 65535) + 1;
    this.#session.outgoing.push({ packetId, payload, qos, step: "unsent" });
    this.#sendWaiting();
    return true;
  }

  /** Takes in bytes of the client. Throws ClientFault if they break the standard. */
  read(bytes: Uint8Array): void {
    for (const packet of this.#stream?.read(bytes) ?? []) this.#take(packet);
  }

  /** What the server sends next. */
  takeReplies(): Uint8Array {
    const bytes = concat(...this.#replies);
    this.#replies = [];
    return bytes;
  }

  #take(packet: ClientPacket): void {
    switch (packet.type) {
      case "CONNECT":
        this.#accept(packet);
        break;
      case "PUBLISH":
        this.#takePublish(packet);
        break;
      case "PUBREL":
        this.#session?.incoming.delete(packet.packetId);
        this.#replies.push(packets.pubcomp(packet.packetId));
        break;
      case "PUBACK":
        this.#finish(packet.packetId, 1, "publish");
        break;
      case "PUBREC":
        this.#release(packet.packetId);
        break;
      case "PUBCOMP":
        this.#finish(packet.packetId, 2, "pubrel");
        break;
      case "SUBSCRIBE":
        this.#replies.push(
          packets.suback(packet.packetId, ...packet.filters.map(({ qos }) => qos)),
        );
        break;
      case "UNSUBSCRIBE":
        this.#replies.push(packets.unsuback(packet.packetId));
        break;
      case "PINGREQ":
        this.#replies.push(packets.pingresp());
        break;
      default:
        break;
    }
  }

  #accept(packet: ConnectPacket): void {
    if (packet.cleanSession) this.#session = undefined;
    this.#isClean = packet.cleanSession;
    this.#replies.push(packets.connack(this.#session !== undefined));
    this.#isAccepted = true;
    this.#session ??= { outgoing: [], incoming: new Set(), nextPacketId: 1 };
    for (const { packetId, payload, qos, step } of this.#session.outgoing) {
      if (step === "pubrel") this.#replies.push(packets.pubrel(packetId));
      if (step === "publish") {
        this.#replies.push(packets.publish({ topic: "s", payload, qos, packetId, dup: true }));
      }
    }
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    if (!this.#isAccepted) return;
    const outgoing = this.#session?.outgoing ?? [];
    let qos2Count = outgoing.filter(({ qos, step }) => qos === 2 && step !== "unsent").length;
    for (const message of outgoing) {
      if (message.step !== "unsent") continue;
      if (message.qos === 2 && ++qos2Count > this.#qos2Max) return;
      message.step = "publish";
      this.#replies.push(packets.publish({ topic: "s", ...message }));
    }
  }

  #takePublish(packet: Extract<ClientPacket, { type: "PUBLISH" }>): void {
    const payload = new TextDecoder().decode(packet.payload);
    const incoming = this.#session?.incoming ?? new Set<number>();
    if (packet.qos === 2) {
      if (!incoming.has(packet.packetId)) this.arrived.push(payload);
      else if (!packet.dup) throw new Error(`identifier ${packet.packetId} is in use`);
      incoming.add(packet.packetId);
      this.#replies.push(packets.pubrec(packet.packetId));
      return;
    }
    this.arrived.push(payload);
    if (packet.qos === 1) this.#replies.push(packets.puback(packet.packetId));
  }

  #release(packetId: number): void {
    const message = this.#find(packetId, 2);
    if (message !== undefined) message.step = "pubrel";
    this.#replies.push(packets.pubrel(packetId));
  }

  #finish(packetId: number, qos: number, step: Outgoing["step"]): void {
    const message = this.#find(packetId, qos);
    if (message === undefined || message.step !== step) {
      throw new Error(`an acknowledgement of ${packetId} that matches nothing`);
    }
    this.#session?.outgoing.splice(this.#session.outgoing.indexOf(message), 1);
    this.#sendWaiting();
  }

  #find(packetId: number, qos: number): Outgoing | undefined {
    return this.#session?.outgoing.find(
      (message) => message.packetId === packetId && message.qos === qos,
    );
  }
}
