/** What both sides say, over all connections of a session: identifiers, DUP and order as MQTT 3.1.1 demands (2.3.1, 4.3, 4.4, 4.6). */

import { concat, hex, readRemainingLength } from "./bytes.ts";
import { ClientFault, type ClientPacket, ClientStream } from "./client-stream.ts";

/** What the client sent last with an identifier. */
interface Use {
  content: string;
  /** When PUBREC came, counted over the session; 0 if it did not. */
  receivedAt: number;
  /** PUBREL was sent. */
  isReleased: boolean;
  /** The last acknowledgement came. */
  isComplete: boolean;
}

export class WireCheck {
  readonly #uses = new Map<number, Use>();
  #stream = new ClientStream();
  #fromServer: Uint8Array = new Uint8Array(0);
  #receivedCount = 0;
  #lastMessage = -1;
  #lastPubrel = 0;

  /** A new Network Connection. */
  open(): void {
    this.#stream = new ClientStream();
    this.#fromServer = new Uint8Array(0);
    this.#lastMessage = -1;
    this.#lastPubrel = 0;
  }

  /** A new session: every identifier is free. */
  forget(): void {
    this.#uses.clear();
  }

  /** Bytes that arrive at the server. Payloads begin with the number of the message. Throws ClientFault. */
  fromClient(bytes: Uint8Array): void {
    for (const packet of this.#stream.read(bytes)) this.#follow(packet);
  }

  /** Bytes that arrive at the client. */
  toClient(bytes: Uint8Array): void {
    this.#fromServer = concat(this.#fromServer, bytes);
    for (;;) {
      const header = readRemainingLength(this.#fromServer, 1);
      if (header === undefined) return;
      const end = header.bodyAt + header.length;
      if (this.#fromServer.length < end) return;
      const [type = 0, , high = 0, low = 0] = this.#fromServer;
      this.#acknowledge(type >> 4, high * 256 + low);
      this.#fromServer = this.#fromServer.slice(end);
    }
  }

  #follow(packet: ClientPacket): void {
    if (packet.type === "PUBLISH") {
      const content = `${packet.qos} ${packet.topic} ${hex(packet.payload)}`;
      this.#keepOrder(Number.parseInt(new TextDecoder().decode(packet.payload), 10));
      if (packet.qos > 0) this.#takeMessage(packet.packetId, content, packet.dup);
    }
    if (packet.type === "SUBSCRIBE" || packet.type === "UNSUBSCRIBE") {
      this.#use(packet.packetId, JSON.stringify(packet.filters));
    }
    if (packet.type === "PUBREL") this.#release(packet.packetId);
  }

  #keepOrder(message: number): void {
    if (message <= this.#lastMessage) {
      throw new ClientFault("MQTT-4.6.0-1", `message ${message} behind ${this.#lastMessage}`);
    }
    this.#lastMessage = message;
  }

  #takeMessage(packetId: number, content: string, dup: boolean): void {
    const before = this.#uses.get(packetId);
    if (before?.content === content) {
      if (!dup) throw new ClientFault("MQTT-3.3.1-1", `${packetId} goes again without DUP`);
      if (before.isReleased)
        throw new ClientFault("MQTT-4.3.3-1", `PUBLISH ${packetId} after PUBREL`);
    }
    this.#use(packetId, content);
  }

  #use(packetId: number, content: string): void {
    const before = this.#uses.get(packetId);
    if (before?.content === content) return;
    if (before !== undefined && !before.isComplete) {
      throw new ClientFault("MQTT-2.3.1-2", `identifier ${packetId} is in use`);
    }
    this.#uses.set(packetId, {
      content,
      receivedAt: 0,
      isReleased: false,
      isComplete: false,
    });
  }

  #release(packetId: number): void {
    const use = this.#uses.get(packetId);
    if (use === undefined || use.receivedAt === 0) {
      throw new ClientFault("MQTT-4.3.3-1", `PUBREL ${packetId} without PUBREC`);
    }
    if (use.receivedAt <= this.#lastPubrel) {
      throw new ClientFault("MQTT-4.6.0-4", `PUBREL ${packetId} out of order`);
    }
    this.#lastPubrel = use.receivedAt;
    use.isReleased = true;
  }

  #acknowledge(type: number, packetId: number): void {
    const use = this.#uses.get(packetId);
    if (use === undefined) return;
    if (type === PUBREC) use.receivedAt = ++this.#receivedCount;
    if (COMPLETING.includes(type)) use.isComplete = true;
  }
}

const PUBREC = 5;
/** PUBACK, PUBCOMP, SUBACK, UNSUBACK. */
const COMPLETING = [4, 7, 9, 11];
