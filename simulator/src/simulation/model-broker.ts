/** A server written from the standard (MQTT 3.1.1) for simulated worlds: small, in one process, on virtual time. */

import { type BrokerMessage, BrokerSession, type PacketIdPolicy } from "./broker-session.ts";
import type { ClientPacket, ConnectPacket, WillMessage } from "./client-packets.ts";
import type { Clock } from "./clock.ts";
import type { Connection, EndHandlers } from "./network.ts";
import { ServerConnection } from "./server-connection.ts";
import * as packets from "./server-packets.ts";
import { SubscriptionTree } from "./subscription-tree.ts";

/** Who watches the broker; none of it changes what the broker does. */
export interface BrokerWatcher {
  /** CONNECT was accepted, CONNACK goes. */
  accepted(connection: Connection, packet: ConnectPacket, sessionPresent: boolean): void;
  /** A connection that was accepted is over; its Will follows, if it has one. */
  ended(connection: Connection): void;
  /** A message was accepted, from a device (its connection), as a Will, or from the peer. */
  published(message: BrokerMessage, from: string, isWill: boolean): void;
  /** The session and all that was under way in it is gone. */
  sessionEnded(session: BrokerSession): void;
  /** A whole packet of a client has arrived. */
  took(connection: Connection, packet: ClientPacket): void;
  /** A client broke the standard. */
  violated(connection: Connection, problem: string): void;
}

export interface BrokerSettings {
  /** When a QoS 2 message is passed on: with PUBREC or with PUBCOMP, both are allowed (4.3.3, figure 4.3). */
  readonly passesOnAt: "publish" | "pubrel";
  readonly packetIds: PacketIdPolicy;
}

export class ModelBroker {
  readonly clock: Clock;
  readonly watcher: BrokerWatcher;
  readonly settings: BrokerSettings;
  /** What survives a restart that keeps the state. */
  readonly sessions = new Map<string, BrokerSession>();
  readonly retained = new Map<string, BrokerMessage>();
  readonly #subscribers = new SubscriptionTree();
  readonly #clients = new Map<string, ServerConnection>();
  /** Connections whose CONNECT is still to come. */
  readonly #strangers = new Set<ServerConnection>();

  constructor(clock: Clock, settings: BrokerSettings, watcher: BrokerWatcher) {
    this.clock = clock;
    this.settings = settings;
    this.watcher = watcher;
  }

  accept(connection: Connection): EndHandlers {
    const client = new ServerConnection(this, connection);
    this.#strangers.add(client);
    return client;
  }

  /** Gives a client its session, a new one or the one it had. */
  admit(client: ServerConnection, packet: ConnectPacket): BrokerSession {
    const { clientId, cleanSession } = packet;
    this.#strangers.delete(client);
    this.#clients.get(clientId)?.end(); // a takeover, with its Will [MQTT-3.1.4-2]
    this.#clients.set(clientId, client);
    const kept = this.sessions.get(clientId);
    if (cleanSession && kept !== undefined) {
      this.#endSession(kept); // [MQTT-3.1.2-6]
    }
    const isPresent = kept !== undefined && !cleanSession;
    const session = isPresent
      ? kept
      : new BrokerSession(clientId, cleanSession, this.settings.packetIds);
    this.sessions.set(clientId, session);
    this.watcher.accepted(client.connection, packet, isPresent);
    client.write(packets.connack(isPresent)); // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
    return session;
  }

  /** A connection is over. `will` is what DISCONNECT has not removed. */
  leave(client: ServerConnection, will: WillMessage | undefined): void {
    this.#strangers.delete(client);
    const { session } = client;
    if (session === undefined) return;
    if (this.#clients.get(session.clientId) === client) this.#clients.delete(session.clientId);
    this.watcher.ended(client.connection);
    if (session.isClean && this.sessions.get(session.clientId) === session) {
      this.#endSession(session); // [MQTT-3.1.2-6]
    }
    if (will !== undefined) this.publish(will, session.clientId, true); // [MQTT-3.1.2-8]
  }

  /** True if a message, published now, would be promised (QoS 1 or 2) to a client. */
  isOwed(message: BrokerMessage): boolean {
    for (const session of this.#subscribers.match(message.topic)) {
      if ((session.grantedQos(message) ?? 0) > 0) return true;
    }
    return false;
  }

  /** Passes a message on to all that have subscribed to it. */
  publish(message: BrokerMessage, from: string, isWill = false): void {
    this.watcher.published(message, from, isWill);
    if (message.retain) this.#retain(message);
    for (const session of this.#subscribers.match(message.topic)) {
      const qos = session.grantedQos(message);
      if (qos !== undefined) this.deliver(session, message, qos);
    }
  }

  /** Queues a message for one client [MQTT-3.1.2-5]; at QoS 0 it goes now or never. */
  deliver(session: BrokerSession, message: BrokerMessage, qos: number): void {
    const client = this.#clients.get(session.clientId);
    if (qos > 0) {
      session.queue(message, qos);
      if (client !== undefined) session.sendWaiting((bytes) => client.write(bytes));
    } else if (client?.session === session) {
      client.write(packets.publish({ ...message, qos, packetId: 0, dup: false, retain: false }));
    }
  }

  /** A new subscription, or one that takes the place of the same [MQTT-3.8.4-3]. */
  subscribe(session: BrokerSession, filter: string, qos: number): void {
    session.subscriptions.set(filter, qos);
    this.#subscribers.add(filter, session);
  }

  unsubscribe(session: BrokerSession, filter: string): void {
    session.subscriptions.delete(filter); // compared character by character [MQTT-3.10.4-1]
    this.#subscribers.remove(filter, session);
  }

  /** Ends all connections, as a crash does. Wills wait for the restart if the state is kept (3.1.2.5). */
  restart(keepsState: boolean): void {
    const wills: [WillMessage, string][] = [];
    for (const client of [...this.#strangers, ...this.#clients.values()]) {
      const will = client.crash();
      if (will !== undefined) wills.push([will, client.session?.clientId ?? ""]);
    }
    if (!keepsState) {
      for (const session of [...this.sessions.values()]) {
        this.#endSession(session);
      }
      this.retained.clear();
      return;
    }
    for (const [will, clientId] of wills) this.publish(will, clientId, true);
  }

  /** Zero bytes are not kept and remove what was [MQTT-3.3.1-5] [MQTT-3.3.1-10] [MQTT-3.3.1-11]. */
  #retain(message: BrokerMessage): void {
    if (message.payload === "") this.retained.delete(message.topic);
    else this.retained.set(message.topic, message);
  }

  #endSession(session: BrokerSession): void {
    this.sessions.delete(session.clientId);
    for (const filter of session.subscriptions.keys()) this.#subscribers.remove(filter, session);
    this.watcher.sessionEnded(session);
  }
}
