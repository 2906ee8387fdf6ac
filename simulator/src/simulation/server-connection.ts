/** One Network Connection at the model broker: takes a client's packets and answers each as MQTT 3.1.1 says. */

import type { BrokerSession } from "./broker-session.ts";
import {
  ClientFault,
  type ClientPacket,
  type ConnectPacket,
  PacketReader,
  type PublishPacket,
  type WillMessage,
} from "./client-packets.ts";
import type { Alarm } from "./clock.ts";
import type { ModelBroker } from "./model-broker.ts";
import type { Connection, EndHandlers } from "./network.ts";
import * as packets from "./server-packets.ts";

/** Who has not sent CONNECT by then is thrown out (3.1.4). */
const CONNECT_LIMIT_MS = 30_000;

/** [MQTT-3.1.2-24] */
const KEEP_ALIVE_FACTOR = 1.5;

export class ServerConnection implements EndHandlers {
  readonly connection: Connection;
  session: BrokerSession | undefined;
  readonly #broker: ModelBroker;
  readonly #reader = new PacketReader();
  /** What the network has not taken yet. */
  #unsent: Uint8Array[] = [];
  #will: WillMessage | undefined;
  #silenceMs = CONNECT_LIMIT_MS;
  #heardAtMs: number;
  #silence: Alarm | undefined;
  #isOver = false;

  constructor(broker: ModelBroker, connection: Connection) {
    this.#broker = broker;
    this.connection = connection;
    this.#heardAtMs = broker.clock.nowMs;
    this.#listen(this.#silenceMs);
  }

  readable(): void {
    const { server } = this.connection;
    try {
      for (let chunk = server.peek(); chunk !== undefined && !this.#isOver; chunk = server.peek()) {
        server.consume(chunk.length);
        this.#reader.read(chunk, (packet) => this.#take(packet));
      }
    } catch (error) {
      if (!(error instanceof ClientFault)) throw error;
      this.#violated(error.message);
    }
  }

  writable(): void {
    this.#flush();
  }

  ended(): void {
    this.end();
  }

  write(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#unsent.push(bytes);
    if (this.#unsent.length === 1) this.#flush();
  }

  /** The Network Connection is over; without DISCONNECT its Will goes out [MQTT-3.1.2-8]. */
  end(): void {
    const will = this.#stop();
    if (will === false) return;
    this.connection.server.close();
    this.#broker.leave(this, will);
  }

  /** The server itself is gone. Returns the Will that nobody has published yet. */
  crash(): WillMessage | undefined {
    const will = this.#stop();
    if (will === false) return undefined;
    this.connection.cut();
    this.#broker.leave(this, undefined);
    return will;
  }

  /** The Will, or false if it was over already. */
  #stop(): WillMessage | undefined | false {
    if (this.#isOver) return false;
    this.#isOver = true;
    if (this.#silence !== undefined) this.#silence.isOff = true;
    this.#unsent = [];
    return this.#will;
  }

  #flush(): void {
    for (let bytes = this.#unsent[0]; bytes !== undefined; bytes = this.#unsent[0]) {
      const length = this.connection.server.write(bytes);
      if (length === bytes.length) {
        this.#unsent.shift();
      } else {
        this.#unsent[0] = bytes.subarray(length);
        return;
      }
    }
  }

  /** Looks again when the limit may have passed: cheaper than a new alarm for each packet. */
  #listen(delayMs: number): void {
    this.#silence = this.#broker.clock.after(delayMs, () => {
      const leftMs = this.#heardAtMs + this.#silenceMs - this.#broker.clock.nowMs;
      if (leftMs > 0) this.#listen(leftMs);
      else this.end();
    });
  }

  #violated(problem: string): void {
    this.#broker.watcher.violated(this.connection, problem);
    this.end(); // [MQTT-4.8.0-1]
  }

  #take(packet: ClientPacket): void {
    if (this.#isOver) return;
    this.#broker.watcher.took(this.connection, packet);
    this.#heardAtMs = this.#broker.clock.nowMs;
    if (packet.type === "CONNECT") this.#connect(packet);
    else if (this.session === undefined)
      this.#violated(`${packet.type} before CONNECT [MQTT-3.1.0-1]`);
    else this.#takeFromClient(packet, this.session);
  }

  #connect(packet: ConnectPacket): void {
    if (this.session !== undefined) {
      this.#violated("a second CONNECT [MQTT-3.1.0-2]");
      return;
    }
    this.#will = packet.will;
    if (this.#silence !== undefined) this.#silence.isOff = true;
    this.#silenceMs = packet.keepAliveSeconds * 1000 * KEEP_ALIVE_FACTOR;
    if (this.#silenceMs > 0) this.#listen(this.#silenceMs);
    const session = this.#broker.admit(this, packet);
    this.session = session;
    session.resend((bytes) => this.write(bytes));
    session.sendWaiting((bytes) => this.write(bytes));
  }

  #takeFromClient(packet: Exclude<ClientPacket, ConnectPacket>, session: BrokerSession): void {
    switch (packet.type) {
      case "PUBLISH":
        this.#takePublish(packet, session);
        break;
      case "PUBACK":
        session.finish(packet.packetId, "publish");
        session.sendWaiting((bytes) => this.write(bytes));
        break;
      case "PUBREC":
        // An identifier that nobody knows is answered, too: the client would wait for ever.
        session.release(packet.packetId);
        this.write(packets.pubrel(packet.packetId));
        break;
      case "PUBREL":
        this.#takePubrel(packet.packetId, session);
        break;
      case "PUBCOMP":
        session.finish(packet.packetId, "pubrel");
        session.sendWaiting((bytes) => this.write(bytes));
        break;
      case "SUBSCRIBE":
        for (const { filter, qos } of packet.filters) this.#broker.subscribe(session, filter, qos);
        this.write(
          packets.suback(
            packet.packetId,
            packet.filters.map(({ qos }) => qos),
          ),
        );
        break;
      case "UNSUBSCRIBE":
        for (const { filter } of packet.filters) this.#broker.unsubscribe(session, filter);
        this.write(packets.unsuback(packet.packetId)); // [MQTT-3.10.4-5]
        break;
      case "PINGREQ":
        this.write(packets.pingresp()); // [MQTT-3.12.4-1]
        break;
      case "DISCONNECT":
        this.#will = undefined; // [MQTT-3.14.4-3]
        this.end();
        break;
    }
  }

  #takePublish(packet: PublishPacket, session: BrokerSession): void {
    const { qos, packetId } = packet;
    if (qos < 2) {
      this.#broker.publish(packet, session.clientId);
      if (qos === 1) this.write(packets.puback(packetId)); // [MQTT-4.3.2-2]
      return;
    }
    const isNew = !session.incoming.has(packetId);
    if (isNew) session.incoming.set(packetId, packet);
    if (isNew && this.#broker.settings.passesOnAt === "publish") {
      this.#broker.publish(packet, session.clientId);
    }
    this.write(packets.pubrec(packetId)); // [MQTT-4.3.3-2]
  }

  #takePubrel(packetId: number, session: BrokerSession): void {
    const message = session.incoming.get(packetId);
    session.incoming.delete(packetId);
    if (message !== undefined && this.#broker.settings.passesOnAt === "pubrel") {
      this.#broker.publish(message, session.clientId);
    }
    this.write(packets.pubcomp(packetId)); // [MQTT-4.3.3-2]
  }
}
