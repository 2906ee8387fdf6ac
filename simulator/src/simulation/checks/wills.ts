/** Wills: published once for each connection that ended without DISCONNECT, with what the device gave, and never else (3.1.2.5). */

import type { BrokerMessage } from "../broker-session.ts";
import type { ConnectPacket, WillMessage } from "../client-packets.ts";
import { SimulationFailure } from "../failure.ts";
import type { Connection } from "../network.ts";

interface Expectation {
  readonly connection: Connection;
  readonly will: WillMessage;
}

export class WillLedger {
  publishedCount = 0;
  suppressedCount = 0;
  /** Connections that ended ungracefully and whose Will has not been seen yet. */
  readonly #due: Expectation[] = [];
  readonly #alive = new Map<Connection, WillMessage>();

  /** CONNECT arrived: it must carry what the device was told to leave. */
  accepted(connection: Connection, packet: ConnectPacket): void {
    const wanted = connection.will;
    const isSame =
      packet.will !== undefined &&
      wanted !== undefined &&
      packet.will.topic === wanted.topic &&
      packet.will.payload === wanted.payload &&
      packet.will.qos === wanted.qos &&
      packet.will.retain === wanted.retain;
    if (!isSame || wanted === undefined) {
      this.#fail(connection, `the Will in CONNECT is not what was set [MQTT-3.1.2-9]`);
    }
    this.#alive.set(connection, wanted);
  }

  /** The device knows best whether it has said goodbye; what it has sent has arrived, or was lost with the network. */
  ended(connection: Connection): void {
    const will = this.#alive.get(connection);
    this.#alive.delete(connection);
    if (will === undefined) return;
    if (connection.hasSaidGoodbye && connection.hasServerReadAll) this.suppressedCount++;
    else this.#due.push({ connection, will });
  }

  /** A broker that restarts without its state publishes no Will either. */
  forget(): void {
    this.#due.length = 0;
  }

  published(message: BrokerMessage, deviceIndex: number | undefined): void {
    const index = this.#due.findIndex(
      ({ will }) => will.topic === message.topic && will.payload === message.payload,
    );
    if (index < 0) {
      const problem = `a Will was published after DISCONNECT, or twice: ${message.payload} [MQTT-3.14.4-3]`;
      throw new SimulationFailure("will", deviceIndex, problem);
    }
    this.#due.splice(index, 1);
    this.publishedCount++;
  }

  finish(): void {
    for (const { connection, will } of this.#due) {
      this.#fail(connection, `the Will ${will.payload} was never published [MQTT-3.1.2-8]`);
    }
  }

  #fail(connection: Connection, problem: string): never {
    throw new SimulationFailure("will", connection.deviceIndex, problem);
  }
}
